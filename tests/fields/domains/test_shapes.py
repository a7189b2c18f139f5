"""What boxes, polygons, meshes and cylinders do beyond the common laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fields.domains import Ball, Box, LShape, Mesh, Polygon, TimeDomain
from fields.domains.ears import cross, ears
from fields.domains.triangles import TriangleTree, closest_point, winding
from overparam.errors import InputError

from .zoo import notched, tetrahedron


def test_box_factor_vanishes_on_chosen_faces_only():
    box = Box([0, -1], [2, 1])
    left, _ = box.boundary(50, part="left", dtype=torch.float64)
    top, _ = box.boundary(50, part="top", dtype=torch.float64)
    factor = box.vanishing(torch.cat([left, top]), parts=["left"])
    assert factor[:50].abs().max() == 0 and factor[50:].min() > 0
    assert float(box.vanishing(torch.tensor([1.0, 0.0]))) == 1


def test_lattice_is_a_picture_grid():
    x = Box([0, -1], [1, 1]).lattice([3, 5])
    assert x.shape == (15, 2)
    assert x[:5, 0].eq(0).all() and x[:5, 1].tolist() == [-1, -0.5, 0, 0.5, 1]
    with pytest.raises(ValueError, match="counts"):
        Box([0], [1]).lattice([1])


def test_distances_to_a_box_by_hand():
    box = Box([0, 0], [4, 2])
    x = torch.tensor([[2.0, 1.0], [1.0, 1.5], [-3.0, 6.0], [5.0, 1.0], [4.0, 1.0]])
    assert box.signed_distance(x).tolist() == [-1, -0.5, 5, 1, 0]


@pytest.mark.parametrize("shape", [Ball([0.5, 0.5, 0.5], 0.5), LShape()])
def test_other_factors_refuse_parts(shape):
    with pytest.raises(InputError, match="whole boundary"):
        shape.vanishing(torch.zeros(1, shape.dim), parts=["edge0"])


def test_time_factor_vanishes_where_data_is_given():
    rod = TimeDomain(Box([-1], [1]), 0, 2)
    start, wall, end = (
        rod.boundary(50, part=part, dtype=torch.float64)[0]
        for part in ("initial", "boundary", "final")
    )
    assert rod.vanishing(start).abs().max() == 0
    assert rod.vanishing(wall).abs().max() == 0
    assert rod.vanishing(end).min() > 0
    assert rod.vanishing(wall, parts=["initial"]).max() > 0
    only_left = rod.vanishing(wall, parts=["boundary.left"])
    assert torch.equal(only_left == 0, wall[:, 0] == -1)
    with pytest.raises(InputError, match="must be one of"):
        rod.vanishing(end, parts=["later"])
    x, weights = TimeDomain(Box([0, 0], [1, 1]), 0, 3).quadrature(1000, dtype=torch.float64)
    assert len(x) == 1000 and float((x[:, 2] ** 2) @ weights) == pytest.approx(9)


@st.composite
def stars(draw):
    """Polygons seen whole from the origin, either way round."""
    n = draw(st.integers(3, 12))
    radii = draw(st.lists(st.floats(0.2, 2), min_size=n, max_size=n))
    turn = 2 * np.pi * (np.arange(n) + 0.3) / n
    corners = np.array(radii)[:, None] * np.stack([np.cos(turn), np.sin(turn)], -1)
    return corners[::-1].tolist() if draw(st.booleans()) else corners.tolist()


@settings(max_examples=40, deadline=None)
@given(stars())
def test_ears_tile_a_polygon(corners):
    polygon = Polygon(corners)
    vertices = polygon.vertices.numpy()
    triangles = vertices[ears(vertices)]
    areas = cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]) / 2
    assert (areas > 0).all()
    shoelace = cross(vertices, np.roll(vertices, -1, axis=0)).sum() / 2
    assert areas.sum() == pytest.approx(shoelace) == pytest.approx(polygon.volume)
    assert polygon.contains(polygon.interior(100, dtype=torch.float64), tolerance=1e-12).all()


@settings(max_examples=30, deadline=None)
@given(stars(), st.floats(0, 6.28), st.floats(-3, 3), st.floats(0.1, 10))
def test_polygons_move_and_scale(corners, angle, shift, scale):
    """Distances follow a similarity of the plane, whatever its orientation in the ray test."""
    c, s = math.cos(angle), math.sin(angle)
    move = torch.tensor([[c, s], [-s, c]], dtype=torch.float64) * scale
    first = Polygon(corners)
    second = Polygon((torch.tensor(corners, dtype=torch.float64) @ move + shift).tolist())
    x = Box([-2, -2], [2, 2]).interior(200, dtype=torch.float64)
    y = x @ move + shift
    torch.testing.assert_close(
        first.signed_distance(x) * scale, second.signed_distance(y), rtol=1e-8, atol=1e-9
    )
    torch.testing.assert_close(first.implicit(x) * scale, second.implicit(y), rtol=1e-6, atol=1e-7)


def test_straight_vertices_are_allowed():
    square = Polygon([[0, 0], [1, 0], [2, 0], [2, 2], [0, 2], [0, 1]])
    assert square.volume == 4 and square.boundary_measure == 8
    box = Box([0, 0], [2, 2])
    x = Box([-1, -1], [3, 3]).interior(500, dtype=torch.float64)
    torch.testing.assert_close(square.signed_distance(x), box.signed_distance(x))


def test_lshape_is_a_box_without_a_quarter():
    shape, rival = LShape(), Box([-1, -1], [1, 1]) - Box([0, 0], [1, 1])
    x = Box([-1.5, -1.5], [1.5, 1.5]).interior(2000, dtype=torch.float64)
    assert torch.equal(shape.contains(x), rival.contains(x))
    inside = shape.contains(x)
    torch.testing.assert_close(
        shape.signed_distance(x)[inside], rival.signed_distance(x)[inside], rtol=0, atol=1e-12
    )
    with pytest.raises(InputError, match="lower < center"):
        LShape(center=[1, 0])


def test_mesh_of_a_box_is_the_box():
    import trimesh

    solid = trimesh.creation.box((2, 1, 0.5))
    mesh, box = (
        Mesh(np.array(solid.vertices), np.array(solid.faces)),
        Box([-1, -0.5, -0.25], [1, 0.5, 0.25]),
    )
    x = Box([-1.5, -1, -1], [1.5, 1, 1]).interior(2000, dtype=torch.float64)
    torch.testing.assert_close(mesh.signed_distance(x), box.signed_distance(x), rtol=0, atol=1e-12)
    assert mesh.volume == pytest.approx(1) and mesh.is_closed and not mesh.warnings


def test_nearest_points_are_those_of_a_full_search():
    rng = np.random.default_rng(0)
    # sizes over three decades, needles among them
    corners = rng.normal(size=(300, 1, 3)) + rng.normal(size=(300, 3, 3)) * 10 ** rng.uniform(
        -3, 0, (300, 1, 1)
    )
    points = rng.normal(size=(100, 3)) * 2
    place, face, inner = TriangleTree(corners).nearest(points)
    full, _ = closest_point(np.repeat(points, 300, axis=0), np.tile(corners, (100, 1, 1)))
    distances = np.linalg.norm(full.reshape(100, 300, 3) - points[:, None], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(place - points, axis=-1), distances.min(1))
    np.testing.assert_allclose(np.einsum("nk,nkd->nd", inner, corners[face]), place, atol=1e-12)


def test_signs_of_a_mesh_are_its_winding_numbers():
    mesh = notched()
    x = Box([-0.5] * 3, [2.5] * 3).interior(2000, dtype=torch.float64)
    turns = winding(x.numpy(), mesh.vertices[mesh.faces].numpy())
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
    assert torch.equal(torch.from_numpy(turns > 0.5), mesh.contains(x))


def test_an_inside_out_mesh_is_turned():
    first = tetrahedron()
    second = Mesh(first.vertices.numpy(), first.faces.numpy()[:, ::-1].copy())
    assert second.volume == pytest.approx(1 / 6)
    x = Box([-1] * 3, [1] * 3).interior(200, dtype=torch.float64)
    assert torch.equal(first.contains(x), second.contains(x))


def test_an_open_mesh_warns_and_is_closed_by_fans():
    import trimesh

    solid = trimesh.creation.icosphere(subdivisions=2)
    vertices, faces = np.array(solid.vertices), np.array(solid.faces)
    whole = Mesh(vertices, faces)
    # one vertex without its triangles: a hole of five edges
    mesh = Mesh(vertices, faces[(faces != 0).all(1)])
    assert not mesh.is_closed and "watertight" in mesh.warnings[0]
    assert mesh.volume == pytest.approx(whole.volume, rel=0.02)
    assert mesh.boundary_measure < whole.boundary_measure
    x = Box([-1.2] * 3, [1.2] * 3).interior(2000, dtype=torch.float64)
    inside = mesh.contains(x)
    assert (inside == whole.contains(x)).double().mean() > 0.99
    # two opinions on the sides, and the distance to what is there
    turns = winding(x.numpy(), mesh.vertices[mesh.faces].numpy())
    assert (torch.from_numpy(turns > 0.5) == inside).double().mean() > 0.99
    assert (mesh.signed_distance(x).abs() >= whole.signed_distance(x).abs() - 1e-12).all()


def test_a_surface_that_cannot_be_closed_still_has_sides():
    import trimesh

    solid = trimesh.creation.icosphere(subdivisions=1)
    vertices, faces = np.array(solid.vertices), np.array(solid.faces)
    around = np.flatnonzero((faces == 0).any(1))
    flipped = faces.copy()
    flipped[3] = flipped[3, ::-1]  # turned back on reading
    assert Mesh(vertices, flipped).is_closed
    # two holes that meet in a vertex: the rim is no simple loop
    shared = [np.isin(faces[around[0]], faces[k]).sum() for k in around]
    second = around[shared.index(1)]
    mesh = Mesh(vertices, np.delete(faces, [around[0], second], axis=0))
    assert mesh.warnings
    x = Box([-1.2] * 3, [1.2] * 3).interior(1000, dtype=torch.float64)
    assert (mesh.contains(x) == Mesh(vertices, faces).contains(x)).double().mean() > 0.97


@pytest.mark.parametrize("suffix", ["obj", "ply", "stl", "off"])
def test_meshes_are_read_with_seams_closed(tmp_path, suffix):
    import trimesh

    solid = trimesh.creation.icosphere(subdivisions=1)
    soup = trimesh.Trimesh(
        solid.triangles.reshape(-1, 3),
        np.arange(len(solid.faces) * 3).reshape(-1, 3),
        process=False,
    )
    soup.export(tmp_path / f"soup.{suffix}")
    mesh = Mesh.from_file(tmp_path / f"soup.{suffix}")
    assert mesh.is_closed and len(mesh.vertices) == len(solid.vertices)
    assert mesh.volume == pytest.approx(solid.volume, rel=1e-5)


def test_bad_meshes_leave_in_one_line(tmp_path):
    (tmp_path / "empty.obj").write_text("")
    (tmp_path / "text.ply").write_text("this is no mesh")
    (tmp_path / "odd.xyzzy").write_text("1 2 3")
    for name in ("empty.obj", "text.ply", "odd.xyzzy"):
        with pytest.raises(InputError, match=name) as caught:
            Mesh.from_file(tmp_path / name)
        assert "\n" not in str(caught.value)
    corners = np.eye(3)
    for faces, word in ((np.zeros((0, 3), int), "at least one"), (np.array([[0, 1, 3]]), "name"),
                        (np.array([[0, 1, 1]]), "area")):  # fmt: skip
        with pytest.raises(InputError, match=word):
            Mesh(corners, faces)
    with pytest.raises(InputError, match="finite"):
        Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
