"""Clouds: every format alike, cleaned aloud, moved reversibly, or refused in one line."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from fields.point_cloud import SPOT, Frame, read_cloud
from overparam.errors import InputError

numbers = st.floats(-1e3, 1e3)


def sphere(n=200, radius=2.0):
    points = np.random.default_rng(0).standard_normal((n, 3))
    normals = points / np.linalg.norm(points, axis=1, keepdims=True)
    return normals * radius + [1.0, 2.0, 3.0], normals


def written(folder, suffix, points, normals):
    file = folder / f"cloud{suffix}"
    table = np.concatenate([points, normals], axis=1)
    if suffix in (".xyz", ".txt", ".pts"):
        np.savetxt(file, table, fmt="%.9g")
    elif suffix == ".npy":
        np.save(file, table)
    elif suffix == ".npz":
        np.savez(file, points=points, normals=normals)
    else:
        names = "".join(f"property double {n}\n" for n in ("x", "y", "z", "nx", "ny", "nz"))
        head = f"ply\nformat ascii 1.0\nelement vertex {len(table)}\n{names}end_header\n"
        file.write_text(head + "\n".join(" ".join(map(repr, row)) for row in table.tolist()) + "\n")
    return file


@pytest.mark.parametrize("suffix", [".xyz", ".txt", ".pts", ".npy", ".npz", ".ply"])
def test_every_format_of_points_holds_the_same_cloud(tmp_path, suffix):
    points, normals = sphere()
    cloud = read_cloud(written(tmp_path, suffix, points, normals))
    assert np.allclose(cloud.points, points)
    assert np.allclose(cloud.normals, normals)
    assert cloud.notes == ()
    assert cloud.surface is None


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".off"])
def test_meshes_are_sampled_evenly_with_the_normals_of_their_triangles(tmp_path, suffix):
    trimesh.creation.box((1, 2, 3)).export(tmp_path / f"box{suffix}")
    cloud = read_cloud(tmp_path / f"box{suffix}", points=4000)
    assert cloud.points.shape == (4000, 3)
    assert cloud.surface.is_closed
    assert np.isclose(cloud.surface.volume, 6)
    on_side = np.isclose(np.abs(cloud.points) * 2, [1, 2, 3])
    assert (on_side.sum(1) == 1).all()
    assert np.allclose(cloud.normals, np.where(on_side, np.sign(cloud.points), 0))
    share = np.array([6, 3, 2]) / 11
    assert np.allclose(on_side.mean(0), share, atol=4 * np.sqrt(0.25 / 4000))


def test_the_bundled_shape():
    cloud = read_cloud(SPOT)
    assert cloud.points.shape == (50_000, 3)
    assert cloud.notes == ()
    assert cloud.surface.is_closed
    assert SPOT.stat().st_size < 120_000


def test_normals_of_any_length_are_made_unit_and_said(tmp_path):
    points, normals = sphere()
    long = normals * np.linspace(1, 6, len(normals))[:, None]
    cloud = read_cloud(written(tmp_path, ".npy", points, long))
    assert np.allclose(cloud.normals, normals)
    assert cloud.notes == ("cloud.npy: normals of length 1 to 6 made unit",)


def test_repeated_points_and_zero_normals_are_left_out_and_said(tmp_path):
    points, normals = sphere()
    blank = normals.copy()
    blank[:3] = 0
    twice = np.concatenate([points, points[:7]]), np.concatenate([blank, blank[:7]])
    cloud = read_cloud(written(tmp_path, ".npz", *twice))
    assert np.array_equal(cloud.points, points[3:])
    assert cloud.notes == (
        "cloud.npz: 7 repeated points left out",
        "cloud.npz: 3 points with a zero normal left out",
    )


def test_normals_that_look_inward_are_told(tmp_path):
    points, normals = sphere()
    cloud = read_cloud(written(tmp_path, ".npy", points, -normals))
    assert "inward" in cloud.notes[0]


def test_an_open_mesh_is_told_and_a_closed_one_is_turned_outward(tmp_path):
    box = trimesh.creation.box((1, 2, 3))
    box.update_faces(np.arange(len(box.faces)) > 0)
    box.export(tmp_path / "open.obj")
    assert "not watertight" in read_cloud(tmp_path / "open.obj").notes[0]
    box = trimesh.creation.box((1, 2, 3))
    box.invert()
    box.export(tmp_path / "inverted.obj")
    assert read_cloud(tmp_path / "inverted.obj").surface.volume > 0


def test_a_cloud_can_be_thinned_and_do_without_normals(tmp_path):
    points, normals = sphere()
    file = written(tmp_path, ".npy", points, normals)
    few = read_cloud(file, points=120)
    assert len(few.points) == len(few.normals) == 120
    rows = (few.points[:, None] == points).all(-1).argmax(1)
    assert np.allclose(few.normals, normals[rows])
    np.save(file, points)
    bare = read_cloud(file, normals=False)
    assert bare.normals is None
    assert np.array_equal(bare.points, points)


@settings(deadline=None)
@given(
    centre=st.tuples(numbers, numbers, numbers),
    size=st.floats(1e-3, 1e3),
    fill=st.floats(0.1, 1.0),
)
def test_moving_into_the_cube_keeps_proportions_and_can_be_undone(centre, size, fill):
    points = sphere(100)[0] * size + np.array(centre)
    frame = Frame.around(points, fill)
    inside = frame.inward(points)
    reach = np.abs(points).max() / size * 1e-12
    spans = inside.max(0) - inside.min(0)
    assert np.isclose(spans.max(), 2 * fill, atol=1e-9 + reach)
    assert np.allclose(inside.max(0), -inside.min(0), atol=1e-9 + reach)
    world = points.max(0) - points.min(0)
    assert np.allclose(spans / spans.max(), world / world.max(), atol=1e-9 + reach)
    assert np.allclose(frame.outward(inside), points, rtol=1e-12, atol=1e-9 * size)


def corrupt(folder):
    points, normals = sphere()
    (folder / "empty.xyz").touch()
    (folder / "words.xyz").write_text("no numbers here\n")
    (folder / "ragged.xyz").write_text("1 2 3 4 5 6\n1 2 3\n")
    (folder / "garbage.npy").write_bytes(b"\x93NUMPY nonsense")
    (folder / "garbage.ply").write_bytes(b"ply\nelement face 3\nnonsense")
    (folder / "words.obj").write_text("nothing\n")
    (folder / "a.txt.gz").write_bytes(b"1")
    np.save(folder / "bare.npy", points)
    np.save(folder / "line.npy", np.arange(600.0))
    np.savez(folder / "other.npz", something=points)
    np.save(folder / "few.npy", np.concatenate([points, normals], axis=1)[:99])
    flat = np.concatenate([points * [1, 1, 0], normals], axis=1)
    np.save(folder / "flat.npy", flat)
    broken = np.concatenate([points, normals], axis=1)
    broken[[4, 9], 2] = np.nan, np.inf
    np.save(folder / "broken.npy", broken)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.xyz", "existing file"),
        ("empty.xyz", "is empty"),
        ("words.xyz", "cannot be read"),
        ("ragged.xyz", "cannot be read"),
        ("garbage.npy", "cannot be read"),
        ("garbage.ply", "cannot be read"),
        ("words.obj", "words.obj"),
        ("a.txt.gz", "file of points or triangles"),
        ("bare.npy", "6 columns .* got 3: .*normals false"),
        ("line.npy", "3 or 6 columns"),
        ("other.npz", "array points, got something"),
        ("few.npy", "at least 100 usable points, got 99"),
        ("flat.npy", "all three axes, got .* x 0"),
        ("broken.npy", "finite, got NaN or infinity in 2 rows, first in row 5"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, reason):
    corrupt(tmp_path)
    with pytest.raises(InputError, match=reason) as refused:
        read_cloud(tmp_path / name)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)
