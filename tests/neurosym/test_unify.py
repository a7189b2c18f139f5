"""What unification promises: a unifier, of which every other is an instance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosym import Arrow, Bool, Int, List, Var, unify
from neurosym.types import Type
from neurosym.unify import Substitution, UnificationError, replace

from .strategies import closed_types, open_types, variables

bindings = st.fixed_dictionaries({Var(name): closed_types for name in "abcd"})


@given(left=open_types, right=open_types)
def test_a_unifier_makes_them_equal_or_there_is_none(left, right):
    try:
        substitution = unify(left, right)
    except UnificationError:
        assert left != right
        return
    assert substitution.apply(left) == substitution.apply(right)
    # what is bound does not occur in a value any more
    bound = set(substitution.bindings)
    for variable in bound:
        assert not bound & set(substitution.apply(variable).variables)


def generalised(draw, type_: Type, given: dict[Var, Type]) -> Type:
    """``type_`` with some parts replaced by the variables that stand for them in ``given``."""
    fitting = [variable for variable, value in given.items() if value == type_]
    if fitting and draw(st.booleans()):
        return draw(st.sampled_from(fitting))
    return type_.with_parts([generalised(draw, part, given) for part in type_.parts])


@given(data=st.data(), given_=bindings)
def test_every_other_unifier_is_an_instance(data, given_):
    # both sides become one type under ``given_``, so that is a unifier
    target = replace(data.draw(open_types), given_)
    left = generalised(data.draw, target, given_)
    right = generalised(data.draw, target, given_)
    assert replace(left, given_) == replace(right, given_) == target
    found = unify(left, right)
    for variable in given_:
        assert replace(found.apply(variable), given_) == given_[variable]


@given(variable=variables, type_=open_types)
def test_a_variable_is_never_inside_its_own_value(variable, type_):
    inside = Arrow(type_, List(variable, 2))
    with pytest.raises(UnificationError, match="occurs in"):
        unify(variable, inside)
    assert unify(variable, variable).bindings == {}


def test_what_differs_is_told():
    with pytest.raises(UnificationError, match=r"bool is not int\[0..3\]"):
        unify(Bool(), Int(0, 3))
    for left, right in [
        (List(Bool(), 1), List(Bool(), 2)),
        (Int(0, 3), Int(0, 3, "modulo")),
        (Arrow(Bool(), Bool()), List(Bool(), 1)),
    ]:
        with pytest.raises(UnificationError):
            unify(left, right)


@given(types=st.lists(open_types, min_size=1, max_size=3))
def test_instances_share_fresh_variables(types):
    substitution = Substitution()
    renamed = substitution.instantiate(types)
    old = {v for type_ in types for v in type_.variables}
    new = {v for type_ in renamed for v in type_.variables}
    assert not old & new and len(old) == len(new)
    for before, after in zip(types, renamed, strict=True):
        substitution.unify(before, after)  # they differ by names alone
    again = substitution.instantiate(types)
    assert not new & {v for type_ in again for v in type_.variables}
