"""Programs that draw graphs: a head walks over nodes, adds some and connects them by ports.

A state is a graph, the head's node, its port and a stack of nodes. A program maps states to states;
each primitive does one thing and hands over to the rest of the program, which is its argument:
``(push (add (connect identity)))``. In a graph every node and edge has a creation id; an edge has
one port, the same at both ends; two edges at a node never share one. So there are no loops, and the
graph is connected but for at most one node that has just been added.

Source: Whitehouse, "Symbolic Synthesis of Neural Networks", arXiv:2303.03340; the ten primitives as
in the authors' code. ``pop`` that would break the rule on unattached nodes does nothing here.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from neurosym.language import Language
from neurosym.languages.graph_state import (
    START,
    State,
    Step,
    add,
    connect,
    move,
    pop,
    push,
    turn,
)
from neurosym.machine import Call, Control, StepLimitError, run
from neurosym.primitive import Primitive
from neurosym.program import Program
from neurosym.term import Apply, Leaf, Term
from neurosym.types import Arrow, Base
from overparam.errors import InputError

if TYPE_CHECKING:
    import networkx

STATE = Base("state")
REST = Arrow(STATE, STATE)
"""The type of programs, and of what a primitive hands over to."""
MOST_PRIMITIVES = 150
STEPS = 10_000
"""Calls after which a run is given up; 150 primitives take fewer unless ``func`` nests deeply."""


class Move(Control):
    """A primitive that takes one step, then hands over to its argument."""

    def __init__(self, name: str, step: Step) -> None:
        super().__init__(name, (REST, STATE), STATE)
        self.step = step

    def values(self, rest: Any, state: State) -> Call:
        """The rest of the program on the next state."""
        return Call(rest, (self.step(state),))


class Subroutine(Control):
    """Run the first argument for its graph alone, then go on with the second where the head was."""

    def __init__(self, name: str) -> None:
        super().__init__(name, (REST, REST, STATE), STATE)

    def values(self, inner: Any, rest: Any, state: State) -> Any:
        """The rest on the subroutine's graph, if that is connected."""
        graph = (yield Call(inner, (state,))).graph
        kept = graph if graph.is_connected else state.graph
        return Call(rest, (State(kept, state.position, state.port, state.stack),))


class IfPositionsEqual(Control):
    """Compare where two arguments end: on one node, run the third, else the fourth; then go on."""

    def __init__(self, name: str) -> None:
        super().__init__(name, (REST,) * 5 + (STATE,), STATE)

    def values(
        self, left: Any, right: Any, then: Any, otherwise: Any, rest: Any, state: Any
    ) -> Any:
        """The rest on what the chosen branch makes of the state."""
        first = (yield Call(left, (state,))).position
        second = (yield Call(right, (state,))).position
        after = yield Call(then if first == second else otherwise, (state,))
        return Call(rest, (after,))


def _identity(state: State) -> State:
    return state


def graph_language(max_ports: int = 10) -> Language:
    """The language of graph programs.

    Args:
        max_ports: Ports of a node, hence its most edges.

    Raises:
        InputError: If ``max_ports`` is below 1.
    """
    if max_ports < 1:
        raise InputError(f"max_ports must be at least 1, got {max_ports}")
    primitives: list[Primitive] = [
        Primitive("identity", (STATE,), STATE, _identity),
        Move("next_port", turn(1, max_ports)),
        Move("prev_port", turn(-1, max_ports)),
        Move("move", move),
        Move("push", push),
        Move("pop", pop),
        Move("add", add),
        Move("connect", connect),
        Subroutine("func"),
        IfPositionsEqual("if_positions_equal"),
    ]
    return Language(primitives, output=REST, name=f"graphs with {max_ports} ports")


def run_state(term: Term, state: State, *, steps: int = STEPS) -> State:
    """The state a closed term of type ``REST`` makes of ``state``.

    The machine gives the same, several times slower: here the state is handed from step to step
    without values for the rests of the program. Library functions are left to the machine.

    Raises:
        StepLimitError: If more than ``steps`` primitives are called.
    """
    # what to do when a subroutine ends: (its term, the state before it, results of earlier ones)
    waiting: list[tuple[Apply, State, tuple[State, ...]]] = []
    left = steps
    while True:
        left -= 1
        if left < 0:
            raise StepLimitError(f"the program takes more than {steps} steps")
        if type(term) is Apply and type(term.head) is Leaf:
            primitive, arguments = term.head.primitive, term.arguments
            if type(primitive) is Move:
                state = primitive.step(state)
                term = arguments[0]
                continue
            if type(primitive) is Subroutine or type(primitive) is IfPositionsEqual:
                waiting.append((term, state, ()))
                term = arguments[0]
                continue
        if not (type(term) is Leaf and type(term.primitive) is Primitive):
            state = run(term, (), arguments=(state,), steps=left)
        # the program of the innermost subroutine has ended
        if not waiting:
            return state
        caller, before, ended = waiting.pop()
        arguments = caller.arguments
        if len(arguments) == 2:
            kept = state.graph if state.graph.loose < 0 else before.graph
            state, term = State(kept, *before[1:]), arguments[1]
        elif len(ended) == 2:
            term = arguments[4]
        else:
            ended = (*ended, state)
            waiting.append((caller, before, ended))
            same = len(ended) == 2 and ended[0].position == ended[1].position
            term = arguments[1] if len(ended) == 1 else arguments[2 if same else 3]
            state = before


@dataclass(frozen=True)
class GraphProgram:
    """A program and the graph it draws.

    Attributes:
        program: The program.
        state: The state it ends in.
    """

    program: Program
    state: State

    @cached_property
    def graph(self) -> "networkx.MultiGraph":
        """Nodes 0, 1, ... with ``id``; edges with ``id`` and ``port``, which is their key too."""
        import networkx

        graph = networkx.MultiGraph()
        for node, ident in enumerate(self.state.graph.nodes):
            graph.add_node(node, id=ident)
        for left, right, port, ident in self.state.graph.edges:
            graph.add_edge(left, right, key=port, port=port, id=ident)
        return graph

    @property
    def mass(self) -> int:
        """Primitives of the program once library functions are expanded."""
        return self.program.mass


def run_graph(program: Program, *, steps: int = STEPS) -> GraphProgram:
    """Run a graph program from one node.

    Args:
        program: A program of ``graph_language`` or an extension of it.
        steps: Calls allowed.

    Raises:
        InputError: If it is no graph program, has more than 150 primitives once expanded, or its
            graph has one node or is not connected.
        StepLimitError: If ``steps`` are not enough.
    """
    if program.type != REST or program.inputs:
        raise InputError(f"a graph program is of type {REST} without inputs, got {program!r}")
    if program.mass > MOST_PRIMITIVES:
        raise InputError(
            f"a graph program has at most {MOST_PRIMITIVES} primitives, got {program.mass}"
        )
    state = run_state(program.term, START, steps=steps)
    if len(state.graph.nodes) < 2:
        raise InputError(f"{program} draws one node: it needs (push (add (connect ...)))")
    if not state.graph.is_connected:
        raise InputError(f"{program} leaves node {state.graph.loose} without an edge")
    return GraphProgram(program, state)
