"""What every test may ask for."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    # one worker per core: two threads each would spend their time waiting for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)

PRODUCTS = Path(__file__).parent / "products"


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """An empty working directory, from which the miniature product ``toyfit`` can be imported."""
    monkeypatch.syspath_prepend(str(PRODUCTS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(tmp_path) -> Callable[..., subprocess.Popen]:
    """Start ``python -m ...`` as a user would, in an empty working directory, on one thread."""
    started: list[subprocess.Popen] = []

    def start(*words: str, **environment: str) -> subprocess.Popen:
        paths = [str(PRODUCTS), os.environ.get("PYTHONPATH", "")]
        settings = {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "OMP_NUM_THREADS": "1",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            env=os.environ | settings | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
