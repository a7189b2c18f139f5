"""The two likelihoods are distributions over all poses of a grid, and the truth is one of them."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.basis import GaussianShells
from docking.learned.losses import RotationLikelihood, TranslationLikelihood, rotation_of
from docking.rotation import rotation_angle
from docking.scalar_field import ScalarField

few = settings(deadline=None, max_examples=4)
seeds = st.integers(0, 2**31 - 1)
PLACES = TranslationLikelihood(points=24, spacing=1.0)
TURNS = RotationLikelihood(turns=28, lmax=8, k_max=2.0)
NONE = torch.eye(3, dtype=torch.float64)


def draw(seed, points=6, channels=2):
    """A ligand and a receptor that is its image: they fit nowhere better than where they are."""
    generator = torch.Generator().manual_seed(seed)
    basis = GaussianShells(3, 2.5)
    coefficients = torch.randn(points, channels, 3, 9, generator=generator).double() * 3
    positions = torch.randn(points, 3, generator=generator).double() * 2 + 20.0
    ligand = ScalarField(coefficients, positions, basis)
    return replace(ligand), ligand


def generator(seed):
    return torch.Generator().manual_seed(seed)


def probability(logits):
    return logits.flatten().softmax(0)


def test_defaults_are_the_published_grids():
    place, turn = TranslationLikelihood(), RotationLikelihood()
    assert place.grid.points**3 == 64_000
    assert (place.noise, turn.noise, turn.lmax, turn.reach) == (0.2, 0.7, 10, 20.0)
    # the spacing of the published grid to 1 %, without its second cover
    assert turn.grid.shape == (50, 100, 100)
    truth = turn.grid.rotation(torch.tensor(turn.cell))
    tilt = rotation_of(torch.tensor([math.pi / 4, 0.0, 0.0]))
    torch.testing.assert_close(truth, tilt.double(), rtol=0, atol=1e-7)


@few
@given(seed=seeds)
def test_a_perfect_fit_is_found_where_it_is(seed):
    receptor, ligand = draw(seed)
    place = PLACES(receptor, ligand)
    assert place.rmsd == 0
    turn = TURNS(receptor, ligand, cell=TURNS.draw(generator(seed)))
    assert turn.rmsd < 1e-9
    assert TURNS(receptor, ligand).rmsd < 1e-9


@few
@given(seed=seeds)
def test_losses_are_negative_log_probabilities_of_the_truth(seed):
    receptor, ligand = draw(seed)
    logits = PLACES.logits(receptor, ligand, NONE)
    torch.testing.assert_close(
        PLACES(receptor, ligand).loss.neg().exp(), probability(logits)[0], rtol=1e-9, atol=0
    )
    truth = TURNS.grid.rotation(torch.tensor(TURNS.cell))
    turned = ligand.rotated(truth.mT, about=ligand.center)
    logits = TURNS.logits(receptor, turned, ligand.center)
    torch.testing.assert_close(
        TURNS(receptor, ligand).loss.neg().exp(),
        probability(logits)[TURNS.cell],
        rtol=1e-9,
        atol=0,
    )


def test_empty_fields_leave_all_cells_alike():
    receptor, ligand = draw(0)
    empty = replace(receptor, coefficients=torch.zeros_like(receptor.coefficients))
    assert math.isclose(PLACES(empty, ligand).loss, math.log(24**3), rel_tol=1e-9)
    beta = TURNS.grid.angles[0]
    cells = TURNS.turns**2 * float((beta.sin() / math.sin(math.pi / 4)).sum())
    assert math.isclose(TURNS(empty, ligand).loss, math.log(cells), rel_tol=1e-9)


def test_both_likelihoods_score_one_pose_alike():
    """The truth's score among translations and among rotations is the same overlap."""
    receptor, ligand = draw(3, points=4)
    # few degrees reach far only at small wave numbers: smear the fields out
    wide = GaussianShells(3, 6.0)
    receptor, ligand = (replace(field, basis=wide) for field in (receptor, ligand))
    ligand = ligand.rotated(rotation_of(torch.tensor([0.3, 0.8, -0.5])).double())
    ligand = ligand.translated(receptor.center - ligand.center)
    fine = RotationLikelihood(turns=36, lmax=16, k_max=2.5)
    places = TranslationLikelihood(points=36, spacing=math.pi / 2.5)
    for cell in (fine.cell, fine.draw(generator(1))):
        turn = fine.grid.rotation(torch.tensor(cell))
        among_turns = fine.logits(receptor, ligand, ligand.center)
        weight = fine.grid.log_weight().expand(*fine.grid.shape).flatten()[cell]
        among_places = places.logits(receptor, ligand, turn)[0, 0, 0]
        torch.testing.assert_close(
            among_turns.flatten()[cell] - weight, among_places, rtol=2e-3, atol=1e-3
        )


@few
@given(seed=seeds)
def test_moving_everything_changes_nothing(seed):
    receptor, ligand = draw(seed)
    ligand = ligand.rotated(
        rotation_of(torch.tensor([0.0, 0.5, 0.0])).double(), about=ligand.center
    )
    shift = torch.randn(3, generator=generator(seed)).double() * 20
    pair = receptor.translated(shift), ligand.translated(shift)
    for likelihood in (PLACES, TURNS):
        here, there = likelihood(receptor, ligand), likelihood(*pair)
        torch.testing.assert_close(there.loss, here.loss, rtol=1e-7, atol=1e-9)


@few
@given(seed=seeds)
def test_noise_turns_translations_and_shifts_rotations(seed):
    receptor, ligand = draw(seed)
    vector = torch.randn(3, generator=generator(seed)) * PLACES.noise
    noisy = PLACES(receptor, ligand, noisy=True, generator=generator(seed))
    turned = ligand.rotated(rotation_of(vector).double(), about=ligand.center)
    torch.testing.assert_close(noisy.loss, PLACES(receptor, turned).loss, rtol=1e-6, atol=1e-9)

    shift = torch.randn(3, generator=generator(seed)) * TURNS.noise
    noisy = TURNS(receptor, ligand, noisy=True, generator=generator(seed))
    moved = TURNS(receptor, ligand.translated(shift.double()))
    torch.testing.assert_close(noisy.loss, moved.loss, rtol=1e-6, atol=1e-9)


def test_without_noise_nothing_is_drawn():
    receptor, ligand = draw(1)
    before = torch.get_rng_state()
    first = PLACES(receptor, ligand).loss, TURNS(receptor, ligand).loss
    assert torch.equal(torch.get_rng_state(), before)
    silent = replace(PLACES, noise=0.0)(receptor, ligand, noisy=True)
    assert torch.equal(silent.loss, first[0])


def test_cells_are_drawn_from_the_haar_measure():
    source = generator(0)
    drawn = TURNS.grid.rotation(torch.tensor([TURNS.draw(source) for _ in range(2000)]))
    angle = rotation_angle(drawn, NONE)
    # the angle of a random rotation has density (1 - cos a) / pi
    assert math.isclose(angle.mean(), math.pi / 2 + 2 / math.pi, abs_tol=0.06)


def test_both_losses_are_differentiable():
    receptor, ligand = draw(2, points=2, channels=1)
    places = TranslationLikelihood(points=6, spacing=2.0)
    turns = RotationLikelihood(turns=12, lmax=2, k_max=1.0)

    def losses(p, q):
        pair = replace(receptor, coefficients=p), replace(ligand, coefficients=q)
        return places(*pair).loss, turns(*pair).loss

    inputs = [f.coefficients.clone().requires_grad_() for f in (receptor, ligand)]
    assert torch.autograd.gradcheck(losses, inputs, fast_mode=True)


@given(angle=st.floats(0.0, 3.0), seed=seeds)
@settings(deadline=None, max_examples=20)
def test_rotation_vectors_are_angle_times_axis(angle, seed):
    axis = torch.nn.functional.normalize(torch.randn(3, generator=generator(seed)).double(), dim=0)
    found = rotation_of(axis * angle)
    torch.testing.assert_close(found @ axis, axis)
    torch.testing.assert_close(rotation_angle(found, NONE), torch.tensor(angle).double())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: TranslationLikelihood(points=3), "points must be at least 4"),
        (lambda: TranslationLikelihood(spacing=0.0), "spacing must be positive"),
        (lambda: TranslationLikelihood(noise=-1.0), "noise must be at least 0"),
        (lambda: RotationLikelihood(turns=96), "4 above a multiple of 8"),
        (lambda: RotationLikelihood(turns=20), "turns must exceed twice lmax"),
        (lambda: RotationLikelihood(reach=0.0), "reach must be positive"),
        (lambda: RotationLikelihood(k_max=0.0), "k_max must be positive"),
        (lambda: RotationLikelihood(noise=math.nan), "noise must be at least 0"),
    ],
)
def test_refuses_nonsense(build, words):
    with pytest.raises(ValueError, match=words):
        build()
