"""Reading s-expressions: text to typed terms, types inferred, every error with its place.

The grammar: ``term = name | x0 | $0 | (lam term) | (term term ...)``. Names are the language's;
``xN`` are a program's inputs, ``$N`` the variables of the enclosing ``lam``, nearest first. One
pass over the tokens, with a stack of its own, infers types by unification; a second builds terms.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neurosym.language import Language
from neurosym.primitive import Primitive
from neurosym.term import Bound, Lambda, Leaf, Term, Variable, apply
from neurosym.types import Arrow, Type, Var
from neurosym.unify import Substitution, UnificationError
from overparam.errors import InputError

_TOKEN = re.compile(r"[()]|[^\s()]+")
_LAMBDA = ("lam", "λ")


@dataclass
class _Item:
    """A term that was read: where, what it is called, its type, and how many arguments it lacks."""

    place: int
    name: str
    type: Type
    lacks: int = 0
    given: int = 0


@dataclass
class _Frame:
    """An open parenthesis and what was read since."""

    place: int
    items: list[_Item]
    binder: Var | None = None


class _Reader:
    """One reading of one text."""

    def __init__(self, language: Language, text: str, inputs: Sequence[Type] | None) -> None:
        self.language, self.text = language, text
        self.types = Substitution()
        self.declared = inputs
        self.inputs: dict[int, Type] = {}
        self.binders: list[Var] = []
        # what to build, in postfix order
        self.code: list[tuple[str, Any, Any]] = []

    def fail(self, place: int, message: str) -> InputError:
        line = self.text.count("\n", 0, place) + 1
        column = place - self.text.rfind("\n", 0, place)
        return InputError(f"line {line}, column {column}: {message}")

    def read(self, wanted: Type | None) -> Term:
        frames = [_Frame(0, [])]
        for match in _TOKEN.finditer(self.text):
            token, place = match.group(), match.start()
            if token == "(":
                frames.append(_Frame(place, []))
            elif token == ")":
                if len(frames) == 1:
                    raise self.fail(place, "this ')' closes nothing")
                frame = frames.pop()
                frames[-1].items.append(self.close(frame))
            elif token in _LAMBDA and len(frames) > 1 and self.opens(frames[-1]):
                frames[-1].binder = binder = self.types.fresh()
                self.binders.append(binder)
            else:
                frames[-1].items.append(self.atom(token, place))
        if len(frames) > 1:
            raise self.fail(frames[-1].place, "this '(' is never closed")
        items = frames[0].items
        if not items:
            raise self.fail(len(self.text), "there is no program")
        if len(items) > 1:
            raise self.fail(items[1].place, f"{items[1].name} stands after the program's end")
        self.finish(items[0], wanted)
        return self.build()

    @staticmethod
    def opens(frame: _Frame) -> bool:
        return not frame.items and frame.binder is None

    def atom(self, token: str, place: int) -> _Item:
        known = self.language
        if token in known:
            primitive = known[token]
            # its variables are renamed together with its type, or the two would lose each other
            *kept, type_ = self.types.instantiate([*primitive.variables, primitive.type])
            self.code.append(("leaf", primitive, kept))
            return _Item(place, token, type_, primitive.arity)
        if token[0] == "x" and token[1:].isdigit():
            return self.input(int(token[1:]), place)
        if token[0] == "$" and token[1:].isdigit():
            index = int(token[1:])
            if index >= len(self.binders):
                around = len(self.binders)
                raise self.fail(place, f"{token} is free: it stands in {around} lam")
            type_ = self.binders[-1 - index]
            self.code.append(("bound", index, type_))
            return _Item(place, token, type_)
        if token in _LAMBDA:
            raise self.fail(place, f"{token} must follow a '('")
        raise self.fail(place, f"unknown name {token!r}{known.suggestion(token)}")

    def input(self, index: int, place: int) -> _Item:
        if self.declared is not None:
            if index >= len(self.declared):
                names = f"x0..x{len(self.declared) - 1}" if self.declared else "none"
                raise self.fail(place, f"there is no input x{index}; the inputs are {names}")
            self.inputs[index] = self.declared[index]
        elif index not in self.inputs:
            self.inputs[index] = self.types.fresh()
        self.code.append(("input", index, self.inputs[index]))
        return _Item(place, f"x{index}", self.inputs[index])

    def close(self, frame: _Frame) -> _Item:
        items = frame.items
        if frame.binder is not None:
            self.binders.pop()
            if len(items) != 1:
                raise self.fail(frame.place, f"lam takes one body, got {len(items)}")
            self.code.append(("lam", frame.binder, None))
            return _Item(frame.place, "lam", Arrow(frame.binder, items[0].type))
        if not items:
            raise self.fail(frame.place, "these parentheses are empty")
        if len(items) == 1:
            return items[0]
        head, *arguments = items
        here = head.type
        for number, argument in enumerate(arguments, 1):
            here = self.types.walk(here)
            if isinstance(here, Var):
                arrow = Arrow(self.types.fresh(), self.types.fresh())
                self.types.unify(here, arrow)
                here = arrow
            if not isinstance(here, Arrow):
                takes = f"{head.name} takes {_plural(number - 1, 'argument')}"
                raise self.fail(argument.place, f"{takes}, got {len(arguments)}")
            self.match(here.argument, argument, f"argument {number} of {head.name}")
            here = here.result
        self.code.append(("apply", len(arguments), None))
        lacks = max(head.lacks - len(arguments), 0)
        return _Item(frame.place, head.name, here, lacks, len(arguments) + head.given)

    def match(self, wanted: Type, item: _Item, what: str) -> None:
        try:
            self.types.unify(wanted, item.type)
        except UnificationError as error:
            wanted, found = self.types.apply(wanted), self.types.apply(item.type)
            if item.lacks and not isinstance(wanted, Arrow):
                raise self.missing(item) from None
            reason = f" ({error})" if "occurs" in str(error) else ""
            raise self.fail(
                item.place, f"{what} must be {wanted}, got {item.name}: {found}{reason}"
            ) from None

    def missing(self, item: _Item) -> InputError:
        takes = _plural(item.lacks + item.given, "argument")
        return self.fail(item.place, f"{item.name} takes {takes}, got {item.given}")

    def finish(self, item: _Item, wanted: Type | None) -> None:
        if wanted is not None:
            self.match(wanted, item, "the program")
        elif isinstance(self.types.walk(item.type), Arrow) and item.lacks:
            raise self.missing(item)
        loose = [
            number for number, type_ in self.inputs.items() if not self.types.apply(type_).is_ground
        ]
        if loose and len(self.language.types) == 1:
            for number in loose:
                self.types.unify(self.inputs[number], self.language.types[0])
        elif loose:
            raise self.fail(
                item.place, f"the type of x{loose[0]} is open: give the language its inputs"
            )

    def build(self) -> Term:
        """Terms for the code, all types now known."""
        stack: list[Term] = []
        for kind, what, detail in self.code:
            if kind == "leaf":
                types = [self.known(type_, what.name) for type_ in detail]
                stack.append(Leaf(self.instance(what, types)))
            elif kind == "input":
                stack.append(Variable(what, self.known(detail, f"x{what}")))
            elif kind == "bound":
                stack.append(Bound(what, self.known(detail, f"${what}")))
            elif kind == "lam":
                stack.append(Lambda(self.known(what, "the argument of a lam"), stack.pop()))
            else:
                arguments = stack[-what:]
                del stack[-what:]
                stack.append(apply(stack.pop(), *arguments))
        return stack.pop()

    def instance(self, primitive: Primitive, types: list[Type]) -> Primitive:
        try:
            return primitive.instance(types)
        except InputError as error:
            raise self.fail(0, str(error)) from None

    def known(self, type_: Type, name: str) -> Type:
        found = self.types.apply(type_)
        if not found.is_ground:
            raise self.fail(0, f"the type of {name} is open: nothing says what it is")
        return found


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def read(
    language: Language, text: str, *, inputs: Sequence[Type] | None = None, type: Type | None = None
) -> tuple[Term, tuple[Type, ...]]:
    """Read a term.

    Args:
        language: Whose names it uses.
        text: An s-expression.
        inputs: Types of ``x0``, ``x1``, ...; inferred if left out.
        type: The type it must have.

    Returns:
        The term, and the types of the inputs; those inferred end with the last one that is read.

    Raises:
        InputError: If it is no term of the language, with line, column and reason.
    """
    reader = _Reader(language, text, inputs)
    term = reader.read(type)
    if inputs is not None:
        return term, tuple(inputs)
    known = {index: reader.types.apply(type_) for index, type_ in reader.inputs.items()}
    gaps = [index for index in range(max(known, default=-1) + 1) if index not in known]
    # an input that is never read may be of any type: take that of the first one
    known |= {index: next(iter(known.values())) for index in gaps}
    return term, tuple(known[index] for index in range(len(known)))
