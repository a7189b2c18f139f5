"""Meshes of fields: as near as the grid is fine, the same by blocks, rightly written or refused."""

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from fields.domains import Box
from fields.lattice import lattice
from fields.meshing import Surface, grid_values, mesh_field, surface_memory, surface_shape
from overparam.errors import InputError

CUBE = [[-1.0, 1.0]] * 3
places = st.floats(-0.3, 0.3)


def ball(centre, radius):
    middle = torch.tensor(centre)
    return lambda x: (x - middle).norm(dim=-1, keepdim=True) - radius


def tetrahedron():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    return Surface(vertices, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))


@pytest.mark.parametrize("n", [17, 33, 65])
def test_a_ball_is_off_by_the_square_of_the_spacing(n):
    surface = mesh_field(ball([0.0, 0.0, 0.0], 0.7), [n] * 3, CUBE, slope=1.0)
    off = np.abs(np.linalg.norm(surface.vertices, axis=1) - 0.7).max()
    spacing = 2 / (n - 1)
    # linear interpolation along an edge of length h: at most h^2 / 8 times the second derivative
    assert off <= spacing**2 / (8 * (0.7 - spacing))
    assert surface.is_closed
    assert 0 < surface.volume < 4 / 3 * np.pi * 0.7**3
    assert np.isclose(surface.volume, 4 / 3 * np.pi * 0.7**3, rtol=4 * spacing**2)
    assert np.isclose(surface.area, 4 * np.pi * 0.7**2, rtol=4 * spacing**2)


def test_the_flat_sides_of_a_box_are_exact():
    box = Box([-0.5, -0.4, -0.3], [0.5, 0.4, 0.3])
    surface = mesh_field(lambda x: box.signed_distance(x)[..., None], [40, 40, 40], CUBE, slope=1.0)
    off = box.signed_distance(torch.from_numpy(surface.vertices)).abs()
    # away from the edges the distance is linear, and so is the interpolation
    plain = (np.abs(surface.vertices) < np.array([0.4, 0.3, 0.2])).sum(1) == 2
    assert off[torch.from_numpy(plain)].max() < 1e-6
    assert off.max() < 2 / 39


@settings(deadline=None, max_examples=25)
@given(
    x=places,
    y=places,
    z=places,
    radius=st.floats(0.35, 0.6),  # more than a cell's half-diagonal: some grid point is inside
    shape=st.lists(st.integers(8, 40), min_size=3, max_size=3),
)
def test_blocks_give_the_mesh_of_the_whole_grid(x, y, z, radius, shape):
    extent = [[-1.0, 1.0], [-1.1, 1.0], [-1.0, 1.3]]

    def two_balls(p):
        first, second = ball([x, y, z], radius)(p), ball([0.7, 0.7, 0.7], 0.25)(p)
        return torch.minimum(first, second)

    blocks = mesh_field(two_balls, shape, extent, slope=1.0)
    whole = mesh_field(two_balls, shape, extent, slope=None)
    assert np.array_equal(blocks.vertices, whole.vertices)
    assert np.array_equal(blocks.faces, whole.faces)


def test_most_of_the_grid_is_never_evaluated():
    seen = []

    def counted(x):
        seen.append(len(x))
        return ball([0.0, 0.0, 0.0], 0.7)(x)

    grid_values(counted, [129] * 3, CUBE, slope=1.0)
    assert sum(seen) < 0.35 * 129**3


def test_a_surface_is_followed_where_the_bound_on_the_slope_fails():
    def steep(x):
        return 30 * ball([0.0, 0.0, 0.0], 0.6)(x)

    blocks = mesh_field(steep, [90] * 3, CUBE, slope=1.0)
    whole = mesh_field(steep, [90] * 3, CUBE, slope=None)
    assert np.array_equal(blocks.vertices, whole.vertices)


@settings(deadline=None, max_examples=15)
@given(chunk=st.integers(100, 5000))
def test_chunks_do_not_matter(chunk):
    field = ball([0.1, 0.0, -0.1], 0.5)
    one = grid_values(field, [12, 13, 14], CUBE, slope=None, chunk=chunk)
    x = lattice([12, 13, 14], CUBE)
    assert np.array_equal(one, field(x).view(12, 13, 14).numpy())


def test_a_surface_cut_by_the_box_stays_open():
    surface = mesh_field(ball([0.0, 0.0, 0.0], 1.2), [30] * 3, CUBE)
    assert not surface.is_closed


@pytest.mark.parametrize("radius", [0.0, 9.0])
def test_no_zero_level_set_is_told(radius):
    with pytest.raises(InputError, match=r"no zero level set in the box .* values go from"):
        mesh_field(ball([3.0, 0.0, 0.0], radius), [9] * 3, CUBE)


def test_values_that_are_not_finite_are_told():
    with pytest.raises(InputError, match="must be finite"):
        mesh_field(lambda x: x[:, :1] * torch.nan, [9] * 3, CUBE)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl"])
def test_files_hold_the_same_solid(tmp_path, suffix):
    surface = mesh_field(ball([0.0, 0.0, 0.0], 0.7), [20] * 3, CUBE)
    surface.write(tmp_path / f"a{suffix}")
    read = trimesh.load(tmp_path / f"a{suffix}", force="mesh")
    assert read.is_watertight
    assert np.isclose(read.volume, surface.volume, rtol=1e-5)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"written as \.ply \.obj \.stl"):
        tetrahedron().write(tmp_path / "a.gltf")
    assert not list(tmp_path.iterdir())


def test_closed_means_every_edge_twice_and_against_itself():
    solid = tetrahedron()
    assert solid.is_closed
    assert np.isclose(solid.volume, 1 / 6)
    assert not Surface(solid.vertices, solid.faces[1:]).is_closed
    turned = solid.faces.copy()
    turned[0] = turned[0][::-1]
    assert not Surface(solid.vertices, turned).is_closed


def test_samples_lie_on_the_triangles_evenly_by_area():
    solid = tetrahedron()
    points, normals = solid.sample(20_000)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    slanted = normals.min(1) > 0
    assert np.allclose(points[slanted].sum(1), 1)
    share = np.sqrt(3) / 2 / solid.area
    assert abs(slanted.mean() - share) < 4 * np.sqrt(share * (1 - share) / 20_000)
    # the centroid of each face
    assert np.allclose(points[slanted].mean(0), 1 / 3, atol=0.01)
    again = solid.sample(20_000)[0]
    assert np.array_equal(points, again)
    assert not np.array_equal(points, solid.sample(20_000, 1)[0])


def test_cells_are_nearly_cubic():
    extent = [[0.0, 1.0], [-1.0, 1.0], [0.0, 0.5]]
    assert surface_shape(101, extent) == [51, 101, 26]
    assert min(surface_shape(2, extent)) == 2


def test_memory_grows_with_the_grid():
    assert surface_memory([512] * 3) > 4 * 512**3
    assert surface_memory([1024] * 3) < 8.5 * surface_memory([512] * 3)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"shape": [1, 5, 5]}, "shape"), ({"shape": [5, 5]}, "shape"), ({"slope": 0.0}, "slope")],
)
def test_rejects_senseless_numbers(wrong, named):
    given_ = {"shape": [5, 5, 5], "extent": CUBE} | wrong
    with pytest.raises(ValueError, match=named):
        mesh_field(ball([0.0, 0.0, 0.0], 0.5), **given_)
