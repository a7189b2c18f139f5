"""Evaluation of terms by a machine with its own stack, on single values or on index arrays.

The machine counts steps instead of watching a clock, so that a program that runs too long fails in
the same place everywhere, in threads too. Subterms that occur more than once are evaluated once per
environment. On arrays all rows advance together: a choice evaluates both branches, a loop runs
until the last row is done.
"""

from collections.abc import Callable, Sequence
from types import GeneratorType
from typing import Any

import numpy as np

from neurosym.primitive import Primitive
from neurosym.term import Apply, Bound, Lambda, Leaf, Term, Variable
from overparam.errors import InputError

STEPS = 1_000_000
"""Calls of primitives and functions before a run is given up, unless the caller says otherwise."""

_EVALUATE, _STORE, _CALL, _APPLY, _COLLECT, _RESUME, _VALUE = range(7)


class StepLimitError(InputError):
    """A program that took more steps than it was allowed."""


class Call:
    """What a control primitive yields, or returns last: a function value and its arguments.

    Args:
        function: A function value the primitive was given, or any callable.
        arguments: Its arguments; none forces an argument that was passed unevaluated.
    """

    __slots__ = ("arguments", "function")

    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments


class Closure:
    """The value of an abstraction: its body, and the values of the variables around it."""

    __slots__ = ("body", "environment")

    def __init__(self, body: Term, environment: Any) -> None:
        self.body = body
        self.environment = environment


class Thunk:
    """An argument left unevaluated: a term and the values of the variables around it."""

    __slots__ = ("environment", "term")

    def __init__(self, term: Term, environment: Any) -> None:
        self.term = term
        self.environment = environment


class Partial:
    """A primitive that still waits for arguments."""

    __slots__ = ("arguments", "primitive")

    def __init__(self, primitive: Primitive, arguments: tuple[Any, ...]) -> None:
        self.primitive = primitive
        self.arguments = arguments


class Control(Primitive):
    """A primitive that calls its arguments or leaves some unevaluated.

    ``values`` and ``over_rows`` are its meaning on values and on arrays of indices. Either returns
    a result, returns a ``Call`` as its last act, or is a generator that yields ``Call`` and is sent
    what that gave.
    """

    python_form = "plain"  # results are values already, no overflow policy applies
    lazy: frozenset[int] = frozenset()
    """Places of the arguments that arrive unevaluated, on single values only."""

    def values(self, *arguments: Any) -> Any:
        """The meaning on values."""
        raise NotImplementedError

    def over_rows(self, *arguments: Any) -> Any:
        """The meaning on arrays of indices."""
        raise NotImplementedError


def run(
    term: Term,
    inputs: Sequence[Any],
    *,
    arguments: Sequence[Any] = (),
    rows: bool = False,
    steps: int = STEPS,
) -> Any:
    """Evaluate a closed term.

    Args:
        term: What to evaluate.
        inputs: Value of ``x0``, ``x1``, ...; on ``rows`` arrays of indices of one shape.
        arguments: Given to the result, if it is a function.
        rows: Whether values are arrays of indices.
        steps: Calls of primitives and functions allowed.

    Returns:
        The value, or the array of its indices.

    Raises:
        StepLimitError: If ``steps`` are not enough.
        InputError: If a primitive has no value for its arguments.
    """
    results: list[Any] = []
    shared: dict[Term, Any] = {}
    stack: list[tuple[int, Any, Any]] = [(_EVALUATE, term, None)]
    if arguments:
        stack.insert(0, (_APPLY, tuple(arguments), None))
    # an environment is (value of $0, environment around it, values of open subterms)
    limit = steps
    while stack:
        task, here, place = stack.pop()
        if task == _EVALUATE:
            kind = type(here)
            if kind is Apply:
                memo = shared if not here.scope else place[2]
                if here in memo:
                    results.append(memo[here])
                    continue
                stack.append((_STORE, here, memo))
                _schedule(stack, here, place, rows)
            elif kind is Variable:
                results.append(inputs[here.index])
            elif kind is Bound:
                for _ in range(here.index):
                    place = place[1]
                results.append(place[0])
            elif kind is Lambda:
                results.append(Closure(here.body, place))
            elif here.primitive.arity:
                results.append(Partial(here.primitive, ()))
            else:
                stack.append((_CALL, here.primitive, 0))
            continue
        if task == _STORE:
            place[here] = results[-1]
            continue
        if task == _VALUE:
            results.append(here)
            continue
        # what follows calls ``target`` with ``given``
        if task == _CALL:
            target, given = here, _popped(results, place)
        elif task == _RESUME:
            _advance(here, results, stack, results.pop())
            continue
        else:
            given = _popped(results, here) if task == _COLLECT else here
            target = results.pop()
            if type(target) is Partial:
                given = target.arguments + given
                target = target.primitive
        limit -= 1
        if limit < 0:
            raise StepLimitError(f"the program takes more than {steps} steps")
        if isinstance(target, Primitive):
            if len(given) < target.arity:
                results.append(Partial(target, given))
                continue
            if len(given) > target.arity:
                stack.append((_APPLY, given[target.arity :], None))
                given = given[: target.arity]
            _perform(target, given, results, stack, rows)
        elif type(target) is Closure:
            body, around = target.body, target.environment
            if given:
                around, given = (given[0], around, {}), given[1:]
                while given and type(body) is Lambda:
                    body = body.body
                    around, given = (given[0], around, {}), given[1:]
                if given:
                    stack.append((_APPLY, given, None))
            stack.append((_EVALUATE, body, around))
        elif type(target) is Thunk:
            stack.append((_EVALUATE, target.term, target.environment))
        else:
            results.append(target(*given))
    return results.pop()


def _popped(results: list[Any], count: int) -> tuple[Any, ...]:
    """The last ``count`` results, taken away."""
    if not count:
        return ()
    taken = tuple(results[-count:])
    del results[-count:]
    return taken


def _schedule(stack: list[tuple[int, Any, Any]], term: Apply, place: Any, rows: bool) -> None:
    """Put the parts of an application on the stack, the first to be evaluated on top."""
    head, arguments = term.head, term.arguments
    if type(head) is not Leaf:
        stack.append((_COLLECT, len(arguments), None))
        for argument in reversed(arguments):
            stack.append((_EVALUATE, argument, place))
        stack.append((_EVALUATE, head, place))
        return
    target = head.primitive
    lazy = target.lazy if isinstance(target, Control) and not rows else ()
    stack.append((_CALL, target, len(arguments)))
    for number in range(len(arguments) - 1, -1, -1):
        argument = arguments[number]
        if number in lazy:
            stack.append((_VALUE, Thunk(argument, place), None))
        else:
            stack.append((_EVALUATE, argument, place))


def _perform(
    target: Primitive, given: tuple, results: list[Any], stack: list[Any], rows: bool
) -> None:
    """Call a primitive with all its arguments."""
    if target.definition is not None and not (rows and target.table is not None):
        if given:
            stack.append((_APPLY, given, None))
        stack.append((_EVALUATE, target.definition, None))
        return
    if not isinstance(target, Control):
        results.append(target.rows(*given) if rows else target.call(*given))
        return
    outcome = target.over_rows(*given) if rows else target.values(*given)
    if isinstance(outcome, GeneratorType):
        _advance(outcome, results, stack, None)
    elif type(outcome) is Call:
        stack.append((_APPLY, outcome.arguments, None))
        results.append(outcome.function)
    else:
        results.append(outcome)


def _advance(generator: GeneratorType, results: list[Any], stack: list[Any], sent: Any) -> None:
    """Let a control primitive go on until it wants a call or has its result."""
    try:
        wanted = generator.send(sent)
    except StopIteration as ended:
        outcome = ended.value
        if type(outcome) is not Call:
            results.append(outcome)
            return
        wanted = outcome
    else:
        stack.append((_RESUME, generator, None))
    stack.append((_APPLY, wanted.arguments, None))
    results.append(wanted.function)


def drive(outcome: Any) -> Any:
    """The result of a control primitive whose function arguments are plain callables."""
    if type(outcome) is Call:
        return outcome.function(*outcome.arguments)
    if not isinstance(outcome, GeneratorType):
        return outcome
    sent = None
    while True:
        try:
            wanted = outcome.send(sent)
        except StopIteration as ended:
            return drive(ended.value)
        sent = wanted.function(*wanted.arguments)


def as_rows(function: Any, *, steps: int = STEPS) -> Callable[..., np.ndarray]:
    """A closed term of function type as a callable on arrays of indices."""

    def call(*arguments: np.ndarray) -> np.ndarray:
        return run(function, (), arguments=arguments, rows=True, steps=steps)

    return call
