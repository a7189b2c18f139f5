"""A result keeps what was found, and gives it away without losing anything."""

import importlib.util
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.box import Box
from docking.ligand import Ligand
from docking.models import load_model
from docking.result import DockingResult, Pose
from docking.symmetry import Symmetry

from .demo import IDS, ligand, receptor


def result_of(key: str, scores: list[float], seed: int = 0) -> DockingResult:
    source = ligand(key)
    shift = np.random.default_rng(seed).normal(size=(len(scores), 1, 3))
    poses = [
        Pose(rank, score, source.coords + shift[rank - 1], float(rank - 1), {"inter": -score}, 3)
        for rank, score in enumerate(sorted(scores, reverse=True), start=1)
    ]
    return DockingResult(source, poses, "physics", seed=7, seconds=1.5, warnings=["a", "a", "b"])


@given(
    key=st.sampled_from(IDS),
    scores=st.lists(st.floats(-50, 50), max_size=5),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=20)
def test_sdf_round_trip(tmp_path_factory, key, scores, seed):
    result = result_of(key, scores, seed)
    path = tmp_path_factory.mktemp("sdf") / "poses.sdf"
    result.to_sdf(path)
    buffer = io.StringIO()
    result.to_sdf(buffer)
    assert buffer.getvalue() == path.read_text()
    back = list(Ligand.iter_file(path, on_error="raise")) if scores else []
    assert len(back) == len(result) == len(scores)
    for pose, found in zip(result.poses, back, strict=True):
        assert np.allclose(found.coords, pose.coords, atol=1e-4)
        for name, value in pose.fields().items():
            assert float(found.properties[name]) == pytest.approx(value, rel=1e-5)
        assert found.properties["model"] == "physics"


@given(key=st.sampled_from(IDS), scores=st.lists(st.floats(-50, 50), min_size=1, max_size=4))
@settings(deadline=None, max_examples=10)
def test_report_is_plain_data_and_complete(key, scores):
    result = result_of(key, scores)
    report = json.loads(json.dumps(result.report()))
    assert [pose["score"] for pose in report["poses"]] == result.scores.tolist()
    assert report["ligand"] == result.ligand.name and report["warnings"] == ["a", "b"]
    assert result.coords.shape == (len(scores), len(result.ligand), 3)
    assert f"{len(scores)} poses" in repr(result) and key in repr(result)


def test_dataframe_or_the_name_of_the_extra():
    result = result_of("1p5e", [2.0, 1.0])
    if importlib.util.find_spec("pandas") is None:
        with pytest.raises(ImportError, match=r"overparam\[screen\]"):
            result.to_dataframe()
        return
    frame = result.to_dataframe()
    assert frame["score"].tolist() == [2.0, 1.0] and frame["inter"].tolist() == [-2.0, -1.0]
    assert len(DockingResult(result.ligand, []).to_dataframe()) == 0


def test_what_a_search_returns():
    source = ligand("1p5e")
    model = load_model("physics")
    pocket = model.prepare(receptor("1p5e"), Box.from_ligand(source))
    result = model.dock(pocket, source, num_poses=3, effort=0.2)
    assert 1 <= len(result) <= 3 and result.seconds > 0 and result.seed == 0
    assert (np.diff(result.scores) <= 0).all()
    apart = Symmetry.of(source.mol).rmsd(result.coords, result.coords)
    assert np.allclose(apart[0], [pose.rmsd_to_best for pose in result.poses])
    best = np.asarray(model.score(pocket, source, result.coords[:1]))[0]
    assert best == pytest.approx(result.poses[0].score, abs=1e-6)


def test_refuses_nonsense():
    good = result_of("1p5e", [2.0, 1.0])
    first, second = good.poses
    with pytest.raises(ValueError, match="rank must be at least 1"):
        Pose(0, 1.0, first.coords)
    with pytest.raises(ValueError, match="score must be finite"):
        Pose(1, float("nan"), first.coords)
    with pytest.raises(ValueError, match="coords must be finite"):
        Pose(1, 1.0, first.coords * np.inf)
    with pytest.raises(ValueError, match=r"pose 1 must have shape \(13, 3\)"):
        DockingResult(good.ligand, [Pose(1, 1.0, first.coords[1:])])
    with pytest.raises(ValueError, match="order of rank"):
        DockingResult(good.ligand, [second, first])
    with pytest.raises(ValueError, match="best first"):
        DockingResult(good.ligand, [Pose(1, 1.0, first.coords), Pose(2, 2.0, first.coords)])
