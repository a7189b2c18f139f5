"""Evaluation: on values as on arrays, lazily, shared, and never past the step cap."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from neurosym import (
    Bool,
    Fold,
    If,
    Int,
    Language,
    List,
    Loop,
    Map,
    Primitive,
    StepLimitError,
    parse,
)
from neurosym.machine import Call, drive, run
from neurosym.term import Leaf, Variable, apply
from overparam.errors import InputError

from .strategies import programs

V = Int(0, 9, "modulo")
ITEMS = List(V, 3)
few = settings(deadline=None, max_examples=25)


def language(*more, **settings):
    made = [
        Primitive("add", (V, V), V, lambda a, b: a + b),
        Primitive("mul", (V, V), V, lambda a, b: a * b),
        Primitive("lt", (V, V), Bool(), lambda a, b: a < b),
        If(),
        Fold(ITEMS, V),
        Map(ITEMS, V),
        Loop(V, 5),
    ]
    return Language([*made, *more], constants={V: [0, 1, 2]}, **settings)


@few
@given(program=programs())
def test_values_and_arrays_agree(program):
    rows = program.domain.rows(0, 50)
    found = program.rows(rows)
    for values, index in zip(program.domain.values(rows), found, strict=True):
        assert program(*values) == program.type.value(index)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("(fold (lam (lam (add (mul 2 $1) $0))) 1 x0)",
         lambda xs: int("1" + "0" * len(xs), 2) + sum(x << n for n, x in enumerate(xs[::-1]))),
        ("(fold add 0 (map (mul 2) x0))", lambda xs: 2 * sum(xs)),
        ("(fold (lam (lam (if (lt $1 $0) $0 $1))) 0 x0)", lambda xs: max(xs, default=0)),
        ("(fold (lam (lam (add $1 1))) 0 x0)", len),
    ],
)  # fmt: skip
def test_folds_and_maps(text, meaning):
    program = parse(language(inputs=[ITEMS]), text)
    lists = [xs for n in range(4) for xs in itertools.product((0, 3, 7), repeat=n)]
    indices = np.array([[ITEMS.index(xs) for xs in lists]])
    expected = [meaning(xs) % 10 for xs in lists]
    assert [program(xs) for xs in lists] == expected
    assert program.rows(indices).tolist() == expected


def test_loops_end_by_their_condition_or_bound():
    program = parse(language(), "(loop (lam (lt $0 x1)) (add 2) x0)")

    def meaning(x, y):
        for _ in range(5):
            if x >= y:
                break
            x = (x + 2) % 10
        return x

    assert program.verify(meaning).is_proof
    assert [program(x, y) for x, y in [(0, 9), (9, 0)]] == [meaning(0, 9), 9]


def test_bodies_see_what_is_around_them():
    program = parse(
        language(inputs=[ITEMS, V]),
        "(fold (lam (lam (add $1 (fold (lam (lam (add $1 (mul $0 $2)))) x1 x0)))) 0 x0)",
    )
    xs = (1, 2, 4)
    # in the inner body $2 is the outer item
    expected = sum(7 + sum(y * x for y in xs) for x in xs) % 10
    assert program(xs, 7) == expected
    assert V.value(program.rows(np.array([[ITEMS.index(xs)], [7]]))[0]) == expected


def test_the_branch_not_taken_is_not_evaluated():
    called = []

    def meaning(a):
        called.append(a)
        return a

    noisy = Primitive("noisy", (V,), V, meaning, tabulate=False)
    program = parse(language(noisy), "(if (lt x0 1) (noisy x0) (noisy (add x0 1)))")
    assert (program(0), program(5)) == (0, 6)
    assert called == [0, 6]


def test_shared_subterms_are_evaluated_once():
    calls = []
    count = Primitive("count", (V, V), V, lambda a, b: calls.append(1) or a + b, tabulate=False)
    term = Variable(0, V)
    for _ in range(60):
        term = apply(Leaf(count), term, term)
    assert run(term, [1]) == 2**60 % 10 and len(calls) == 60
    # in a body as well: once per call of the body
    text = "(add $1 $0)"
    for _ in range(20):
        text = f"(count {text} {text})" if len(text) < 3000 else text
    calls.clear()
    program = parse(language(count), f"(fold (lam (lam {text})) 0 x0)")
    program((1, 2, 3))
    assert len(calls) == 3 * str(program.straight_line()).count("count")


def test_the_step_cap_is_exact_and_told():
    program = parse(language(), "(add x0 (add x1 x2))")
    assert program(1, 2, 3, steps=2) == 6
    with pytest.raises(StepLimitError, match="takes more than 1 steps"):
        program(1, 2, 3, steps=1)
    with pytest.raises(StepLimitError):
        program.rows(np.zeros((3, 4), dtype=int), steps=1)


def test_values_are_checked():
    program = parse(language(), "(add x0 x1)")
    with pytest.raises(InputError, match="takes 2 values, got 1"):
        program(1)
    with pytest.raises(InputError, match="x1: 10 is no value of"):
        program(1, 10)
    with pytest.raises(InputError, match=r"indices must be \(2, n\)"):
        program.rows(np.zeros((1, 4), dtype=int))


def test_partial_application_is_a_value():
    assert parse(language(), "(fold (lam (lam ((if (lt $0 2) (add 1) (mul 2)) $1))) 1 x0)")(
        (0, 5, 1)
    ) == ((1 + 1) * 2 + 1)


def test_control_can_be_driven_by_plain_functions():
    fold = Fold(ITEMS, V)
    assert drive(fold.values(lambda a, x: a + x, 0, (1, 2, 3))) == 6
    assert drive(Call(max, (1, 2))) == 2
    assert drive(5) == 5
