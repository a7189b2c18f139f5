"""What is installed: configs and type markers are inside, every import name is ours alone."""

import importlib
import importlib.metadata
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("overparam", "fields", "docking", "neurosym")


@pytest.mark.parametrize("name", PACKAGES)
def test_an_import_name_has_one_owner(name):
    # an editable installation lists no packages: then nobody else may list them either
    owners = importlib.metadata.packages_distributions().get(name, ["overparam"])
    assert set(owners) == {"overparam"}
    folder = Path(importlib.import_module(name).__file__).parent
    assert (folder / "py.typed").is_file()


def test_the_version_is_told_once():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert importlib.metadata.version("overparam") == told


def test_extras_are_the_documented_ones():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"test", "dev", "bench", "screen", "export"} <= set(extras["optional-dependencies"])


@pytest.mark.slow
def test_the_wheel_holds_what_runs_need(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*pip, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("overparam-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        assert f"{package}/py.typed" in inside
        assert f"{package}/__main__.py" in inside
        for folder in ("configs", "assets"):
            for file in (ROOT / package / folder).glob("*.*"):
                assert str(file.relative_to(ROOT)) in inside
    assert "fields/configs/image.yaml" in inside
    tops = {name.split("/")[0] for name in inside if ".dist-info" not in name}
    assert tops == set(PACKAGES)
    assert any(name.endswith("licenses/LICENSE") for name in inside)
