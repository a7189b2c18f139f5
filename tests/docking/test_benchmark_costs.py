"""What a benchmark tells besides success: seconds by stage, confidences, models side by side."""

import csv
import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import docking.model
from docking import Box, HybridModel, HybridScore, MoleculeNet, PhysicsModel, PocketNet
from docking.benchmark import command, decoys, protocols
from docking.benchmark.contestant import engine, vina
from docking.benchmark.cost import cost_rows, costs, parts
from docking.benchmark.dataset import Complex
from docking.benchmark.rows import NUMBERS, TEXT, Rows
from docking.benchmark.stages import STAGES, Stages
from docking.benchmark.table import Results
from overparam.errors import InputError
from tests.docking import demo

seconds = st.floats(0.0, 100.0)
few = settings(max_examples=30, deadline=None)
COLUMNS = ("read", "receptor", "maps", "dock", "ligand", "rescore")


def complexes(n):
    return [Complex(f"c{k}", Path("r"), Path("l")) for k in range(n)]


def results_of(who, lines):
    """A contest of one, with these seconds on its complexes."""
    rows = {}
    for k, given_ in enumerate(lines):
        row = dict.fromkeys(NUMBERS, math.nan) | {"status": "ok", "top1_rmsd": 1.0}
        row |= {f"{name}_cpu_s": value for name, value in given_.items()}
        rows[f"c{k}", who.name] = row
    return Results(complexes(len(lines)), [who], rows.get)


# --- the split


@few
@given(st.lists(st.tuples(*[seconds] * 6), min_size=1, max_size=8))
def test_what_is_paid_once_and_for_each_is_all_there_is(lines):
    # A part is never longer than the whole it lies in.
    made = [
        {"receptor": a, "read": a + b, "maps": c, "ligand": d, "rescore": e, "dock": d + e + f}
        for a, b, c, d, e, f in lines
    ]
    who = engine(1.0, "own")
    found = parts(results_of(who, made), who)
    whole = [one["read"] + one["maps"] + one["dock"] for one in made]
    np.testing.assert_allclose(found["pocket"] + found["per_ligand"], whole, atol=1e-9)
    inside = [found[name] for name in ("ligand_file", "ligand", "search", "rescore")]
    np.testing.assert_allclose(sum(inside), found["per_ligand"], atol=1e-9)
    np.testing.assert_allclose(found["receptor"] + found["maps"], found["pocket"], atol=1e-9)
    assert all((values >= -1e-9).all() for values in found.values())


def test_what_a_method_cannot_tell_is_left_out():
    peer, ours = vina("8"), engine(1.0, "own")
    told = {"receptor": 0.5, "read": 0.6, "maps": 1.0, "dock": 9.0}
    found = costs(results_of(peer, [told] * 3), peer)
    assert {"ligand", "rescore"}.isdisjoint(found["median_cpu_s"])
    assert found["median_cpu_s"]["search"]["value"] == 9.0
    assert found["median_cpu_s"]["per_ligand"]["value"] == pytest.approx(9.1)
    older = costs(results_of(ours, [{"read": 0.6, "maps": 1.0, "dock": 9.0}]), ours)
    rows = cost_rows([found, older], [peer, ours])
    assert len(rows) == 2 and rows[1][0] == "vina" and rows[1].count("-") == 2
    assert cost_rows([older], [ours]) == []


def hybrid():
    net = PocketNet(channels=3, radial=4, width=16, vectors=4, layers=1, neighbours=8)
    return HybridModel(HybridScore(net, MoleculeNet(3, 16, 1)).eval())


@pytest.mark.parametrize("make", [PhysicsModel, hybrid])
def test_stages_count_what_they_say_and_change_nothing(make):
    model, ligand = make(), demo.ligand("1bju")
    pocket = model.prepare(demo.receptor("1bju").without_ligand(ligand), Box.from_ligand(ligand))

    def dock():
        return model.dock(pocket, ligand, num_poses=2, effort=0.02, seed=0).coords

    plain, kept = dock(), docking.model.generate
    began = time.process_time()
    with Stages(model) as stages:
        timed = dock()
    whole = time.process_time() - began
    assert np.array_equal(timed, plain)
    assert set(stages.spent) == set(STAGES)
    assert all(value > 0 for value in stages.spent.values())
    assert sum(stages.spent.values()) <= whole
    assert docking.model.generate is kept and not set(vars(model)) & {"_laid", "_ranked"}
    before = dict(stages.spent)
    dock()
    assert stages.spent == before


def test_stages_end_with_an_error_too():
    model = PhysicsModel()
    with pytest.raises(ZeroDivisionError), Stages(model):
        raise ZeroDivisionError
    assert "_ranked" not in vars(model)


# --- rows


def test_rows_of_an_earlier_version_get_the_new_columns(tmp_path):
    file = tmp_path / "rows.csv"
    older = [*TEXT, *NUMBERS[:-4]]
    assert NUMBERS[-1] == "top1_confidence"
    line = dict.fromkeys(older, "") | {"id": "a", "contestant": "m", "top1_rmsd": "1.5"}
    with file.open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([older, [line[name] for name in older]])
    rows = Rows(file)
    found = rows.get(("a", "m"))
    assert found["top1_rmsd"] == 1.5 and math.isnan(found["top1_confidence"])
    rows.add({"id": "b", "contestant": "m", "top1_confidence": 0.25})
    again = Rows(file)
    assert len(again) == 2 and again.get(("b", "m"))["top1_confidence"] == 0.25
    assert again.get(("a", "m")) == found or again.get(("a", "m"))["top1_rmsd"] == 1.5
    for head in (["id", "contestant"], [*TEXT, NUMBERS[1], NUMBERS[0]], [*older, "odd"]):
        file.write_text(",".join(head) + "\n")
        with pytest.raises(InputError, match="other columns"):
            Rows(file)


@pytest.mark.slow
def test_confidences_and_seconds_are_in_rows_and_poses(tmp_path):
    out = tmp_path / "run"
    words = ["--data-root", str(demo.FOLDER), "--split", "demo", "--effort", "0.1", "--first", "1"]
    words += ["--validity", "off", "--scoring", "physics", "hybrid", "--out", str(out)]
    assert command.main(words) == 0
    with (out / "rows.csv").open(newline="") as text:
        physics, learned = csv.DictReader(text)
    assert physics["top1_confidence"] == "" and 0 <= float(learned["top1_confidence"]) <= 1
    for row in (physics, learned):
        inside = float(row["ligand_cpu_s"]) + float(row["rescore_cpu_s"])
        assert 0 < inside <= float(row["dock_cpu_s"])
        assert 0 < float(row["receptor_cpu_s"]) <= float(row["read_cpu_s"])
    from docking.figures.method import methods_of

    _, method = methods_of([out])
    (poses,) = method.poses()
    assert poses.confidence[0] == pytest.approx(float(learned["top1_confidence"]), rel=1e-5)
    assert (out / "calibration.csv").is_file()
    assert "Where the CPU seconds go" in (out / "table.md").read_text()


# --- decoys


def decoy_rows(folder, figures):
    rows = Rows(folder / "rows.csv", decoys.TEXT, decoys.NUMBERS)
    for who, lines in figures.items():
        for k, (status, auroc, top) in enumerate(lines):
            row = {"id": f"c{k}", "contestant": who, "status": status}
            rows.add({**row, "auroc": auroc, "top_rmsd": top, "rank_of_nearest": 1.0,
                      "poses": 10.0, "score_cpu_s": 1.0})  # fmt: skip
    return rows


lines = st.lists(
    st.tuples(st.sampled_from(["ok", "failed"]), st.floats(0, 1), st.floats(0, 6)),
    min_size=1, max_size=12,
)  # fmt: skip


@few
@given(lines, st.integers(0, 99))
def test_comparison_of_two_models_is_antisymmetric(tmp_path_factory, figures, seed):
    other = [figures[i] for i in np.random.default_rng(seed).permutation(len(figures))]
    rows = decoy_rows(tmp_path_factory.mktemp("rows"), {"a": figures, "b": other})
    some = complexes(len(figures))
    there, back = (decoys.compare(some, rows, *pair) for pair in (("a", "b"), ("b", "a")))
    assert there["higher"] == back["lower"] and there["lower"] == back["higher"]
    assert there["n"] == len(figures) >= there["higher"] + there["lower"]
    assert math.isclose(there["auroc_gap"]["value"], -back["auroc_gap"]["value"], abs_tol=1e-9)
    assert there["top"]["first_only"] == back["top"]["second_only"]
    assert there["top"]["p"] == back["top"]["p"]
    alone = sum(
        (a[0] == "ok" and a[2] < 2) and not (b[0] == "ok" and b[2] < 2)
        for a, b in zip(figures, other, strict=True)
    )
    assert there["top"]["first_only"] == alone


def test_labels_of_decoys_are_those_of_the_poses_that_are_scored():
    ligand, receptor = protocols.read_ligand(demo.ligand_path("1bju")), demo.receptor_path("1bju")
    job = {"id": "1bju", "receptor": receptor, "ligand": demo.ligand_path("1bju"), "decoys": 6,
           "seed": 0, "padding": protocols.PADDING, "scoring": "physics"}  # fmt: skip
    found = decoys.run(job, lambda facts: None)
    # Each pose against the truth, atom by atom: what is labelled is what was scored.
    poses = protocols.decoy_poses("1bju", ligand, 6, 0)
    plain = np.sqrt(((poses - poses[0]) ** 2).sum(-1).mean(-1))
    score, rmsd = found["kept"].astype(float)
    assert found["poses"] == len(score) == (plain > 1e-6).sum()
    # Equivalent atoms may only bring a pose nearer.
    assert rmsd.min() <= plain[plain > 1e-6].min() + 1e-6 and rmsd.max() <= plain.max() + 1e-6
    again = decoys.figures(score, rmsd)
    for name in ("auroc", "rank_of_nearest", "top_rmsd"):
        assert again[name] == pytest.approx(found[name], rel=1e-4)
    assert found["heavy_atoms"] == len(ligand) and found["torsions"] == len(ligand.torsions)
