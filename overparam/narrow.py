"""Sizes of dense networks born small: the baseline of every ticket, at equal parameters."""

from collections.abc import Callable, Sequence
from itertools import pairwise


def dense_narrow_width(
    parameters: int, in_features: int, out_features: int, depth: int, *, bias: bool = True
) -> int:
    """Return the hidden width at which a dense perceptron has about ``parameters`` scalars.

    Args:
        parameters: Number of scalars to match, such as a ticket's ``active``.
        in_features: Input width.
        out_features: Output width.
        depth: Number of hidden layers, at least 1, all of the same width.
        bias: Whether the layers have biases.

    Returns:
        The width of at least 1 whose count is closest to ``parameters``.

    Raises:
        ValueError: If a number is below 1.
    """
    given = {
        "parameters": parameters,
        "in_features": in_features,
        "out_features": out_features,
        "depth": depth,
    }
    for name, value in given.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")

    def size(width: int) -> int:
        return dense_size([in_features, *[width] * depth, out_features], bias=bias)

    return _closest(size, parameters)


def dense_narrow_sizes(
    parameters: int, sizes: Sequence[int], *, bias: bool = True
) -> tuple[int, ...]:
    """Scale the hidden widths of a perceptron together until it has about ``parameters`` scalars.

    Args:
        parameters: Number of scalars to match.
        sizes: Input, hidden and output widths of the dense network, such as (64, 300, 100, 10).
        bias: Whether the layers have biases.

    Raises:
        ValueError: If a size is below 1 or there is no hidden layer.
    """
    if len(sizes) < 3 or min(sizes) < 1 or parameters < 1:
        raise ValueError(f"sizes must be three or more positive widths, got {tuple(sizes)}")
    largest = max(sizes[1:-1])

    def scaled(width: int) -> tuple[int, ...]:
        hidden = (max(1, round(n * width / largest)) for n in sizes[1:-1])
        return (sizes[0], *hidden, sizes[-1])

    return scaled(_closest(lambda width: dense_size(scaled(width), bias=bias), parameters))


def dense_size(sizes: Sequence[int], *, bias: bool = True) -> int:
    """Return the number of scalars of a dense perceptron with these layer sizes."""
    return sum((a + bias) * b for a, b in pairwise(sizes))


def _closest(size: Callable[[int], int], target: int) -> int:
    """Return the width whose size is closest to ``target``, for a size that grows with it."""
    high = 1
    while size(high) < target:
        high *= 2
    low = max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < target else (low, middle)
    return min((low, high), key=lambda width: abs(size(width) - target))
