"""Languages: what they hold, how many programs they have, and that they say so."""

import copy
import itertools
import math
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosym import (
    Base,
    Bool,
    If,
    Input,
    Int,
    Language,
    Primitive,
    arithmetic,
    comparison,
    parse,
)
from neurosym.languages.graphs import REST, graph_language
from neurosym.languages.lists import counting, lists
from neurosym.types import Arrow, function, uncurry
from overparam.errors import InputError

from .strategies import languages

V = Int(0, 4, "modulo")
ADD = Primitive("add", (V, V), V, lambda a, b: a + b)
LT = Primitive("lt", (V, V), Bool(), lambda a, b: a < b)


def brute_force(language: Language, lines: int, body_lines: int) -> int:
    """The number of programs, each of them written down."""
    start = [i.type for i in language.inputs] + [p.output for p in language.constants]

    def blocks(types, count, result, inside):
        if count == 0:
            return sum(result is None or type_ == result for type_ in types)
        total = 0
        for operation in language.operations:
            choices = []
            for wanted in operation.inputs:
                if isinstance(wanted, Arrow):
                    parameters, last = uncurry(wanted)
                    scope = [*types, *parameters]
                    choices.append(range(0 if inside else blocks(scope, body_lines, last, True)))
                else:
                    choices.append([n for n, type_ in enumerate(types) if type_ == wanted])
            for _ in itertools.product(*choices):
                total += blocks([*types, operation.output], count - 1, result, inside)
        return total

    return blocks(start, lines, language.output, False)


@settings(deadline=None, max_examples=15)
@given(language=languages(control=False), lines=st.integers(0, 2))
def test_count_is_the_number_of_programs(language, lines):
    if language.count(lines) < 5000:
        assert language.count(lines) == brute_force(language, lines, 1)


def test_count_of_the_specification():
    language = arithmetic(names=["add", "sub", "mul"])
    assert language.count(2) == 3 * 9 * 3 * 16 * 5
    assert math.log10(language.count(8)) == pytest.approx(math.log10(2.4e17), abs=0.02)
    assert arithmetic().count(40) > 10**100


@pytest.mark.parametrize("body_lines", [0, 1])
def test_bodies_are_counted(body_lines):
    full = counting(2, constants=[3])
    items = full["fold"].inputs[2]
    language = Language(
        [full["fold"], full["same"], full["none"]], inputs=[items], output=full.output
    )
    expected = [brute_force(language, lines, body_lines) for lines in range(4)]
    assert expected[-1] > 30
    assert [language.count(n, body_lines=body_lines) for n in range(4)] == expected


def test_describe_prints_types_primitives_and_the_size_of_the_space():
    text = comparison(constants=[3]).describe(4)
    for part in (
        "3 inputs -> int[0..27 modulo]",
        "type bool: 2 values",
        "input x2: int[0..27 modulo], 10 values",
        "max(int[0..27 modulo], int[0..27 modulo]) -> int[0..27 modulo]: cost 1, table 28x28",
        "if(bool, int[0..27 modulo], int[0..27 modulo])",
        "3: int[0..27 modulo]: cost 0.5",
        "log10 of the number of programs with 1..4 lines: ",
    ):
        assert part in text
    assert repr(graph_language()) == (
        "<Language graphs with 10 ports: 10 primitives, 0 constants -> state -> state>"
    )


def test_fingerprints_tell_languages_apart_in_every_process():
    code = "import neurosym; print(neurosym.comparison(constants=[1]).fingerprint)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    here = comparison(constants=[1]).fingerprint
    assert {r.stdout.strip() for r in runs} == {here}
    others = [
        comparison(constants=[2]), comparison(constants=[1], hi=26), comparison(constants=[1],
        overflow="saturate"), comparison(constants=[1], inputs=2), comparison(constants=[1],
        classes=9), comparison(constants=[1], output=Bool()), arithmetic(), lists(1), lists(2),
    ]  # fmt: skip
    assert len({here, *(language.fingerprint for language in others)}) == len(others) + 1


def test_rules_make_what_they_say():
    language = Language([ADD, LT, If()], constants={V: [1]})
    made = {(r.primitive.name, r.arguments) for r in language.rules(V)}
    assert made == {("add", (V, V)), ("if", (Bool(), V, V)), ("1", ())}
    partial = {(r.primitive.name, r.arguments) for r in language.rules(Arrow(V, V))}
    assert partial == {("add", (V,)), ("if", (Bool(), V))}
    graphs = graph_language()
    assert {(r.primitive.name, len(r.arguments)) for r in graphs.rules(REST)} == {
        ("identity", 0), ("next_port", 1), ("prev_port", 1), ("move", 1), ("push", 1), ("pop", 1),
        ("add", 1), ("connect", 1), ("func", 2), ("if_positions_equal", 5),
    }  # fmt: skip
    assert all(set(r.arguments) <= {REST} for r in graphs.rules(REST))
    assert {r.primitive.name for r in graphs.rules(function([REST], REST))} >= {"push", "func"}


def test_polymorphic_primitives_serve_every_type_they_fit():
    bottomed = Language([ADD, LT, If()], inputs=[Int(0, 2, "bottom")])
    choices = [p for p in bottomed.operations if p.name == "if"]
    assert {p.output for p in choices} == {V, Bool(), Int(0, 2, "bottom")}
    tested = Language([If(condition=Bool(True))], inputs=[Int(0, 2, "bottom"), V])
    assert {p.output for p in tested.operations} == {Int(0, 2, "bottom")}


def test_languages_grow_and_shrink():
    language = Language([ADD, LT], constants={V: [1]}, inputs=[Input(V, [1, 2])])
    smaller = language.without("lt")
    assert "lt" not in smaller and smaller["add"] is ADD and smaller.inputs == language.inputs
    assert language.extend(If()).without("if").fingerprint == language.fingerprint
    with pytest.raises(InputError, match=r"unknown primitive 'ad'; did you mean 'add'\?"):
        language.without("ad")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Language([]), "language has no primitive"),
        (lambda: Language([ADD, ADD]), "names in language must be distinct, got add twice"),
        (lambda: Language([LT], output=V), r"yields its output type int.*; they yield: bool"),
        (lambda: Language([ADD], constants={V: [7]}), "7 is no value of"),
        (lambda: Language([ADD], inputs=[Input(V, [7])]), "7 is no value of"),
        (lambda: Language([ADD], inputs=[Input(V, [])]), "values of an input must be distinct"),
        (lambda: Language([ADD], inputs=[Input(Base("G"), [1])]), "need a finite type"),
        (lambda: arithmetic(names=["pow"]), "operations must be among add, .*, got 'pow'"),
        (lambda: arithmetic(overflow="error"), r"add\(1, 18\): 19 lies outside 0..18; choose"),
        (lambda: Language([ADD], inputs=[V]).count(-1), "lines must not be negative"),
    ],
)
def test_nonsense_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_importing_is_light():
    code = (
        "import sys, time; import neurosym; "
        "neurosym.parse(neurosym.arithmetic(), '(add x0 x1)').to_python(); "
        "heavy = {'torch', 'networkx', 'matplotlib', 'scipy', 'pytorch_lightning'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists_and_is_no_module():
    import importlib
    import types

    import neurosym

    for name in neurosym.__all__:
        importlib.import_module(f"neurosym.{neurosym._PUBLIC[name]}")
        assert not isinstance(getattr(neurosym, name), types.ModuleType), name
    assert set(neurosym.__all__) <= set(dir(neurosym))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = neurosym.nonsense


def test_copies_are_the_thing_itself():
    language = arithmetic(constants=[1])
    program = parse(language, "(add x0 1)")
    assert copy.deepcopy(language) is language
    kept = copy.deepcopy({"program": program})["program"]
    assert kept == program
    with pytest.raises(TypeError, match="a term cannot be pickled"):
        pickle.dumps(program.term)
