"""One domain of every kind, with what is known of it in closed form."""

import math
from functools import cache

import numpy as np

from fields.domains import Ball, Box, LShape, Mesh, Polygon, TimeDomain

DART = [[0, 0], [2, -1], [1, 0.5], [2, 2]]  # not convex


@cache
def tetrahedron() -> Mesh:
    """Corners at the origin and at 1 on the axes."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=float)
    return Mesh(vertices, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))


@cache
def notched() -> Mesh:
    """A cube of side 2 without an octant, as triangles: a solid with inward edges."""
    outline = [[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]]
    base = np.array([[*v, 0] for v in outline] + [[*v, 2] for v in outline], dtype=float)
    lid = [[0, 1, 2], [0, 2, 3], [0, 3, 5], [3, 4, 5]]
    faces = [[a, c, b] for a, b, c in lid] + [[a + 6, b + 6, c + 6] for a, b, c in lid]
    for i in range(6):
        j = (i + 1) % 6
        faces += [[i, j, j + 6], [i, j + 6, i + 6]]
    return Mesh(base, np.array(faces))


DOMAINS = {
    "interval": Box([-1], [2]),
    "rectangle": Box([-1, 0], [1, 0.5]),
    "box4": Box([0, 0, 0, 0], [1, 2, 1, 0.5]),
    "segment_ball": Ball([0.5], 2),
    "disc": Ball([1, 2], 0.5),
    "ball": Ball([0, 0, 1], 1.5),
    "ball5": Ball([0, 0, 0, 0, 0], 1),
    "dart": Polygon(DART),
    "lshape": LShape(),
    "tetrahedron": tetrahedron(),
    "notched": notched(),
    "plate_with_hole": Box([0, 0], [2, 1]) - Ball([0.5, 0.5], 0.25),
    "swiss": Box([0, 0], [1, 1]) - Ball([0, 0], 0.5) - Ball([0.7, 0.7], 0.1),
    "lens": Ball([0, 0], 1) & Ball([1, 0], 1),
    "two_discs": Ball([0, 0], 1) | Ball([1, 0], 1),
    "heated_rod": TimeDomain(Box([-1], [1]), 0, 2),
    "heated_plate": TimeDomain(Box([0, 0], [2, 1]) - Ball([0.5, 0.5], 0.25), 1, 2),
}

_HOLE = math.pi * 0.25**2
_LENS = 2 * math.pi / 3 - math.sqrt(3) / 2
VOLUME = {
    "interval": 3.0,
    "rectangle": 1.0,
    "box4": 1.0,
    "segment_ball": 4.0,
    "disc": math.pi / 4,
    "ball": 4 / 3 * math.pi * 1.5**3,
    "ball5": 8 * math.pi**2 / 15,
    "dart": 1.5,
    "lshape": 3.0,
    "tetrahedron": 1 / 6,
    "notched": 6.0,
    "plate_with_hole": 2 - _HOLE,
    "swiss": 1 - math.pi / 16 - math.pi / 100,
    "lens": _LENS,
    "two_discs": 2 * math.pi - _LENS,
    "heated_rod": 4.0,
    "heated_plate": 2 - _HOLE,
}
SURFACE = {
    "interval": 2.0,
    "rectangle": 5.0,
    "box4": 2 * (1 + 0.5 + 1 + 2),
    "segment_ball": 2.0,
    "disc": math.pi,
    "ball": 4 * math.pi * 1.5**2,
    "ball5": 8 * math.pi**2 / 3,
    "dart": math.sqrt(5) + 2 * math.hypot(1, 1.5) + math.sqrt(8),
    "lshape": 8.0,
    "tetrahedron": 1.5 + math.sqrt(3) / 2,
    "notched": 2 * 3 + 2 * 8,
    "plate_with_hole": 6 + math.pi / 2,
    "swiss": 3 + math.pi / 4 + math.pi / 5,
    "lens": 4 * math.pi / 3,
    "two_discs": 8 * math.pi / 3,
    "heated_rod": 8.0,
    "heated_plate": 2 * (2 - _HOLE) + 6 + math.pi / 2,
}
CUT = {"plate_with_hole", "swiss", "lens", "two_discs", "heated_plate"}
"""Domains whose measures are counted, not known."""
