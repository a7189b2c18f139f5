"""Simplification: fewer lines, the same outputs, every identity read off a table."""

import random

import numpy as np
import pytest
from hypothesis import given, settings

from neurosym import Line, StraightLine, parse, simplify
from neurosym.languages.arithmetic import arithmetic
from neurosym.languages.comparison import comparison
from neurosym.languages.lists import lists
from neurosym.simplify import without_copies, without_dead, without_twins

from .strategies import languages, programs, seeds

few = settings(deadline=None, max_examples=20)


def random_lines(rng: random.Random, language, count: int) -> StraightLine:
    """Random lines of a language without control, most of them dead."""
    types = [i.type for i in language.inputs] + [p.output for p in language.constants]
    lines = []
    while len(lines) < count:
        operation = rng.choice(language.operations)
        fitting = [[n for n, t in enumerate(types) if t == w] for w in operation.inputs]
        if not all(fitting):
            count -= 1
            continue
        lines.append(Line(operation, tuple(map(rng.choice, fitting))))
        types.append(operation.output)
    inputs = [i.type for i in language.inputs]
    return StraightLine(language, inputs, lines, rng.randrange(len(types)))


@few
@given(language=languages(control=False), seed=seeds)
def test_no_pass_changes_an_output(language, seed):
    lines = random_lines(random.Random(seed), language, 12)
    rows = language.domain.rows(0, 200)
    expected = lines.rows(rows)
    for shorter in (
        without_dead(lines),
        without_copies(lines),
        without_twins(lines, rows),
        simplify(lines),
        simplify(lines, rows=rows),
    ):
        np.testing.assert_array_equal(shorter.rows(rows), expected)
        assert len(shorter) <= len(lines)
    assert all(without_dead(lines).live)
    assert without_dead(lines).to_program() == lines.to_program()
    assert simplify(simplify(lines)) == simplify(lines)


@few
@given(program=programs())
def test_bodies_are_simplified_too(program):
    simple = program.simplified()
    rows = program.domain.rows(0, 60)
    np.testing.assert_array_equal(simple.rows(rows), program.rows(rows))
    # a line may move out of one body into several lines, but never does the cost grow
    assert simple.cost <= program.cost


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("(add x0 0)", "x0"),
        ("(add 0 (max x1 x1))", "x1"),
        ("(mul x0 0)", "0"),
        ("(mul 1 (add 1 0))", "1"),
        ("(sub (add x0 x1) 0)", "(add x0 x1)"),
        ("(max 0 x2)", "x2"),
        ("(sub x0 x0)", "0"),
        ("(add (mul x1 x0) (mul x0 x1))", None),
    ],
)
def test_identities_come_from_tables(text, simple):
    program = parse(arithmetic(constants=[0, 1]), text)
    found = program.simplified()
    if simple is None:
        assert len(found.straight_line()) == 2  # the product is computed once
    else:
        assert str(found) == simple


def test_choices_without_a_choice_vanish():
    language = comparison(constants=[0])
    assert str(parse(language, "(if (lt x0 x1) x2 (add x2 0))").simplified()) == "x2"
    assert str(parse(language, "(if (lt x0 x0) x1 x2)").simplified()) != "x1"
    body = "(fold (lam (lam (add (add $1 0) (max $0 $0)))) (add 0 0) x0)"
    simple = parse(lists(2), body).simplified()
    assert str(simple) == "(fold (lam (lam (add $1 $0))) 0 x0)"


def test_registers_that_agree_on_the_inputs_become_one():
    language = arithmetic(classes=2)
    program = parse(language, "(add (mul x0 x0) (mul x1 x1))")
    assert str(program.simplified()) == str(program)
    simple = simplify(program.straight_line(), rows=language.domain.rows())
    assert str(simple.to_program()) == "(add x0 x1)"
