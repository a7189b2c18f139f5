"""Control: choice, fold, map and bounded loop, as primitives that take functions.

A body is an ordinary term, ``(fold (lam (lam (add $1 $0))) 0 x0)``, and in straight-line form a
block of lines of its own, so that whatever runs straight-line programs, relaxed ones too, runs
bodies. All four are total: lists and loops are bounded by their types.
"""

import math
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from neurosym import table
from neurosym.composite import List
from neurosym.finite import Bool, Finite, all_finite
from neurosym.machine import Call, Control, Thunk
from neurosym.types import Arrow, Type, Var, function
from overparam.errors import InputError

Steps = Generator[Call, Any, Any]


class If(Control):
    """``(if c a b)``: ``a`` where ``c`` is true, else ``b``; the other one is not evaluated.

    Args:
        type: Type of the branches; polymorphic if left out.
        condition: Type of ``c``; where that is ``BOTTOM`` the result is.
        name: Its name in programs.
        cost: Its share of a program's length.
    """

    lazy = frozenset({1, 2})
    strict = frozenset({0})

    def __init__(
        self,
        type: Type | None = None,
        *,
        condition: Bool = Bool(),  # noqa: B008 - immutable
        name: str = "if",
        cost: float | int = 1.0,
    ) -> None:
        branch = type or Var("a")
        super().__init__(
            name, (condition, branch, branch), branch, _choose, cost=cost,
            python="{1} if {0} else {2}",
        )  # fmt: skip

    def _at(self, inputs: Sequence[Type], output: Type) -> "If":
        condition = inputs[0]
        assert isinstance(condition, Bool)
        return If(output, condition=condition, name=self.name, cost=self.cost)

    def _find_table(self) -> np.ndarray | None:
        """The table, from the meaning on arrays."""
        types, output = all_finite(self.inputs), self.output
        if types is None or not isinstance(output, Finite):
            return None
        shape = tuple(type_.size for type_ in types)
        if math.prod(shape) > table.LIMIT:
            return None
        every = self.over_rows(*np.ix_(*map(np.arange, shape)))
        return table.frozen(np.broadcast_to(every, shape), output)

    def values(self, condition: Any, then: Any, otherwise: Any) -> Any:
        """One branch, evaluated now."""
        if condition is None:
            return None
        chosen = then if condition else otherwise
        return Call(chosen, ()) if type(chosen) is Thunk else chosen

    def over_rows(self, condition: np.ndarray, then: Any, otherwise: Any) -> np.ndarray:
        """Both branches, row by row the right one."""
        if not isinstance(self.output, Finite):
            raise InputError(f"{self.signature} has no meaning on arrays: choose a finite type")
        test = np.asarray(condition)
        chosen = np.where(test == 1, np.asarray(then), np.asarray(otherwise))
        return np.where(test == 2, self.output.proper, chosen) if self.absorbing else chosen


def _choose(condition: bool, then: Any, otherwise: Any) -> Any:
    return then if condition else otherwise


class Fold(Control):
    """``(fold f a list)``: ``f`` of the result so far and the next item, from ``a`` on.

    Args:
        items: Type of the list.
        result: Type of ``a`` and of the result.
        name: Its name in programs.
        cost: Its share of a program's length.
    """

    def __init__(
        self, items: List, result: Type, *, name: str = "fold", cost: float | int = 1.0
    ) -> None:
        body = function((result, items.element), result)
        super().__init__(
            name, (body, result, items), result, cost=cost, python="_fold({0}, {1}, {2})",
            helpers=(
                "def _fold(body, result, items):\n"
                "    for item in items:\n"
                "        result = body(result, item)\n"
                "    return result\n",
            ),
        )  # fmt: skip
        self.items = items

    def values(self, body: Any, result: Any, items: Any) -> Steps:
        """One call of the body per item."""
        for item in items:
            result = yield Call(body, (result, item))
        return result

    def over_rows(self, body: Any, result: np.ndarray, items: np.ndarray) -> Steps:
        """One call of the body per place in the longest list."""
        length, columns = self.items.split(items)
        for place, column in enumerate(columns):
            inside = place < length
            if not inside.any():
                break
            after = yield Call(body, (result, column))
            result = np.where(inside, after, result)
        return result


class Map(Control):
    """``(map f list)``: the list of ``f`` of every item.

    Args:
        items: Type of the list.
        results: Type of the result's items.
        name: Its name in programs.
        cost: Its share of a program's length.
    """

    def __init__(
        self, items: List, results: Type, *, name: str = "map", cost: float | int = 1.0
    ) -> None:
        self.items, self.mapped = items, List(results, items.max_len)
        super().__init__(
            name, (Arrow(items.element, results), items), self.mapped, cost=cost,
            python="_map({0}, {1})",
            helpers=(
                "def _map(body, items):\n    return tuple([body(item) for item in items])\n",
            ),
        )  # fmt: skip

    def values(self, body: Any, items: Any) -> Steps:
        """One call of the body per item."""
        results = []
        for item in items:
            results.append((yield Call(body, (item,))))
        return tuple(results)

    def over_rows(self, body: Any, items: np.ndarray) -> Steps:
        """One call of the body per place."""
        length, columns = self.items.split(items)
        results = []
        for column in columns:
            results.append((yield Call(body, (column,))))
        return self.mapped.join(length, results)


class Loop(Control):
    """``(loop c f s)``: while ``c`` is true of the state ``s``, ``s`` becomes ``f`` of it.

    Args:
        state: Type of the state.
        bound: Number of turns after which the loop ends with the state it has.
        name: Its name in programs.
        cost: Its share of a program's length.

    Raises:
        InputError: If ``bound`` is below 1.
    """

    def __init__(
        self, state: Type, bound: int, *, name: str = "loop", cost: float | int = 1.0
    ) -> None:
        if bound < 1:
            raise InputError(f"bound of {name} must be at least 1, got {bound}")
        super().__init__(
            name, (Arrow(state, Bool()), Arrow(state, state), state), state, cost=cost,
            python=f"_loop({{0}}, {{1}}, {{2}}, {bound})",
            helpers=(
                "def _loop(condition, body, state, bound):\n"
                "    for _ in range(bound):\n"
                "        if not condition(state):\n"
                "            break\n"
                "        state = body(state)\n"
                "    return state\n",
            ),
        )  # fmt: skip
        self.bound = bound

    def values(self, condition: Any, body: Any, state: Any) -> Steps:
        """Turn after turn until the condition fails."""
        for _ in range(self.bound):
            if not (yield Call(condition, (state,))):
                break
            state = yield Call(body, (state,))
        return state

    def over_rows(self, condition: Any, body: Any, state: np.ndarray) -> Steps:
        """Turn after turn until the condition has failed in every row."""
        going = np.asarray(True)
        for _ in range(self.bound):
            holds = yield Call(condition, (state,))
            going = going & (np.asarray(holds) == 1)
            if not going.any():
                break
            after = yield Call(body, (state,))
            state = np.where(going, after, state)
        return state
