"""Types of terms: functions, opaque types, type variables.

Finite sets of values are in ``neurosym.finite``, lists, grids and records in
``neurosym.composite``, unification in ``neurosym.unify``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any


class Type:
    """A set of values or of functions. Types are immutable, hashable and compare by structure."""

    @property
    def parts(self) -> tuple["Type", ...]:
        """The types this one is made of."""
        return ()

    def with_parts(self, parts: Sequence["Type"]) -> "Type":
        """The same kind of type made of other ``parts``."""
        return self

    @cached_property
    def variables(self) -> tuple["Var", ...]:
        """Type variables in order of first occurrence."""
        return tuple(dict.fromkeys(v for part in self.parts for v in part.variables))

    @property
    def is_ground(self) -> bool:
        """Whether there is no type variable in it."""
        return not self.variables

    @property
    def is_finite(self) -> bool:
        """Whether the values can be listed."""
        return False

    @property
    def has_bottom(self) -> bool:
        """Whether ``BOTTOM`` is one of the values."""
        return False

    def admit(self, value: Any) -> Any:
        """``value`` as a value of this type, the overflow policy applied.

        Raises:
            InputError: If it cannot be one.
        """
        return value


@dataclass(frozen=True)
class Var(Type):
    """A type variable: any type, the same at each place."""

    name: str

    @cached_property
    def variables(self) -> tuple["Var", ...]:
        """Itself."""
        return (self,)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Base(Type):
    """An opaque type whose values only its primitives understand, such as the state of a graph."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Arrow(Type):
    """Functions of one argument; those of several take one and return the rest."""

    argument: Type
    result: Type

    @property
    def parts(self) -> tuple[Type, ...]:
        """Argument and result."""
        return (self.argument, self.result)

    def with_parts(self, parts: Sequence[Type]) -> Type:
        """Functions between other types."""
        return Arrow(*parts)

    def __str__(self) -> str:
        left = f"({self.argument})" if isinstance(self.argument, Arrow) else str(self.argument)
        return f"{left} -> {self.result}"


def function(arguments: Sequence[Type], result: Type) -> Type:
    """The type of functions from ``arguments``, one after the other, to ``result``."""
    for argument in reversed(arguments):
        result = Arrow(argument, result)
    return result


def uncurry(type_: Type) -> tuple[tuple[Type, ...], Type]:
    """All arguments of a function type and what remains, which is no function."""
    arguments = []
    while isinstance(type_, Arrow):
        arguments.append(type_.argument)
        type_ = type_.result
    return tuple(arguments), type_
