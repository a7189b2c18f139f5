"""The benchmark: its statistics, its start poses, and what it does with failures."""

import io
import math
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.transform import Rotation

from docking.benchmark import decoys, protocols, table
from docking.benchmark.contestant import engine, field_of, in_turn, vina
from docking.benchmark.dataset import Complex, Dataset
from docking.benchmark.rows import NUMBERS, Rows
from docking.benchmark.statistics import bootstrap, mcnemar, wilson
from docking.box import Box
from overparam.errors import InputError
from tests.docking import demo

counts = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts)
def test_wilson_is_scipys_and_holds_the_share(pair):
    hits, total = pair
    got = wilson(hits, total)
    if total == 0:
        assert math.isnan(got.value) and (got.low, got.high) == (0.0, 1.0)
        return
    reference = stats.binomtest(hits, total).proportion_ci(method="wilson")
    np.testing.assert_allclose((got.low, got.high), reference, atol=1e-12)
    assert got.low - 1e-12 <= hits / total <= got.high + 1e-12


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=300))
def test_mcnemar_is_a_fair_coin_on_the_discordant_pairs(pairs):
    array = np.array(pairs, dtype=bool).reshape(-1, 2)
    there, back = mcnemar(array[:, 0], array[:, 1]), mcnemar(array[:, 1], array[:, 0])
    assert there.p == back.p and there.first_only == back.second_only
    discordant = there.first_only + there.second_only
    assert discordant == int((array[:, 0] != array[:, 1]).sum())
    expected = stats.binomtest(there.first_only, discordant).pvalue if discordant else 1.0
    assert math.isclose(there.p, expected, rel_tol=1e-9)


@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=40), st.integers(0, 5), st.floats(0.1, 10)
)
@settings(max_examples=30)
def test_bootstrap_scales_with_its_sample(values, seed, factor):
    one = bootstrap(values, seed=seed, resamples=200)
    scaled = bootstrap([factor * v for v in values], seed=seed, resamples=200)
    assert one.low <= one.high and min(values) <= one.low and one.high <= max(values)
    np.testing.assert_allclose(np.array(scaled), factor * np.array(one), rtol=1e-9)


def test_bootstrap_interval_of_a_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    got = bootstrap(values, np.mean, resamples=4000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    np.testing.assert_allclose((got.high - got.low) / 2, half, rtol=0.1)


def test_a_median_over_misses_is_infinite_and_never_nan():
    got = bootstrap([math.inf, math.inf, 1.0])
    assert got.value == math.inf and not any(math.isnan(v) for v in got)
    with pytest.raises(ValueError, match="NaN"):
        bootstrap([1.0, math.nan])


@pytest.mark.parametrize("key", demo.IDS)
@pytest.mark.parametrize("protocol", ["rigid", "flexible"])
def test_start_is_in_the_box_and_only_seed_and_id_decide_it(key, protocol):
    ligand = protocols.read_ligand(demo.ligand_path(key))
    box = Box.from_ligand(ligand, protocols.PADDING)
    start = protocols.start_pose(protocol, key, ligand, box, 3)
    assert box.contains(start.mean(0))
    np.testing.assert_array_equal(start, np.round(start, 3))
    np.testing.assert_array_equal(start, protocols.start_pose(protocol, key, ligand, box, 3))
    for other in (
        protocols.start_pose(protocol, key, ligand, box, 4),
        protocols.start_pose(protocol, "other", ligand, box, 3),
    ):
        assert np.abs(other - start).max() > 0.1


def test_rigid_keeps_the_conformer_and_flexible_forgets_it():
    ligand = protocols.read_ligand(demo.ligand_path("1stp"))
    box = Box.from_ligand(ligand, protocols.PADDING)
    # Half a unit of the last decimal on both ends of three axes.
    start = protocols.start_pose("rigid", "1stp", ligand, box, 0)
    np.testing.assert_allclose(_distances(start), _distances(ligand.coords), atol=2e-3)
    elsewhere = ligand.with_coords(np.random.default_rng(0).normal(size=ligand.coords.shape))
    np.testing.assert_array_equal(
        protocols.start_pose("flexible", "1stp", ligand, box, 0),
        protocols.start_pose("flexible", "1stp", elsewhere, box, 0),
    )
    with pytest.raises(ValueError, match="protocol must be"):
        protocols.start_pose("decoys", "1stp", ligand, box, 0)


def test_starts_fill_the_box_in_every_orientation():
    ligand = protocols.read_ligand(demo.ligand_path("1stp"))
    box, n = Box.from_ligand(ligand, protocols.PADDING), 600
    bare = ligand.coords - ligand.coords.mean(0)
    starts = [protocols.scatter(ligand.coords, box, np.random.default_rng(i)) for i in range(n)]
    turns = Rotation.concatenate(
        [Rotation.align_vectors(start - start.mean(0), bare)[0] for start in starts]
    )
    # Haar measure: the angle has density (1 - cos) / pi, the axis no preference.
    angle = turns.magnitude()
    assert stats.kstest(angle, lambda a: (a - np.sin(a)) / np.pi).pvalue > 1e-3
    axis = turns.as_rotvec() / angle[:, None]
    for column in axis.T:  # Archimedes: a coordinate on the sphere is uniform
        assert stats.kstest(column, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    centre = (np.array([start.mean(0) for start in starts]) - box.low) / box.size
    for column in centre.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3


def test_hydrogens_of_the_file_are_dropped(tmp_path):
    from rdkit import Chem

    full = demo.with_hydrogens(demo.ligand("3og7").mol)
    file = tmp_path / "x_ligand.sdf"
    file.write_text(Chem.MolToMolBlock(full) + "$$$$\n")
    bare = protocols.read_ligand(file)
    same = protocols.read_ligand(demo.ligand_path("3og7"))
    assert bare.heavy.all() and bare.elements == same.elements
    np.testing.assert_allclose(bare.coords, same.coords, atol=1e-3)
    np.testing.assert_array_equal(bare.vina_type, same.vina_type)


def test_decoys_are_rigid_motions_of_twisted_conformers_and_begin_with_the_truth():
    ligand = protocols.read_ligand(demo.ligand_path("3og7"))
    poses = protocols.decoy_poses("3og7", ligand, 3, 0)
    assert poses.shape == (27, len(ligand), 3)
    np.testing.assert_allclose(poses[0], ligand.coords, atol=1e-9)
    by_conformer = poses.reshape(3, 9, len(ligand), 3)
    for conformer in by_conformer:
        for pose in conformer:
            np.testing.assert_allclose(_distances(pose), _distances(conformer[0]), atol=1e-9)
    bonds = np.linalg.norm(poses[:, ligand.bonds[:, 0]] - poses[:, ligand.bonds[:, 1]], axis=-1)
    np.testing.assert_allclose(bonds, bonds[:1].repeat(27, 0), atol=1e-9)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc_counts_pairs(pairs):
    scores = np.array([score for score, _ in pairs], dtype=float)
    positive = np.array([kind for _, kind in pairs], dtype=bool)
    got = decoys.auroc(scores, positive)
    right, wrong = scores[positive], scores[~positive]
    if not len(right) or not len(wrong):
        assert math.isnan(got)
        return
    gap = right[:, None] - wrong
    assert math.isclose(got, ((gap > 0) + 0.5 * (gap == 0)).mean(), abs_tol=1e-12)


def test_a_perfect_score_ranks_the_nearest_decoy_first():
    rmsd = np.random.default_rng(0).uniform(0.1, 6.0, 500)
    figures = decoys.figures(-rmsd, rmsd)
    assert figures["auroc"] == 1 and figures["rank_of_nearest"] == 1
    assert figures["top_rmsd"] == rmsd.min()
    constant = decoys.figures(np.zeros(500), rmsd)
    assert constant["auroc"] == 0.5 and constant["rank_of_nearest"] == 500


def _distances(x):
    return np.linalg.norm(x[:, None] - x, axis=-1)


@given(st.integers(1, 9), st.integers(1, 5))
def test_everybody_has_the_first_turn_equally_often(players, rounds):
    contestants = [engine(0.5 + i, "own") for i in range(players)]
    turns = [in_turn(contestants, place) for place in range(players * rounds)]
    assert all(sorted(t, key=lambda c: c.name) == turns[0] or len(t) == players for t in turns)
    for slot in range(players):
        firsts = [turn[slot].name for turn in turns]
        assert {firsts.count(c.name) for c in contestants} == {rounds}


def test_contestants_have_names_of_their_own():
    everybody = field_of(against="vina", efforts=[0.5, 1.0], searches=["8", "8:20000", "1:20000"])
    assert len({who.name for who in everybody}) == len(everybody) == 7
    assert [who.inputs for who in field_of(against=None, efforts=[1.0], searches=["8"])] == ["own"]
    assert [who.is_default for who in everybody].count(True) == 3
    for bad in ("0", "8:", "8:1:1", "x", "-8", "8:0"):
        with pytest.raises(InputError, match="Vina search"):
            vina(bad)
    with pytest.raises(InputError, match="effort must be positive"):
        engine(0.0, "own")


# --- rows and tables


def _row(key, who, status="ok", top=math.nan, best=math.nan, **more):
    return {
        "id": key, "contestant": who.name, "method": who.method, "inputs": who.inputs,
        "setting": who.setting, "status": status, "top1_rmsd": top, "best_rmsd": best, **more,
    }  # fmt: skip


def _complexes(n, flags=()):
    return [
        Complex(f"c{i}", Path("r"), Path("l"), frozenset(flags if i % 2 else ())) for i in range(n)
    ]


def test_rows_survive_being_stopped_in_the_middle_of_a_line(tmp_path):
    file, who = tmp_path / "rows.csv", engine(1.0, "own")
    rows = Rows(file)
    rows.add(_row("a", who, top=0.5, best=0.25, reason="two\nlines, and a comma"))
    whole = file.read_bytes()
    rows.add(_row("b", who, status="failed"))
    file.write_bytes(file.read_bytes()[:-7])
    again = Rows(file)
    assert file.read_bytes() == whole and len(again) == 1
    found = again.get(("a", who.name))
    assert found["top1_rmsd"] == 0.5 and math.isnan(found["dock_cpu_s"])
    assert found["reason"] == "two lines, and a comma"
    with pytest.raises(ValueError, match="must be new"):
        again.add(_row("a", who))
    with pytest.raises(ValueError, match="known columns"):
        again.add(_row("c", who, speed=1.0))
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match="other columns"):
        Rows(tmp_path / "other.csv")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ok", "failed", "cap", "crashed", "hung", "prepare_failed"]),
            st.floats(0, 10), st.booleans(),
        ),
        min_size=1, max_size=30,
    )
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_a_failure_is_a_miss_with_the_denominator_of_all(tmp_path_factory, outcomes):
    rows, verdicts = {}, {}
    ours, theirs = engine(1.0, "own"), vina("8")
    for i, (status, rmsd, valid) in enumerate(outcomes):
        # What a failed row says about its pose must not count.
        rows[f"c{i}", ours.name] = _full(_row(f"c{i}", ours, status, rmsd, rmsd / 2))
        rows[f"c{i}", theirs.name] = _full(_row(f"c{i}", theirs, "ok", 1.0, 1.0))
        verdicts[f"c{i}", ours.name] = {"valid": float(valid)}
    n = len(outcomes)
    results = table.Results(_complexes(n), [ours, theirs], rows.get, verdicts.get)
    summary = results.summary(ours)
    good = [(rmsd, valid) for status, rmsd, valid in outcomes if status == "ok"]
    assert summary["n"] == n and sum(summary["failed"].values()) == n - len(good)
    assert summary["top1_below_2"]["hits"] == sum(rmsd < 2 for rmsd, _ in good)
    assert summary["best_below_2"]["hits"] == sum(rmsd / 2 < 2 for rmsd, _ in good)
    assert summary["valid_and_below_2"]["hits"] == sum(rmsd < 2 and v for rmsd, v in good)
    assert math.isclose(summary["top1_below_2"]["value"], summary["top1_below_2"]["hits"] / n)
    expected = np.median([rmsd if s == "ok" else np.inf for s, rmsd, _ in outcomes])
    got = summary["median_top1_rmsd"]["value"]
    assert got == expected or (math.isnan(expected) and math.isnan(got))
    pair = results.pair(ours, theirs)
    assert pair["both"] + pair["ours_only"] + pair["theirs_only"] + pair["neither"] == n
    assert (
        pair["both"] == summary["top1_below_2"]["hits"] and pair["theirs_only"] == n - pair["both"]
    )
    assert len(results.failures()) == n - len(good)


def _full(row):
    return dict.fromkeys(NUMBERS, math.nan) | {"reason": ""} | row


def test_a_complex_that_somebody_has_not_tried_is_in_no_table():
    ours, theirs = engine(1.0, "own"), vina("8")
    rows = {("c0", w.name): _full(_row("c0", w, top=1.0, best=1.0)) for w in (ours, theirs)}
    rows["c1", ours.name] = _full(_row("c1", ours, top=1.0, best=1.0))
    results = table.Results(_complexes(3), [ours, theirs], rows.get)
    assert len(results) == 1 and results.unfinished == 2
    assert "valid" not in results.summary(ours)


def test_cpu_ratios_are_over_what_both_have_measured():
    ours, theirs = engine(1.0, "own"), vina("8")
    rows = {}
    for i, (a, b) in enumerate([(1.0, 2.0), (2.0, 10.0), (3.0, math.nan)]):
        rows[f"c{i}", ours.name] = _full(_row(f"c{i}", ours, top=1.0, best=1.0, dock_cpu_s=a))
        rows[f"c{i}", theirs.name] = _full(_row(f"c{i}", theirs, top=1.0, best=1.0, dock_cpu_s=b))
    pair = table.Results(_complexes(3), [ours, theirs], rows.get).pair(ours, theirs)
    assert pair["cpu_ratio_of_totals"] == 4.0 and pair["cpu_ratio_median"]["value"] == 3.5


def test_subsets_are_those_the_manifest_tells_apart():
    ours = engine(1.0, "own")
    rows = {(f"c{i}", ours.name): _full(_row(f"c{i}", ours, top=i, best=i)) for i in range(6)}
    results = table.Results(_complexes(6, {"covalent"}), [ours], rows.get)
    parts = table.subsets(results)
    assert list(parts) == ["not covalent"]
    assert [one.id for one in parts["not covalent"].complexes] == ["c0", "c2", "c4"]
    assert parts["not covalent"].summary(ours)["top1_below_2"]["hits"] == 1


# --- data


def _pair(folder, key):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{key}_protein.pdb").write_text("x")
    (folder / f"{key}_ligand.sdf").write_text("x")


def test_data_are_found_in_folders_and_archives(tmp_path):
    _pair(tmp_path / "plain" / "val", "b")
    _pair(tmp_path / "plain" / "val", "a")
    (tmp_path / "plain" / "val" / "c_protein.pdb").write_text("no ligand")
    assert [c.id for c in Dataset.open(tmp_path / "plain", "val", tmp_path / "x").complexes] == [
        "a",
        "b",
    ]
    assert not (tmp_path / "x").exists()
    packed = tmp_path / "packed"
    packed.mkdir()
    with tarfile.open(packed / "val.tar.xz", "w:xz") as archive:
        for file in sorted((tmp_path / "plain" / "val").iterdir()):
            archive.add(file, f"val/{file.name}")
    first = Dataset.open(packed, "val", tmp_path / "cache")
    stamp = first.complexes[0].ligand.stat().st_mtime_ns
    again = Dataset.open(packed, "val", tmp_path / "cache")
    assert first == again and again.complexes[0].ligand.stat().st_mtime_ns == stamp
    nested = tmp_path / "nested"
    _pair(nested / "1abc", "1abc")
    (nested / "val_ids.txt").write_text("1abc 2xyz\n")
    (nested / "manifest.csv").write_text("id,covalent,in_posebusters\n1abc,1,0\n")
    data = Dataset.open(nested, "val", tmp_path / "y")
    assert data.complexes[0].flags == {"covalent"} and "2xyz" in data.warnings[0]


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    with tarfile.open(tmp_path / "val.tar", "w") as archive:
        entry = tarfile.TarInfo("../evil_protein.pdb")
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(InputError, match="cannot be unpacked"):
        Dataset.open(tmp_path, "val", tmp_path / "deep" / "cache")
    assert not (tmp_path / "deep" / "evil_protein.pdb").exists()


def test_selections(tmp_path):
    for key in "abcdef":
        _pair(tmp_path / "val", key)
    data = Dataset.open(tmp_path, "val", tmp_path / "x")
    assert [c.id for c in data.select(first=2).complexes] == ["a", "b"]
    assert [c.id for c in data.select(ids=["d", "b", "d"]).complexes] == ["b", "d"]
    drawn = [tuple(c.id for c in data.select(count=3, seed=s).complexes) for s in range(20)]
    assert len(set(drawn)) > 3 and all(len(d) == 3 and list(d) == sorted(d) for d in drawn)
    assert drawn[0] == tuple(c.id for c in data.select(count=3, seed=0).complexes)
    for bad, words in (
        ({"first": 0}, "at least 1"), ({"ids": ["z"]}, "of the split"),
        ({"first": 1, "count": 1}, "one of"), ({"ids": []}, "none"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            data.select(**bad)
