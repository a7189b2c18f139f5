"""Solutions to compare with: computed here where that is possible, read from files elsewhere."""

from fields.references.cavity import Cavity, cavity, parabolic_lid
from fields.references.circles import laplace_circles
from fields.references.cole_hopf import burgers
from fields.references.etdrk4 import ETDRK4
from fields.references.hankel import GaussianSource, helmholtz_free
from fields.references.lightning import LightningLaplace
from fields.references.lshape import poisson_lshape, poisson_polygon
from fields.references.pml import MEDIA, helmholtz_medium, stretched, stretching
from fields.references.poisson import SineProduct, poisson_sine, poisson_square
from fields.references.published import PUBLISHED, published
from fields.references.reaction import reaction
from fields.references.reference import GridSpline, Reference
from fields.references.spectral import (
    PeriodicEquation,
    allen_cahn,
    korteweg_de_vries,
    kuramoto_sivashinsky,
    soliton,
)
from fields.references.tables import Table, find_file, read_arrays, read_table
from fields.references.wave import GaussianPulse, SpectralWave, wave

__all__ = [
    "ETDRK4",
    "MEDIA",
    "PUBLISHED",
    "Cavity",
    "GaussianPulse",
    "GaussianSource",
    "GridSpline",
    "LightningLaplace",
    "PeriodicEquation",
    "Reference",
    "SineProduct",
    "SpectralWave",
    "Table",
    "allen_cahn",
    "burgers",
    "cavity",
    "find_file",
    "helmholtz_free",
    "helmholtz_medium",
    "korteweg_de_vries",
    "kuramoto_sivashinsky",
    "laplace_circles",
    "parabolic_lid",
    "poisson_lshape",
    "poisson_polygon",
    "poisson_sine",
    "poisson_square",
    "published",
    "reaction",
    "read_arrays",
    "read_table",
    "soliton",
    "stretched",
    "stretching",
    "wave",
]
