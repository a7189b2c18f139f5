"""Where fields live: domains with inside, boundary, measures and points to train on."""

from fields.domains.adaptive import r3, rad, rar_d, residual_density
from fields.domains.ball import Ball
from fields.domains.boolean import Difference, Intersection, Union
from fields.domains.box import Box
from fields.domains.domain import Domain
from fields.domains.mesh import Mesh
from fields.domains.polygon import LShape, Polygon
from fields.domains.sampling import SAMPLERS, UnitStream, gauss_legendre
from fields.domains.time_domain import TimeDomain

__all__ = [
    "SAMPLERS",
    "Ball",
    "Box",
    "Difference",
    "Domain",
    "Intersection",
    "LShape",
    "Mesh",
    "Polygon",
    "TimeDomain",
    "Union",
    "UnitStream",
    "gauss_legendre",
    "r3",
    "rad",
    "rar_d",
    "residual_density",
]
