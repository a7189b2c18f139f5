"""Settings of the tests of programs."""

import pytest


def pytest_collection_modifyitems(items):
    # the type checker that the tests switch on picks the item of a sequence it looks at by the
    # global random generator, which hypothesis takes for a strategy's own doing
    mark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
    for item in items:
        if "neurosym" in item.path.parts:
            item.add_marker(mark)
