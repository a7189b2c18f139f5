"""Which second derivatives travel with a field's value and slopes, and how they are made of slopes.

For directions ``v_1 ... v_k`` and slopes ``P_i`` of some intermediate map, a curvature is a
symmetric bilinear ``B`` from two sets of slopes to ``count`` numbers. An elementwise ``f`` then
turns second derivatives ``q`` into ``f'(z) q + f''(z) B(P, P)``, whatever the curvature.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Slopes = Float[Tensor, "k _ *features"]  # one for all points, or one for each
Seconds = Float[Tensor, "m _ *features"]


class Curvature:
    """None at all: value and slopes alone.

    Attributes:
        count: Second derivatives carried, the ``m`` of the shapes.
    """

    count = 0

    def bilinear(self, one: Slopes, other: Slopes) -> Seconds:
        """Return ``B(one, other)``."""
        raise AssertionError("no second derivatives are carried")

    def add_pull(self, total: Slopes, slopes: Slopes, weight: Seconds) -> None:
        """Add the gradient of ``sum(weight * B(P, P))`` in ``P``, at ``slopes``, to ``total``."""
        raise AssertionError("no second derivatives are carried")

    def rates(self, slopes: Slopes) -> Float[Tensor, " k"] | None:
        """Return coefficients when this is a sum over directions, or each of them by itself.

        None stands for anything less simple: coefficients that differ from point to point, several
        sums at once, products of different directions.
        """
        return None

    def at(self, start: int, stop: int) -> "Curvature":
        """Return the curvature for a range of the points."""
        return self


class AxisCurvature(Curvature):
    """Second derivatives along each direction, ``B(P, Q)_i = P_i Q_i``."""

    def __init__(self, directions: int) -> None:
        self.count = directions

    def rates(self, slopes: Slopes) -> Float[Tensor, " k"] | None:
        """Return ones."""
        return slopes.new_ones(len(slopes))

    def bilinear(self, one: Slopes, other: Slopes) -> Seconds:
        """Return the products, direction by direction."""
        return one * other

    def add_pull(self, total: Slopes, slopes: Slopes, weight: Seconds) -> None:
        """Add ``2 P_i w_i``."""
        total.addcmul_(slopes, weight, value=2)


class SumCurvature(Curvature):
    """Their sum, ``B(P, Q) = sum_i P_i Q_i``: a Laplacian is one number, not one an axis."""

    count = 1

    def rates(self, slopes: Slopes) -> Float[Tensor, " k"] | None:
        """Return ones."""
        return slopes.new_ones(len(slopes))

    def bilinear(self, one: Slopes, other: Slopes) -> Seconds:
        """Return the sum of products over directions."""
        total = one[0] * other[0]
        for i in range(1, len(one)):
            total = torch.addcmul(total, one[i], other[i])
        return total[None]

    def add_pull(self, total: Slopes, slopes: Slopes, weight: Seconds) -> None:
        """Add ``2 P_i w``."""
        total.addcmul_(slopes, weight, value=2)


class WeightedCurvature(Curvature):
    """Weighted sums, ``B(P, Q)_m = sum_i w_mi P_i Q_i``: operators with their coefficients.

    Args:
        weights: Coefficients ``(m, k, n)``, or ``(m, k, 1)`` when all points share them.
    """

    def __init__(self, weights: Float[Tensor, "m k n"]) -> None:
        self.weights = weights
        self.count = len(weights)

    def rates(self, slopes: Slopes) -> Float[Tensor, " k"] | None:
        """Return the coefficients of a single sum that all points share."""
        return self.weights[0, :, 0] if self.count == self.weights.shape[-1] == 1 else None

    def _beside(self, slopes: Slopes) -> Float[Tensor, "m k n *ones"]:
        return self.weights.reshape(*self.weights.shape, *(1,) * (slopes.dim() - 2))

    def bilinear(self, one: Slopes, other: Slopes) -> Seconds:
        """Return the weighted sums of products."""
        return _sums(self._beside(one), (one * other)[None], 1)

    def add_pull(self, total: Slopes, slopes: Slopes, weight: Seconds) -> None:
        """Add ``2 P_i sum_m w_mi weight_m``."""
        total.addcmul_(slopes, _sums(self._beside(slopes), weight[:, None], 0), value=2)

    def at(self, start: int, stop: int) -> "WeightedCurvature":
        """Return the coefficients of a range of the points."""
        if self.weights.shape[-1] == 1:
            return self
        return WeightedCurvature(self.weights[..., start:stop])


def _sums(weights: Tensor, terms: Tensor, axis: int) -> Tensor:
    """Sum products over a short axis without holding them all."""
    length = weights.shape[axis]
    total = weights.select(axis, 0) * terms.select(axis, 0)
    for i in range(1, length):
        total = torch.addcmul(total, weights.select(axis, i), terms.select(axis, i))
    return total


class PairCurvature(Curvature):
    """All second derivatives, ``B(P, Q)`` for each pair ``i <= j`` of directions.

    Args:
        directions: Number k of directions; ``k (k + 1) / 2`` numbers are carried.
    """

    def __init__(self, directions: int) -> None:
        self.first, self.last = torch.triu_indices(directions, directions)
        self.count = len(self.first)
        # place[i, j] of the number that belongs to the pair
        self.place = torch.zeros(directions, directions, dtype=torch.long)
        self.place[self.first, self.last] = torch.arange(self.count)
        self.place[self.last, self.first] = torch.arange(self.count)

    def bilinear(self, one: Slopes, other: Slopes) -> Seconds:
        """Return the symmetrised products, pair by pair."""
        product = one[self.first] * other[self.last]
        if one is other:
            return product
        return (product + other[self.first] * one[self.last]) / 2

    def add_pull(self, total: Slopes, slopes: Slopes, weight: Seconds) -> None:
        """Add ``sum_j P_j w_ij``, the diagonal twice."""
        for i, row in enumerate(self.place.tolist()):
            for j, place in enumerate(row):
                total[i].addcmul_(slopes[j], weight[place], value=2 if i == j else 1)
