"""Straight-line programs: the same programs as terms, and the same meaning."""

import numpy as np
import pytest
from hypothesis import given, settings

from neurosym import (
    Arrow,
    Block,
    Bool,
    Int,
    Language,
    Line,
    Primitive,
    Program,
    StraightLine,
    parse,
)
from neurosym.languages.lists import lists
from neurosym.reader import read
from overparam.errors import InputError

from .strategies import programs

V = Int(0, 4, "modulo")
LANGUAGE = Language(
    [
        Primitive("add", (V, V), V, lambda a, b: a + b),
        Primitive("lt", (V, V), Bool(), lambda a, b: a < b),
        Primitive("copy", (V,), V, lambda a: a, cost=0.5),
    ],
    inputs=[V, V],
    constants={V: [1]},
)
ADD, LT, COPY = LANGUAGE.operations
few = settings(deadline=None, max_examples=25)


@few
@given(program=programs())
def test_terms_and_lines_are_the_same_programs(program):
    lines = program.straight_line()
    assert lines.to_program() == program.normal_form()
    assert lines.type == program.type
    assert all(lines.live) and lines.cost == pytest.approx(program.cost)
    rows = program.domain.rows(0, 40)
    np.testing.assert_array_equal(lines.rows(rows), program.rows(rows))
    for values in program.domain.values(rows)[:5]:
        assert lines(*values) == program(*values)
    assert StraightLine.of(lines.to_program()) == lines
    assert hash(StraightLine.of(program)) == hash(lines)


def test_what_occurs_twice_is_one_line():
    program = parse(LANGUAGE, "(add (add x0 1) (add (add x0 1) (add x0 1)))")
    assert str(program.straight_line()) == "\n".join(
        ["t0 = add x0 1", "t1 = add t0 t0", "t2 = add t0 t1", "return t2"]
    )
    assert program.size == 8 and program.cost == 3.5


def test_registers_are_inputs_constants_lines():
    lines = StraightLine(LANGUAGE, [V, V], [Line(ADD, (0, 2)), Line(COPY, (1,))], 3)
    assert lines.first_line == 3 and lines.types == (V, V, V, V, V)
    assert lines.live == (True, False)
    assert lines(3, 0) == 4 and lines.cost == 2.0
    assert str(lines.to_program()) == "(add x0 1)"


def test_a_body_keeps_what_does_not_depend_on_it_outside():
    program = parse(lists(2), "(fold (lam (lam (add $1 (add 1 (head x0))))) 0 x0)")
    lines = program.straight_line()
    assert [line.primitive.name for line in lines.lines] == ["head", "add", "fold"]
    block = lines.lines[-1].arguments[0]
    assert isinstance(block, Block) and len(block.lines) == 1
    assert block.lines[0].arguments == (lines.first_line + 2, lines.first_line + 1)


@pytest.mark.parametrize(
    ("lines", "output", "words"),
    [
        ([Line(ADD, (0,))], 3, "line t0: add takes 2 arguments, got 1"),
        ([Line(ADD, (0, 3))], 3, "line t0: add reads register 3 of 3"),
        ([Line(LT, (0, 1)), Line(ADD, (0, 3))], 4, "line t1: add needs int.*, register 3 is bool"),
        ([Line(ADD, (0, 1))], 4, "output must be one of 4 registers, got 4"),
        ([Line(ADD, (0, -1))], 3, "reads register -1"),
    ],
)
def test_nonsense_is_refused(lines, output, words):
    with pytest.raises(InputError, match=words):
        StraightLine(LANGUAGE, [V, V], lines, output)


def test_functions_have_no_register():
    language = Language(LANGUAGE.primitives)
    for text in ["(lam (add $0 1))", "(add 1)"]:
        term, _ = read(language, text, type=Arrow(V, V))
        with pytest.raises(InputError, match=r"no register holds|no straight-line form"):
            Program(language, term).straight_line()
