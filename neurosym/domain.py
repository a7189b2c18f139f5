"""What the inputs of a program may be, and arrays of all or some of their tuples."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from neurosym.finite import Finite
from neurosym.types import Type
from overparam.errors import InputError

LARGEST = 1_000_000
"""Tuples up to which a domain counts as small enough to be looked at whole."""


class Input:
    """An input of programs: its type and the values it may take.

    A digit 0..9 that is added up to 18 has the type ``Int(0, 18)`` and the values ``range(10)``.

    Args:
        type: Type of the register that holds it.
        values: Some of the type's values; all but ``BOTTOM`` if left out.

    Raises:
        InputError: If there is no value, one occurs twice or is not of the type.
    """

    def __init__(self, type: Type, values: Iterable[Any] | None = None) -> None:
        self.type = type
        self.chosen = None if values is None else tuple(values)
        if self.chosen is not None:
            if not isinstance(type, Finite):
                raise InputError(f"values of an input need a finite type, got {type}")
            indices = [type.index(value) for value in self.chosen]
            if not indices or len(set(indices)) < len(indices):
                raise InputError(f"values of an input must be distinct, got {self.chosen}")
            self._indices = np.array(indices, dtype=np.int64)

    @property
    def size(self) -> int:
        """Number of values.

        Raises:
            InputError: If the type is not finite.
        """
        if self.chosen is not None:
            return len(self.chosen)
        if not isinstance(self.type, Finite) or not self.type.is_finite:
            raise InputError(f"an input of type {self.type} has no list of values")
        return self.type.proper

    def at(self, places: np.ndarray) -> np.ndarray:
        """Indices of the values at these places of the list of values."""
        return np.asarray(places) if self.chosen is None else self._indices[places]

    def admits(self, value: Any) -> bool:
        """Whether it may take ``value``."""
        if not isinstance(self.type, Finite):
            return True
        if self.chosen is not None:
            return self.type.index(value) in self._indices
        return 0 <= self.type.index(value) < self.type.proper

    def __repr__(self) -> str:
        some = "" if self.chosen is None else f", {self.size} values"
        return f"Input({self.type}{some})"


class Domain:
    """All tuples of values that the inputs of a program may take.

    Args:
        inputs: One per input; a type stands for all its values.
    """

    def __init__(self, inputs: Sequence[Input | Type]) -> None:
        self.inputs = tuple(i if isinstance(i, Input) else Input(i) for i in inputs)

    @property
    def size(self) -> int:
        """Number of tuples."""
        return math.prod(i.size for i in self.inputs)

    def at(self, places: Sequence[np.ndarray]) -> np.ndarray:
        """Tuples of indices, ``(inputs, n)``, from places in each input's list of values."""
        columns = [i.at(place) for i, place in zip(self.inputs, places, strict=True)]
        return np.stack(columns) if columns else np.zeros((0, 1), dtype=np.int64)

    def rows(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Tuples ``start..stop-1`` as indices, ``(inputs, n)``, in lexicographic order.

        Raises:
            InputError: If these are more than a million.
        """
        stop = self.size if stop is None else min(stop, self.size)
        if stop - start > LARGEST:
            raise InputError(f"{stop - start} tuples are more than fit into one array")
        rest = np.arange(start, stop)
        places = []
        for i in reversed(self.inputs):
            rest, place = np.divmod(rest, i.size)
            places.append(place)
        return self.at(places[::-1])

    def sample(self, count: int, *, seed: int = 0) -> np.ndarray:
        """``count`` random tuples as indices, ``(inputs, count)``, with repetition."""
        random = np.random.default_rng(seed)
        return self.at([random.integers(0, i.size, count) for i in self.inputs])

    def corners(self, limit: int = 4096) -> np.ndarray:
        """Tuples of first and last values, at most ``limit`` of them, ``(inputs, n)``."""
        ends = [np.unique([0, i.size - 1]) for i in self.inputs]
        count = min(math.prod(map(len, ends)), limit)
        rest, places = np.arange(count), []
        for end in ends:
            rest, place = np.divmod(rest, len(end))
            places.append(end[place])
        return self.at(places)

    def values(self, rows: np.ndarray) -> list[tuple[Any, ...]]:
        """The tuples of values with these indices, ``(inputs, n)``."""
        columns = [_values(i.type, row) for i, row in zip(self.inputs, rows, strict=True)]
        return list(zip(*columns, strict=True)) if columns else [()] * rows.shape[1]

    def __repr__(self) -> str:
        return f"Domain({', '.join(map(repr, self.inputs))})"


def _values(type_: Type, indices: np.ndarray) -> list[Any]:
    """Values with these indices, each distinct one made once."""
    if not isinstance(type_, Finite):
        raise InputError(f"an input of type {type_} has no list of values")
    distinct, places = np.unique(indices, return_inverse=True)
    made = [type_.value(index) for index in distinct]
    return [made[place] for place in places.tolist()]
