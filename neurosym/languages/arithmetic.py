"""Arithmetic on a range of integers: sums, differences, extremes, products, remainders."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

from neurosym.domain import Input
from neurosym.finite import Int
from neurosym.language import Language
from neurosym.primitive import Primitive
from overparam.errors import InputError


def _remainder(a: int, b: int) -> int:
    # a mod 0 = a: Knuth, The Art of Computer Programming 1, section 1.2.4
    return a % b if b else a


# name: function, Python expression, function on arrays of real numbers
OPERATIONS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "add": (operator.add, "{0} + {1}", "add"),
    "sub": (operator.sub, "{0} - {1}", "subtract"),
    "mul": (operator.mul, "{0} * {1}", "multiply"),
    "max": (max, "max({0}, {1})", "maximum"),
    "min": (min, "min({0}, {1})", "minimum"),
    "mod": (_remainder, "{0} % {1} if {1} else {0}", "remainder"),
}
BASE = ("add", "sub", "max", "mul")


def operations(integers: Int, names: Iterable[str] = BASE) -> list[Primitive]:
    """Binary operations on ``integers``; what leaves the range obeys its overflow policy.

    Raises:
        InputError: If a name is unknown, or a result overflows and the policy is ``error``.
    """
    made = []
    for name in names:
        if name not in OPERATIONS:
            raise InputError(f"operations must be among {', '.join(OPERATIONS)}, got {name!r}")
        meaning, python, continuous = OPERATIONS[name]
        made.append(
            Primitive(
                name, (integers, integers), integers, meaning, python=python, continuous=continuous
            )
        )
    return made


def digits(integers: Int, count: int, *, classes: int = 10) -> list[Input]:
    """``count`` inputs that take the values ``0..classes-1`` of ``integers``."""
    return [Input(integers, range(classes)) for _ in range(count)]


def arithmetic(
    hi: int = 18,
    *,
    lo: int = 0,
    overflow: str = "modulo",
    names: Iterable[str] = BASE,
    constants: Iterable[int] = (),
    inputs: int = 3,
    classes: int = 10,
) -> Language:
    """Programs over digits whose registers hold ``lo..hi``.

    Args:
        hi: Largest value; 18 holds the sum of two digits.
        lo: Smallest value, at most 0.
        overflow: What becomes of results outside; see ``Int``.
        names: Operations, of add, sub, mul, max, min, mod (where ``x mod 0`` is x).
        constants: Values that programs may use.
        inputs: Number of digits.
        classes: Digits are ``0..classes-1``.
    """
    integers = Int(lo, hi, overflow)
    return Language(
        operations(integers, names),
        inputs=digits(integers, inputs, classes=classes),
        constants={integers: constants},
        output=integers,
        name="arithmetic",
    )
