"""Correlation over translations and over rotations: the same integral, computed five ways.

Quadrature in real space over ``QUADRATURE`` is the slow reference. Fields are narrow enough for
the grids below to hold them without periodic images and smooth enough not to alias.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.basis import SolidGaussians
from docking.correlate import (
    ReceptorSpectrum,
    correlate_rotations,
    correlate_translations,
    translation_maps,
)
from docking.expansion import SphericalWaves, expand
from docking.grid import Grid, HalfSphere
from docking.rotation import cubic_grid, cubic_rotations, hopf_grid, uniform_rotations
from docking.rotational import EulerGrid, rotation_maps
from docking.scalar_field import ScalarField
from docking.spectrum import LANES, LaneSpectra

few = settings(deadline=None, max_examples=4)
seeds = st.integers(0, 2**31 - 1)
CENTER = (4.0, -3.0, 1.0)
GRID = Grid(24, 0.9, CENTER)
QUADRATURE = Grid(30, 0.7, CENTER)
BASIS = SolidGaussians((1.2, 1.5))
WAVES = SphericalWaves(3.4, 36, 14)


def draw_field(seed, center=(0.0, 0.0, 0.0), *, points=3, channels=2, lmax=2):
    generator = torch.Generator().manual_seed(seed)
    shape = (points, channels, BASIS.count, (lmax + 1) ** 2)
    coefficients = torch.randn(shape, generator=generator, dtype=torch.float64)
    positions = torch.randn(points, 3, generator=generator, dtype=torch.float64)
    return ScalarField(coefficients, positions + torch.tensor(center).double(), BASIS)


def draw(seed):
    return draw_field(seed, CENTER), draw_field(seed + 1, (1.0, 2.0, 3.0))


def rotations_of(seed, count):
    return uniform_rotations(count, generator=torch.Generator().manual_seed(seed))


def direct(receptor, ligand, rotation, translation):
    """Real-space quadrature of the overlap at one pose."""
    x = QUADRATURE.positions()
    moved = (x - translation) @ rotation
    return (receptor.values(x) * ligand.values(moved)).sum() * QUADRATURE.spacing**3


def size_of(receptor, ligand):
    """Largest overlap two such fields can have."""
    x = QUADRATURE.positions()
    norm = receptor.values(x).square().sum().sqrt()
    return (
        norm
        * ligand.values(x + (ligand.center - receptor.center)).square().sum().sqrt()
        * QUADRATURE.spacing**3
    )


@few
@given(seed=seeds)
def test_translations_equal_direct_quadrature(seed):
    receptor, ligand = draw(seed)
    rotations = rotations_of(seed, 2)
    found = correlate_translations(ReceptorSpectrum(receptor, GRID), ligand, rotations, window=3.0)
    for i in range(2):
        exact = direct(receptor, ligand, rotations[i], found.motions.translation[i])
        assert abs(found.scores[i] - exact) < 1e-4 * size_of(receptor, ligand)
    turned_center = found.motions(ligand.positions).mean(1)
    place = GRID.shift(found.shifts) + torch.tensor(CENTER).double()
    torch.testing.assert_close(turned_center, place)


@few
@given(seed=seeds)
def test_rotations_equal_direct_quadrature(seed):
    receptor, ligand = draw(seed)
    centers = receptor.center + torch.tensor([[0.0, 0, 0], [1.1, -0.7, 0.4]]).double()
    found = correlate_rotations(receptor, ligand, centers, waves=WAVES)
    for i in range(2):
        motion = found.motions
        exact = direct(receptor, ligand, motion.rotation[i], motion.translation[i])
        assert abs(found.scores[i] - exact) < 1e-4 * size_of(receptor, ligand)
    torch.testing.assert_close(found.motions(ligand.positions).mean(1), centers)


@few
@given(seed=seeds)
def test_translations_equal_rotations(seed):
    receptor, ligand = draw(seed)
    grid = EulerGrid.resolving(WAVES.lmax)
    shifts = torch.tensor([[0, 0, 0], [1, -2, 1]])
    centers = GRID.shift(shifts) + torch.tensor(CENTER).double()
    by_rotation = rotation_maps(receptor, ligand, centers, waves=WAVES, grid=grid).flatten(1)
    some = torch.randint(by_rotation.shape[1], (5,), generator=torch.Generator().manual_seed(seed))
    maps = translation_maps(ReceptorSpectrum(receptor, GRID), ligand, grid.rotation(some))
    x, y, z = shifts.remainder(GRID.points).T
    by_translation = maps[:, x, y, z].T
    error = (by_rotation[:, some] - by_translation).abs().max()
    assert error < 1e-4 * size_of(receptor, ligand)


@few
@given(seed=seeds, window=st.sampled_from([None, 0.0, 3.0]))
def test_search_finds_the_maximum_of_the_maps_whatever_the_transform(seed, window):
    receptor, ligand = draw(seed)
    spectrum = ReceptorSpectrum(receptor, GRID, 3.0)
    # Orbits of 24, of 8, of one, and a rotation given twice.
    rotations = torch.cat([cubic_grid(24), hopf_grid(0)[:12], rotations_of(seed, 1)])
    rotations = torch.cat([rotations, rotations[-1:]])
    maps = translation_maps(spectrum, ligand, rotations)
    steps = torch.arange(GRID.points)
    if window is not None:
        half = int(window / GRID.spacing)
        steps = torch.arange(-half, half + 1).remainder(GRID.points)
    best = maps[:, steps][:, :, steps][..., steps].flatten(1).amax(1)
    for transform in ("compiled", "matrix"):
        found = correlate_translations(
            spectrum, ligand, rotations, window=window, transform=transform
        )
        torch.testing.assert_close(found.scores, best)
        x, y, z = found.shifts.remainder(GRID.points).T
        torch.testing.assert_close(maps[torch.arange(len(maps)), x, y, z], best)
        assert found.shifts.abs().max() <= (GRID.points // 2 if window is None else half)
        torch.testing.assert_close(found.scores[found.best], best.max())


@few
@given(
    seed=seeds,
    points=st.integers(8, 13),
    channels=st.integers(1, 3),
    lmax=st.integers(0, 3),
    count=st.sampled_from([1, 6, 18]),
    half=st.sampled_from([None, 2]),
)
def test_compiled_search_is_exact_for_any_size(seed, points, channels, lmax, count, half):
    grid = Grid(points, 1.1, CENTER)
    receptor = draw_field(seed, CENTER, channels=channels)
    ligand = draw_field(seed + 1, points=4, channels=channels, lmax=lmax)
    spectrum, rotations = ReceptorSpectrum(receptor, grid), rotations_of(seed, count)
    maps = translation_maps(spectrum, ligand, rotations)
    window = None if half is None else half * grid.spacing
    found = correlate_translations(spectrum, ligand, rotations, window=window)
    steps = torch.arange(points) if half is None else torch.arange(-half, half + 1)
    best = maps[:, steps][:, :, steps][..., steps].flatten(1).amax(1)
    torch.testing.assert_close(found.scores, best)
    x, y, z = found.shifts.remainder(points).T
    torch.testing.assert_close(maps[torch.arange(count), x, y, z], best)


@few
@given(seed=seeds, lmax=st.integers(0, 3), count=st.integers(1, LANES))
def test_compiled_spectra_are_the_spectra(seed, lmax, count):
    field, rotations = draw_field(seed, lmax=lmax, channels=3), rotations_of(seed, count)
    sphere = HalfSphere(Grid(9, 1.1), 2.3)
    spectra = LaneSpectra(field.coefficients, field.positions, field.basis, sphere)
    found = torch.from_numpy(spectra(rotations)).view(sphere.count, -1, 2, LANES)
    found = found[sphere.rank, :3, :, :count].transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(found, field.spectra(sphere, rotations)[sphere.slot_of])


def test_threads_change_nothing():
    receptor, ligand = draw(12)
    spectrum, rotations = ReceptorSpectrum(receptor, GRID), rotations_of(12, 40)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = correlate_translations(spectrum, ligand, rotations)
        torch.set_num_threads(3)
        three = correlate_translations(spectrum, ligand, rotations)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one.shifts, three.shifts)
    torch.testing.assert_close(one.scores, three.scores)


@few
@given(seed=seeds)
def test_steered_ligands_score_as_rotated_searches(seed):
    receptor, ligand = draw(seed)
    spectrum = ReceptorSpectrum(receptor, GRID)
    first, second = rotations_of(seed, 2)
    steered = translation_maps(spectrum, ligand.rotated(first), second[None])
    searched = translation_maps(spectrum, ligand, (second @ first)[None])
    torch.testing.assert_close(steered, searched)


@few
@given(seed=seeds, step=st.tuples(*[st.integers(-5, 5)] * 3))
def test_moving_the_receptor_by_grid_steps_moves_the_map(seed, step):
    receptor, ligand = draw(seed)
    rotation = rotations_of(seed, 1)
    moved = receptor.translated(torch.tensor(step).double() * GRID.spacing)
    here = translation_maps(ReceptorSpectrum(receptor, GRID, 2.5), ligand, rotation)
    there = translation_maps(ReceptorSpectrum(moved, GRID, 2.5), ligand, rotation)
    torch.testing.assert_close(there, here.roll(step, (1, 2, 3)), atol=1e-9, rtol=1e-9)


@few
@given(seed=seeds, a=st.floats(-2, 2), b=st.floats(-2, 2))
def test_scores_are_linear_in_each_field(seed, a, b):
    receptor, ligand = draw(seed)
    other = replace(receptor, coefficients=draw_field(seed + 2).coefficients)
    partner = replace(ligand, coefficients=draw_field(seed + 3).coefficients)
    rotation = rotations_of(seed, 1)
    grid, waves = Grid(12, 1.2, CENTER), SphericalWaves(2.4, 12, 5)

    def both(p, q):
        maps = translation_maps(ReceptorSpectrum(p, grid), q, rotation)
        turns = rotation_maps(p, q, receptor.center[None], waves=waves)
        return torch.cat([maps.flatten(), turns.flatten()])

    def mix(p, q):
        return replace(p, coefficients=a * p.coefficients + b * q.coefficients)

    base = both(receptor, ligand)
    torch.testing.assert_close(
        both(mix(receptor, other), ligand), a * base + b * both(other, ligand)
    )
    torch.testing.assert_close(
        both(receptor, mix(ligand, partner)), a * base + b * both(receptor, partner)
    )


@few
@given(seed=seeds)
def test_turning_receptor_and_ligand_together_changes_nothing(seed):
    receptor, ligand = draw(seed)
    centers = receptor.center[None]
    turn, rotation = rotations_of(seed, 2)
    about = torch.tensor(CENTER).double()
    # The cube's rotations map the grid to itself, so the whole map turns with the pair.
    cube = cubic_rotations()[9]
    here = correlate_translations(ReceptorSpectrum(receptor, GRID), ligand, rotation[None])
    spectrum = ReceptorSpectrum(receptor.rotated(cube, about=about), GRID)
    there = correlate_translations(spectrum, ligand, (cube @ rotation)[None])
    torch.testing.assert_close(there.scores, here.scores)
    # Any rotation of the receptor leaves the overlap of expansions with the turned ligand.
    b = expand(receptor, centers, WAVES)
    c = expand(ligand.rotated(rotation), ligand.rotated(rotation).center[None], WAVES)
    b2 = expand(receptor.rotated(turn, about=centers[0]), centers, WAVES)
    both = ligand.rotated(turn @ rotation)
    c2 = expand(both, both.center[None], WAVES)
    torch.testing.assert_close((b2 * c2).sum(), (b * c).sum())


def test_chirality_is_seen():
    """A field of even harmonics at four corners scores differently against its mirror image."""
    ligand = draw_field(5, points=4, lmax=1)
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    flipped = replace(ligand, positions=ligand.positions @ mirror)
    receptor = ligand.translated(torch.tensor(CENTER).double() - ligand.center)
    centers = receptor.center[None]
    own = correlate_rotations(receptor, ligand, centers, waves=WAVES)
    other = correlate_rotations(receptor, flipped, centers, waves=WAVES)
    assert own.scores[0] > 1.05 * other.scores[0]
    spectrum, rotations = ReceptorSpectrum(receptor, GRID), cubic_grid(600)
    own = correlate_translations(spectrum, ligand, rotations)
    other = correlate_translations(spectrum, flipped, rotations)
    assert own.scores.max() > 1.05 * other.scores.max()


def test_self_overlap_is_found_at_the_identity():
    ligand = draw_field(1, points=4)
    receptor = ligand.translated(torch.tensor(CENTER).double() - ligand.center)
    found = correlate_translations(ReceptorSpectrum(receptor, GRID), ligand, cubic_grid(600))
    torch.testing.assert_close(
        found.motions.rotation[found.best], torch.eye(3, dtype=torch.float64)
    )
    assert found.shifts[found.best].tolist() == [0, 0, 0]


def test_an_expansion_is_as_good_as_its_field():
    receptor, ligand = draw(7)
    centers = receptor.center + torch.randn(11, 3, dtype=torch.float64)
    ready = expand(receptor, centers, WAVES)
    by_field = correlate_rotations(receptor, ligand, centers, waves=WAVES)
    by_expansion = correlate_rotations(ready, ligand, centers, waves=WAVES)
    torch.testing.assert_close(by_expansion.scores, by_field.scores, atol=1e-5, rtol=1e-5)


def test_emitters_out_of_reach_do_not_matter():
    receptor, ligand = draw(8)
    far = replace(receptor, positions=receptor.positions + 60.0)
    both = ScalarField(
        torch.cat([receptor.coefficients, far.coefficients]),
        torch.cat([receptor.positions, far.positions]),
        BASIS,
    )
    centers = receptor.center[None]
    alone = correlate_rotations(receptor, ligand, centers, waves=WAVES)
    crowded = correlate_rotations(both, ligand, centers, waves=WAVES)
    torch.testing.assert_close(crowded.scores, alone.scores)


def test_both_maps_are_differentiable():
    receptor, ligand = draw(9)
    grid, waves = Grid(6, 2.0, CENTER), SphericalWaves(1.5, 4, 2)
    rotation = rotations_of(9, 1)

    def maps(p, q, positions, rotations):
        one = replace(receptor, coefficients=p)
        two = replace(ligand, coefficients=q, positions=positions)
        shifted = translation_maps(ReceptorSpectrum(one, grid), two, rotations)
        turned = rotation_maps(
            one, replace(ligand, coefficients=q), receptor.center[None], waves=waves
        )
        return shifted.flatten()[:20], turned.flatten()[:20]

    inputs = (receptor.coefficients, ligand.coefficients, ligand.positions, rotation)
    inputs = tuple(t.clone().requires_grad_() for t in inputs)
    assert torch.autograd.gradcheck(maps, inputs, fast_mode=True)


def test_single_precision_agrees():
    receptor, ligand = draw(10)
    rotations = cubic_grid(24)

    def single(field):
        return replace(
            field, coefficients=field.coefficients.float(), positions=field.positions.float()
        )

    exact = correlate_translations(ReceptorSpectrum(receptor, GRID), ligand, rotations)
    fast = correlate_translations(
        ReceptorSpectrum(single(receptor), GRID), single(ligand), rotations.float()
    )
    assert fast.scores.dtype == torch.float32
    error = (fast.scores - exact.scores).abs().max()
    assert error < 1e-5 * size_of(receptor, ligand)


def test_refuses_nonsense():
    receptor, ligand = draw(11)
    spectrum = ReceptorSpectrum(receptor, GRID)
    rotation = rotations_of(0, 1)
    with pytest.raises(ValueError, match="channels must agree"):
        correlate_translations(spectrum, draw_field(0, channels=1), rotation)
    with pytest.raises(ValueError, match="window must lie"):
        correlate_translations(spectrum, ligand, rotation, window=50.0)
    elsewhere = replace(
        ligand, coefficients=ligand.coefficients.to("meta"), positions=ligand.positions.to("meta")
    )
    with pytest.raises(ValueError, match="compiled transform needs fields on the CPU, got meta"):
        correlate_translations(spectrum, elsewhere, rotation, transform="compiled")
    with pytest.raises(ValueError, match="waves must be given"):
        correlate_rotations(expand(receptor, receptor.center[None], WAVES), ligand, CENTERS)
    with pytest.raises(ValueError, match="turns must exceed"):
        rotation_maps(receptor, ligand, CENTERS, waves=WAVES, grid=EulerGrid(8))
    with pytest.raises(ValueError, match="k_max must be positive"):
        SphericalWaves(0.0)
    with pytest.raises(ValueError, match="turns must be even"):
        EulerGrid(7)


CENTERS = torch.tensor([CENTER], dtype=torch.float64)
