"""Features and graphs depend on the heavy atoms alone, and on them as documented."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from docking.learned.features import (
    ATOM_CLASSES,
    ATOM_NAMES,
    ATOM_SIZES,
    LIGAND_SIZES,
    RESIDUE_SIZES,
    RESIDUES,
    ligand_features,
    receptor_features,
)
from docking.learned.reference_graph import (
    ComplexGraph,
    LigandGraph,
    ReceptorGraph,
    edge_vectors,
    nearest,
)
from docking.ligand import Ligand
from docking.molecule import Receptor, Residue
from overparam.errors import InputError
from tests.docking import demo

from .pockets import pocket, reordered

ODD = ["C[Si+6]", "N[Pt](N)(Cl)Cl", "FS(F)(F)(F)(F)F", "CN(C)(C)C", "c1cccc1", "[H]C([2H])[CH2]"]


def columns(smiles: str) -> dict[str, np.ndarray]:
    names = "element chirality degree charge valence hydrogens radicals hybrid aromatic rings"
    found = ligand_features(Ligand.from_smiles(smiles)).T
    return dict(zip([*names.split(), *"345678"], found, strict=True))


def test_tables_have_the_published_sizes():
    assert LIGAND_SIZES == (119, 7, 12, 12, 8, 10, 6, 6, 2, 8, 2, 2, 2, 2, 2, 2)
    assert RESIDUE_SIZES == (38,)
    assert ATOM_SIZES == (38, 119, 23, 38)
    for table in (RESIDUES, ATOM_CLASSES, ATOM_NAMES):
        assert len(set(table)) == len(table)
    # a class is the beginning of a name
    assert {name[:2] for name in ATOM_NAMES} <= set(ATOM_CLASSES)


@pytest.mark.parametrize("key", demo.IDS)
def test_spelling_hydrogens_out_changes_nothing(key):
    bare = demo.ligand(key)
    full = Ligand.from_rdkit(demo.with_hydrogens(bare.mol))
    assert len(full) > len(bare)
    np.testing.assert_array_equal(ligand_features(full), ligand_features(bare))
    assert torch.equal(LigandGraph.of(full).edges, LigandGraph.of(bare).edges)


@given(order=st.permutations(range(33)))
@settings(deadline=None, max_examples=5)
def test_ligand_rows_follow_the_atoms(order):
    ligand = demo.ligand("3og7")
    other = Ligand.from_rdkit(Chem.RenumberAtoms(ligand.mol, order))
    np.testing.assert_array_equal(ligand_features(other), ligand_features(ligand)[order])


def test_every_feature_says_what_it_is_named_after():
    found = columns("C[C@H](N)C(=O)[O-]")
    assert found["element"].tolist() == [5, 5, 6, 5, 7, 7]
    assert found["chirality"][1] in (1, 2)
    assert columns("C[C@@H](N)C(=O)[O-]")["chirality"][1] == 3 - found["chirality"][1]
    assert found["degree"].tolist() == [4, 4, 3, 3, 1, 1]
    assert found["charge"].tolist() == [5, 5, 5, 5, 5, 4]
    assert found["hydrogens"].tolist() == [3, 1, 2, 0, 0, 0]
    assert found["hybrid"].tolist() == [2, 2, 2, 1, 1, 1]
    ring = columns("c1ccc2[nH]ccc2c1")
    assert ring["aromatic"].all()
    assert (ring["rings"] == 2).sum() == 2
    assert ring["5"].sum() == 5
    assert ring["6"].sum() == 6
    assert columns("[CH2]C")["radicals"].tolist() == [1, 0]


@pytest.mark.parametrize("key", demo.IDS)
def test_indices_are_inside_their_tables(key):
    assert (ligand_features(demo.ligand(key)) < LIGAND_SIZES).all()
    known = receptor_features(demo.receptor(key))
    assert (known.residues < RESIDUE_SIZES).all()
    assert (known.atoms < ATOM_SIZES).all()
    assert min(known.residues.min(), known.atoms.min()) >= 0


def test_what_no_table_names_is_other():
    for smiles in ODD:
        found = ligand_features(Ligand.from_smiles(smiles))
        assert (found >= 0).all()
        assert (found < LIGAND_SIZES).all()
    hub = ligand_features(Ligand.from_smiles(ODD[1]))[1]
    assert hub[[0, 1, 7]].tolist() == [77, 0, 5]
    assert columns("C[Si+6]")["charge"][1] == LIGAND_SIZES[3] - 1


def tiny(**atoms: str) -> Receptor:
    """One residue of atoms with these names and elements, and an ion."""
    residues = [Residue("A", "1", "XYZ"), Residue("A", "2", "ZN")]
    names = [*atoms, "ZN"]
    places = 1.5 * np.arange(len(names))[:, None] * np.array([1.0, 0.3, 0.0])
    index = [0] * len(atoms) + [1]
    return Receptor(places, [*atoms.values(), "Zn"], names, np.array(index), residues)


def test_a_residue_needs_its_backbone_and_nothing_else():
    known = receptor_features(tiny(CA="C", N="N", C="C", QQ="Se"))
    assert known.residues.tolist() == [[RESIDUE_SIZES[0] - 1]]
    assert known.kept.tolist() == [0, 1, 2, 3]
    assert known.alpha.tolist() == [0]
    assert known.atoms[3].tolist() == [37, 33, 22, 37]
    with pytest.raises(InputError, match="no residue has its atoms N, CA and C"):
        receptor_features(tiny(CA="C", N="N", CB="C"))


def test_water_ions_and_cofactors_are_left_out():
    receptor = demo.receptor("1stp")
    known = receptor_features(receptor)
    kept = {receptor.residue_index[i] for i in known.kept}
    names = {receptor.residues[i].name for i in kept}
    assert names <= set(RESIDUES)
    assert len(kept) == len(known.residues)
    assert [receptor.names[i] for i in known.kept[known.alpha]] == ["CA"] * len(known.alpha)
    assert (known.residue_of[known.alpha] == np.arange(len(known.alpha))).all()


@given(seed=st.integers(0, 2**31 - 1), n=st.integers(2, 30), twins=st.booleans())
@settings(deadline=None, max_examples=30)
def test_neighbours_are_the_nearest(seed, n, twins):
    x = np.random.default_rng(seed).uniform(0, 8, (n, 3))
    if twins:
        x[1] = x[0]
    source, target = nearest(x, 3.0, 4)
    assert (source != target).all()
    distance = np.linalg.norm(x[:, None] - x, axis=-1) + np.diag([np.inf] * n)
    for i in range(n):
        near = np.sort(distance[i])[:4]
        found = distance[i, source[target == i]]
        np.testing.assert_allclose(found, near[near <= 3.0])
    some = nearest(x, 0.0, 4, at_least_one=True)
    assert set(some[1]) == set(range(n))


def test_a_lone_point_has_no_neighbour():
    assert nearest(np.zeros((1, 3)), 1.0, 3, at_least_one=True).shape == (2, 0)


def test_edges_are_bonds_both_ways_and_every_pair():
    ligand = demo.ligand("1bju")
    graph = LigandGraph.of(ligand)
    n, bonds = len(graph.batch), ligand.mol.GetNumBonds()
    assert graph.edges.shape == (2, n * (n - 1) + 2 * bonds)
    assert int(graph.bonded.sum()) == 2 * bonds
    assert torch.equal(graph.bonds.sum(1), graph.bonded.float())
    ordered = {tuple(e) for e in graph.edges.T[~graph.bonded].tolist()}
    assert len(ordered) == n * (n - 1)
    assert {tuple(e) for e in graph.edges.T[graph.bonded].tolist()} <= ordered


def test_receptor_graph_obeys_its_limits():
    graph = ReceptorGraph.of(demo.receptor("1stp"))
    counts = torch.bincount(graph.atom_edges[1], minlength=len(graph.atoms))
    assert counts.max() <= 8
    assert edge_vectors(graph.positions, graph.positions, graph.atom_edges).norm(dim=1).max() <= 5
    assert (torch.bincount(graph.residue_edges[1]) == 10).all()


def test_graphs_follow_the_atoms():
    receptor = pocket("1stp").receptor
    order = np.random.default_rng(0).permutation(len(receptor))
    one, other = ReceptorGraph.of(receptor), ReceptorGraph.of(reordered(receptor, order))
    kept = receptor_features(receptor).kept
    place = torch.as_tensor(np.searchsorted(kept, order[np.isin(order, kept)]))
    assert torch.equal(other.atoms, one.atoms[place])
    assert torch.equal(other.centers, one.centers)
    ours, theirs = (
        {tuple(e) for e in edges.T.tolist()} for edges in (one.atom_edges, place[other.atom_edges])
    )
    assert ours == theirs


def test_joining_keeps_every_graph_apart():
    graphs = [ComplexGraph.of(pocket(key)) for key in ("1stp", "1bju")]
    joined = ComplexGraph.joined([ComplexGraph.joined(graphs), graphs[0]])
    receptor, ligand = joined
    assert receptor.batch.unique().tolist() == ligand.batch.unique().tolist() == [0, 1, 2]
    source, target = receptor.residue_edges
    assert torch.equal(receptor.batch[source], receptor.batch[target])
    source, target = receptor.residue_of[receptor.atom_edges]
    assert torch.equal(receptor.batch[source], receptor.batch[target])
    assert torch.equal(ligand.batch[ligand.edges[0]], ligand.batch[ligand.edges[1]])
    assert torch.equal(
        receptor.centers, torch.cat([g.receptor.centers for g in [*graphs, graphs[0]]])
    )
    with pytest.raises(ValueError, match="graphs must be at least one"):
        ComplexGraph.joined([])


def test_a_ligand_without_coordinates_has_no_graph():
    with pytest.raises(InputError, match="without coordinates"):
        LigandGraph.of(Ligand.from_smiles("CCO"))
