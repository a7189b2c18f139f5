"""Programs: closed terms of a language with their inputs; to parse, print, measure and run."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosym.domain import Domain, Input
from neurosym.finite import Finite
from neurosym.language import Language
from neurosym.machine import STEPS, run
from neurosym.reader import read
from neurosym.rewrite import expand, normal_form, substitute, variables
from neurosym.straight_line import StraightLine
from neurosym.term import Apply, Lambda, Leaf, Term, show, subterms
from neurosym.types import Arrow, Type, function, uncurry
from overparam.errors import InputError

if TYPE_CHECKING:
    import networkx

    from neurosym.verify import Verification


def parse(language: Language, text: str) -> "Program":
    """Read a program: ``parse(language, "(add x0 (max x1 x2))")``.

    Args:
        language: Whose primitives it uses. If it declares inputs, ``x0``... are these; else their
            types follow from their use.
        text: An s-expression; ``(lam body)`` with ``$0``, ``$1``... where functions are needed.

    Raises:
        InputError: With line, column and reason: parentheses, unknown names, arity, types.
    """
    declared = [i.type for i in language.inputs] or None
    term, types = read(language, text, inputs=declared, type=language.output)
    return Program(language, term, language.inputs or types)


class Program:
    """A closed term and the inputs it reads; equal programs have equal terms and languages.

    Args:
        language: Its primitives.
        term: Its body, without free de Bruijn variables.
        inputs: Types or ``Input`` of ``x0``, ``x1``, ...

    Raises:
        InputError: If the term is open, or reads an input that is not there or of another type.
    """

    def __init__(self, language: Language, term: Term, inputs: Sequence[Type | Input] = ()) -> None:
        if not term.is_closed:
            raise InputError(f"a program has no free variables, got {term}")
        self.language = language
        self.term = term
        self.inputs = Domain(inputs).inputs
        for index, variable in variables(term).items():
            if index >= len(self.inputs) or self.inputs[index].type != variable.type:
                raise InputError(f"{variable} of type {variable.type} is no input of the program")

    @property
    def type(self) -> Type:
        """Type of its value."""
        return self.term.type

    @property
    def size(self) -> int:
        """Number of primitives, counted as a tree."""
        return self.term.size

    @cached_property
    def mass(self) -> int:
        """Number of primitives once library functions are expanded."""
        return expand(self.term).size

    @cached_property
    def cost(self) -> float:
        """Costs of its primitives, what occurs twice counted once: the cost of its live lines."""
        total, arguments = 0.0, set()
        for here in subterms(self.term):
            if isinstance(here, Apply):
                total += here.head.primitive.cost if isinstance(here.head, Leaf) else 0.0
                arguments |= {a for a in here.arguments if isinstance(a, Leaf)}
            elif isinstance(here, Lambda) and isinstance(here.body, Leaf):
                arguments.add(here.body)
        if isinstance(self.term, Leaf):
            arguments.add(self.term)
        return total + sum(leaf.primitive.cost for leaf in arguments)

    @cached_property
    def description_length(self) -> float:
        """Nats of the tree when every choice among primitives and variables is equally likely."""
        return description_length(self)

    @property
    def used(self) -> tuple[int, ...]:
        """Indices of the inputs it reads."""
        return tuple(variables(self.term))

    def __call__(self, *values: Any, steps: int = STEPS) -> Any:
        """Its value for input values; values after the inputs' go to a function it yields.

        Raises:
            InputError: If a value is missing or not of its input's type.
            StepLimitError: If it takes more than ``steps`` calls.
        """
        count = len(self.inputs)
        extra = len(uncurry(self.type)[0])
        if not count <= len(values) <= count + extra:
            raise InputError(f"the program takes {count} values, got {len(values)}")
        for number, (i, value) in enumerate(zip(self.inputs, values, strict=False)):
            if isinstance(i.type, Finite):
                try:
                    i.type.index(value)
                except InputError as error:
                    raise InputError(f"x{number}: {error}") from None
        return run(self.term, values[:count], arguments=values[count:], steps=steps)

    def rows(self, indices: np.ndarray, *, steps: int = STEPS) -> np.ndarray:
        """Indices of its values for tuples of input indices, ``(inputs, n) -> (n,)``.

        Raises:
            InputError: If the number of rows is not that of the inputs, or a type is not finite.
            StepLimitError: If it takes more than ``steps`` calls, each of all rows at once.
        """
        if indices.ndim != 2 or len(indices) != len(self.inputs):
            raise InputError(f"indices must be ({len(self.inputs)}, n), got {indices.shape}")
        found = run(self.term, list(indices), rows=True, steps=steps)
        return np.broadcast_to(found, indices.shape[1:]).astype(np.int64)

    @property
    def domain(self) -> Domain:
        """All tuples of its inputs."""
        return Domain(self.inputs)

    def straight_line(self) -> StraightLine:
        """Its lines; what occurs twice is computed once."""
        return StraightLine.of(self)

    def simplified(self) -> "Program":
        """An equal program without lines that its primitives' tables show to be of no use."""
        from neurosym.simplify import simplify

        return simplify(self.straight_line()).to_program()

    def normal_form(self) -> "Program":
        """The same program without applied abstractions."""
        return self.with_term(normal_form(self.term))

    def expanded(self) -> "Program":
        """The same program without library functions, in normal form."""
        return self.with_term(expand(self.term))

    def substitute(self, values: Mapping[int, Term]) -> "Program":
        """The program with terms put in for some inputs."""
        return self.with_term(substitute(self.term, values))

    def with_term(self, term: Term) -> "Program":
        """Another term with the same inputs."""
        return Program(self.language, term, self.inputs)

    def in_language(self, language: Language) -> "Program":
        """The program of the same text in another language, such as one for longer lists."""
        return parse(language, str(self))

    def verify(self, target: Any = None, **settings: Any) -> "Verification":
        """Compare with ``target``; see ``neurosym.verify``."""
        from neurosym.verify import verify

        return verify(self, target, **settings)

    def to_sexpr(self) -> str:
        """The s-expression that ``parse`` reads."""
        return str(self)

    def to_python(self, *, name: str = "program", level: str = "not verified") -> str:
        """Python source of the same function, see ``neurosym.export_python``."""
        from neurosym.export_python import to_python

        return to_python(self, name=name, level=level)

    def to_json(self) -> str:
        """The program as a shared graph in JSON, see ``neurosym.export_json``."""
        from neurosym.export_json import to_json

        return to_json(self)

    def to_dot(self) -> str:
        """The program as a graph in DOT, see ``neurosym.export_dot``."""
        from neurosym.export_dot import to_dot

        return to_dot(self)

    def to_networkx(self) -> "networkx.DiGraph":
        """The program as a directed graph, arguments pointing to what uses them."""
        from neurosym.export_dot import to_networkx

        return to_networkx(self)

    def __reduce__(self) -> tuple[Any, ...]:
        from neurosym.export_json import from_json

        return from_json, (self.language, self.to_json())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program) or self.language is not other.language:
            return False
        types = [[i.type for i in program.inputs] for program in (self, other)]
        return self.term is other.term and types[0] == types[1]

    def __hash__(self) -> int:
        return hash(self.term)

    def __str__(self) -> str:
        return show(self.term)

    def __repr__(self) -> str:
        text = str(self) if self.size < 200 else f"{self.size} primitives"
        return f"<Program {text}: {self.type}>"


def description_length(program: Program) -> float:
    """Nats of a program's normal form under a uniform choice at every node of its tree.

    A node of a type has as many choices as there are primitives, inputs and bound variables that
    give this type (applied to enough arguments), and an abstraction if it is a function's.
    """
    given = [i.type for i in program.inputs]
    rules: dict[Type, int] = {}
    lengths: dict[tuple[Term, tuple[Type, ...]], float] = {}

    def ways(types: Sequence[Type], wanted: Type) -> int:
        found = 0
        for type_ in types:
            arguments, result = uncurry(type_)
            ends = range(len(arguments) + 1)
            found += sum(function(arguments[end:], result) == wanted for end in ends)
        return found

    def own(wanted: Type, around: tuple[Type, ...]) -> float:
        if wanted not in rules:
            known = len(program.language.rules(wanted)) + isinstance(wanted, Arrow)
            rules[wanted] = known + ways(given, wanted)
        return math.log(rules[wanted] + ways(around, wanted))

    stack: list[tuple[Term, tuple[Type, ...], bool]] = [(normal_form(program.term), (), False)]
    root = stack[0][0]
    while stack:
        here, around, ready = stack.pop()
        if (here, around) in lengths:
            continue
        inner = (here.argument, *around) if isinstance(here, Lambda) else around
        parts = here.arguments if isinstance(here, Apply) else here.children
        if ready or not parts:
            inside = sum(lengths[part, inner] for part in parts)
            lengths[here, around] = own(here.type, around) + inside
        else:
            stack.append((here, around, True))
            stack.extend([(part, inner, False) for part in parts])
    return lengths[root, ()]
