"""A shape's points come with their normals, the space around with its distance, repeatably."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fields import ShapeSamples
from fields.domains import Ball, Box
from fields.samples import PointStream
from fields.shape import ShapeStream, ShapeWarning, oriented_distance
from overparam.errors import InputError


def ball_file(folder, n=3000, radius=2.0):
    _, normals = Ball([0.0, 0.0, 0.0], 1.0).boundary(n - 6, dtype=torch.float64)
    # with the poles its box, and so its scale in the cube, is exact
    normals = np.concatenate([normals.numpy(), np.eye(3), -np.eye(3)])
    np.savez(folder / "ball.npz", points=radius * normals + [5.0, 0.0, -3.0], normals=normals)
    return str(folder / "ball.npz")


def stream(n=50, pool=False, **options):
    numbers = torch.arange(3.0 * n).view(n, 3)
    place = {k: options.pop(k) for k in ("rank", "world", "epoch") if k in options}
    surface = PointStream(numbers, -numbers, batch_size=8, steps=5, seed=3, **place)
    known = (torch.rand(40, 3), torch.rand(40)) if pool else None
    return ShapeStream(surface, pool=known, seed=3, **options)


def test_the_bundled_shape_in_the_cube():
    data = ShapeSamples(points=2000, guide=500)
    data.setup()
    assert data.x.shape == data.normals_at.shape == (2000, 3)
    assert not data.y.any()
    assert torch.allclose(data.normals_at.norm(dim=1), torch.ones(2000), atol=1e-6)
    spans = data.x.amax(0) - data.x.amin(0)
    assert np.isclose(spans.max(), 1.8, atol=1e-5)
    assert torch.allclose(data.x.amax(0), -data.x.amin(0), atol=1e-5)
    world = data.frame.outward(data.x.double().numpy())
    assert np.allclose(world, data.cloud.points, atol=1e-6)
    assert data.scalars_fitted == 8000
    low, high = torch.tensor(data.signal["extent"]).T
    assert (low < data.x.amin(0)).all()
    assert (high > data.x.amax(0)).all()
    points, distances = data.pool
    assert len(points) == len(distances) == 500
    assert points.abs().max() <= 1


def test_distances_to_a_cloud_are_those_of_the_shape(tmp_path):
    data = ShapeSamples(ball_file(tmp_path), guide=2000)
    data.setup()
    points, distances = data.pool
    exact = points.norm(dim=1) - 0.9
    spacing = 0.9 * np.sqrt(4 * np.pi / 3000)
    assert (distances - exact).abs().max() < spacing / 4
    assert ((distances < 0) == (exact < 0))[exact.abs() > spacing / 10].all()
    assert (distances - exact)[exact.abs() < 2 * spacing].abs().max() < spacing**2


@pytest.mark.parametrize("seed", [0, 1])
def test_the_sign_of_a_distance_is_right_beside_edges(seed):
    box = Box([-0.8, -0.5, -0.3], [0.8, 0.5, 0.3])
    points, normals = box.boundary(4000, sampler="random", seed=seed, dtype=torch.float64)
    x = np.random.default_rng(seed).random((4000, 3)) * 2 - 1
    found = oriented_distance(points.numpy(), normals.numpy(), x)
    exact = box.signed_distance(torch.from_numpy(x)).numpy()
    wrong = (found < 0) != (exact < 0)
    spacing = np.sqrt(box.boundary_measure / 4000)
    assert wrong.mean() < 0.003
    assert np.abs(exact[wrong]).max(initial=0) < 2 * spacing


@pytest.mark.parametrize("pool", [False, True])
def test_the_same_epoch_has_the_same_batches(pool):
    torch.manual_seed(0)
    one = stream(pool=pool)
    first, again = list(one), list(one)
    assert len(first) == len(one) == 5
    for a, b in zip(first, again, strict=True):
        assert all(torch.equal(s, t) for s, t in zip(a, b, strict=True))
    x, normals, off, distance = first[0]
    assert torch.equal(normals, -x)
    assert len(off) == len(distance) == len(x) == 8
    assert not torch.equal(first[0][2], first[1][2])


@settings(deadline=None, max_examples=20)
@given(step=st.integers(0, 1000), world=st.integers(1, 3))
def test_processes_and_steps_draw_their_own_space(step, world):
    drawn = [stream(rank=rank, world=world).batch(step)[2] for rank in range(world)]
    drawn.append(stream(world=world).batch(step + 1)[2])
    flat = torch.cat(drawn)
    assert len(flat.unique(dim=0)) == len(flat)
    assert flat.abs().max() <= 1


def test_a_pool_keeps_points_with_their_distances():
    torch.manual_seed(0)
    known = stream(pool=True, off=300)
    _, _, off, distance = known.batch(0)
    points, distances = known.pool
    rows = (off[:, None] == points).all(-1).int().argmax(1)
    assert torch.equal(distance, distances[rows])
    assert len(rows.unique()) > 30


def test_what_is_scored_is_spread_over_the_cloud(tmp_path):
    data = ShapeSamples(ball_file(tmp_path, 25_000))
    data.setup()
    x, normals, space = data.scoring()
    assert len(x) == len(normals) == len(space) <= 10_000
    assert len(x) > 5000
    assert torch.allclose(normals, x / 0.9, atol=1e-5)


def test_a_cloud_without_normals(tmp_path):
    np.save(tmp_path / "bare.npy", np.load(ball_file(tmp_path))["points"])
    data = ShapeSamples(str(tmp_path / "bare.npy"), normals=False)
    data.setup()
    assert not data.normals_at.any()
    assert data.signal["oriented"] is False
    assert data.scalars_fitted == 3000
    with pytest.raises(InputError, match="6 columns"):
        ShapeSamples(str(tmp_path / "bare.npy")).setup()


def test_doubts_are_warned_of(tmp_path):
    with np.load(ball_file(tmp_path)) as read:
        np.savez(tmp_path / "long.npz", points=read["points"], normals=6 * read["normals"])
    with pytest.warns(ShapeWarning, match="length 6 to 6 made unit"):
        ShapeSamples(str(tmp_path / "long.npz")).setup()


def test_more_points_a_batch_than_there_are_is_refused():
    with pytest.raises(InputError, match="batch_size must be at most the 500"):
        ShapeSamples(points=500, batch_size=501).setup()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"points": 0}, "points"),
        ({"off_size": 0}, "off_size"),
        ({"fill": 0.0}, "fill"),
        ({"fill": 1.1}, "fill"),
        ({"guide": -1}, "guide"),
        ({"guide": 10, "normals": False}, "guide"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_rejects_senseless_numbers(wrong, named):
    with pytest.raises(ValueError, match=named):
        ShapeSamples(**wrong)
