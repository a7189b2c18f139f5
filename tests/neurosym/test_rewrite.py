"""Rewriting keeps meanings: substitution, normal forms, library functions."""

import random

import pytest
from hypothesis import given, settings

from neurosym import Definition, Int, Language, Primitive, Program, parse
from neurosym.machine import run
from neurosym.reader import read
from neurosym.rewrite import contract, expand, normal_form, rewrite, shift, substitute, variables
from neurosym.term import Apply, Bound, Lambda, Leaf, Term, Variable, abstract, apply, subterms
from overparam.errors import InputError

from .strategies import languages, programs, random_term, seeds

V = Int(0, 6, "modulo")
ARITHMETIC = Language(
    [
        Primitive("add", (V, V), V, lambda a, b: a + b),
        Primitive("mul", (V, V), V, lambda a, b: a * b),
    ],
    constants={V: [1, 2]},
)
few = settings(deadline=None, max_examples=20)


def bound_to_variables(term: Term, number: int) -> Term:
    """The inputs of ``term`` as bound variables: the body of a function of them."""

    def leaf(here, depth):
        if isinstance(here, Variable):
            return Bound(depth + number - 1 - here.index, here.type)
        return None

    return rewrite(term, leaf)


@few
@given(program=programs(), seed=seeds)
def test_beta_reduction_is_substitution(program, seed):
    rng = random.Random(seed)
    types = [i.type for i in program.inputs]
    arguments = []
    for type_ in types:
        term = random_term(rng, program.language, type_, types, budget=4)
        arguments.append(term if term is not None else Variable(types.index(type_), type_))
    function = abstract(types, bound_to_variables(program.term, len(types)))
    assert function.is_closed
    redex = apply(function, *arguments)
    reduced = normal_form(redex)
    assert reduced is substitute(program.term, dict(enumerate(arguments)))
    assert normal_form(reduced) is reduced
    # a program, its redex and its reduct mean the same
    rows = program.domain.rows(0, 60)
    direct = Program(program.language, redex, program.inputs).rows(rows)
    assert (direct == Program(program.language, reduced, program.inputs).rows(rows)).all()


@few
@given(program=programs())
def test_substituting_inputs_for_themselves_changes_nothing(program):
    inputs = variables(program.term)
    assert substitute(program.term, inputs) is program.term
    assert rewrite(program.term, lambda here, depth: None) is program.term
    assert shift(program.term, 3) is program.term


@few
@given(program=programs(control=False), seed=seeds)
def test_a_library_function_means_its_definition(program, seed):
    types = [i.type for i in program.inputs]
    name = Definition("fn_0", abstract(types, bound_to_variables(program.term, len(types))))
    language = program.language.extend(name)
    call = Program(language, apply(Leaf(name), *map(Variable, range(len(types)), types)), types)
    assert call.size == 1 and call.mass == program.size
    assert expand(call.term) is program.term
    rows = call.domain.rows(0, 60)
    assert (call.rows(rows) == program.with_term(program.term).rows(rows)).all()
    for values in call.domain.values(rows)[:3]:
        assert call(*values) == run(program.term, values)


def test_definitions_may_use_definitions():
    language = ARITHMETIC.define("double", "(lam (add $0 $0))").define(
        "fourfold", "(lam (double (double $0)))"
    )
    program = parse(language, "(fourfold (double x0))")
    assert program.size == 2 and program.mass == 7
    assert [program(x) for x in range(7)] == [8 * x % 7 for x in range(7)]
    assert str(program.expanded()).count("add") == 7
    with pytest.raises(InputError, match="unknown name 'double'"):
        ARITHMETIC.define("fourfold", "(lam (double (double $0)))")
    with pytest.raises(InputError, match="closed term without inputs"):
        ARITHMETIC.define("f", "(add x0 1)")


def test_functions_of_functions():
    program = parse(ARITHMETIC, "((lam (lam ($1 ($1 $0)))) (lam (add $0 2)) x0)")
    assert [program(x) for x in range(7)] == [(x + 4) % 7 for x in range(7)]
    assert str(program.normal_form()) == "(add (add x0 2) 2)"


def test_indices_survive_capture():
    # ((lam (lam (add $0 $1))) x) under a binder must not catch the binder's variable
    inner = Lambda(V, apply(Leaf(ARITHMETIC["add"]), Bound(0, V), Bound(1, V)))
    contracted = contract(inner, Bound(0, V))
    assert str(contracted) == "(lam (add $0 $1))"
    term = Lambda(V, apply(Lambda(V, inner), Bound(0, V)))
    assert normal_form(term) is Lambda(V, contracted)


def test_many_contractions_share_their_work():
    nested: Term = Variable(0, V)
    for _ in range(100):
        nested = Apply(
            Lambda(V, apply(Leaf(ARITHMETIC["add"]), Bound(0, V), Bound(0, V))), [nested]
        )
    assert len(list(subterms(normal_form(nested)))) == 102
    with pytest.raises(InputError, match="too many contractions"):
        normal_form(nested, steps=99)


def test_values_must_fit_the_input():
    term, _ = read(ARITHMETIC, "(add x0 1)")
    with pytest.raises(InputError, match="cannot become"):
        substitute(term, {0: Bound(0, V)})


@few
@given(language=languages())
def test_language_definitions_read_back(language):
    again = language.extend(Definition("fn", Leaf(language.operations[-1])))
    assert again["fn"].type == language.operations[-1].type
