"""Graphs with ports under a walking head, and the steps that change them.

Everything is immutable and hashable, so that a step, a state or a graph may be remembered.
"""

from collections.abc import Callable
from typing import NamedTuple


class PortGraph:
    """An immutable graph with ports and creation ids.

    Attributes:
        nodes: Creation id of each node.
        edges: ``(node, node, port, creation id)`` of each edge.
        loose: The node that was added and has no edge yet, or -1.
    """

    __slots__ = ("_hash", "edges", "ends", "loose", "nodes")

    def __init__(
        self, nodes: tuple, edges: tuple, loose: int, ends: dict[tuple[int, int], int]
    ) -> None:
        self.nodes = nodes
        self.edges = edges
        self.loose = loose
        self.ends = ends  # (node, port) -> the node at the other end
        self._hash = hash((nodes, edges))

    def with_node(self) -> "PortGraph":
        """The graph with one more node, which has no edge."""
        ident = len(self.nodes) + len(self.edges)
        return PortGraph((*self.nodes, ident), self.edges, len(self.nodes), self.ends)

    def with_edge(self, left: int, right: int, port: int) -> "PortGraph":
        """The graph with an edge between two nodes whose ``port`` is free."""
        edge = (left, right, port, len(self.nodes) + len(self.edges))
        ends = self.ends | {(left, port): right, (right, port): left}
        loose = -1 if self.loose in (left, right) else self.loose
        return PortGraph(self.nodes, (*self.edges, edge), loose, ends)

    @property
    def is_connected(self) -> bool:
        """Whether every node can be reached from every other."""
        return self.loose < 0

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, PortGraph) or self._hash != other._hash:
            return False
        return self.nodes == other.nodes and self.edges == other.edges

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"<PortGraph of {len(self.nodes)} nodes, {len(self.edges)} edges>"


class State(NamedTuple):
    """Where a program stands; hashable, so that a step may be remembered."""

    graph: PortGraph
    position: int
    port: int
    stack: tuple[int, ...]


START = State(PortGraph((0,), (), -1, {}), 0, 0, ())
"""One node, the head on it, port 0, nothing on the stack."""

Step = Callable[[State], State]


def is_accepted(state: State) -> bool:
    """Whether a final state is a result: more than one node, all connected."""
    return len(state.graph.nodes) > 1 and state.graph.loose < 0


def move(state: State) -> State:
    """Follow the edge at the head's port, if there is one."""
    end = state.graph.ends.get((state.position, state.port))
    return state if end is None else State(state.graph, end, state.port, state.stack)


def push(state: State) -> State:
    """Put the head's node on the stack."""
    return State(state.graph, state.position, state.port, (*state.stack, state.position))


def pop(state: State) -> State:
    """Drop the top of the stack; an unattached node must keep another one on it to connect to."""
    graph, position, port, stack = state
    if not stack:
        return state
    rest = stack[:-1]
    if graph.loose >= 0 and all(node == graph.loose for node in rest):
        return state
    return State(graph, position, port, rest)


def add(state: State) -> State:
    """Make a node and stand on it, if the stack is not empty and no other is unattached."""
    graph, _, port, stack = state
    if not stack or graph.loose >= 0:
        return state
    return State(graph.with_node(), len(graph.nodes), port, stack)


def connect(state: State) -> State:
    """Join the head's node to the top of the stack, if they differ and the port is free at both."""
    graph, position, port, stack = state
    if not stack or stack[-1] == position:
        return state
    top = stack[-1]
    if (position, port) in graph.ends or (top, port) in graph.ends:
        return state
    return State(graph.with_edge(position, top, port), position, port, stack)


def turn(by: int, max_ports: int) -> Step:
    """The step that turns the head by some ports."""

    def turned(state: State) -> State:
        graph, position, port, stack = state
        return State(graph, position, (port + by) % max_ports, stack)

    return turned
