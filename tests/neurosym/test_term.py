"""What terms promise: equal means identical, ill-typed cannot be built, depth is no matter."""

import copy

import pytest
from hypothesis import given, settings

from neurosym import Arrow, Bool, Int, Primitive, Program
from neurosym.reader import read
from neurosym.term import Apply, Bound, Lambda, Leaf, Variable, abstract, apply, show, subterms
from overparam.errors import InputError

from .strategies import programs

V = Int(0, 4, "modulo")
ADD = Primitive("add", (V, V), V, lambda a, b: a + b)
NOT = Primitive("not", (Bool(),), Bool(), lambda a: not a)
few = settings(deadline=None, max_examples=20)


@few
@given(program=programs())
def test_equal_terms_are_one_object(program):
    types = [i.type for i in program.inputs]
    again, _ = read(program.language, show(program.term), inputs=types, type=program.type)
    assert again is program.term
    assert copy.deepcopy(program.term) is program.term
    assert Program(program.language, again, program.inputs) == program
    found = list(subterms(program.term))
    assert len(found) == len(set(found)) and found[-1] is program.term
    for place, term in enumerate(found):
        assert set(term.children) <= set(found[:place])


@few
@given(program=programs())
def test_size_counts_the_tree(program):
    words = str(program).replace("(", " ").replace(")", " ").split()
    variables = [w for w in words if w == "lam" or (w[0] in "x$" and w[1:].isdigit())]
    assert program.term.size == len(words) - len(variables)


def test_application_is_flat():
    x, y = Variable(0, V), Variable(1, V)
    assert apply(Apply(Leaf(ADD), [x]), y) is Apply(Leaf(ADD), [x, y])
    assert apply(x) is x
    partial = Apply(Leaf(ADD), [x])
    assert partial.type == Arrow(V, V) and show(partial) == "(add x0)"


def test_free_variables_carry_their_types():
    body = apply(Leaf(ADD), Bound(0, V), Bound(2, V))
    assert body.scope == (V, None, V) and not body.is_closed
    assert Lambda(V, body).scope == (None, V)
    assert abstract([V, Bool(), V], body).is_closed
    assert show(abstract([V, Bool(), V], body)) == "(lam (lam (lam (add $0 $2))))"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Apply(Leaf(NOT), [Variable(0, V)]), "argument 1 of not must be bool, got int"),
        (lambda: Apply(Leaf(NOT), [Variable(0, Bool())] * 2), "not takes 1 arguments, got 2"),
        (lambda: Apply(Leaf(NOT), []), "not is applied to nothing"),
        (lambda: Lambda(Bool(), apply(Leaf(ADD), Bound(0, V), Bound(0, V))), r"\$0 is int"),
        (
            lambda: apply(
                Lambda(V, Lambda(Bool(), Bound(1, V))),
                Bound(0, V),
                apply(Leaf(NOT), Bound(0, Bool())),
            ),
            r"\$0 is used both as",
        ),
        (lambda: Variable(-1, V), "no variable"),
    ],
)
def test_ill_typed_terms_cannot_be_built(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_sharing_keeps_an_exponential_tree_small():
    term = Variable(0, V)
    for _ in range(100):
        term = apply(Leaf(ADD), term, term)
    assert term.size == 2**100 - 1
    assert len(list(subterms(term))) == 102
