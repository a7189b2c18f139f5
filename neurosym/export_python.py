"""Programs as readable Python that runs without this package.

A program becomes one function of straight assignments: inputs ``x0``..., temporaries ``t0``...,
functions ``f0``... with parameters ``a0``... for the bodies of folds and loops. ``BOTTOM`` is
``None``. The same program gives the same text, and running it gives what the interpreter gives.
"""

import itertools
import keyword
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from neurosym.finite import Finite, Int
from neurosym.rewrite import expand
from neurosym.straight_line import Block, Line
from neurosym.term import Variable, apply
from neurosym.types import Arrow
from overparam.errors import InputError

if TYPE_CHECKING:
    from neurosym.language import Language
    from neurosym.primitive import Primitive
    from neurosym.program import Program

CHECKED = 4096
"""Entries of a table up to which an expression is compared with it, or replaced by it."""

_POLICIES = {
    "modulo": (
        "_modulo",
        "def _modulo(value, lo, hi):\n    return (value - lo) % (hi - lo + 1) + lo\n",
    ),
    "saturate": (
        "_saturate",
        "def _saturate(value, lo, hi):\n    return min(max(value, lo), hi)\n",
    ),
    "bottom": (
        "_bottom",
        "def _bottom(value, lo, hi):\n"
        "    return value if value is not None and lo <= value <= hi else None\n",
    ),
}
_DEFINED = (
    "def _defined(compute):\n"
    "    try:\n"
    "        return compute()\n"
    "    except (ArithmeticError, LookupError, ValueError):\n"
    "        return None\n"
)
_FORMS = ("plain", "policy", "guarded")


def to_python(program: "Program", *, name: str = "program", level: str = "not verified") -> str:
    """Python source of a program.

    Args:
        program: Its value must not be a function.
        name: Name of the function.
        level: What its docstring says of verification, such as ``Verification.level``.

    Raises:
        InputError: If ``name`` is no identifier, the program has no straight-line form, or a
            primitive has neither an expression nor a small table.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name[0] == "_":
        raise InputError(f"name must be a plain Python identifier, got {name!r}")
    lines = program.with_term(expand(program.term, _takes_functions)).straight_line()
    writer = _Writer(program.language)
    registers = [f"x{number}" for number in range(len(lines.inputs))]
    registers += [literal(p.value) for p in lines.language.constants]
    body = writer.lines(lines.lines, registers, "    ")
    result = registers[lines.output]
    text = str(program) if program.size <= 500 else f"A program of {program.size} primitives."
    head = [f'"""{name}: a program of {len(lines)} lines; verification: {level}."""', ""]
    helpers = [f"\n{helper}" for helper in writer.helpers]
    inputs = ", ".join(registers[: len(lines.inputs)])
    types = [f"    x{number}: {i.type}" for number, i in enumerate(program.inputs)]
    documentation = [f'    """{text}', "", *types, f"    Verification: {level}.", '    """']
    function = [
        f"\ndef {name}({inputs}):", *documentation, *body, f"    return {result}", ""
    ]  # fmt: skip
    return "\n".join([*head, *helpers, *function])


def _takes_functions(primitive: "Primitive") -> bool:
    """Whether a library function cannot be a function of straight assignments."""
    return any(isinstance(type_, Arrow) for type_ in primitive.inputs)


class _Writer:
    """Names given so far, and the helpers needed."""

    def __init__(self, language: "Language") -> None:
        self.language = language
        self.helpers: dict[str, None] = {}
        self.defined: set[str] = set()
        self.temporaries = itertools.count()
        self.functions = itertools.count()
        self.parameters = itertools.count()

    def lines(self, lines: Sequence[Line], registers: list[str], indent: str) -> list[str]:
        """Source of lines; ``registers`` gets their names."""
        source: list[str] = []
        for line in lines:
            arguments = []
            for argument in line.arguments:
                if not isinstance(argument, Block):
                    arguments.append(registers[argument])
                    continue
                name = f"f{next(self.functions)}"
                given = [f"a{next(self.parameters)}" for _ in argument.parameters]
                inner = [*registers, *given]
                body = self.lines(argument.lines, inner, indent + "    ")
                source += [""] * bool(source and source[-1])
                source += [f"{indent}def {name}({', '.join(given)}):", *body]
                source += [f"{indent}    return {inner[argument.output]}", ""]
                arguments.append(name)
            if line.primitive.definition is not None:
                value = f"{self.define(line.primitive)}({', '.join(arguments)})"
            elif line.primitive.is_constant:
                value = literal(line.primitive.value)
            else:
                value, helpers = expression(line.primitive, arguments)
                self.helpers |= dict.fromkeys(helpers)
            registers.append(f"t{next(self.temporaries)}")
            source.append(f"{indent}{registers[-1]} = {value}")
        return source

    def define(self, primitive: "Primitive") -> str:
        """Make a function of a library function, before whatever uses it; its name."""
        from neurosym.program import Program

        name = "_lib_" + "".join(c if c.isalnum() else "_" for c in primitive.name)
        if name in self.defined:
            return name
        self.defined.add(name)
        assert primitive.definition is not None
        inputs = [Variable(n, type_) for n, type_ in enumerate(primitive.inputs)]
        around = self.temporaries, self.functions, self.parameters
        self.temporaries, self.functions, self.parameters = (itertools.count() for _ in range(3))
        term = expand(apply(primitive.definition, *inputs), _takes_functions)
        lines = Program(self.language, term, primitive.inputs).straight_line()
        given = [f"a{next(self.parameters)}" for _ in inputs]
        registers = [*given, *(literal(p.value) for p in self.language.constants)]
        body = self.lines(lines.lines, registers, "    ")
        source = [f"def {name}({', '.join(given)}):", *body]
        self.helpers["\n".join([*source, f"    return {registers[lines.output]}", ""])] = None
        self.temporaries, self.functions, self.parameters = around
        return name


def literal(value: Any) -> str:
    """A value as Python source; negative numbers in parentheses."""
    text = repr(value)
    return f"({text})" if text.startswith("-") else text


def expression(primitive: "Primitive", arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Python source of a primitive applied to names or literals, and the helpers it needs.

    Raises:
        InputError: If it has neither an expression nor a table of at most 4096 entries.
    """
    if primitive.python is not None:
        return _written(primitive, arguments, primitive.python_form or default_form(primitive))
    table = primitive.table
    if table is None or table.size > CHECKED:
        raise InputError(
            f"{primitive.name} cannot be exported to Python: give it python='...', an expression"
        )
    listed = [type_.values() for type_ in primitive.inputs if isinstance(type_, Finite)]
    output = primitive.output
    assert isinstance(output, Finite)
    values = [output.value(index) for index in table.flat]
    keys = [key[0] if len(key) == 1 else key for key in itertools.product(*listed)]
    # a checksum keeps apart the tables of one name at several types
    name = "_" + "".join(c if c.isalnum() else "_" for c in f"{primitive.name}_table")
    name += f"_{crc32(repr((keys, values)).encode()):08x}"
    entries = [f"{key!r}: {value!r}" for key, value in zip(keys, values, strict=True)]
    rows = [entries[start : start + 6] for start in range(0, len(entries), 6)]
    body = "\n".join(f"    {', '.join(row)}," for row in rows)
    key = arguments[0] if len(arguments) == 1 else f"({', '.join(arguments)})"
    return f"{name}[{key}]", [f"{name} = {{\n{body}\n}}\n"]


def _written(primitive: "Primitive", arguments: Sequence[str], form: str) -> tuple[str, list[str]]:
    """The primitive's own expression, with as much around it as ``form`` says."""
    assert primitive.python is not None
    value, helpers = primitive.python.format(*arguments), list(primitive.helpers)
    output = primitive.output
    if form == "guarded":
        value, helpers = f"_defined(lambda: {value})", [*helpers, _DEFINED]
    if form != "plain" and isinstance(output, Int) and output.overflow in _POLICIES:
        name, helper = _POLICIES[output.overflow]
        value, helpers = f"{name}({value}, {output.lo}, {output.hi})", [*helpers, helper]
    strict = [arguments[place] for place in primitive.absorbing]
    if "None" in strict:
        return "None", []
    # literals are values; only a name may hold None
    absent = [f"{name} is None" for name in dict.fromkeys(strict) if name.isidentifier()]
    if absent:
        value = f"None if {' or '.join(absent)} else {value}"
    return value, helpers


def default_form(primitive: "Primitive") -> str:
    """What an expression that was not compared with a table is wrapped in."""
    if primitive.output.has_bottom:
        return "guarded"
    return "policy" if isinstance(primitive.output, Int) else "plain"


def shortest_form(primitive: "Primitive") -> str:
    """The least that must be wrapped around the expression for it to agree with the table.

    Raises:
        InputError: If it never does; the message has an example.
    """
    listed = [type_.values() for type_ in primitive.inputs if isinstance(type_, Finite)]
    every = list(itertools.product(*listed))
    expected = [primitive.call(*arguments) for arguments in every]
    names = [f"a{number}" for number in range(primitive.arity)]
    failure = ""
    for form in _FORMS:
        value, helpers = _written(primitive, names, form)
        exported = _compiled(value, names, helpers)
        for arguments, wanted in zip(every, expected, strict=True):
            try:
                found = exported(*arguments)
            except Exception as error:
                found = error
            if type(found) is not type(wanted) or found != wanted:
                given = ", ".join(map(repr, arguments))
                failure = (
                    f"{primitive.name}({given}) is {wanted!r}, but python={primitive.python!r} "
                    f"gives {found!r}"
                )
                break
        else:
            return form
    raise InputError(failure)


def _compiled(value: str, names: Sequence[str], helpers: Sequence[str]) -> Callable[..., Any]:
    """The function of these names, made from source that is part of the language's declaration."""
    scope: dict[str, Any] = {}
    for helper in helpers:
        exec(helper, scope)
    return eval(f"lambda {', '.join(names)}: {value}", scope)
