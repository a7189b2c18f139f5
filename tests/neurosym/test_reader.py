"""Reading: what is printed reads back, and every mistake is told with its place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosym import Bool, Fold, If, Int, Language, List, Primitive, Var, parse
from neurosym.reader import read
from overparam.errors import InputError

from .strategies import programs

V = Int(0, 18, "modulo")
LANGUAGE = Language(
    [
        Primitive("add", (V, V), V, lambda a, b: a + b),
        Primitive("max", (V, V), V, max),
        Primitive("eq", (Var("a"), Var("a")), Bool(), lambda a, b: a == b),
        If(),
        Fold(List(V, 2), V),
    ],
    constants={V: [0, 1]},
)
few = settings(deadline=None, max_examples=25)


@few
@given(program=programs(), spaces=st.sampled_from([" ", "  ", "\n", "\t "]))
def test_programs_read_back(program, spaces):
    text = str(program).replace(" ", spaces).replace("(", f"({spaces}")
    assert parse(program.language, text) == program


def test_the_example_of_the_contract():
    program = parse(LANGUAGE, "(add x0 (max x1 x2))")
    assert [str(i.type) for i in program.inputs] == ["int[0..18 modulo]"] * 3
    assert program(1, 2, 3) == 4 and program(10, 2, 9) == 0
    assert repr(program) == "<Program (add x0 (max x1 x2)): int[0..18 modulo]>"


def test_types_of_inputs_follow_from_their_use():
    program = parse(LANGUAGE, "(if (eq x1 x2) (fold max x1 x0) 0)")
    assert [i.type for i in program.inputs] == [List(V, 2), V, V]
    # an input that is never read takes the type of another
    assert [i.type for i in parse(LANGUAGE, "(add x2 1)").inputs] == [V, V, V]
    term, inputs = read(LANGUAGE, "(lam (lam (add $1 $0)))")
    assert str(term.type) == f"{V} -> {V} -> {V}" and inputs == ()


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("(add x0", (1, 1), "this '(' is never closed"),
        ("(add x0\n (max x1 x2)", (1, 1), "this '(' is never closed"),
        ("(add x0 x1))", (1, 12), "this ')' closes nothing"),
        ("(add x0\n  (mx x1 x2))", (2, 4), "unknown name 'mx'; did you mean 'max'?"),
        ("(zzz x0)", (1, 2), "unknown name 'zzz'; language has 0, 1, add, eq, fold, if, max"),
        ("(add x0)", (1, 1), "add takes 2 arguments, got 1"),
        ("(max (add x0) x1)", (1, 6), "add takes 2 arguments, got 1"),
        ("(max add x1)", (1, 6), "add takes 2 arguments, got 0"),
        ("(add x0 x1 x2)", (1, 12), "add takes 2 arguments, got 3"),
        ("(add (eq x0 x1) x2)", (1, 6), f"argument 1 of add must be {V}, got eq: bool"),
        ("(if (eq x0 0) 1 (eq x1 0))", (1, 17), f"argument 3 of if must be {V}, got eq: bool"),
        ("(add x0 (lam $0))", (1, 9), "argument 2 of add must be"),
        ("$0", (1, 1), "$0 is free: it stands in 0 lam"),
        ("(lam $1)", (1, 6), "$1 is free: it stands in 1 lam"),
        ("(fold (lam (lam (add $0 $2))) 0 x0)", (1, 25), "$2 is free: it stands in 2 lam"),
        ("(lam x0 x1)", (1, 1), "lam takes one body, got 2"),
        ("(add lam x0)", (1, 6), "lam must follow a '('"),
        ("()", (1, 1), "these parentheses are empty"),
        ("", (1, 1), "there is no program"),
        ("x0 x1", (1, 4), "x1 stands after the program's end"),
        ("(eq x0 x1)", (1, 1), "the type of x0 is open"),
        ("((lam ($0 $0)) x0)", (1, 11), "occurs in"),
        ("(add 7 x0)", (1, 6), "unknown name '7'"),
    ],
)
def test_mistakes_are_told_with_their_place(text, place, words):
    with pytest.raises(InputError) as caught:
        parse(LANGUAGE, text)
    line, column = place
    assert str(caught.value).startswith(f"line {line}, column {column}: ")
    assert words in str(caught.value)


def test_declared_inputs_and_output_are_kept():
    language = Language(LANGUAGE.primitives, inputs=[V, V], output=V)
    assert len(parse(language, "x1").inputs) == 2
    with pytest.raises(InputError, match=r"there is no input x2; the inputs are x0\.\.x1"):
        parse(language, "(add x0 x2)")
    with pytest.raises(InputError, match=r"the program must be int.*, got eq: bool"):
        parse(language, "(eq x0 x1)")


@few
@given(text=st.text(alphabet="()x01$ lamadd\n", max_size=30))
def test_no_text_breaks_the_reader(text):
    try:
        program = parse(LANGUAGE, text)
    except InputError as error:
        assert "column" in str(error) or "program" in str(error)
    else:
        assert parse(LANGUAGE, str(program)).term is program.term
