"""What will not fit is refused with a size that does."""

import pytest

from fields.memory import foresee_memory, free_memory
from overparam.errors import InputError


def test_this_machine_has_memory_or_does_not_say():
    free = free_memory()
    assert free is None or free > 0


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_size_named_fits(axes):
    def needed(side):
        return 7 * side**axes

    side = round(10 ** (9 / axes))
    with pytest.raises(InputError, match="GB are free") as caught:
        foresee_memory([side], needed(side), 10**9, axes)
    named = int(str(caught.value).split("--resolution ")[1].split()[0])
    foresee_memory([named], needed(named), 10**9, axes)
    with pytest.raises(InputError):
        foresee_memory([named + 2], needed(named + 2), 10**9, axes)


def test_unknown_memory_refuses_nothing():
    foresee_memory([10**9], 10**18, None, 2)
