"""Values of one type that programs can have, each behaviour once, with the cheapest term for it.

A behaviour is a row: the index of the value on every tuple of inputs looked at. Rows are told
apart by 64-bit hashes; among ten million behaviours two share a hash with probability 3e-6.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurosym.finite import Finite
from neurosym.primitive import Primitive


@dataclass(frozen=True)
class Origin:
    """How a stretch of entries was made: a primitive and, per entry, its arguments' entries."""

    primitive: Primitive | None  # None for an input
    arguments: np.ndarray  # (arity, entries), or the number of the input, (1, 1)


class Bank:
    """Behaviours of one type by cost.

    Args:
        type: Their type.
        length: Number of tuples of inputs.

    Attributes:
        levels: For every cost with entries, the first and one past the last of them.
    """

    def __init__(self, type: Finite, length: int) -> None:
        self.type = type
        self.length = length
        self.dtype = np.min_scalar_type(max(type.size - 1, 0))
        self.levels: dict[int, tuple[int, int]] = {}
        self.count = 0
        self._rows = np.empty((16, length), self.dtype)
        self._known = np.empty(0, np.uint64)
        self._origins: list[tuple[int, Origin]] = []

    @property
    def rows(self) -> np.ndarray:
        """All behaviours, ``(entries, tuples)``."""
        return self._rows[: self.count]

    @property
    def nbytes(self) -> int:
        """Memory of the rows."""
        return self._rows.nbytes

    def add(self, level: int, rows: np.ndarray, origin: Origin) -> np.ndarray:
        """Keep the rows that are new; their places in ``rows``, in order.

        Args:
            level: Their cost; never less than that of earlier entries.
            rows: Behaviours, ``(n, tuples)``.
            origin: How they were made.
        """
        hashes, first = np.unique(hashed(rows), return_index=True)
        places = np.searchsorted(self._known, hashes)
        if len(self._known):
            held = self._known[np.minimum(places, len(self._known) - 1)] == hashes
            hashes, first, places = hashes[~held], first[~held], places[~held]
        if not len(first):
            return first
        self._known = np.insert(self._known, places, hashes)
        first.sort()
        end = self.count + len(first)
        if end > len(self._rows):
            grown = np.empty((max(end, 2 * len(self._rows)), self.length), self.dtype)
            grown[: self.count] = self.rows
            self._rows = grown
        self._rows[self.count : end] = rows[first]
        self._origins.append((self.count, Origin(origin.primitive, origin.arguments[:, first])))
        start = self.levels.get(level, (self.count, end))[0]
        self.levels[level] = (start, end)
        self.count = end
        return first

    def origin(self, entry: int) -> tuple[Primitive | None, Sequence[int]]:
        """The primitive of an entry and its arguments' entries (an input: None and its number)."""
        low, high = 0, len(self._origins)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._origins[middle][0] <= entry else (low, middle)
        start, origin = self._origins[low]
        return origin.primitive, [int(a) for a in origin.arguments[:, entry - start]]


def hashed(rows: np.ndarray) -> np.ndarray:
    """64-bit hashes of the rows of an array of unsigned integers."""
    count, length = rows.shape
    width = rows.dtype.itemsize
    padded = -(-length * width // 8) * 8 // width
    if padded != length:
        wide = np.zeros((count, padded), rows.dtype)
        wide[:, :length] = rows
        rows = wide
    words = np.ascontiguousarray(rows).view(np.uint64)
    weights = np.random.default_rng(0x5EED).integers(0, 2**64, words.shape[1], dtype=np.uint64)
    # multiply and shift spread every bit of a word over it before the words are summed
    words = (words ^ (words >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    words ^= words >> np.uint64(29)
    words *= weights | np.uint64(1)
    words ^= words >> np.uint64(32)
    return words.sum(axis=1, dtype=np.uint64)
