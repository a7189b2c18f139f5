"""Machines with a head on a small grid: move, and add up or apply what lies under the head.

A machine is a position and a number; an instruction makes a machine of a machine, so a program is a
chain of instructions and every line of it keeps its own machine. ``add`` and ``apply`` are library
functions over the parts of the machine: whoever relaxes programs can expand them to small tables.

Source: Gaunt et al., "Differentiable programs with neural libraries", arXiv:1611.02109, tasks
ADD2x2 and APPLY2x2; the instruction sets here are reconstructions.
"""

import operator
from collections.abc import Sequence

from neurosym.composite import Grid, Record
from neurosym.definition import Definition
from neurosym.domain import Input
from neurosym.finite import Finite, Int, Symbol
from neurosym.language import Language
from neurosym.languages.arithmetic import digits
from neurosym.primitive import Primitive
from neurosym.reader import read
from neurosym.structure import Pack, Part, Select
from neurosym.types import Type
from overparam.errors import InputError

DIRECTIONS = {"north": (-1, 0), "east": (0, 1), "south": (1, 0), "west": (0, -1)}
OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda a, b: a // b if b else 0,
}
"""Glyphs and what they do; division rounds down, and by zero gives 0."""
COMBINE = (
    "def _combine(glyph, a, b):\n"
    "    if glyph == '/':\n"
    "        return a // b if b else 0\n"
    "    return a + b if glyph == '+' else a - b if glyph == '-' else a * b\n"
)
_MOVED = (
    "def _moved(machine, down, right, rows, cols):\n"
    "    row = min(max(machine[0] // cols + down, 0), rows - 1)\n"
    "    col = min(max(machine[0] % cols + right, 0), cols - 1)\n"
    "    return (row * cols + col, *machine[1:])\n"
)


def moves(machine: Record, rows: int, cols: int) -> list[Primitive]:
    """``move_north``... of a machine's first field, a cell number; the border stops the head."""

    def move(name: str, down: int, right: int) -> Primitive:
        def moved(state: tuple[int, int]) -> tuple[int, int]:
            row, col = divmod(state[0], cols)
            row = min(max(row + down, 0), rows - 1)
            col = min(max(col + right, 0), cols - 1)
            return (row * cols + col, *state[1:])

        return Primitive(
            f"move_{name}", (machine,), machine, moved, helpers=[_MOVED],
            python=f"_moved({{0}}, {down}, {right}, {rows}, {cols})",
        )  # fmt: skip

    return [move(name, *step) for name, step in DIRECTIONS.items()]


def _machine(values: Int, rows: int, cols: int) -> Record:
    return Record("machine", (("position", Int(0, rows * cols - 1)), ("value", values)))


def _parts(machine: Record, grid: Grid) -> Language:
    """What ``add`` and ``apply`` are made of."""
    position = machine.factors[0]
    return Language(
        [
            Pack("machine", machine),
            Part("position", machine, "position"),
            Part("value", machine, "value"),
            Select("cell", grid, position),
        ],
        name="parts",
    )


def _define(language: Language, name: str, text: str, type_: Type) -> Definition:
    return Definition(name, read(language, text, type=type_)[0])


def _shared(machine: Record, rows: int, cols: int) -> list[Primitive]:
    """Instructions of both machines; reading the value at the end costs nothing."""
    return [
        *moves(machine, rows, cols),
        Primitive("noop", (machine,), machine, lambda state: state, python="{0}"),
        Part("value", machine, "value", cost=0.0),
    ]


def add_machine(
    *, rows: int = 2, cols: int = 2, hi: int = 18, classes: int = 10, overflow: str = "modulo"
) -> Language:
    """ADD2x2: from ``start``, value 0 at the top left, move and ``(add machine grid)``.

    ``(value (add (move_east (add start grid)) grid))`` with ``grid = (cells x0 x1 x2 x3)`` sums the
    top row.

    Args:
        rows: Of the grid.
        cols: Of the grid.
        hi: Largest value of the machine.
        classes: Cells are digits ``0..classes-1``, inputs row by row.
        overflow: What becomes of larger values; see ``Int``.
    """
    values = Int(0, hi, overflow)
    digit = Int(0, classes - 1)
    machine, grid = _machine(values, rows, cols), Grid(digit, rows, cols)
    plus = Primitive("plus", (values, digit), values, operator.add, python="{0} + {1}")
    add = _define(
        _parts(machine, grid).extend(plus),
        "add",
        "(lam (lam (machine (position $1) (plus (value $1) (cell $0 (position $1))))))",
        _instruction(machine, grid),
    )
    return Language(
        [
            *_shared(machine, rows, cols),
            add,
            Primitive("start", (), machine, (0, 0), cost=0.0),
            Pack("cells", grid, cost=0.0),
        ],
        inputs=digits(digit, rows * cols, classes=classes),
        output=values,
        name=f"add{rows}x{cols}",
    )


def apply_machine(
    *,
    rows: int = 2,
    cols: int = 2,
    hi: int = 18,
    operands: int = 3,
    classes: int = 10,
    glyphs: Sequence[str] = ("+", "-", "*", "/"),
) -> Language:
    """APPLY2x2: ``(begin x4)`` puts a number in, ``(apply machine grid x5)`` combines it with more.

    Args:
        rows: Of the grid.
        cols: Of the grid.
        hi: Values are counted modulo ``hi + 1``.
        operands: Numbers beside the grid: the inputs after its cells.
        classes: These numbers are ``0..classes-1``.
        glyphs: Operators the cells may show.

    Raises:
        InputError: If a glyph has no meaning.
    """
    unknown = [glyph for glyph in glyphs if glyph not in OPERATORS]
    if unknown:
        raise InputError(f"glyphs must be among {', '.join(OPERATORS)}, got {unknown[0]!r}")
    values = Int(0, hi, "modulo")
    glyph = Symbol("operator", tuple(glyphs))
    machine, grid = _machine(values, rows, cols), Grid(glyph, rows, cols)
    combine = Primitive(
        "combine", (glyph, values, values), values, lambda o, a, b: OPERATORS[o](a, b),
        python="_combine({0}, {1}, {2})",
        helpers=[COMBINE],
    )  # fmt: skip
    parts = _parts(machine, grid).extend(combine)
    apply = _define(
        parts,
        "apply",
        "(lam (lam (lam (machine (position $2) (combine (cell $1 (position $2)) (value $2) $0)))))",
        _instruction(machine, grid, values),
    )
    begin = Primitive("begin", (values,), machine, lambda value: (0, value), python="(0, {0})")
    return Language(
        [*_shared(machine, rows, cols), apply, begin, Pack("cells", grid, cost=0.0)],
        inputs=[
            *[Input(glyph)] * (rows * cols),
            *digits(values, operands, classes=classes),
        ],
        output=values,
        name=f"apply{rows}x{cols}",
    )


def _instruction(machine: Record, *more: Finite) -> Type:
    """Type of an instruction: of a machine and more, a machine."""
    from neurosym.types import function

    return function((machine, *more), machine)
