"""A box holds what it was made from, and refuses what makes no sense."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.box import Box
from docking.ligand import Ligand
from docking.molecule import Receptor
from overparam.errors import InputError

from .demo import IDS, ligand, receptor

coordinate = st.floats(-50, 50)
triple = st.tuples(coordinate, coordinate, coordinate)


@given(key=st.sampled_from(IDS), padding=st.floats(0, 10))
@settings(deadline=None, max_examples=20)
def test_the_ligand_lies_in_its_box_and_touches_the_padding(key, padding):
    whole = ligand(key)
    box = Box.from_ligand(whole, padding)
    assert box.contains(whole.coords).all()
    assert np.allclose(whole.coords.min(0) - box.low, padding)
    assert np.allclose(box.high - whole.coords.max(0), padding)


@given(center=triple, size=st.tuples(*[st.floats(0.1, 40)] * 3), point=triple)
def test_contains_is_the_definition(center, size, point):
    box = Box(center, size)
    inside = all(abs(p - c) <= s / 2 for p, c, s in zip(point, center, size, strict=True))
    if all(abs(abs(p - c) - s / 2) > 1e-5 for p, c, s in zip(point, center, size, strict=True)):
        assert bool(box.contains(np.array(point))) == inside
    assert box.contains(np.array(center)) and not box.warnings


@pytest.mark.parametrize(
    ("center", "size"),
    [
        ([0, 0, float("nan")], [10, 10, 10]),
        ([0, 0, 0], [10, 10, float("inf")]),
        ([0, 0, 0], [10, 0, 10]),
        ([0, 0, 0], [10, -1, 10]),
        ([0, 0, 0], [10, 10, 1e6]),
        ([0, 0], [10, 10, 10]),
    ],
)
def test_refuses_nonsense(center, size):
    with pytest.raises(InputError, match="must"):
        Box(center, size)


def test_large_boxes_are_allowed_with_a_warning():
    assert "large box" in Box([0, 0, 0], [50, 20, 20]).warnings[0]


def test_from_residues_with_insertion_codes():
    whole = receptor("1bju")
    inserted = next(r for r in whole.residues if r.number[-1].isalpha())
    box = Box.from_residues(whole, ["A:57", inserted.id], padding=2.0)
    rows = np.concatenate([whole.residue_atoms("A:57"), whole.residue_atoms(inserted.id)])
    assert np.allclose(box.low, whole.positions[rows].min(0) - 2.0)
    with pytest.raises(InputError, match=r"no residue 'A:9999'; chain 'A' runs from"):
        Box.from_residues(whole, ["A:9999"])
    with pytest.raises(InputError, match="chains are 'A'"):
        Box.from_residues(whole, ["Q:1"])
    with pytest.raises(InputError, match="at least one"):
        Box.from_residues(whole, [])


@pytest.mark.parametrize("key", IDS)
def test_a_ligand_fits_its_own_box_but_not_a_thimble(key):
    whole = ligand(key)
    Box.from_ligand(whole, 0.5).check_fits(whole)
    with pytest.raises(InputError, match="a cube of"):
        Box([0, 0, 0], [2, 2, 2]).check_fits(whole)


def test_a_long_rigid_ligand_needs_its_length():
    rod = Ligand.from_rdkit(_rod())
    Box([0, 0, 0], [18, 6, 6]).check_fits(rod)
    with pytest.raises(InputError, match="do not fit"):
        Box([0, 0, 0], [10, 10, 5]).check_fits(rod)


def _rod():
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.AddHs(Chem.MolFromSmiles("c1ccc2cc3cc4cc5cc6cc7ccccc7cc6cc5cc4cc3cc2c1"))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    return Chem.RemoveHs(mol)


def test_a_box_far_from_the_receptor_is_refused():
    whole: Receptor = receptor("1stp")
    Box.from_ligand(ligand("1stp")).check_receptor(whole)
    with pytest.raises(InputError, match="has 0 residues within 8 angstrom"):
        Box([500, 0, 0], [20, 20, 20]).check_receptor(whole)


def test_a_ligand_without_coordinates_makes_no_box():
    with pytest.raises(InputError, match="needs a ligand with 3-D"):
        Box.from_ligand(Ligand.from_smiles("CCO"))
