"""A machine that runs along a strip of digits and operators, its program being labelled blocks.

A machine holds the head's position, a value, the pending operator and the label of the block to run
next. A block is an instruction followed by ``goto_if``; ``run`` starts at the first block and goes
on until the label is ``halt``. The strip is a list, so a program that is right for short strips can
be run on long ones: parse its text in the language of a longer strip.

Source: Gaunt et al., "Differentiable programs with neural libraries", arXiv:1611.02109, task MATH;
the instruction set here is a reconstruction.
"""

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from neurosym.composite import List, Record
from neurosym.control import If, Loop
from neurosym.definition import Definition
from neurosym.domain import Input
from neurosym.finite import Bool, Finite, Int, Symbol
from neurosym.language import Language
from neurosym.languages.grid_machine import COMBINE, OPERATORS
from neurosym.machine import Call, Control
from neurosym.primitive import Primitive
from neurosym.program import Program, parse
from neurosym.reader import read
from neurosym.structure import Pack, Part, Select
from neurosym.types import Arrow, Type, function
from overparam.errors import InputError

HALT, BLANK = "halt", "end"
_TEXTS = {
    "move": "(lam (machine (next (position $0)) (value $0) (pending $0) (label $0)))",
    "read": "(lam (lam (machine (position $1)"
    " (combine (pending $1) (value $1) (under $0 (position $1)))"
    " (pend (under $0 (position $1)) (pending $1)) (label $1))))",
    "goto_if": "(lam (lam (lam (lam"
    " (machine (position $0) (value $0) (pending $0) (if $3 $2 $1))))))",
    "at_end": "(lam (lam (is_end (under $0 (position $1)))))",
    "on_digit": "(lam (lam (is_digit (under $0 (position $1)))))",
}


class Switch(Control):
    """``(blocks m f g h)``: the function of the machine's label applied to the machine.

    Args:
        name: Its name in programs.
        machine: A record with the field ``label``, whose last value, ``halt``, has no function.
    """

    def __init__(self, name: str, machine: Record) -> None:
        self.machine = machine
        self.place = [field for field, _ in machine.fields].index("label")
        self.labels = machine.factors[self.place].values()
        chosen = ", ".join(f"{{{n}}}" for n in range(1, len(self.labels)))
        super().__init__(
            name,
            (machine, *[Arrow(machine, machine)] * (len(self.labels) - 1)),
            machine,
            python=f"_switch({{0}}, {self.place}, {self.labels[:-1]}, [{chosen}])",
            helpers=(
                "def _switch(machine, place, labels, blocks):\n"
                "    for label, block in zip(labels, blocks):\n"
                "        if machine[place] == label:\n"
                "            return block(machine)\n"
                "    return machine\n",
            ),
        )

    def values(self, machine: Any, *blocks: Any) -> Any:
        """The block's result, or the machine if it has halted."""
        for label, block in zip(self.labels, blocks, strict=False):
            if machine[self.place] == label:
                return Call(block, (machine,))
        return machine

    def over_rows(self, machine: np.ndarray, *blocks: Any) -> Generator[Call, Any, Any]:
        """Every block on every row, then row by row the right one."""
        label = self.machine.split(machine)[self.place]
        result = machine
        for number, block in enumerate(blocks):
            after = yield Call(block, (machine,))
            result = np.where(label == number, after, result)
        return result


def strip_language(
    length: int = 3,
    *,
    hi: int = 18,
    blocks: int = 3,
    operators: Sequence[str] = ("+", "-", "*"),
    classes: int = 10,
    turns: int | None = None,
) -> Language:
    """MATH: ``(value (run (lam (blocks $0 (lam ...) ...))))`` over the strip ``x0``.

    Instructions: ``(move m)`` goes one cell on; ``(read m x0)`` applies the pending operator to a
    digit under the head, or makes an operator there the pending one; ``noop``. Conditions:
    ``(at_end m x0)``, ``(on_digit m x0)``, ``(always m)``. ``(goto_if c l k m)`` sets the label to
    l if c, else to k. Labels are ``b0``, ``b1``... and ``halt``.

    Args:
        length: Longest strip.
        hi: Values are counted modulo ``hi + 1``.
        blocks: Number of blocks.
        operators: Operators a strip may show.
        classes: Its digits are ``0..classes-1``.
        turns: Blocks run before the machine is stopped; 4 per cell and 4 more if left out.

    Raises:
        InputError: If a number is below 1 or an operator has no meaning.
    """
    if min(length, blocks) < 1:
        raise InputError(f"length and blocks must be at least 1, got {length} and {blocks}")
    unknown = [o for o in operators if o not in OPERATORS]
    if unknown:
        raise InputError(f"operators must be among {', '.join(OPERATORS)}, got {unknown[0]!r}")
    values = Int(0, hi, "modulo")
    places = Int(0, length)
    pending = Symbol("operator", tuple(operators))
    labels = Symbol("label", (*(f"b{n}" for n in range(blocks)), HALT))
    cell = Symbol("cell", (*map(str, range(classes)), *operators, BLANK))
    glyph = Symbol("glyph", cell.labels[:-1])
    machine = Record(
        "machine",
        (("position", places), ("value", values), ("pending", pending), ("label", labels)),
    )
    strip = List(cell, length)
    parts = _parts(machine, strip, places)
    types: dict[str, Type] = {
        "move": Arrow(machine, machine),
        "read": function((machine, strip), machine),
        "goto_if": function((Bool(), labels, labels, machine), machine),
        "at_end": function((machine, strip), Bool()),
        "on_digit": function((machine, strip), Bool()),
    }
    start = (0, 0, operators[0], labels.labels[0])
    whole = parts.extend(
        Loop(machine, turns or 4 * length + 4),
        Primitive("start", (), machine, start, cost=0.0),
    ).define("running", "(lam (not_halt (label $0)))")
    run = read(whole, "(lam (loop running $0 start))", type=Arrow(types["move"], machine))[0]
    return Language(
        [
            *(Definition(n, read(parts, _TEXTS[n], type=t)[0]) for n, t in types.items()),
            Primitive("noop", (machine,), machine, lambda m: m, python="{0}"),
            Primitive("always", (machine,), Bool(), lambda m: True, python="True"),
            Switch("blocks", machine),
            Definition("run", run),
            Part("value", machine, "value", cost=0.0),
        ],
        inputs=[_strips(strip, glyph)],
        constants={labels: labels.values()},
        output=values,
        name=f"strip{length}",
    )


def _parts(machine: Record, strip: List, places: Int) -> Language:
    """What the instructions are made of."""
    cell, pending, labels = strip.element, machine.factors[2], machine.factors[3]
    values = machine.factors[1]
    assert isinstance(cell, Finite)

    def combine(pending: str, value: int, cell: str) -> int:
        return OPERATORS[pending](value, int(cell)) if cell.isdigit() else value

    return Language(
        [
            Pack("machine", machine),
            *(Part(name, machine, name) for name, _ in machine.fields),
            Select("under", strip, places, beyond=BLANK),
            Primitive("next", (places,), places, lambda p: min(p + 1, places.hi),
                      python=f"min({{0}} + 1, {places.hi})"),
            Primitive("combine", (pending, values, cell), values, combine, helpers=[COMBINE],
                      python="_combine({0}, {1}, int({2})) if {2}.isdigit() else {1}"),
            Primitive("pend", (cell, pending), pending,
                      lambda c, p: c if c in OPERATORS else p,
                      python="{0} if {0} in ('+', '-', '*', '/') else {1}"),
            Primitive("is_end", (cell,), Bool(), lambda c: c == BLANK,
                      python=f"{{0}} == {BLANK!r}"),
            Primitive("is_digit", (cell,), Bool(), str.isdigit, python="{0}.isdigit()"),
            Primitive("not_halt", (labels,), Bool(), lambda k: k != HALT,
                      python=f"{{0}} != {HALT!r}"),
            If(labels),
        ],
        name="parts",
    )  # fmt: skip


def _strips(strip: List, glyph: Symbol) -> Input:
    """The strips without blanks, where they can be listed."""
    listed = List(glyph, strip.max_len)
    return Input(strip, listed.values()) if listed.size <= 200_000 else Input(strip)


Block = tuple[str, str, str, str]


def block_program(language: Language, blocks: Sequence[Block]) -> Program:
    """A program from its blocks ``(instruction, condition, label if so, label if not)``.

    ``[("read", "always", "b1", "b1"), ("move", "at_end", "halt", "b0"), ...]``

    Args:
        language: Of ``strip_language``.
        blocks: One per block of the language.

    Raises:
        InputError: If their number is wrong or a name is unknown.
    """
    wanted = language["blocks"].arity - 1
    if len(blocks) != wanted:
        raise InputError(f"{language.name} has {wanted} blocks, got {len(blocks)}")
    texts = []
    for instruction, condition, then, otherwise in blocks:
        act = f"({instruction} $0{' x0' * (language[instruction].arity - 1)})"
        # the condition is asked of the machine after the instruction
        test = f"({condition} {act}{' x0' * (language[condition].arity - 1)})"
        texts.append(f"(lam (goto_if {test} {then} {otherwise} {act}))")
    return parse(language, f"(value (run (lam (blocks $0 {' '.join(texts)}))))")
