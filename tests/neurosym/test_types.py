"""What finite types promise: values and indices are one another's names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosym import BOTTOM, Arrow, Base, Bool, Grid, Int, List, Perm, Record, Symbol, function
from neurosym.composite import Product
from neurosym.types import uncurry
from overparam.errors import InputError

from .strategies import closed_types, finite_types

few = settings(deadline=None, max_examples=30)


@few
@given(type_=finite_types)
def test_values_and_indices_are_inverse(type_):
    values = type_.values()
    assert len(values) == len(set(values)) == type_.size == type_.proper + type_.has_bottom
    for index, value in enumerate(values):
        assert type_.index(value) == index
        assert type_.value(index) == value
        assert type_.admit(value) == value
        assert type_.admitted_index(value) == index
    assert (values[-1] is BOTTOM) == type_.has_bottom
    with pytest.raises(InputError, match="index must lie in"):
        type_.value(type_.size)
    shown = [type_.show(value) for value in values]
    assert len(set(shown)) == len(shown)
    assert not set("".join(shown)) & set("() \n")


@few
@given(type_=finite_types.filter(lambda t: isinstance(t, Product | List)))
def test_composites_come_apart_and_together(type_):
    indices = np.arange(type_.size)
    if isinstance(type_, List):
        length, items = type_.split(indices)
        joined = type_.join(length, items)
        for index, value in enumerate(type_.values()):
            parts = [type_.element.value(item[index]) for item in items[: length[index]]]
            assert tuple(parts) == value
    else:
        parts = type_.split(indices)
        joined = type_.join(parts)
        for index, value in enumerate(type_.values()):
            components = zip(type_.factors, parts, strict=True)
            found = tuple(factor.value(part[index]) for factor, part in components)
            assert found == type_.components(value)
    np.testing.assert_array_equal(joined, indices)


@given(value=st.integers(-100, 100), lo=st.integers(-5, 5), width=st.integers(0, 9))
def test_overflow_policies(value, lo, width):
    hi = lo + width
    inside = lo <= value <= hi
    assert Int(lo, hi, "saturate").admit(value) == min(max(value, lo), hi)
    wrapped = Int(lo, hi, "modulo").admit(value)
    assert lo <= wrapped <= hi and (wrapped - value) % (width + 1) == 0
    assert Int(lo, hi, "bottom").admit(value) == (value if inside else BOTTOM)
    if inside:
        assert Int(lo, hi).admit(value) == value
    else:
        with pytest.raises(InputError, match=f"{value} lies outside {lo}..{hi}"):
            Int(lo, hi).admit(value)


@given(arguments=st.lists(closed_types, max_size=4))
def test_functions_are_curried(arguments):
    type_ = function(arguments, Base("end"))
    assert uncurry(type_) == (tuple(arguments), Base("end"))
    assert len(type_.parts) == 2 * bool(arguments)


def test_types_are_equal_by_structure_and_say_what_they_are():
    assert Int(0, 3) == Int(0, 3) != Int(0, 3, "modulo")
    assert {Arrow(Bool(), Bool())} == {Arrow(Bool(), Bool())}
    assert str(function([function([Base("G")], Base("G"))], Base("G"))) == "(G -> G) -> G"
    assert str(Grid(Int(0, 9), 2, 2)) == "grid[int[0..9] 2x2]"
    assert Perm(3).values()[0] == (0, 1, 2) and Perm(3).index((2, 1, 0)) == 5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Int(3, 2), "hi must be at least lo, got lo=3, hi=2"),
        (lambda: Int(0, 2, "wrap"), "overflow must be one of"),
        (lambda: Symbol("s", ()), "labels of s must be distinct"),
        (lambda: Symbol("s", ("a", "a")), "labels of s must be distinct"),
        (lambda: Symbol("s", ("a b",)), "must be single words"),
        (lambda: Perm(0), "k must lie in 1..10"),
        (lambda: List(Bool(), -1), "max_len must not be negative"),
        (lambda: Grid(Bool(), 0, 2), "sides must be at least 1"),
        (lambda: Record("r", ()), "fields of r must have distinct names"),
        (lambda: Int(0, 3).index(4), "4 is no value of"),
        (lambda: Int(0, 3).index("1"), "'1' is no value of"),
        (lambda: Int(0, 3).index(1.0), "1.0 is no value of"),
        (lambda: Int(0, 3).admit(None), "None is no integer"),
        (lambda: Bool().index(1), "1 is no value of bool"),
        (lambda: List(Base("G"), 2).size, "G is no finite type"),
        (lambda: List(Int(0, 99), 9).values(), "more than can be listed"),
    ],
)
def test_nonsense_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
