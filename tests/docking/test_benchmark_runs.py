"""Runs of the benchmark: processes, resuming, failures, and the peer where it is installed."""

import csv
import json

import numpy as np
import pytest
from scipy.spatial import cKDTree

from docking.benchmark import command, protocols
from docking.benchmark.stem import Stem, StemError
from docking.box import Box
from docking.ligand import Ligand
from docking.molecule import Receptor
from overparam.errors import InputError
from tests.docking import demo

TASK = """
import os, signal, time
def warm_up(settings):
    if settings.get("broken"):
        raise ImportError("no such peer")
def run(job, say):
    say({"begun": True, "pid": os.getpid()})
    if job["do"] == "burn":
        while True:
            pass
    if job["do"] == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if job["do"] == "raise":
        raise ValueError("no\\nluck")
    if job["do"] == "print":
        os.system("echo in between")
        print("and more", flush=True)
    block = bytearray(job.get("mb", 0) << 20)
    return {"cpu": time.process_time(), "threads": os.environ["OMP_NUM_THREADS"], "n": len(block)}
"""


@pytest.fixture
def task(tmp_path, monkeypatch):
    (tmp_path / "burner_task.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "burner_task"


def test_each_job_has_a_process_a_limit_and_a_memory_peak_of_its_own(task):
    stem = Stem(task, {})
    try:
        good = stem.run({"do": "print", "cap": 5.0})
        assert good.status == "ok" and good.facts["threads"] == "1" and good.facts["cpu"] < 1
        burnt = stem.run({"do": "burn", "cap": 1.0})
        assert burnt.status == "cap" and burnt.facts["begun"] and "1 s" in burnt.reason
        crashed = stem.run({"do": "crash"})
        assert crashed.status == "crashed" and "SIGSEGV" in crashed.reason
        failed = stem.run({"do": "raise"})
        assert (failed.status, failed.reason) == ("failed", "ValueError: no luck")
        large = stem.run({"do": "none", "mb": 200})
        small = stem.run({"do": "none"})
        assert large.peak_mb - small.peak_mb > 150
        assert len({o.facts["pid"] for o in (good, burnt, crashed, failed, large)}) == 5
    finally:
        stem.close()
    with pytest.raises(StemError, match="ended"):
        stem.run({"do": "none"})


def test_a_method_that_cannot_be_imported_says_why(task):
    with pytest.raises(StemError, match="no such peer"):
        Stem(task, {"broken": True})


# --- the whole command on the demo complexes


def _bench(out, *words, data=demo.FOLDER):
    return command.main([
        "--data-root", str(data), "--split", "demo", "--effort", "0.1", "--out", str(out), *words
    ])  # fmt: skip


def _lines(out):
    with (out / "rows.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_run_leaves_its_tables_and_goes_on_where_it_stopped(tmp_path, capsys):
    out = tmp_path / "run"
    assert _bench(out, "--first", "1", "--validity", "off") == 0
    first = _lines(out)
    assert [row["id"] for row in first] == ["1bju"] and first[0]["status"] == "ok"
    assert float(first[0]["best_rmsd"]) <= float(first[0]["top1_rmsd"])
    assert float(first[0]["dock_cpu_s"]) > 0 and float(first[0]["peak_mb"]) > 10
    report = json.loads((out / "report.json").read_text())
    assert report["status"] == "finished" and report["contestants"][0]["n"] == 1
    for name in ("report.html", "table.md", "success_cpu.png", "rmsd.png", "config.yaml"):
        assert (out / name).stat().st_size > 0
    poses = list(Ligand.iter_file(out / "poses" / "1bju" / "docking-own-effort0.1.sdf.gz"))
    assert len(poses) == float(first[0]["n_poses"])
    assert poses[0].elements == protocols.read_ligand(demo.ligand_path("1bju")).elements
    # One more complex: the first row stays, byte for byte.
    before = (out / "rows.csv").read_bytes()
    assert _bench(out, "--first", "2", "--validity", "off", "--resume") == 0
    after = (out / "rows.csv").read_bytes()
    assert after.startswith(before) and [row["id"] for row in _lines(out)] == ["1bju", "1p5e"]
    capsys.readouterr()
    # Nothing left to do: no docking, same rows.
    assert _bench(out, "--first", "2", "--validity", "off", "--resume") == 0
    assert (out / "rows.csv").read_bytes() == after and "[1/" not in capsys.readouterr().out
    with pytest.raises(InputError, match="--seed is 1 here"):
        _bench(out, "--first", "2", "--resume", "--seed", "1")
    with pytest.raises(InputError, match="not empty"):
        _bench(out)
    with pytest.raises(InputError, match="no complex of split"):
        _bench(out, "--overwrite", data=tmp_path)
    assert (out / "rows.csv").read_bytes() == after


def test_a_complex_that_cannot_be_read_is_a_row_and_a_miss(tmp_path):
    data = tmp_path / "data" / "demo"
    data.mkdir(parents=True)
    for file in (demo.receptor_path("1stp"), demo.ligand_path("1stp")):
        (data / file.name).write_bytes(file.read_bytes())
    (data / "0bad_protein.pdb").write_text("HEADER nothing\n")
    (data / "0bad_ligand.sdf").write_bytes(demo.ligand_path("1stp").read_bytes())
    (data / "1bad_protein.pdb.gz").write_bytes(demo.receptor_path("1stp").read_bytes())
    (data / "1bad_ligand.sdf").write_text("not\nan\nsdf\n$$$$\n")
    out = tmp_path / "run"
    assert _bench(out, "--validity", "off", "--jobs", "2", data=data.parent) == 0
    rows = {row["id"]: row for row in _lines(out)}
    assert [rows[key]["status"] for key in ("0bad", "1bad", "1stp")] == [
        "failed", "prepare_failed", "ok",
    ]  # fmt: skip
    assert "ATOM" in rows["0bad"]["reason"] and rows["1bad"]["reason"]
    summary = json.loads((out / "report.json").read_text())["contestants"][0]
    assert summary["n"] == 3 and summary["failed"] == {"failed": 1, "prepare_failed": 1}
    assert summary["top1_below_2"]["hits"] <= 1 and summary["top1_below_2"]["value"] <= 1 / 3


def test_when_nothing_works_the_run_says_so(tmp_path):
    data = tmp_path / "data" / "demo"
    data.mkdir(parents=True)
    (data / "x_protein.pdb").write_text("x")
    (data / "x_ligand.sdf").write_text("x")
    assert _bench(tmp_path / "run", "--validity", "off", data=data.parent) == 3


def test_decoys_of_a_demo_complex(tmp_path):
    words = ["--protocol", "decoys", "--decoys", "4", "--first", "1"]
    assert _bench(tmp_path / "run", *words) == 0
    row = _lines(tmp_path / "run")[0]
    assert 0 <= float(row["auroc"]) <= 1 and int(float(row["poses"])) <= 4**3 - 1
    with pytest.raises(InputError, match="no part"):
        _bench(tmp_path / "other", *words, "--against", "vina")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "cuda"], "CPU"), (["--jobs", "0"], "jobs"), (["--cap", "0"], "cap"),
        (["--first", "0"], "at least 1"), (["--seed", "-1"], "seed"),
        (["--data-root", "/nowhere"], "must be a folder"), (["--effort", "-1"], "effort"),
    ],
)  # fmt: skip
def test_bad_input_is_told_before_anything_is_made(tmp_path, words, said):
    with pytest.raises(InputError, match=said):
        _bench(tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


def test_without_the_peer_the_command_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(command.PACKAGES, "no_such_module", "no-such-distribution")
    with pytest.raises(InputError, match=r"no-such-distribution.*overparam\[bench\]"):
        _bench(tmp_path / "run", "--against", "vina")


# --- with the peer


@pytest.mark.parametrize("key", ["1stp", "3og7"])
def test_prepared_files_hold_every_atom_in_its_place(key, tmp_path):
    pytest.importorskip("meeko", reason="the bench extra is not installed")
    pytest.importorskip("openbabel", reason="the bench extra is not installed")
    from docking.benchmark import preparation

    ligand = protocols.read_ligand(demo.ligand_path(key))
    box = Box.from_ligand(ligand, protocols.PADDING)
    start = protocols.start_pose("rigid", key, ligand, box, 0)
    text = preparation.ligand_pdbqt(ligand, start, rigid=True)
    order = preparation.atom_order(text, ligand, start)
    np.testing.assert_allclose(preparation.positions(text)[order], start, atol=1e-9)
    assert "BRANCH" not in text
    bent = preparation.ligand_pdbqt(ligand, start, rigid=False)
    assert bent.count("\nBRANCH") >= len(ligand.torsions) > 0
    (tmp_path / "l.pdbqt").write_text(text)
    read = Ligand.from_pdbqt(tmp_path / "l.pdbqt")
    assert not read.torsions and read.heavy.sum() == len(ligand)
    np.testing.assert_array_equal(read.vina_type[order], ligand.vina_type)
    (tmp_path / "r.pdbqt").write_text(preparation.receptor_pdbqt(demo.receptor_path(key)))
    prepared, ours = Receptor.from_file(tmp_path / "r.pdbqt"), demo.receptor(key)
    distance, row = cKDTree(prepared.positions).query(ours.positions)
    assert distance.max() < 1e-6
    # Titratable residues and chain ends are where two preparations may differ.
    assert (prepared.vina_type[row] == ours.vina_type).mean() > 0.98


def test_both_methods_dock_the_same_files(tmp_path):
    for name in ("vina", "meeko", "openbabel"):
        pytest.importorskip(name, reason="the bench extra is not installed")
    out = tmp_path / "run"
    words = ["--first", "1", "--against", "vina", "--vina-search", "2:2000"]
    assert _bench(out, *words) == 0
    rows = {row["contestant"]: row for row in _lines(out)}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert {row["start_rmsd"] for row in rows.values()} == {_lines(out)[0]["start_rmsd"]}
    pairs = json.loads((out / "report.json").read_text())["pairs"]
    assert {pair["theirs"] for pair in pairs} == {"vina-pdbqt-exh2-evals2000"}
    assert {pair["ours"] for pair in pairs} == {"docking-pdbqt-effort0.1", "docking-own-effort0.1"}
    # Both score by the same function, so each pose gets the score its own method gave it.
    _check_scores(out)


def _check_scores(out):
    from docking.physics import vina_energy

    receptor = Receptor.from_file(out / "prepared" / "1bju_receptor.pdbqt")
    for name in ("vina-pdbqt-exh2-evals2000", "docking-pdbqt-effort0.1"):
        poses = list(Ligand.iter_file(out / "poses" / "1bju" / f"{name}.sdf.gz"))
        ligand = poses[0]
        # A rigid ligand has no torsions, so the score is the bare interaction energy.
        energy = [
            vina_energy(receptor, ligand, pose.coords) * (1 + 0.05846 * ligand.num_torsions)
            for pose in poses
        ]
        stated = [float(pose.properties["score"]) for pose in poses]
        # Vina's table errs by 0.01 kcal/mol, and by 0.1 % of a clash; files keep three decimals.
        np.testing.assert_allclose(np.negative(energy), stated, atol=0.03, rtol=5e-3)
