"""A receptor is the same whatever file it came from, and says what it left out."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.molecule import Receptor
from docking.typing import VinaType
from overparam.errors import InputError

from .demo import IDS, ligand, mmcif_text, pdb_text, receptor, receptor_path

GLY = [("N", "N", 0.0, 0.0), ("CA", "C", 1.46, 0.0), ("C", "C", 2.0, 1.42), ("O", "O", 1.25, 2.4)]


def atom(
    name, residue, number, x, y, z, *, element=None, record="ATOM", alt=" ", occupancy=1.0,
    chain="A", code=" ", serial=1,
):  # fmt: skip
    """One PDB line."""
    element = element or name[0]
    label = f"{name:<4s}" if len(element) == 2 else f" {name:<3s}"
    return (
        f"{record:<6s}{serial:>5}{'' if len(str(serial)) > 5 else ' '}{label}{alt}{residue:>3s} "
        f"{chain}{number:>4}{code}   {x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}  0.00"
        f"          {element:>2s}"
    )


def glycine(number=1, z=0.0, **more):
    return [atom(n, "GLY", number, x, y, z, element=e, **more) for n, e, x, y in GLY]


def read(tmp_path, lines, name="r.pdb", **options):
    text = lines if isinstance(lines, str) else "\n".join([*lines, "END", ""])
    (tmp_path / name).write_text(text)
    return Receptor.from_file(tmp_path / name, **options)


def same(a: Receptor, b: Receptor) -> bool:
    return (
        np.allclose(a.positions, b.positions, atol=1e-3)
        and a.elements == b.elements
        and a.names == b.names
        and [r[:3] for r in a.residues] == [r[:3] for r in b.residues]
        and (a.residue_index == b.residue_index).all()
        and (a.vina_type == b.vina_type).all()
    )


@pytest.mark.parametrize("key", IDS)
def test_pdb_mmcif_and_gz_are_one_receptor(tmp_path, key):
    whole = receptor(key)
    assert same(read(tmp_path, pdb_text(key)), whole)
    assert same(read(tmp_path, mmcif_text(key), "r.cif"), whole)
    (tmp_path / "r.cif.gz").write_bytes(gzip.compress(mmcif_text(key).encode()))
    assert same(Receptor.from_file(tmp_path / "r.cif.gz"), whole)
    assert len(whole) > 700 and (whole.vina_type >= 0).all()


def test_pdbqt_types_are_the_autodock_names(tmp_path):
    rows = [
        ("N", "N", 0.0, 0.0), ("HN", "HD", -0.5, -0.87), ("CA", "C", 1.46, 0.0),
        ("C", "C", 2.0, 1.42), ("O", "OA", 1.25, 2.4), ("CB", "A", 9.0, 9.0),
        ("ZN", "Zn", 20.0, 0.0), ("O", "OA", 30.0, 0.0),
    ]  # fmt: skip
    lines = [
        f"ATOM  {i:5d}  {n:<3s} {'HOH' if x == 30 else 'GLY'} A{1 + (x > 8) + (x > 25):4d}    "
        f"{x:8.3f}{y:8.3f}{0:8.3f}  1.00  0.00    +0.000 {k}"
        for i, (n, k, x, y) in enumerate(rows, start=1)
    ]
    r = read(tmp_path, lines, "r.pdbqt")
    assert [VinaType(t).name if t >= 0 else "-" for t in r.vina_type] == [
        "N_D", "-", "C_P", "C_P", "O_A", "C_H", "MET_D", "O_A",
    ]  # fmt: skip
    assert r.elements == ["N", "H", "C", "C", "O", "C", "Zn", "O"]
    assert not any("waters" in warning for warning in r.warnings)  # the file is prepared


def test_highest_occupancy_wins_and_shared_atoms_stay(tmp_path):
    lines = [
        *glycine(),
        atom("CB", "SER", 2, 9, 0, 0),
        atom("OG", "SER", 2, 9, 1.4, 0, alt="A", occupancy=0.4),
        atom("OG", "SER", 2, 9, -1.4, 0, alt="B", occupancy=0.6),
    ]
    r = read(tmp_path, lines)
    assert r.positions[r.names.index("OG"), 1] == -1.4
    assert "CB" in r.names and any(
        "alternate locations in 1 residues (A:2)" in w for w in r.warnings
    )
    a = read(tmp_path, lines, altloc="A")
    assert a.positions[a.names.index("OG"), 1] == 1.4
    tie = [line.replace("  0.40", "  0.50").replace("  0.60", "  0.50") for line in lines]
    assert read(tmp_path, tie).positions[-1, 1] == 1.4


def test_one_of_two_residues_at_one_place(tmp_path):
    lines = [
        *glycine(),
        *[line.replace("GLY", "ALA") for line in glycine(2, 5.0, alt="A", occupancy=0.3)],
        *glycine(2, 5.0, alt="B", occupancy=0.7),
    ]
    r = read(tmp_path, lines)
    assert [x.name for x in r.residues] == ["GLY", "GLY"]
    assert any("alternative residues left out: A:2 ALA" in w for w in r.warnings)


def test_insertion_codes_name_residues(tmp_path):
    r = read(tmp_path, [*glycine(45), *glycine(45, 5.0, code="A"), *glycine(46, 10.0)])
    assert [x.id for x in r.residues] == ["A:45", "A:45A", "A:46"]
    assert (r.positions[r.residue_atoms("A:45A"), 2] == 5.0).all()
    with pytest.raises(InputError, match="no residue 'A:45B'; there is A:45, A:45A"):
        r.residue_atoms("A:45B")


ZINC = atom("ZN", "ZN", 90, 20, 0, 0, element="ZN", record="HETATM")
WATER = atom("O", "HOH", 91, 30, 0, 0, record="HETATM")
GLYCEROL = atom("C1", "GOL", 92, 40, 0, 0, record="HETATM")
INHIBITOR = [atom(f"C{i}", "HY7", 93, 50 + 1.4 * i, 0, 0, record="HETATM") for i in range(1, 8)]
ATP = [atom(n, "ATP", 94, x, 0, 0, record="HETATM") for n, x in (("PG", 70), ("O1G", 71.5))]
MORE = atom("C2", "GOL", 92, 41.5, 0, 0, record="HETATM")


@pytest.mark.parametrize(
    ("options", "header", "water", "kept"),
    [
        ({}, True, False, "GLY ZN ATP"),  # a deposited entry: the small molecule is the ligand
        ({}, False, True, "GLY ZN ATP"),  # so is a file with waters
        ({}, False, False, "GLY ZN GOL HY7 ATP"),  # a prepared file: what is there is meant
        ({"keep_hetero": True}, True, True, "GLY ZN GOL HY7 ATP"),
        ({"keep_hetero": False}, True, True, "GLY"),
        ({"keep_hetero": ["HY7"]}, True, True, "GLY HY7"),
        ({"keep_hetero": "none", "keep_waters": True}, True, True, "GLY HOH"),
    ],
)
def test_what_stays_beside_the_polymer(tmp_path, options, header, water, kept):
    lines = ["HEADER    HYDROLASE"] * header + [*glycine(), ZINC, *[WATER] * water, GLYCEROL, MORE]
    r = read(tmp_path, [*lines, *INHIBITOR, *ATP], **options)
    assert " ".join(x.name for x in r.residues) == kept
    said = " ".join(r.warnings)
    for name in {"ZN", "GOL", "HY7", "ATP"}:
        assert name in said
    if water and not options.get("keep_waters"):
        assert "1 waters left out" in said


def test_metals_and_cofactors_are_typed(tmp_path):
    molybdenum = atom("MO", "4MO", 95, 80, 0, 0, element="MO", record="HETATM")
    r = read(tmp_path, [*glycine(), ZINC, *ATP, molybdenum])
    found = dict(zip(r.names, (VinaType(t).name for t in r.vina_type), strict=True))
    assert found["ZN"] == found["MO"] == "MET_D"
    assert found["PG"] == "P_P" and found["O1G"] == "O_A"
    assert any("Mo is unknown to Vina" in w for w in r.warnings)


def test_an_unknown_element_gets_steric_terms_and_a_warning(tmp_path):
    r = read(tmp_path, [*glycine(), atom("XE", "XE", 90, 20, 0, 0, element="XE", record="HETATM")])
    assert r.vina_type[-1] == VinaType.MISC
    assert any("element Xe has no Vina type" in w for w in r.warnings)


def test_missing_atoms_are_kept_and_told(tmp_path):
    r = read(
        tmp_path, [*glycine(), atom("CA", "LYS", 2, 9, 0, 0), atom("CB", "LYS", 2, 10.5, 0, 0)]
    )
    said = " ".join(r.warnings)
    assert "backbone atoms missing in 1 residues: LYS A:2" in said
    assert "side-chain atoms missing in 1 residues: LYS A:2" in said
    assert len(r) == 6


def test_first_model_counts(tmp_path):
    r = read(
        tmp_path,
        ["MODEL        1", *glycine(), "ENDMDL", "MODEL        2", *glycine(1, 5.0), "ENDMDL"],
    )
    assert len(r) == 4 and (r.positions[:, 2] == 0).all()
    assert "2 models in the file; the first is used" in r.warnings


def test_chains_by_author_with_a_hint_for_labels(tmp_path):
    lines = [*glycine(), *glycine(1, 5.0, chain="B")]
    r = read(tmp_path, lines, chains=["B"])
    assert {x.chain for x in r.residues} == {"B"}
    assert any("chains left out on request: A" in w for w in r.warnings)
    with pytest.raises(InputError, match=r"no chain 'Q'; there are 'A', 'B'"):
        read(tmp_path, lines, chains=["Q"])


def test_mmcif_author_and_label_ids_may_differ(tmp_path):
    text = mmcif_text("1stp")
    r = read(tmp_path, text, "r.cif")
    assert {x.chain for x in r.residues} == {"A"} and r.residues[0].label_chain.startswith("A")
    renamed = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in ("ATOM", "HETATM"):
            place = [i for i, word in enumerate(words) if word == "A"]
            words[place[-1]] = "Z"  # auth_asym_id follows label_asym_id
            line = " ".join(words)
        renamed.append(line)
    other = read(tmp_path, "\n".join(renamed) + "\n", "s.cif")
    assert {x.chain for x in other.residues} == {"Z"}
    label = other.residues[0].label_chain
    with pytest.raises(InputError, match=f"label '{label}' is chain 'Z' of the author"):
        Receptor.from_file(tmp_path / "s.cif", chains=[label])


def test_more_atoms_than_serials(tmp_path):
    """Serials overflow to stars and numbers repeat; the atoms are all there."""
    lines = []
    for i in range(25_001):
        z, x = divmod(i, 500)
        block = glycine(i % 9999 + 1, z * 4.0, chain="ABCDE"[i // 9999], serial="*****")
        lines += [f"{b[:30]}{float(b[30:38]) + x * 5 - 999:8.3f}{b[38:]}" for b in block]
    r = read(tmp_path, lines)
    assert len(r) == 100_004 and len(r.residues) == 25_001
    assert any("more than PDB serial numbers can count" in w for w in r.warnings)


def test_elements_from_names_when_the_column_is_missing(tmp_path):
    bare = [line[:66] for line in glycine()]
    r = read(tmp_path, bare)
    assert r.elements == ["N", "C", "C", "O"]
    shifted = [line[:12] + f"{line[12:16].strip():<4s}" + line[16:66] for line in glycine()]
    assert read(tmp_path, shifted).elements == ["N", "C", "C", "O"]


def test_two_conformers_without_letters(tmp_path):
    r = read(tmp_path, [*glycine(), atom("CA", "GLY", 1, 1.5, 0.2, 0)])
    assert len(r) == 4 and any("name of another in their residue" in w for w in r.warnings)


def test_the_ligand_in_its_pocket_can_be_taken_out(tmp_path):
    placed = ligand("4alw")
    lines = [line for line in pdb_text("4alw").splitlines() if line.startswith("ATOM")]
    lines += [
        atom(f"{e}{i}", "HY7", 901, *xyz, element=e.upper(), record="HETATM")
        for i, (e, xyz) in enumerate(zip(placed.elements, placed.coords, strict=True))
    ]
    r = read(tmp_path, lines, keep_hetero=True)
    rest = r.without_ligand(placed)
    assert same(rest, receptor("4alw")) and "left out HY7 A:901" in rest.warnings[-1]
    assert same(r.without(["A:901"]), rest)
    assert rest.without_ligand(placed) is rest


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("", "r.pdb", "the file is empty"),
        ("hello world\n", "r.pdb", "no ATOM record in 1 lines; the first one is 'hello world'"),
        ("\n".join(INHIBITOR), "r.pdb", "only HETATM records \\(7 atoms\\), no protein"),
        ("\n".join(glycine()).replace("   1.460", "     nan"), "r.pdb", "line 2: x coord"),
        ("\n".join(glycine()).replace("   1.460", "   1.4x0"), "r.pdb", "line 2: x .*'1.4x0'"),
        ("\n".join(glycine())[:-40], "r.pdb", "line 4: atom record ends early"),
        ("\n".join(glycine()).replace("A   1", "A   ?"), "r.pdb", "line 1: residue number must be"),
        ("data_x\nloop_\n_a\n_b\n1 2 3\n", "r.cif", "not a readable mmCIF file \\(line"),
        ("data_x\n_entry.id x\n", "r.cif", "no atom coordinates"),
        ("hello\n", "r.cif", "not a readable mmCIF file"),
        ("ROOT\n", "r.pdbqt", "no ATOM record"),
        ("ATOM\n", "r.xyz", "unknown file type; one of .pdb"),
        (WATER, "r.pdb", "only HETATM records"),
    ],
)  # fmt: skip
def test_refusals_say_what_and_where(tmp_path, text, name, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read(tmp_path, text, name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Receptor.from_file(tmp_path / "none.pdb")
    (tmp_path / "d.pdb").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        Receptor.from_file(tmp_path / "d.pdb")
    (tmp_path / "cut.pdb.gz").write_bytes(receptor_path("1stp").read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged or truncated gzip"):
        Receptor.from_file(tmp_path / "cut.pdb.gz")


def test_all_atoms_in_one_place(tmp_path):
    lines = [line[:30] + "   0.000" * 3 + line[54:] for k in range(100) for line in glycine(k + 1)]
    with pytest.raises(InputError, match=r"400 atoms within 4 angstrom of .*damaged"):
        read(tmp_path, lines)


def test_names_beyond_ascii_do_not_matter(tmp_path):
    text = "HEADER    H\xe9moglobine\n".encode("latin-1") + "\n".join(glycine()).encode()
    (tmp_path / "r.pdb").write_bytes(text)
    assert len(Receptor.from_file(tmp_path / "r.pdb")) == 4


@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_leaving_residues_out_keeps_the_rest_as_it_was(data):
    whole = receptor("1stp")
    ids = [r.id for r in whole.residues]
    gone = data.draw(st.sets(st.sampled_from(ids), max_size=20))
    rest = whole.without(gone)
    keep = [r.id not in gone for r in whole.residues]
    mask = np.array(keep)[whole.residue_index]
    assert [r.id for r in rest.residues] == [i for i, k in zip(ids, keep, strict=True) if k]
    assert (rest.vina_type == whole.vina_type[mask]).all()
    assert (rest.positions == whole.positions[mask]).all()
