"""Docking by the overlap of two fields: scores, their maps, the search and the climb off its grid.

Networks are small, random and scaled so that poses differ by some nats. Their fields are wide
enough for the band of wave numbers to hold all but little of them.
"""

from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import Trainer

from docking import Box, FieldFit, PocketField, load_model
from docking.correlate import translation_maps
from docking.esf_model import EsfModel
from docking.field_bodies import FieldBodies
from docking.grid import Grid
from docking.learned.field_fit import superposed
from docking.learned.lean_esf import LeanLigandNet, LeanReceptorNet
from docking.learned.lean_fields import LeanFields
from docking.learned.soft_losses import ShiftLikelihood, TurnLikelihood
from docking.molecule import Receptor
from docking.rigid_descent import climb
from docking.rotation import hopf_grid, uniform_rotations
from docking.unlike_conformers import APART as UNLIKE
from docking.unlike_conformers import unlike
from overparam.errors import InputError
from tests.docking.learned.pockets import pocket, rotation

few = settings(deadline=None, max_examples=3)
seeds = st.integers(0, 2**31 - 1)
KEY = "1bju"


def small_fields(seed=0, **options) -> LeanFields:
    torch.manual_seed(seed)
    sizes = {"channels": 2, "degree": 2, "width": 12, "vectors": 4, "layers": 1}
    widths = {"receptor_widths": (1.4, 1.8), "ligand_widths": (1.4,), "k_max": 2.5}
    nets = LeanReceptorNet(radial=2, **sizes), LeanLigandNet(radial=1, **sizes)
    return LeanFields(*nets, **(widths | {"reach": 9.0, "scale": 0.1} | options))


@cache
def setting(degrees=()):
    """A model, a box, the pocket prepared in it, and its ligand; maybe all turned."""
    one, turn = pocket(KEY), np.eye(3) if not degrees else rotation(degrees[0]).numpy()
    r, ligand = one.receptor, one.ligand.with_coords(one.ligand.coords @ turn.T)
    receptor = Receptor(
        r.positions @ turn.T, r.elements, r.names, r.residue_index, r.residues,
        vina_type=r.vina_type,
    )  # fmt: skip
    # Wide enough that all atoms of the pocket are felt however it is turned.
    model, box = EsfModel(small_fields().double()), Box.from_ligand(ligand, 3.0)
    return model, box, model.prepare(receptor, box), ligand


def poses_in(box, ligand, seed, count=12):
    """Rigid copies of a ligand with all their atoms in a box."""
    rng = np.random.default_rng(seed)
    made = []
    while len(made) < count:
        turn = uniform_rotations(1, generator=torch.Generator().manual_seed(seed + len(made)))
        x = (ligand.coords - ligand.coords.mean(0)) @ turn[0].numpy().T
        low, high = box.low - x.min(0), box.high - x.max(0)
        seed += 1000
        if (low < high).all():
            made.append(x + rng.uniform(low, high))
    return np.stack(made)


@cache
def spread():
    """Standard deviation of the scores of poses in the box."""
    model, box, prepared, ligand = setting()
    return model.score(prepared, ligand, poses_in(box, ligand, 1, 40)).std()


def fields_of(model, prepared, ligand, coords):
    """The receptor's field, and the ligand's in a pose."""
    receptor = model._laid_for(prepared).boxed.plain.field
    x = torch.as_tensor(coords[ligand.heavy])
    body = FieldBodies(model.net, ligand, coords[None])
    return receptor, body.field(0).translated(x.mean(0))


# scores


def test_scores_are_the_quadrature_of_the_overlap():
    model, box, prepared, ligand = setting()
    # The fields are so wide that a sum over these points is an integral to rounding.
    points = Grid(30, 1.0, tuple(box.center))
    receptor = fields_of(model, prepared, ligand, ligand.coords)[0].on_grid(points)
    x = poses_in(box, ligand, 7, 3)
    told, slow = model.score(prepared, ligand, x), []
    for pose in x:
        field = fields_of(model, prepared, ligand, pose)[1].on_grid(points)
        slow.append(float((receptor * field).sum()) * points.spacing**3)
    # What is left out are wave numbers beyond the band.
    np.testing.assert_allclose(told, slow, rtol=0, atol=1e-3 * spread())


def test_scores_are_those_of_the_correlation_at_lattice_places():
    model, box, prepared, ligand = setting()
    spectrum = model._laid_for(prepared).boxed.plain
    x = poses_in(box, ligand, 3, 1)[0]
    _, field = fields_of(model, prepared, ligand, x)
    maps = translation_maps(spectrum, field, torch.eye(3, dtype=torch.float64)[None])[0]
    base = x - x[ligand.heavy].mean(0) + box.center
    steps = np.array([(i, j, k) for i in range(-3, 4) for j in range(-3, 4) for k in (-2, 0, 1)])
    shifted = base + steps[:, None] * spectrum.grid.spacing
    inside = ((shifted >= box.low) & (shifted <= box.high)).all((1, 2))
    assert inside.sum() > 10
    told = model.score(prepared, ligand, shifted[inside])
    exact = maps[tuple(torch.as_tensor(steps[inside]).T % spectrum.grid.points)].numpy()
    # What cubic interpolation costs, measured against the spread of the scores.
    assert np.sqrt(((told - exact) ** 2).mean()) < 2e-3 * exact.std()


@few
@given(seed=seeds)
def test_turning_receptor_and_ligand_together_changes_no_score(seed):
    model, box, prepared, ligand = setting()
    x = poses_in(box, ligand, seed % 10**6, 1)[0]
    other, other_box, turned, moved = setting((seed % 3,))
    turn = rotation(seed % 3).numpy()
    # The corners of a turned box are elsewhere: poses near the crystal's are in both.
    near = ligand.coords + np.clip(x.mean(0) - ligand.coords.mean(0), -1, 1)
    assert other_box.contains(near @ turn.T).all() and box.contains(near).all()
    here = model.score(prepared, ligand, near)
    there = other.score(turned, moved, near @ turn.T)
    # Of the wave vectors of a cube those in a ball are not alike in all directions.
    assert abs(here - there) < 1e-3 * spread()


def test_scores_do_not_depend_on_company_and_leaving_the_box_costs():
    model, box, prepared, ligand = setting()
    x = poses_in(box, ligand, 5, 3)
    together = model.score(prepared, ligand, x)
    alone = [float(model.score(prepared, ligand, pose)) for pose in x]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    away = ligand.coords + np.array([40.0, 0.0, 0.0])
    out = np.maximum(away[ligand.heavy] - box.high, 0).sum()
    assert float(model.score(prepared, ligand, away)) < -5 * out


def test_scores_have_gradients_in_all_coordinates():
    model, _, prepared, ligand = setting()
    x = torch.tensor(ligand.coords, requires_grad=True)
    score = model.score(prepared, ligand, x)
    plain = float(model.score(prepared, ligand))
    assert float(score.detach()) == pytest.approx(plain, abs=1e-6)
    score.backward()
    along = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    step = 1e-4
    ahead, behind = (
        float(model.score(prepared, ligand, (x + sign * step * along).detach())) for sign in (1, -1)
    )
    assert float((x.grad * along).sum()) == pytest.approx((ahead - behind) / (2 * step), rel=1e-3)


# the search


@cache
def docked():
    """The ligand docked rigidly, by few rotations."""
    model, _, prepared, ligand = setting()
    return model.dock(prepared, ligand, num_poses=5, rigid=True, effort=1 / 64)


def test_docking_ends_above_every_pose_of_the_lattice():
    model, box, prepared, ligand = setting()
    result = docked()
    spectrum = model._laid_for(prepared).boxed.plain
    bodies = FieldBodies(model.net, ligand, ligand.coords[None])
    rotations = hopf_grid(0)
    half = int(box.size.max() / 2 / spectrum.grid.spacing)
    axis = torch.arange(-half, half + 1)
    steps = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    heavy = bodies.whole(
        torch.zeros(len(rotations), dtype=torch.long), rotations, torch.zeros(len(rotations), 3)
    )[:, ligand.heavy]
    found = []
    for turn, x in zip(rotations, heavy, strict=True):
        low = -box.size / 2 - x.min(0)
        high = box.size / 2 - x.max(0)
        places = (steps * spectrum.grid.spacing).numpy()
        inside = ((places >= low) & (places <= high)).all(1)
        if inside.any():
            maps = translation_maps(spectrum, bodies.field(0), turn[None])[0]
            found.append(maps[tuple((steps[inside] % spectrum.grid.points).T)].max())
    best = float(torch.stack(found).max())
    assert len(found) > 20
    assert result.poses[0].score > best
    assert box.contains(result.coords[0][ligand.heavy]).all()


def test_poses_are_apart_in_order_and_have_their_scores():
    model, _, prepared, ligand = setting()
    result = docked()
    assert result.model == "esf" and len(result) == 5
    told = model.score(prepared, ligand, result.coords)
    np.testing.assert_allclose(told, result.scores, atol=1e-4)
    square = ((result.coords[:, None] - result.coords)[..., ligand.heavy, :] ** 2).sum(-1).mean(-1)
    assert (np.sqrt(square) + 10 * np.eye(5) > 1).all()
    again = model.dock(prepared, ligand, num_poses=5, rigid=True, effort=1 / 64)
    assert np.array_equal(again.coords, result.coords)


def test_a_flexible_ligand_is_docked_from_its_graph():
    model, _, prepared, ligand = setting()
    lost = ligand.with_coords(ligand.coords[::-1])
    options = {"num_poses": 4, "effort": 0.02, "conformers": 3}
    result, blind = (model.dock(prepared, one, **options) for one in (ligand, lost))
    assert np.array_equal(result.coords, blind.coords)
    told = model.score(prepared, ligand, result.coords)
    np.testing.assert_allclose(told, result.scores, atol=1e-4)
    i, j = ligand.bonds.T
    lengths = np.linalg.norm(result.coords[:, i] - result.coords[:, j], axis=-1)
    assert (lengths > 1.0).all() and (lengths < 2.0).all()


def test_conformers_are_unlike_and_follow_the_seed():
    ligand = setting()[3]
    made, _ = unlike(ligand, 8, seed=0)
    x = made[:, ligand.heavy]
    assert len(x) > 1
    for a, b in combinations(x, 2):
        offset = superposed(a, b) - b
        assert np.sqrt((offset**2).sum(-1).mean()) >= UNLIKE
    assert np.array_equal(unlike(ligand, 8, seed=0)[0], made)
    assert not np.array_equal(unlike(ligand, 1, seed=1)[0], made[:1])


@few
@given(seed=seeds)
def test_minimizing_never_lowers_a_score_and_moves_rigid_bodies(seed):
    model, box, prepared, ligand = setting()
    x = poses_in(box, ligand, seed % 10**6, 3)
    best, scores = model.minimize(prepared, ligand, x)
    assert (scores >= model.score(prepared, ligand, x) - 1e-4).all()
    for a, b in zip(x, best, strict=True):
        gaps = [np.linalg.norm(y[:, None] - y, axis=-1) for y in (a, b)]
        np.testing.assert_allclose(*gaps, atol=1e-8)


@few
@given(seed=seeds)
def test_a_climb_undoes_a_rigid_motion(seed):
    generator = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(8, 3, generator=generator, dtype=torch.float64)
    x = x - x.mean(0)
    goal = 2 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
    vector = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    a, b, c = (0.8 * vector / vector.norm(dim=1, keepdim=True)).unbind(1)
    o = torch.zeros_like(a)
    start = torch.linalg.matrix_exp(torch.stack([o, -c, b, c, o, -a, -b, a, o], 1).view(5, 3, 3))

    def score(some, R, t):
        return -(x @ R.mT + t[:, None] - x - goal[some][:, None]).square().sum((1, 2))

    arm = x.square().sum(1).mean().sqrt().expand(5)
    found = climb(score, start, torch.zeros(5, 3), arm, evaluations=80)
    torch.testing.assert_close(found.center, goal, rtol=0, atol=0.02)
    torch.testing.assert_close(
        found.rotation, torch.eye(3).double().expand(5, 3, 3), rtol=0, atol=0.02
    )


# files and refusals


def test_pockets_come_back_from_their_file(tmp_path):
    model, _, prepared, ligand = setting()
    prepared.save(tmp_path / "pocket.pt")
    loaded = PocketField.load(tmp_path / "pocket.pt")
    np.testing.assert_array_equal(model.score(loaded, ligand), model.score(prepared, ligand))


def test_pockets_of_other_models_are_refused():
    model, box, prepared, ligand = setting()
    words = "not prepared by this esf model"
    for other in (small_fields(5), small_fields(0, k_max=2.4)):
        with pytest.raises(InputError, match=words):
            EsfModel(other.double()).score(prepared, ligand)
    with pytest.raises(InputError, match=words):
        model.dock(load_model().prepare(pocket(KEY).receptor, box), ligand, rigid=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_poses": 0}, "num_poses must be at least 1"),
        ({"method": "chains"}, "method must be grid for esf"),
        ({"conformers": -1}, "conformers must be 0 or more"),
        ({"effort": 0.0}, "effort must be positive"),
    ],
)
def test_refuses_nonsense(options, words):
    model, _, prepared, ligand = setting()
    with pytest.raises(ValueError, match=words):
        model.dock(prepared, ligand, **options)


def test_what_a_checkpoint_holds_decides_the_model(tmp_path):
    fit = FieldFit(small_fields(), shift=ShiftLikelihood(2), turn=TurnLikelihood(10, 4))
    trainer = Trainer(
        max_steps=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    trainer.strategy.connect(fit)
    trainer.save_checkpoint(tmp_path / "esf.ckpt")
    loaded = load_model(tmp_path / "esf.ckpt")
    assert isinstance(loaded, EsfModel)
    assert loaded.fingerprint == EsfModel(small_fields()).fingerprint
    read = torch.load(tmp_path / "esf.ckpt", weights_only=True)
    read["hyper_parameters"]["_class_path"] = "docking.Box"
    torch.save(read, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"holds a docking\.Box, no model"):
        load_model(tmp_path / "other.ckpt")
