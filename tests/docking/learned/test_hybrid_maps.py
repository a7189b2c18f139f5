"""Maps of physics and field together: what the search reads is what the score counts."""

import numpy as np
import pytest
import torch

from docking import Box
from docking.hybrid_model import HybridModel
from docking.interpolate import sample
from docking.search.energy import map_energy
from docking.search.engine import Budget, search, settle
from docking.search.learned_map import learned_energy
from docking.search.problem import SEARCH_CAP, flexible
from tests.docking import demo
from tests.docking.learned.test_hybrid_model import small_score, trained

KEY = "1bju"


@pytest.fixture(scope="module")
def laid():
    ligand = demo.ligand(KEY)
    receptor = demo.receptor(KEY).without_ligand(ligand)
    model = HybridModel(trained(small_score()))
    pocket = model.prepare(receptor, Box.from_ligand(ligand, padding=3.0))
    problem = flexible(ligand, pocket, ligand.coords[None], np.zeros(1))
    maps, ready = model._laid(pocket, ligand, problem)
    return model, pocket, ligand, maps, ready


def near_crystal(ligand, ready, seed=0, spread=0.3):
    x = ligand.coords[ready.order]
    return x + spread * np.random.default_rng(seed).normal(size=x.shape)


def test_learned_energy_is_trilinear_in_each_atoms_map(laid):
    _, _, ligand, maps, ready = laid
    x = near_crystal(ligand, ready)
    force = np.zeros_like(x)
    total = learned_energy(maps, ready.body, x, force)
    u = torch.as_tensor((x - maps.origin) * maps.inverse)
    values = torch.as_tensor(maps.learned[ready.body.channel]).double()
    expected = sum(sample(values[n : n + 1], u[n], method="linear")[0] for n in range(len(x)))
    assert total == pytest.approx(float(expected), rel=1e-4, abs=1e-4)
    step = 1e-4
    for n in (0, len(x) // 2, len(x) - 1):
        for axis in range(3):
            ahead, behind = x.copy(), x.copy()
            ahead[n, axis] += step
            behind[n, axis] -= step
            rise = learned_energy(maps, ready.body, ahead, np.zeros_like(x))
            rise -= learned_energy(maps, ready.body, behind, np.zeros_like(x))
            assert force[n, axis] == pytest.approx(rise / (2 * step), rel=2e-2, abs=2e-2)


def test_channels_read_as_they_are_give_the_same_energies(laid):
    model, pocket, ligand, maps, ready = laid
    problem = flexible(ligand, pocket, ligand.coords[None], np.zeros(1))
    straight, same = model._laid(pocket, ligand, problem, few=True)
    assert same is problem and straight.readout.shape[0] == len(problem.order)
    for seed in range(20):
        x = near_crystal(ligand, ready, seed, 0.8)
        for energy in (learned_energy, map_energy):
            slopes, others = np.zeros_like(x), np.zeros_like(x)
            one = energy(maps, ready.body, x, slopes)
            other = energy(straight, problem.body, x, others)
            assert other == pytest.approx(one, rel=1e-4, abs=1e-3)
            np.testing.assert_allclose(others, slopes, rtol=1e-3, atol=1e-2)


def test_a_settled_minimum_is_lower_in_the_energy_it_settles_in(laid):
    model, pocket, ligand, *_ = laid
    problem = flexible(ligand, pocket, ligand.coords[None], np.zeros(1), rigid=True)
    straight, _ = model._laid(pocket, ligand, problem, few=True)
    blind = search(model._search_maps(pocket), problem.body, Budget.of(0, len(problem.order)))
    looked_at = settle(straight, problem.body, blind, len(blind.energies), iterations=0)
    settled = settle(straight, problem.body, blind, 40)
    assert len(settled.energies) == 40
    assert (np.diff(settled.energies) >= 0).all()
    assert settled.energies[0] <= looked_at.energies[0] + 1e-9
    for alone in (settled, settle(straight, problem.body, blind, 40, threads=2)):
        np.testing.assert_allclose(alone.energies, settled.energies, atol=1e-9)


def test_every_atom_reads_its_own_map(laid):
    _, _, ligand, maps, ready = laid
    assert len(maps.values) == int(ligand.heavy.sum())
    assert sorted(ready.body.channel) == list(range(len(maps.values)))


def test_maps_follow_the_exact_field(laid):
    model, pocket, ligand, maps, ready = laid
    poses = np.stack([near_crystal(ligand, ready, seed, 0.2) for seed in range(40)])
    place = np.cumsum(ligand.heavy) - 1
    heavy = np.empty_like(poses)
    heavy[:, place[ready.order]] = poses
    A = model._readout(ligand)
    with torch.no_grad():
        exact = model._field(pocket).scores(A, torch.as_tensor(heavy).float()).numpy()
    told = np.array([learned_energy(maps, ready.body, x, np.zeros_like(x)) for x in poses])
    # In the open, that is: the maps fade where physics is a wall.
    assert np.corrcoef(-told, exact)[0, 1] > 0.9


def test_the_field_fades_in_walls(laid):
    _, _, _, maps, _ = laid
    wall = maps.values - maps.learned
    assert wall.max() <= SEARCH_CAP + 1e-4
    # Taken back, the fading leaves a field that is no larger in the walls than in the open.
    share = np.clip(1 - wall / SEARCH_CAP, 1e-3, 1)
    deep, clear = wall > 0.6 * SEARCH_CAP, wall <= 0
    assert deep.any() and clear.any()
    assert np.abs(maps.learned[deep]).mean() < 0.5 * np.abs(maps.learned / share)[deep].mean()
    np.testing.assert_array_equal(share[clear], 1)


def test_search_that_reads_the_field_finds_better_poses(laid):
    model, pocket, ligand, *_ = laid
    blind = HybridModel(model.net, guided=False)
    best = {}
    for one in (model, blind):
        best[one.guided] = one.dock(pocket, ligand, num_poses=1, seed=0, effort=0.2).scores[0]
    assert best[True] > best[False]


def test_minimize_does_not_lower_the_score(laid):
    model, pocket, ligand, *_ = laid
    start = ligand.coords + 0.2
    before = float(model.score(pocket, ligand, start))
    _, after = model.minimize(pocket, ligand, start)
    assert after > before
