"""Vina's types follow the chemistry, however the molecule was written down."""

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from docking.bonds import perceive_bonds
from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.typing import (
    ACCEPTOR,
    DONOR,
    HYDROPHOBIC,
    NO_TYPE,
    RADIUS,
    VinaType,
    autodock_element,
    autodock_types,
)

from .demo import IDS, ligand, pdb_text, receptor, rigid_motion, with_hydrogens

T = VinaType


def names(smiles: str) -> list[str]:
    types = Ligand.from_smiles(smiles).vina_type
    return [T(t).name for t in types]


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CCO", "C_H C_P O_DA"),
        ("COC", "C_P O_A C_P"),
        ("CC(=O)N", "C_H C_P O_A N_D"),  # amide nitrogen takes nothing
        ("c1ccncc1", "C_H C_H C_P N_A C_P C_H"),
        ("c1cc[nH]c1", "C_H C_H C_P N_D C_P"),
        ("Cn1cccc1", "C_P N_P C_P C_H C_H C_P"),
        ("CCN", "C_H C_P N_DA"),
        ("CC[NH3+]", "C_H C_P N_D"),
        ("CN(C)C", "C_P N_A C_P C_P"),
        ("CS(=O)(=O)N", "C_P S_P O_A O_A N_DA"),  # no carbon beside the nitrogen
        ("CC#N", "C_H C_P N_A"),
        ("C[N+](=O)[O-]", "C_P N_P O_A O_A"),
        ("CC(=O)[O-]", "C_H C_P O_A O_A"),
        ("Nc1ccccc1", "N_D C_P C_H C_H C_H C_H C_H"),
        ("CN=NN(C)C", "C_P N_A N_A N_P C_P C_P"),  # triazene
        ("FC(Cl)(Br)I", "F_H C_P CL_H BR_H I_H"),
        ("CP(=O)(O)O", "C_P P_P O_A O_DA O_DA"),
        ("C[Si](C)(C)C", "C_P SI C_P C_P C_P"),
        ("CSC", "C_P S_P C_P"),
        ("C[Se]C", "C_P S_P C_P"),
        ("CB(O)O", "C_P MISC O_DA O_DA"),
    ],
)
def test_types_of_small_molecules(smiles, expected):
    assert names(smiles) == expected.split()


def test_tables_say_what_the_names_say():
    assert len(RADIUS) == len(HYDROPHOBIC) == len(DONOR) == len(ACCEPTOR) == len(T)
    assert DONOR[T.MET_D] and not ACCEPTOR[T.MET_D]
    assert DONOR[T.N_DA] and ACCEPTOR[T.N_DA] and not (DONOR | ACCEPTOR)[T.N_P]
    assert {t for t in T if HYDROPHOBIC[t]} == {T.C_H, T.F_H, T.CL_H, T.BR_H, T.I_H}
    assert [RADIUS[t] for t in (T.C_P, T.N_A, T.O_DA, T.S_P, T.MET_D)] == [1.9, 1.8, 1.7, 2.0, 1.2]


def test_autodock_names_give_the_same_as_their_chemistry():
    kinds = ["C", "A", "N", "NA", "OA", "HD", "SA", "Zn", "Cl", "G0", "W", "CG1", "Na", "H"]
    elements = [autodock_element(kind) for kind in kinds]
    assert elements == "C C N N O H S Zn Cl * * C Na H".split()  # noqa: SIM905
    bonds = np.array([[0, 2], [2, 5], [1, 13]])
    _, types = autodock_types(kinds, bonds)
    assert [T(t).name if t >= 0 else "-" for t in types] == [
        "C_P", "C_H", "N_D", "N_A", "O_A", "-", "S_P", "MET_D", "CL_H", "-", "-", "C_H", "MET_D",
        "-",
    ]  # fmt: skip


@pytest.mark.parametrize("key", IDS)
def test_explicit_hydrogens_change_no_ligand_type(key):
    bare = ligand(key)
    full = Ligand.from_rdkit(with_hydrogens(bare.mol))
    assert (full.vina_type[: len(bare)] == bare.vina_type).all()
    assert (full.vina_type[len(bare) :] == NO_TYPE).all()


@given(key=st.sampled_from(IDS), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_ligand_types_follow_a_permutation_of_the_atoms(key, seed):
    bare = ligand(key)
    order = np.random.default_rng(seed).permutation(len(bare))
    shuffled = Ligand.from_rdkit(Chem.RenumberAtoms(bare.mol, order.tolist()))
    assert (shuffled.vina_type == bare.vina_type[order]).all()
    assert shuffled.num_torsions == bare.num_torsions
    assert np.allclose(shuffled.coords, bare.coords[order])


@given(key=st.sampled_from(IDS[:3]), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=6)
def test_receptor_types_ignore_pose_and_atom_order(key, seed):
    whole = receptor(key)
    order = np.random.default_rng(seed).permutation(len(whole))
    rotation, shift = rigid_motion(seed)
    moved = Receptor(
        whole.positions[order] @ rotation.T + shift,
        [whole.elements[i] for i in order],
        [whole.names[i] for i in order],
        whole.residue_index[order],
        whole.residues,
    )
    assert (moved.vina_type == whole.vina_type[order]).all()


@pytest.mark.parametrize("key", IDS)
def test_hydrogens_where_they_belong_change_no_receptor_type(key):
    """A hydrogen on every donor and carbon, away from its neighbours, says nothing new."""
    whole = receptor(key)
    centre = np.zeros_like(whole.positions)
    count = np.zeros(len(whole))
    for i, j in whole.bonds:
        centre[i] += whole.positions[j]
        centre[j] += whole.positions[i]
        count[[i, j]] += 1
    bearing = np.flatnonzero(((whole.vina_type <= T.C_P) | DONOR[whole.vina_type]) & (count > 0))
    away = whole.positions - centre / np.maximum(count, 1)[:, None]
    bearing = bearing[np.linalg.norm(away[bearing], axis=1) > 0.3]  # flat atoms have no room
    away = away[bearing]
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    full = Receptor(
        np.concatenate([whole.positions, whole.positions[bearing] + away]),
        whole.elements + ["H"] * len(bearing),
        whole.names + ["H"] * len(bearing),
        np.concatenate([whole.residue_index, whole.residue_index[bearing]]),
        whole.residues,
    )
    assert (full.vina_type[: len(whole)] == whole.vina_type).all()
    assert (full.vina_type[len(whole) :] == NO_TYPE).all()


def test_hydrogens_of_another_program_agree_outside_titratable_groups():
    """RDKit writes neutral acids and bases, so only what never changes state is compared."""
    whole = receptor("1stp")
    mol = Chem.MolFromPDBBlock(pdb_text("1stp"), removeHs=False)
    full = Chem.AddHs(mol, addCoords=True, addResidueInfo=True)
    order = [atom.GetIdx() for atom in mol.GetAtoms()]
    assert np.allclose(mol.GetConformer().GetPositions(), whole.positions, atol=1e-3)
    structure = gemmi.read_pdb_string(Chem.MolToPDBBlock(full, flavor=4 | 32))
    rows = [(c.name, str(r.seqid), r.name, a) for c in structure[0] for r in c for a in r]
    given = {(c, s, a.name): a for c, s, _, a in rows if a.element.name != "H"}
    assert len(given) == len(order)
    places = np.array([[a.pos.x, a.pos.y, a.pos.z] for *_, a in rows])
    keys = list(dict.fromkeys((c, s, n) for c, s, n, _ in rows))
    index = np.array([keys.index((c, s, n)) for c, s, n, _ in rows])
    by_id = {r.id: r for r in whole.residues}
    other = Receptor(
        places, [a.element.name for *_, a in rows], [a.name for *_, a in rows], index,
        [by_id[f"{c}:{s}"] for c, s, _ in keys],
    )  # fmt: skip
    compared = 0
    lookup = {
        (whole.residues[r].id, n): t
        for r, n, t in zip(whole.residue_index, whole.names, whole.vina_type, strict=True)
    }
    for r, name, kind in zip(other.residue_index, other.names, other.vina_type, strict=True):
        residue = other.residues[r]
        if kind == NO_TYPE or residue.name in ("ASP", "GLU", "HIS", "LYS", "ARG", "PRO"):
            continue
        assert lookup[(residue.id, name)] == kind, (residue, name)
        compared += 1
    assert compared > 500


def test_bonds_by_distance_equal_the_definition():
    whole = receptor("1bju")
    rng = np.random.default_rng(0)
    near = np.argsort(np.linalg.norm(whole.positions - whole.positions[600], axis=1))[:220]
    xyz = whole.positions[near] + rng.normal(scale=0.15, size=(220, 3))
    elements = [whole.elements[i] for i in near]
    radius = np.array([{"C": 0.77, "N": 0.75, "O": 0.73, "S": 1.02}[e] for e in elements])
    d = np.linalg.norm(xyz[:, None] - xyz, axis=-1)
    expected = {
        (i, j)
        for i in range(220)
        for j in range(i)
        if d[i, j] < 1.1 * (radius[i] + radius[j])
        and not (
            (np.maximum(d[i], d[j]) < d[i, j]) & (np.arange(220) != i) & (np.arange(220) != j)
        ).any()
    }
    assert {(j, i) for i, j in perceive_bonds(xyz, elements).tolist()} == expected


def histidine(extra: str = "", name: str = "HIS") -> Receptor:
    """A histidine ring with ND1 at the origin side, and whatever atoms are put around it."""
    lines = []
    for atom, element, x, y, z in [
        ("N", "N", -3.6, 0.9, 1.2), ("CA", "C", -2.5, 1.8, 0.9), ("C", "C", -2.9, 3.2, 0.5),
        ("O", "O", -4.1, 3.5, 0.4), ("CB", "C", -1.4, 1.2, 0.0), ("CG", "C", -0.1, 0.6, 0.4),
        ("ND1", "N", 0.2, -0.7, 0.2), ("CE1", "C", 1.5, -0.9, 0.4), ("NE2", "N", 2.1, 0.2, 0.7),
        ("CD2", "C", 1.1, 1.1, 0.7),
    ]:  # fmt: skip
        lines.append(
            f"ATOM  {1:5d}  {atom:<3s} {name} A   1    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
            f"          {element:>2s}"
        )
    return "\n".join(lines) + "\n" + extra


def beside(name: str, residue: str, x: float, y: float, z: float, element: str) -> str:
    number = 1 if residue == "HIS" else 2
    return (
        f"ATOM      2 {name:>4s} {residue:>3s} A   {number}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00"
        f"          {element:>2s}\n"
    )


@pytest.mark.parametrize(
    ("extra", "name", "nd1", "ne2"),
    [
        ("", "HIS", "N_A", "N_D"),
        ("", "HID", "N_D", "N_A"),
        ("", "HIP", "N_D", "N_D"),
        # a metal on NE2 pushes the hydrogen to ND1
        (beside("ZN", "ZN", 4.0, 0.3, 0.9, "ZN"), "HIS", "N_D", "N_A"),
        # an acceptor beside ND1 does the same, beside NE2 it does not
        (beside("OD1", "ASN", -0.9, -3.2, 0.0, "O"), "HIS", "N_D", "N_A"),
        (beside("OD1", "ASN", 4.7, 0.6, 1.0, "O"), "HIS", "N_A", "N_D"),
        # given hydrogens decide
        (beside("HD1", "HIS", -0.45, -1.45, 0.0, "H"), "HIS", "N_D", "N_A"),
    ],
)
def test_histidine_tautomer(tmp_path, extra, name, nd1, ne2):
    (tmp_path / "h.pdb").write_text(histidine(extra, name))
    r = Receptor.from_file(tmp_path / "h.pdb")
    found = {n: T(t).name for n, t in zip(r.names, r.vina_type, strict=True) if t >= 0}
    assert (found["ND1"], found["NE2"]) == (nd1, ne2)
