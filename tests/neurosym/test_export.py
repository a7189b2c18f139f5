"""Exports: Python that runs alone, JSON that reads back, DOT and pictures of the same graph."""

import json
import re
import subprocess
import sys

import networkx
import pytest
from hypothesis import given, settings

from neurosym import Bool, Int, Language, Primitive, arithmetic, draw_program, from_json, parse
from neurosym.export_json import type_from_data, type_to_data
from neurosym.languages.grid_machine import add_machine
from neurosym.languages.lists import lists
from neurosym.term import Apply, Leaf, subterms
from overparam.errors import InputError

from .strategies import closed_types, finite_types, programs

LISTS = lists(2, hi=4, classes=4)
few = settings(deadline=None, max_examples=20)


def run_source(source: str, name: str = "program"):
    """The function a source defines, made without this package in sight."""
    assert "import" not in source
    space: dict = {}
    exec(compile(source, name, "exec"), space)
    return space[name]


@few
@given(program=programs())
def test_exported_python_is_the_interpreter(program):
    source = program.to_python(level="exhaustive")
    assert source == program.to_python(level="exhaustive")
    function = run_source(source)
    assert "Verification: exhaustive." in function.__doc__
    rows = program.domain.rows()
    for values in program.domain.values(rows):
        expected = program(*values)
        found = function(*values)
        assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("policy", ["modulo", "saturate", "bottom"])
def test_every_overflow_policy_is_exported(policy):
    V = Int(-2, 3, policy)
    language = Language(
        [
            Primitive("add", (V, V), V, lambda a, b: a + b, python="{0} + {1}"),
            Primitive("div", (V, V), V, lambda a, b: a // b if b or policy == "bottom" else 0),
            Primitive("neg", (V,), V, lambda a: -a, python="-{0}"),
        ],
        inputs=[V, V],
        constants={V: [-1]},
    )
    for text in ["(add x0 (div x1 (neg x0)))", "(neg (add -1 (add x0 x1)))", "x0", "-1"]:
        program = parse(language, text)
        function = run_source(program.to_python())
        values = program.domain.values(program.domain.rows())
        assert [function(*v) for v in values] == [program(*v) for v in values]


def test_python_reads_like_python():
    source = parse(arithmetic(), "(add x0 (max x1 x2))").to_python(name="first", level="sampled 9")
    assert source.endswith(
        "    t0 = max(x1, x2)\n    t1 = _modulo(x0 + t0, 0, 18)\n    return t1\n"
    )
    assert source.startswith('"""first: a program of 2 lines; verification: sampled 9."""\n')
    run = subprocess.run(
        [sys.executable, "-I", "-c", source + "\nprint(first(9, 1, 9))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "18\n"
    # formatted as formatters format: no line is too long but the program's text
    folded = parse(LISTS, "(fold (lam (lam (add $1 (at x0 (length x0))))) 0 (sort x0))")
    assert all(len(line) <= 100 for line in folded.to_python().splitlines())


def test_library_functions_become_functions():
    language = add_machine()
    text = "(value (add (move_east (add start (cells x0 x1 x2 x3))) (cells x0 x1 x2 x3)))"
    program = parse(language, text)
    source = program.to_python()
    assert source.count("def _lib_add(") == 1
    function = run_source(source)
    for values in [(1, 2, 3, 4), (9, 9, 0, 0), (9, 1, 9, 1)]:
        assert function(*values) == program(*values) == (values[0] + values[1]) % 19


def test_what_cannot_be_exported_is_told():
    V = Int(0, 99, "modulo")
    big = Primitive("big", (V, V), V, lambda a, b: a * b + 1)
    program = parse(Language([big]), "(big x0 x1)")
    with pytest.raises(InputError, match=r"big cannot be exported to Python: give it python="):
        program.to_python()
    for name in ["not a name", "def", "_hidden"]:
        with pytest.raises(InputError, match="must be a plain Python identifier"):
            parse(arithmetic(), "x0").to_python(name=name)


@few
@given(program=programs())
def test_json_reads_back(program):
    text = program.to_json()
    again = from_json(program.language, text)
    assert again == program and again.to_json() == text
    assert [i.chosen for i in again.inputs] == [i.chosen for i in program.inputs]


@given(type_=closed_types | finite_types)
def test_types_read_back(type_):
    assert type_from_data(json.loads(json.dumps(type_to_data(type_)))) == type_


def test_bad_json_is_refused():
    language = arithmetic(constants=[1])
    good = parse(language, "(add x0 1)").to_json()
    other = arithmetic(constants=[2])
    content = json.loads(good)
    for bad, words in [
        ("{", "no JSON"),
        ("[]", "its format must be 'neurosym-program'"),
        (json.dumps(content | {"version": 2}), "version of the program must be 1, got 2"),
        (json.dumps(content | {"nodes": []}), "the program is damaged"),
        (json.dumps(content | {"nodes": [["input", 9]]}), "the program is damaged"),
        (json.dumps(content | {"nodes": [["primitive", "zz", ["bool", False]]]}), "no primitive"),
        (json.dumps(content | {"inputs": [[["int", 0], None]]}), "no type"),
    ]:
        with pytest.raises(InputError, match=words):
            from_json(language, bad)
    with pytest.raises(InputError, match=r"the program is of language arithmetic \("):
        from_json(other, good)


@few
@given(program=programs())
def test_the_graph_is_the_term(program):
    graph = program.to_networkx()
    assert networkx.is_directed_acyclic_graph(graph)
    applied = [t for t in subterms(program.term) if isinstance(t, Apply)]
    lines = [n for n, data in graph.nodes(data=True) if data["kind"] == "line"]
    assert len(lines) == len(applied)
    assert sum(data["is_output"] for _, data in graph.nodes(data=True)) == 1
    heads = sum(not isinstance(t.head, Leaf) for t in applied)
    arguments = sum(len(t.arguments) for t in applied) + heads
    assert sum(graph.in_degree(n) for n in lines) == arguments
    dot = program.to_dot()
    assert (
        dot == program.to_dot() and len(re.findall(r"n\d+ -> n\d+", dot)) == graph.number_of_edges()
    )
    assert dot.count("shape=") == graph.number_of_nodes()


def test_labels_are_quoted():
    odd = Primitive('a"b\\', (Bool(),), Bool(), lambda a: a)
    dot = parse(Language([odd]), '(a"b\\ x0)').to_dot()
    assert r'label="a\"b\\"' in dot


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_programs_are_drawn(tmp_path, ending):
    program = parse(LISTS, "(fold (lam (lam (add $1 (if (eq $0 1) 1 0)))) 0 (sort x0))")
    file = draw_program(program, tmp_path / f"program.{ending}")
    assert file.stat().st_size > 2000
    with pytest.raises(InputError, match=r"must end in \.png, \.svg, \.pdf, got 'p\.txt'"):
        draw_program(program, tmp_path / "p.txt")
