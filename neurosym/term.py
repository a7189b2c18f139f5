"""Typed terms: input variables, primitives, application, abstraction.

Terms are immutable and hash-consed: equal terms are one object, so that equality is identity, a
subterm that occurs twice exists once, and every term is a directed acyclic graph. A constructor
checks types, so an ill-typed term cannot exist. Inside abstractions variables are de Bruijn
indices: ``$0`` belongs to the nearest ``lam``. No function here recurses on terms; depth is bounded
by memory alone.

Source: de Bruijn, "Lambda calculus notation with nameless dummies", Indag. Math. 34 (1972) 381;
Filliâtre and Conchon, "Type-safe modular hash-consing", ML Workshop 2006.
"""

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import NoReturn
from weakref import WeakValueDictionary

from neurosym.primitive import Primitive
from neurosym.types import Arrow, Type
from overparam.errors import InputError

_POOL: WeakValueDictionary[tuple, "Term"] = WeakValueDictionary()
_LOCK = Lock()


class Term:
    """A typed expression.

    Attributes:
        type: Type of its value.
        scope: Types of its free de Bruijn variables ``$0, $1, ...``, None where one does not
            occur; empty if there is none.
        size: Number of primitives, counted as a tree; a library function counts 1.
    """

    __slots__ = ("__weakref__", "scope", "size", "type")
    type: Type
    scope: tuple[Type | None, ...]
    size: int

    @property
    def children(self) -> tuple["Term", ...]:
        """Immediate subterms."""
        return ()

    @property
    def is_closed(self) -> bool:
        """Whether no de Bruijn variable is free in it."""
        return not self.scope

    def __str__(self) -> str:
        return show(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self if self.size < 200 else '...'}: {self.type}>"

    def __copy__(self) -> "Term":
        return self

    def __deepcopy__(self, memo: dict) -> "Term":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a term cannot be pickled: pickle its program, or write it as text or JSON")


def _intern(key: tuple, made: Term) -> Term:
    """The one object with this ``key``, whose parts keep their ids while it lives."""
    with _LOCK:
        return _POOL.setdefault(key, made)


class Variable(Term):
    """The input ``x{index}`` of a program."""

    __slots__ = ("index",)
    index: int

    def __new__(cls, index: int, type: Type) -> "Variable":
        """Return the one variable with this index and type."""
        key = (cls, index, type)
        found = _POOL.get(key)
        if found is None:
            if index < 0 or not type.is_ground:
                raise InputError(f"no variable x{index} of type {type}")
            found = object.__new__(cls)
            found.index, found.type, found.scope, found.size = index, type, (), 0
            found = _intern(key, found)
        return found  # type: ignore[return-value]


class Bound(Term):
    """The de Bruijn variable ``${index}``."""

    __slots__ = ("index",)
    index: int

    def __new__(cls, index: int, type: Type) -> "Bound":
        """Return the one bound variable with this index and type."""
        key = (cls, index, type)
        found = _POOL.get(key)
        if found is None:
            if index < 0 or not type.is_ground:
                raise InputError(f"no bound variable ${index} of type {type}")
            found = object.__new__(cls)
            found.index, found.type, found.size = index, type, 0
            found.scope = (None,) * index + (type,)
            found = _intern(key, found)
        return found  # type: ignore[return-value]


class Leaf(Term):
    """A primitive."""

    __slots__ = ("primitive",)
    primitive: Primitive

    def __new__(cls, primitive: Primitive) -> "Leaf":
        """Return the one leaf of this primitive."""
        key = (cls, id(primitive))
        found = _POOL.get(key)
        if found is None:
            if primitive.variables:
                raise InputError(f"{primitive.signature} in a term needs types for its variables")
            found = object.__new__(cls)
            found.primitive, found.type, found.scope, found.size = primitive, primitive.type, (), 1
            found = _intern(key, found)
        return found  # type: ignore[return-value]


class Apply(Term):
    """A head, itself no application, applied to one or more arguments, perhaps not to all."""

    __slots__ = ("arguments", "head")
    head: Term
    arguments: tuple[Term, ...]

    def __new__(cls, head: Term, arguments: Sequence[Term]) -> "Apply":
        """Return the one application of this head to these arguments.

        Raises:
            InputError: If an argument is missing or has the wrong type.
        """
        given = tuple(arguments)
        if isinstance(head, Apply):  # flat: a head is no application
            given, head = head.arguments + given, head.head
        key = (id(head), *map(id, given))
        found = _POOL.get(key)
        if found is None:
            here: Type = head.type
            for place, argument in enumerate(given, 1):
                if type(here) is not Arrow:
                    raise InputError(f"{head} takes {place - 1} arguments, got {len(given)}")
                if argument.type is not here.argument and argument.type != here.argument:
                    raise InputError(
                        f"argument {place} of {head} must be {here.argument}, got {argument.type}"
                    )
                here = here.result
            if not given:
                raise InputError(f"{head} is applied to nothing")
            found = object.__new__(cls)
            found.head, found.arguments, found.type = head, given, here
            found.size = head.size + sum([argument.size for argument in given])
            found.scope = _merged((head, *given))
            found = _intern(key, found)
        return found  # type: ignore[return-value]

    @property
    def children(self) -> tuple[Term, ...]:
        """Head and arguments."""
        return (self.head, *self.arguments)


class Lambda(Term):
    """A function: ``$0`` in the body is its argument."""

    __slots__ = ("argument", "body")
    argument: Type
    body: Term

    def __new__(cls, argument: Type, body: Term) -> "Lambda":
        """Return the one abstraction of this body.

        Raises:
            InputError: If the body uses ``$0`` at another type.
        """
        key = (cls, id(body), argument)
        found = _POOL.get(key)
        if found is None:
            inside = body.scope[0] if body.scope else None
            if inside is not None and inside != argument:
                raise InputError(f"$0 is {inside} in {body}, but its lam takes {argument}")
            if not argument.is_ground:
                raise InputError(f"the argument of a lam must have a known type, got {argument}")
            found = object.__new__(cls)
            found.argument, found.body, found.size = argument, body, body.size
            found.type = Arrow(argument, body.type)
            found.scope = body.scope[1:]
            found = _intern(key, found)
        return found  # type: ignore[return-value]

    @property
    def children(self) -> tuple[Term, ...]:
        """The body."""
        return (self.body,)


def _merged(terms: Sequence[Term]) -> tuple[Type | None, ...]:
    """The free variables of several terms together."""
    scopes = [term.scope for term in terms if term.scope]
    if not scopes:
        return ()
    if all(scope is scopes[0] for scope in scopes):
        return scopes[0]
    merged: list[Type | None] = [None] * max(map(len, scopes))
    for scope in scopes:
        for index, here in enumerate(scope):
            if here is None:
                continue
            if merged[index] is not None and merged[index] != here:
                raise InputError(f"${index} is used both as {merged[index]} and as {here}")
            merged[index] = here
    return tuple(merged)


def apply(head: Term, *arguments: Term) -> Term:
    """``head`` applied to ``arguments``; ``head`` itself if there is none."""
    return Apply(head, arguments) if arguments else head


def abstract(arguments: Sequence[Type], body: Term) -> Term:
    """``body`` under one abstraction per argument, the first outermost."""
    for argument in reversed(arguments):
        body = Lambda(argument, body)
    return body


def subterms(term: Term) -> Iterator[Term]:
    """Every distinct subterm once, each after its own subterms; the term itself comes last."""
    seen: set[Term] = set()
    stack: list[tuple[Term, bool]] = [(term, False)]
    while stack:
        here, ready = stack.pop()
        if ready:
            yield here
        elif here not in seen:
            seen.add(here)
            stack.append((here, True))
            stack.extend([(child, False) for child in reversed(here.children)])


def show(term: Term) -> str:
    """The s-expression of a term."""
    pieces: list[str] = []
    stack: list[Term | str] = [term]
    while stack:
        here = stack.pop()
        if isinstance(here, str):
            pieces.append(here)
        elif isinstance(here, Variable):
            pieces.append(f"x{here.index}")
        elif isinstance(here, Bound):
            pieces.append(f"${here.index}")
        elif isinstance(here, Leaf):
            pieces.append(here.primitive.name)
        elif isinstance(here, Lambda):
            pieces.append("(lam ")
            stack += [")", here.body]
        else:
            pieces.append("(")
            stack.append(")")
            for child in reversed(here.children[1:]):
                stack += [child, " "]
            stack.append(here.children[0])
    return "".join(pieces)
