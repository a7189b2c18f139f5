"""A solution to compare with: values at points, evaluation anywhere, and how good it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import NdBSpline, make_interp_spline
from torch import Tensor

from overparam.errors import InputError

_CHUNK = 4096


@dataclass(frozen=True)
class Reference:
    """A solution known better than what is compared with it.

    Attributes:
        name: What it solves.
        source: Method or publication it comes from.
        coordinates: Names of the coordinates, in the order of ``points``.
        components: Names of the components of a value.
        points: Points ``(n, d)``, float64.
        values: Values ``(n, c)`` there.
        evaluate: Map from points ``(m, d)`` to values ``(m, c)``.
        error_estimate: Largest absolute error to be expected of ``values``, from a run of other
            resolution or a bound; None if there was nothing to estimate it from.
        axes: If the points form a grid (first axis slowest), the numbers along each axis.
    """

    name: str
    source: str
    coordinates: tuple[str, ...]
    components: tuple[str, ...]
    points: np.ndarray
    values: np.ndarray
    evaluate: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    error_estimate: float | int | None = None
    axes: tuple[np.ndarray, ...] | None = None

    def __repr__(self) -> str:
        return (
            f"Reference({self.name}: {', '.join(self.components)} of "
            f"{', '.join(self.coordinates)}, {len(self.points)} points)"
        )

    def __call__(
        self, x: Float[Tensor, "n d"] | Float[np.ndarray, "n d"]
    ) -> Float[Tensor, "n c"] | Float[np.ndarray, "n c"]:
        """Return values at any points of the domain; a tensor is answered by a tensor like it.

        Raises:
            ValueError: If the points have another number of coordinates.
            InputError: If a point lies where the solution is not known.
        """
        plain = x.detach().cpu().double().numpy() if isinstance(x, Tensor) else np.asarray(x, float)
        if plain.shape[-1] != len(self.coordinates):
            raise ValueError(
                f"points must have the coordinates {', '.join(self.coordinates)}, "
                f"got shape {plain.shape}"
            )
        pieces = [self.evaluate(plain[i : i + _CHUNK]) for i in range(0, len(plain), _CHUNK)]
        values = np.concatenate(pieces) if pieces else np.empty((0, len(self.components)))
        if not np.isfinite(values).all():
            first = plain[~np.isfinite(values).all(-1)][0].tolist()
            raise InputError(f"{self.name} is not known at {first}")
        return torch.from_numpy(values).to(x) if isinstance(x, Tensor) else values

    def relative_l2(
        self, values: Float[Tensor, "n c"] | Float[np.ndarray, "n c"], component: int | None = None
    ) -> float:
        """Return ``|values - self.values| / |self.values|`` over the reference's points.

        Args:
            values: Values at ``points``.
            component: One component only; None takes all together.
        """
        plain = (
            values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
        ).reshape(self.values.shape)
        which = slice(None) if component is None else component
        gap = plain[:, which] - self.values[:, which]
        return float(np.linalg.norm(gap) / np.linalg.norm(self.values[:, which]))

    @classmethod
    def on_grid(
        cls,
        name: str,
        source: str,
        coordinates: Sequence[str],
        components: Sequence[str],
        axes: Sequence[np.ndarray],
        values: np.ndarray,
        *,
        error_estimate: float | int | None = None,
        evaluate: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> "Reference":
        """Build a reference from values on a grid; between its points quintic splines serve.

        Args:
            name: What it solves.
            source: Where it comes from.
            coordinates: Names of the coordinates.
            components: Names of the components.
            axes: Increasing numbers along each axis.
            values: Values ``(*counts, c)``.
            error_estimate: See the class.
            evaluate: A better way between the points, if there is one.
        """
        return cls(
            name,
            source,
            tuple(coordinates),
            tuple(components),
            grid_points(axes),
            values.reshape(-1, values.shape[-1]),
            evaluate or GridSpline(axes, values),
            error_estimate,
            tuple(np.asarray(axis) for axis in axes),
        )


class GridSpline:
    """The tensor-product spline through values on a grid; NaN outside of it.

    Args:
        axes: Increasing numbers along each axis.
        values: Values ``(*counts, c)``.
        degree: Degree, lowered on axes with too few points for it.
    """

    def __init__(
        self, axes: Sequence[np.ndarray], values: Float[np.ndarray, "*counts c"], degree: int = 5
    ) -> None:
        knots, degrees, coefficients = [], [], values
        for i, axis in enumerate(axes):
            order = min(degree, (len(axis) - 1) // 2 * 2 - 1 if len(axis) < 2 * degree else degree)
            spline = make_interp_spline(axis, coefficients, k=max(order, 1), axis=i)
            # the spline keeps the axis it runs along in front
            coefficients = np.moveaxis(spline.c, 0, i)
            knots.append(spline.t)
            degrees.append(spline.k)
        self._spline = NdBSpline(tuple(knots), coefficients, tuple(degrees), extrapolate=False)

    def __call__(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """Return the spline's values."""
        return self._spline(np.ascontiguousarray(x))

    def derivative(
        self, x: Float[np.ndarray, "n d"], orders: Sequence[int]
    ) -> Float[np.ndarray, "n c"]:
        """Return a partial derivative, of the given order in each coordinate."""
        return self._spline(np.ascontiguousarray(x), nu=np.asarray(orders))


def grid_points(axes: Sequence[np.ndarray]) -> Float[np.ndarray, "n d"]:
    """Return the points of a grid, first axis slowest."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
