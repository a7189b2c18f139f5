"""Finite types made of others: lists, grids and records.

Each can be taken apart on arrays of indices (``split``) and put together again (``join``), so that
a register of composite type may be held as one index or as the indices of its parts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from neurosym.finite import Finite
from neurosym.types import Type
from overparam.errors import InputError

LARGEST = 2**62  # indices are 64-bit integers
TABULATED = 200_000  # lists of a type up to which their parts are looked up, not divided out


def finite(part: Type) -> Finite:
    """``part``, known to be finite.

    Raises:
        InputError: If it is not.
    """
    if not (isinstance(part, Finite) and part.is_finite):
        raise InputError(f"{part} is no finite type")
    return part


class Product(Finite):
    """Tuples with one component from each factor, in lexicographic order."""

    @property
    def factors(self) -> tuple[Finite, ...]:
        """Type of each component."""
        raise NotImplementedError

    def components(self, value: Any) -> tuple[Any, ...]:
        """The components of a value, flat."""
        return tuple(value)

    def assemble(self, components: tuple[Any, ...]) -> Any:
        """The value with these components."""
        return components

    @cached_property
    def proper(self) -> int:
        """Product of the factors' sizes."""
        return math.prod(factor.size for factor in self.factors)

    def _index(self, value: Any) -> int:
        index = 0
        for factor, component in zip(self.factors, self.components(value), strict=True):
            index = index * factor.size + factor.index(component)
        return index

    def _value(self, index: int) -> Any:
        components = []
        for factor in reversed(self.factors):
            index, digit = divmod(index, factor.size)
            components.append(factor.value(digit))
        return self.assemble(tuple(reversed(components)))

    def split(self, indices: np.ndarray) -> list[np.ndarray]:
        """Indices of each component of the values with these ``indices``, any shape."""
        digits = []
        indices = np.asarray(indices, dtype=np.int64)
        for factor in reversed(self.factors):
            indices, digit = np.divmod(indices, factor.size)
            digits.append(np.asarray(digit))
        return digits[::-1]

    def join(self, components: Sequence[np.ndarray]) -> np.ndarray:
        """Indices of the values whose components have these indices; undoes ``split``."""
        index = np.zeros((), dtype=np.int64)
        for factor, component in zip(self.factors, components, strict=True):
            index = np.asarray(index * factor.size + component)
        return index


@dataclass(frozen=True)
class Grid(Product):
    """``rows`` times ``cols`` values of ``element``, as a tuple of rows.

    Raises:
        InputError: If a side is below 1.
    """

    element: Type
    rows: int
    cols: int

    def __post_init__(self) -> None:
        if min(self.rows, self.cols) < 1:
            raise InputError(f"sides must be at least 1, got {self.rows} x {self.cols}")

    @property
    def parts(self) -> tuple[Type, ...]:
        """The element's type."""
        return (self.element,)

    def with_parts(self, parts: Sequence[Type]) -> Type:
        """A grid of other elements."""
        return Grid(parts[0], self.rows, self.cols)

    @property
    def factors(self) -> tuple[Finite, ...]:
        """The element's type, once per cell, row after row."""
        return (finite(self.element),) * (self.rows * self.cols)

    def components(self, value: Any) -> tuple[Any, ...]:
        """Cells, row after row."""
        if len(value) != self.rows or any(len(row) != self.cols for row in value):
            raise ValueError
        return tuple(cell for row in value for cell in row)

    def assemble(self, components: tuple[Any, ...]) -> Any:
        """The grid with these cells."""
        n = self.cols
        return tuple(components[n * row : n * row + n] for row in range(self.rows))

    def _show(self, value: Any) -> str:
        shown = finite(self.element).show
        return "[" + ";".join(",".join(map(shown, row)) for row in value) + "]"

    def __str__(self) -> str:
        return f"grid[{self.element} {self.rows}x{self.cols}]"


@dataclass(frozen=True)
class Record(Product):
    """Tuples of named fields, such as the state of a machine.

    Args:
        name: Name of the type.
        fields: Pairs of a field's name and type, at least one.

    Raises:
        InputError: If there is no field or a name occurs twice.
    """

    name: str
    fields: tuple[tuple[str, Type], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple((name, type_) for name, type_ in self.fields))
        names = [name for name, _ in self.fields]
        if not names or len(set(names)) < len(names):
            raise InputError(f"fields of {self.name} must have distinct names, got {names}")

    @property
    def parts(self) -> tuple[Type, ...]:
        """Types of the fields."""
        return tuple(type_ for _, type_ in self.fields)

    def with_parts(self, parts: Sequence[Type]) -> Type:
        """A record with fields of other types."""
        names = [name for name, _ in self.fields]
        return Record(self.name, tuple(zip(names, parts, strict=True)))

    @property
    def factors(self) -> tuple[Finite, ...]:
        """Types of the fields."""
        return tuple(finite(type_) for _, type_ in self.fields)

    def _show(self, value: Any) -> str:
        shown = [factor.show(part) for factor, part in zip(self.factors, value, strict=True)]
        return "{" + ",".join(shown) + "}"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class List(Finite):
    """Tuples of at most ``max_len`` values of ``element``: shorter first, then lexicographic.

    Raises:
        InputError: If ``max_len`` is negative.
    """

    element: Type
    max_len: int

    def __post_init__(self) -> None:
        if self.max_len < 0:
            raise InputError(f"max_len must not be negative, got {self.max_len}")

    @property
    def parts(self) -> tuple[Type, ...]:
        """The element's type."""
        return (self.element,)

    def with_parts(self, parts: Sequence[Type]) -> Type:
        """Lists of other elements."""
        return List(parts[0], self.max_len)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Index of the first list of each length 0..max_len, and the number of lists."""
        size, starts = finite(self.element).size, [0]
        for length in range(self.max_len + 1):
            starts.append(starts[-1] + size**length)
        return tuple(starts)

    @property
    def proper(self) -> int:
        """Number of lists of all lengths."""
        return self.starts[-1]

    def _index(self, value: Any) -> int:
        element, index = finite(self.element), 0
        if isinstance(value, str) or len(value) > self.max_len:
            raise ValueError
        for item in value:
            index = index * element.size + element.index(item)
        return self.starts[len(value)] + index

    def _value(self, index: int) -> tuple[Any, ...]:
        element = finite(self.element)
        length = next(n for n in range(self.max_len + 1) if index < self.starts[n + 1])
        index, items = index - self.starts[length], []
        for _ in range(length):
            index, digit = divmod(index, element.size)
            items.append(element.value(digit))
        return tuple(reversed(items))

    def split(self, indices: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Lengths, and indices of the items: ``max_len`` arrays, 0 past a list's end."""
        if self.proper > LARGEST:
            raise InputError(f"{self} has too many values for 64-bit indices")
        if self.proper <= TABULATED:
            length, *items = self._parts_of_all
            return np.asarray(length[indices]), [np.asarray(item[indices]) for item in items]
        return self._computed(np.asarray(indices, dtype=np.int64))

    @cached_property
    def _parts_of_all(self) -> np.ndarray:
        length, items = self._computed(np.arange(self.proper))
        return np.stack([length, *items]).astype(np.int32)

    def _computed(self, indices: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        size = finite(self.element).size
        length = np.searchsorted(np.array(self.starts[1:]), indices, side="right")
        rest = indices - np.array(self.starts)[length]
        items = []
        for place in range(self.max_len):
            weight = size ** np.maximum(length - 1 - place, 0)
            items.append(np.where(place < length, rest // weight % size, 0))
        return length, items

    def join(self, length: np.ndarray, items: Sequence[np.ndarray]) -> np.ndarray:
        """Indices of the lists with these lengths and items; undoes ``split``."""
        size = finite(self.element).size
        index = np.zeros((), dtype=np.int64)
        for place, item in enumerate(items):
            index = np.where(place < length, index * size + item, index)
        return np.asarray(np.array(self.starts)[length] + index)

    def _show(self, value: Any) -> str:
        return "[" + ",".join(map(finite(self.element).show, value)) + "]"

    def __str__(self) -> str:
        return f"list[{self.element} {self.max_len}]"
