"""Graph programs: the steps of the specification, and what holds of every graph they draw."""

import random

import networkx
import pytest
from hypothesis import given, settings

from neurosym import StepLimitError, graph_language, parse, run_graph, run_state
from neurosym.languages.graph_state import START, State, is_accepted
from neurosym.languages.graphs import MOST_PRIMITIVES, REST
from neurosym.machine import run
from neurosym.program import Program
from neurosym.term import Leaf, apply
from overparam.errors import InputError

from .strategies import seeds

PORTS = 3
PLAIN = graph_language(PORTS)
LANGUAGE = PLAIN.define("fn_0", "(lam (push (add (connect $0))))").define(
    "fn_1", "(lam (fn_0 (next_port (fn_0 $0))))"
)
few = settings(deadline=None, max_examples=40)


def random_graph_term(rng: random.Random, depth: int, language=LANGUAGE):
    if depth <= 0 or rng.random() < 0.05:
        return Leaf(language["identity"])
    weights = {"func": 0.4, "if_positions_equal": 0.4, "identity": 0.1}
    rules = language.rules(REST)
    (rule,) = rng.choices(rules, [weights.get(r.primitive.name, 1.0) for r in rules])
    share = depth - 1 if len(rule.arguments) == 1 else depth // max(len(rule.arguments), 1)
    parts = [random_graph_term(rng, share, language) for _ in rule.arguments]
    return apply(Leaf(rule.primitive), *parts)


def reference(term, state: dict) -> dict:
    """The specification's table, word by word, on a networkx graph that is copied at every step."""
    name, arguments = (
        (term.head.primitive.name, term.arguments)
        if hasattr(term, "head")
        else (term.primitive.name, ())
    )
    graph = state["graph"].copy()
    pos, port, stack = state["pos"], state["port"], list(state["stack"])
    unattached = [n for n in graph if n and graph.degree(n) == 0]

    def at(node, wanted):
        for _, other, data in graph.edges(node, data=True):
            if data["port"] == wanted:
                return other
        return None

    def rest(**changes):
        new = {"graph": graph, "pos": pos, "port": port, "stack": stack} | changes
        return reference(arguments[-1], new)

    size = len(graph) + graph.number_of_edges()
    if name == "identity":
        return state
    if name == "next_port":
        return rest(port=(port + 1) % PORTS)
    if name == "prev_port":
        return rest(port=(port - 1) % PORTS)
    if name == "move":
        other = at(pos, port)
        return rest(pos=pos if other is None else other)
    if name == "push":
        return rest(stack=[*stack, pos])
    if name == "pop":
        left = stack[:-1]
        if unattached and not [n for n in left if n not in unattached]:
            left = stack
        return rest(stack=left)
    if name == "add":
        if not stack or unattached:
            return rest()
        node = len(graph)
        graph.add_node(node, id=size)
        return rest(pos=node)
    if name == "connect":
        if stack and stack[-1] != pos and at(pos, port) is None and at(stack[-1], port) is None:
            graph.add_edge(pos, stack[-1], key=port, port=port, id=size)
        return rest()
    if name == "func":
        inner = reference(arguments[0], state)["graph"]
        return rest(graph=inner if networkx.is_connected(inner) else graph)
    first, second = (reference(arguments[n], state)["pos"] for n in (0, 1))
    return reference(arguments[4], reference(arguments[2 if first == second else 3], state))


def start() -> dict:
    graph = networkx.MultiGraph()
    graph.add_node(0, id=0)
    return {"graph": graph, "pos": 0, "port": 0, "stack": []}


@few
@given(seed=seeds)
def test_every_primitive_is_the_specification(seed):
    term = random_graph_term(random.Random(seed), 30, PLAIN)
    expected = reference(term, start())
    found = run_state(term, START)
    assert (found.position, found.port) == (expected["pos"], expected["port"])
    assert list(found.stack) == expected["stack"]
    nodes = dict(expected["graph"].nodes(data="id"))
    assert dict(enumerate(found.graph.nodes)) == nodes
    edges = {
        (frozenset((u, v)), data["port"], data["id"])
        for u, v, data in expected["graph"].edges(data=True)
    }
    assert {(frozenset((u, v)), port, i) for u, v, port, i in found.graph.edges} == edges
    connected = networkx.is_connected(expected["graph"])
    assert found.graph.is_connected == connected
    assert is_accepted(found) == (connected and len(nodes) > 1)


@few
@given(seed=seeds)
def test_the_fast_way_is_the_machine(seed):
    rng = random.Random(seed)
    term = random_graph_term(rng, 40)
    state = run_state(term, START)
    assert state == run(term, (), arguments=(START,))
    # also in the middle of a walk, and with library functions written out
    other = random_graph_term(rng, 20)
    assert run_state(other, state) == run(other, (), arguments=(state,))
    program = Program(LANGUAGE, other)
    assert run_state(program.expanded().term, state) == run_state(other, state)
    assert program.mass == program.expanded().size


@few
@given(seed=seeds)
def test_what_holds_of_every_graph(seed):
    term = random_graph_term(random.Random(seed), 40)
    state = run_state(term, START)
    if not is_accepted(state):
        return
    drawn = run_graph(Program(LANGUAGE, term)).graph
    assert networkx.is_connected(drawn) and len(drawn) > 1
    assert networkx.number_of_selfloops(drawn) == 0
    idents = [i for _, i in drawn.nodes(data="id")] + [i for _, _, i in drawn.edges(data="id")]
    assert sorted(idents) == list(range(len(idents)))
    for node in drawn:
        ports = [data["port"] for _, _, data in drawn.edges(node, data=True)]
        assert len(set(ports)) == len(ports) <= PORTS
        assert set(ports) <= set(range(PORTS))


@few
@given(seed=seeds)
def test_states_are_values(seed):
    term = random_graph_term(random.Random(seed), 30)
    before = repr(START), hash(START)
    first, second = run_state(term, START), run_state(term, START)
    assert first == second and hash(first) == hash(second)
    assert first.graph == second.graph and {first: 1}[second] == 1
    assert (repr(START), hash(START)) == before


def test_a_chain_and_a_ring():
    chain = run_graph(parse(LANGUAGE, "(fn_1 (next_port (fn_0 identity)))"))
    assert networkx.is_isomorphic(networkx.Graph(chain.graph), networkx.path_graph(4))
    assert chain.mass == 12 and chain.program.size == 4
    ring = parse(PLAIN, "(push (push (add (connect (push (next_port (add (connect (pop (pop"
                        " (next_port (connect identity))))))))))))")  # fmt: skip
    assert networkx.is_isomorphic(networkx.Graph(run_graph(ring).graph), networkx.cycle_graph(3))
    parallel = run_graph(parse(PLAIN, "(push (add (connect (next_port (connect identity)))))"))
    assert parallel.graph.number_of_edges() == 2 and len(parallel.graph) == 2
    data = dict(parallel.graph[0][1])
    assert data == {0: {"port": 0, "id": 2}, 1: {"port": 1, "id": 3}}


def test_what_is_no_result_is_told():
    long = "(push (add (connect " + "(next_port " * 148 + "identity" + ")" * 151
    for text, words in [
        ("identity", "identity draws one node"),
        ("(push (add identity))", "leaves node 1 without an edge"),
        (long, f"at most {MOST_PRIMITIVES} primitives, got 152"),
    ]:
        with pytest.raises(InputError, match=words):
            run_graph(parse(PLAIN, text))
    run_graph(parse(PLAIN, long.replace("(next_port (next_port (", "(", 1)[:-2]))
    with pytest.raises(InputError, match="max_ports must be at least 1"):
        graph_language(0)
    with pytest.raises(InputError, match="the program must be state -> state"):
        parse(PLAIN, "(lam (push $0))")
    with pytest.raises(InputError, match=r"func takes 2 arguments|the program must be"):
        parse(PLAIN, "(func identity)")


def test_steps_are_capped_without_a_clock():
    # every level runs the one below twice: 2**60 steps
    language = PLAIN
    for level in range(60):
        inner = f"d{level - 1}" if level else "next_port"
        language = language.define(f"d{level}", f"(lam ({inner} ({inner} $0)))")
    term = parse(language, "(d59 identity)").term
    assert term.type == REST
    with pytest.raises(StepLimitError, match="steps"):
        run_state(term, START, steps=5000)
    with pytest.raises(StepLimitError, match="more than 5000 steps"):
        run(term, (), arguments=(START,), steps=5000)
    turned = run_state(parse(language, "(d3 identity)").term, START)
    assert turned == State(START.graph, 0, 16 % PORTS, ())
