"""Terms to straight-line programs and back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neurosym.rewrite import normal_form, shift
from neurosym.straight_line import Block, Line, StraightLine
from neurosym.term import Apply, Bound, Lambda, Leaf, Term, Variable, abstract, apply
from neurosym.types import Arrow, Type, uncurry
from overparam.errors import InputError

if TYPE_CHECKING:
    from neurosym.program import Program


def lower(program: "Program") -> StraightLine:
    """The lines of a program in normal form, each distinct subterm once.

    What a block computes from inputs and constants alone moves out of it.

    Raises:
        InputError: If it needs registers that hold functions.
    """
    types = [i.type for i in program.inputs]
    lowering = _Lowering(program, len(types))
    output = lowering.scope(normal_form(program.term), (), lowering.lines, lowering.base)
    return StraightLine(program.language, types, lowering.lines, output)


class _Lowering:
    """Registers of closed terms, and the lines of the outermost scope."""

    def __init__(self, program: "Program", inputs: int) -> None:
        self.constants = {
            primitive: inputs + number
            for number, primitive in enumerate(program.language.constants)
        }
        self.base = inputs + len(self.constants)
        self.lines: list[Line] = []
        self.closed: dict[Term, int] = {}

    def scope(self, root: Term, binders: tuple[int, ...], lines: list[Line], base: int) -> int:
        """Add what ``root`` needs to ``lines``; its register.

        ``binders`` are the registers of the bound variables, the outermost first; ``base`` is the
        register of the first of ``lines``.
        """
        open_: dict[Term, int] = {}
        stack: list[tuple[Term, bool]] = [(root, False)]
        while stack:
            here, ready = stack.pop()
            known = open_ if here.scope else self.closed
            if here in known:
                continue
            if isinstance(here, Leaf) and here.primitive.is_constant:
                if here.primitive not in self.constants:
                    # a constant of library functions alone becomes a line
                    assert not binders, "closed parts of a block come before it"
                    lines.append(Line(here.primitive, ()))
                    self.constants[here.primitive] = base + len(lines) - 1
                known[here] = self.constants[here.primitive]
                continue
            if not isinstance(here, Apply):
                known[here] = self.register(here, binders)
                continue
            wanted = self.parameters(here)
            if not ready:
                stack.append((here, True))
                # the first argument ends on top, so that its lines come first
                for argument, type_ in zip(reversed(here.arguments), reversed(wanted), strict=True):
                    if not isinstance(type_, Arrow):
                        stack.append((argument, False))
                    elif not binders:
                        stack.extend([(part, False) for part in reversed(closed_parts(argument))])
                continue
            arguments: list[int | Block] = []
            for argument, type_ in zip(here.arguments, wanted, strict=True):
                if isinstance(type_, Arrow):
                    arguments.append(self.block(argument, type_, binders, base + len(lines)))
                else:
                    arguments.append((open_ if argument.scope else self.closed)[argument])
            assert isinstance(here.head, Leaf)
            lines.append(Line(here.head.primitive, tuple(arguments)))
            known[here] = base + len(lines) - 1
        return (open_ if root.scope else self.closed)[root]

    def register(self, term: Term, binders: tuple[int, ...]) -> int:
        if isinstance(term.type, Arrow):
            raise InputError(f"{term} is a function, which no register holds")
        if isinstance(term, Variable):
            return term.index
        if isinstance(term, Bound):
            return binders[-1 - term.index]
        raise InputError(f"{term} has no straight-line form")

    @staticmethod
    def parameters(term: Apply) -> Sequence[Type]:
        head = term.head
        if not isinstance(head, Leaf) or len(term.arguments) != head.primitive.arity:
            raise InputError(f"{term} has no straight-line form: it needs a function in a register")
        return head.primitive.inputs

    def block(self, term: Term, type_: Type, binders: tuple[int, ...], base: int) -> Block:
        parameters, _ = uncurry(type_)
        body, bound = term, 0
        while isinstance(body, Lambda) and bound < len(parameters):
            body, bound = body.body, bound + 1
        missing = parameters[bound:]
        # a function given by name becomes lines too: f is lam (f $0)
        body = apply(
            shift(body, len(missing)),
            *[Bound(len(missing) - 1 - n, type_) for n, type_ in enumerate(missing)],
        )
        lines: list[Line] = []
        inner = (*binders, *range(base, base + len(parameters)))
        output = self.scope(body, inner, lines, base + len(parameters))
        return Block(parameters, tuple(lines), output)


def closed_parts(term: Term) -> list[Term]:
    """The largest subterms of ``term`` that are values and have no free variables, no inputs."""
    found: dict[Term, None] = {}
    seen: set[Term] = set()
    stack = [term]
    while stack:
        here = stack.pop()
        if here in seen:
            continue
        seen.add(here)
        is_value = here.is_closed and not isinstance(here.type, Arrow)
        if is_value and not isinstance(here, Variable):
            found[here] = None
        else:
            stack.extend(here.children)
    return list(found)


def raise_lines(lines: StraightLine) -> "Program":
    """The program of straight lines, as one term; lines without a say vanish."""
    from neurosym.program import Program

    held: list[tuple[Term, int]] = [
        (Variable(number, type_), 0) for number, type_ in enumerate(lines.inputs)
    ]
    held += [(Leaf(primitive), 0) for primitive in lines.language.constants]
    return Program(lines.language, _term(lines.lines, lines.output, held, 0), lines.inputs)


def _term(lines: Sequence[Line], output: int, held: list[tuple[Term, int]], depth: int) -> Term:
    """The term of the output register; ``held`` are terms with the depth they were made at."""
    for line in lines:
        arguments = []
        for argument in line.arguments:
            if isinstance(argument, Block):
                types = argument.parameters
                inner = depth + len(types)
                bound: list[tuple[Term, int]] = [
                    (Bound(len(types) - 1 - n, type_), inner) for n, type_ in enumerate(types)
                ]
                body = _term(argument.lines, argument.output, [*held, *bound], inner)
                arguments.append(abstract(types, body))
            else:
                term, made = held[argument]
                arguments.append(shift(term, depth - made))
        held.append((Apply(Leaf(line.primitive), arguments), depth))
    term, made = held[output]
    return shift(term, depth - made)
