"""Verification: a proof where all is compared, a warning where not, a counterexample if wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosym import Input, arithmetic, parse, verify
from overparam.errors import InputError

from .strategies import programs

LANGUAGE = arithmetic()
PROGRAM = parse(LANGUAGE, "(add x0 (max x1 x2))")


def meaning(a, b, c):
    return (a + max(b, c)) % 19


@settings(deadline=None, max_examples=15)
@given(program=programs(), place=st.integers(0, 10**6))
def test_one_wrong_output_is_found(program, place):
    rows = program.domain.rows()
    outputs = program.rows(rows)
    found = verify(program, outputs)
    assert found and found.is_proof and found.checked == len(outputs)
    if program.type.size > 1:
        place %= len(outputs)
        outputs[place] = (outputs[place] + 1) % program.type.size
        refuted = verify(program, outputs)
        assert not refuted and not refuted.is_proof and refuted.checked == place + 1
        example = refuted.counterexample
        assert example.inputs == program.domain.values(rows[:, place : place + 1])[0]
        assert program(*example.inputs) == example.found != example.expected


def test_every_kind_of_target():
    assert verify(PROGRAM, meaning).is_proof
    assert verify(PROGRAM, parse(LANGUAGE, "(max x0 (add x1 x2))")).counterexample
    assert verify(PROGRAM, parse(LANGUAGE, "(max (add x0 x1) (add x0 x2))")).is_proof
    assert PROGRAM.verify(parse(LANGUAGE, "(add (max x2 x1) x0)")).is_proof
    assert str(verify(PROGRAM, meaning)) == "equal on 1000 tuples (exhaustive)"
    narrow = [Input(LANGUAGE.output, range(3))] * 3
    assert verify(PROGRAM, lambda a, b, c: a + max(b, c), inputs=narrow).checked == 27
    examples = [((1, 2, 3), 4), ((9, 9, 0), 18)]
    found = verify(PROGRAM, examples=examples)
    assert found.passed and not found.is_proof and found.level == "2 examples"
    wrong = verify(PROGRAM, examples=[*examples, ((0, 0, 1), 5)])
    assert str(wrong) == "refuted after 3 tuples: inputs (0, 0, 1): expected 5, found 1"


def test_what_is_too_large_is_sampled_and_said():
    language = arithmetic(inputs=7)
    program = parse(language, "(add x0 (add x5 x6))")
    found = verify(program, lambda *v: (v[0] + v[5] + v[6]) % 19)
    assert found.passed and not found.is_proof and found.level == "sampled 100128"
    assert "WARNING: only 100128 of 10000000 tuples" in str(found)
    # a difference at a corner alone is among what is always looked at
    corner = verify(program, lambda *v: (v[0] + v[5] + v[6] + (v == (9,) * 7)) % 19)
    assert corner.counterexample.inputs == (9,) * 7
    assert verify(program, lambda *v: 0, seed=1).counterexample
    # against a program only what either of them reads matters, so that is a proof
    other = parse(language, "(add (add x0 x6) x5)")
    proof = verify(program, other)
    assert proof.is_proof and proof.checked == 1000


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: verify(PROGRAM), "either a target or examples"),
        (lambda: verify(PROGRAM, meaning, examples=[]), "either a target or examples"),
        (lambda: verify(PROGRAM, examples=[]), "examples must not be empty"),
        (lambda: verify(PROGRAM, np.zeros(3, dtype=int)), r"lists \(3,\) outputs"),
        (
            lambda: verify(PROGRAM, lambda a, b, c: a * b * 9),
            r"the target leaves int.*: 27 for \(1, 3, 0\), 27 for \(1, 3, 1\).*from 0 to 729",
        ),
        (lambda: verify(PROGRAM, examples=[((1, 2, 3), 99)]), "99 for"),
        (lambda: verify(PROGRAM, meaning, inputs=[LANGUAGE.output]), "must have the program's"),
        (
            lambda: verify(parse(arithmetic(inputs=7), "x0"), np.zeros(10**7, dtype=int)),
            "outputs cannot be listed for 10000000 tuples",
        ),
    ],
)
def test_nonsense_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
