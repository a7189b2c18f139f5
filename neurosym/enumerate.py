"""Programs cheapest first, one per behaviour, and the cheapest ones of a wanted behaviour."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from neurosym.bank import hashed
from neurosym.domain import Domain, Input
from neurosym.enumeration import Enumeration, MemoryLimitError
from neurosym.finite import Finite
from neurosym.language import Language
from neurosym.program import Program
from neurosym.term import Term
from neurosym.types import Type
from overparam.errors import InputError


def _inputs(language: Language, inputs: Domain | Sequence[Input | Type] | None) -> Domain:
    if isinstance(inputs, Domain):
        return inputs
    return language.domain if inputs is None else Domain(inputs)


def enumerate_programs(
    language: Language,
    rows: np.ndarray | None = None,
    *,
    inputs: Sequence[Input | Type] | None = None,
    max_cost: float | int = math.inf,
    limit: int | None = None,
    costs: Mapping[str, float | int] | None = None,
) -> Iterator[Program]:
    """Programs of different behaviours, cheapest first.

    Args:
        language: If it has an output type, programs are of this type.
        rows: Tuples of input indices on which behaviour is compared; all tuples if left out.
        inputs: Types or ``Input`` of the inputs, if the language does not say.
        max_cost: Cost of the dearest programs.
        limit: Number of programs.
        costs: Costs by name of primitive, instead of their own.
    """
    domain = _inputs(language, inputs)
    rows = domain.rows() if rows is None else rows
    search = Enumeration(language, [i.type for i in domain.inputs], rows, costs=costs)
    found = 0
    while not search.exhausted and search.next_cost <= max_cost:
        counts = {type_: bank.count for type_, bank in search.banks.items()}
        for _ in search.step():
            pass
        for type_, bank in list(search.banks.items()):
            if language.output is not None and type_ != language.output:
                continue
            for entry in range(counts.get(type_, 0), bank.count):
                if found == limit:
                    return
                found += 1
                term = search.term(type_, *bank.origin(entry))
                yield Program(language, term, domain.inputs)


def find_equivalent(
    language: Language,
    outputs: np.ndarray,
    rows: np.ndarray | None = None,
    *,
    inputs: Sequence[Input | Type] | None = None,
    output: Type | None = None,
    max_cost: float | int = math.inf,
    limit: int = 1,
    max_candidates: int = 100_000_000,
    costs: Mapping[str, float | int] | None = None,
) -> list[Program]:
    """Cheapest programs whose values on ``rows`` are ``outputs``.

    Args:
        language: Of the programs.
        outputs: Indices of the wanted values, ``(n,)``.
        rows: Tuples of input indices, ``(inputs, n)``; all tuples if left out.
        inputs: Types or ``Input`` of the inputs, if the language does not say.
        output: Type of the wanted values, if the language does not say.
        max_cost: Cost of the dearest program.
        limit: Number of programs; after the first they may cost more, and differ in more than
            subterms that agree on ``rows``.
        max_candidates: Programs looked at before giving up.
        costs: Costs by name of primitive, instead of their own.

    Returns:
        Programs by cost, perhaps fewer than ``limit``; none if there is none within the bounds.

    Raises:
        InputError: If the output type is not known or lengths differ.
    """
    domain = _inputs(language, inputs)
    rows = domain.rows() if rows is None else rows
    output = output or language.output
    if not isinstance(output, Finite):
        raise InputError(f"find_equivalent needs a finite output type, got {output}")
    if outputs.shape != rows.shape[1:]:
        raise InputError(f"outputs must be ({rows.shape[1]},), got {outputs.shape}")
    if outputs.size and not (outputs.min() >= 0 and outputs.max() < output.size):
        raise InputError(
            f"outputs must be indices of {output}, got {outputs.min()}..{outputs.max()}"
        )
    search = Enumeration(language, [i.type for i in domain.inputs], rows, costs=costs)
    programs: dict[Program, None] = {}
    # what would take too much memory is out of bounds as well
    with contextlib.suppress(MemoryLimitError):
        for term in _matching(search, outputs, output, max_cost, max_candidates):
            programs[Program(language, term, domain.inputs)] = None
            if len(programs) == limit:
                break
    return list(programs)


def _matching(
    search: Enumeration,
    outputs: np.ndarray,
    output: Finite,
    max_cost: float | int,
    max_candidates: int,
) -> Iterator[Term]:
    """Terms with the wanted outputs, cheapest first."""
    wanted = outputs.astype(search.bank(output).dtype)
    target = hashed(wanted[None])[0]
    while not search.exhausted and search.next_cost <= max_cost:
        for primitive, type_, made, arguments in search.step():
            if search.candidates > max_candidates:
                return
            if type_ != output:
                continue
            for place in np.flatnonzero(hashed(made) == target):
                if (made[place] == wanted).all():
                    yield search.term(output, primitive, [int(a) for a in arguments[:, place]])
