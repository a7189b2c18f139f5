"""Smooth minimum and maximum that keep signs: the logic of implicit functions.

Source: V. L. Rvachev's R-functions, as reviewed by V. Shapiro, "Semi-analytic geometry with
R-functions", Acta Numerica 16 (2007) 239, section 3.
"""

import torch
from torch import Tensor


def both(a: Tensor, b: Tensor) -> Tensor:
    """Return a function positive where ``a`` and ``b`` are, and zero on that set's boundary.

    ``a + b - sqrt(a**2 + b**2)``: smooth wherever not both vanish; near ``a = 0 < b`` it is ``a``
    to first order, so a slope of 1 at the boundary stays one.
    """
    return a + b - _norm(a, b)


def either(a: Tensor, b: Tensor) -> Tensor:
    """Return a function positive where ``a`` or ``b`` is, ``a + b + sqrt(a**2 + b**2)``."""
    return a + b + _norm(a, b)


def _norm(a: Tensor, b: Tensor) -> Tensor:
    square = a * a + b * b
    # the root has no slope at zero: a corner gets that of a + b alone
    corner = square == 0
    return torch.where(corner, 0, torch.where(corner, 1, square).sqrt())
