"""Similarity to the training set: symmetric, at most one, larger with every complex learned."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.figures.similarity import Molecules, Training, identity, similarities

AMINO = "ACDEFGHIKLMNPQRSTVWY"
chains = st.text(AMINO + "X", min_size=1, max_size=40)
few = settings(max_examples=40, deadline=None)
ASPIRIN, PHENOL, WATER = "CC(=O)Oc1ccccc1C(=O)O", "Oc1ccccc1", "O"


def chain(seed: int, n: int = 120) -> str:
    return "".join(np.random.default_rng(seed).choice(list(AMINO), n))


@few
@given(chains, chains)
def test_identity_is_symmetric_and_a_share(one, other):
    there, back = identity(one, other), identity(other, one)
    assert there == back
    assert 0 <= there[0] <= 1 and 0 <= there[1] <= 1


@few
@given(chains)
def test_a_chain_is_itself_as_far_as_it_is_seen(one):
    seen = len(one) - one.count("X")
    assert identity(one, one) == ((1.0, 1.0) if seen else (0.0, 0.0))


@few
@given(st.integers(0, 50), st.integers(0, 60))
def test_exchanged_residues_lower_it_by_their_share(seed, changed):
    whole = chain(seed)
    rng = np.random.default_rng(seed)
    places = set(rng.permutation(len(whole))[:changed].tolist())
    other = "".join(
        AMINO[(AMINO.index(c) + 7) % 20] if i in places else c for i, c in enumerate(whole)
    )
    same, aligned = identity(whole, other)
    # A gap pair can save a few more; the exchanged ones are never the same in place.
    assert 1 - changed / len(whole) - 1e-9 <= same * aligned + (1 - aligned) + 1e-9
    if changed == 0:
        assert same == 1
    if changed <= 12:
        assert math.isclose(same, 1 - changed / len(whole), abs_tol=0.03)


def test_gaps_in_what_is_seen_cost_nothing():
    whole = chain(3)
    cut = whole[:40] + "X" * 20 + whole[60:]
    assert identity(whole, cut) == (1.0, 1.0)
    assert identity(whole, whole[:70])[0] == 1.0


def test_what_was_learned_is_found_and_more_learning_brings_nothing_farther():
    known = {f"c{k}": Molecules(chain(k), s) for k, s in enumerate((ASPIRIN, PHENOL, WATER))}
    training = Training(known)
    for key, one in known.items():
        found = training.nearest(one)
        assert (found.identity, found.chain) == (1.0, key)
        assert (found.tanimoto, found.ligand) == (1.0, key)
    new = Molecules(chain(99), "Cc1ccccc1O")
    before = training.nearest(new)
    assert before.identity < 0.5 and before.ligand == "c1"
    half = Molecules(new.letters[:60] + chain(7)[60:], PHENOL)
    after = Training({**known, "near": half}).nearest(new)
    assert after.identity > before.identity and after.chain == "near"
    assert after.tanimoto >= before.tanimoto


def test_the_order_of_the_training_set_does_not_matter():
    known = {f"c{k}": Molecules(chain(k % 4), PHENOL) for k in range(8)}
    turned = dict(reversed(known.items()))
    one = Molecules(chain(2), ASPIRIN)
    assert Training(known).nearest(one) == Training(turned).nearest(one)
    assert Training(known).digest == Training(turned).digest


def test_what_is_not_known_is_nan():
    found = Training({"a": Molecules(chain(0), PHENOL)}).nearest(Molecules("", "no smiles ("))
    assert math.isnan(found.identity) and math.isnan(found.tanimoto)
    blank = Training({"a": Molecules("", "")}).nearest(Molecules(chain(0), PHENOL))
    assert blank.identity == 0 and math.isnan(blank.tanimoto)


def test_the_table_is_made_once_and_holds_what_was_found(tmp_path):
    file = tmp_path / "similarity.csv"
    training = Training({f"c{k}": Molecules(chain(k), PHENOL) for k in range(3)})
    asked = {"x": Molecules(chain(1), ASPIRIN), "y": Molecules("", "")}
    found = similarities(file, training, asked)
    before = file.read_bytes()
    again = similarities(file, training, asked)
    assert file.read_bytes() == before
    assert again["x"] == found["x"] and found["x"].chain == "c1"
    assert math.isnan(again["y"].identity)
    # Another training set has lines of its own; the first ones stay.
    other = Training({"c9": Molecules(chain(9), PHENOL)})
    assert similarities(file, other, {"x": asked["x"]})["x"].identity < 0.5
    assert file.read_bytes().startswith(before)
    more = {**asked, "z": Molecules(chain(2), PHENOL)}
    assert similarities(file, training, more)["z"] == training.nearest(more["z"])
