"""A ligand keeps its input's atoms, and its torsions move what they should and nothing else."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import AllChem

from docking.ligand import MAX_ATOMS, NO_COORDINATES, Failure, Ligand
from docking.torsion import apply_torsions
from docking.typing import NO_TYPE, VinaType
from overparam.errors import InputError

from .demo import FOLDER, IDS, ligand, ligand_path, mol2_text, with_hydrogens

SMILES = [
    "CCCC", "CC(=O)NCc1ccccc1", "CCOC(=O)c1ccc(N)cc1", "CC#CC(C)CO", "CN(C)C(=O)CCC(F)(F)F",
    "CCN(C)C(=O)CC", "NC(=N)NCCCC(N)C(=O)O", "C1CCC1CC1CC1", "OCC(O)C(O)CO", "CCS(=O)(=O)NCCC#N",
    "c1ccc(-c2ccccc2)cc1", "CC(C)(C)OC(=O)N1CCC(CC1)Oc1ccncc1", "O=C(O)CCP(=O)(O)O",
]  # fmt: skip


def embedded(smiles: str, hydrogens: bool = True) -> Ligand:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    return Ligand.from_rdkit(mol if hydrogens else Chem.RemoveHs(mol))


@pytest.mark.parametrize(
    ("smiles", "active", "counted"),
    [
        ("CCCC", 1, 1.0),
        ("CCO", 0, 0.5),  # the hydroxyl turns hydrogens only
        ("CCCO", 1, 1.5),
        ("CC", 0, 0.0),
        ("CO", 0, 0.0),
        ("CCN", 0, 0.5),
        ("CC(=O)NC", 0, 0.0),  # amide
        ("CN(C)C(=O)CC", 1, 1.0),  # tertiary amide with equal arms stays
        ("CCN(C)C(=O)CC", 3, 3.0),  # with different arms it turns
        ("NC(=N)CC", 1, 1.0),
        ("CCC#N", 0, 0.0),
        ("CC#CC", 1, 1.0),  # counted once, about the triple bond
        ("CCC#CCC", 1, 1.0),
        ("c1ccc(-c2ccccc2)cc1", 1, 1.0),
        ("C1CCCCCCCCCCC1", 0, 0.0),  # macrocycles stay rigid
        ("CC(F)(F)F", 0, 0.0),
        ("CCC(F)(F)F", 1, 1.0),
        ("OC(=O)CC", 1, 1.5),
        ("CC(C)(C)C", 0, 0.0),
        ("CCS(=O)(=O)NC", 2, 2.0),
    ],
)
def test_rotatable_bonds(smiles, active, counted):
    bare = Ligand.from_smiles(smiles)
    assert (len(bare.torsions), bare.num_torsions) == (active, counted)
    full = Ligand.from_rdkit(Chem.AddHs(Chem.MolFromSmiles(smiles)))
    assert (len(full.torsions), full.num_torsions) == (active, counted)


@given(smiles=st.sampled_from(SMILES), hydrogens=st.booleans(), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_torsions_keep_bonds_angles_and_rigid_bodies(smiles, hydrogens, seed):
    whole = embedded(smiles, hydrogens)
    angles = np.random.default_rng(seed).uniform(-np.pi, np.pi, len(whole.torsions))
    turned = apply_torsions(whole.coords, whole.torsions, angles)
    before = np.linalg.norm(whole.coords[:, None] - whole.coords, axis=-1)
    after = np.linalg.norm(turned[:, None] - turned, axis=-1)
    i, j = whole.bonds.T
    assert np.allclose(before[i, j], after[i, j], atol=1e-9)
    adjacency = np.zeros((len(whole), len(whole)), dtype=int)
    adjacency[i, j] = adjacency[j, i] = 1
    angle = (adjacency @ adjacency) > 0
    assert np.allclose(before[angle], after[angle], atol=1e-9)
    same = whole.fragments[:, None] == whole.fragments
    assert np.allclose(before[same], after[same], atol=1e-9)
    # the root never moves, and turning back undoes it all
    assert np.array_equal(turned[whole.fragments == 0], whole.coords[whole.fragments == 0])
    back = turned
    for k in range(len(angles))[::-1]:
        only = np.zeros(len(angles))
        only[k] = -angles[k]
        back = apply_torsions(back, whole.torsions, only)
    assert np.allclose(back, whole.coords, atol=1e-9)
    # what movable_pairs leaves out either never changes or is close along the bonds
    changed = np.abs(before - after) > 1e-6
    pairs = {tuple(p) for p in whole.tree.movable_pairs(whole.bonds, whole.heavy).tolist()}
    steps = np.linalg.matrix_power(np.eye(len(whole), dtype=int) + adjacency, 3) > 0
    for a, b in np.argwhere(np.triu(changed & ~steps, 1)).tolist():
        if whole.heavy[a] and whole.heavy[b]:
            assert (a, b) in pairs


@given(smiles=st.sampled_from(SMILES), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_every_torsion_turns_its_dihedral_by_its_angle(smiles, seed):
    whole = embedded(smiles)
    angles = np.random.default_rng(seed).uniform(-np.pi, np.pi, (3, len(whole.torsions)))
    turned = apply_torsions(whole.coords, whole.torsions, angles)
    assert turned.shape == (3, len(whole), 3)
    neighbours = {a.GetIdx(): [b.GetIdx() for b in a.GetNeighbors()] for a in whole.mol.GetAtoms()}
    for k, torsion in enumerate(whole.torsions):
        i, j = torsion.axis
        first = next(a for a in neighbours[i] if a != j)
        last = next(b for b in neighbours[j] if b != i)
        if _bent(whole.coords, first, i, j) and _bent(whole.coords, i, j, last):
            turn = _dihedral(turned, first, i, j, last) - _dihedral(whole.coords, first, i, j, last)
            assert np.allclose(np.exp(1j * turn), np.exp(1j * angles[:, k]), atol=1e-6)


def _bent(x, a, b, c):
    u, v = x[a] - x[b], x[c] - x[b]
    return abs(u @ v) < 0.99 * np.linalg.norm(u) * np.linalg.norm(v)


def _dihedral(x, a, b, c, d):
    u, v, w = x[..., b, :] - x[..., a, :], x[..., c, :] - x[..., b, :], x[..., d, :] - x[..., c, :]
    m, n = np.cross(u, v), np.cross(v, w)
    along = v / np.linalg.norm(v, axis=-1, keepdims=True)
    return np.arctan2((np.cross(m, n) * along).sum(-1), (m * n).sum(-1))


@pytest.mark.parametrize("key", IDS)
def test_the_tree_is_a_tree(key):
    tree = ligand(key).tree
    assert len(tree.parents) == len(tree.torsions) + 1 == len(set(tree.fragments.tolist()))
    assert tree.parents[0] == -1 and all(p < b for b, p in enumerate(tree.parents))
    for torsion in tree.torsions:
        i, j = torsion.axis
        assert tree.fragments[j] == torsion.fragment
        assert tree.fragments[i] == tree.parents[torsion.fragment]
        assert not {i, j} & set(torsion.moved.tolist()) and len(torsion.moved) > 0


@pytest.mark.parametrize("key", IDS)
def test_sdf_mol2_and_rdkit_are_one_ligand(tmp_path, key):
    whole = ligand(key)
    (tmp_path / "l.mol2").write_text(mol2_text(key))
    (tmp_path / "l.sdf.gz").write_bytes(gzip.compress(ligand_path(key).read_bytes()))
    packed = Ligand.from_file(tmp_path / "l.sdf.gz")
    rdkit = Ligand.from_rdkit(Chem.MolFromMolFile(str(ligand_path(key))))
    mol2 = Ligand.from_file(tmp_path / "l.mol2")
    n = len(whole)
    for other in (packed, rdkit, mol2):
        assert (other.vina_type[:n] == whole.vina_type).all()
        assert (other.vina_type[n:] == NO_TYPE).all()
        assert np.allclose(other.coords[:n], whole.coords, atol=1e-3)
        assert other.num_torsions == whole.num_torsions
    smiles = Ligand.from_smiles(Chem.MolToSmiles(whole.mol), "x")
    assert sorted(smiles.vina_type) == sorted(whole.vina_type)
    assert smiles.coords is None and NO_COORDINATES in smiles.warnings


def record(
    title="x",
    atoms=(("C", 0.0, 0.0, 0.0), ("O", 1.4, 0.0, 0.0)),
    bonds=((1, 2, 1),),
    data="",
    dim="3D",
):
    rows = [f"{x:10.4f}{y:10.4f}{z:10.4f} {s:<3s} 0  0" for s, x, y, z in atoms]
    links = [f"{i:3d}{j:3d}{o:3d}  0" for i, j, o in bonds]
    head = [title, f"  overparam         {dim}", ""]
    counts = f"{len(rows):3d}{len(links):3d}  0  0  0  0  0  0  0  0999 V2000"
    return "\n".join([*head, counts, *rows, *links, "M  END", data + "$$$$", ""])  # fmt: skip


def load(tmp_path, text, name="l.sdf", **options):
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / name).write_bytes(data)
    return Ligand.from_file(tmp_path / name, **options)


def test_properties_and_titles(tmp_path):
    text = record("méthanol", data="> <id> (1)\nA-1\nsecond line\n\n>  <empty>\n\n> <last>\n7\n\n")
    found = load(tmp_path, text)
    assert found.properties == {"id": "A-1\nsecond line", "empty": "", "last": "7"}
    assert found.title == found.name == "méthanol"
    assert load(tmp_path, text.encode("latin-1")).title == "méthanol"


def test_duplicate_and_missing_titles_become_unique_names(tmp_path):
    (tmp_path / "lib.sdf").write_text("".join(record(t) for t in ["a", "a", "", "a_2", "a", ""]))
    found = list(Ligand.iter_file(tmp_path / "lib.sdf"))
    assert [x.name for x in found] == ["a", "a_2", "lib_3", "a_2_2", "a_3", "lib_6"]
    assert [x.title for x in found] == ["a", "a", "", "a_2", "a", ""]
    assert len({x.name for x in found}) == 6
    first = Ligand.from_file(tmp_path / "lib.sdf")
    assert any("more records" in w for w in first.warnings)
    assert Ligand.from_file(tmp_path / "lib.sdf", record=4).title == "a"
    with pytest.raises(InputError, match="no record 10"):
        Ligand.from_file(tmp_path / "lib.sdf", record=9)


def test_bad_records_are_skipped_counted_and_named(tmp_path):
    broken = record("nan").replace("1.4000", "   nan")
    cut = record("cut")[:110]
    (tmp_path / "lib.sdf").write_text(record("ok") + broken + record("fine") + cut)
    failures: list[Failure] = []
    found = list(Ligand.iter_file(tmp_path / "lib.sdf", failures=failures))
    assert [x.name for x in found] == ["ok", "fine"]
    assert [f.record for f in failures] == [2, 4]
    assert (
        "record 2 'nan', line 15: x coordinate of atom 2 must be a finite number"
        in failures[0].reason
    )
    assert "cut short" in failures[1].reason and "record 4" in failures[1].reason
    with pytest.raises(InputError, match="record 2"):
        list(Ligand.iter_file(tmp_path / "lib.sdf", on_error="raise"))
    whole = (tmp_path / "lib.sdf").read_bytes()
    packed = gzip.compress(whole * 40, mtime=0)
    (tmp_path / "cut.sdf.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="damaged or truncated gzip"):
        list(Ligand.iter_file(tmp_path / "cut.sdf.gz"))
    failures.clear()
    found = list(Ligand.iter_file(tmp_path / "cut.sdf.gz", failures=failures))
    assert len(found) >= 2 and "damaged or truncated gzip" in failures[-1].reason


def test_the_largest_fragment_is_kept(tmp_path):
    salt = Ligand.from_smiles("[Na+].CC(=O)[O-].O")
    assert salt.elements == ["C", "C", "O", "O"] and salt.input_atoms.tolist() == [1, 2, 3, 4]
    assert any("3 fragments; kept the largest" in w for w in salt.warnings)
    text = record(
        atoms=[("Cl", 9.0, 0.0, 0.0), ("C", 0.0, 0.0, 0.0), ("O", 1.4, 0.0, 0.0)], bonds=[(2, 3, 1)]
    )
    placed = load(tmp_path, text)
    assert placed.coords.tolist() == [[0, 0, 0], [1.4, 0, 0]]


def test_flat_and_blank_coordinates_are_no_coordinates(tmp_path):
    drawing = load(tmp_path, record(dim="2D"))
    blank = load(tmp_path, record(atoms=[("C", 0.0, 0.0, 0.0), ("O", 0.0, 0.0, 0.0)]))
    for found in (drawing, blank):
        assert found.coords is None and NO_COORDINATES in found.warnings
    assert load(tmp_path, record()).coords is not None
    moved = drawing.with_coords(np.ones((2, 3)))
    assert NO_COORDINATES not in moved.warnings and drawing.coords is None


def test_overvalent_nitrogen_gets_its_charge(tmp_path):
    atoms = [
        ("N", 0.0, 0.0, 0.0),
        *[("C", *xyz) for xyz in np.eye(3) * 1.5],
        ("C", -1.0, -1.0, 0.0),
    ]
    found = load(tmp_path, record(atoms=atoms, bonds=[(1, k, 1) for k in (2, 3, 4, 5)]))
    assert found.mol.GetAtomWithIdx(0).GetFormalCharge() == 1
    assert "formal charge to over-valent N1" in found.warnings[0]
    assert found.vina_type[0] == VinaType.N_P


def test_a_ring_that_cannot_be_kekulised_is_kept_as_written(tmp_path):
    ring = [("C", float(np.cos(k)), float(np.sin(k)), 0.1 * k) for k in range(5)]
    found = load(
        tmp_path, record(atoms=ring, bonds=[(k + 1, (k + 1) % 5 + 1, 4) for k in range(5)])
    )
    assert len(found) == 5 and any("not sanitised" in w and "kekulize" in w for w in found.warnings)
    assert (found.vina_type == VinaType.C_H).all() and found.num_torsions == 0


def test_coordinates_of_deuterium_and_of_elements_vina_lacks(tmp_path):
    found = load(tmp_path, record(atoms=[("B", 0.0, 0.0, 0.0), ("D", 1.2, 0.0, 0.0)]))
    assert found.vina_type.tolist() == [VinaType.MISC, NO_TYPE]
    assert any("element B has no Vina type" in w for w in found.warnings)


GOOD = record()


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("", "l.sdf", "the file is empty"),
        ("x\n", "l.sdf", "record 1 'x', line 1: cut short: 1 lines"),
        (GOOD.replace("C  ", "*  "), "l.sdf", "line 5: atom 1 is a dummy \\(\\*\\)"),
        (GOOD.replace("C  ", "R# "), "l.sdf", "atom 1 is a dummy \\(R#\\)"),
        (GOOD.replace("C  ", "Qq "), "l.sdf", "atom 1 has no known element: 'Qq'"),
        (GOOD.replace("1.4000", "   inf"), "l.sdf", "line 6: x coordinate of atom 2"),
        (GOOD.replace("  1  2  1", "  1  7  1"), "l.sdf", "line 7: bond between atoms 1 and 7"),
        (GOOD.replace("  2  1  0", " 20  1  0"), "l.sdf", "line 4: cut short: 20 atoms"),
        (GOOD.replace("  2  1  0", "  x  1  0"), "l.sdf", "line 4: counts line must hold two"),
        (record(bonds=[]), "l.sdf", "no bond"),
        (record(atoms=[("H", 0.0, 0.0, 0.0), ("H", 0.7, 0.0, 0.0)]), "l.sdf", "no heavy atom"),
        ("hello\n", "l.mol2", "no @<TRIPOS>MOLECULE in 1 lines"),
        (mol2_text("1p5e").replace("Br", "Du", 2), "l.mol2", "is a dummy|no known element"),
        (mol2_text("1p5e")[:400], "l.mol2", "line 3: cut short: "),
        ("CC(\n", "l.smi", "record 1 .*not a SMILES: 'CC\\('"),
        ("*CC\n", "l.smi", "atom 1 is a dummy"),
        ("x", "l.xyz", "unknown file type"),
    ],
)  # fmt: skip
def test_refusals_say_what_and_where(tmp_path, text, name, reason):
    with pytest.raises(InputError, match=reason) as caught:
        load(tmp_path, text, name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_refusals_of_rdkit_molecules():
    with pytest.raises(InputError, match="it is None"):
        Ligand.from_rdkit(None)
    with pytest.raises(InputError, match="dummy"):
        Ligand.from_rdkit(Chem.MolFromSmiles("*C"))
    with pytest.raises(InputError, match=f"may have {MAX_ATOMS} atoms"):
        Ligand.from_smiles("C" * (MAX_ATOMS + 1))
    mol = Chem.MolFromMolFile(str(ligand_path("1stp")))
    mol.GetConformer().SetAtomPosition(3, (float("nan"), 0.0, 0.0))
    with pytest.raises(InputError, match="coordinates of atom 4 must be finite"):
        Ligand.from_rdkit(mol)
    with pytest.raises(InputError, match="no conformer 5"):
        Ligand.from_rdkit(mol, conformer=5)


def test_smiles_files(tmp_path):
    (tmp_path / "l.smi").write_text(
        "smiles name\nCCO ethanol\n\n# note\nCC(\tbad\nc1ccccc1\tbenzene ring\n"
    )
    failures: list[Failure] = []
    found = list(Ligand.iter_file(tmp_path / "l.smi", failures=failures))
    assert [x.name for x in found] == ["ethanol", "benzene ring"]
    assert failures[0].record == 2 and "line 5" in failures[0].reason


def test_many_mol2_records(tmp_path):
    (tmp_path / "l.mol2").write_text("# made by hand\n" + "".join(mol2_text(k, k) for k in IDS))
    assert [x.name for x in Ligand.iter_file(tmp_path / "l.mol2")] == list(IDS)


PDBQT = """REMARK  Name = propanol
ROOT
ATOM      1  C1  UNL     1       0.000   0.000   0.000  1.00  0.00     0.000 C
ATOM      2  C2  UNL     1       1.520   0.000   0.000  1.00  0.00     0.000 C
ENDROOT
BRANCH   2   3
ATOM      3  C3  UNL     1       2.030   1.430   0.000  1.00  0.00     0.000 C
BRANCH   3   4
ATOM      4  O4  UNL     1       3.450   1.430   0.000  1.00  0.00     0.000 OA
ATOM      5  H5  UNL     1       3.770   2.330   0.000  1.00  0.00     0.000 HD
ENDBRANCH   3   4
ENDBRANCH   2   3
TORSDOF 2
"""


def test_pdbqt_alone_and_over_a_template(tmp_path):
    alone = load(tmp_path, PDBQT, "l.pdbqt")
    assert [VinaType(t).name if t >= 0 else "-" for t in alone.vina_type] == [
        "C_H", "C_H", "C_P", "O_DA", "-",
    ]  # fmt: skip
    assert (len(alone.torsions), alone.num_torsions, alone.name) == (1, 1.5, "propanol")
    template = Ligand.from_smiles("OCCC", "propan-1-ol")
    over = Ligand.from_pdbqt(tmp_path / "l.pdbqt", template)
    assert over.elements == ["O", "C", "C", "C"] and over.name == "propan-1-ol"
    assert np.allclose(over.coords[0], [3.45, 1.43, 0]) and np.allclose(over.coords[3], 0)
    assert over.num_torsions == alone.num_torsions
    full = Ligand.from_pdbqt(tmp_path / "l.pdbqt", Chem.AddHs(template.mol))
    lengths = np.linalg.norm(full.coords[full.bonds[:, 0]] - full.coords[full.bonds[:, 1]], axis=1)
    assert len(full) == 12 and lengths.min() > 0.9 and lengths.max() < 1.6
    with pytest.raises(InputError, match="do not match the 3 of template"):
        Ligand.from_pdbqt(tmp_path / "l.pdbqt", Ligand.from_smiles("OCC"))
    with pytest.raises(InputError, match="line 7: BRANCH without ENDBRANCH; the file is cut short"):
        load(tmp_path, PDBQT[: PDBQT.index("BRANCH   3   4")], "cut.pdbqt")
    other = PDBQT.replace("0.000   0.000   0.000", "0.100   0.000   0.000")
    two = f"MODEL 1\n{PDBQT}ENDMDL\nMODEL 2\n{other}ENDMDL\n"
    assert load(tmp_path, two, "two.pdbqt", record=1).coords[0, 0] == 0.1


def test_every_demo_file_is_clean():
    for path in sorted(FOLDER.glob("*.sdf")):
        assert Ligand.from_file(path).warnings == []


def test_explicit_hydrogens_are_kept_and_move_with_their_atoms():
    bare = ligand("3og7")
    full = Ligand.from_rdkit(with_hydrogens(bare.mol))
    assert len(full) > len(bare) and full.num_torsions == bare.num_torsions
    pairs = bare.tree.movable_pairs(bare.bonds, bare.heavy)
    assert pairs.tolist() == full.tree.movable_pairs(full.bonds, full.heavy).tolist()
