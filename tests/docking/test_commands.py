"""What a user types: what it leaves, what it refuses, and how it says so."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from docking.__main__ import COMMANDS
from docking.box import Box
from docking.ligand import Ligand
from docking.physics import vina_energy
from docking.pocket_map import PocketField
from overparam.cli import run

from .demo import FOLDER, ligand, ligand_path, receptor, receptor_path

RECEPTOR = ["--receptor", str(receptor_path("1stp"))]
LIGAND = ["--ligand", str(ligand_path("1stp"))]
BOX = ["--box-from", str(ligand_path("1stp"))]
QUICK = ["--effort", "0.1", "--num-poses", "3", "--threads", "1"]
REPORT = {
    "metrics", "sizes", "wall_seconds", "peak_memory_mb", "versions", "seed", "warnings", "status",
}  # fmt: skip


@pytest.fixture
def type_in(tmp_path, monkeypatch, capsys):
    """Run ``python -m docking ...`` in an empty folder: exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str, str]:
        code = run("docking", [str(word) for word in words], COMMANDS)
        return (code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def docked(tmp_path_factory) -> Path:
    """A finished ``dock`` run."""
    out = tmp_path_factory.mktemp("docked") / "run"
    words = ["dock", *RECEPTOR, *LIGAND, *BOX, *QUICK, "--out", str(out)]
    assert run("docking", words, COMMANDS) == 0
    return out


@pytest.fixture(scope="module")
def pocket(tmp_path_factory) -> Path:
    """What ``prepare`` wrote."""
    out = tmp_path_factory.mktemp("pocket") / "pocket.pt"
    assert run("docking", ["prepare", *RECEPTOR, *BOX, "--out", str(out)], COMMANDS) == 0
    return out


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_refused(answer: tuple[int, str, str], *words: str) -> None:
    code, out, err = answer
    assert code == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    for word in words:
        assert word in err


def test_dock_leaves_a_run_folder(docked):
    assert {p.name for p in docked.iterdir()} == {"config.yaml", "report.json", "poses.sdf"}
    report = json.loads((docked / "report.json").read_text())
    assert set(report) >= REPORT and report["status"] == "finished"
    poses = list(Ligand.iter_file(docked / "poses.sdf", on_error="raise"))
    told = report["ligands"][0]["poses"]
    assert 1 <= len(poses) == len(told) <= 3
    box = Box.from_ligand(ligand("1stp"))
    for rank, (pose, row) in enumerate(zip(poses, told, strict=True), start=1):
        assert pose.elements == ligand("1stp").elements and pose.title == "1stp"
        assert pose.properties["rank"] == str(rank) and pose.properties["model"] == "physics"
        assert float(pose.properties["score"]) == pytest.approx(row["score"], abs=1e-3)
        assert box.contains(pose.coords[pose.heavy]).mean() > 0.9
    scores = [row["score"] for row in told]
    assert scores == sorted(scores, reverse=True)
    assert report["metrics"]["best_score"] == scores[0]
    config = yaml.safe_load((docked / "config.yaml").read_text())
    assert config["seed"] == 0 and config["num_poses"] == 3
    assert np.allclose(config["center"], box.center) and np.allclose(config["size"], box.size)


def test_a_run_is_not_replaced_unasked(docked, type_in, tmp_path):
    before = snapshot(docked)
    words = ["dock", *RECEPTOR, *LIGAND, *BOX, *QUICK, "--out", docked]
    assert_refused(type_in(*words), "--overwrite", "--resume")
    code, out, _ = type_in(*words, "--resume")
    assert code == 0 and "finished already" in out
    assert_refused(type_in(*words, "--resume", "--seed", 3), "seed is 3 here and 0")
    assert_refused(type_in(*words, "--resume", "--overwrite"), "exclude")
    assert snapshot(docked) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    assert_refused(type_in(*words[:-1], "mine", "--overwrite"), "none")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "precious"


def test_an_unfinished_run_is_done_again(docked, type_in, tmp_path):
    words = ["dock", *RECEPTOR, *LIGAND, *BOX, *QUICK, "--out"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_bytes((docked / "config.yaml").read_bytes())
    (tmp_path / "run" / ".poses.sdf.partial").write_text("half")
    code, out, _ = type_in(*words, "run", "--resume")
    assert code == 0 and "rank" in out and "poses: run/poses.sdf" in out
    assert (tmp_path / "run" / "poses.sdf").read_bytes() == (docked / "poses.sdf").read_bytes()
    code, _, _ = type_in(*words, "run", "--overwrite", "--threads", 2)
    assert code == 0
    assert (tmp_path / "run" / "poses.sdf").read_bytes() == (docked / "poses.sdf").read_bytes()


def test_other_spellings_of_the_same_box(docked, type_in, tmp_path):
    box = Box.from_ligand(ligand("1stp"))
    axes = [
        (f"--{what}_{axis}", value)
        for what in ("center", "size")
        for axis, value in zip("xyz", getattr(box, what), strict=True)
    ]
    spelt = {
        "vina": [word for pair in axes for word in pair],
        "ours": ["--center", *box.center, "--size", *box.size],
        "smina": ["--autobox_ligand", ligand_path("1stp"), "--autobox_add", 4],
    }
    few = [{"--num-poses": "--num_modes", "--threads": "--cpu"}.get(word, word) for word in QUICK]
    for name, words in spelt.items():
        code, _, err = type_in("dock", *RECEPTOR, *LIGAND, *words, *few, "--out", name)
        assert code == 0, err
        assert (tmp_path / name / "poses.sdf").read_bytes() == (docked / "poses.sdf").read_bytes()


def test_every_record_is_docked_or_told(type_in, tmp_path):
    text = ligand_path("1p5e").read_text()
    (tmp_path / "many.sdf").write_text(text + "broken\n\n\nno counts\n$$$$\n" + text)
    code, out, err = type_in(
        "dock", *RECEPTOR, "--ligand", "many.sdf", *BOX, *QUICK, "--rigid", "--out", "run"
    )
    assert code == 0 and "1p5e_2" in out
    assert "left out: many.sdf: record 2" in err
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [one["record"] for one in report["ligands"]] == [1, 3]
    assert [one["record"] for one in report["failures"]] == [2]
    poses = list(Ligand.iter_file(tmp_path / "run" / "poses.sdf"))
    assert len(poses) == report["metrics"]["poses"]
    # Rigid: every pose is the input, moved.
    shape = np.linalg.norm(poses[0].coords[:, None] - poses[0].coords, axis=-1)
    source = ligand("1p5e").coords
    assert np.allclose(shape, np.linalg.norm(source[:, None] - source, axis=-1), atol=1e-3)


def test_score_is_that_of_the_model(docked, type_in, tmp_path):
    poses = docked / "poses.sdf"
    code, out, _ = type_in("score", *RECEPTOR, "--ligand", poses, *BOX, "--out", "scores.csv")
    assert code == 0 and "wrote scores.csv" in out
    rows = rows_of(tmp_path / "scores.csv")
    expected = list(Ligand.iter_file(poses))
    assert [row["name"] for row in rows] == [pose.name for pose in expected]
    for row, pose in zip(rows, expected, strict=True):
        terms = vina_energy(receptor("1stp"), pose, terms=True)
        for name in ("total", "inter", "intra", "torsion"):
            assert float(row[name]) == pytest.approx(float(getattr(terms, name)), abs=1e-4)
        assert float(row["score"]) == pytest.approx(-float(row["total"]), abs=1e-4)
        assert row["error"] == ""
    best = json.loads((docked / "report.json").read_text())["metrics"]["best_score"]
    assert float(rows[0]["score"]) == pytest.approx(best, abs=2e-3)
    assert_refused(
        type_in("score", *RECEPTOR, "--ligand", poses, *BOX, "--out", "scores.csv"), "--overwrite"
    )


def test_minimised_poses_are_better_and_written(type_in, tmp_path):
    both = ["score", *RECEPTOR, *LIGAND, *BOX]
    assert type_in(*both, "--out", "as_is.csv")[0] == 0
    assert type_in(*both, "--minimize", "--out", "min.csv")[0] == 0
    assert type_in(*both, "--minimize", "--rigid", "--out", "rigid.csv")[0] == 0
    as_is, least, rigid = (
        rows_of(tmp_path / name)[0] for name in ("as_is.csv", "min.csv", "rigid.csv")
    )
    assert float(least["score"]) > float(as_is["score"])
    assert float(rigid["score"]) > float(as_is["score"])
    moved = Ligand.from_file(tmp_path / "min.sdf")
    offset = (moved.coords - ligand("1stp").coords)[moved.heavy]
    assert float(least["rmsd_moved"]) == pytest.approx(
        np.sqrt((offset**2).sum(-1).mean()), abs=1e-3
    )
    assert 0 < float(least["rmsd_moved"]) < 2
    assert not (tmp_path / "as_is.sdf").exists()
    again = type_in("score", *RECEPTOR, "--ligand", "min.sdf", *BOX, "--out", "again.csv")
    assert again[0] == 0
    assert float(rows_of(tmp_path / "again.csv")[0]["score"]) == pytest.approx(
        float(least["score"]), abs=2e-3
    )


def test_a_score_needs_a_pose(type_in, tmp_path):
    text = ligand_path("1stp").read_text()
    (tmp_path / "some.sdf").write_text("broken\n\n\nx\n$$$$\n" + text)
    (tmp_path / "lib.smi").write_text("CCO ethanol\n")
    code, _, err = type_in("score", *RECEPTOR, "--ligand", "some.sdf", *BOX, "--out", "some.csv")
    assert code == 0 and "left out: some.sdf: record 1" in err
    rows = rows_of(tmp_path / "some.csv")
    assert [row["record"] for row in rows] == ["1", "2"]
    assert "record 1" in rows[0]["error"] and rows[0]["score"] == "" and rows[1]["score"]
    assert_refused(
        type_in("score", *RECEPTOR, "--ligand", "lib.smi", *BOX, "--out", "none.csv"),
        "no 3-D coordinates",
    )
    assert not (tmp_path / "none.csv").exists()


def test_the_ligand_that_draws_the_box_leaves_the_receptor(type_in, tmp_path):
    """A prepared file that still holds the ligand scores as one without it."""
    lines = [
        f"HETATM{9000 + i:5d}  {element + str(i):<4s}LIG Z 999    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2s}"
        for i, (element, (x, y, z)) in enumerate(
            zip(ligand("1stp").elements, ligand("1stp").coords, strict=True)
        )
    ]
    text = gzip.decompress(receptor_path("1stp").read_bytes()).decode()
    kept = [line for line in text.splitlines() if not line.startswith("END")]
    (tmp_path / "holo.pdb").write_text("\n".join([*kept, *lines, "END", ""]))
    words = [*LIGAND, *BOX, "--out"]
    assert type_in("score", "--receptor", "holo.pdb", *words, "holo.csv")[0] == 0
    assert type_in("score", *RECEPTOR, *words, "apo.csv")[0] == 0
    assert rows_of(tmp_path / "holo.csv") == rows_of(tmp_path / "apo.csv")


def test_prepare_writes_the_pocket_of_the_box(pocket, type_in, tmp_path):
    field = PocketField.load(pocket)
    box = Box.from_ligand(ligand("1stp"))
    assert np.allclose(field.low, box.low, atol=0.5) and np.allclose(field.high, box.high, atol=0.5)
    assert len(field.receptor_types) == receptor("1stp").heavy.sum()
    before = pocket.read_bytes()
    assert_refused(type_in("prepare", *RECEPTOR, *BOX, "--out", pocket), "exists already")
    assert pocket.read_bytes() == before
    code, out, _ = type_in("prepare", *RECEPTOR, *BOX, "--out", pocket, "--overwrite")
    assert code == 0 and "wrote" in out
    assert [p.name for p in pocket.parent.iterdir()] == ["pocket.pt"]


def test_screen_from_the_command_line(pocket, type_in, tmp_path):
    (tmp_path / "lib.smi").write_text("CCO a\nnonsense\nc1ccccc1O b\nCCN c\n")
    words = ["screen", "--pocket", pocket, "--library", "lib.smi", "--effort", 0.05]
    words += ["--workers", 1, "--out", "run", "--top", 2]
    code, out, _ = type_in(*words)
    assert code == 0 and "3 docked, 1 failed" in out
    assert [row["record"] for row in rows_of(tmp_path / "run" / "failures.csv")] == ["2"]
    scores = [float(row["score"]) for row in rows_of(tmp_path / "run" / "scores.csv")]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    assert len(list(Ligand.iter_file(tmp_path / "run" / "poses.sdf"))) == 2
    assert set(json.loads((tmp_path / "run" / "report.json").read_text())) >= REPORT
    before = snapshot(tmp_path / "run")
    assert_refused(type_in(*words), "--resume")
    assert_refused(type_in(*words, "--resume", "--rigid"), "rigid is True here")
    assert snapshot(tmp_path / "run") == before
    assert type_in(*words, "--resume")[0] == 0
    (tmp_path / "bad.smi").write_text("nonsense\n")
    words[4] = "bad.smi"
    assert_refused(type_in(*words[:-3], "none"), "none of the 1 records", "not a SMILES")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dock"], ["--receptor, --ligand, --out"]),
        (["dock", *RECEPTOR, *LIGAND, "--out", "x"], ["--box-from FILE"]),
        (["dock", *RECEPTOR, *LIGAND, *BOX, "--center", 1, 2, 3, "--out", "x"], ["once"]),
        (["dock", *RECEPTOR, *LIGAND, "--center", 1, 2, 3, "--out", "x"], ["--size is missing"]),
        (["dock", *RECEPTOR, *LIGAND, "--center_x", 1, "--out", "x"], ["all three"]),
        (
            ["dock", *RECEPTOR, *LIGAND, "--center", 1, 2, 3, "--center_x", 1, "--out", "x"],
            ["not both"],
        ),
        (
            ["dock", *RECEPTOR, *LIGAND, "--center", 1, 2, 300, "--size", 9, 9, 9, "--out", "x"],
            ["residues within"],
        ),
        (["dock", *RECEPTOR, *LIGAND, *BOX, "--exhaustiveness", 8, "--out", "x"], ["--help"]),
        (["dock", *RECEPTOR, *LIGAND, *BOX, "--box-padding", -1, "--out", "x"], ["padding"]),
        (
            [
                "dock", *RECEPTOR, *LIGAND, "--center", 1, 2, 3, "--size", 9, 9, 9,
                "--box-padding", 3, "--out", "x",
            ],
            ["--box-padding goes with --box-from"],
        ),
        (
            ["dock", *RECEPTOR, *LIGAND, "--center", 11, 2, -11, "--size", 1, 1, 1, "--out", "x"],
            ["do not fit the box"],
        ),
        (["dock", *RECEPTOR, *LIGAND, *BOX, "--scoring", "esf", "--out", "x"], ["no model"]),
        (["dock", *RECEPTOR, *LIGAND, *BOX, "--num-poses", 0, "--out", "x"], ["--num-poses"]),
        (["dock", *RECEPTOR, *LIGAND, *BOX, "--effort", "nan", "--out", "x"], ["--effort"]),
        (["dock", *RECEPTOR, *LIGAND, *BOX, "--seed", -1, "--out", "x"], ["--seed"]),
        (["dock", *RECEPTOR, "--ligand", "none.sdf", *BOX, "--out", "x"], ["none.sdf"]),
        (["dock", "--receptor", "none.pdb", *LIGAND, *BOX, "--out", "x"], ["none.pdb"]),
        (["dock", *RECEPTOR, *LIGAND, *BOX, "--chains", "Q", "--out", "x"], ["chain"]),
        (["dock", *RECEPTOR, *LIGAND, *BOX, "--out", FOLDER], ["holds --receptor"]),
        (["score", *RECEPTOR, *LIGAND, *BOX, "--out", "x.txt"], [".csv"]),
        (["score", *RECEPTOR, *LIGAND, *BOX, "--rigid", "--out", "x.csv"], ["--minimize"]),
        (["score", *RECEPTOR, *LIGAND, *BOX, "--out", "no/x.csv"], ["folder of --out"]),
        (
            ["score", *RECEPTOR, *LIGAND, *BOX, "--minimize", "--out",
             ligand_path("1stp").with_suffix(".csv")],
            ["would replace"],
        ),
        (["prepare", *RECEPTOR, *BOX, "--out", "."], ["folder"]),
        (["screen", "--pocket", "none.pt", "--library", "l.smi", "--out", "x"], ["none.pt"]),
        (
            ["screen", "--pocket", receptor_path("1stp"), "--library", "l.smi", "--out", "x"],
            ["not a pocket"],
        ),
        (["screen", "--pocket", "p", "--library", "l", "--workers", 0, "--out", "x"], ["workers"]),
        (["screan"], ["did you mean screen"]),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(type_in, tmp_path, words, said):
    demo = snapshot(FOLDER)
    assert_refused(type_in(*words), *said)
    assert not list(tmp_path.iterdir())
    assert snapshot(FOLDER) == demo


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_teaches(name, capsys):
    with pytest.raises(SystemExit) as ended:
        run("docking", [name, "--help"], COMMANDS)
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"example: python -m docking {name}" in out and "--out" in out and "--seed" in out


def test_as_a_user_starts_it(command, docked, tmp_path):
    process = command("docking", "dock", *RECEPTOR, *LIGAND, *BOX, *QUICK, "--out", "run")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "kcal/mol" in out and err == ""
    assert (tmp_path / "run" / "poses.sdf").read_bytes() == (docked / "poses.sdf").read_bytes()
    process = command("docking", "dock", *RECEPTOR, *LIGAND, *BOX, *QUICK, "--out", "run")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and out == "" and err.count("\n") == 1
