"""Several models in one benchmark: their rows, the shape-only baseline, runs of before."""

import csv
import json

import numpy as np
import pytest
import torch
import yaml

from docking.benchmark import command, protocols
from docking.benchmark.contestant import engine, field_of
from docking.benchmark.shape import STERIC_ONLY, ShapeModel
from docking.box import Box
from docking.physics import ATOM_CAP, atom_terms
from docking.terms import TERMS, VINA
from docking.vina_table import cap
from overparam.errors import InputError
from tests.docking import demo


def test_the_baseline_is_vinas_steric_terms():
    assert STERIC_ONLY.weights[:3] == VINA.weights[:3] and not any(STERIC_ONLY.weights[3:])
    assert TERMS[3:] == ("hydrophobic", "hydrogen_bond")
    model, receptor = ShapeModel(), demo.receptor("1stp")
    ligand = protocols.read_ligand(demo.ligand_path("1stp"))
    pocket = model.prepare(receptor, Box.from_ligand(ligand, protocols.PADDING))
    poses = ligand.coords + np.random.default_rng(0).normal(0, 0.1, (4, 1, 3))
    terms = atom_terms(
        torch.as_tensor(poses), torch.as_tensor(ligand.vina_type),
        torch.as_tensor(receptor.positions), torch.as_tensor(receptor.vina_type),
    )  # fmt: skip
    steric = cap(terms[..., :3].sum(-1), ATOM_CAP).sum(-1).numpy()
    wanted = -steric / VINA.torsion_divisor(ligand.num_torsions)
    np.testing.assert_allclose(model.score(pocket, ligand, poses), wanted, rtol=1e-9)


def test_each_model_has_rows_of_its_own_and_physics_keeps_its_names():
    efforts = [0.25, 1.0, 4.0]
    alone = field_of(against="vina", efforts=efforts, searches=["8"])
    both = field_of(
        against="vina", efforts=efforts, searches=["8"], scoring=["physics", "runs/my fit"],
        baseline="shape",
    )  # fmt: skip
    assert {who.name for who in alone} < {who.name for who in both}
    assert engine(1.0, "own").name == "docking-own-effort1"
    assert len({who.name for who in both}) == len(both) == len(alone) + 6 + 1
    others = [who for who in both if who not in alone]
    assert {dict(who.job)["scoring"] for who in others} == {"runs/my fit", "shape"}
    assert not any(set(who.name) & set("/ ") for who in both)
    (base,) = [who for who in both if who.method == "docking-shape"]
    assert (base.inputs, base.setting) == ("own", "effort=1") and base.is_default
    for chosen, setting in (([0.5, 2.0], "effort=2"), ([2.0, 1.0], "effort=1")):
        everybody = field_of(against=None, efforts=chosen, searches=[], baseline="shape")
        assert everybody[-1].setting == setting and len(everybody) == 3


def _bench(out, *words):
    return command.main([
        "--data-root", str(demo.FOLDER), "--split", "demo", "--effort", "0.1", "--first", "1",
        "--validity", "off", "--out", str(out), *words,
    ])  # fmt: skip


def _rows(out):
    with (out / "rows.csv").open(newline="") as lines:
        return {row["contestant"]: row for row in csv.DictReader(lines)}


def test_models_may_join_a_run_of_before(tmp_path, capsys):
    out = tmp_path / "run"
    assert _bench(out) == 0
    before = (out / "rows.csv").read_bytes()
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["scoring"] == "physics"
    # What a run had in its configuration before there were models and baselines.
    head = (out / "config.yaml").read_text().splitlines()[0]
    config.pop("baseline")
    (out / "config.yaml").write_text(f"{head}\n{yaml.safe_dump(config)}")
    capsys.readouterr()
    assert _bench(out, "--resume") == 0
    assert (out / "rows.csv").read_bytes() == before and "[1/" not in capsys.readouterr().out
    assert _bench(out, "--resume", "--scoring", "physics", "physics", "--baseline", "shape") == 0
    assert (out / "rows.csv").read_bytes().startswith(before)
    rows = _rows(out)
    assert list(rows) == ["docking-own-effort0.1", "docking-shape-own-effort0.1"]
    shape = rows["docking-shape-own-effort0.1"]
    assert shape["status"] == "ok" and shape["method"] == "docking-shape"
    assert shape["top1_score"] != rows["docking-own-effort0.1"]["top1_score"]
    assert shape["start_rmsd"] == rows["docking-own-effort0.1"]["start_rmsd"]
    report = json.loads((out / "report.json").read_text())
    assert {"engine_task", "engine_task shape"} <= set(report["startup"])
    assert [s["method"] for s in report["contestants"]] == ["docking", "docking-shape"]
    assert "| docking-shape | own |" in (out / "table.md").read_text()


@pytest.mark.slow
def test_decoys_are_scored_by_every_model(tmp_path):
    out = tmp_path / "run"
    words = ["--protocol", "decoys", "--decoys", "3", "--baseline", "shape"]
    assert _bench(out, *words) == 0
    assert set(_rows(out)) == {"physics", "shape"}
    report = json.loads((out / "report.json").read_text())
    assert report["contestant"] == "physics"
    assert [other["contestant"] for other in report["others"]] == ["shape"]


@pytest.mark.slow
def test_a_model_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="a method cannot start"):
        _bench(tmp_path / "run", "--scoring", "physics", "no_such_model")
