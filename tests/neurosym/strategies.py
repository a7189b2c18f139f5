"""Random types, languages, terms and programs, for laws that hold of all of them."""

import random
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from neurosym import (
    Arrow,
    Base,
    Bool,
    Fold,
    Grid,
    If,
    Input,
    Int,
    Language,
    List,
    Loop,
    Map,
    Perm,
    Primitive,
    Program,
    Record,
    Symbol,
    Var,
)
from neurosym.finite import Finite
from neurosym.term import Bound, Leaf, Term, Variable, abstract, apply
from neurosym.types import Type, uncurry

seeds = st.integers(0, 2**32 - 1)

scalars = st.one_of(
    st.builds(
        lambda lo, n, policy: Int(lo, lo + n, policy),
        st.integers(-3, 3),
        st.integers(0, 5),
        st.sampled_from(["error", "modulo", "saturate", "bottom"]),
    ),
    st.builds(Bool, st.booleans()),
    st.builds(lambda bottom: Symbol("colour", ("red", "green"), bottom), st.booleans()),
    st.builds(Perm, st.integers(1, 4)),
)
finite_types = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.builds(List, inner, st.integers(0, 2)),
        st.builds(Grid, inner, st.just(1), st.integers(1, 2)),
        st.builds(lambda a, b: Record("pair", (("a", a), ("b", b))), inner, inner),
    ),
    max_leaves=2,
).filter(lambda type_: type_.size <= 300)

variables = st.sampled_from([Var(name) for name in "abcd"])
atoms = st.sampled_from([Base("state"), Int(0, 3), Bool()])


def _composed(inner):
    return st.one_of(
        st.builds(Arrow, inner, inner),
        st.builds(List, inner, st.integers(1, 2)),
        st.builds(lambda a, b: Record("pair", (("a", a), ("b", b))), inner, inner),
    )


open_types = st.recursive(variables | atoms, _composed, max_leaves=6)
closed_types = st.recursive(atoms, _composed, max_leaves=4)


@st.composite
def languages(draw, *, control: bool = True, polymorphic: bool = True) -> Language:
    """A language over one or two small types of numbers and truth values, with random tables."""
    rng = random.Random(draw(seeds))
    bottomed = rng.random() < 0.3
    truth = Bool(bottomed)
    policy = "bottom" if bottomed else rng.choice(["modulo", "saturate"])
    numbers = [Int(0, rng.randint(1, 2), policy), Int(-1, rng.randint(0, 1), policy)]
    types: list[Finite] = [*numbers[: rng.randint(1, 2)], truth]
    primitives: list[Primitive] = []
    for n in range(rng.randint(2, 4)):
        output = rng.choice(types)
        inputs = [rng.choice(types) for _ in range(rng.randint(1, 3 if n else 2))]
        primitives.append(_random_primitive(rng, f"f{n}", inputs, output))
    plus = numbers[0]
    primitives.append(Primitive("plus", (plus, plus), plus, lambda a, b: a + b, python="{0} + {1}"))
    if polymorphic:
        a = Var("a")
        primitives.append(Primitive("same", (a, a), truth, lambda x, y: x == y))
        primitives.append(If(condition=truth))
    if control and not bottomed:
        items = List(plus, 2)
        primitives += [Fold(items, plus), Map(items, plus), Loop(plus, 3)]
        types = [*types, items]
    inputs = [_random_input(rng, rng.choice(types)) for _ in range(rng.randint(1, 3))]
    constants = {t: rng.sample(t.values()[: t.proper], rng.randint(0, 2)) for t in numbers[:1]}
    return Language(primitives, inputs=inputs, constants=constants, name="random")


def _random_input(rng: random.Random, type_: Finite) -> Input:
    if rng.random() < 0.5:
        return Input(type_)
    return Input(type_, rng.sample(type_.values()[: type_.proper], rng.randint(1, type_.proper)))


def _random_primitive(
    rng: random.Random, name: str, inputs: Sequence[Finite], output: Finite
) -> Primitive:
    """A primitive with a random table, strict in ``BOTTOM``."""
    shape = tuple(type_.size for type_ in inputs)
    table = np.random.default_rng(rng.randrange(2**32)).integers(0, output.proper, shape)
    for axis, type_ in enumerate(inputs):
        if type_.has_bottom:
            table[(slice(None),) * axis + (type_.bottom,)] = output.bottom
    return Primitive(name, inputs, output, table, cost=rng.choice([0.5, 1.0, 2.0]))


def random_term(
    rng: random.Random,
    language: Language,
    wanted: Type,
    inputs: Sequence[Type],
    *,
    budget: int = 8,
    around: Sequence[Type] = (),
) -> Term | None:
    """A random term of a type, ``around`` being the types of ``$0``, ``$1``..., or None."""
    if isinstance(wanted, Arrow):
        parameters, result = uncurry(wanted)
        inner = (*reversed(parameters), *around)
        body = random_term(rng, language, result, inputs, budget=budget, around=inner)
        return None if body is None else abstract(parameters, body)
    leaves: list[Term] = [Variable(n, t) for n, t in enumerate(inputs) if t == wanted]
    leaves += [Leaf(p) for p in language.constants if p.output == wanted]
    leaves += [Bound(n, t) for n, t in enumerate(around) if t == wanted]
    operations = [p for p in language.operations if p.output == wanted]
    if leaves and (budget <= 0 or not operations or rng.random() < 0.25):
        return rng.choice(leaves)
    if budget <= -4 or not operations:
        return None
    operation = rng.choice(operations)
    arguments = []
    for type_ in operation.inputs:
        argument = random_term(
            rng,
            language,
            type_,
            inputs,
            budget=(budget // 2 if budget > 0 else budget) - 1,
            around=around,
        )
        if argument is None:
            return rng.choice(leaves) if leaves else None
        arguments.append(argument)
    return apply(Leaf(operation), *arguments)


def random_program(rng: random.Random, language: Language, *, budget: int = 8) -> Program | None:
    """A random program of a random type, or None if the attempt ran into a dead end."""
    wanted = rng.choice(language.types)
    types = [i.type for i in language.inputs]
    term = random_term(rng, language, wanted, types, budget=budget)
    return None if term is None else Program(language, term, language.inputs)


@st.composite
def programs(draw, *, control: bool = True, budget: int = 10) -> Program:
    """A random program of a random language."""
    language = draw(languages(control=control))
    rng = random.Random(draw(seeds))
    while (program := random_program(rng, language, budget=budget)) is None:
        pass
    return program
