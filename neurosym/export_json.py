"""Programs as JSON: the shared graph of the term, so that size and depth do not matter.

The text holds the language's name and fingerprint; reading it back needs the same language.
"""

import json
from typing import TYPE_CHECKING, Any

from neurosym.composite import Grid, List, Record
from neurosym.domain import Input
from neurosym.finite import Bool, Int, Symbol
from neurosym.language import Language
from neurosym.permutation import Perm
from neurosym.program import Program
from neurosym.term import Apply, Bound, Lambda, Leaf, Term, Variable, subterms
from neurosym.types import Arrow, Base, Type
from overparam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = "neurosym-program"
VERSION = 1


def to_json(program: Program) -> str:
    """The JSON text of a program; equal programs give equal texts."""
    nodes = list(subterms(program.term))
    place = {node: number for number, node in enumerate(nodes)}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "language": program.language.name,
        "fingerprint": program.language.fingerprint,
        "inputs": [[type_to_data(i.type), _plain(i.chosen)] for i in program.inputs],
        "nodes": [_node(node, place) for node in nodes],
    }
    return json.dumps(content)


def _node(term: Term, place: dict[Term, int]) -> list[Any]:
    if isinstance(term, Variable):
        return ["input", term.index]
    if isinstance(term, Bound):
        return ["bound", term.index, type_to_data(term.type)]
    if isinstance(term, Leaf):
        return ["primitive", term.primitive.name, type_to_data(term.type)]
    if isinstance(term, Lambda):
        return ["lam", type_to_data(term.argument), place[term.body]]
    return ["apply", *(place[child] for child in term.children)]


def from_json(language: Language, text: str) -> Program:
    """The program that ``to_json`` wrote.

    Args:
        language: The one it was written in.
        text: The JSON.

    Raises:
        InputError: If it is no such text, of a newer version, of another language, or damaged.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(f"no JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"no program: its format must be {FORMAT!r}")
    if content.get("version") != VERSION:
        raise InputError(f"version of the program must be {VERSION}, got {content.get('version')}")
    if content.get("fingerprint") != language.fingerprint:
        raise InputError(
            f"the program is of language {content.get('language')} "
            f"({str(content.get('fingerprint'))[:16]}), not of {language.name} "
            f"({language.fingerprint[:16]})"
        )
    try:
        inputs = [Input(type_from_data(data), _tuple(some)) for data, some in content["inputs"]]
        nodes: list[Term] = []
        for node in content["nodes"]:
            nodes.append(_term(language, node, nodes, inputs))
        return Program(language, nodes[-1], inputs)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the program is damaged: {error!r}") from None


def _term(
    language: Language, node: "Sequence[Any]", nodes: list[Term], inputs: "Sequence[Input]"
) -> Term:
    kind, *rest = node
    if kind == "input":
        return Variable(rest[0], inputs[rest[0]].type)
    if kind == "bound":
        return Bound(rest[0], type_from_data(rest[1]))
    if kind == "lam":
        return Lambda(type_from_data(rest[0]), nodes[rest[1]])
    if kind == "apply":
        head, *arguments = rest
        return Apply(nodes[head], [nodes[number] for number in arguments])
    wanted = type_from_data(rest[1])
    for primitive in (*language.operations, *language.constants):
        if (primitive.name, primitive.type) == (rest[0], wanted):
            return Leaf(primitive)
    raise InputError(f"{language.name} has no primitive {rest[0]} of type {wanted}")


def type_to_data(type_: Type) -> list[Any]:
    """A ground type as plain data."""
    match type_:
        case Int(lo, hi, overflow):
            return ["int", lo, hi, overflow]
        case Bool(bottomed):
            return ["bool", bottomed]
        case Symbol(name, labels, bottomed):
            return ["symbol", name, list(labels), bottomed]
        case Perm(k):
            return ["perm", k]
        case List(element, max_len):
            return ["list", type_to_data(element), max_len]
        case Grid(element, rows, cols):
            return ["grid", type_to_data(element), rows, cols]
        case Record(name, fields):
            return ["record", name, [[field, type_to_data(part)] for field, part in fields]]
        case Base(name):
            return ["base", name]
        case Arrow(argument, result):
            return ["arrow", type_to_data(argument), type_to_data(result)]
    raise InputError(f"{type_} cannot be written as JSON")


def type_from_data(data: Any) -> Type:
    """The type that ``type_to_data`` wrote.

    Raises:
        InputError: If it is none.
    """
    match data:
        case ["int", int(lo), int(hi), str(overflow)]:
            return Int(lo, hi, overflow)
        case ["bool", bool(bottomed)]:
            return Bool(bottomed)
        case ["symbol", str(name), [*labels], bool(bottomed)]:
            return Symbol(name, tuple(labels), bottomed)
        case ["perm", int(k)]:
            return Perm(k)
        case ["list", element, int(max_len)]:
            return List(type_from_data(element), max_len)
        case ["grid", element, int(rows), int(cols)]:
            return Grid(type_from_data(element), rows, cols)
        case ["record", str(name), [*fields]]:
            return Record(name, tuple((field, type_from_data(part)) for field, part in fields))
        case ["base", str(name)]:
            return Base(name)
        case ["arrow", argument, result]:
            return Arrow(type_from_data(argument), type_from_data(result))
    raise InputError(f"no type: {data!r}")


def _plain(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else [int(v) if hasattr(v, "item") else v for v in values]


def _tuple(data: Any) -> Any:
    """Lists as tuples, all the way down: values are tuples, JSON has lists."""
    return tuple(_tuple(item) for item in data) if isinstance(data, list) else data
