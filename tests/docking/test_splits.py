"""No complex that is too close to the test is trained on, and none vanishes without a word."""

import csv
import os
import random
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import gemmi
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from docking.splits import LEVELS, PARTS, SUBSETS, Level, Splits, read_manifest
from overparam.errors import InputError

from .corpus import write_corpus, write_lists, write_manifest, write_names

ROOT = os.environ.get("OVERPARAM_DOCKING_DATA", "")
real = pytest.mark.skipif(not ROOT, reason="OVERPARAM_DOCKING_DATA names no corpus")
STRICT = [name for name, level in LEVELS.items() if level is not None]


def some_rows(ids, seed):
    """Random neighbours in the test: none, distant, near-identical, with and without ligands."""
    draw = random.Random(seed)
    rows = {}
    for key in ids:
        identity = draw.choice(["", 0.0, 0.29, 0.3, 0.5, 0.899, 0.9, 0.95, 1.0])
        near = identity != "" and identity >= 0.9
        similarity = draw.choice(["", 0.1, 0.499, 0.5, 0.8, 1.0]) if near else ""
        rows[key] = {
            "max_seqid_test": identity,
            "max_tanimoto_same_protein": similarity,
            "leak_loose": int(draw.random() < 0.05),
            "leak_strict90": int(near),
            "leak_strict30": int(identity != "" and identity >= 0.3),
        }
    return rows


def breaks(row, name):
    """The rule of a level, in other words than the package's."""
    identity = float(row["max_seqid_test"] or 0)
    unknown = row["max_tanimoto_same_protein"] == ""
    similar = unknown or float(row["max_tanimoto_same_protein"]) >= 0.5
    loose = str(row["leak_loose"]) == "1"
    return {
        "published": False,
        "strict": loose or (identity >= 0.9 and similar),
        "strict90": loose or identity >= 0.9,
        "strict30": loose or identity >= 0.3,
    }[name]


@pytest.fixture(scope="module", params=range(3))
def corpus(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    parts = {part: [f"{part}{i:02d}" for i in range(40)] for part in PARTS}
    rows = some_rows([key for ids in parts.values() for key in ids], request.param)
    write_names(root, parts)
    write_manifest(root / "manifest.csv", rows)
    return root, parts, rows


@pytest.mark.parametrize("name", LEVELS)
def test_what_stays_keeps_the_rule_and_what_goes_breaks_it(corpus, name, tmp_path):
    root, parts, rows = corpus
    splits = Splits(root, tmp_path, split=name)
    for part in ("train", "val"):
        members = splits.members(part)
        kept = [one.id for one in members.complexes]
        assert sorted([*kept, *members.left_out]) == sorted(parts[part])
        assert kept == sorted(kept)
        assert not any(breaks(rows[key], name) for key in kept)
        assert all(breaks(rows[key], name) for key in members.left_out)
        assert all(why.startswith("leak: ") for why in members.left_out.values())


def test_each_level_is_inside_the_one_before(corpus, tmp_path):
    root, parts, _ = corpus
    kept = [set(Splits(root, tmp_path, split=name).select("train")[0]) for name in LEVELS]
    assert kept[0] == set(parts["train"])
    assert all(inner < outer for outer, inner in pairwise(kept))


@pytest.mark.parametrize("name", LEVELS)
def test_the_test_is_never_shortened(corpus, name, tmp_path):
    root, parts, _ = corpus
    members = Splits(root, tmp_path, split=name).members("test")
    assert [one.id for one in members.complexes] == parts["test"]
    assert not members.left_out


def test_the_default_is_strict(corpus, tmp_path):
    root, _, _ = corpus
    named = Splits(root, tmp_path, split="strict")
    assert Splits(root, tmp_path).select("train") == named.select("train")


@pytest.mark.parametrize("name", LEVELS)
def test_an_id_in_two_lists_belongs_to_the_later_part(tmp_path, name):
    parts = {"train": ["a", "b", "c"], "val": ["b", "d"], "test": ["c", "d"]}
    write_names(tmp_path, parts)
    write_manifest(tmp_path / "manifest.csv", {key: {} for key in "abcd"})
    splits = Splits(tmp_path, tmp_path / "scratch", split=name)
    chosen = {part: splits.select(part)[0] for part in PARTS}
    assert chosen == {"train": ["a"], "val": ["b"], "test": ["c", "d"]}
    assert splits.select("train")[1] == {"b": "overlap: also in val", "c": "overlap: also in test"}


def test_what_the_manifest_does_not_know_is_not_called_strict(tmp_path):
    write_names(tmp_path, {"train": ["a", "b"], "test": ["c"]})
    write_manifest(tmp_path / "manifest.csv", {"a": {}})
    for name in STRICT:
        ids, left_out = Splits(tmp_path, tmp_path, split=name).select("train")
        assert ids == ["a"]
        assert "not in the manifest" in left_out["b"]
    assert Splits(tmp_path, tmp_path, split="published").select("train")[0] == ["a", "b"]


def test_a_promise_that_cannot_be_kept_is_refused(tmp_path):
    write_names(tmp_path, {"train": ["a"], "test": ["c"]})
    for name in STRICT:
        with pytest.raises(InputError, match=r"needs .*manifest\.csv .*max_seqid_test.*published"):
            Splits(tmp_path, tmp_path, split=name)
    (tmp_path / "manifest.csv").write_text("id,max_seqid_test\na,0.2\n")
    with pytest.raises(InputError, match="max_tanimoto_same_protein"):
        Splits(tmp_path, tmp_path)
    assert Splits(tmp_path, tmp_path, split="strict90").select("train") == (["a"], {})


@pytest.mark.parametrize("text", ["id\n", "", "name\na\n", "id\xff\n"])
def test_a_bad_manifest_is_one_error(tmp_path, text):
    (tmp_path / "manifest.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"manifest\.csv"):
        read_manifest(tmp_path / "manifest.csv")


@pytest.mark.parametrize("value", ["90%", "nan", "-0.1", "1.5"])
def test_a_number_that_is_none_is_refused(tmp_path, value):
    write_names(tmp_path, {"train": ["a"], "test": ["c"]})
    write_manifest(tmp_path / "manifest.csv", {"a": {"max_seqid_test": value}})
    with pytest.raises(InputError, match="max_seqid_test must lie in"):
        Splits(tmp_path, tmp_path).select("train")


def test_ids_without_files_are_named(tmp_path):
    write_names(tmp_path, {"train": ["a", "b"], "test": ["c"]})
    (tmp_path / "train" / "b_ligand.sdf").unlink()
    members = Splits(tmp_path, tmp_path, split="published").members("train")
    assert [one.id for one in members.complexes] == ["a"]
    assert members.left_out == {"b": "missing: no files of receptor and ligand"}


def test_a_folder_that_does_not_say_what_is_train_is_refused(tmp_path):
    write_corpus(tmp_path, {"train": ["a0", "a1"]}, layout="pdbbind")
    (tmp_path / "train_ids.txt").unlink()
    with pytest.raises(InputError, match=r"give train_ids\.txt"):
        Splits(tmp_path, tmp_path, split="published").select("train")


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("layout", ["folders", "archives", "pdbbind"])
def test_the_layout_does_not_matter(tmp_path, layout, lists):
    parts = {"train": ["a0", "a1"], "val": ["a2"], "test": ["a3"]}
    root = write_corpus(tmp_path / "root", parts, {"a1": {"leak_loose": 1}}, layout)
    if not lists:
        if layout == "pdbbind":
            pytest.skip("one folder for all parts has to have lists")
        for part in PARTS:
            (root / f"{part}_ids.txt").unlink()
    splits = Splits(root, tmp_path / "scratch")
    found = {part: splits.members(part) for part in PARTS}
    ids = {part: [one.id for one in members.complexes] for part, members in found.items()}
    assert ids == parts | {"train": ["a0"]}
    assert set(found["train"].left_out) == {"a1"}
    for members in found.values():
        assert all(one.receptor.is_file() and one.ligand.is_file() for one in members.complexes)
    again = Splits(root, tmp_path / "scratch").members("train")
    assert again == found["train"]


def test_another_archive_of_the_same_name_is_unpacked_anew(tmp_path):
    root, scratch = tmp_path / "root", tmp_path / "scratch"
    write_corpus(root, {"train": ["a0"]}, layout="archives")
    Splits(root, scratch, split="published").members("train")
    write_corpus(root, {"train": ["a1", "a2"]}, layout="archives")
    members = Splits(root, scratch, split="published").members("train")
    assert [one.id for one in members.complexes] == ["a1", "a2"]


def test_subsets_are_what_the_manifest_marks(tmp_path):
    keys = ["a", "b", "c"]
    write_lists(tmp_path, {"test": keys, "train": ["t"]})
    rows = {"a": {"timesplit": "test", "in_posebusters": 1}, "b": {"timesplit": "test"}, "c": {}}
    write_manifest(tmp_path / "manifest.csv", rows | {"t": {"timesplit": "test"}})
    splits = Splits(tmp_path, tmp_path)
    assert splits.select("test", "timesplit") == (["a", "b"], {})
    assert splits.select("test", "posebusters") == (["a"], {})
    with pytest.raises(InputError, match="no test complex"):
        splits.select("test", "timesplit_no_overlap")
    with pytest.raises(ValueError, match="subset must be one of"):
        splits.select("test", "casf")
    with pytest.raises(ValueError, match="subset must be None for train"):
        splits.select("train", "timesplit")


def test_arguments_are_checked(tmp_path):
    with pytest.raises(ValueError, match="split must be one of published, strict"):
        Splits(tmp_path, tmp_path, split="loose")
    with pytest.raises(InputError, match="must be a folder"):
        Splits(tmp_path / "none", tmp_path)
    write_lists(tmp_path, {"train": ["a"]})
    with pytest.raises(ValueError, match="part must be one of train"):
        Splits(tmp_path, tmp_path, split="published").select("dev")


# the real corpus


@pytest.fixture(scope="module")
def manifest():
    with (Path(ROOT) / "manifest.csv").open(newline="", encoding="utf-8") as lines:
        return {row["id"]: row for row in csv.DictReader(lines)}


def chosen(part, scratch, **options):
    return Splits(ROOT, scratch, **options).select(part)[0]


def alike(one: str, other: str, identity: float) -> bool:
    """Whether such a part of an alignment over half of the shorter sequence agrees."""
    result = gemmi.align_string_sequences(list(one), list(other), [])
    row = result.match_string.strip(" ")
    return len(row) >= 0.5 * min(len(one), len(other)) and row.count("|") >= identity * len(row)


@real
@pytest.mark.parametrize(
    ("name", "identity"), [("strict", 0.9), ("strict90", 0.9), ("strict30", 0.35)]
)
def test_no_leak_is_found_by_another_method(manifest, name, identity, tmp_path):
    """Sequences aligned by gemmi, fingerprints by RDKit: nothing from the leak columns.

    A local and a global aligner differ by some hundredths for distant relatives: hence 0.35.
    """
    test = chosen("test", tmp_path)
    ours = [*chosen("train", tmp_path, split=name), *chosen("val", tmp_path, split=name)]
    # 90 % identical chains of some length share a run of 8; fewer of the 30 % identical do
    words = defaultdict(set)
    for key in test:
        sequence = manifest[key]["seq"]
        for i in range(len(sequence) - 7):
            words[sequence[i : i + 8]].add(key)
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)

    def print_of(key):
        return morgan.GetFingerprint(Chem.MolFromSmiles(manifest[key]["smiles"]))

    def leaks(key):
        sequence = manifest[key]["seq"]
        near = {k for i in range(len(sequence) - 7) for k in words.get(sequence[i : i + 8], ())}
        level = LEVELS[name]
        assert isinstance(level, Level)
        return [
            other
            for other in near
            if alike(sequence, manifest[other]["seq"], identity)
            and DataStructs.TanimotoSimilarity(print_of(key), print_of(other)) >= level.similarity
        ]

    found = {key: hits for key in ours if (hits := leaks(key))}
    assert not found
    # the method does see leaks where there are some
    assert any(leaks(key) for key in set(chosen("train", tmp_path, split="published")) - set(ours))


@real
def test_the_levels_are_the_lists_of_the_corpus(tmp_path):
    def listed(name):
        return (Path(ROOT) / f"{name}_ids.txt").read_text().split()

    for part in PARTS:
        assert chosen(part, tmp_path, split="published") == sorted(listed(part))
    for name in ("strict90", "strict30"):
        assert chosen("train", tmp_path, split=name) == sorted(listed(f"train_{name}"))


@real
def test_no_id_is_in_two_parts_and_subsets_have_their_size(tmp_path):
    splits = Splits(ROOT, tmp_path)
    parts = [set(splits.select(part)[0]) for part in PARTS]
    assert len(set.union(*parts)) == sum(map(len, parts))
    sizes = {name: len(splits.select("test", name)[0]) for name in SUBSETS}
    assert sizes == {"timesplit": 349, "timesplit_no_overlap": 139, "posebusters": 200}
