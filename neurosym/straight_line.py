"""Straight-line programs: numbered registers, one line after the other.

Registers are the inputs, then the language's constants, then one per line; a line reads earlier
registers only and no register changes. A function given to a primitive is a ``Block``: its
registers are all those before the line, its parameters, and its own lines. Relaxed programs have
the same layout, so their argmax is a ``StraightLine``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosym.machine import Control, drive
from neurosym.primitive import Primitive
from neurosym.types import Arrow, Type, uncurry
from overparam.errors import InputError

if TYPE_CHECKING:
    from neurosym.language import Language
    from neurosym.program import Program


@dataclass(frozen=True)
class Block:
    """A function as lines: ``output`` is the register it returns."""

    parameters: tuple[Type, ...]
    lines: tuple["Line", ...]
    output: int


@dataclass(frozen=True)
class Line:
    """A primitive applied to registers, or to blocks where it takes functions."""

    primitive: Primitive
    arguments: tuple[int | Block, ...]


class StraightLine:
    """A straight-line program of a language.

    Args:
        language: Whose constants follow the inputs.
        inputs: Types of the inputs.
        lines: In order of evaluation.
        output: The register returned.

    Raises:
        InputError: If an argument is missing, comes too late or has the wrong type.
    """

    def __init__(
        self, language: "Language", inputs: Sequence[Type], lines: Sequence[Line], output: int
    ) -> None:
        self.language = language
        self.inputs = tuple(inputs)
        self.lines = tuple(lines)
        self.output = output
        self.first_line = len(self.inputs) + len(language.constants)
        held = [*self.inputs, *(p.output for p in language.constants)]
        self.types = tuple(_checked(held, self.lines, output, "t"))

    @classmethod
    def of(cls, program: "Program") -> "StraightLine":
        """The lines of a program; what occurs twice in it is computed once.

        Raises:
            InputError: If it needs registers that hold functions.
        """
        from neurosym.lowering import lower

        return lower(program)

    def to_program(self) -> "Program":
        """The program as one term."""
        from neurosym.lowering import raise_lines

        return raise_lines(self)

    @property
    def type(self) -> Type:
        """Type of the output."""
        return self.types[self.output]

    @property
    def cost(self) -> float:
        """Costs of all lines, blocks' included, and of every constant that is read."""
        total, read = 0.0, {self.output}
        stack: list[tuple[Sequence[Line], int]] = [(self.lines, self.output)]
        while stack:
            lines, output = stack.pop()
            read.add(output)
            for line in lines:
                total += line.primitive.cost
                for argument in line.arguments:
                    if isinstance(argument, Block):
                        stack.append((argument.lines, argument.output))
                    else:
                        read.add(argument)
        constants = enumerate(self.language.constants, len(self.inputs))
        return total + sum(p.cost for register, p in constants if register in read)

    @property
    def live(self) -> tuple[bool, ...]:
        """Whether each line has a say in the output."""
        needed = {self.output}
        for place in range(len(self.lines) - 1, -1, -1):
            if self.first_line + place in needed:
                needed |= registers_read(self.lines[place])
        return tuple(self.first_line + place in needed for place in range(len(self.lines)))

    def __call__(self, *values: Any) -> Any:
        """The output for input values."""
        registers = [*values, *(p.value for p in self.language.constants)]
        return execute(self.lines, self.output, registers, rows=False)

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Indices of the outputs for tuples of input indices, ``(inputs, n) -> (n,)``."""
        registers = [*indices, *(p.rows() for p in self.language.constants)]
        found = execute(self.lines, self.output, registers, rows=True)
        return np.broadcast_to(found, indices.shape[1:]).astype(np.int64)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StraightLine) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple:
        return (id(self.language), self.inputs, self.lines, self.output)

    def __len__(self) -> int:
        return len(self.lines)

    def __str__(self) -> str:
        names = [f"x{n}" for n in range(len(self.inputs))]
        names += [p.name for p in self.language.constants]
        text = _shown(self.lines, names, "t")
        return "\n".join([*text, f"return {names[self.output]}"])

    def __repr__(self) -> str:
        return f"<StraightLine of {len(self.lines)} lines: {self.type}>"


def _checked(held: list[Type], lines: Sequence[Line], output: int, letter: str) -> list[Type]:
    """Types of all registers once every line has been checked against them."""
    for number, line in enumerate(lines):
        primitive, place = line.primitive, f"line {letter}{number}: {line.primitive.name}"
        if len(line.arguments) != primitive.arity:
            raise InputError(
                f"{place} takes {primitive.arity} arguments, got {len(line.arguments)}"
            )
        for wanted, argument in zip(primitive.inputs, line.arguments, strict=True):
            if isinstance(argument, Block):
                parameters, result = uncurry(wanted)
                inside = _checked(
                    [*held, *argument.parameters], argument.lines, argument.output, letter + "_"
                )
                if (argument.parameters, inside[argument.output]) != (parameters, result):
                    raise InputError(f"{place} needs a block of type {wanted}")
            elif not 0 <= argument < len(held):
                raise InputError(f"{place} reads register {argument} of {len(held)}")
            elif held[argument] != wanted:
                raise InputError(f"{place} needs {wanted}, register {argument} is {held[argument]}")
        if isinstance(primitive.output, Arrow):
            raise InputError(f"{place} yields a function, which no register holds")
        held.append(primitive.output)
    if not 0 <= output < len(held):
        raise InputError(f"output must be one of {len(held)} registers, got {output}")
    return held


def registers_read(line: Line) -> set[int]:
    """Registers a line reads, those of its blocks included."""
    read: set[int] = set()
    for argument in line.arguments:
        if isinstance(argument, Block):
            read.add(argument.output)
            for inner in argument.lines:
                read |= registers_read(inner)
        else:
            read.add(argument)
    return read


def execute(lines: Sequence[Line], output: int, registers: list[Any], *, rows: bool) -> Any:
    """Run lines after ``registers``, which get one more value per line.

    Args:
        lines: What to run.
        output: The register to return.
        registers: Values so far, or arrays of indices.
        rows: Whether they are arrays of indices.
    """
    for line in lines:
        primitive = line.primitive
        given: list[Any] = [
            _function(argument, registers, rows)
            if isinstance(argument, Block)
            else registers[argument]
            for argument in line.arguments
        ]
        if isinstance(primitive, Control):
            meaning = primitive.over_rows if rows else primitive.values
            registers.append(drive(meaning(*given)))
        else:
            registers.append(primitive.rows(*given) if rows else primitive.call(*given))
    return registers[output]


def _function(block: Block, registers: list[Any], rows: bool) -> Callable[..., Any]:
    around = list(registers)

    def call(*arguments: Any) -> Any:
        return execute(block.lines, block.output, [*around, *arguments], rows=rows)

    return call


def _shown(lines: Sequence[Line], names: list[str], letter: str) -> list[str]:
    """Text of every line; ``names`` of registers grows."""
    text = []
    for number, line in enumerate(lines):
        words = [line.primitive.name]
        for argument in line.arguments:
            if isinstance(argument, Block):
                deeper = chr(ord(letter) + 1)
                inner = [*names, *(f"{deeper}p{n}" for n in range(len(argument.parameters)))]
                head = " ".join(inner[len(names) :])
                body = _shown(argument.lines, inner, deeper)
                words.append("{" + "; ".join([head, *body, inner[argument.output]]) + "}")
            else:
                words.append(names[argument])
        names.append(f"{letter}{number}")
        text.append(f"{names[-1]} = {' '.join(words)}")
    return text
