"""Points of the unit cube: pseudo-random, quasi-random, stratified; rules of Gauss."""

import warnings

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import qmc
from torch import Tensor

from overparam.errors import InputError

SAMPLERS = ("sobol", "halton", "lhs", "random")
"""Scrambled Sobol and Halton sequences, Latin hypercubes, and independent points."""

_PANEL = 64  # finding Gauss's nodes costs the cube of their number
_BITS = 30  # what scipy's Sobol sequence resolves; half a cell keeps points off the faces


class UnitStream:
    """A reproducible stream of points in the open unit cube.

    Every kind is randomised, so each single point is uniform; what differs is how evenly many
    of them lie. Sobol and Halton continue one sequence over calls, Latin hypercubes start a new
    stratification with each call.

    Args:
        kind: One of ``SAMPLERS``.
        dim: Coordinates of a point, at least 1.
        seed: Same seed, same points.

    Raises:
        InputError: If ``kind`` is unknown.
        ValueError: If ``dim`` is below 1.

    Source: Owen-scrambled Sobol points (J. Complexity 14 (1998) 466), through scipy.stats.qmc.
    """

    def __init__(self, kind: str = "sobol", dim: int = 1, *, seed: int = 0) -> None:
        if kind not in SAMPLERS:
            raise InputError(f"sampler must be one of {', '.join(SAMPLERS)}, got {kind}")
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self.kind, self.dim, self.seed = kind, dim, seed
        self._random = np.random.default_rng(seed)
        if kind == "sobol":
            self._engine = qmc.Sobol(dim, seed=self._random, bits=_BITS)
        elif kind == "halton":
            self._engine = qmc.Halton(dim, seed=self._random)
        elif kind == "lhs":
            self._engine = qmc.LatinHypercube(dim, seed=self._random)

    def take(self, n: int) -> Float[Tensor, "n dim"]:
        """Return the next ``n`` points in float64, strictly between 0 and 1.

        Raises:
            ValueError: If ``n`` is below 1.
        """
        if n < 1:
            raise ValueError(f"number of points must be at least 1, got {n}")
        if self.kind == "random":
            unit = self._random.random((n, self.dim))
        else:
            with warnings.catch_warnings():
                # scipy remarks on any count that is not a power of two
                warnings.filterwarnings("ignore", message="The balance properties")
                unit = self._engine.random(n)
        if self.kind == "sobol":
            unit = unit + 2.0 ** -(_BITS + 1)
        tiny = 2.0**-53
        return torch.from_numpy(np.clip(unit, tiny, 1 - tiny))


def gauss_legendre(
    lower: Float[Tensor, " d"], upper: Float[Tensor, " d"], order: int
) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """Return the tensor rule of Gauss on a box: exact for degree ``2 order - 1`` in each axis.

    Beyond 64 nodes an axis is cut into equal panels of 64 (degree 127 in each), so that
    ``order`` is rounded down to a multiple of 64 there.

    Args:
        lower: Lower corner.
        upper: Upper corner.
        order: Nodes along each axis, at least 1; there are ``order**d`` in all.

    Returns:
        Nodes, first axis slowest, and positive weights that add up to the volume.

    Raises:
        ValueError: If ``order`` is below 1.
    """
    if order < 1:
        raise ValueError(f"order must be at least 1, got {order}")
    panels = max(1, order // _PANEL)
    line, shares = np.polynomial.legendre.leggauss(min(order, _PANEL))
    cells = (np.arange(panels)[:, None] + (line + 1) / 2).ravel() / panels
    nodes, weights = torch.from_numpy(cells), torch.from_numpy(np.tile(shares / 2 / panels, panels))
    size = (upper - lower).double()
    axes = [lower[i].double() + size[i] * nodes for i in range(len(size))]
    points = torch.cartesian_prod(*axes).reshape(-1, len(size))
    products = torch.cartesian_prod(*[size[i] * weights for i in range(len(size))])
    return points, products.reshape(-1, len(size)).prod(-1)
