"""Permutations as a finite type."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from neurosym.finite import Finite
from overparam.errors import InputError


@dataclass(frozen=True)
class Perm(Finite):
    """Permutations of ``0..k-1`` as tuples, in lexicographic order; at most 10 items.

    Raises:
        InputError: If ``k`` is not in 1..10.
    """

    k: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 10:
            raise InputError(f"k must lie in 1..10, got {self.k}")

    @property
    def proper(self) -> int:
        """``k!``."""
        return math.factorial(self.k)

    def _index(self, value: Any) -> int:
        rest, index = list(range(self.k)), 0
        if len(value) != self.k:
            raise ValueError
        for item in value:
            place = rest.index(item)
            index = index * len(rest) + place
            del rest[place]
        return index

    def _value(self, index: int) -> tuple[int, ...]:
        rest, value = list(range(self.k)), []
        for left in range(self.k, 0, -1):
            place, index = divmod(index, math.factorial(left - 1))
            value.append(rest.pop(place))
        return tuple(value)

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return permutations(range(self.k))

    def _show(self, value: Any) -> str:
        return "perm" + "".join(f"-{item}" for item in value)

    def __str__(self) -> str:
        return f"perm[{self.k}]"
