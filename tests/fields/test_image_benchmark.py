"""The benchmark runs, by the commands a user types."""

import runpy
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    # Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
]
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "image_fit.py"


def test_smoke(capsys):
    result = runpy.run_path(str(SCRIPT))["main"](["--smoke"])
    assert [run["preset"] for run in result["runs"]] == ["paper", "fast", "best"]
    assert capsys.readouterr().out.count("\n|") >= 4
