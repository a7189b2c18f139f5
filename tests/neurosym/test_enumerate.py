"""Enumeration: one program per behaviour, the cheapest one, and all behaviours in time."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings

from neurosym import (
    Bool,
    Domain,
    Enumeration,
    Fold,
    If,
    Input,
    Int,
    Language,
    List,
    Primitive,
    Program,
    arithmetic,
    comparison,
    counting,
    enumerate_programs,
    find_equivalent,
    parse,
)
from neurosym.bank import hashed
from neurosym.term import Leaf, Variable, apply
from overparam.errors import InputError

from .strategies import languages, seeds

few = settings(deadline=None, max_examples=12)


def cost_of_tree(term) -> float:
    """Costs of all primitives of a first-order term, repeated ones each time."""
    if isinstance(term, Variable):
        return 0.0
    if isinstance(term, Leaf):
        return term.primitive.cost
    return term.head.primitive.cost + sum(map(cost_of_tree, term.arguments))


def brute_force(language: Language, most: float) -> dict[tuple, float]:
    """The least cost of every behaviour, from all terms up to a cost, one by one."""
    inputs = [Variable(n, i.type) for n, i in enumerate(language.inputs)]
    terms = dict.fromkeys(inputs, 0.0)
    terms |= {Leaf(p): p.cost for p in language.constants if p.cost <= most}
    before = -1
    while before != len(terms):
        before = len(terms)
        for operation in language.operations:
            fitting = [
                [(t, c) for t, c in terms.items() if t.type == wanted]
                for wanted in operation.inputs
            ]
            for chosen in itertools.product(*fitting):
                cost = operation.cost + sum(c for _, c in chosen)
                if cost <= most:
                    terms[apply(Leaf(operation), *(t for t, _ in chosen))] = cost
    rows = language.domain.rows()
    least: dict[tuple, float] = {}
    for term, cost in terms.items():
        values = Program(language, term, language.inputs).rows(rows)
        key = (str(term.type), values.tobytes())
        least[key] = min(cost, least.get(key, cost))
    return least


@few
@given(language=languages(control=False))
def test_every_behaviour_once_at_its_least_cost(language):
    rows = language.domain.rows()
    expected = brute_force(language, 1.5)
    found: dict[tuple, float] = {}
    last = 0.0
    for program in enumerate_programs(language, max_cost=1.5):
        key = (str(program.type), program.rows(rows).tobytes())
        assert key not in found
        found[key] = cost_of_tree(program.term)
        assert found[key] >= last
        last = found[key]
    assert found == expected


@pytest.mark.slow  # every program of two levels, of many languages
@few
@given(language=languages(control=False), seed=seeds)
def test_what_is_found_does_what_was_wanted(language, seed):
    rows = language.domain.rows()
    everything = list(enumerate_programs(language, max_cost=2.0))
    wanted = random.Random(seed).choice(everything)
    outputs = wanted.rows(rows)
    found = find_equivalent(language, outputs, output=wanted.type, max_cost=2.0, limit=5)
    assert found and len(set(found)) == len(found)
    costs = [cost_of_tree(program.term) for program in found]
    assert costs == sorted(costs) and costs[0] == cost_of_tree(wanted.term)
    for program in found:
        assert program.type == wanted.type
        np.testing.assert_array_equal(program.rows(rows), outputs)


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("(add x0 (max x1 x2))", 2),
        ("(sub (mul x0 x1) x2)", 2),
        ("(add (mul x0 x1) (mul x0 x2))", 2),  # (mul x0 (add x1 x2))
        ("(max (add x0 x0) (add x1 x1))", 3),
    ],
)
def test_the_shortest_program_of_the_suite(text, cost):
    language = arithmetic()
    target = parse(language, text)
    rows = language.domain.sample(300)
    (found,) = find_equivalent(language, target.rows(rows), rows, max_cost=3)
    assert found.verify(target).is_proof
    assert cost_of_tree(found.term) == cost


def test_bodies_of_folds_are_found():
    language = counting(3, constants=[4, 7])
    target = parse(language, "(fold (lam (lam (add $1 (same $0 7)))) none (list x0 x1 x2))")
    rows = language.domain.sample(200)
    (found,) = find_equivalent(language, target.rows(rows), rows, max_cost=5)
    assert found.verify(target).is_proof


def test_choices_are_found():
    language = comparison(inputs=2)
    outputs = np.array([min(x, y) for x, y in language.domain.values(language.domain.rows())])
    (found,) = find_equivalent(language, outputs, max_cost=2)
    assert found.verify(min).is_proof and "if" in str(found)


def test_a_finite_set_of_behaviours_is_exhausted():
    truth = Bool()
    language = Language(
        [Primitive("nand", (truth, truth), truth, lambda a, b: not (a and b))],
        inputs=[truth, truth],
        output=truth,
    )
    programs = list(enumerate_programs(language))
    assert len(programs) == 16  # every function of two truth values
    assert find_equivalent(language, np.array([0, 1, 1, 0]))[0].verify(lambda a, b: a != b)
    assert len(list(enumerate_programs(language, limit=3))) == 3
    search = Enumeration(language, [truth, truth], language.domain.rows())
    while not search.exhausted:
        for _ in search.step():
            pass
    assert sum(bank.count for bank in search.banks.values()) == 16


def test_other_costs_change_the_order():
    language = arithmetic(names=["add", "max"], inputs=2)
    rows = language.domain.rows()
    first = [str(p) for p in enumerate_programs(language, limit=3, costs={"max": 0.3})]
    assert first == ["x0", "x1", "(max x0 x1)"]
    outputs = parse(language, "(add x0 x0)").rows(rows)
    assert not find_equivalent(language, outputs, max_cost=1.5, costs={"add": 2.0})
    assert find_equivalent(language, outputs, max_cost=2.0, costs={"add": 2.0})


def test_primitives_without_cost_do_not_hang():
    V = Int(0, 4, "modulo")
    language = Language(
        [
            Primitive("next", (V,), V, lambda a: a + 1, cost=0.0),
            Primitive("add", (V, V), V, lambda a, b: a + b),
        ],
        inputs=[V],
    )
    programs = list(enumerate_programs(language, max_cost=0))
    assert len(programs) == 5


def test_hashes_depend_on_every_entry():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 5, (1, 77)).repeat(500, 0).astype(np.uint8)
    for place in range(1, 500):
        rows[place, rng.integers(77)] += rng.integers(1, 5)
        rows[place, rng.integers(77)] += rng.integers(0, 5)
    distinct = len(np.unique(rows, axis=0))
    for dtype in (np.uint8, np.uint16, np.uint32):
        assert len(np.unique(hashed(rows.astype(dtype)))) == distinct


def test_nonsense_is_refused():
    language = arithmetic()
    with pytest.raises(InputError, match=r"outputs must be \(1000,\), got \(3,\)"):
        find_equivalent(language, np.zeros(3, dtype=int))
    with pytest.raises(InputError, match=r"outputs must be indices of int.*, got 0\.\.19"):
        find_equivalent(language, np.arange(1000) % 20)
    with pytest.raises(InputError, match="needs a finite output type"):
        find_equivalent(
            Language(language.primitives, inputs=language.inputs), np.zeros(1000, dtype=int)
        )
    with pytest.raises(InputError, match=r"rows must be \(3, n\)"):
        list(enumerate_programs(language, np.zeros((2, 5), dtype=int)))
    with pytest.raises(InputError, match="outgrow 1000 bytes"):
        search = Enumeration(language, [language.output] * 3, language.domain.rows(), memory=1000)
        for _ in range(4):
            list(search.step())


def test_lists_of_lists_of_inputs_need_no_table():
    items = List(Int(0, 2), 3)
    total = Int(0, 6, "saturate")
    language = Language(
        [
            Primitive("plus", (total, Int(0, 2)), total, lambda a, b: a + b),
            Fold(items, total),
            If(total),
            Primitive("zero", (), total, 0),
        ],
        inputs=[Input(items)],
        output=total,
    )
    domain = Domain(language.inputs)
    outputs = np.array([sum(xs) for (xs,) in domain.values(domain.rows())])
    (found,) = find_equivalent(language, outputs, max_cost=4)
    assert str(found) == "(fold (lam (lam (plus $1 $0))) zero x0)"
