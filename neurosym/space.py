"""The number of straight-line programs of a language.

A program of L lines has the registers of its inputs and constants, one more per line, and an output
register. A line applies an operation to earlier registers of the right types; an argument that is a
function is a block of lines of its own, which sees all earlier registers and its parameters. With
one type of n registers and operations of arity k the number is
``(registers) * prod over l < L of sum over operations of (n + l)**k``.
"""

from collections import Counter

from neurosym.language import Language
from neurosym.types import Arrow, Type, uncurry
from overparam.errors import InputError

State = tuple[int, ...]


def count_programs(language: Language, lines: int, *, body_lines: int = 1) -> int:
    """Number of well-typed programs, live or not, as an exact integer.

    Args:
        language: With its inputs; a program's output is of its output type, or of any.
        lines: Lines, at least 0.
        body_lines: Lines of each function given to a primitive; such a function holds none itself.

    Raises:
        InputError: If a number of lines is negative.
    """
    if min(lines, body_lines) < 0:
        raise InputError(f"lines must not be negative, got {lines} and {body_lines}")
    outputs = [o.output for o in language.operations if not isinstance(o.output, Arrow)]
    types = list(dict.fromkeys([*language.types, *outputs]))
    place = {type_: number for number, type_ in enumerate(types)}
    held = Counter([i.type for i in language.inputs] + [p.output for p in language.constants])
    blocks: dict[tuple[State, Type], int] = {}

    def more(state: State, added: tuple[Type, ...]) -> State:
        counts = list(state)
        for type_ in added:
            counts[place[type_]] += 1
        return tuple(counts)

    def choices(wanted: Type, state: State, inside: bool) -> int:
        if not isinstance(wanted, Arrow):
            return state[place[wanted]]
        parameters, result = uncurry(wanted)
        if inside or any(isinstance(p, Arrow) for p in parameters):
            return 0
        key = (more(state, parameters), result)
        if key not in blocks:
            blocks[key] = programs(*key, body_lines, True)
        return blocks[key]

    def programs(start: State, result: Type | None, lines: int, inside: bool) -> int:
        # programs of the lines so far, by the types of the registers they have
        ways = {start: 1}
        for _ in range(lines):
            after: dict[State, int] = {}
            for state, so_far in ways.items():
                for operation in language.operations:
                    if operation.output not in place:
                        continue
                    fits = so_far
                    for wanted in operation.inputs:
                        fits *= choices(wanted, state, inside)
                        if not fits:
                            break
                    if fits:
                        key = more(state, (operation.output,))
                        after[key] = after.get(key, 0) + fits
            ways = after
        if result is None:
            return sum(count * sum(state) for state, count in ways.items())
        return sum(count * choices(result, state, True) for state, count in ways.items())

    return programs(tuple(held[type_] for type_ in types), language.output, lines, False)
