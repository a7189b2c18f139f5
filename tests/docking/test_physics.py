"""What Vina's energy promises: term by term, pair by pair, and as a whole."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import AllChem
from scipy.spatial.transform import Rotation

from docking.ligand import Ligand
from docking.molecule import Receptor, Residue
from docking.physics import atom_terms, intermolecular, intramolecular, vina_energy
from docking.terms import TERMS, VINA, VINARDO, ScoringFunction, pair_energy, pair_terms
from docking.typing import VinaType as V
from docking.vina_table import cap, lookup_table, table_terms

seeds = st.integers(0, 2**32 - 1)
types = st.sampled_from(list(V))
few = settings(deadline=None, max_examples=20)


def slow_terms(r, a, b):
    """The five terms by the words of the definition, one pair, no vectors."""
    radius = {"C": 1.9, "N": 1.8, "O": 1.7, "S": 2.0, "P": 2.1, "F": 1.5, "CL": 1.8, "BR": 2.0}
    radius |= {"I": 2.2, "SI": 2.2, "AT": 2.3, "MET": 1.2, "MISC": 1.9}
    element_a, element_b = a.name.split("_")[0], b.name.split("_")[0]
    if r >= 8:
        return [0.0] * 5
    d = r - radius[element_a] - radius[element_b]
    greasy = a.name.endswith("_H") and b.name.endswith("_H")
    gives = [t.name.endswith(("_D", "_DA")) for t in (a, b)]
    takes = [t.name.endswith(("_A", "_DA")) for t in (a, b)]
    bonds = (gives[0] and takes[1]) or (gives[1] and takes[0])
    return [
        math.exp(-((d / 0.5) ** 2)),
        math.exp(-(((d - 3) / 2) ** 2)),
        d * d if d < 0 else 0.0,
        min(1.0, max(0.0, 1.5 - d)) if greasy else 0.0,
        min(1.0, max(0.0, -d / 0.7)) if bonds else 0.0,
    ]


def cloud(seed, atoms=60, size=12.0):
    """A box of random typed atoms, some of them hydrogens."""
    rng = np.random.default_rng(seed)
    x = torch.as_tensor(rng.uniform(0, size, (atoms, 3)))
    return x, torch.as_tensor(rng.integers(-1, len(V), atoms))


def molecule(smiles, seed=0):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=seed) == 0
    return Ligand.from_rdkit(mol)


def receptor_of(x, kinds):
    n = len(x)
    elements = ["H" if kind < 0 else "C" for kind in kinds]
    return Receptor(
        np.asarray(x), elements, elements, np.zeros(n, dtype=np.int64), [Residue("A", "1", "UNK")],
        vina_type=np.asarray(kinds),
    )  # fmt: skip


@given(r=st.floats(0.0, 9.0), a=types, b=types)
@settings(deadline=None, max_examples=300)
def test_terms_are_the_published_ones(r, a, b):
    got = pair_terms(torch.tensor([r], dtype=torch.float64), torch.tensor([a]), torch.tensor([b]))
    assert got[0].tolist() == pytest.approx(slow_terms(r, a, b), abs=1e-12)


@given(r=st.floats(0.0, 9.0), a=types, b=types)
@few
def test_a_pair_has_no_order(r, a, b):
    d, a, b = torch.tensor([r], dtype=torch.float64), torch.tensor([a]), torch.tensor([b])
    torch.testing.assert_close(pair_terms(d, a, b), pair_terms(d, b, a), rtol=0, atol=1e-12)


def test_an_atom_that_gives_and_takes_counts_one_bond():
    d = torch.tensor([2.7], dtype=torch.float64)  # d = -0.7: a full hydrogen bond
    both, gives, takes = (torch.tensor([t]) for t in (V.O_DA, V.O_D, V.O_A))
    bond = lambda a, b: pair_terms(d, a, b)[0, TERMS.index("hydrogen_bond")].item()  # noqa: E731
    assert bond(both, both) == bond(gives, both) == bond(both, takes) == pytest.approx(1.0)
    assert bond(gives, gives) == bond(takes, takes) == 0


def test_energy_is_linear_in_trainable_weights():
    r = torch.linspace(1.0, 7.9, 50, dtype=torch.float64)
    a, b = torch.full((50,), V.C_H), torch.full((50,), V.N_DA)
    w = torch.tensor(VINA.weights, dtype=torch.float64, requires_grad=True)
    energy = pair_energy(r, a, b, weights=w)
    torch.testing.assert_close(energy, pair_energy(r, a, b))
    energy.sum().backward()
    torch.testing.assert_close(w.grad, pair_terms(r, a, b).sum(0))


def test_vinardo_has_other_constants_and_no_second_gaussian():
    d = torch.tensor([3.9], dtype=torch.float64)
    got = pair_energy(d, torch.tensor([V.C_H]), torch.tensor([V.C_H]), function=VINARDO)
    # Carbon radius 2.0: overlap 0.1, so one Gaussian, repulsion and a full hydrophobic contact.
    expected = -0.045 * math.exp(-((0.1 / 0.8) ** 2)) + 0.8 * 0.01 - 0.035
    assert got.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "bad", [{"weights": (1.0,)}, {"cutoff": 0.0}, {"gauss1": (0.0, 0.0)}, {"radii": (1.0, 2.0)}]
)
def test_rejects_senseless_constants(bad):
    with pytest.raises(ValueError, match="must be"):
        ScoringFunction(**bad)


@given(r=st.floats(0.5, 8.5), a=types, b=types)
@settings(deadline=None, max_examples=200)
def test_the_table_is_the_mean_of_its_bin_ends(r, a, b):
    bin_ends = [math.sqrt(k / 32) for k in (math.floor(r * r * 32), math.floor(r * r * 32) + 1)]
    expected = [
        sum(w * t for w, t in zip(VINA.weights, slow_terms(end, a, b), strict=True))
        for end in bin_ends
    ]
    got = table_terms(torch.tensor([r], dtype=torch.float64), torch.tensor([a]), torch.tensor([b]))
    assert got.sum().item() == pytest.approx(sum(expected) / 2 if r * r < 64 else 0.0, abs=1e-12)


def test_the_table_stays_close_to_the_functions():
    r = torch.linspace(1.0, 7.98, 5000, dtype=torch.float64)
    for a in V:
        kinds = torch.full((5000,), a), torch.full((5000,), V.C_H)
        scale = torch.tensor(VINA.weights, dtype=torch.float64)
        gap = (table_terms(r, *kinds) - pair_terms(r, *kinds) * scale).sum(-1).abs()
        # Half a bin is 1 / (128 r) angstrom; the steepest slope is that of the repulsion.
        slope = 2 * 0.840245 * (VINA.radii[a] + 1.9 - r).clamp(min=0) + 0.1
        assert (gap < slope / (64 * r) + 1e-3).all()
    assert lookup_table() is lookup_table()


@given(e=st.floats(-100, 1e6), limit=st.floats(1.0, 1e4))
@few
def test_the_cap_bounds_positive_energies_only(e, limit):
    got = cap(torch.tensor(e, dtype=torch.float64), limit).item()
    assert got <= limit
    assert got == pytest.approx(e * limit / (limit + e) if e > 0 else e)


def test_no_cap_is_an_infinite_limit():
    e = torch.tensor([-1.0, 0.0, 1e5])
    assert torch.equal(cap(e, math.inf), e)
    with pytest.raises(ValueError, match="limit"):
        cap(e, 0.0)


@given(seed=seeds)
@few
def test_sums_are_those_of_a_double_loop(seed):
    y, type_y = cloud(seed, atoms=40, size=14)
    x, type_x = cloud(seed + 1, atoms=6, size=14)
    got = atom_terms(x[None], type_x, y, type_y)[0]
    for n in range(6):
        expected = np.zeros(5)
        for m in range(40):
            if type_x[n] >= 0 and type_y[m] >= 0:
                r = (x[n] - y[m]).norm().item()
                expected += slow_terms(r, V(int(type_x[n])), V(int(type_y[m])))
        assert got[n].tolist() == pytest.approx((expected * VINA.weights).tolist(), abs=1e-9)


@given(seed=seeds, table=st.booleans())
@few
def test_a_joint_rigid_motion_changes_nothing(seed, table):
    y, type_y = cloud(seed)
    x, type_x = cloud(seed + 1, atoms=9)
    rng = np.random.default_rng(seed)
    turn = torch.as_tensor(Rotation.random(random_state=rng).as_matrix())
    shift = torch.as_tensor(rng.normal(0, 30, 3))
    before = intermolecular(x[None], type_x, y, type_y, table=table)
    after = intermolecular(
        (x @ turn.T + shift)[None], type_x, y @ turn.T + shift, type_y, table=table
    )
    # A motion moves distances by rounding, hence now and then a pair over a bin's end.
    tolerance = 2e-2 if table else 1e-9
    assert after.item() == pytest.approx(before.item(), abs=tolerance)


@given(seed=seeds)
@few
def test_the_mirror_image_has_the_same_energy(seed):
    y, type_y = cloud(seed)
    x, type_x = cloud(seed + 1, atoms=9)
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(
        intermolecular(x[None] * flip, type_x, y * flip, type_y),
        intermolecular(x[None], type_x, y, type_y),
    )


@given(seed=seeds)
@few
def test_the_order_of_atoms_and_the_hydrogens_are_irrelevant(seed):
    y, type_y = cloud(seed)
    x, type_x = cloud(seed + 1, atoms=9)
    rng = np.random.default_rng(seed)
    p, q = (torch.as_tensor(rng.permutation(n)) for n in (9, 60))
    before = intermolecular(x[None], type_x, y, type_y)
    torch.testing.assert_close(intermolecular(x[None, p], type_x[p], y[q], type_y[q]), before)
    heavy, solid = type_x >= 0, type_y >= 0
    bare = intermolecular(x[None, heavy], type_x[heavy], y[solid], type_y[solid])
    torch.testing.assert_close(bare, before)


@given(seed=seeds)
@few
def test_poses_do_not_hear_each_other(seed):
    y, type_y = cloud(seed)
    x, type_x = cloud(seed + 1, atoms=9)
    poses = x + torch.as_tensor(np.random.default_rng(seed).normal(0, 4, (5, 1, 3)))
    together = intermolecular(poses, type_x, y, type_y)
    alone = torch.cat([intermolecular(pose[None], type_x, y, type_y) for pose in poses])
    torch.testing.assert_close(together, alone)


@given(seed=seeds)
@few
def test_the_gradient_is_the_finite_difference(seed):
    y, type_y = cloud(seed, atoms=30, size=9)
    x, type_x = cloud(seed + 1, atoms=3, size=9)
    x = x[None].requires_grad_()
    (gradient,) = torch.autograd.grad(intermolecular(x, type_x, y, type_y).sum(), x)
    rng = np.random.default_rng(seed)
    direction = torch.as_tensor(rng.normal(0, 1, (1, 3, 3)))
    h = 1e-6
    with torch.no_grad():
        up, down = (
            intermolecular(x + s * h * direction, type_x, y, type_y).item() for s in (1, -1)
        )
    # Away from the 8 angstrom jump and the ramps' corners, which a step of 1e-6 rarely meets.
    r = (x.detach()[0, :, None] - y).norm(dim=-1)
    if ((r - VINA.cutoff).abs() > 1e-5).all():
        slope = (gradient * direction).sum().item()
        assert (up - down) / (2 * h) == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_a_pair_at_the_cutoff_carries_nothing():
    kinds = torch.tensor([V.C_H])
    at = lambda r: intermolecular(  # noqa: E731
        torch.tensor([[[r, 0.0, 0.0]]], dtype=torch.float64), kinds, torch.zeros(1, 3), kinds
    ).item()
    assert at(8.0) == 0
    assert at(7.999) == pytest.approx(-0.005156 * math.exp(-((1.199 / 2) ** 2)), abs=1e-6)


@pytest.fixture(scope="module")
def ligand():
    return molecule("OCC(=O)NCCc1ccc(O)cc1CCC(F)(F)F")


@pytest.fixture(scope="module")
def receptor(ligand):
    rng = np.random.default_rng(3)
    low, high = ligand.coords.min(0) - 6, ligand.coords.max(0) + 6
    x = rng.uniform(low, high, (700, 3))
    gap = np.linalg.norm(x[:, None] - ligand.coords[ligand.heavy], axis=-1).min(1)
    x = x[gap > 3.2]
    return receptor_of(x, rng.integers(-1, len(V), len(x)))


@pytest.mark.parametrize("table", [False, True])
def test_terms_add_up_to_the_total(receptor, ligand, table):
    parts = vina_energy(receptor, ligand, table=table, terms=True)
    five = sum(getattr(parts, name) for name in TERMS)
    assert parts.inter == pytest.approx(five + parts.cap)
    assert parts.total == pytest.approx(parts.inter + parts.torsion)
    assert parts.total == pytest.approx(parts.inter / (1 + 0.05846 * ligand.num_torsions))
    assert parts.total == vina_energy(receptor, ligand, table=table)
    assert -100 < parts.total < 0


def test_poses_may_be_one_or_many_arrays_or_tensors(receptor, ligand):
    one = vina_energy(receptor, ligand)
    many = vina_energy(receptor, ligand, ligand.coords[None].repeat(3, axis=0))
    assert isinstance(many, np.ndarray) and many.shape == (3,)
    np.testing.assert_allclose(many, one, rtol=1e-12)
    x = torch.as_tensor(ligand.coords).requires_grad_()
    tensor = vina_energy(receptor, ligand, x)
    tensor.backward()
    assert tensor.item() == pytest.approx(float(one)) and x.grad.abs().sum() > 0
    assert (x.grad[~torch.as_tensor(ligand.heavy)] == 0).all()


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 3)), np.zeros(3), np.full((1, 1, 3), np.nan), np.zeros((2, 2, 2, 3))]
)
def test_refuses_coordinates_that_do_not_fit(receptor, ligand, bad):
    with pytest.raises(ValueError, match="coords must be"):
        vina_energy(receptor, ligand, bad)


def test_refuses_nan_and_missing_coordinates(receptor, ligand):
    x = ligand.coords.copy()
    x[0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        vina_energy(receptor, ligand, x)
    with pytest.raises(ValueError, match="no 3-D coordinates"):
        vina_energy(receptor, Ligand.from_smiles("CCO"))


def bonds_between(ligand):
    return Chem.GetDistanceMatrix(ligand.mol)


@pytest.mark.parametrize(
    "smiles", ["CCCCCCCC", "OCC(=O)NCCc1ccc(O)cc1CCC(F)(F)F", "c1ccccc1-c1ccc(cc1)-c1ccccc1CCO"]
)
def test_own_pairs_are_far_in_bonds_and_in_different_bodies(smiles):
    ligand = molecule(smiles)
    pairs = ligand.tree.movable_pairs(ligand.bonds, ligand.heavy)
    apart = bonds_between(ligand)
    assert len(pairs)
    for i, j in pairs:
        assert apart[i, j] > 3
        assert ligand.fragments[i] != ligand.fragments[j]
        assert ligand.heavy[i] and ligand.heavy[j]


def test_rigid_ligands_have_no_energy_of_their_own():
    ligand = molecule("c1ccc2ccccc2c1C")
    pairs = torch.as_tensor(ligand.tree.movable_pairs(ligand.bonds, ligand.heavy)).reshape(-1, 2)
    x, kinds = torch.as_tensor(ligand.coords)[None], torch.as_tensor(ligand.vina_type)
    assert intramolecular(x, kinds, pairs).tolist() == [0.0]


def test_own_energy_is_the_sum_over_its_pairs(receptor, ligand):
    pairs = ligand.tree.movable_pairs(ligand.bonds, ligand.heavy)
    kinds, x = ligand.vina_type, ligand.coords
    expected = 0.0
    for i, j in pairs:
        terms = slow_terms(np.linalg.norm(x[i] - x[j]), V(int(kinds[i])), V(int(kinds[j])))
        e = float(np.dot(terms, VINA.weights))
        expected += e * 1000 / (1000 + e) if e > 0 else e
    got = vina_energy(receptor, ligand, terms=True).intra
    assert got == pytest.approx(expected, abs=1e-9)
