"""Verification: does a program compute the target on every input, or on how many?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosym.domain import LARGEST, Domain, Input
from neurosym.finite import Finite
from neurosym.program import Program
from neurosym.types import Type
from overparam.errors import InputError

SAMPLE = 100_000
"""Random tuples looked at where there are too many for all."""
_CHUNK = 100_000


@dataclass(frozen=True)
class CounterExample:
    """Input values, the value wanted and the value the program gave."""

    inputs: tuple[Any, ...]
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"inputs {self.inputs}: expected {self.expected!r}, found {self.found!r}"


@dataclass(frozen=True)
class Verification:
    """What a comparison of a program with its target has shown.

    Attributes:
        level: ``exhaustive`` if every tuple of inputs was compared, else ``sampled n`` or, for
            given pairs, ``n examples``.
        checked: Number of tuples compared up to the first difference found, or all.
        counterexample: The first difference, or None.
        warning: Why it is no proof, or None.
    """

    level: str
    checked: int
    counterexample: CounterExample | None = None
    warning: str | None = None

    @property
    def passed(self) -> bool:
        """Whether no difference was found."""
        return self.counterexample is None

    @property
    def is_proof(self) -> bool:
        """Whether program and target are known to be equal."""
        return self.passed and self.level == "exhaustive"

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        if self.counterexample is not None:
            return f"refuted after {self.checked} tuples: {self.counterexample}"
        proof = f"equal on {self.checked} tuples ({self.level})"
        return proof if self.warning is None else f"{proof}; WARNING: {self.warning}"


def verify(
    program: Program,
    target: Program | Callable[..., Any] | np.ndarray | None = None,
    *,
    inputs: Sequence[Type | Input] | None = None,
    examples: Iterable[tuple[Sequence[Any], Any]] | None = None,
    seed: int = 0,
) -> Verification:
    """Compare a program with a target, on all tuples of inputs where these are at most a million.

    Larger domains are sampled: all tuples of extreme values, then 100,000 random ones; the result
    says so and is no proof. If the target is a program, inputs that neither reads do not count.

    Args:
        program: A program whose value is of a finite type.
        target: Another program, a callable on values, or the indices of the right outputs in the
            order of ``Domain.rows``.
        inputs: What the inputs may be, if not what the program says.
        examples: Pairs of input values and the right output, instead of a target.
        seed: Of the random tuples.

    Raises:
        InputError: If neither or both of target and examples are given, lengths differ, or a value
            of the target is no value of the program's type: the first three are shown.
    """
    if (target is None) == (examples is None):
        raise InputError("verify needs either a target or examples")
    output = program.type
    if not isinstance(output, Finite):
        raise InputError(f"the program's type must be finite to be compared, got {output}")
    if examples is not None:
        return _on_examples(program, list(examples), output)
    domain = program.domain if inputs is None else Domain(inputs)
    if isinstance(target, Program):
        domain = _read_by(domain, {*program.used, *target.used})
    if [i.type for i in domain.inputs] != [i.type for i in program.inputs]:
        raise InputError(f"inputs must have the program's types, got {domain} for {program!r}")
    if domain.size <= LARGEST:
        chunks = [
            domain.rows(start, start + _CHUNK) for start in range(0, max(domain.size, 1), _CHUNK)
        ]
        level, warning = "exhaustive", None
    else:
        if isinstance(target, np.ndarray):
            raise InputError(
                f"outputs cannot be listed for {domain.size} tuples: give a callable or examples"
            )
        chunks = [domain.corners(), domain.sample(SAMPLE, seed=seed)]
        total = sum(chunk.shape[1] for chunk in chunks)
        level = f"sampled {total}"
        warning = f"only {total} of {domain.size} tuples were compared, this is no proof"
    checked = 0
    for chunk in chunks:
        wanted = _wanted(target, chunk, domain, output, checked)
        found = program.rows(chunk)
        wrong = np.flatnonzero(found != wanted)
        if len(wrong):
            first = wrong[:1]
            (values,) = domain.values(chunk[:, first])
            example = CounterExample(
                values, output.value(wanted[first[0]]), output.value(found[first[0]])
            )
            return Verification(level, checked + int(first[0]) + 1, example, warning)
        checked += chunk.shape[1]
    return Verification(level, checked, None, warning)


def _read_by(domain: Domain, used: set[int]) -> Domain:
    """The domain with the first value alone for inputs that nobody reads."""
    return Domain(
        [
            i
            if number in used
            else Input(i.type, domain.values(domain.rows(0, 1))[0][number : number + 1])
            for number, i in enumerate(domain.inputs)
        ]
    )


def _wanted(
    target: Any, rows: np.ndarray, domain: Domain, output: Finite, start: int
) -> np.ndarray:
    """Indices of the target's outputs for ``rows``, the first of which is tuple ``start``."""
    if isinstance(target, Program):
        if target.type != output:
            raise InputError(f"the target is of type {target.type}, the program of {output}")
        return target.rows(rows)
    if isinstance(target, np.ndarray):
        if target.shape != (domain.size,):
            raise InputError(
                f"the target lists {target.shape} outputs, the inputs have {domain.size} tuples"
            )
        return target[start : start + rows.shape[1]]
    values = domain.values(rows)
    return _indices([target(*row) for row in values], values, output)


def _indices(outputs: Sequence[Any], values: Sequence[Any], output: Finite) -> np.ndarray:
    """Indices of output values, or an error that shows the first three that are none."""
    indices = np.empty(len(outputs), dtype=np.int64)
    bad = []
    for place, value in enumerate(outputs):
        try:
            indices[place] = output.index(value)
        except InputError:
            bad.append(f"{value!r} for {values[place]}")
            if len(bad) == 3:
                break
    if bad:
        numbers = [v for v in outputs if isinstance(v, int | np.integer)]
        span = f"; values run from {min(numbers)} to {max(numbers)}" if numbers else ""
        raise InputError(f"the target leaves {output}: {', '.join(bad)}{span}")
    return indices


def _on_examples(program: Program, examples: list[Any], output: Finite) -> Verification:
    if not examples:
        raise InputError("examples must not be empty")
    expected = [value for _, value in examples]
    _indices(expected, [values for values, _ in examples], output)
    warning = "given examples only, this is no proof"
    for number, (values, value) in enumerate(examples, 1):
        found = program(*values)
        if found != value:
            example = CounterExample(tuple(values), value, found)
            return Verification(f"{len(examples)} examples", number, example, warning)
    return Verification(f"{len(examples)} examples", len(examples), None, warning)
