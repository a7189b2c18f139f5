"""A screen finds the same however it is run, loses nothing and says what failed."""

import csv
import gzip
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docking.box import Box
from docking.ligand import Failure, Ligand
from docking.models import load_model
from docking.screen import screen
from docking.screening.library import Library, Names
from docking.screening.task import Task
from overparam.errors import InputError

from .demo import ligand, ligand_path, mol2_text, receptor

SMILES = """\
CCO ethanol
c1ccccc1C(=O)O acid
nonsense bad
CCCO ethanol
CC(=O)Nc1ccc(O)cc1
C*C dummy
CCCCCC hexane
[Na+].CC(=O)[O-] salt
CCN
CCOC ethanol
CC(C)O
c1ccncc1 pyridine
"""
BAD = {3: "not a SMILES", 6: "dummy"}
COUNT = len(SMILES.splitlines())
SMALL = {"effort": 0.05, "shard": 3}


@pytest.fixture(scope="module")
def model():
    return load_model("physics")


@pytest.fixture(scope="module")
def pocket(model):
    return model.prepare(receptor("1stp"), Box.from_ligand(ligand("1stp")))


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("library") / "lib.smi"
    path.write_text(SMILES)
    return path


@pytest.fixture(scope="module")
def whole(model, pocket, library, tmp_path_factory) -> tuple[list, Path]:
    """The rows of a screen that nothing disturbed, and its folder."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return list(screen(model, pocket, library, out=out, num_poses=2, **SMALL)), out


def tables(folder: Path) -> dict[str, str]:
    return {
        name: (folder / name).read_text() for name in ("scores.csv", "failures.csv", "poses.sdf")
    }


def plain(rows) -> list[tuple]:
    return [
        (r.record, r.name, repr(r.score), r.error, None if r.coords is None else r.coords.tolist())
        for r in rows
    ]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def test_every_record_has_one_row_in_order(whole, model, pocket):
    rows, _ = whole
    assert [row.record for row in rows] == list(range(1, COUNT + 1))
    assert len({row.name for row in rows}) == COUNT
    assert {row.record for row in rows if row.error} == set(BAD)
    for row in rows:
        if row.error:
            assert BAD[row.record] in row.error and np.isnan(row.score) and row.coords is None
            continue
        assert row.coords is row.poses[0].coords and 1 <= len(row.poses) <= 2
        source = Ligand.from_smiles(SMILES.splitlines()[row.record - 1].split()[0])
        again = np.asarray(model.score(pocket, source, row.coords[None]))[0]
        assert again == pytest.approx(row.score, abs=1e-6)


def test_files_say_what_the_rows_say(whole):
    rows, out = whole
    good = sorted((r for r in rows if not r.error), key=lambda r: (-round(r.score, 5), r.record))
    table = rows_of(out / "scores.csv")
    assert [int(row["record"]) for row in table] == [row.record for row in good]
    assert [row["name"] for row in table] == [row.name for row in good]
    assert [float(row["score"]) for row in table] == pytest.approx([r.score for r in good], 1e-4)
    failed = rows_of(out / "failures.csv")
    assert [(int(f["record"]), f["reason"]) for f in failed] == [
        (row.record, row.error) for row in rows if row.error
    ]
    poses = list(Ligand.iter_file(out / "poses.sdf", on_error="raise"))
    wanted = [(row.record, pose) for row in good for pose in row.poses]
    assert len(poses) == len(wanted)
    for found, (record, pose) in zip(poses, wanted, strict=True):
        assert int(found.properties["record"]) == record
        assert np.allclose(found.coords, pose.coords, atol=1e-4)
    report = json.loads((out / "report.json").read_text())
    assert report["status"] == "finished"
    assert report["metrics"]["docked"] == len(good) and report["metrics"]["failed"] == len(BAD)
    assert {"wall_seconds", "peak_memory_mb", "versions", "seed", "warnings"} <= set(report)
    assert any("2 fragments" in warning for warning in report["warnings"])


def test_worker_processes_change_nothing(whole, model, pocket, library, tmp_path, monkeypatch):
    rows, out = whole
    monkeypatch.setattr("docking.screening.workers.WINDOW", 1)
    there = os.environ.get("NUMBA_NUM_THREADS")
    found = list(screen(model, pocket, library, 2, out=tmp_path / "run", num_poses=2, **SMALL))
    assert plain(found) == plain(rows)
    assert tables(tmp_path / "run") == tables(out)
    assert os.environ.get("NUMBA_NUM_THREADS") == there


def test_molecules_are_taken_one_at_a_time(model, pocket):
    taken = 0

    def source():
        nonlocal taken
        for _ in range(10):
            taken += 1
            yield ligand("1p5e")

    rows = screen(model, pocket, source(), **SMALL)
    assert taken == 0
    first = next(rows)
    assert taken == 1 and first.record == 1
    second = next(rows)
    assert taken == 2 and second.name == f"{first.name}_2"
    assert second.score != first.score or not np.array_equal(first.coords, second.coords)


KILLED = """
import sys
from multiprocessing import active_children
import docking
from docking.screen import screen
if __name__ == "__main__":
    library, pocket, out, workers, resume = sys.argv[1:]
    model = docking.load_model("physics")
    rows = screen(model, docking.PocketField.load(pocket), library, int(workers), out=out,
                  resume=bool(int(resume)), num_poses=2, effort=0.05, shard=3)
    for row in rows:
        print(row.record, *(child.pid for child in active_children()), flush=True)
        if not int(resume):
            sys.stdin.readline()
"""


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(("workers", "last"), [(2, 5), pytest.param(1, 8, marks=pytest.mark.slow)])
def test_a_killed_screen_goes_on(whole, pocket, library, tmp_path, workers, last):
    _, out = whole
    pocket.save(tmp_path / "pocket.pt")
    (tmp_path / "script.py").write_text(KILLED)
    place = tmp_path / "run"

    def start(resume: int) -> subprocess.Popen:
        # It may go on with another number of workers.
        words = ["script.py", library, "pocket.pt", place, 1 if resume else workers, resume]
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with start(0) as process:
        assert process.stdout and process.stdin
        children: list[int] = []
        for line in process.stdout:
            record, *pids = map(int, line.split())
            children = pids
            if record == last:
                break
            process.stdin.write("\n")
            process.stdin.flush()
        process.send_signal(signal.SIGKILL)
    assert len(children) == (workers if workers > 1 else 0)
    before = json.loads((place / "report.json").read_text())
    assert before["status"] == "running" and not (place / "scores.csv").exists()
    kept = sum(len(rows_of(file)) for file in (place / "shards").glob("*.csv"))
    assert kept == 3 * ((last - 1) // 3)
    with start(1) as process:
        assert process.stdout
        seen = [int(line.split()[0]) for line in process.stdout]
    assert process.returncode == 0
    assert seen == list(range(kept + 1, COUNT + 1))
    assert tables(place) == tables(out)
    assert json.loads((place / "report.json").read_text())["attempts"] == 2
    deadline = time.monotonic() + 20
    while any(map(running, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(running, children))


FRAGILE = """
import os, signal, sys
import docking
from docking.model import PhysicsModel
from docking.screen import screen

class Fragile(PhysicsModel):
    def dock(self, pocket, ligand, **rest):
        if ligand.title == "hexane":
            os.kill(os.getpid(), signal.SIGKILL)
        if ligand.title == "acid":
            raise ZeroDivisionError("a mistake\\nof ours")
        return super().dock(pocket, ligand, **rest)

if __name__ == "__main__":
    library, pocket = sys.argv[1:]
    for row in screen(Fragile(), docking.PocketField.load(pocket), library, 2, effort=0.05):
        print(row.record, row.error)
"""


def test_a_record_that_kills_its_worker_is_named_and_the_rest_goes_on(pocket, library, tmp_path):
    pocket.save(tmp_path / "pocket.pt")
    (tmp_path / "script.py").write_text(FRAGILE)
    done = subprocess.run(
        [sys.executable, "script.py", str(library), "pocket.pt"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.partition(" ") for line in done.stdout.splitlines()]
    assert [int(record) for record, _, _ in rows] == list(range(1, COUNT + 1))
    errors = {int(record): error for record, _, error in rows if error}
    assert set(errors) == {*BAD, 2, 7}
    assert errors[2] == "ZeroDivisionError: a mistake of ours"
    assert "signal 9" in errors[7]


def test_a_screen_left_early_goes_on(whole, model, pocket, library, tmp_path):
    rows, out = whole
    place = tmp_path / "run"
    some = screen(model, pocket, library, out=place, num_poses=2, **SMALL)
    for _ in range(5):
        next(some)
    some.close()
    assert json.loads((place / "report.json").read_text())["status"] == "interrupted"
    # What a crash may leave behind: poses without their table, half of a file.
    (place / "shards" / "00002.sdf").write_text("half")
    (place / "shards" / ".00002.csv.1.partial").write_text("half")
    rest = list(screen(model, pocket, library, out=place, resume=True, num_poses=2, **SMALL))
    assert plain(rest) == plain(rows[5:])
    assert tables(place) == tables(out)
    assert not list((place / "shards").glob(".*"))
    again = screen(model, pocket, library, out=place, resume=True, num_poses=2, top=2, **SMALL)
    assert list(again) == []
    best = Ligand.iter_file(place / "poses.sdf")
    assert {p.properties["record"] for p in best} == {
        row["record"] for row in rows_of(out / "scores.csv")[:2]
    }


def test_what_cannot_go_on_is_refused(whole, model, pocket, library, tmp_path):
    _, out = whole
    before = tables(out)
    with pytest.raises(InputError, match="not empty"):
        screen(model, pocket, library, out=out)
    with pytest.raises(InputError, match="seed is 1 here and 0"):
        list(screen(model, pocket, library, out=out, resume=True, num_poses=2, seed=1, **SMALL))
    other = model.prepare(receptor("1stp"), Box.from_ligand(ligand("1stp"), padding=5))
    with pytest.raises(InputError, match="pocket_sha256"):
        list(screen(model, other, library, out=out, resume=True, num_poses=2, **SMALL))
    assert tables(out) == before
    place = tmp_path / "run"
    some = screen(model, pocket, library, out=place, **SMALL)
    for _ in range(8):
        next(some)
    some.close()
    (place / "shards" / "00000.csv").unlink()
    with pytest.raises(InputError, match="shards"):
        list(screen(model, pocket, library, out=place, resume=True, **SMALL))


def test_a_failure_may_stop_the_screen(model, pocket, library, tmp_path):
    rows = screen(model, pocket, library, out=tmp_path / "run", on_error="raise", **SMALL)
    with pytest.raises(InputError, match=r"record 3 lib_3: .*not a SMILES"):
        list(rows)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["status"] == "failed" and "not a SMILES" in report["error"]
    assert len(rows_of(tmp_path / "run" / "shards" / "00000.csv")) == 2


def test_bad_arguments(model, pocket, library, tmp_path):
    for wrong in (
        {"workers": 0},
        {"num_poses": 0},
        {"shard": 0},
        {"top": 0},
        {"effort": 0.0},
        {"seed": -1},
        {"on_error": "ignore"},
        {"engine": "spark"},
        {"resume": True},
    ):
        name = next(iter(wrong))
        with pytest.raises(ValueError, match=name):
            screen(model, pocket, library, **wrong)
    with pytest.raises(InputError, match="no such file"):
        screen(model, pocket, tmp_path / "none.sdf")
    with pytest.raises(InputError, match="unknown file type"):
        screen(model, pocket, tmp_path / "none.xyz")
    (tmp_path / "empty.sdf").write_text("")
    with pytest.raises(InputError, match="empty"):
        screen(model, pocket, tmp_path / "empty.sdf", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
def test_ray_missing_is_one_line(model, pocket, library):
    with pytest.raises(InputError, match=r"overparam\[screen\]"):
        screen(model, pocket, library, engine="ray")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")
def test_ray_changes_nothing(whole, model, pocket, library, tmp_path):
    rows, out = whole
    found = screen(
        model, pocket, library, 2, engine="ray", out=tmp_path / "run", num_poses=2, **SMALL
    )
    assert plain(found) == plain(rows)
    assert tables(tmp_path / "run") == tables(out)


@pytest.mark.parametrize("kind", ["sdf", "sdf.gz", "mol2", "smi"])
@pytest.mark.parametrize("after", [0, 2])
def test_records_are_those_of_the_reader(tmp_path, kind, after):
    sdf = ligand_path("1p5e").read_text() * 2 + "broken\n\n\nnot counts\n$$$$\n"
    texts = {
        "sdf": sdf,
        "mol2": mol2_text("1p5e") * 2 + mol2_text("1stp", title="last"),
        "smi": SMILES,
    }
    path = tmp_path / f"lib.{kind}"
    text = texts[kind.split(".")[0]]
    path.write_bytes(gzip.compress(text.encode()) if kind.endswith("gz") else text.encode())
    failures: list[Failure] = []
    expected = {one.record: one for one in Ligand.iter_file(path, failures=failures)}
    reasons = {failure.record: failure.reason for failure in failures}
    names = Names([expected[r].name for r in range(1, after + 1) if r in expected])
    seen = []
    for entry in Library(path).entries(after):
        seen.append(entry.record)
        try:
            found = entry.read()
        except InputError as error:
            assert reasons[entry.record] == str(error)
            continue
        same = expected[entry.record]
        assert names.unique(found.name) == same.name
        assert (found.vina_type == same.vina_type).all() and found.warnings == same.warnings
    assert seen == list(range(after + 1, len(expected) + len(failures) + 1))


@given(st.lists(st.sampled_from(["a", "b", "a_2", "a_3", "a b", " a"]), max_size=12))
def test_names_are_unique_and_do_not_depend_on_where_one_starts(titles):
    names = Names()
    whole = [names.unique(title) for title in titles]
    assert len(set(whole)) == len(titles)
    for cut in range(len(titles)):
        later = Names(whole[:cut])
        assert [later.unique(title) for title in titles[cut:]] == whole[cut:]


@given(st.integers(0, 2**31 - 1), st.integers(1, 10**9))
def test_seeds_of_records_differ(seed, record):
    task = Task(seed=seed)
    assert 0 <= task.seed_of(record) < 2**31
    assert task.seed_of(record) == Task(seed=seed).seed_of(record) != task.seed_of(record + 1)
    assert task.seed_of(record) != Task(seed=seed + 1).seed_of(record)
