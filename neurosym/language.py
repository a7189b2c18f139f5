"""Languages: sets of typed primitives, with the inputs and the output of their programs."""

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from neurosym.domain import Domain, Input
from neurosym.finite import Finite
from neurosym.machine import Control
from neurosym.primitive import Primitive
from neurosym.types import Arrow, Type, function, uncurry
from overparam.errors import InputError

CONSTANT_COST = 0.5


@dataclass(frozen=True)
class Rule:
    """A way to make a value of a type: a primitive applied to arguments of these types."""

    primitive: Primitive
    arguments: tuple[Type, ...]


class Language:
    """A typed language of programs.

    Args:
        primitives: Functions and constants, each name once.
        inputs: Types of ``x0``, ``x1``, ..., or ``Input`` where not all values occur. If left out,
            a program's own use of its inputs decides.
        constants: Values by type that become constants, named as they are written and of cost 0.5.
        output: Type of a program's value; any, if left out.
        name: What to call it.

    Attributes:
        operations: The primitives that take arguments, polymorphic ones at every type in use.
        constants: The primitives that take none: registers, together with the inputs.

    Raises:
        InputError: If a name occurs twice, or nothing yields the output type.
    """

    def __init__(
        self,
        primitives: Iterable[Primitive],
        *,
        inputs: Sequence[Type | Input] = (),
        constants: Mapping[Any, Iterable[Any]] | None = None,
        output: Type | None = None,
        name: str = "language",
    ) -> None:
        made = [
            # its index first: the overflow policy is for results, not for what is written down
            Primitive(
                type_.show(value), (), type_, type_.value(type_.index(value)), cost=CONSTANT_COST
            )
            for type_, values in (constants or {}).items()
            for value in values
        ]
        self.name = name
        self.primitives = (*primitives, *made)
        self.inputs = Domain(inputs).inputs
        self.output = output
        self._named = {primitive.name: primitive for primitive in self.primitives}
        if not self.primitives:
            raise InputError(f"{name} has no primitive")
        if len(self._named) < len(self.primitives):
            names = [primitive.name for primitive in self.primitives]
            twice = sorted({n for n in names if names.count(n) > 1})
            raise InputError(f"names in {name} must be distinct, got {', '.join(twice)} twice")
        instances = tuple(self._instances())
        self.constants = tuple(p for p in instances if p.is_constant)
        self.operations = tuple(p for p in instances if not p.is_constant)
        self._check_output()

    def _check_output(self) -> None:
        if self.output is None or isinstance(self.output, Arrow):
            return
        given = [i.type for i in self.inputs] + [p.output for p in self.constants]
        if self.output in [*given, *(p.output for p in self.operations)]:
            return
        made = ", ".join(sorted({str(p.output) for p in self.operations})) or "none"
        raise InputError(
            f"no primitive of {self.name} yields its output type {self.output}; they yield: {made}"
        )

    @cached_property
    def types(self) -> tuple[Type, ...]:
        """Types of values in use, by inputs, constants, output and arguments; no functions."""
        found: dict[Type, None] = dict.fromkeys(i.type for i in self.inputs)
        todo = [p.type for p in self.primitives if not p.variables]
        if self.output is not None:
            todo.append(self.output)
        while todo:
            arguments, result = uncurry(todo.pop(0))
            found[result] = None
            todo[:0] = [a for a in arguments if isinstance(a, Arrow)]
            found.update(dict.fromkeys(a for a in arguments if not isinstance(a, Arrow)))
        return tuple(found)

    def _instances(self) -> Iterable[Primitive]:
        for primitive in self.primitives:
            for types in itertools.product(self.types, repeat=len(primitive.variables)):
                # without a BOTTOM in the result a primitive does not fit arguments that have one
                try:
                    yield primitive.instance(types)
                except InputError:
                    if not any(type_.has_bottom for type_ in self.types):
                        raise

    def __getitem__(self, name: str) -> Primitive:
        if name not in self._named:
            raise InputError(f"unknown primitive {name!r}{self.suggestion(name)}")
        return self._named[name]

    def __contains__(self, name: object) -> bool:
        return name in self._named

    def suggestion(self, name: str) -> str:
        """How to go on after an unknown name: the nearest one, or all."""
        from difflib import get_close_matches

        near = get_close_matches(name, self._named, n=1, cutoff=0.5)
        if near:
            return f"; did you mean {near[0]!r}?"
        some = sorted(self._named)
        return f"; {self.name} has {', '.join(some[:12])}{', ...' if len(some) > 12 else ''}"

    def extend(self, *primitives: Primitive) -> "Language":
        """The language with more primitives."""
        return self._with((*self.primitives, *primitives))

    def without(self, *names: str) -> "Language":
        """The language without the primitives of these names."""
        gone = {self[name].name for name in names}
        return self._with([p for p in self.primitives if p.name not in gone])

    def _with(self, primitives: Iterable[Primitive]) -> "Language":
        return Language(primitives, inputs=self.inputs, output=self.output, name=self.name)

    def define(self, name: str, text: str, *, cost: float | int = 1.0) -> "Language":
        """The language with a library function: ``define("twice", "(lam (add $0 $0))")``.

        Raises:
            InputError: If the text is no closed term of this language.
        """
        from neurosym.definition import Definition
        from neurosym.reader import read

        return self.extend(Definition(name, read(self, text)[0], cost=cost))

    def rules(self, type: Type) -> tuple[Rule, ...]:
        """All ways to make a value of ``type`` from a primitive and its first arguments."""
        found = []
        for primitive in (*self.operations, *self.constants):
            arguments, result = uncurry(primitive.type)
            for count in range(len(arguments) + 1):
                if function(arguments[count:], result) == type:
                    found.append(Rule(primitive, arguments[:count]))
        return tuple(found)

    @property
    def domain(self) -> Domain:
        """All tuples of inputs."""
        return Domain(self.inputs)

    def count(self, lines: int, *, body_lines: int = 1) -> int:
        """Number of well-typed straight-line programs; see ``neurosym.space``."""
        from neurosym.space import count_programs

        return count_programs(self, lines, body_lines=body_lines)

    def describe(self, lines: int = 8) -> str:
        """Types, primitives, constants, inputs and the size of the program space, for people."""
        text = [repr(self)[1:-1]]
        for type_ in self.types:
            size = f"{type_.size} values" if isinstance(type_, Finite) else "opaque"
            text.append(f"  type {type_}: {size}")
        for place, i in enumerate(self.inputs):
            some = f", {i.size} values" if i.type.is_finite else ""
            text.append(f"  input x{place}: {i.type}{some}")
        for p in self.primitives:
            kind = "library function" if p.definition is not None else "computed"
            if p.table is not None and p.arity:
                kind = f"table {'x'.join(map(str, p.table.shape))}"
            marks = [f"cost {p.cost:g}", *([kind] if p.arity else [])]
            text.append(f"  {p.signature}: {', '.join(marks)}{', commutative' * p.commutative}")
        if self.inputs and any(not isinstance(type_, Arrow) for type_ in self.types):
            sizes = [self.count(n) for n in range(1, lines + 1)]
            shown = ", ".join(f"{math.log10(n):.1f}" if n else "-inf" for n in sizes)
            text.append(f"  log10 of the number of programs with 1..{lines} lines: {shown}")
        text.append(f"  fingerprint {self.fingerprint[:16]}")
        return "\n".join(text)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all names, types, costs, tables and inputs; the same in every process."""
        digest = hashlib.sha256(f"{self.output}".encode())
        for primitive in (*self.primitives, *self.operations):
            kind = type(primitive).__name__
            digest.update(f"|{kind} {primitive.signature} {primitive.cost!r}".encode())
            if isinstance(primitive, Control):
                digest.update(str(primitive.python).encode())
            if primitive.definition is not None:
                digest.update(str(primitive.definition).encode())
            elif primitive.table is not None:
                digest.update(primitive.table.astype(np.int64).tobytes())
            elif callable(primitive.meaning):
                digest.update(getattr(primitive.meaning, "__qualname__", "").encode())
        for i in self.inputs:
            digest.update(f"|{i.type} {i.chosen}".encode())
        return digest.hexdigest()

    def __copy__(self) -> "Language":
        return self

    def __deepcopy__(self, memo: dict) -> "Language":
        return self

    def __repr__(self) -> str:
        counts = f"{len(self.primitives) - len(self.constants)} primitives"
        inputs = f", {len(self.inputs)} inputs" if self.inputs else ""
        output = f" -> {self.output}" if self.output is not None else ""
        return f"<Language {self.name}: {counts}, {len(self.constants)} constants{inputs}{output}>"
