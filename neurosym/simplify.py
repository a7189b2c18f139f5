"""Rewriting of straight-line programs to fewer lines with the same outputs.

No identity is written down here: what a line does for the arguments it has, constants fixed and
equal registers tied, is read off its primitive's table. If that is one of its arguments, the line
is a copy (``x + 0``, ``max(x, x)``, ``if c a a``); if it is one value, the line is a constant.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from neurosym.finite import Finite
from neurosym.straight_line import Block, Line, StraightLine, execute, registers_read


def simplify(lines: StraightLine, *, rows: np.ndarray | None = None) -> StraightLine:
    """Remove lines until no pass finds one more.

    Args:
        lines: A program.
        rows: Tuples of input indices, ``(inputs, n)``; if given, registers that agree on all of
            them count as equal, and the result is only promised to agree there.

    Returns:
        A program with the same output on every tuple of inputs (of ``rows``).
    """
    before = -1
    while before != len(lines):
        before = len(lines)
        lines = without_copies(lines)
        if rows is not None:
            lines = without_twins(lines, rows)
        lines = without_dead(lines)
    return lines


def without_dead(lines: StraightLine) -> StraightLine:
    """Drop the lines without a say in the output, in blocks too."""
    return _Pass(lines).result(lambda line, number, seen: None, dead=True)


def without_copies(lines: StraightLine) -> StraightLine:
    """Fold constants, skip copies, join lines that are written twice, order commuting arguments."""
    constants = {
        len(lines.inputs) + number: int(p.rows())
        for number, p in enumerate(lines.language.constants)
        if p.output.is_finite
    }
    registers = {
        (lines.language.constants[r - len(lines.inputs)].output, index): r
        for r, index in reversed(constants.items())
    }

    def found(line: Line, number: int, seen: dict[Line, int]) -> int | None:
        known = _reduced(line, constants)
        if isinstance(known, tuple):
            return registers.get((line.primitive.output, known[0]))
        return known if known is not None else seen.get(line)

    return _Pass(lines).result(found)


def without_twins(lines: StraightLine, rows: np.ndarray) -> StraightLine:
    """Read the first of several registers that agree on ``rows``; blocks stay as they are."""
    registers: list[Any] = [*rows, *(p.rows() for p in lines.language.constants)]
    first: dict[tuple[Any, bytes], int] = {}
    twins: dict[int, int] = {}
    for register, type_ in enumerate(lines.types):
        if register >= lines.first_line:
            line = lines.lines[register - lines.first_line]
            execute([line], register, registers, rows=True)
        values = np.broadcast_to(registers[register], rows.shape[1:]).astype(np.int64)
        twins[register] = first.setdefault((type_, values.tobytes()), register)

    def found(line: Line, number: int, seen: dict[Line, int]) -> int | None:
        twin = twins[number]
        return twin if twin != number else None

    return _Pass(lines).result(found, outermost=True)


def _reduced(line: Line, constants: dict[int, int]) -> int | tuple[int] | None:
    """What a line's table says: a register it copies, ``(index,)`` of a constant, or None."""
    table = line.primitive.table
    if table is None or any(isinstance(a, Block) for a in line.arguments):
        return None
    arguments = [a for a in line.arguments if isinstance(a, int)]
    axes = list(dict.fromkeys(a for a in arguments if a not in constants))
    # one index per axis of the table: fixed for a constant, shared by equal registers
    sizes = {
        a: type_.size
        for a, type_ in zip(arguments, line.primitive.inputs, strict=True)
        if isinstance(type_, Finite)
    }
    grid = dict(zip(axes, np.ix_(*(np.arange(sizes[a]) for a in axes)), strict=True))
    reduced = table[tuple(constants[a] if a in constants else grid[a] for a in arguments)]
    if (reduced == reduced.flat[0]).all():
        return (int(reduced.flat[0]),)
    types = dict(zip(arguments, line.primitive.inputs, strict=True))
    for a in axes:
        if types[a] == line.primitive.output and (reduced == grid[a]).all():
            return a
    return None


class _Pass:
    """One walk over the lines that renumbers the registers it keeps."""

    def __init__(self, lines: StraightLine) -> None:
        self.lines = lines

    def result(
        self,
        found: Callable[[Line, int, dict[Line, int]], int | None],
        *,
        dead: bool = False,
        outermost: bool = False,
    ) -> StraightLine:
        """The program after one walk.

        Args:
            found: Called with a line whose arguments are already new, its old register and the
                new lines so far; returns the new register to read instead, or None to keep it.
            dead: Whether to drop lines without a say in the output.
            outermost: Whether ``found`` speaks of old registers, and not of lines in blocks.
        """
        old = self.lines
        where = {register: register for register in range(old.first_line)}
        kept, output = self.walk(
            old.lines, old.output, where, old.first_line, old.first_line, {}, found, dead, outermost
        )
        return StraightLine(old.language, old.inputs, kept, output)

    def walk(
        self,
        lines: Sequence[Line],
        output: int,
        where: dict[int, int],
        old: int,
        new: int,
        seen: dict[Line, int],
        found: Callable[[Line, int, dict[Line, int]], int | None],
        dead: bool,
        outermost: bool,
    ) -> tuple[tuple[Line, ...], int]:
        """New lines and output of a scope; ``old`` and ``new`` are its first registers."""
        alive = _alive(lines, output, old) if dead else [True] * len(lines)
        kept: list[Line] = []
        for place, line in enumerate(lines):
            if not alive[place]:
                continue
            arguments: list[int | Block] = []
            for argument in line.arguments:
                if not isinstance(argument, Block):
                    arguments.append(where[argument])
                    continue
                # a block's registers follow all those before its line
                start, begin = old + place, new + len(kept)
                count = len(argument.parameters)
                inner = where | {start + n: begin + n for n in range(count)}
                body, last = self.walk(
                    argument.lines, argument.output, inner, start + count, begin + count,
                    dict(seen), _never if outermost else found, dead, outermost,
                )  # fmt: skip
                arguments.append(Block(argument.parameters, body, last))
            if line.primitive.commutative and not dead and not outermost:
                arguments.sort(key=lambda a: a if isinstance(a, int) else -1)
            line = replace(line, arguments=tuple(arguments))
            twin = found(line, old + place, seen)
            if twin is not None and outermost:
                twin = where[twin]
            if twin is None:
                twin = new + len(kept)
                kept.append(line)
            seen.setdefault(line, twin)
            where[old + place] = twin
        return tuple(kept), where[output]


def _never(line: Line, number: int, seen: dict[Line, int]) -> int | None:
    return None


def _alive(lines: Sequence[Line], output: int, base: int) -> list[bool]:
    needed = {output}
    for place in range(len(lines) - 1, -1, -1):
        if base + place in needed:
            needed |= registers_read(lines[place])
    return [base + place in needed for place in range(len(lines))]
