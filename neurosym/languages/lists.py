"""Lists of bounded length: fold, map, count, sort and the usual first-order functions."""

from collections.abc import Callable, Iterable
from typing import Any

from neurosym.composite import List
from neurosym.control import Fold, If, Map
from neurosym.domain import Input
from neurosym.finite import Int
from neurosym.language import Language
from neurosym.languages.arithmetic import digits, operations
from neurosym.languages.comparison import tests
from neurosym.primitive import Primitive
from neurosym.structure import Pack, Select
from neurosym.types import Type


def functions(items: List, integers: Int) -> list[Primitive]:
    """First-order functions on lists of integers; what would be too long loses its end.

    ``head``, ``last`` and ``at`` give the smallest integer where there is no item.
    """
    zero, longest = integers.lo, items.max_len
    places = Int(0, longest)

    def made(
        name: str, inputs: tuple[Type, ...], output: Type, meaning: Callable[..., Any], python: str
    ) -> Primitive:
        return Primitive(name, inputs, output, meaning, python=python)

    return [
        Primitive("nil", (), items, (), cost=0.5),
        made(
            "cons", (integers, items), items, lambda x, xs: (x, *xs)[:longest],
            f"({{0}}, *{{1}})[:{longest}]",
        ),
        made("head", (items,), integers, lambda xs: xs[0] if xs else zero,
             f"{{0}}[0] if {{0}} else {zero}"),
        made("last", (items,), integers, lambda xs: xs[-1] if xs else zero,
             f"{{0}}[-1] if {{0}} else {zero}"),
        made("tail", (items,), items, lambda xs: xs[1:], "{0}[1:]"),
        made("reverse", (items,), items, lambda xs: xs[::-1], "{0}[::-1]"),
        made("length", (items,), places, len, "len({0})"),
        made("sort", (items,), items, lambda xs: tuple(sorted(xs)), "tuple(sorted({0}))"),
        Select("at", items, places, beyond=zero),
    ]  # fmt: skip


def argsort(items: List) -> Primitive:
    """Places of a list's items in sorted order, equal ones from left to right."""
    places = List(Int(0, max(items.max_len - 1, 0)), items.max_len)
    return Primitive(
        "argsort", (items,), places,
        lambda xs: tuple(sorted(range(len(xs)), key=xs.__getitem__)),
        python="tuple(sorted(range(len({0})), key={0}.__getitem__))",
    )  # fmt: skip


def lists(
    max_len: int = 3,
    *,
    classes: int = 10,
    hi: int = 18,
    overflow: str = "modulo",
    names: Iterable[str] = ("add", "max"),
    constants: Iterable[int] = (0, 1),
    output: Type | None = None,
) -> Language:
    """Programs over one list of digits, with ``fold``, ``map``, ``if`` and first-order functions.

    Args:
        max_len: Longest list.
        classes: Digits are ``0..classes-1``; lists and numbers hold ``0..hi`` of which they are a
            part.
        hi: Largest number.
        overflow: What becomes of larger ones; see ``Int``.
        names: Operations of arithmetic.
        constants: Numbers that programs may use.
        output: Type of programs; a number if left out.
    """
    integers = Int(0, hi, overflow)
    items = List(integers, max_len)
    return Language(
        [
            *operations(integers, names),
            *tests(integers),
            If(),
            Fold(items, integers),
            Fold(items, items, name="fold_list"),
            Map(items, integers),
            *functions(items, integers),
            argsort(items),
        ],
        inputs=[_digit_lists(items, classes)],
        constants={integers: constants},
        output=output or integers,
        name="lists",
    )


def _digit_lists(items: List, classes: int) -> Input:
    """The lists of digits among those of larger numbers, where they can be listed."""
    digit = List(Int(0, classes - 1), items.max_len)
    return Input(items, digit.values()) if digit.size <= 200_000 else Input(items)


def counting(
    count: int = 5, *, classes: int = 10, constants: Iterable[int] = range(10)
) -> Language:
    """Programs that count: a fold over ``count`` digits, as with ``(list x0 x1 ...)``.

    A body adds ``(same x k)``, 1 where digit ``x`` is the constant ``k``, else 0.

    Args:
        count: Number of digits.
        classes: Digits are ``0..classes-1``.
        constants: Digits to compare with.
    """
    digit, total = Int(0, classes - 1), Int(0, count, "saturate")
    items = List(digit, count)
    same = Primitive(
        "same", (digit, digit), total, lambda a, b: int(a == b), python="int({0} == {1})"
    )
    add, *_ = operations(total, ["add"])
    return Language(
        [same, add, Fold(items, total), Pack("list", items, cost=0.0),
         Primitive("none", (), total, 0, cost=0.5)],
        inputs=digits(digit, count, classes=classes),
        constants={digit: constants},
        output=total,
        name="counting",
    )  # fmt: skip
