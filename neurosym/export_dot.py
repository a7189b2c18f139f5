"""Programs as graphs: for networkx, as DOT text, as a drawing."""

from pathlib import Path
from typing import TYPE_CHECKING

from neurosym.program import Program
from neurosym.term import Apply, Bound, Lambda, Leaf, Term, Variable, subterms
from overparam.errors import InputError

if TYPE_CHECKING:
    import networkx

_SHAPES = {"input": "ellipse", "constant": "plaintext", "function": "diamond", "line": "box"}
_COLOURS = {"input": "#cfe3f5", "constant": "#eeeeee", "function": "#f7dfb8", "line": "#d8efd2"}
_FORMATS = (".png", ".svg", ".pdf")


def _label(term: Term) -> tuple[str, str]:
    """What to call a node, and what kind it is."""
    if isinstance(term, Variable):
        return f"x{term.index}", "input"
    if isinstance(term, Bound):
        return f"${term.index}", "input"
    if isinstance(term, Leaf):
        return term.primitive.name, "function" if term.primitive.arity else "constant"
    if isinstance(term, Lambda):
        return "lam", "function"
    assert isinstance(term, Apply)
    return term.head.primitive.name if isinstance(term.head, Leaf) else "apply", "line"


def to_networkx(program: Program) -> "networkx.MultiDiGraph":
    """A node per distinct subterm, an edge from each argument to what uses it.

    Nodes are numbered from the leaves up and have ``label``, ``kind`` (input, constant, function,
    line), ``type`` and ``is_output``; edges have ``place``, the number of the argument.
    """
    import networkx

    graph = networkx.MultiDiGraph(program=str(program) if program.size < 1000 else "")
    heads = {t.head for t in subterms(program.term) if isinstance(t, Apply)}
    others = {
        child
        for t in subterms(program.term)
        for child in (t.arguments if isinstance(t, Apply) else t.children)
    } | {program.term}
    number: dict[Term, int] = {}
    for term in subterms(program.term):
        # a primitive that is only ever a head is the label of its applications
        if isinstance(term, Leaf) and term in heads and term not in others:
            continue
        label, kind = _label(term)
        number[term] = len(number)
        graph.add_node(
            number[term], label=label, kind=kind, type=str(term.type),
            is_output=term is program.term,
        )  # fmt: skip
        if isinstance(term, Apply):
            parts = list(term.arguments)
            if not isinstance(term.head, Leaf):
                parts.insert(0, term.head)
        else:
            parts = list(term.children)
        for place, part in enumerate(parts):
            graph.add_edge(number[part], number[term], place=place)
    return graph


def to_dot(program: Program) -> str:
    """DOT text: arguments above, the output below; the same text for the same program."""
    graph = to_networkx(program)
    lines = ["digraph program {", "  node [fontname=monospace];"]
    for node, data in graph.nodes(data=True):
        bold = ", penwidth=2" if data["is_output"] else ""
        lines.append(
            f"  n{node} [label={_quoted(data['label'])}, shape={_SHAPES[data['kind']]}, "
            f"tooltip={_quoted(data['type'])}{bold}];"
        )
    for source, target, data in graph.edges(data=True):
        mark = f" [label={data['place']}]" if graph.in_degree(target) > 1 else ""
        lines.append(f"  n{source} -> n{target}{mark};")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def draw_program(program: Program, file: str | Path) -> Path:
    """Draw a program's graph, arguments left of what uses them, the output rightmost.

    Args:
        program: What to draw.
        file: Where to, ending in .png, .svg or .pdf; a file there is replaced.

    Returns:
        The file.

    Raises:
        InputError: If the ending is another, or the program has more than 200 nodes.
    """
    file = Path(file)
    if file.suffix not in _FORMATS:
        raise InputError(f"a drawing must end in {', '.join(_FORMATS)}, got {file.name!r}")
    import networkx
    from matplotlib.figure import Figure

    graph = to_networkx(program)
    if len(graph) > 200:
        raise InputError(f"{len(graph)} nodes are too many to draw; to_dot has no limit")
    columns = list(networkx.topological_generations(graph))
    for column, nodes in enumerate(columns):
        for node in nodes:
            graph.nodes[node]["column"] = column
    # an argument stands right before its first user, not at the far left
    for node in reversed(list(networkx.topological_sort(graph))):
        users = [graph.nodes[user]["column"] for user in graph.successors(node)]
        if users:
            graph.nodes[node]["column"] = min(users) - 1
    place = networkx.multipartite_layout(graph, subset_key="column")
    tallest = max(map(len, columns))
    figure = Figure(figsize=(1.6 + 1.3 * len(columns), 1.4 + 0.8 * tallest), layout="tight")
    axes = figure.add_subplot()
    networkx.draw_networkx(
        graph, place, ax=axes, node_size=1500, font_size=9, edge_color="#777777",
        labels={node: data["label"] for node, data in graph.nodes(data=True)},
        node_color=[_COLOURS[data["kind"]] for _, data in graph.nodes(data=True)],
        edgecolors=["black" if d["is_output"] else "#999999" for _, d in graph.nodes(data=True)],
    )  # fmt: skip
    axes.set_title(str(program) if len(str(program)) < 90 else f"{program.size} primitives")
    axes.set_axis_off()
    figure.savefig(file)
    return file
