"""Primitives that put composite values together and take them apart.

They compute nothing: on registers held by their parts they are mere wiring. ``Select`` is a choice
among parts by a position.
"""

from typing import Any

import numpy as np

from neurosym.composite import Grid, List, Product, Record
from neurosym.finite import Finite
from neurosym.primitive import Primitive
from neurosym.types import Type
from overparam.errors import InputError


class Pack(Primitive):
    """A composite value from its components: list items, grid cells row by row, record fields.

    Args:
        name: Its name in programs.
        type: What it makes; a list gets exactly as many items as it may have.
        cost: Its share of a program's length.
    """

    python_form = "plain"

    def __init__(self, name: str, type: List | Product, *, cost: float | int = 1.0) -> None:
        if isinstance(type, List):
            parts: tuple[Type, ...] = (type.element,) * type.max_len
        else:
            parts = type.factors
        self.whole = type
        names = [f"{{{n}}}" for n in range(len(parts))]
        if isinstance(type, Grid):
            cols = type.cols
            names = [_tuple(names[n : n + cols]) for n in range(0, len(names), cols)]
        python = _tuple(names)
        super().__init__(
            name, parts, type, self._together, cost=cost, python=python, tabulate=False
        )

    def _together(self, *parts: Any) -> Any:
        return parts if isinstance(self.whole, List) else self.whole.assemble(parts)

    def rows(self, *arguments: np.ndarray) -> np.ndarray:
        """Indices of the values whose components have these indices."""
        if isinstance(self.whole, List):
            return self.whole.join(np.asarray(self.whole.max_len), arguments)
        return self.whole.join(arguments)


class Part(Primitive):
    """One field of a record, or one cell of a grid.

    Args:
        name: Its name in programs.
        type: What it takes apart.
        part: Name of the field, or the cell as ``(row, column)``.
        cost: Its share of a program's length.

    Raises:
        InputError: If there is no such part.
    """

    python_form = "plain"

    def __init__(
        self,
        name: str,
        type: Record | Grid,
        part: str | tuple[int, int],
        *,
        cost: float | int = 1.0,
    ) -> None:
        self.whole = type
        if isinstance(type, Record):
            names = [field for field, _ in type.fields]
            if part not in names:
                raise InputError(f"{type} has the fields {', '.join(names)}, not {part!r}")
            self.place, python = names.index(str(part)), f"{{0}}[{names.index(str(part))}]"
        else:
            row, col = part if isinstance(part, tuple) else (-1, -1)
            if not (0 <= int(row) < type.rows and 0 <= int(col) < type.cols):
                raise InputError(f"{type} has no cell {part}")
            self.place, python = int(row) * type.cols + int(col), f"{{0}}[{row}][{col}]"
        super().__init__(
            name, (type,), type.factors[self.place], self._taken, cost=cost, python=python,
            tabulate=False,
        )  # fmt: skip

    def _taken(self, value: Any) -> Any:
        return self.whole.components(value)[self.place]

    def rows(self, *arguments: np.ndarray) -> np.ndarray:
        """Indices of the part."""
        return self.whole.split(arguments[0])[self.place]


class Select(Primitive):
    """The cell of a grid or the item of a list at a position, counted from 0.

    Args:
        name: Its name in programs.
        type: Where to look.
        position: Type of the position; its values by index are the cells, row by row.
        beyond: What a list gives past its end.
        cost: Its share of a program's length.

    Raises:
        InputError: If there are not as many positions as cells, or ``beyond`` is no item.
    """

    python_form = "plain"

    def __init__(
        self, name: str, type: Grid | List, position: Finite, *, beyond: Any = None,
        cost: float | int = 1.0,
    ) -> None:  # fmt: skip
        element = type.element
        assert isinstance(element, Finite)
        self.whole, self.position, self.beyond = type, position, beyond
        self.element, python = element, None
        if isinstance(type, Grid):
            if position.size != type.rows * type.cols:
                raise InputError(f"{name} needs {type.rows * type.cols} positions, got {position}")
        else:
            self._beyond = element.index(beyond)
        super().__init__(
            name, (type, position), element, self._at_position, cost=cost, tabulate=False
        )
        values = position.values()
        if values == tuple(range(len(values))):
            python = f"{{0}}[{{1}}] if {{1}} < len({{0}}) else {beyond!r}"
            if isinstance(type, Grid):
                python = f"{{0}}[{{1}} // {type.cols}][{{1}} % {type.cols}]"
        self.python = python

    def _at_position(self, value: Any, position: Any) -> Any:
        place = self.position.index(position)
        if isinstance(self.whole, Grid):
            return self.whole.components(value)[place]
        return value[place] if place < len(value) else self.beyond

    def rows(self, *arguments: np.ndarray) -> np.ndarray:
        """Indices of the parts at the positions."""
        value, position = arguments
        if isinstance(self.whole, Grid):
            cells = np.broadcast_arrays(position, *self.whole.split(value))
            return np.take_along_axis(np.stack(cells[1:]), np.asarray(cells[0])[None], 0)[0]
        length, items = self.whole.split(value)
        found = np.asarray(self._beyond)
        for place, item in enumerate(items):
            found = np.where((position == place) & (place < length), item, found)
        return found


def _tuple(items: list[str]) -> str:
    """Source of a tuple."""
    return f"({', '.join(items)}{',' * (len(items) == 1)})"
