"""Reading runs: what a benchmark wrote comes back, failures are misses, and nothing is changed."""

import math

import numpy as np
import pytest

from docking.figures.method import methods_of, scores_file
from overparam.errors import InputError
from tests.docking.figures.runs import write_run

GOOD = ([0.5, 4.0, 6.0], [9.0, 7.0, 5.0], [0.8, 0.3, 0.1])
FAR = ([5.0, 1.0], [8.0, 7.5], [0.4, 0.2])
FAILED = ([], [], [])


def test_rows_and_poses_come_back_and_a_failure_is_a_miss(tmp_path):
    outcomes = {
        "physics": {"a": GOOD, "b": FAR, "c": FAILED},
        "hybrid": {"a": FAR, "b": GOOD, "c": GOOD, "d": GOOD},
    }
    sizes = {"a": (10, 2), "b": (30, 8)}
    everybody = write_run(tmp_path / "run", outcomes, sizes=sizes)
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    physics, hybrid = methods_of([tmp_path / "run"])
    assert [physics.name, hybrid.name] == [who.name for who in everybody]
    # d was tried by one of them alone.
    assert physics.ids == hybrid.ids == ("a", "b", "c")
    assert physics.rmsd.tolist() == [0.5, 5.0, math.inf]
    assert physics.hits.tolist() == [True, False, False]
    assert hybrid.hits.tolist() == [False, True, True]
    np.testing.assert_array_equal(physics.sizes["heavy_atoms"], [10, 30, math.nan])
    found = {one.id: one for one in hybrid.poses()}
    assert set(found) == {"a", "b", "c"}
    for column, wanted in zip(("rmsd", "score", "confidence"), GOOD, strict=True):
        np.testing.assert_allclose(getattr(found["b"], column), wanted)
    assert [one.id for one in physics.poses()] == ["a", "b"]
    assert {f: f.read_bytes() for f in before} == before


def test_runs_without_confidence_have_none(tmp_path):
    write_run(tmp_path / "run", {"physics": {"a": (*GOOD[:2], [])}})
    (method,) = methods_of([tmp_path / "run"])
    (found,) = method.poses()
    assert np.isnan(found.confidence).all() and len(found.score) == 3


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    write_run(tmp_path / "run", {"physics": {"a": GOOD, "b": GOOD}}, poses=False)
    file = tmp_path / "run" / "rows.csv"
    file.write_bytes(file.read_bytes()[:-5])
    (method,) = methods_of([tmp_path / "run"])
    assert method.ids == ("a",) and list(method.poses()) == []


def test_methods_of_several_runs_have_names_of_their_own(tmp_path):
    for name in ("one", "two"):
        write_run(tmp_path / name, {"physics": {"a": GOOD}, "hybrid": {"a": GOOD}}, poses=False)
    both = methods_of([tmp_path / "one", tmp_path / "two"])
    assert len({one.name for one in both}) == 4
    assert both[0].name == "one/docking-own-effort1" and both[0].is_default
    some = methods_of([tmp_path / "one"], contestants=[both[1].contestant], ids=["a", "z"])
    assert [one.contestant for one in some] == [both[1].contestant] and some[0].ids == ("a",)


def test_scores_of_decoys_are_poses(tmp_path):
    run = tmp_path / "run"
    write_run(run, {}, protocol="decoys")
    lines = ["id,contestant,status,reason,top_rmsd", "a,runs/my fit.ckpt,ok,,1.5",
             "b,runs/my fit.ckpt,failed,no,", ""]  # fmt: skip
    (run / "rows.csv").write_text("\n".join(lines))
    file = scores_file(run, "a", "runs/my fit.ckpt")
    assert file.parent == run / "scores" / "a"
    file.parent.mkdir(parents=True)
    np.savez_compressed(file, score=np.float32([1, 3, 2]), rmsd=np.float32([6, 1, 4]))
    (method,) = methods_of([run])
    assert method.hits.tolist() == [True, False] and method.is_default
    (found,) = method.poses()
    assert found.rmsd.tolist() == [1, 4, 6] and found.score.tolist() == [3, 2, 1]


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        methods_of([tmp_path])
    write_run(tmp_path / "empty", {})
    with pytest.raises(InputError, match="no row in it yet"):
        methods_of([tmp_path / "empty"])
    write_run(tmp_path / "apart", {"physics": {"a": GOOD}, "hybrid": {"b": GOOD}}, poses=False)
    with pytest.raises(InputError, match="no complex has been tried by all"):
        methods_of([tmp_path / "apart"])
