"""The shape-only baseline: how far our search comes when molecules only fill and clash."""

from dataclasses import replace

from docking.benchmark.contestant import SHAPE
from docking.model import PhysicsModel
from docking.terms import TERMS, VINA

STERIC = ("gauss1", "gauss2", "repulsion")
STERIC_ONLY = replace(
    VINA,
    name=SHAPE,
    weights=tuple(w if t in STERIC else 0.0 for t, w in zip(TERMS, VINA.weights, strict=True)),
)
"""Vina's steric terms at Vina's weights; hydrophobic contacts and hydrogen bonds weigh nothing.

Source of the weights: Trott and Olson, J. Comput. Chem. 31 (2010) 455, table 1.
"""


class ShapeModel(PhysicsModel):
    """Our engine with the steric terms alone."""

    name = SHAPE

    def __init__(self) -> None:
        super().__init__(STERIC_ONLY)
