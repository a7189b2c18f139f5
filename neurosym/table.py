"""Index tables: what a function between finite types gives for every tuple of arguments."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neurosym.finite import Finite
from overparam.errors import InputError

LIMIT = 250_000
"""Entries up to which a callable is tabulated, unless its primitive says otherwise."""


def tabulated(
    inputs: Sequence[Finite], output: Finite, index: Callable[[tuple[Any, ...]], int]
) -> np.ndarray:
    """The table of output indices, one axis per input.

    Args:
        inputs: Types of the arguments.
        output: Type of the result.
        index: Gives the index of the result for argument values.
    """
    shape = tuple(type_.size for type_ in inputs)
    results = map(index, itertools.product(*(type_.values() for type_ in inputs)))
    table = np.fromiter(results, dtype=np.int64, count=math.prod(shape))
    return frozen(table.reshape(shape), output)


def frozen(table: np.ndarray, output: Finite) -> np.ndarray:
    """A read-only copy in the smallest type of unsigned integers."""
    table = table.astype(np.min_scalar_type(max(output.size - 1, 0)))
    table.flags.writeable = False
    return table


def checked(name: str, inputs: Sequence[Finite], output: Finite, table: np.ndarray) -> np.ndarray:
    """A table that a user wrote, if it fits the types.

    Raises:
        InputError: If its shape or an entry does not; the message has an example.
    """
    shape = tuple(type_.size for type_ in inputs)
    if table.shape != shape or not np.issubdtype(table.dtype, np.integer):
        raise InputError(
            f"table of {name} must hold integers of shape {shape}, got {table.dtype} {table.shape}"
        )
    wrong = np.argwhere((table < 0) | (table >= output.size))
    if len(wrong):
        values = [type_.value(i) for type_, i in zip(inputs, wrong[0], strict=True)]
        raise InputError(
            f"table of {name}: {example(name, values)} is {table[tuple(wrong[0])]}, no index of "
            f"{output} (0..{output.size - 1})"
        )
    return frozen(table, output)


def asymmetry(table: np.ndarray) -> tuple[int, int] | None:
    """Two arguments of a square table whose order matters, or None."""
    found = np.argwhere(table != table.T)
    return (int(found[0, 0]), int(found[0, 1])) if len(found) else None


def example(name: str, arguments: Sequence[Any]) -> str:
    """A call, for messages."""
    return f"{name}({', '.join(map(repr, arguments))})"
