"""The compiled search agrees with the plain definitions, and what it returns obeys them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from docking.box import Box
from docking.physics import intermolecular, intramolecular
from docking.pocket_map import PocketField
from docking.rotation import hopf_grid
from docking.search.chain import run_chains
from docking.search.descent import descend
from docking.search.energy import CAP, energy, move, neighbours, place
from docking.search.engine import Budget, Chains, Minima, distinct, refine, search
from docking.search.exhaustive import grid_minima, scan
from docking.search.pose import at_rest, whole
from docking.search.problem import flexible, search_maps
from docking.search.random import random_quaternion, uniform
from docking.search.room import workspace
from docking.torsion import apply_torsions
from tests.docking import demo

KEYS = ("1stp", "3og7")


class Problem(tuple):
    """What a test needs, shown short when an example fails."""

    def __repr__(self):
        return f"Problem({self[0].name})"


@pytest.fixture(scope="module", params=KEYS)
def problem(request):
    """A pocket with its maps, and a ligand laid out in its crystal conformer."""
    ligand = demo.ligand(request.param)
    receptor = demo.receptor(request.param).without_ligand(ligand)
    pocket = PocketField.build(receptor, Box.from_ligand(ligand), spacing=0.375, method="linear")
    maps = search_maps(pocket)
    laid = flexible(ligand, pocket, ligand.coords[None], np.zeros(1))
    return Problem((ligand, pocket, maps, laid))


def pose(laid, seed, spread):
    """A pose scattered about the crystal one."""
    generator = np.random.default_rng(seed)
    state = np.empty(len(laid.body.scale) + 1)
    step = spread * generator.normal(size=len(laid.body.scale)) * laid.body.scale
    move(at_rest(laid)[0], step, state)
    return state


def listed(maps, laid, room, state):
    """Fill the neighbour lists for the exact energy about a pose."""
    place(laid.body, 0, state, room.x, room.frames, room.origins, room.axes)
    assert neighbours(maps, room.x, 1.5, room.starts, room.lists)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_placed_pose_is_torsions_then_a_rigid_motion(problem, seed):
    ligand, _, maps, laid = problem
    state = pose(laid, seed, 1.0)
    state[7:] = np.random.default_rng(seed).uniform(-np.pi, np.pi, len(state) - 7)
    bent = apply_torsions(ligand.coords, ligand.torsions, state[7:])
    R = Rotation.from_quat(state[3:7], scalar_first=True).as_matrix()
    slow = (bent - laid.origins[0, 0]) @ R.T + state[:3]
    fast = whole(laid, maps, np.zeros(1, dtype=np.int64), state[None])[0]
    np.testing.assert_allclose(fast, slow, atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0.0, 1.0))
def test_exact_energy_is_vinas(problem, seed, spread):
    ligand, pocket, maps, laid = problem
    state, room = pose(laid, seed, spread), workspace(maps, laid.body)
    listed(maps, laid, room, state)
    found = energy(maps, laid.body, 0, state, room, True, np.zeros(len(laid.body.scale)))
    x = torch.as_tensor(whole(laid, maps, np.zeros(1, dtype=np.int64), state[None]))
    types = torch.as_tensor(ligand.vina_type)
    pairs = torch.as_tensor(ligand.tree.movable_pairs(ligand.bonds, ligand.heavy))
    receptor = torch.as_tensor(pocket.receptor_positions), torch.as_tensor(pocket.receptor_types)
    inter = intermolecular(x, types, *receptor, limit=CAP)
    own = intramolecular(x, types, pairs)
    outside = np.maximum(x[0].numpy() - pocket.high, pocket.low - x[0].numpy()).max()
    if outside <= 0:
        # Straight lines between nodes 1/32 square angstrom apart; Vina's own steps err as much.
        assert found == pytest.approx(float(inter + own), abs=2e-2, rel=5e-3)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_map_energy_is_the_pockets_interpolation(problem, seed):
    ligand, pocket, maps, _ = problem
    capped = PocketField.from_values(
        torch.as_tensor(maps.values),
        pocket.lattice,
        method="linear",
        channels=pocket.channels,
        box=(pocket.low, pocket.high),
    )
    rigid = flexible(ligand, pocket, ligand.coords[None], np.zeros(1), rigid=True)
    state, room = pose(rigid, seed, 0.5), workspace(maps, rigid.body)
    found = energy(maps, rigid.body, 0, state, room, False, np.zeros(6))
    x = torch.as_tensor(whole(rigid, maps, np.zeros(1, dtype=np.int64), state[None]))
    slow = capped.energy(x, torch.as_tensor(ligand.vina_type), slope=20.0)
    assert found == pytest.approx(float(slow), abs=1e-3, rel=1e-4)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), exact=st.booleans())
def test_the_gradient_is_the_slope_of_the_energy(problem, seed, exact):
    ligand, pocket, maps, laid = problem
    if not exact:
        # A ligand's own overlap is in single precision, too coarse for a difference this small.
        laid = flexible(ligand, pocket, ligand.coords[None], np.zeros(1), rigid=True)
    state, room = pose(laid, seed, 0.3), workspace(maps, laid.body)
    listed(maps, laid, room, state)
    dof = len(laid.body.scale)
    slope, other, there = np.zeros(dof), np.zeros(dof), np.zeros(dof + 1)
    energy(maps, laid.body, 0, state, room, exact, slope)
    slope = slope.copy()
    h, kinks = 1e-6, 0
    for k in range(dof):
        ends, sides = [], []
        for sign in (-1, 1):
            step = np.zeros(dof)
            step[k] = sign * h * laid.body.scale[k]
            move(state, step, there)
            ends.append(energy(maps, laid.body, 0, there, room, exact, other))
            sides.append(other[k])
        # Energies are straight between nodes: a kink inside the step has no slope to compare.
        if abs(sides[1] - sides[0]) > 1e-3 * (1 + abs(sides[0])):
            kinks += 1
            continue
        numeric = (ends[1] - ends[0]) / (2 * h * laid.body.scale[k])
        assert slope[k] == pytest.approx(numeric, rel=2e-3, abs=2e-3)
    assert kinks < dof


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), exact=st.booleans())
def test_a_descent_never_climbs_and_ends_at_its_own_energy(problem, seed, exact):
    _, _, maps, laid = problem
    state, room = pose(laid, seed, 1.0), workspace(maps, laid.body)
    slope = np.zeros(len(laid.body.scale))
    listed(maps, laid, room, state)
    before = energy(maps, laid.body, 0, state, room, exact, slope)
    after, _ = descend(maps, laid.body, 0, state, room, exact, 30, 1e-3, math.inf)
    again = energy(maps, laid.body, 0, state, room, exact, slope)
    assert after <= before
    assert after == pytest.approx(again, abs=1e-9)
    assert np.linalg.norm(state[3:7]) == pytest.approx(1.0)


def small(**changed):
    return Budget(**{"chains": 6, "trials": 4, "steps": 5, "iterations": 15} | SMALL | changed)


SMALL = {"rounds": 2, "patience": 100, "kept": 4, "refined": 8}


def test_the_search_does_not_depend_on_threads(problem):
    _, _, maps, laid = problem
    one, three = (search(maps, laid.body, small(), seed=3, threads=t) for t in (1, 3))
    np.testing.assert_array_equal(one.energies, three.energies)
    np.testing.assert_array_equal(one.states, three.states)
    other = search(maps, laid.body, small(), seed=4)
    assert not np.array_equal(one.energies[:3], other.energies[:3])


def test_more_chains_never_find_less(problem):
    _, _, maps, laid = problem
    few, more = (search(maps, laid.body, small(chains=c, rounds=1), seed=1) for c in (3, 9))
    assert more.energies[0] <= few.energies[0]
    assert (np.diff(more.energies) >= 0).all()


def test_later_rounds_only_add_to_what_was_found(problem):
    _, _, maps, laid = problem
    one, two = (search(maps, laid.body, small(rounds=r), seed=2) for r in (1, 2))
    assert two.energies[0] <= one.energies[0]
    assert two.evaluations > one.evaluations


def test_the_better_half_is_the_lowest_and_twins_go_first(problem):
    laid = problem[3]
    chains = Chains.empty(laid.body, small(chains=5, kept=1))
    chains.energies[:, 0] = [-3.0, -7.0, -6.9, -5.0, -1.0]
    chains.positions[:, 0] += 10.0 * np.arange(5)[:, None, None]
    np.testing.assert_array_equal(chains.better_half(np.arange(5)), [1, 2])
    chains.positions[2] = chains.positions[1] + 0.1
    np.testing.assert_array_equal(chains.better_half(np.arange(5)), [1, 3])


def test_a_ceiling_ends_hopeless_descents_and_no_others(problem):
    _, _, maps, laid = problem
    room = workspace(maps, laid.body)
    hopeless = 0
    for seed in range(20):
        free, bound = pose(laid, seed, 0.5), pose(laid, seed, 0.5)
        low, used = descend(maps, laid.body, 0, free, room, False, 20, 0.05, math.inf)
        end, fewer = descend(maps, laid.body, 0, bound, room, False, 20, 0.05, low - 50.0)
        assert end >= low - 1e-9 and fewer <= used
        hopeless += fewer < used
        same, _ = descend(
            maps, laid.body, 0, pose(laid, seed, 0.5), room, False, 20, 0.05, low + 50
        )
        assert same == low
    assert hopeless > 10


def test_distinct_minima_are_apart_and_nothing_else_is_dropped(problem):
    _, _, maps, laid = problem
    found = search(maps, laid.body, small(), seed=0)
    kept = distinct(found, 1.5, 100)

    def apart(a, b):
        return np.sqrt(((found.positions[a] - found.positions[b]) ** 2).sum(-1).mean())

    for index in range(len(found.energies)):
        nearest = min(apart(index, better) for better in kept if better <= index)
        assert (nearest == 0) if index in kept else (nearest < 1.5)


def test_refinement_lowers_the_exact_energy(problem):
    _, _, maps, laid = problem
    found = search(maps, laid.body, small(), seed=0)
    refined = refine(maps, laid.body, found, distinct(found, 1.0, 5))
    room, slope = workspace(maps, laid.body), np.zeros(len(laid.body.scale))
    start = []
    for state in found.states[distinct(found, 1.0, 5)]:
        listed(maps, laid, room, state)
        start.append(energy(maps, laid.body, 0, state, room, True, slope))
    assert refined.energies[0] <= min(start)
    assert (np.diff(refined.energies) >= 0).all()


@pytest.fixture(scope="module")
def grid(problem):
    ligand, pocket, maps, _ = problem
    laid = flexible(ligand, pocket, ligand.coords[None], np.zeros(1), rigid=True)
    rotations = hopf_grid(0).numpy().astype(np.float64)[:24]
    return maps, laid, rotations, scan(maps, laid.body, rotations)


def test_a_scan_is_the_best_of_all_translations(grid):
    maps, laid, rotations, scores = grid
    room, slope = workspace(maps, laid.body), np.zeros(6)
    for row in np.flatnonzero(np.isfinite(scores.energies))[:3]:
        turned = laid.body.local[0] @ rotations[row].T
        low = np.ceil((maps.origin - turned.min(0) - maps.origin) * maps.inverse)
        last = maps.origin + (np.array(maps.values.shape[1:]) - 1) / maps.inverse
        high = np.floor((last - turned.max(0) - maps.origin) * maps.inverse - 1e-9)
        best, count = np.inf, 0
        q = Rotation.from_matrix(rotations[row]).as_quat(scalar_first=True)
        # The whole lattice is free here: the box's own faces would add their penalty.
        wide = maps._replace(low=maps.origin - 1, high=last + 1)
        for index in np.ndindex(*(high - low + 1).astype(int)):
            state = np.concatenate([maps.origin + (low + index) / maps.inverse, q])
            best = min(best, energy(wide, laid.body, 0, state, room, False, slope))
            count += 1
        assert scores.energies[row] == pytest.approx(best, abs=2e-3)
        assert count >= 8


def test_a_descent_from_the_grids_best_ends_below_every_pose_of_the_grid(grid):
    maps, laid, rotations, scores = grid
    starts = grid_minima(scores, rotations, laid, laid, 0, 5)
    room = workspace(maps, laid.body)
    ends = [
        descend(maps, laid.body, 0, state.copy(), room, False, 40, 1e-3, math.inf)[0]
        for state in starts.states
    ]
    assert min(ends) <= scores.energies.min() + 1e-3
    assert scores.poses > len(rotations)


def test_a_scan_does_not_depend_on_threads(grid):
    maps, laid, rotations, scores = grid
    again = scan(maps, laid.body, rotations, threads=3)
    np.testing.assert_array_equal(again.energies, scores.energies)
    np.testing.assert_array_equal(again.shifts, scores.shifts)


def test_a_scan_refuses_free_torsions(problem):
    _, _, maps, laid = problem
    with pytest.raises(ValueError, match="must be rigid"):
        scan(maps, laid.body, np.eye(3)[None])


@pytest.mark.parametrize("name", ["chains", "trials", "iterations", "patience", "kept", "refined"])
def test_a_budget_refuses_nothing(name):
    with pytest.raises(ValueError, match=f"{name} must be positive"):
        small(**{name: 0})


def test_random_rotations_and_numbers_are_uniform():
    stream = np.array([7], dtype=np.uint64)
    numbers = np.array([uniform(stream) for _ in range(20_000)])
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert abs(numbers.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.03
    q = np.zeros((4000, 4))
    for row in q:
        random_quaternion(stream, row)
    np.testing.assert_allclose((q**2).sum(1), 1.0, atol=1e-12)
    # Of a uniform rotation the mean is zero and every axis is turned to all directions alike.
    R = Rotation.from_quat(q, scalar_first=True).as_matrix()
    assert np.abs(R.mean(0)).max() < 0.04
    np.testing.assert_allclose((R**2).mean(0), 1 / 3, atol=0.02)


def test_minima_start_where_the_ligand_lies(problem):
    ligand, _, maps, laid = problem
    back = whole(laid, maps, np.zeros(1, dtype=np.int64), at_rest(laid))[0]
    np.testing.assert_allclose(back, ligand.coords, atol=1e-12)
    assert isinstance(search(maps, laid.body, small(chains=1), seed=0), Minima)


def test_one_compilation_serves_every_ligand(problem):
    ligand, pocket, maps, _ = problem
    many = np.repeat(ligand.coords[None], 3, axis=0)
    search(maps, flexible(ligand, pocket, many, np.zeros(3)).body, small(chains=3))
    known = len(run_chains.signatures)
    for coords, rigid in ((many, True), (ligand.coords[None], False), (many[:2], False)):
        laid = flexible(ligand, pocket, coords, np.zeros(len(coords)), rigid=rigid)
        search(maps, laid.body, small(chains=2))
    assert len(run_chains.signatures) == known
