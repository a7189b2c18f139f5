"""The RMSD does not tell equivalent atoms apart, and is a metric otherwise."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdMolAlign

from docking.symmetry import Symmetry

from .demo import IDS, ligand, rigid_motion, with_hydrogens

SMILES = [
    "CC(C)(C)c1ccc(C(F)(F)F)cc1",
    "OC(=O)c1ccccc1",
    "NC(=[NH2+])c1ccccc1",
    "C1CCCCC1",
    "CCO",
    "C12C3C4C1C5C2C3C45",
    "CS(=O)(=O)NCC(=O)[O-]",
    "O",
]


def skeleton(mol: Chem.Mol, poses: np.ndarray) -> Chem.Mol:
    """The heavy-atom graph as RDKit sees no more in it than we do, one conformer a pose."""
    plain = Chem.RWMol()
    heavy = [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() > 1]
    place = {old: new for new, old in enumerate(heavy)}
    for i in heavy:
        atom = Chem.Atom(mol.GetAtomWithIdx(i).GetAtomicNum())
        atom.SetNoImplicit(True)
        plain.AddAtom(atom)
    for bond in mol.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if all(end in place for end in ends):
            plain.AddBond(place[ends[0]], place[ends[1]], Chem.BondType.SINGLE)
    for pose in poses:
        conformer = Chem.Conformer(len(heavy))
        conformer.SetPositions(np.ascontiguousarray(pose[heavy]))
        plain.AddConformer(conformer, assignId=True)
    return plain.GetMol()


def all_maps(mol: Chem.Mol) -> list[tuple[int, ...]]:
    """Every automorphism of the heavy-atom graph, the slow way."""
    plain = skeleton(mol, np.zeros((0, mol.GetNumAtoms(), 3)))
    matches = plain.GetSubstructMatches(plain, uniquify=False, maxMatches=1_000_000)
    heavy = [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() > 1]
    return [tuple(heavy[i] for i in match) for match in matches]


def poses_of(mol: Chem.Mol, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, mol.GetNumAtoms(), 3)) * 3


def molecule(name: str) -> Chem.Mol:
    return ligand(name).mol if name in IDS else Chem.MolFromSmiles(name)


molecules = st.sampled_from([*SMILES, *IDS])


@given(molecules, st.booleans(), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_laws_of_the_metric(name, hydrogens, seed):
    mol = with_hydrogens(molecule(name)) if hydrogens else molecule(name)
    symmetry = Symmetry.of(mol)
    a, b = poses_of(mol, 3, seed), poses_of(mol, 2, seed + 1)
    found = symmetry.rmsd(a, b)
    assert found.shape == (3, 2)
    heavy = symmetry.heavy
    offset = a[:, None][:, :, heavy] - b[None][:, :, heavy]
    plain = np.sqrt((offset**2).sum(-1).mean(-1))
    assert (found <= plain + 1e-12).all()
    assert np.allclose(found, symmetry.rmsd(b, a).T, atol=1e-12)
    rotation, shift = rigid_motion(seed)
    assert np.allclose(found, symmetry.rmsd(a @ rotation.T + shift, b @ rotation.T + shift))
    assert (symmetry.rmsd(a[1:2], b)[0] == found[1]).all()
    assert (np.diag(symmetry.rmsd(a, a)) == 0).all()


@given(molecules, st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_an_automorphism_costs_nothing_and_the_group_is_whole(name, seed):
    mol = molecule(name)
    symmetry = Symmetry.of(mol)
    maps = all_maps(mol)
    assert symmetry.order == len(maps) and not symmetry.capped
    a = poses_of(mol, 1, seed)
    heavy = [a.GetIdx() for a in mol.GetAtoms() if a.GetAtomicNum() > 1]
    for match in maps[:: max(1, len(maps) // 20)]:
        moved = a.copy()
        moved[:, list(match)] = a[:, heavy]
        assert symmetry.rmsd(a, moved)[0, 0] == 0


@given(molecules, st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_agrees_with_rdkit(name, seed):
    mol = molecule(name)
    poses = poses_of(mol, 2, seed)
    plain = skeleton(mol, poses)
    expected = rdMolAlign.CalcRMS(Chem.Mol(plain, confId=0), Chem.Mol(plain, confId=1))
    assert Symmetry.of(mol).rmsd(poses[:1], poses[1:])[0, 0] == pytest.approx(expected, abs=1e-9)


@given(
    n=st.integers(1, 7),
    edges=st.integers(0, 2**21 - 1),
    colours=st.lists(st.sampled_from("CN"), min_size=7, max_size=7),
)
@settings(deadline=None, max_examples=150)
def test_any_graph_has_all_its_automorphisms(n, edges, colours):
    pairs = [
        pair for bit, pair in enumerate(itertools.combinations(range(n), 2)) if edges >> bit & 1
    ]
    bonds = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    symmetry = Symmetry(colours[:n], bonds)
    bonded = {frozenset(pair) for pair in pairs}
    group = [
        permutation
        for permutation in itertools.permutations(range(n))
        if all(colours[i] == colours[j] for i, j in enumerate(permutation))
        and {frozenset(permutation[i] for i in pair) for pair in bonded} == bonded
    ]
    assert symmetry.order == len(group)
    a, b = np.random.default_rng(edges).normal(size=(2, 1, n, 3))
    slow = min(((a[0] - b[0][list(g)]) ** 2).sum() for g in group)
    assert symmetry.rmsd(a, b)[0, 0] == pytest.approx(np.sqrt(slow / n), abs=1e-12)


def test_independent_parts_are_not_multiplied_out():
    mol = Chem.MolFromSmiles("FC(F)(F)CC(C(F)(F)F)OC(C(F)(F)F)NC(C(F)(F)F)c1ccccc1")
    symmetry = Symmetry.of(mol, limit=12)
    assert symmetry.order == 6**4 * 2 and not symmetry.capped
    assert sum(len(maps) for _, maps in symmetry.parts) == 4 * 6 + 2


def test_a_cap_is_reported_and_stays_an_upper_bound():
    mol = Chem.MolFromSmiles("CC(C)(C)C(C(C)(C)C)C(C)(C)C")
    whole, cut = Symmetry.of(mol), Symmetry.of(mol, limit=10)
    assert not whole.capped and cut.capped and "more than" in repr(cut)
    a, b = poses_of(mol, 4, 0), poses_of(mol, 4, 1)
    plain = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1).mean(-1))
    assert (whole.rmsd(a, b) <= cut.rmsd(a, b) + 1e-12).all()
    assert (cut.rmsd(a, b) <= plain + 1e-12).all()


@given(st.sampled_from(IDS), st.integers(0, 2**32 - 1), st.floats(0.1, 4.0), st.integers(1, 9))
@settings(deadline=None, max_examples=25)
def test_clusters_are_the_best_of_their_kind(key, seed, cutoff, limit):
    source = ligand(key)
    symmetry = Symmetry.of(source.mol)
    rng = np.random.default_rng(seed)
    coords = source.coords + rng.normal(size=(30, 1, 3))
    scores = rng.normal(size=30).round(1)
    kept = symmetry.cluster(coords, scores, cutoff=cutoff, limit=limit)
    distance = symmetry.rmsd(coords, coords)
    assert scores[kept[0]] == scores.max() and len(kept) <= limit
    assert (np.diff(scores[kept]) <= 0).all()
    among = distance[np.ix_(kept, kept)] + np.eye(len(kept)) * 99
    assert (among > cutoff).all()
    everything = symmetry.cluster(coords, scores, cutoff=cutoff, limit=None)
    assert (everything[: len(kept)] == kept).all()
    for pose in set(range(30)) - set(everything.tolist()):
        better = [k for k in everything if scores[k] >= scores[pose]]
        assert (distance[pose, better] <= cutoff).any()


def test_refuses_nonsense():
    bonds = np.array([[0, 1]])
    with pytest.raises(ValueError, match="heavy atom"):
        Symmetry(["H", "H"], bonds)
    with pytest.raises(ValueError, match="bonds must name atoms 0 to 1"):
        Symmetry(["C", "C"], np.array([[0, 2]]))
    symmetry = Symmetry(["C", "O"], bonds)
    with pytest.raises(ValueError, match=r"shape \(p, 2, 3\)"):
        symmetry.rmsd(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)))
    with pytest.raises(ValueError, match="NaN"):
        symmetry.cluster(np.zeros((1, 2, 3)), np.array([np.nan]))
