"""Scores are zero for the same, do not see how shapes lie in space, and agree with brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fields.domains import Ball, Mesh
from fields.meshing import Surface, mesh_field
from fields.point_cloud import SPOT, PointCloud, read_cloud
from fields.shape_scores import cloud_scores, inside, overlap, shape_scores, trivial_surfaces

quick = settings(deadline=None, max_examples=20)


def sample(n, seed):
    points = np.random.default_rng(seed).standard_normal((n, 3))
    return points, points / np.linalg.norm(points, axis=1, keepdims=True)


def ball(radius, n=33):
    reach = 1.2 * radius
    surface = mesh_field(
        lambda x: x.norm(dim=-1, keepdim=True) - radius, [n] * 3, [[-reach, reach]] * 3
    )
    return surface


@quick
@given(n=st.integers(1, 60), seed=st.integers(0, 99))
def test_the_same_points_are_no_distance_apart(n, seed):
    points, normals = sample(n, seed)
    scores = cloud_scores(points, normals, points, normals, 1.0)
    for name in ("chamfer_l1", "chamfer_l2", "accuracy", "completeness", "hausdorff"):
        assert scores[name] == 0
    assert scores["f_score"] == 1
    assert np.isclose(scores["normal_consistency"], 1)


@quick
@given(n=st.integers(1, 40), m=st.integers(1, 40), seed=st.integers(0, 99))
def test_they_agree_with_their_definitions(n, m, seed):
    (a, u), (b, v) = sample(n, seed), sample(m, seed + 100)
    scores = cloud_scores(a, u, b, v, 2.0)
    distances = 50 * np.linalg.norm(a[:, None] - b, axis=-1)
    there, back = distances.min(1), distances.min(0)
    assert np.isclose(scores["chamfer_l1"], (there.mean() + back.mean()) / 2)
    assert np.isclose(scores["chamfer_l2"] ** 2, ((there**2).mean() + (back**2).mean()) / 2)
    assert np.isclose(scores["hausdorff"], max(there.max(), back.max()))
    cosines = np.abs(u @ v.T)
    one = cosines[np.arange(n), distances.argmin(1)].mean()
    other = cosines[distances.argmin(0), np.arange(m)].mean()
    assert np.isclose(scores["normal_consistency"], (one + other) / 2)
    swapped = cloud_scores(b, v, a, u, 2.0)
    assert np.isclose(swapped["chamfer_l1"], scores["chamfer_l1"])
    assert np.isclose(swapped["accuracy"], scores["completeness"])


@quick
@given(
    seed=st.integers(0, 99),
    scale=st.floats(0.01, 100.0),
    shift=st.tuples(*[st.floats(-10, 10)] * 3),
)
def test_similarities_of_both_change_nothing(seed, scale, shift):
    (a, u), (b, v) = sample(40, seed), sample(30, seed + 100)
    turn = Rotation.random(random_state=seed).as_matrix()
    before = cloud_scores(a, u, b, v, 2.0)
    a, b = (scale * points @ turn.T + scale * np.array(shift) for points in (a, b))
    after = cloud_scores(a, u @ turn.T, b, v @ turn.T, 2.0 * scale)
    for name, value in before.items():
        assert np.isclose(after[name], value, rtol=1e-6), name


def test_two_balls_score_their_gap_and_the_ratio_of_their_volumes():
    one, other = ball(1.0), ball(0.9)
    points, normals = other.sample(8_000)
    cloud = PointCloud("ball", points, normals, other)
    scores = shape_scores(one, cloud, samples=8_000)
    gap = 100 * 0.1 / cloud.diagonal
    # never less than the gap, and more by the spacing of the samples
    assert gap * 0.99 < scores["accuracy"] < gap * 1.2
    assert abs(scores["iou"] - other.volume / one.volume) < 4 * np.sqrt(0.25 / 4_000)
    assert scores["normal_consistency"] > 0.99
    assert scores["samples"] == scores["reference_samples"] == 8_000


def test_a_perfect_surface_scores_the_floor():
    cloud = read_cloud(SPOT, points=1000)
    scores = shape_scores(cloud.surface, cloud, samples=8_000)
    assert np.isclose(scores["chamfer_l1"], scores["floor"], rtol=0.05)
    assert scores["iou"] == 1
    bare = PointCloud("bare", *cloud.surface.sample(8_000, 7))
    scores = shape_scores(cloud.surface, bare, samples=8_000)
    assert "iou" not in scores
    # halves of a cloud are sparser than the whole: their distance is an upper bound
    assert 0.6 * scores["floor"] < scores["chamfer_l1"] < scores["floor"]


def test_inside_is_that_of_the_exact_distance():
    cloud = read_cloud(SPOT, points=1000)
    x = np.random.default_rng(0).random((600, 3)) * 2 - 1
    exact = Mesh(cloud.surface.vertices, cloud.surface.faces).contains(torch.from_numpy(x))
    assert np.array_equal(inside(cloud.surface, x), exact.numpy())


def test_surfaces_apart_do_not_overlap():
    one = ball(1.0)
    far = Surface(one.vertices + 5.0, one.faces)
    assert overlap(one, far) == 0
    assert overlap(one, one) == 1


def test_hull_and_ellipsoid_of_a_stretched_ball_are_the_ball():
    points, _ = Ball([0.0, 0.0, 0.0], 1.0).boundary(4000, dtype=torch.float64)
    turn = Rotation.random(random_state=1).as_matrix()
    stretched = points.numpy() * [1.0, 2.0, 3.0] @ turn.T + [5.0, 0.0, 0.0]
    volume = 4 / 3 * np.pi * 6
    surfaces = trivial_surfaces(stretched)
    for surface in surfaces.values():
        assert surface.is_closed
        assert np.isclose(surface.volume, volume, rtol=0.03)
    assert overlap(*surfaces.values()) > 0.95


@pytest.mark.parametrize("name", ["convex hull", "ellipsoid"])
def test_the_trivial_surfaces_of_the_bundled_shape_are_far_off(name):
    cloud = read_cloud(SPOT, points=5000)
    surface = trivial_surfaces(cloud.points)[name]
    scores = shape_scores(surface, cloud, samples=5000)
    assert scores["chamfer_l1"] > 2
    assert 0.3 < scores["iou"] < 0.8
