"""Bottom-up enumeration on arrays: what programs of growing cost do.

Programs are built from smaller ones, all candidates of a kind at once on arrays; of those that
agree on the given tuples of inputs only the first is kept and built upon. So the first program
found for a behaviour is a cheapest one, the cost being the sum over its tree of the primitives'
costs. A function given to a primitive is built in the same way, from its parameters and constants.

Source: observational equivalence as in Udupa et al., "TRANSIT", PLDI 2013, section 4, and
Albarghouthi et al., "Recursive program synthesis", CAV 2013.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from neurosym.bank import Bank, Origin
from neurosym.domain import Domain, Input
from neurosym.finite import Finite, all_finite
from neurosym.language import Language
from neurosym.machine import Control, drive
from neurosym.primitive import Primitive
from neurosym.rewrite import rewrite
from neurosym.term import Apply, Bound, Leaf, Term, Variable, abstract
from neurosym.types import Arrow, Type, uncurry
from overparam.errors import InputError

UNITS = 100
"""Costs are rounded to this fraction of one."""
_CELLS = 4_000_000  # candidates times tuples computed at a time
_BODY_TUPLES = 4096  # tuples of parameters up to which functions are enumerated


class MemoryLimitError(InputError):
    """An enumeration that would need more memory than it was allowed."""


class Enumeration:
    """A growing set of programs over some tuples of inputs.

    Args:
        language: Of which all operations with finite types are used.
        inputs: Types of the inputs.
        rows: Tuples of input indices, ``(inputs, n)``.
        costs: Costs by name of primitive, instead of its own; nats of a prior, for example.
        bodies: Whether primitives that take functions are used.
        memory: Bytes of behaviours at which the enumeration gives up.

    Attributes:
        candidates: Number of programs looked at.
        complete: Cost up to which every behaviour is known, -1 before the first step.
        exhausted: Whether no program has a behaviour that is not known.

    Raises:
        InputError: If there is no tuple of inputs.
    """

    def __init__(
        self,
        language: Language,
        inputs: Sequence[Type],
        rows: np.ndarray,
        *,
        costs: Mapping[str, float | int] | None = None,
        bodies: bool = True,
        memory: int = 2_000_000_000,
    ) -> None:
        if rows.ndim != 2 or len(rows) != len(inputs) or not rows.shape[1]:
            raise InputError(f"rows must be ({len(inputs)}, n) with n > 0, got {rows.shape}")
        self.language, self.inputs, self.rows = language, tuple(inputs), rows
        self.costs, self.memory = dict(costs or {}), memory
        self.banks: dict[Type, Bank] = {}
        self.functions: dict[Type, Functions] = {}
        self.candidates, self.complete, self.exhausted = 0, -1.0, False
        self._level = -1
        self._operations = [p for p in language.operations if self._usable(p, bodies)]
        prices = [self.price(p) for p in (*self._operations, *language.constants)]
        self.unit = math.gcd(*prices) or 1

    def price(self, primitive: Primitive) -> int:
        """Cost of a primitive in hundredths."""
        return round(self.costs.get(primitive.name, primitive.cost) * UNITS)

    @staticmethod
    def _usable(primitive: Primitive, bodies: bool) -> bool:
        for wanted in primitive.inputs:
            parameters, result = uncurry(wanted)
            types = all_finite((*parameters, result))
            if types is None or (parameters and not bodies):
                return False
            if parameters and math.prod(p.size for p in types[:-1]) > _BODY_TUPLES:
                return False
        return primitive.output.is_finite

    def bank(self, type_: Type) -> Bank:
        """The behaviours of a type."""
        if type_ not in self.banks:
            assert isinstance(type_, Finite)
            self.banks[type_] = Bank(type_, self.rows.shape[1])
        return self.banks[type_]

    def step(self) -> Iterator[tuple[Primitive | None, Type, np.ndarray, np.ndarray]]:
        """Go to the next cost, adding its behaviours to the banks.

        Yields:
            Primitive (None for inputs), type, behaviours ``(n, tuples)`` and argument entries
            ``(arity, n)`` of the candidates, before those that are not new are dropped.

        Raises:
            MemoryLimitError: If behaviours outgrow the memory allowed.
        """
        self._level += self.unit if self._level >= 0 else 1
        level = self._level
        if level == 0:
            for number, (type_, row) in enumerate(zip(self.inputs, self.rows, strict=True)):
                if type_.is_finite:
                    made = row[None].astype(self.bank(type_).dtype)
                    yield from self._offer(None, type_, made, np.array([[number]]))
        for constant in self.language.constants:
            if self.price(constant) == level and constant.output.is_finite:
                row = np.broadcast_to(constant.rows(), (1, self.rows.shape[1]))
                made = row.astype(self.bank(constant.output).dtype)
                yield from self._offer(constant, constant.output, made, np.empty((0, 1), int))
        for operation in self._operations:
            if self.price(operation):
                yield from self._applications(operation, level - self.price(operation))
        # what costs nothing may go on and on at the same level
        free = [operation for operation in self._operations if not self.price(operation)]
        before = -1
        while free and before != self._entries():
            before = self._entries()
            for operation in free:
                yield from self._applications(operation, level)
        self.complete = level / UNITS
        self.exhausted = level >= self._furthest()

    @property
    def next_cost(self) -> float:
        """Cost of the programs of the next step."""
        return (self._level + self.unit if self._level >= 0 else 0) / UNITS

    def _entries(self) -> int:
        return sum(bank.count for bank in self.banks.values())

    def _offer(
        self, primitive: Primitive | None, type_: Type, rows: np.ndarray, arguments: np.ndarray
    ) -> Iterator[tuple[Primitive | None, Type, np.ndarray, np.ndarray]]:
        self.candidates += len(rows)
        yield primitive, type_, rows, arguments
        bank = self.bank(type_)
        bank.add(self._level, rows, Origin(primitive, arguments))
        if sum(bank.nbytes for bank in self.banks.values()) > self.memory:
            raise MemoryLimitError(f"the behaviours found outgrow {self.memory} bytes")

    def _furthest(self) -> float | int:
        """Cost, in units, beyond which no candidate is left with what is known."""
        found: float | int = max([self.price(p) for p in self.language.constants], default=0)
        for operation in self._operations:
            most: list[float] = []
            for type_ in operation.inputs:
                if isinstance(type_, Arrow):
                    functions = self.functions.get(type_)
                    if functions is None or not functions.inner.exhausted:
                        most.append(math.inf)
                        continue
                    known = functions.inner.bank(functions.result).levels
                else:
                    known = self.bank(type_).levels
                most.append(max(known, default=-math.inf))
            # nothing can be made of a type that has no value
            if -math.inf not in most:
                found = max(found, self.price(operation) + sum(most))
        return found

    def _levels(self, type_: Type, most: int) -> dict[int, tuple[int, int]]:
        """Costs up to ``most`` at which there are entries of a type, and where."""
        if isinstance(type_, Arrow):
            if type_ not in self.functions:
                self.functions[type_] = Functions(self, type_)
            return self.functions[type_].levels(most)
        return {c: span for c, span in self.bank(type_).levels.items() if c <= most}

    def _applications(
        self, operation: Primitive, left: int
    ) -> Iterator[tuple[Primitive | None, Type, np.ndarray, np.ndarray]]:
        """All candidates of an operation whose arguments cost ``left`` together."""
        if left < 0:
            return
        *first, last = [self._levels(type_, left) for type_ in operation.inputs]
        symmetric = operation.commutative and operation.arity == 2
        for costs in itertools.product(*first):
            rest = left - sum(costs)
            if rest not in last or (symmetric and costs[0] > rest):
                continue
            spans = [levels[c] for levels, c in zip([*first, last], [*costs, rest], strict=True)]
            shape = [end - start for start, end in spans]
            total = math.prod(shape)
            chunk = max(_CELLS // self.rows.shape[1], 1)
            for start in range(0, total, chunk):
                places = np.unravel_index(np.arange(start, min(start + chunk, total)), shape)
                arguments = np.stack(
                    [place + span[0] for place, span in zip(places, spans, strict=True)]
                )
                if symmetric and costs[0] == rest:
                    arguments = arguments[:, arguments[0] <= arguments[1]]
                if arguments.shape[1]:
                    rows = self._computed(operation, arguments)
                    yield from self._offer(operation, operation.output, rows, arguments)

    def _computed(self, operation: Primitive, arguments: np.ndarray) -> np.ndarray:
        """Behaviours of an operation applied to entries, ``(n, tuples)``."""
        dtype = self.bank(operation.output).dtype
        table = operation.table
        if table is not None:
            index = self.bank(operation.inputs[0]).rows[arguments[0]].astype(np.intp)
            for size, type_, entries in zip(
                table.shape[1:], operation.inputs[1:], arguments[1:], strict=True
            ):
                index = index * size + self.bank(type_).rows[entries]
            return table.ravel().take(index).astype(dtype, copy=False)
        # every row of every candidate at once, each with the function of its candidate
        shape = (arguments.shape[1], self.rows.shape[1])
        given: list[Any] = []
        for type_, entries in zip(operation.inputs, arguments, strict=True):
            if isinstance(type_, Arrow):
                given.append(self.functions[type_].callable(np.repeat(entries, shape[1])))
            else:
                given.append(self.bank(type_).rows[entries].ravel().astype(np.int64))
        if isinstance(operation, Control):
            found = drive(operation.over_rows(*given))
        else:
            found = operation.rows(*given)
        return np.broadcast_to(found, (math.prod(shape),)).reshape(shape).astype(dtype)

    def term(self, type_: Type, primitive: Primitive | None, arguments: Sequence[int]) -> Term:
        """The term of an entry or candidate, given by its origin."""
        if primitive is None:
            return Variable(arguments[0], type_)
        if not primitive.arity:
            return Leaf(primitive)
        parts = [
            self.functions[wanted].term(entry)
            if isinstance(wanted, Arrow)
            else self.term(wanted, *self.bank(wanted).origin(entry))
            for wanted, entry in zip(primitive.inputs, arguments, strict=True)
        ]
        return Apply(Leaf(primitive), parts)


class Functions:
    """Functions of one type, enumerated as programs over their parameters.

    Args:
        outer: The enumeration that wants them.
        type: Their type; parameters and result finite.
    """

    def __init__(self, outer: Enumeration, type: Type) -> None:
        self.parameters, self.result = uncurry(type)
        self.inner = Enumeration(
            outer.language, self.parameters, Domain(_every(self.parameters)).rows(),
            costs=outer.costs, bodies=False, memory=outer.memory,
        )  # fmt: skip

    def levels(self, most: int) -> dict[int, tuple[int, int]]:
        """Costs up to ``most`` at which there are functions, and their entries."""
        while self.inner.complete * UNITS < most and not self.inner.exhausted:
            for _ in self.inner.step():
                pass
        return {c: span for c, span in self.inner.bank(self.result).levels.items() if c <= most}

    def callable(self, entries: np.ndarray) -> Any:
        """A function on arrays of indices that is entry ``entries[i]`` in place i."""
        shape = tuple(p.size for p in self.parameters if isinstance(p, Finite))
        table = self.inner.bank(self.result).rows

        def call(*arguments: np.ndarray) -> np.ndarray:
            places = [np.broadcast_to(a, entries.shape) for a in arguments]
            return table[entries, np.ravel_multi_index(places, shape)]

        return call

    def term(self, entry: int) -> Term:
        """The abstraction that is the function."""
        body = self.inner.term(self.result, *self.inner.bank(self.result).origin(entry))
        count = len(self.parameters)

        def leaf(here: Term, depth: int) -> Term | None:
            if isinstance(here, Variable):
                return Bound(count - 1 - here.index + depth, here.type)
            return None

        return abstract(self.parameters, rewrite(body, leaf))


def _every(types: Sequence[Type]) -> list[Input]:
    """Inputs that take all values of their types, ``BOTTOM`` too."""
    return [Input(type_, type_.values()) for type_ in types if isinstance(type_, Finite)]
