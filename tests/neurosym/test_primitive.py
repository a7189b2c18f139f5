"""What a primitive promises: its table is total, in range, and agrees with what it was made of."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosym import BOTTOM, Base, Bool, If, Int, Language, List, Primitive, Var, primitive
from overparam.errors import InputError

from .strategies import languages

V = Int(0, 4, "modulo")
E = Int(0, 4, "bottom")
few = settings(deadline=None, max_examples=15)


@few
@given(language=languages())
def test_table_call_and_rows_agree(language):
    for p in (*language.operations, *language.constants):
        if p.table is None or p.table.size > 200:
            continue
        assert p.table.shape == tuple(type_.size for type_ in p.inputs)
        every = list(itertools.product(*(type_.values() for type_ in p.inputs)))
        expected = [p.output.index(p.call(*values)) for values in every]
        assert p.table.ravel().tolist() == expected
        grid = np.indices(p.table.shape) if p.arity else []
        np.testing.assert_array_equal(p.rows(*grid), p.table)
        with pytest.raises(ValueError, match="read-only"):
            p.table[...] = 0


@few
@given(language=languages(control=False))
def test_bottom_absorbs_except_in_branches(language):
    for p in language.operations:
        for place, type_ in enumerate(p.inputs):
            if not type_.has_bottom or (isinstance(p, If) and place):
                continue
            values = [t.values()[0] for t in p.inputs]
            values[place] = BOTTOM
            assert p.call(*values) is BOTTOM


@few
@given(language=languages(control=False))
def test_without_a_table_rows_are_the_same(language):
    for p in language.operations:
        if p.table is None or type(p) is not Primitive:
            continue
        slow = Primitive(p.name, p.inputs, p.output, p.call, tabulate=False)
        assert slow.table is None
        columns = np.stack([axis.ravel() for axis in np.indices(p.table.shape)])
        np.testing.assert_array_equal(slow.rows(*columns), p.rows(*columns))


def test_the_decorator_reads_annotations():
    @primitive(cost=0.5, python="{0} + {1}")
    def add(a: V, b: V) -> V:
        return a + b

    assert (add.name, add.inputs, add.output, add.cost) == ("add", (V, V), V, 0.5)
    assert add.call(3, 4) == 2 and add.commutative
    assert repr(add) == ("Primitive(add(int[0..4 modulo], int[0..4 modulo]) -> int[0..4 modulo])")
    with pytest.raises(InputError, match=r"half: annotate b with a type .*, got <class 'int'>"):

        @primitive()
        def half(a: V, b: int) -> V:
            return a

    with pytest.raises(InputError, match="half: annotate its result"):

        @primitive(name="other")
        def half(a: V):
            return a


def test_commutation_is_found_in_the_table():
    assert not Primitive("first", (V, V), V, lambda a, b: a).commutative
    assert Primitive("max", (V, V), V, max).commutative
    assert not Primitive("mixed", (V, Bool()), V, lambda a, b: a).commutative


def test_partial_meanings_are_bottom_or_an_error():
    quotient = Primitive("div", (E, E), E, lambda a, b: a // b)
    assert quotient.call(3, 0) is BOTTOM and quotient.call(4, 2) == 2
    with pytest.raises(InputError, match=r"div\(0, 0\) has no value: .*zero"):
        Primitive("div", (V, V), V, lambda a, b: a // b)


def test_polymorphic_primitives_have_one_instance_per_type():
    a = Var("a")
    same = Primitive("same", (a, a), Bool(), lambda x, y: x == y)
    assert same.table is None and same.variables == (a,)
    assert same.instance([V]) is same.instance([V])
    np.testing.assert_array_equal(same.instance([V]).table, np.eye(5))
    choice = If().instance([List(Bool(), 1)])
    assert isinstance(choice, If) and choice.table.shape == (2, 3, 3)


def test_a_written_table_is_a_meaning():
    table = np.array([[0, 1], [1, 0]])
    xor = Primitive("xor", (Bool(), Bool()), Bool(), table)
    assert xor.call(True, False) is True and xor.commutative
    assert Language([xor]).fingerprint == Language([Primitive(
        "xor", (Bool(), Bool()), Bool(), lambda a, b: a != b)]).fingerprint  # fmt: skip


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Primitive("f", (V,), Int(0, 3), lambda a: a), r"f\(4\): 4 lies outside 0..3; ch"),
        (lambda: Primitive("f", (V,), V, lambda a: "x"), r"f\(0\): 'x' is no integer"),
        (lambda: Primitive("f", (V,), Bool(), lambda a: a), r"f\(0\): 0 is no value of bool"),
        (lambda: Primitive("f", (V,), V, [0, 1, 2, 3]), "must hold integers of shape"),
        (lambda: Primitive("f", (V,), V, [0, 1, 2, 3, 9]), r"table of f: f\(4\) is 9, no index"),
        (lambda: Primitive("f", (V,), V, [0, 1, 2, -1, 0]), r"table of f: f\(3\) is -1"),
        (lambda: Primitive("f", (Base("G"),), V, [0]), "its types must be finite"),
        (lambda: Primitive("f", (E,), Bool(), lambda a: True), "f may get BOTTOM but bool has"),
        (lambda: Primitive("f", (V,), V), "f has no meaning"),
        (lambda: Primitive("f g", (), V, 1), "name must be one word"),
        (lambda: Primitive("x0", (), V, 1), "must not be named as a variable"),
        (lambda: Primitive("lam", (), V, 1), "name must be one word"),
        (lambda: Primitive("c", (), V, 1, cost=-1.0), "cost of c must be finite and not negative"),
        (lambda: Primitive("c", (), Int(0, 3), 7), r"c\(\): 7 lies outside"),
        (
            lambda: Primitive("f", (V, V), V, lambda a, b: a, commutative=True),
            "f is not commutative: swap 0 and 1",
        ),
        (
            lambda: Primitive("f", (V,), V, lambda a: a, commutative=True),
            "f is not commutative: it needs two",
        ),
        (
            lambda: Primitive("f", (V, V), V, lambda a, b: a + b, python="{0} - {1}"),
            r"f\(0, 1\) is 1, but python='.0. - .1.' gives 4",
        ),
    ],
)  # fmt: skip
def test_nonsense_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


@given(value=st.integers(0, 4))
def test_a_constant_is_its_value(value):
    constant = Primitive("c", (), V, value)
    assert constant.is_constant and constant.value == constant.call() == value
    assert constant.rows() == V.index(value)
