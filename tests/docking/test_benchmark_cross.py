"""Cross-docking: who goes into which structure, and where that is put."""

import csv
import json

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from docking.benchmark import command
from docking.benchmark.chain import PocketChain
from docking.benchmark.crossing import FEWEST, LIMIT, Crossings
from docking.benchmark.dataset import SAME_LIGAND, Dataset
from docking.ligand import Ligand
from docking.molecule import Receptor
from overparam.errors import InputError
from tests.docking import demo

KEY = "1stp"


def _write(folder, name, *, key=KEY, seed=None, radius=None, change=None, hetero=""):
    """A demo complex under another name: moved, cut to a radius or changed."""
    folder.mkdir(parents=True, exist_ok=True)
    turn, shift = (np.eye(3), np.zeros(3)) if seed is None else demo.rigid_motion(seed)
    rows = [row for row in demo.pdb_text(key).splitlines(keepends=True) if row[:3] != "END"]
    structure = gemmi.read_pdb_string("".join(rows) + hetero)
    mol = demo.ligand(key).mol
    xyz = mol.GetConformer().GetPositions()
    for chain in structure[0]:
        for place in reversed(range(len(chain))):
            atoms = np.array([atom.pos.tolist() for atom in chain[place]])
            gap = np.linalg.norm(atoms[:, None] - xyz, axis=-1).min()
            if radius is not None and gap > radius:
                del chain[place]
    structure.remove_empty_chains()
    if change is not None:
        change(structure, xyz)
    for chain in structure[0]:
        for residue in chain:
            for atom in residue:
                atom.pos = gemmi.Position(*(turn @ atom.pos.tolist() + shift))
    (folder / f"{name}_protein.pdb").write_text(
        structure.make_pdb_string(gemmi.PdbWriteOptions(minimal=True))
    )
    moved = Chem.Mol(mol)
    moved.GetConformer().SetPositions(xyz @ turn.T + shift)
    (folder / f"{name}_ligand.sdf").write_text(Chem.MolToMolBlock(moved) + "$$$$\n")


def _near(structure, xyz):
    """Residues of the protein with an alpha carbon within 10 A of the ligand, nearest first."""
    found = []
    for chain in structure[0]:
        for residue in chain:
            for atom in residue:
                if atom.name == "CA" and residue.het_flag == "A":
                    gap = np.linalg.norm(np.array(atom.pos.tolist()) - xyz, axis=-1).min()
                    found.append((gap, residue))
    return [residue for gap, residue in sorted(found, key=lambda item: item[0]) if gap < 10]


def _bend(structure, xyz):
    for index, residue in enumerate(_near(structure, xyz)):
        for atom in residue:
            atom.pos += gemmi.Position(0, 0, 8 if index % 2 else -8)


def _empty(structure, xyz):
    near = {str(residue.seqid) for residue in _near(structure, xyz)[::2]}
    for chain in structure[0]:
        for place in reversed(range(len(chain))):
            if str(chain[place].seqid) in near:
                del chain[place]


def _mutate(share):
    def change(structure, xyz):
        residues = [r for chain in structure[0] for r in chain if r.het_flag == "A"]
        for place in np.linspace(0, len(residues) - 1, round(share * len(residues)), dtype=int):
            residues[place].name = "TRP" if residues[place].name != "TRP" else "GLY"

    return change


def _complexes(root, part="demo"):
    return Dataset.open(root, part, root / "unused").complexes


def _partners(root):
    return {item.id: item.partner for item in Crossings.find(_complexes(root)).docked}


@given(st.integers(0, 10_000))
@settings(max_examples=4, deadline=None)
def test_superposition_undoes_any_rigid_motion(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("moved")
    _write(folder / "demo", "a")
    _write(folder / "demo", "b", seed=seed)
    a, b = _complexes(folder)
    found = Crossings.find([a, b])
    assert found.items["a"].ca_rmsd < 2e-3 and found.items["a"].calphas >= FEWEST
    placed = found.placed(a, b, folder / "out")
    assert (placed.id, placed.partner, placed.ligand) == ("a", "b", a.ligand)
    got, wanted = Receptor.from_file(placed.receptor), Receptor.from_file(a.receptor)
    assert got.names == wanted.names and got.residues == wanted.residues
    # Two files in between, each rounded to 0.001 on three axes, and a lever as long as the protein.
    np.testing.assert_allclose(got.positions, wanted.positions, atol=5e-3)


def test_the_partner_is_the_next_by_id_and_nobody_elses_protein(tmp_path):
    for name in ("a", "c", "e"):
        _write(tmp_path / "demo", name, seed=ord(name))
    _write(tmp_path / "demo", "b", key="3og7")
    _write(tmp_path / "demo", "d", key="1bju")
    assert _partners(tmp_path) == {"a": "c", "c": "e", "e": "a"}
    found = Crossings.find(_complexes(tmp_path))
    assert not found.left_out and "2 are of a protein without another" in found.told()
    assert found.items["b"].left_out and not found.items["b"].partner


@given(st.floats(9, 14), st.floats(9, 14), st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_cuts_of_one_protein_are_one_protein(tmp_path_factory, first, second, seed):
    folder = tmp_path_factory.mktemp("cut")
    _write(folder / "demo", "a", key="3og7", radius=first)
    _write(folder / "demo", "b", key="3og7", radius=second, seed=seed)
    chains = [PocketChain.of(one) for one in _complexes(folder)]
    there, back = chains[0].match(chains[1]), chains[1].match(chains[0])
    assert there.same_protein and there.identity == 1 and chains[0].resembles(chains[1])
    np.testing.assert_array_equal(there.pairs, back.pairs[:, ::-1])
    # Every residue both have is found, and paired with itself.
    fewer = min(chains, key=lambda chain: chain.seen)
    assert len(there.pairs) == fewer.seen
    found = chains[0].superpose(chains[1], there)
    assert found.rmsd < 2e-3 and found.matched >= 0.9 * found.near


@pytest.mark.parametrize(("share", "same"), [(0.03, True), (0.2, False), (0.5, False)])
def test_a_few_mutations_leave_the_protein_what_it_is(tmp_path, share, same):
    _write(tmp_path / "demo", "a")
    _write(tmp_path / "demo", "b", change=_mutate(share))
    one, two = (PocketChain.of(each) for each in _complexes(tmp_path))
    assert one.match(two).same_protein is same
    assert abs(one.match(two).identity - (1 - share)) < 0.02


@pytest.mark.parametrize(("change", "said"), [(_bend, "CA RMSD"), (_empty, "alpha carbons near")])
def test_a_pocket_that_cannot_be_superposed_is_left_out_by_name(tmp_path, change, said):
    _write(tmp_path / "demo", "a")
    _write(tmp_path / "demo", "b", change=change)
    _write(tmp_path / "demo", "c")
    found = Crossings.find(_complexes(tmp_path))
    assert found.left_out[0].id == "a" and "b" not in {item.partner for item in found.docked}
    assert found.named().startswith("a into b (") and said in found.named()
    assert found.items["c"].partner == "a" and not found.items["c"].left_out
    assert found.facts()["with_partner"] == len(found.docked) < 3
    if change is _bend:
        assert found.items["a"].ca_rmsd > LIMIT


def test_the_partners_own_ligand_is_no_part_of_its_receptor(tmp_path):
    text = Chem.MolToPDBBlock(demo.ligand(KEY).mol).replace("UNL", "LIG")
    hetero = "".join(f"{row}\n" for row in text.splitlines() if row.startswith("HETATM"))
    assert len(hetero.splitlines()) == len(demo.ligand(KEY))
    _write(tmp_path / "demo", "a")
    _write(tmp_path / "demo", "b", seed=3, hetero=hetero)
    a, b = _complexes(tmp_path)
    assert any(residue.name == "LIG" for residue in Receptor.from_file(b.receptor).residues)
    placed = Crossings.find([a, b]).placed(a, b, tmp_path / "out")
    got, own = Receptor.from_file(placed.receptor), Receptor.from_file(a.receptor)
    assert [residue.name for residue in got.residues] == [residue.name for residue in own.residues]
    assert placed.flags == {SAME_LIGAND}


def test_pairs_survive_their_file_and_belong_to_their_data(tmp_path):
    for name in "abc":
        _write(tmp_path / "demo", name, seed=ord(name))
    (tmp_path / "demo" / "d_protein.pdb").write_text("no protein\n")
    (tmp_path / "demo" / "d_ligand.sdf").write_text("no ligand\n")
    complexes = _complexes(tmp_path)
    found = Crossings.find(complexes)
    assert [item.id for item in found.left_out] == ["d"]
    found.write(tmp_path / "crossings.csv")
    again = Crossings.read(tmp_path / "crossings.csv", complexes)
    assert str(again.items) == str(found.items)  # NaN is not equal to itself
    with pytest.raises(InputError, match="other complexes"):
        Crossings.read(tmp_path / "crossings.csv", complexes[:2])
    (tmp_path / "crossings.csv").write_text("id,partner\na,b\n")
    with pytest.raises(InputError, match="damaged"):
        Crossings.read(tmp_path / "crossings.csv", complexes)


# --- the whole command


def _bench(root, out, *words):
    return command.main([
        "--data-root", str(root), "--split", "demo", "--protocol", "cross", "--effort", "0.1",
        "--out", str(out), "--validity", "off", *words,
    ])  # fmt: skip


def _lines(out):
    with (out / "rows.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_cross_run_docks_into_the_partner_and_goes_on(tmp_path, capsys):
    for name in "abc":
        _write(tmp_path / "demo", name, seed=ord(name))
    _write(tmp_path / "demo", "0", key="3og7")
    out = tmp_path / "run"
    assert _bench(tmp_path, out, "--first", "1") == 0
    said = capsys.readouterr().out
    assert "a into b: CA RMSD 0.00 A" in said and "3 of 4 ligands have a partner" in said
    (row,) = _lines(out)
    assert row["id"] == "a" and row["status"] == "ok"
    poses = list(Ligand.iter_file(out / "poses" / "a" / "docking-own-effort0.1.sdf.gz"))
    truth = Ligand.from_file(tmp_path / "demo" / "a_ligand.sdf")
    # In the frame of the ligand's own crystal structure, where its box is.
    assert np.abs(poses[0].coords.mean(0) - truth.coords.mean(0)).max() < 12
    assert [file.name for file in (out / "superposed").iterdir()] == ["a_in_b_protein.pdb"]
    report = json.loads((out / "report.json").read_text())
    assert report["cross"]["with_partner"] == 3 and report["sizes"]["complexes"] == 1
    assert "a_in" not in (table := (out / "table.md").read_text()) and "| a | b | 100.0 |" in table
    # The pairs are the split's, not the selection's: more ligands change no partner.
    assert _bench(tmp_path, out, "--first", "2", "--resume") == 0
    assert [row["id"] for row in _lines(out)] == ["a", "b"] and _lines(out)[0] == row
    assert "pairing" not in capsys.readouterr().out
    (tmp_path / "ids").write_text("0\n")
    with pytest.raises(InputError, match="no ligand of the given ids has a partner"):
        _bench(tmp_path, tmp_path / "other", "--ids", str(tmp_path / "ids"))
    assert not (tmp_path / "other").exists()


def test_a_split_without_pairs_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(InputError, match="0 of 5 ligands have a partner, 5 are of a protein"):
        _bench(demo.FOLDER, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_vina_reads_the_superposed_receptor(tmp_path):
    for name in ("vina", "meeko", "openbabel"):
        pytest.importorskip(name, reason="the bench extra is not installed")
    for name in "ab":
        _write(tmp_path / "demo", name, seed=ord(name))
    out, words = tmp_path / "run", ["--against", "vina", "--vina-search", "1:200", "--first", "1"]
    assert _bench(tmp_path, out, *words) == 0
    rows = _lines(out)
    assert {row["status"] for row in rows} == {"ok"} and len(rows) == 3
    assert len({tuple(row[f"box_{axis}"] for axis in "xyz") for row in rows}) == 1
    prepared = Receptor.from_file(out / "prepared" / "a_in_b_receptor.pdbqt")
    ours = Receptor.from_file(out / "superposed" / "a_in_b_protein.pdb")
    spots = {tuple(np.round(xyz, 3)) for xyz in prepared.positions}
    assert spots >= {tuple(np.round(xyz, 3)) for xyz in ours.positions}
