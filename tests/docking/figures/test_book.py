"""The pictures of a run: every number is in a table, and the tables agree with the rows."""

import csv
import json
import math

import numpy as np
import pytest

from docking.__main__ import COMMANDS
from docking.figures.book import Book
from docking.figures.method import methods_of
from docking.figures.similarity import Nearest
from overparam.cli import run as command
from overparam.report_file import plain
from tests.docking.corpus import write_corpus
from tests.docking.figures.runs import write_run

N = 30


def outcomes(seed, told=True):
    """Results of ``N`` complexes, a fifth of them failures."""
    rng = np.random.default_rng(seed)
    found = {}
    for k in range(N):
        rmsd = rng.uniform(0.3, 8, 4) * (k % 5 > 0)
        rmsd = rmsd[rmsd > 0]
        sure = np.sort(rng.random(len(rmsd)))[::-1] if told else []
        found[f"c{k:02}"] = (rmsd.round(3), -np.sort(rng.normal(size=len(rmsd))), sure)
    return found


def table(file):
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    rng = np.random.default_rng(0)
    sizes = {f"c{k:02}": (int(rng.integers(8, 50)), int(rng.integers(0, 16))) for k in range(N - 3)}
    results = {"physics": outcomes(0, told=False), "hybrid": outcomes(1)}
    write_run(folder / "run", results, sizes=sizes)
    (folder / "out").mkdir()
    book = Book(folder / "out", methods_of([folder / "run"]), seed=0)
    near = {f"c{k:02}": Nearest(rng.random(), "t", rng.random(), "t") for k in range(N - 5)}
    book.write(near)
    return folder / "out", book


def test_every_picture_has_its_table(drawn):
    out, book = drawn
    names = {"funnel", "calibration", "success_by_size", "success_by_similarity"}
    assert {file.stem for file in out.glob("*.png")} == names
    assert {file.stem for file in out.glob("*.csv")} == set(book.facts) == names
    assert len(book.sections) == len(names)
    json.dumps(plain(book.facts), allow_nan=False)


def test_every_complex_is_in_one_group_and_failures_are_misses(drawn):
    out, book = drawn
    for stem, kinds in (("success_by_size", 2), ("success_by_similarity", 2)):
        lines = table(out / f"{stem}.csv")
        for method in book.methods:
            mine = [line for line in lines if line["method"] == method.name]
            assert len({line["by"] for line in mine}) == kinds
            for by in {line["by"] for line in mine}:
                here = [line for line in mine if line["by"] == by]
                assert sum(int(line["n"]) for line in here) == N
                assert sum(int(line["hits"]) for line in here) == method.hits.sum()
                (unknown,) = [line for line in here if line["group"] == "unknown"]
                assert int(unknown["n"]) == (3 if stem == "success_by_size" else 5)


def test_calibration_counts_the_poses_that_have_a_confidence(drawn):
    out, book = drawn
    _, hybrid = book.methods
    assert set(book.facts["calibration"]) == {hybrid.name}
    poses = list(hybrid.poses())
    lines = table(out / "calibration.csv")
    for what, n in (("all poses", sum(len(p.score) for p in poses)), ("first poses", len(poses))):
        mine = [line for line in lines if line["poses"] == what]
        assert sum(int(line["n"]) for line in mine) == n
    first = book.facts["calibration"][hybrid.name]["first poses"]
    solved = hybrid.hits.sum() / len(poses)
    assert math.isclose(first["base_rate"]["value"], solved)


def test_funnels_hold_every_pose(drawn):
    out, book = drawn
    lines = table(out / "funnel.csv")
    assert len(lines) == sum(len(p.score) for one in book.methods for p in one.poses())
    for method in book.methods:
        for poses in method.poses():
            mine = [
                float(line["score_less_mean"]) for line in lines
                if line["method"] == method.name and line["id"] == poses.id
            ]  # fmt: skip
            assert math.isclose(sum(mine), 0, abs_tol=1e-3)
            assert mine == sorted(mine, reverse=True)


def test_runs_without_poses_are_told_apart_by_success_alone(tmp_path):
    write_run(tmp_path / "run", {"physics": outcomes(2)}, poses=False)
    book = Book(tmp_path, methods_of([tmp_path / "run"]))
    book.write()
    assert book.facts["funnel"] == "no poses on disk"
    assert "no pose has a confidence" in book.facts["calibration"]
    assert [file.name for file in tmp_path.glob("*.png")] == ["success_by_size.png"]


# --- the command


def figures(*words):
    return command("docking", ["figures", *map(str, words)], commands=COMMANDS)


def test_the_command_reads_a_corpus_and_leaves_a_run(tmp_path, capsys):
    parts = {"train": ["a0", "a1"], "val": ["b2"], "test": ["d1", "d2"]}
    rows = {"a0": {}, "a1": {"leak_loose": 1}, "b2": {}, "d1": {}, "d2": {}}
    root = write_corpus(tmp_path / "corpus", parts, rows)
    poses = ([1.0, 4.0], [3.0, 1.0], [])
    write_run(tmp_path / "run", {"physics": {"d1": poses, "d2": poses}})
    out = tmp_path / "out"
    words = [tmp_path / "run", "--data-root", root, "--complex", "d1", "--out", out]
    assert figures(*words) == 0
    lines = {line["id"]: line for line in table(out / "similarity.csv")}
    # d1 is the complex of a1, which is too close to be trained on; a0 is another one.
    assert set(lines) == {"d1", "d2"}
    assert float(lines["d1"]["identity"]) < 1 and lines["d1"]["training"].startswith("strict:1:")
    assert (out / "slices_physics.png").is_file() and (out / "slices_physics.csv").is_file()
    report = json.loads((out / "report.json").read_text())
    assert report["status"] == "finished" and report["figures"]["funnel"]["complex"] == "d1"
    assert report["metrics"] == {"docking-own-effort1": 1.0}
    assert "report.html" in capsys.readouterr().out
    assert figures(*words) == 2 and "not empty" in capsys.readouterr().err
    assert figures(*words, "--overwrite", "--train-split", "published") == 0
    lines = {line["id"]: line for line in table(out / "similarity.csv")}
    assert float(lines["d1"]["identity"]) == 1 and lines["d1"]["nearest_ligand"] == "a1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "holds no run"), (["run", "--complex", "zz"], "--complex must be of"),
        (["run", "--data-root", "nowhere"], "must be a folder"),
        (["run", "--train-split", "odd"], "--train-split must be one of"),
        (["run", "other/run"], "names of their own"),
    ],
)  # fmt: skip
def test_bad_input_leaves_nothing(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    for name in ("run", "other/run"):
        write_run(tmp_path / name, {"physics": {"a": ([1.0], [1.0], [])}}, poses=False)
    assert figures(*words, "--out", "out") == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_run_is_never_drawn_over(tmp_path, capsys):
    write_run(tmp_path / "run", {"physics": {"a": ([1.0], [1.0], [])}}, poses=False)
    for out in (tmp_path / "run", tmp_path):
        assert figures(tmp_path / "run", "--out", out, "--overwrite") == 2
        assert "holds the run" in capsys.readouterr().err
