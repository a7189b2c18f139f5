"""The bundled languages: the shortest programs of the suite's tasks are in them, and are right."""

import itertools
import random

import pytest

from neurosym import (
    Bool,
    Language,
    add_machine,
    apply_machine,
    arithmetic,
    block_program,
    comparison,
    counting,
    lists,
    ordering,
    parse,
    strip_language,
    walk,
)
from neurosym.languages.grid_machine import OPERATORS
from overparam.errors import InputError

GRID = "(cells x0 x1 x2 x3)"


def grid_path(*moves: str) -> str:
    """ADD2x2: add, then move and add for every group of moves."""
    text = "start"
    for move in moves:
        text = f"(add {text} {GRID})" if move == "add" else f"(move_{move} {text})"
    return f"(value {text})"


def apply_path(*moves: str) -> str:
    """APPLY2x2: the same, each application taking the next number."""
    text, number = "(begin x4)", 5
    for move in moves:
        if move == "apply":
            text, number = f"(apply {text} {GRID} x{number})", number + 1
        else:
            text = f"(move_{move} {text})"
    return f"(value {text})"


def applied(first: int, second: int):
    def meaning(*v):
        result = OPERATORS[v[first]](v[4], v[5]) % 19
        return OPERATORS[v[second]](result, v[6]) % 19

    return meaning


TASKS = {
    "sum2": (lambda: arithmetic(inputs=2), "(add x0 x1)", lambda a, b: a + b, 1),
    "max2": (lambda: arithmetic(inputs=2), "(max x0 x1)", max, 1),
    "sum3": (lambda: arithmetic(27), "(add x0 (add x1 x2))", lambda a, b, c: a + b + c, 2),
    "max_plus": (arithmetic, "(add (max x0 x1) x2)", lambda a, b, c: max(a, b) + c, 2),
    "product_minus": (
        arithmetic, "(sub (mul x0 x1) x2)", lambda a, b, c: (a * b - c) % 19, 2,
    ),
    "add_mod": (
        lambda: arithmetic(inputs=2, names=["add", "mod"], constants=range(2, 10)),
        "(mod (add x0 x1) 7)", lambda a, b: (a + b) % 7, 2,
    ),
    "compare": (
        comparison, "(if (lt x0 x1) (add x0 x2) (sub x1 x2))",
        lambda a, b, c: a + c if a < b else (b - c) % 28, 4,
    ),
    "sort2": (
        lambda: ordering(2), "(if (lt x1 x0) perm-1-0 perm-0-1)",
        lambda a, b: (1, 0) if b < a else (0, 1), 2,
    ),
    "argsort3": (
        lambda: ordering(3, classes=5),
        "(if (lt x1 x0) (if (lt x2 x1) perm-2-1-0 (if (lt x2 x0) perm-1-2-0 perm-1-0-2))"
        " (if (lt x2 x0) perm-2-0-1 (if (lt x2 x1) perm-0-2-1 perm-0-1-2)))",
        lambda *v: tuple(sorted(range(3), key=v.__getitem__)), 8,
    ),
    "count": (
        lambda: counting(4), "(fold (lam (lam (add $1 (same $0 7)))) none (list x0 x1 x2 x3))",
        lambda *v: v.count(7), 3,
    ),
    "top": (add_machine, grid_path("add", "east", "add"), lambda a, b, c, d: a + b, 3),
    "left": (add_machine, grid_path("add", "south", "add"), lambda a, b, c, d: a + c, 3),
    "bottom": (
        add_machine, grid_path("south", "add", "east", "add"), lambda a, b, c, d: c + d, 4,
    ),
    "right": (add_machine, grid_path("east", "add", "south", "add"), lambda a, b, c, d: b + d, 4),
    "apply_top": (
        lambda: apply_machine(classes=4), apply_path("apply", "east", "apply"), applied(0, 1), 4,
    ),
    "apply_right": (
        lambda: apply_machine(classes=4), apply_path("east", "apply", "south", "apply"),
        applied(1, 3), 5,
    ),
    "two_digit": (
        lambda: comparison(99, inputs=4, constants=[10], output=Bool()),
        "(lt (add (mul 10 x0) x1) (add (mul 10 x2) x3))",
        lambda a, b, c, d: 10 * a + b < 10 * c + d, 5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_the_suite_can_be_solved(task):
    make, text, meaning, cost = TASKS[task]
    program = parse(make(), text)
    assert program.verify(meaning).is_proof
    constants = sum(p.cost for p in program.language.constants if p.name in text.split(" "))
    assert cost <= program.cost <= cost + constants + 4
    assert program.straight_line().to_program() == program
    space: dict = {}
    exec(program.to_python(), space)
    for values in random.Random(0).sample(program.domain.values(program.domain.sample(200)), 50):
        assert space["program"](*values) == program(*values) == meaning(*values)


LISTS = {
    "(length x0)": len,
    "(head (reverse x0))": lambda xs: xs[-1] if xs else 0,
    "(last x0)": lambda xs: xs[-1] if xs else 0,
    "(fold (lam (lam (add $1 $0))) 0 x0)": lambda xs: sum(xs) % 5,
    "(fold max 0 x0)": lambda xs: max(xs, default=0),
    "(head (sort x0))": lambda xs: min(xs, default=0),
    "(at x0 (length (tail x0)))": lambda xs: xs[len(xs) - 1] if xs else 0,
    "(sort x0)": lambda xs: tuple(sorted(xs)),
    "(map (add 1) x0)": lambda xs: tuple((x + 1) % 5 for x in xs),
    "(fold_list (lam (lam (cons $0 $1))) nil x0)": lambda xs: xs[::-1],
    "(argsort x0)": lambda xs: tuple(sorted(range(len(xs)), key=xs.__getitem__)),
    "(fold (lam (lam (add $1 (if (eq $0 2) 1 0)))) 0 x0)": lambda xs: xs.count(2),
}


def test_functions_on_lists():
    small = lists(3, hi=4, classes=5, constants=[0, 1, 2])
    # without an output type, as programs of every type are wanted here
    language = Language(small.primitives, inputs=small.inputs)
    for text, meaning in LISTS.items():
        assert parse(language, text).verify(meaning).is_proof, text


def math_of(strip, modulus=19):
    value, pending = 0, "+"
    for cell in strip:
        if cell.isdigit():
            value = OPERATORS[pending](value, int(cell)) % modulus
        else:
            pending = cell
    return value


BLOCKS = [
    ("read", "always", "b1", "b1"),
    ("move", "at_end", "halt", "b0"),
    ("noop", "always", "halt", "halt"),
]


def test_a_loop_that_is_right_on_short_strips_runs_on_long_ones():
    language = strip_language(3, classes=4)
    program = block_program(language, BLOCKS)
    assert program.verify(math_of).is_proof
    long = program.in_language(strip_language(15))
    assert str(long) == str(program)
    rng = random.Random(0)
    for _ in range(20):
        strip = [str(rng.randrange(10))]
        for _ in range(7):
            strip += [rng.choice("+-*"), str(rng.randrange(10))]
        assert long(tuple(strip)) == math_of(strip)
    space: dict = {}
    exec(long.to_python(), space)
    assert space["program"](tuple(strip)) == math_of(strip)
    # a program that never halts is stopped by its number of turns
    stuck = block_program(language, [("noop", "always", "b0", "b0")] * 3)
    assert stuck(("1", "+", "2")) == 0
    with pytest.raises(InputError, match="has 3 blocks, got 1"):
        block_program(language, BLOCKS[:1])


def test_a_walker_turns_at_walls():
    language = walk(3, glyphs=("free", "wall"))
    text = "(if (eq (ahead x0) wall) (if (eq (left_of x0) free) left (turn back)) forward)"
    program = parse(language, text)

    def meaning(grid):
        if grid[0][1] != "wall":
            return "forward"
        return "left" if grid[1][0] == "free" else "right"

    assert program.verify(meaning).is_proof
    cells = walk(3, glyphs=("free", "wall"), as_grid=False)
    names = " ".join(f"x{n}" for n in range(9))
    again = parse(cells, text.replace("x0", f"(cells {names})"))
    assert again.verify(lambda *v: meaning((v[:3], v[3:6], v[6:]))).is_proof
    actions = ["forward", "left", "back", "right"]
    turn = language["turn"].call
    assert [turn(a) for a in actions] == [*actions[1:], actions[0]]


def test_the_head_stays_on_the_grid():
    language = add_machine(rows=2, cols=3)
    for row, col in itertools.product(range(2), range(3)):
        at = (row * 3 + col, 5)
        assert language["move_north"].call(at) == (col, 5)
        assert language["move_south"].call(at) == (3 + col, 5)
        assert language["move_west"].call(at) == (row * 3 + max(col - 1, 0), 5)
        assert language["move_east"].call(at) == (row * 3 + min(col + 1, 2), 5)
        assert language["noop"].call(at) == at


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: walk(4), "side must be odd and at least 3, got 4"),
        (lambda: strip_language(0), "length and blocks must be at least 1"),
        (lambda: strip_language(2, operators=["^"]), r"operators must be among .*, got '\^'"),
        (lambda: apply_machine(glyphs=["?"]), r"glyphs must be among .*, got '\?'"),
    ],
)
def test_nonsense_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()
