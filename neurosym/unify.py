"""Unification of types: the most general substitution that makes two types equal.

Source: Robinson, "A machine-oriented logic based on the resolution principle", J. ACM 12 (1965) 23;
bindings are kept in triangular form and resolved when asked.
"""

from collections.abc import Iterable, Mapping

from neurosym.types import Type, Var
from overparam.errors import InputError


class UnificationError(InputError):
    """Two types that no substitution makes equal."""


class Substitution:
    """Types for type variables; grows by ``unify``.

    Args:
        bindings: Variables and the types they stand for.
    """

    def __init__(self, bindings: Mapping[Var, Type] | None = None) -> None:
        self.bindings: dict[Var, Type] = dict(bindings or {})
        self._fresh = 0

    def fresh(self) -> Var:
        """A variable that occurs nowhere else; the mark keeps it apart from users' names."""
        self._fresh += 1
        return Var(f"'{self._fresh}")

    def instantiate(self, types: Iterable[Type]) -> list[Type]:
        """``types`` with their variables renamed to fresh ones, the same name to the same one."""
        renamed: dict[Var, Type] = {}
        result = []
        for type_ in types:
            for variable in type_.variables:
                if variable not in renamed:
                    renamed[variable] = self.fresh()
            result.append(replace(type_, renamed))
        return result

    def walk(self, type_: Type) -> Type:
        """``type_`` itself, or what it is bound to if it is a bound variable."""
        while isinstance(type_, Var) and type_ in self.bindings:
            type_ = self.bindings[type_]
        return type_

    def apply(self, type_: Type) -> Type:
        """``type_`` with every bound variable replaced, down to the last."""
        type_ = self.walk(type_)
        if type_.is_ground or not type_.parts:
            return type_
        return type_.with_parts([self.apply(part) for part in type_.parts])

    def occurs(self, variable: Var, type_: Type) -> bool:
        """Whether ``variable`` occurs in ``type_`` once its variables are replaced."""
        stack = [type_]
        while stack:
            here = self.walk(stack.pop())
            if here == variable:
                return True
            if not here.is_ground:
                stack.extend(here.parts)
        return False

    def unify(self, left: Type, right: Type) -> None:
        """Bind variables until ``left`` and ``right`` are equal, and no more than that takes.

        After a failure some bindings of the attempt remain.

        Raises:
            UnificationError: If nothing makes them equal; a variable inside its own value counts.
        """
        stack = [(left, right)]
        while stack:
            a, b = (self.walk(type_) for type_ in stack.pop())
            if a is b or a == b:
                continue
            if isinstance(b, Var) and not isinstance(a, Var):
                a, b = b, a
            if isinstance(a, Var):
                if self.occurs(a, b):
                    raise UnificationError(f"{a} occurs in {self.apply(b)}: no finite type fits")
                self.bindings[a] = b
            elif self._same_kind(a, b):
                stack.extend(zip(a.parts, b.parts, strict=True))
            else:
                raise UnificationError(f"{self.apply(left)} is not {self.apply(right)}")

    @staticmethod
    def _same_kind(a: Type, b: Type) -> bool:
        """Whether the two differ at most in their parts."""
        if type(a) is not type(b) or not a.parts or len(a.parts) != len(b.parts):
            return False
        return a.with_parts(b.parts) == b


def replace(type_: Type, values: Mapping[Var, Type]) -> Type:
    """``type_`` with variables replaced once, all at the same time."""
    if isinstance(type_, Var):
        return values.get(type_, type_)
    if type_.is_ground:
        return type_
    return type_.with_parts([replace(part, values) for part in type_.parts])


def unify(left: Type, right: Type) -> Substitution:
    """The most general substitution that makes two types equal.

    Raises:
        UnificationError: If there is none.
    """
    substitution = Substitution()
    substitution.unify(left, right)
    return substitution
