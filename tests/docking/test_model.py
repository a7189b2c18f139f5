"""What the physics model promises of scores, minima and docked poses."""

import numpy as np
import pytest
import torch
from rdkit import Chem
from scipy.spatial.transform import Rotation

import docking
from docking import Box, Ligand, load_model, vina_energy
from docking.conformers import generate, ring_torsions
from docking.symmetry import Symmetry
from overparam.errors import InputError
from tests.docking import demo

KEY = "4alw"


@pytest.fixture(scope="module")
def setting():
    ligand = demo.ligand(KEY)
    receptor = demo.receptor(KEY).without_ligand(ligand)
    model = load_model("physics")
    return model, receptor, ligand, model.prepare(receptor, Box.from_ligand(ligand))


@pytest.fixture(scope="module")
def docked(setting):
    model, _, ligand, pocket = setting
    return model.dock(pocket, ligand, num_poses=9, seed=0, effort=0.5)


def poses_about(ligand, count, seed=0):
    generator = np.random.default_rng(seed)
    center = ligand.coords.mean(0)
    R = Rotation.from_rotvec(0.2 * generator.normal(size=(count, 3))).as_matrix()
    turned = np.einsum("pij,nj->pni", R, ligand.coords - center)
    return turned + center + 0.3 * generator.normal(size=(count, 1, 3))


def test_a_score_is_minus_vinas_energy(setting):
    model, receptor, ligand, pocket = setting
    poses = poses_about(ligand, 5)
    np.testing.assert_allclose(
        model.score(pocket, ligand, poses), -vina_energy(receptor, ligand, poses), atol=1e-9
    )
    assert model.score(pocket, ligand).shape == ()


def test_scores_have_gradients(setting):
    model, _, ligand, pocket = setting
    x = torch.tensor(poses_about(ligand, 2), requires_grad=True)
    (slope,) = torch.autograd.grad(model.score(pocket, ligand, x).sum(), x)
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        ends = [model.score(pocket, ligand, x + s * 1e-5 * step).sum() for s in (1, -1)]
    assert float((slope * step).sum()) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-3)


def test_docked_poses_are_ranked_apart_inside_and_scored_exactly(setting, docked):
    model, _, ligand, pocket = setting
    scores = docked.scores
    assert len(docked.poses) >= 2
    assert (np.diff(scores) <= 0).all()
    assert [pose.rank for pose in docked.poses] == list(range(1, len(scores) + 1))
    best = docked.poses[0]
    assert best.score == pytest.approx(float(model.score(pocket, ligand, best.coords)), abs=1e-9)
    apart = Symmetry.of(ligand.mol).rmsd(docked.coords, docked.coords)
    assert (apart + 9 * np.eye(len(scores)) >= 1.0 - 1e-6).all()
    np.testing.assert_allclose([p.rmsd_to_best for p in docked.poses], apart[:, 0], atol=1e-6)
    heavy = docked.coords[:, ligand.heavy]
    assert (heavy > pocket.low - 0.5).all()
    assert (heavy < pocket.high + 0.5).all()


def test_docking_keeps_the_chemistry(setting, docked):
    _, _, ligand, _ = setting
    bonds = ligand.bonds
    length = np.linalg.norm(ligand.coords[bonds[:, 0]] - ligand.coords[bonds[:, 1]], axis=1)
    for pose in docked.poses:
        found = np.linalg.norm(pose.coords[bonds[:, 0]] - pose.coords[bonds[:, 1]], axis=1)
        np.testing.assert_allclose(found, length, atol=0.15)
        placed = Chem.Mol(ligand.mol)
        placed.GetConformer().SetPositions(pose.coords)
        Chem.AssignStereochemistryFrom3D(placed)
        assert Chem.FindMolChiralCenters(placed) == Chem.FindMolChiralCenters(ligand.mol)


def test_rigid_docking_moves_the_conformer_as_one(setting):
    model, _, ligand, pocket = setting
    turned = ligand.with_coords(ligand.coords @ Rotation.random(rng=1).as_matrix().T + 30.0)
    result = model.dock(pocket, turned, rigid=True, seed=0, effort=4.0)
    best = result.poses[0].coords
    inner = np.linalg.norm(ligand.coords[:, None] - ligand.coords[None], axis=-1)
    np.testing.assert_allclose(
        np.linalg.norm(best[:, None] - best[None], axis=-1), inner, atol=1e-6
    )
    # The crystal pose is one of the poses searched, so its own minimum cannot be better.
    assert result.poses[0].score >= model.minimize(pocket, ligand, rigid=True)[1][0] - 0.05


@pytest.mark.parametrize("rigid", [True, False])
def test_the_grid_is_exhausted(setting, rigid):
    model, _, ligand, pocket = setting
    result = model.dock(pocket, ligand, rigid=rigid, method="grid", seed=0)
    again = model.dock(pocket, ligand, rigid=rigid, method="grid", seed=0, threads=2)
    np.testing.assert_array_equal(result.coords, again.coords)
    assert result.poses[0].score == pytest.approx(
        float(model.score(pocket, ligand, result.poses[0].coords)), abs=1e-9
    )
    if rigid:  # the grid holds a pose near every pose, so the crystal's basin is entered
        apart = Symmetry.of(ligand.mol).rmsd(result.coords, ligand.coords[None])
        assert apart.min() < 2.0


@pytest.mark.parametrize("rigid", [True, False])
def test_the_batched_search_ends_as_the_compiled_one(setting, rigid):
    model, _, ligand, pocket = setting
    options = {"rigid": rigid, "seed": 0, "effort": 1.0 if rigid else 0.1, "num_poses": 3}
    one, other = (model.dock(pocket, ligand, method=m, **options) for m in ("chains", "batched"))
    # What they return is refined and scored alike; so few changes leave the rest to luck.
    assert other.poses[0].score >= one.poses[0].score - (0.05 if rigid else 0.5)
    again = model.dock(pocket, ligand, method="batched", **options)
    np.testing.assert_array_equal(other.coords, again.coords)


def test_docking_depends_on_the_seed_and_not_on_threads(setting, docked):
    model, _, ligand, pocket = setting
    again = model.dock(pocket, ligand, num_poses=9, seed=0, effort=0.5, threads=3)
    np.testing.assert_array_equal(again.coords, docked.coords)
    other = model.dock(pocket, ligand, num_poses=9, seed=1, effort=0.1)
    assert not np.array_equal(other.poses[0].coords, docked.poses[0].coords)


def test_hydrogens_follow_their_atoms(setting):
    model, _, ligand, pocket = setting
    full = Ligand.from_rdkit(demo.with_hydrogens(ligand.mol))
    pose = model.dock(pocket, full, num_poses=1, seed=0, effort=0.1).poses[0]
    for i, j in full.bonds[~full.heavy[full.bonds].all(1)]:
        assert 0.85 < np.linalg.norm(pose.coords[i] - pose.coords[j]) < 1.25
    score = float(model.score(pocket, full, pose.coords))
    assert score == pytest.approx(pose.score, abs=1e-9)


def test_minimising_never_lowers_inter_and_intra_together(setting):
    model, receptor, ligand, pocket = setting
    poses = poses_about(ligand, 6, seed=2)
    moved, scores = model.minimize(pocket, ligand, poses)
    assert moved.shape == poses.shape
    before, after = (vina_energy(receptor, ligand, x, terms=True) for x in (poses, moved))
    # The search reads a table of the pair functions: 0.02 kcal/mol is its error on a pose.
    assert (after.inter + after.intra <= before.inter + before.intra + 0.02).all()
    np.testing.assert_allclose(scores, model.score(pocket, ligand, moved))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, p, x: m.dock(p, x, num_poses=0), "num_poses must be at least 1"),
        (lambda m, p, x: m.dock(p, x, effort=0.0), "effort must be positive"),
        (lambda m, p, x: m.score(p, x, np.zeros((3, 2, 3))), "coords must be"),
        (lambda m, p, x: m.score(p, x, np.full((len(x), 3), np.nan)), "must be finite"),
    ],
)
def test_nonsense_is_refused(setting, call, message):
    model, _, ligand, pocket = setting
    with pytest.raises(ValueError, match=message):
        call(model, pocket, ligand)


def test_what_cannot_be_docked_is_named(setting):
    model, receptor, ligand, pocket = setting
    small = model.prepare(receptor, Box(ligand.coords.mean(0), (5.0, 5.0, 5.0)))
    with pytest.raises(InputError, match="rigid docking needs"):
        model.dock(pocket, Ligand.from_smiles("CCO ethanol"), rigid=True)
    with pytest.raises(InputError, match="do not fit"):
        model.dock(small, Ligand.from_smiles("C" * 80))
    with pytest.raises(InputError, match="residues"):
        model.prepare(receptor, Box((500.0, 500.0, 500.0), (20.0, 20.0, 20.0)))
    with pytest.raises(InputError, match="there is physics"):
        load_model("nonsense")
    assert docking.load_model is load_model


@pytest.mark.parametrize(("smiles", "shapes"), [("c1ccccc1CC", 1), ("C1CCCCCCC1", 2)])
def test_conformers_differ_in_their_rings(smiles, shapes):
    ligand = Ligand.from_smiles(smiles)
    made = generate(ligand, limit=6, tries=24, seed=0)
    assert len(made.coords) >= shapes if shapes > 1 else len(made.coords) == 1
    assert (np.diff(made.share) <= 0).all()
    assert made.share.sum() <= 1 + 1e-9
    again = generate(ligand, limit=6, tries=24, seed=0)
    np.testing.assert_array_equal(made.coords, again.coords)
    assert len(generate(ligand, limit=1, seed=0).coords) == 1
    assert len(ring_torsions(ligand.mol)) == (0 if shapes == 1 else 8)


def test_conformers_never_look_at_the_given_pose():
    ligand = demo.ligand("3og7")
    moved = ligand.with_coords(ligand.coords[:, ::-1].copy() * 2)
    a, b = (generate(one, limit=3, seed=5).coords for one in (ligand, moved))
    np.testing.assert_array_equal(a, b)
