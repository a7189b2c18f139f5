"""Soft likelihoods: their scores are exact overlaps, and what is near or alike counts as true."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdDepictor

from docking.basis import SolidGaussians
from docking.correlate import ReceptorSpectrum, translation_maps
from docking.grid import Grid
from docking.learned.band_spectrum import FAINT, Band
from docking.learned.losses import rotation_of
from docking.learned.soft_losses import Copies, ShiftLikelihood, TurnLikelihood, divergence
from docking.ligand import Ligand
from docking.rotation import uniform_rotations
from docking.rotational import EulerGrid
from docking.scalar_field import ScalarField
from docking.symmetry import Symmetry
from tests.docking import demo

few = settings(deadline=None, max_examples=4)
seeds = st.integers(0, 2**31 - 1)
BAND = Band(20, 1.0, 2.5)
SHIFTS = ShiftLikelihood(half=3)
TURNS = TurnLikelihood()
ONE = torch.eye(3, dtype=torch.float64)


def draw(seed, points=6, channels=2, widths=(1.3, 2.0), spread=1.5):
    """A field near (20, 20, 20)."""
    generator = torch.Generator().manual_seed(seed)
    basis = SolidGaussians(widths)
    coefficients = torch.randn(points, channels, len(widths), 16, generator=generator).double()
    positions = torch.randn(points, 3, generator=generator).double() * spread + 20.0
    return ScalarField(coefficients, positions, basis)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def ligand(smiles: str) -> Ligand:
    """A planar molecule as RDKit draws it."""
    mol = Chem.MolFromSmiles(smiles)
    rdDepictor.Compute2DCoords(mol)
    return Ligand(mol, mol.GetConformer().GetPositions())


def atoms(count: int) -> Copies:
    """No symmetry at all."""
    found = Copies(ligand("C" * count))
    found.parts, found.fixed = [], torch.arange(count)
    return found


# scores


@few
@given(seed=seeds)
def test_shift_scores_are_the_translation_maps(seed):
    receptor, moving = draw(seed, 9), draw(seed + 1)
    turns = uniform_rotations(2, generator=generator(seed))
    p = BAND.spectrum(receptor, moving.center)
    found = BAND.shift_scores(p, BAND.spectrum(moving, moving.center, turns), 3)
    about = ReceptorSpectrum(receptor.translated(-moving.center), BAND.grid, BAND.k_max)
    whole = translation_maps(about, moving, turns).roll((3, 3, 3), (1, 2, 3))
    expected = whole[:, :7, :7, :7]
    torch.testing.assert_close(found, expected, rtol=0, atol=float(5 * FAINT * expected.std()))
    assert torch.equal(BAND.shifts(3)[3, 3, 4], torch.tensor([0.0, 0.0, 1.0]).double())


def test_scores_on_the_lattice_are_sums_over_its_points():
    """The fields are so smooth that sampling them once an angstrom loses nothing."""
    receptor, moving = draw(0, widths=(1.1, 2.0)), draw(1, widths=(1.1,))
    receptor, moving = (f.translated(-moving.center) for f in (receptor, moving))
    band = Band(26, 1.0, math.pi)
    origin = torch.zeros(3).double()
    scores = band.shift_scores(
        band.spectrum(receptor, origin), band.spectrum(moving, origin)[None], 2
    )[0]
    grid = Grid(26, 1.0)
    still = receptor.on_grid(grid)
    for index in ((2, 2, 2), (0, 3, 1)):
        shift = band.shifts(2)[index]
        summed = (still * moving.translated(shift).on_grid(grid)).sum()
        torch.testing.assert_close(scores[index], summed, rtol=0, atol=float(0.01 * scores.std()))


@few
@given(seed=seeds)
def test_rotation_scores_are_those_of_the_turned_ligand(seed):
    receptor, moving = draw(seed, 9), draw(seed + 1)
    grid = EulerGrid(28)
    p = BAND.spectrum(receptor, moving.center)
    index = torch.randint(math.prod(grid.shape), (3,), generator=generator(seed))
    turned = BAND.spectrum(moving, moving.center, grid.rotation(index))
    expected = BAND.shift_scores(p, turned, 0)[:, 0, 0, 0]
    scores = BAND.rotation_scores(p, moving, 13, grid).flatten()
    torch.testing.assert_close(scores[index], expected, rtol=0, atol=float(0.01 * scores.std()))


@few
@given(seed=seeds)
def test_a_moved_spectrum_is_that_about_another_point(seed):
    field, shift = draw(seed), torch.randn(3, generator=generator(seed)).double()
    here = BAND.spectrum(field, field.center)
    there = BAND.spectrum(field, field.center + shift)
    torch.testing.assert_close(BAND.moved(here, shift), there)


def test_spectra_are_differentiable_in_the_coefficients():
    field, small = draw(0, 3, 1, (1.3,)), Band(6, 2.0, 1.5)

    def scores(a):
        moved = replace(field, coefficients=a)
        p = small.spectrum(moved, moved.center)
        turns = small.rotation_scores(p, moved, 2, EulerGrid(6))
        return small.shift_scores(p, p[None], 1), turns

    inputs = field.coefficients.clone().requires_grad_()
    assert torch.autograd.gradcheck(scores, [inputs], fast_mode=True)


# targets


@given(seed=seeds)
@settings(deadline=None, max_examples=20)
def test_divergence_is_zero_only_at_the_target(seed):
    square = torch.rand(50, generator=generator(seed)).double() * 9
    weight = torch.rand(50, generator=generator(seed + 1)).double()
    scores = torch.randn(50, generator=generator(seed + 2)).double()
    assert divergence(scores, square, 0.8, weight) > 0
    perfect = 7.0 - square / (2 * 0.8**2)
    assert abs(float(divergence(perfect, square, 0.8, weight))) < 1e-12
    # more room for the truth: less is asked of the scores
    assert divergence(0 * scores, square, 1.6) < divergence(0 * scores, square, 0.8)


@pytest.mark.parametrize("key", demo.IDS)
def test_the_distance_of_a_turned_ligand_is_its_symmetric_rmsd(key):
    one = demo.ligand(key)
    x = one.coords[one.heavy]
    x = torch.from_numpy(x - x.mean(0))
    copies, symmetry = Copies(one), Symmetry.of(one.mol)
    turns = torch.cat([ONE[None], uniform_rotations(5, generator=generator(0))])
    whole = torch.zeros(len(turns), len(one), 3).double()
    whole[:, one.heavy] = x @ turns.mT
    expected = symmetry.rmsd(whole.numpy(), whole[:1].numpy())[:, 0]
    found = copies.mean_square(turns, x, x).sqrt()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_turning_a_ring_onto_itself_is_no_error():
    ring = ligand("c1ccccc1")
    x = torch.from_numpy(ring.coords - ring.coords.mean(0))
    sixth = rotation_of(torch.tensor([0.0, 0.0, math.pi / 3])).double()
    flip = rotation_of(torch.tensor([0.0, math.pi, 0.0])).double()
    tilt = rotation_of(torch.tensor([math.pi / 2, 0.0, 0.0])).double()
    found = Copies(ring).mean_square(torch.stack([sixth, flip, tilt]), x, x)
    assert found[0] < 1e-6 and found[2] > 0.5
    alone = Copies(ligand("Cc1ccccc1F"))
    assert alone.parts == []


def test_symmetric_copies_share_the_target():
    """Of two equal minima of a symmetric ligand neither is preferred: no loss is possible."""
    ring = ligand("c1ccccc1")
    x = torch.from_numpy(ring.coords - ring.coords.mean(0))
    cells, width = EulerGrid(60), 0.25  # narrow: copies do not overlap
    rotations = cells.rotation(torch.arange(math.prod(cells.shape)))
    weight = cells.log_weight().expand(cells.shape).flatten()
    square = Copies(ring).mean_square(rotations, x, x)
    alone = atoms(6).mean_square(rotations, x, x)
    honest = -square / (2 * width**2)
    assert divergence(honest, square, width, weight) < 1e-9
    # a target blind to the symmetry calls eleven twelfths of that wrong
    blind = divergence(honest, alone, width, weight)
    assert math.isclose(blind, math.log(12), abs_tol=0.1)


# likelihoods


@few
@given(seed=seeds)
def test_a_perfect_fit_is_found_where_it_is(seed):
    moving, copies = draw(seed), atoms(6)
    p = BAND.spectrum(moving, moving.center)
    for likelihood, most in (
        (replace(SHIFTS, noise=0.0), math.sqrt(3) / 2),
        (replace(TURNS, noise=0.0), 1.0),
    ):
        found = likelihood(BAND, p, moving, copies, generator=generator(seed))
        assert found.rmsd <= most


@few
@given(seed=seeds)
def test_what_is_drawn_comes_from_the_generator(seed):
    receptor, moving, copies = draw(seed, 9), draw(seed + 1), atoms(6)
    p = BAND.spectrum(receptor, moving.center)
    state = torch.get_rng_state()
    for likelihood in (SHIFTS, TURNS):
        first, again, other = (
            likelihood(BAND, p, moving, copies, generator=generator(s)).loss
            for s in (seed, seed, seed + 1)
        )
        assert first == again != other
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(seed)
    one = SHIFTS(BAND, p, moving, copies).loss
    assert SHIFTS(BAND, p, moving, copies).loss != one


def test_empty_fields_leave_all_cells_alike():
    moving, copies = draw(0), atoms(6)
    nothing = torch.zeros_like(BAND.spectrum(moving, moving.center))
    shifts = replace(SHIFTS, noise=0.0, turns=0)
    found = shifts(BAND, nothing, moving, copies, generator=generator(0))
    # a Gaussian of standard deviation w covers (2 pi e)**1.5 w**3 of the lattice's 7**3 cells
    covered = 1.5 * math.log(2 * math.pi * math.e) + 3 * math.log(shifts.width)
    assert math.isclose(found.loss, math.log(7**3) - covered, abs_tol=0.05)


@few
@given(seed=seeds)
def test_moving_everything_changes_nothing(seed):
    receptor, moving, copies = draw(seed, 9), draw(seed + 1), atoms(6)
    away = torch.randn(3, generator=generator(seed)).double() * 20
    for likelihood in (SHIFTS, TURNS):
        here, there = (
            likelihood(BAND, BAND.spectrum(p, q.center), q, copies, generator=generator(seed)).loss
            for p, q in (
                (receptor, moving),
                (receptor.translated(away), moving.translated(away)),
            )
        )
        torch.testing.assert_close(there, here, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Band(3), "points must be at least 4"),
        (lambda: Band(20, 2.0, 2.5), "Nyquist"),
        (lambda: ShiftLikelihood(half=0), "half must be at least 1"),
        (lambda: ShiftLikelihood(turns=-1), "turns 0"),
        (lambda: ShiftLikelihood(width=0.0), "width must be positive"),
        (lambda: ShiftLikelihood(noise=math.nan), "noise must be at least 0"),
        (lambda: TurnLikelihood(turns=20, lmax=10), "exceed twice that"),
        (lambda: TurnLikelihood(turns=25), "turns must be even"),
    ],
)
def test_refuses_nonsense(make, words):
    with pytest.raises(ValueError, match=words):
        make()
