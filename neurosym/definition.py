"""Library functions: primitives that stand for a term."""

import math
from typing import Any

import numpy as np

from neurosym import table
from neurosym.finite import Finite, all_finite
from neurosym.machine import run
from neurosym.primitive import Primitive
from neurosym.rewrite import expand, variables
from neurosym.term import Term
from neurosym.types import uncurry
from overparam.errors import InputError


class Definition(Primitive):
    """A primitive whose meaning is a closed term of the same language.

    Between finite types it gets a table like any other, from one run over all arguments at once.

    Args:
        name: Its name.
        term: What it stands for: abstractions for its arguments, or a partial application.
        cost: Its share of a program's length.

    Raises:
        InputError: If the term has free variables or inputs.
    """

    definition: Term

    def __init__(self, name: str, term: Term, *, cost: float | int = 1.0) -> None:
        if not term.is_closed or variables(term):
            raise InputError(f"{name} must be defined by a closed term without inputs, got {term}")
        inputs, output = uncurry(term.type)
        self.definition = term
        super().__init__(name, inputs, output, cost=cost, tabulate=False)
        types = all_finite(inputs)
        if types is None or not isinstance(output, Finite):
            return
        shape = tuple(type_.size for type_ in types)
        if math.prod(shape) <= table.LIMIT:
            found = run(term, (), arguments=list(np.indices(shape)) if shape else [], rows=True)
            self.table = table.frozen(np.broadcast_to(found, shape), output)
            self._check_commutative()

    def call(self, *arguments: Any) -> Any:
        """The result for argument values."""
        return run(self.definition, (), arguments=arguments)

    def rows(self, *arguments: Any) -> np.ndarray:
        """The index of the result for arrays of argument indices, or callables on such arrays."""
        if self.table is not None:
            return np.asarray(self.table[arguments])
        return run(self.definition, (), arguments=arguments, rows=True)

    @property
    def mass(self) -> int:
        """Number of primitives in the expanded term."""
        return expand(self.definition).size


def mass(term: Term) -> int:
    """Number of primitives once every library function is expanded."""
    return expand(term).size
