"""Comparison and choice: arithmetic with tests, and programs that put digits in order."""

import operator
from collections.abc import Iterable

from neurosym.control import If
from neurosym.finite import Bool, Finite, Int
from neurosym.language import Language
from neurosym.languages.arithmetic import BASE, digits, operations
from neurosym.permutation import Perm
from neurosym.primitive import Primitive
from neurosym.types import Type


def tests(values: Finite) -> list[Primitive]:
    """``lt`` and ``eq`` on a type; where that has ``BOTTOM`` so have the truth values."""
    truth = Bool(values.has_bottom)
    return [
        Primitive("lt", (values, values), truth, operator.lt, python="{0} < {1}"),
        Primitive("eq", (values, values), truth, operator.eq, python="{0} == {1}"),
    ]


def connectives(truth: Bool) -> list[Primitive]:
    """``and``, ``or`` and ``not`` on truth values."""
    return [
        Primitive("and", (truth, truth), truth, operator.and_, python="{0} and {1}"),
        Primitive("or", (truth, truth), truth, operator.or_, python="{0} or {1}"),
        Primitive("not", (truth,), truth, operator.not_, python="not {0}"),
    ]


def comparison(
    hi: int = 27,
    *,
    lo: int = 0,
    overflow: str = "modulo",
    names: Iterable[str] = BASE,
    constants: Iterable[int] = (),
    inputs: int = 3,
    classes: int = 10,
    output: Type | None = None,
    logic: bool = False,
) -> Language:
    """Arithmetic with ``lt``, ``eq`` and ``if``.

    Args:
        hi: Largest value.
        lo: Smallest value.
        overflow: What becomes of results outside; see ``Int``.
        names: Operations of arithmetic.
        constants: Values that programs may use.
        inputs: Number of digits.
        classes: Digits are ``0..classes-1``.
        output: Type of programs, the integers if left out; ``Bool()`` for tests.
        logic: Whether there are ``and``, ``or`` and ``not``.
    """
    integers = Int(lo, hi, overflow)
    compared = tests(integers)
    truth = compared[0].output
    assert isinstance(truth, Bool)
    return Language(
        [
            *operations(integers, names),
            *compared,
            *(connectives(truth) if logic else []),
            If(integers, condition=truth),
        ],
        inputs=digits(integers, inputs, classes=classes),
        constants={integers: constants},
        output=output or integers,
        name="comparison",
    )


def ordering(count: int = 3, *, classes: int = 10) -> Language:
    """Programs from digits to the permutation that sorts them: item i is the place of the i-th.

    Primitives are ``lt``, ``and``, ``if``, and ``index``, which composes permutations:
    ``(index p q)`` has at place i what ``p`` has at place ``q[i]``.

    Args:
        count: Number of digits.
        classes: Digits are ``0..classes-1``.
    """
    integers, places = Int(0, classes - 1), Perm(count)
    less, _ = tests(integers)
    both, _, _ = connectives(Bool())
    return Language(
        [
            less,
            both,
            Primitive(
                "index", (places, places), places, lambda p, q: tuple(p[i] for i in q),
                python="tuple([{0}[i] for i in {1}])",
            ),
            If(places),
        ],
        inputs=digits(integers, count, classes=classes),
        constants={places: places.values()},
        output=places,
        name="ordering",
    )  # fmt: skip
