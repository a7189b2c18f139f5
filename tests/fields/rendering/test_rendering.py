"""Every kind in the table can be imported and states what it can do."""

from pathlib import Path

import pytest

from fields.rendering import KINDS, Order, rendering, whole_numbers
from overparam.errors import InputError

SHAPES = {"image": [5, 7], "audio": [9], "video": [3, 5, 7], "shape": [6, 6, 6]}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_states(kind):
    writer = rendering(kind)
    assert all(suffix.startswith(".") and suffix.islower() for suffix in writer.suffixes)
    shape = SHAPES[kind]
    assert len(writer.corners) == 2 * len(shape)
    longest = max(shape[-2:])
    assert writer.size(str(longest), shape) == shape
    order = Order(shape, [], {"channels": 1})
    double = Order(writer.size(str(2 * longest), shape), [], {"channels": 1})
    assert 0 < writer.memory(order) < writer.memory(double)


def test_no_two_kinds_write_the_same_suffix():
    suffixes = [suffix for kind in KINDS for suffix in rendering(kind).suffixes]
    assert len(suffixes) == len(set(suffixes))


def test_unknown_kinds_are_told_the_known_ones():
    with pytest.raises(InputError, match="kinds: image, audio, video"):
        rendering("scent")


@pytest.mark.parametrize("bad", ["0", "x5", "5x", "", "-3", "1.5", "big", "²"])
def test_sizes_are_positive_whole_numbers(bad):
    with pytest.raises(InputError, match="positive number"):
        whole_numbers(bad, "AxB")
    assert whole_numbers("12X7", "AxB") == [12, 7]


def test_each_kind_has_a_file_of_its_own():
    folder = Path(__import__("fields.rendering").rendering.__file__).parent
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert {name.rsplit(".", 1)[1] for name in KINDS.values()} == files
