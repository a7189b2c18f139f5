"""The batched search computes what the compiled one does, however many poses run side by side."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.box import Box
from docking.pocket_map import PocketField
from docking.search import batched, batched_problem, chain
from docking.search.batched import search_batched, widened
from docking.search.batched_chain import BALLS, mutate, numbers, scatter
from docking.search.batched_descent import descend
from docking.search.batched_energy import energies, move
from docking.search.batched_problem import DeviceBody, DeviceMaps
from docking.search.energy import CAP, energy, gather, map_energy, own_energy, place
from docking.search.engine import Budget, chain_seeds, distinct, refine, search
from docking.search.problem import flexible, search_maps
from docking.search.random import uniform
from docking.search.room import workspace
from tests.docking import demo

KEYS = ("1stp", "3og7")
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
on_devices = pytest.mark.parametrize("device", DEVICES)
seeds = given(seed=st.integers(0, 2**32 - 1))
few = settings(deadline=None, max_examples=3)


class Problem(tuple):
    """What a test needs, shown short when an example fails."""

    def __repr__(self):
        return f"Problem({self[0]})"


def made(key):
    ligand = demo.ligand(key)
    receptor = demo.receptor(key).without_ligand(ligand)
    pocket = PocketField.build(receptor, Box.from_ligand(ligand), spacing=0.375, method="linear")
    return ligand, pocket, search_maps(pocket)


@pytest.fixture(scope="module", params=KEYS)
def problem(request):
    """Maps, and a ligand of two conformers, the second at a cost."""
    ligand, pocket, maps = made(request.param)
    bent = ligand.coords + np.random.default_rng(0).normal(0, 0.1, ligand.coords.shape)
    laid = flexible(ligand, pocket, np.stack([ligand.coords, bent]), np.array([0.0, 1.5]))
    rigid = flexible(ligand, pocket, ligand.coords[None], np.zeros(1), rigid=True)
    return Problem((request.param, maps, laid.body, rigid.body))


def poses(maps, body, seed, count=40):
    """Conformers and poses over and about the box, some with atoms on top of each other."""
    generator = np.random.default_rng(seed)
    states = generator.normal(size=(count, len(body.scale) + 1))
    states[:, :3] = (maps.low + maps.high) / 2 + 4 * states[:, :3]
    states[:, 3:7] /= np.linalg.norm(states[:, 3:7], axis=1, keepdims=True)
    states[:, 7:] = generator.uniform(-np.pi, np.pi, states[:, 7:].shape)
    return generator.integers(0, len(body.penalty), count), states


def put(maps, body, device, dtype=torch.float64):
    where = DeviceMaps.of(maps, device, dtype)
    return where, DeviceBody.of(body, where)


def one_by_one(maps, body, conformers, states):
    """What the compiled energy says."""
    room, dof = workspace(maps, body), len(body.scale)
    e, slope = np.zeros(len(states)), np.zeros((len(states), dof))
    x = np.zeros((len(states), len(body.kinds), 3))
    for p, (c, state) in enumerate(zip(conformers, states, strict=True)):
        e[p] = energy(maps, body, c, state, room, False, slope[p])
        x[p] = room.x
    return e, slope, x


def assert_close(found, known, exactly):
    """Numbers of each pose agree to a part of the largest of them, or of one."""
    found = found.cpu().numpy().reshape(len(known), -1)
    known = known.reshape(len(known), -1)
    size = 1 + np.abs(known).max(1, keepdims=True)
    assert (np.abs(found - known) / size).max() < exactly


@on_devices
@few
@seeds
def test_energies_are_the_compiled_ones(problem, device, seed):
    _, maps, *bodies = problem
    for body in bodies:
        conformers, states = poses(maps, body, seed)
        known = one_by_one(maps, body, conformers, states)
        found = energies(
            *put(maps, body, device), torch.as_tensor(conformers), torch.as_tensor(states)
        )
        for new, old in zip(found, known, strict=True):
            assert_close(new, old, 1e-5)


@on_devices
def test_a_large_ligands_own_pairs_are_the_compiled_table(problem, device, monkeypatch):
    _, maps, body, _ = problem
    monkeypatch.setattr(batched_problem, "STRIDE", len(body.kinds) - 1)
    _, states = poses(maps, body, 0)
    first = torch.zeros(len(states), dtype=torch.int64)
    found = energies(*put(maps, body, device), first, torch.as_tensor(states))
    room, slope = workspace(maps, body), np.zeros((len(states), len(body.scale)))
    e = np.zeros(len(states))
    for p, state in enumerate(states):
        place(body, 0, state, room.x, room.frames, room.origins, room.axes)
        e[p] = map_energy(maps, body, room.x, room.g) + own_energy(maps, body, room.x, room.g, CAP)
        gather(body, room.x, room.g, room.origins, room.axes, room.force, room.torque, slope[p])
    assert_close(found[0], e, 1e-6)
    assert_close(found[1], slope, 1e-6)


@on_devices
@few
@seeds
def test_single_precision_loses_no_energy_that_matters(problem, device, seed):
    _, maps, body, _ = problem
    conformers, states = poses(maps, body, seed)
    e, _, x = energies(
        *put(maps, body, device, torch.float32),
        torch.as_tensor(conformers),
        torch.as_tensor(states),
    )
    known, _, at = one_by_one(maps, body, conformers, states)
    np.testing.assert_allclose(e.cpu().numpy(), known, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(x.cpu().numpy(), at, atol=1e-4)


@few
@seeds
def test_the_gradient_is_the_slope_of_the_energy(problem, seed):
    _, maps, body, _ = problem
    conformer, state = poses(maps, body, seed, 1)
    dof, h = len(body.scale), 1e-6
    step = h * torch.as_tensor(np.diag(body.scale))
    steps = torch.cat([torch.zeros(dof, 1), step, -step], 1)
    ends = move(torch.as_tensor(state).T.expand(-1, steps.shape[1]), steps).T
    c = torch.as_tensor(conformer).expand(len(ends))
    e, slope, _ = (part.numpy() for part in energies(*put(maps, body, "cpu"), c, ends))
    numeric = (e[1 : dof + 1] - e[dof + 1 :]) / (2 * h * body.scale)
    # Energies are straight between nodes: a kink inside the step has no slope to compare.
    sides = np.stack([np.diag(slope[1 : dof + 1]), np.diag(slope[dof + 1 :])])
    smooth = np.abs(sides[1] - sides[0]) <= 1e-3 * (1 + np.abs(sides[0]))
    assert smooth.any()
    np.testing.assert_allclose(slope[0][smooth], numeric[smooth], rtol=2e-3, atol=2e-3)


@on_devices
@few
@seeds
def test_a_poses_energy_is_the_same_bits_in_any_company(problem, device, seed):
    _, maps, body, _ = problem
    where, laid = put(maps, body, device, torch.float32)
    conformers, states = (torch.as_tensor(part) for part in poses(maps, body, seed, 37))
    together = energies(where, laid, conformers, states)
    halves = energies(where, laid, conformers, states, memory=10 * 4 * laid.floats())
    alone = energies(where, laid, conformers[5:6], states[5:6])
    for whole, parts, one in zip(together, halves, alone, strict=True):
        assert torch.equal(whole, parts)
        assert torch.equal(whole[5:6], one)


def streams(seed, count, device):
    return chain_seeds(seed, count), torch.as_tensor(
        chain_seeds(seed, count).view(np.int64), device=device
    )


@on_devices
@few
@seeds
def test_random_numbers_are_the_compiled_ones(device, seed):
    old, new = streams(seed, 5, device)
    drawn = torch.arange(5, device=device)
    found = numbers(new, drawn, 30).cpu().numpy()
    for chain_, column in enumerate(found.T):
        stream = old[chain_ : chain_ + 1].copy()
        known = [uniform(stream) for _ in range(chain_ + 30)]
        np.testing.assert_array_equal(column, known[chain_:])


@on_devices
@few
@seeds
def test_starts_are_the_compiled_ones(problem, device, seed):
    _, maps, body, _ = problem
    where, ligand = put(maps, body, device)
    old, new = streams(seed, 20, device)
    conformers = np.arange(20) % 2
    dof = len(body.scale)
    laid = ligand.laid(torch.as_tensor(conformers, device=device))
    room, state = workspace(maps, body), np.zeros(dof + 1)
    for trial in range(2):
        random = numbers(new, torch.full_like(new, trial * dof), dof)
        found = scatter(where, laid, random).T.cpu().numpy()
        found[:, :3] += where.middle
        for p, c in enumerate(conformers):
            chain.scatter(maps, body, c, old[p : p + 1], state, room)
            np.testing.assert_allclose(found[p], state, atol=1e-9)


@on_devices
@few
@seeds
def test_changes_are_the_compiled_ones(problem, device, seed):
    _, maps, *bodies = problem
    for body in bodies:
        old, new = streams(seed, 50, device)
        _, states = poses(maps, body, seed, 50)
        random = numbers(new, torch.zeros_like(new), 1 + 3 * BALLS)
        radius = torch.full((50,), 3.0, device=device, dtype=torch.float64)
        found, used = mutate(torch.as_tensor(states, device=device).T, radius, random)
        later = numbers(new, used, 1)[0].cpu()
        for p, state in enumerate(states):
            stream = old[p : p + 1]
            chain.mutate(maps, body, stream, state, 3.0)
            np.testing.assert_allclose(found[:, p].cpu().numpy(), state, atol=1e-9)
            assert uniform(stream) == later[p]


@on_devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@few
@seeds
def test_a_descent_never_climbs_and_ends_at_its_own_energy(problem, device, dtype, seed):
    _, maps, body, _ = problem
    conformers, states = (torch.as_tensor(part) for part in poses(maps, body, seed))
    where, laid = put(maps, body, device, dtype)
    before, _, _ = energies(where, laid, conformers, states)
    after, ends, used = descend(where, laid, conformers, states, 8, 0.01)
    again, _, _ = energies(where, laid, conformers, ends)
    assert (after <= before).all()
    assert (used <= 1 + 8 * 8).all()
    exactly = 1e-9 if dtype == torch.float64 else 1e-3
    torch.testing.assert_close(again, after, atol=exactly, rtol=exactly)


SMALL = Budget(chains=8, trials=3, steps=4, rounds=1, iterations=5, patience=2, kept=3, refined=8)


def small(**changed):
    return dataclasses.replace(SMALL, **changed)


def rows(minima):
    """Minima as a set, bit by bit."""
    parts = (minima.energies, minima.conformers, minima.states, minima.positions)
    return {b"".join(part.tobytes() for part in one) for one in zip(*parts, strict=True)}


def assert_same(one, other):
    for name in ("energies", "conformers", "states", "positions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.evaluations == other.evaluations


@on_devices
def test_a_chain_does_not_depend_on_those_beside_it(problem, device, monkeypatch):
    _, maps, body, _ = problem
    eight = search_batched(maps, body, small(), seed=3, device=device)
    sixteen = search_batched(maps, body, small(chains=16), seed=3, device=device)
    assert rows(eight) < rows(sixteen)
    # In turns of a few chains, which look up at other ticks.
    monkeypatch.setattr(batched, "EVERY", 2)
    in_turns = search_batched(maps, body, small(), seed=3, device=device, memory=2**18)
    assert_same(eight, in_turns)


@on_devices
def test_a_search_depends_on_its_seed_alone(problem, device):
    _, maps, _, body = problem
    one, again, other = (
        search_batched(maps, body, small(steps=0), seed=s, device=device) for s in (3, 3, 4)
    )
    assert_same(one, again)
    assert not rows(one) & rows(other)


def test_a_search_leaves_torchs_own_random_numbers_alone(problem):
    _, maps, _, body = problem
    state = torch.random.get_rng_state()
    search_batched(maps, body, small(steps=0))
    assert torch.equal(torch.random.get_rng_state(), state)


@on_devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_minima_are_poses_of_their_energies_and_apart_in_a_chain(problem, device, dtype):
    _, maps, body, _ = problem
    found = search_batched(maps, body, small(chains=1), device=device, dtype=dtype)
    e, _, x = one_by_one(maps, body, found.conformers, found.states)
    exactly = 1e-6 if dtype == torch.float64 else 1e-3
    np.testing.assert_allclose(found.energies, e, rtol=exactly, atol=exactly)
    np.testing.assert_allclose(found.positions, x, atol=exactly)
    assert (np.diff(found.energies) >= 0).all()
    assert 1 <= len(e) <= 3
    for a in range(len(x)):
        for b in range(a):
            assert ((x[a] - x[b]) ** 2).sum(-1).mean() > 0.99


@on_devices
def test_a_rigid_search_finds_what_the_compiled_one_finds(problem, device):
    _, maps, _, body = problem
    budget = Budget.of(0, len(body.kinds))
    old = search(maps, body, budget, seed=1)
    new = search_batched(maps, body, budget, seed=1, device=device)
    assert abs(new.energies[0] - old.energies[0]) < 0.1
    # The same starts and the same rules: but for kinks, where rounding decides, all is the same.
    new = search_batched(maps, body, budget, seed=1, device=device, dtype=torch.float64)
    assert new.evaluations == pytest.approx(old.evaluations, rel=0.01)
    same = np.isclose(new.energies[:, None], old.energies, rtol=0, atol=1e-4).any(1)
    assert same.mean() > 0.8


@on_devices
def test_a_flexible_search_finds_as_much_as_the_compiled_one(device):
    ligand, pocket, maps = made("4alw")
    body = flexible(ligand, pocket, ligand.coords[None], np.zeros(1)).body
    budget = widened(Budget.of(len(body.parents) - 1, len(body.kinds), 0.1), 16)
    old = search(maps, body, budget)
    new = search_batched(maps, body, budget, device=device)
    # Exact sums judge both.
    old, new = (refine(maps, body, found, distinct(found, 0.5, 12)) for found in (old, new))
    assert new.energies[0] < old.energies[0] + 0.5


def test_a_search_from_maps_on_a_device_is_the_same(problem):
    _, maps, _, body = problem
    known = search_batched(maps, body, small(steps=0))
    assert_same(known, search_batched(DeviceMaps.of(maps), body, small(steps=0)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_memory_is_bounded(problem):
    _, maps, body, _ = problem
    where = DeviceMaps.of(maps, "cuda")
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    search_batched(where, body, small(chains=4000), memory=2**26)
    assert torch.cuda.max_memory_allocated() - before < 2**26


@given(
    chains=st.integers(1, 50),
    steps=st.integers(0, 500),
    rounds=st.integers(1, 4),
    kept=st.integers(1, 20),
    width=st.integers(1, 1000),
)
def test_widening_keeps_the_number_of_descents(chains, steps, rounds, kept, width):
    budget = small(chains=chains, steps=steps, rounds=rounds, kept=kept)
    wide = widened(budget, width)
    split = wide.chains // chains
    assert split == min(width, steps * rounds + 1)
    before, after = chains * (steps * rounds + 1), wide.chains * (wide.steps + 1)
    # Rounding a chain's length to whole descents moves each chain by half of one at most.
    assert abs(after - before) <= wide.chains / 2
    assert wide.rounds == 1
    assert wide.kept >= 1


def test_nonsense_is_refused(problem):
    _, maps, _, body = problem
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        widened(small(), 0)
    with pytest.raises(ValueError, match="memory must be positive, got 0"):
        search_batched(maps, body, small(), memory=0)


def test_placing_a_pose_in_the_box_keeps_its_atoms_inside(problem):
    _, maps, body, _ = problem
    where, ligand = put(maps, body, "cpu")
    random = torch.as_tensor(np.random.default_rng(0).random((len(body.scale), 200)))
    found = (
        scatter(where, ligand.laid(torch.zeros(200, dtype=torch.int64)), random).numpy().T.copy()
    )
    room = workspace(maps, body)
    for state in found:
        state[:3] += where.middle
        place(body, 0, state, room.x, room.frames, room.origins, room.axes)
        spans = np.ptp(room.x, axis=0) < maps.high - maps.low
        inside = ((room.x > maps.low - 1e-9) & (room.x < maps.high + 1e-9)).all(0)
        assert inside[spans].all()
