"""Programs ten thousand deep: nothing recurses, and the step cap holds."""

import subprocess
import sys

# in a process of its own, as users run it: the tests' type checker would take most of the time
CODE = """
from neurosym import *
from neurosym.rewrite import expand, normal_form, substitute
from neurosym.term import Lambda, Leaf, Variable, apply, show, subterms

V = Int(0, 6, "modulo")
language = Language(
    [Primitive("add", (V, V), V, lambda a, b: a + b, python="{0} + {1}")],
    inputs=[V, V], output=V, constants={V: [1]},
)
depth = 10_000
text = "(add " * depth + "x0" + " x1)" * depth
program = parse(language, text)
assert str(program) == text and program.size == depth
assert program(3, 1) == (3 + depth) % 7
rows = program.domain.rows()
assert program.rows(rows).tolist() == [(x + depth * y) % 7 for x in range(7) for y in range(7)]
lines = program.straight_line()
assert len(lines) == depth and all(lines.live) and lines.to_program() == program
assert (lines.rows(rows) == program.rows(rows)).all() and program.cost == lines.cost == depth
assert from_json(language, program.to_json()) == program
assert expand(program.term) is program.term
swapped = substitute(program.term, {0: Variable(1, V), 1: Variable(0, V)})
assert show(swapped) == "(add " * depth + "x1" + " x0)" * depth
space = {}
exec(program.to_python(), space)
assert space["program"](3, 1) == program(3, 1)
assert program.description_length > depth and len(list(subterms(program.term))) == depth + 3
assert program.to_dot().count("->") == 2 * depth
nested = parse(language, "((lam (add $0 $0)) " * depth + "x0" + ")" * depth)
assert len(nested.normal_form().straight_line()) == depth
assert nested(1, 0) == pow(2, depth, 7)
try:
    program(3, 1, steps=depth - 1)
except StepLimitError as error:
    assert str(error) == f"the program takes more than {depth - 1} steps"
else:
    raise AssertionError
assert program(3, 1, steps=depth) == (3 + depth) % 7
for bad in ["(add " * depth, "(" * depth + ")" * depth, "(add x0 " * depth + "x9" + ")" * depth]:
    try:
        parse(language, bad)
    except ValueError as error:
        assert "column" in str(error)
    else:
        raise AssertionError
del program, lines, swapped, nested
"""


def test_ten_thousand_deep():
    subprocess.run([sys.executable, "-c", CODE], check=True)
