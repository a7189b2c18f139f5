"""Finite types: integers, truth values, symbols.

A finite type lists its values in a fixed order, so that a value is also an index: tables, arrays of
all input tuples and relaxed registers use indices, people see values. A type may hold one more
state, ``BOTTOM``, "no value": always its last index.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from neurosym.types import Type
from overparam.errors import InputError

BOTTOM = None
"""The value that stands for "no value": it absorbs, and counts as an error."""
OVERFLOWS = ("error", "modulo", "saturate", "bottom")
MOST_LISTED = 10_000_000  # values of one type held in memory at a time


class Finite(Type):
    """A type whose values can be listed: ``proper`` values, then ``BOTTOM`` if there is one."""

    @property
    def proper(self) -> int:
        """Number of values other than ``BOTTOM``."""
        raise NotImplementedError

    def _index(self, value: Any) -> int:
        """Index of a proper value; ``LookupError``, ``TypeError`` or ``ValueError`` if none."""
        raise NotImplementedError

    def _value(self, index: int) -> Any:
        """Proper value number ``index``."""
        raise NotImplementedError

    def _show(self, value: Any) -> str:
        """A proper value as one token of a program."""
        return str(value)

    @property
    def is_finite(self) -> bool:
        """Whether the values can be listed, as those of its parts."""
        return all(part.is_finite for part in self.parts)

    @cached_property
    def size(self) -> int:
        """Number of values, ``BOTTOM`` included."""
        return self.proper + self.has_bottom

    @property
    def bottom(self) -> int | None:
        """Index of ``BOTTOM``, the last, or None."""
        return self.proper if self.has_bottom else None

    def index(self, value: Any) -> int:
        """Index of a value.

        Raises:
            InputError: If it is no value of this type.
        """
        if value is BOTTOM and self.has_bottom:
            return self.proper
        try:
            return self._index(value)
        except (LookupError, TypeError, ValueError):
            raise InputError(f"{value!r} is no value of {self}") from None

    def value(self, index: int | np.integer) -> Any:
        """Value number ``index``.

        Raises:
            InputError: If there is none.
        """
        if not 0 <= index < self.size:
            raise InputError(f"index must lie in 0..{self.size - 1} for {self}, got {index}")
        return BOTTOM if index == self.proper else self._value(int(index))

    def values(self) -> tuple[Any, ...]:
        """All values by index, ``BOTTOM`` last.

        Raises:
            InputError: If they are more than 10 million.
        """
        if self.size > MOST_LISTED:
            raise InputError(f"{self} has {self.size} values, more than can be listed")
        return tuple(self)

    def __iter__(self) -> Iterator[Any]:
        yield from map(self._value, range(self.proper))
        if self.has_bottom:
            yield BOTTOM

    def show(self, value: Any) -> str:
        """A value as one token of a program."""
        return "bottom" if value is BOTTOM else self._show(value)

    def admit(self, value: Any) -> Any:
        """``value`` as a value of this type.

        Raises:
            InputError: If it is none.
        """
        return self.value(self.index(value))

    def admitted_index(self, value: Any) -> int:
        """Index of ``admit(value)``."""
        return self.index(value)


@dataclass(frozen=True)
class Int(Finite):
    """The integers ``lo..hi``.

    Args:
        lo: Smallest value.
        hi: Largest value.
        overflow: What becomes of a result outside: ``error`` refuses the primitive, ``modulo``
            wraps around, ``saturate`` takes the nearest value, ``bottom`` adds ``BOTTOM``.

    Raises:
        InputError: If ``hi < lo`` or ``overflow`` is none of these.
    """

    lo: int
    hi: int
    overflow: str = "error"

    def __post_init__(self) -> None:
        if self.hi < self.lo:
            raise InputError(f"hi must be at least lo, got lo={self.lo}, hi={self.hi}")
        if self.overflow not in OVERFLOWS:
            raise InputError(f"overflow must be one of {OVERFLOWS}, got {self.overflow!r}")

    @property
    def proper(self) -> int:
        """Number of integers."""
        return self.hi - self.lo + 1

    @property
    def has_bottom(self) -> bool:
        """Whether overflow gives ``BOTTOM``."""
        return self.overflow == "bottom"

    def _index(self, value: Any) -> int:
        if isinstance(value, float) or value != int(value) or not self.lo <= value <= self.hi:
            raise ValueError
        return int(value) - self.lo

    def _value(self, index: int) -> int:
        return self.lo + index

    def admit(self, value: Any) -> Any:
        """``value``, brought into the range by the overflow policy."""
        if value is BOTTOM and self.has_bottom:
            return BOTTOM
        if not isinstance(value, int | np.integer):
            raise InputError(f"{value!r} is no integer of {self}")
        if self.lo <= value <= self.hi:
            return int(value)
        if self.overflow == "error":
            raise InputError(f"{value} lies outside {self.lo}..{self.hi}")
        if self.overflow == "modulo":
            return (int(value) - self.lo) % self.proper + self.lo
        return BOTTOM if self.has_bottom else min(max(int(value), self.lo), self.hi)

    def admitted_index(self, value: Any) -> int:
        """Index of ``value`` once the overflow policy is applied."""
        return self.index(self.admit(value))

    def __str__(self) -> str:
        policy = "" if self.overflow == "error" else f" {self.overflow}"
        return f"int[{self.lo}..{self.hi}{policy}]"


@dataclass(frozen=True)
class Bool(Finite):
    """False and true, in this order; ``BOTTOM`` too on request."""

    bottomed: bool = False

    @property
    def proper(self) -> int:
        """Two."""
        return 2

    @property
    def has_bottom(self) -> bool:
        """Whether it was asked for."""
        return self.bottomed

    def _index(self, value: Any) -> int:
        if not isinstance(value, bool | np.bool_):
            raise TypeError
        return int(value)

    def _value(self, index: int) -> bool:
        return bool(index)

    def _show(self, value: Any) -> str:
        return "true" if value else "false"

    def __str__(self) -> str:
        return "bool|bottom" if self.bottomed else "bool"


@dataclass(frozen=True)
class Symbol(Finite):
    """A named set of labels, such as actions or glyphs.

    Raises:
        InputError: If there is no label, one occurs twice or one is no single token.
    """

    name: str
    labels: tuple[str, ...]
    bottomed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise InputError(f"labels of {self.name} must be distinct, got {self.labels}")
        for label in self.labels:
            if not label or set(label) & set("() \t\n"):
                raise InputError(f"labels of {self.name} must be single words, got {label!r}")

    @property
    def proper(self) -> int:
        """Number of labels."""
        return len(self.labels)

    @property
    def has_bottom(self) -> bool:
        """Whether it was asked for."""
        return self.bottomed

    def _index(self, value: Any) -> int:
        return self.labels.index(value)

    def _value(self, index: int) -> str:
        return self.labels[index]

    def __str__(self) -> str:
        return f"{self.name}|bottom" if self.bottomed else self.name


def all_finite(types: Iterable[Type]) -> tuple[Finite, ...] | None:
    """The types, known to be finite; None if one is not."""
    found = []
    for type_ in types:
        if not isinstance(type_, Finite) or not type_.is_finite:
            return None
        found.append(type_)
    return tuple(found)
