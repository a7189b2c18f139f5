"""Primitives: named symbols with a type, a cost and a meaning."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosym import table
from neurosym.finite import BOTTOM, Finite, Int, all_finite
from neurosym.types import Type, Var, function
from neurosym.unify import replace
from overparam.errors import InputError

if TYPE_CHECKING:
    from neurosym.term import Term


class Primitive:
    """A symbol of a language: ``inputs -> output``, its cost and what it does.

    Between finite types a callable is called once on every tuple of values and becomes an index
    table, so that it is known to be total and in range. Arguments that are ``BOTTOM`` give
    ``BOTTOM`` without asking it; so does an exception of arithmetic, look-up or value, if the
    output type has ``BOTTOM``. Type variables in ``inputs`` make it polymorphic.

    Args:
        name: One word, no parentheses, not ``lam``, ``x0`` or ``$0``.
        inputs: Types of the arguments; none makes it a constant.
        output: Type of the result.
        meaning: A callable on values, a constant's value, or an array of output indices, one axis
            per argument.
        cost: Its share of a program's length.
        commutative: Whether the order of the two arguments is of no account; found from the table
            if left out.
        python: An expression for exported programs, with ``{0}``, ``{1}``... for the arguments,
            before the overflow policy; checked against the table.
        helpers: Python sources that expression needs, functions or imports.
        continuous: Name of the array function, shared by NumPy and PyTorch, that does the same on
            real numbers.
        tabulate: True or False force or refuse a table; by default up to 250,000 entries.

    Raises:
        InputError: If the name, cost or a type is unfit, or the meaning is partial, out of range,
            not commutative though claimed, or not what ``python`` says; it names an example.
    """

    definition: "Term | None" = None
    """What a library function stands for."""
    python_form: str | None = None
    """What is wrapped around ``python`` on export, if it was compared with the table."""
    strict: frozenset[int] | None = None
    """Places of the arguments whose ``BOTTOM`` makes the result ``BOTTOM``; None is all."""

    def __init__(
        self,
        name: str,
        inputs: Sequence[Type],
        output: Type,
        meaning: Any = None,
        *,
        cost: float | int = 1.0,
        commutative: bool | None = None,
        python: str | None = None,
        helpers: Sequence[str] = (),
        continuous: str | None = None,
        tabulate: bool | None = None,
    ) -> None:
        if not name or set(name) & set("() \t\n") or name in ("lam", "λ"):
            raise InputError(f"a primitive's name must be one word, got {name!r}")
        if name[0] in "x$" and name[1:].isdigit():
            raise InputError(f"a primitive must not be named as a variable, got {name!r}")
        if not (math.isfinite(cost) and cost >= 0):
            raise InputError(f"cost of {name} must be finite and not negative, got {cost}")
        self.name = name
        self.inputs = tuple(inputs)
        self.output = output
        self.cost = float(cost)
        self.python, self.helpers, self.continuous = python, tuple(helpers), continuous
        self.tabulate = tabulate
        self.type = function(self.inputs, output)
        self.arity = len(self.inputs)
        self.meaning = meaning
        self.table: np.ndarray | None = None
        self._commutative = commutative
        self._instances: dict[tuple[Type, ...], Primitive] = {}
        self.absorbing = tuple(
            place
            for place, type_ in enumerate(self.inputs)
            if type_.has_bottom and (self.strict is None or place in self.strict)
        )
        if self.absorbing and output.is_ground and not output.has_bottom:
            raise InputError(f"{name} may get BOTTOM but {output} has none: give its output one")
        if meaning is None and self.arity and type(self) is Primitive:
            raise InputError(f"{name} has no meaning: give it a callable or a table")
        if not self.type.is_ground:
            return
        self.table = self._find_table()
        self._check_commutative()
        self._check_python()

    @property
    def variables(self) -> tuple[Var, ...]:
        """Type variables."""
        return self.type.variables

    @property
    def is_constant(self) -> bool:
        """Whether it takes no argument."""
        return not self.inputs

    @property
    def commutative(self) -> bool:
        """Whether the order of the two arguments is known to be of no account."""
        return bool(self._commutative)

    @property
    def value(self) -> Any:
        """The value of a constant."""
        return self.call()

    def call(self, *arguments: Any) -> Any:
        """The result for argument values, ``BOTTOM`` absorbed and the overflow policy applied.

        Raises:
            InputError: If there is no result; it names the primitive and the arguments.
        """
        return self._settled(arguments, self.output.admit)

    def _settled(self, arguments: tuple[Any, ...], settle: Callable[[Any], Any]) -> Any:
        """What ``settle`` makes of the result; it is given ``BOTTOM`` where that is the result."""
        for place in self.absorbing:
            if arguments[place] is BOTTOM:
                return settle(BOTTOM)
        try:
            result = self.meaning(*arguments) if callable(self.meaning) else self._look(arguments)
        except (ArithmeticError, LookupError, ValueError) as error:
            if self.output.has_bottom:
                return settle(BOTTOM)
            shown = table.example(self.name, arguments)
            raise InputError(f"{shown} has no value: {error}") from error
        try:
            return settle(result)
        except InputError as error:
            hint = ""
            if isinstance(self.output, Int) and self.output.overflow == "error":
                hint = "; choose overflow='modulo', 'saturate' or 'bottom'"
            raise InputError(f"{table.example(self.name, arguments)}: {error}{hint}") from None

    def rows(self, *arguments: np.ndarray) -> np.ndarray:
        """The index of the result for arrays of argument indices, which broadcast together.

        Raises:
            InputError: If a type is not finite, or a value is missing.
        """
        if self.table is not None:
            return np.asarray(self.table[arguments])
        types, output = all_finite(self.inputs), self.output
        if types is None or not isinstance(output, Finite):
            raise InputError(f"{self.signature} has no meaning on arrays: a type is not finite")
        if self.is_constant:
            return np.asarray(output.index(self.value))
        # each distinct tuple of arguments is computed once
        arrays = np.broadcast_arrays(*arguments)
        columns = np.stack([array.ravel() for array in arrays])
        distinct, places = np.unique(columns, axis=1, return_inverse=True)
        found = np.empty(distinct.shape[1], dtype=np.int64)
        for place, column in enumerate(distinct.T):
            values = [type_.value(i) for type_, i in zip(types, column, strict=True)]
            found[place] = output.index(self.call(*values))
        return found[places.ravel()].reshape(arrays[0].shape)

    def instance(self, types: Sequence[Type]) -> "Primitive":
        """The monomorphic primitive for these types of ``variables``; the same one every time."""
        key = tuple(types)
        if not self.variables:
            return self
        if key not in self._instances:
            values = dict(zip(self.variables, key, strict=True))
            self._instances[key] = self._at(
                [replace(type_, values) for type_ in self.inputs], replace(self.output, values)
            )
        return self._instances[key]

    def _at(self, inputs: Sequence[Type], output: Type) -> "Primitive":
        """The same symbol with other types."""
        return Primitive(
            self.name,
            inputs,
            output,
            self.meaning,
            cost=self.cost,
            commutative=self._commutative,
            python=self.python,
            helpers=self.helpers,
            continuous=self.continuous,
            tabulate=self.tabulate,
        )

    def _look(self, arguments: Sequence[Any]) -> Any:
        """Value from the table that was given as the meaning, or the constant's own."""
        if self.is_constant:
            return self.meaning
        types, output = all_finite(self.inputs), self.output
        assert self.table is not None and types is not None and isinstance(output, Finite)
        places = [type_.index(v) for type_, v in zip(types, arguments, strict=True)]
        return output.value(self.table[tuple(places)])

    def _find_table(self) -> np.ndarray | None:
        """The index table, where the types are finite and it is not too large."""
        given = self.arity > 0 and self.meaning is not None and not callable(self.meaning)
        types, output = all_finite(self.inputs), self.output
        if types is None or not isinstance(output, Finite) or not output.is_finite:
            if given:
                raise InputError(f"{self.name} has a table, so its types must be finite")
            return None
        if given:
            return table.checked(self.name, types, output, np.asarray(self.meaning))
        size = math.prod(type_.size for type_ in types)
        if self.tabulate is False or (self.tabulate is None and size > table.LIMIT):
            return None
        if self.arity and self.meaning is None:
            return None
        if self.is_constant:
            self.meaning = self.call()
        return table.tabulated(types, output, lambda row: self._settled(row, output.admitted_index))

    def _check_commutative(self) -> None:
        if self.arity != 2 or self.inputs[0] != self.inputs[1]:
            if self._commutative:
                raise InputError(f"{self.name} is not commutative: it needs two arguments alike")
            return
        if self.table is None:
            return
        found = table.asymmetry(self.table)
        type_ = self.inputs[0]
        if self._commutative and found is not None and isinstance(type_, Finite):
            a, b = map(type_.value, found)
            raise InputError(f"{self.name} is not commutative: swap {a!r} and {b!r}")
        self._commutative = found is None

    def _check_python(self) -> None:
        """Compare the exported expression with the table, where that takes no time."""
        if self.python is None or self.python_form is not None or not self.arity:
            return
        from neurosym.export_python import CHECKED, shortest_form

        if self.table is None or self.table.size > CHECKED:
            return

        self.python_form = shortest_form(self)

    @property
    def signature(self) -> str:
        """Name and types, for people."""
        left = ", ".join(map(str, self.inputs))
        return f"{self.name}({left}) -> {self.output}" if left else f"{self.name}: {self.output}"

    def __copy__(self) -> "Primitive":
        return self

    def __deepcopy__(self, memo: dict) -> "Primitive":
        # terms know their primitives by identity
        return self

    def __repr__(self) -> str:
        return f"Primitive({self.signature})"


def primitive(
    *, name: str | None = None, **settings: Any
) -> Callable[[Callable[..., Any]], Primitive]:
    """Make a primitive of a function whose annotations are types of this package.

    ``@primitive(cost=0.5)`` above ``def add(a: V, b: V) -> V`` names it after the function.

    Args:
        name: Another name for it.
        **settings: Those of ``Primitive``.

    Raises:
        InputError: If an annotation is missing or no type, or as ``Primitive`` does.
    """

    def make(meaning: Callable[..., Any]) -> Primitive:
        signature = inspect.signature(meaning)
        hints = [p.annotation for p in signature.parameters.values()]
        for place, hint in enumerate([*hints, signature.return_annotation]):
            if not isinstance(hint, Type):
                what = "its result" if place == len(hints) else list(signature.parameters)[place]
                raise InputError(
                    f"{meaning.__name__}: annotate {what} with a type such as Int(0, 9), "
                    f"got {hint!r}"
                )
        return Primitive(
            name or meaning.__name__, hints, signature.return_annotation, meaning, **settings
        )

    return make
