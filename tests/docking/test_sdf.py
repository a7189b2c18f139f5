"""Poses come out with the chemistry that went in."""

import gzip
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from docking.ligand import Ligand
from docking.sdf import sdf_block, write_sdf
from overparam.errors import InputError

from .demo import IDS, ligand, rigid_motion, with_hydrogens


def canonical(mol: Chem.Mol) -> list[tuple]:
    """Atoms and bonds in order, with what must survive."""
    atoms = [
        (a.GetSymbol(), a.GetFormalCharge(), a.GetTotalNumHs(), a.GetIsAromatic())
        for a in mol.GetAtoms()
    ]
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), str(b.GetBondType())) for b in mol.GetBonds()]
    return [*atoms, *bonds]


@given(
    key=st.sampled_from(IDS),
    hydrogens=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    properties=st.dictionaries(
        st.text("abcXYZ_- 09é", min_size=1, max_size=12).filter(lambda s: s.strip() == s),
        st.text("abc 0.1-é$>", max_size=20).filter(
            lambda s: s.strip() == s and not s.startswith(">")
        ),
        max_size=4,
    ),
)
@settings(deadline=None, max_examples=30)
def test_round_trip(tmp_path_factory, key, hydrogens, seed, properties):
    bare = ligand(key)
    mol = with_hydrogens(bare.mol) if hydrogens else Chem.Mol(bare.mol)
    mol.SetProp("_Name", f"pose of {key}")
    source = Ligand.from_rdkit(mol)
    source.properties = properties
    rotation, shift = rigid_motion(seed)
    poses = np.stack([source.coords, source.coords @ rotation.T + shift])
    path = tmp_path_factory.mktemp("sdf") / "poses.sdf"
    write_sdf(path, source, poses, scores=[1.5, -2.0], model="physics")
    found = list(Ligand.iter_file(path, on_error="raise"))
    for rank, (pose, back) in enumerate(zip(poses, found, strict=True), start=1):
        assert canonical(back.mol) == canonical(source.mol)
        assert np.allclose(back.coords, pose, atol=1e-4)
        assert back.title == f"pose of {key}"
        assert {
            **properties,
            "rank": str(rank),
            "model": "physics",
        }.items() <= back.properties.items()
        assert float(back.properties["score"]) == [1.5, -2.0][rank - 1]
        assert (back.vina_type == source.vina_type).all()
        assert Chem.MolToSmiles(back.mol) == Chem.MolToSmiles(source.mol)


@pytest.mark.parametrize(
    "smiles", ["C[N+](C)(C)CC(=O)[O-]", "C[C@H](N)C(=O)O", "F/C=C/Cl", "C[Se]C", "[2H]C"]
)
def test_charges_isotopes_and_stereo_survive(tmp_path, smiles):
    from rdkit.Chem import AllChem

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=3)
    source = Ligand.from_rdkit(mol)
    write_sdf(tmp_path / "p.sdf.gz", source, source.coords[None])
    with gzip.open(tmp_path / "p.sdf.gz", "rt") as file:
        assert file.read().endswith("$$$$\n")
    back = Ligand.from_file(tmp_path / "p.sdf.gz")
    assert Chem.MolToSmiles(back.mol) == Chem.MolToSmiles(mol)


def test_an_unsanitised_molecule_is_written_as_it_was_read(tmp_path):
    ring = "".join(
        f"{np.cos(k):10.4f}{np.sin(k):10.4f}{0.1 * k:10.4f} C   0  0\n" for k in range(5)
    )
    bonds = "".join(f"{k + 1:3d}{(k + 1) % 5 + 1:3d}  4  0\n" for k in range(5))
    head = "odd\n  x                 3D\n\n  5  5  0  0  0  0  0  0  0  0999 V2000\n"
    text = f"{head}{ring}{bonds}M  END\n$$$$\n"
    (tmp_path / "in.sdf").write_text(text)
    source = Ligand.from_file(tmp_path / "in.sdf")
    write_sdf(tmp_path / "out.sdf", source, source.coords[None])
    back = Ligand.from_file(tmp_path / "out.sdf")
    assert [b.GetBondTypeAsDouble() for b in back.mol.GetBonds()] == [1.5] * 5


def test_values_cannot_break_the_record():
    source = ligand("1p5e")
    source.properties = {"note": "one\n\ntwo\n$$$$\nthree", "a<b>\n": "x"}
    text = sdf_block(source, source.coords)
    assert text.count("$$$$") == 1 and text.endswith("$$$$\n")
    assert "one\n \ntwo\n$ $ $ $\nthree" in text and ">  <ab>" in text


def test_writes_to_an_open_file_and_refuses_nonsense(tmp_path):
    source = ligand("1p5e")
    buffer = io.StringIO()
    write_sdf(buffer, source, source.coords[None], scores=[2], fields=[{"rmsd": 0.5}])
    assert "<rmsd>" in buffer.getvalue()
    with pytest.raises(ValueError, match="scores must have one entry per pose"):
        write_sdf(buffer, source, source.coords[None], scores=[1.0, 2.0])
    with pytest.raises(InputError, match="finite"):
        sdf_block(source, source.coords * np.nan)
    with pytest.raises(InputError, match="cannot be written"):
        write_sdf(tmp_path / "no" / "p.sdf", source, source.coords[None])
