"""The README says what is true: its commands are the agreed ones and its examples run."""

import itertools
import re
import shlex
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' "
    "&& .venv/bin/python scripts/quickstart.py",
    ".venv/bin/python -m pytest",
]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
EXAMPLES = [code for kind, code in BLOCKS if kind == "python"]
SHELL = [line for kind, code in BLOCKS if not kind for line in code.splitlines()]


def test_the_two_commands_are_verbatim():
    marked = re.search(r"<!-- commands:.*?-->\n```\n(.*?)```", README, re.DOTALL)
    assert marked is not None
    assert marked[1].splitlines() == COMMANDS


@pytest.mark.parametrize("code", EXAMPLES, ids=lambda code: code.split("import ")[-1].split()[0])
def test_python_examples_run(code, tmp_path, monkeypatch):
    # Examples name files of the checkout and write their own beside them.
    shutil.copytree(ROOT / "docking" / "demo", tmp_path / "docking" / "demo")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


def test_commands_of_the_examples_exist(capsys):
    """Every command line names a command and a bundled config that are there."""
    from docking.__main__ import COMMANDS
    from overparam.cli import bundled_configs

    known = {"fields": {"--help", "fit", "render"}, "docking": {"--help", *COMMANDS}}
    for package, commands in known.items():
        lines = [line.split("#")[0] for line in SHELL if f"-m {package}" in line]
        assert lines
        for line in lines:
            words = shlex.split(line)
            assert words[words.index(package) + 1] in commands
            for option, value in itertools.pairwise(words):
                if option == "--config":
                    assert value in bundled_configs(package)
                if option in ("--receptor", "--ligand", "--box-from"):
                    assert (ROOT / value).is_file(), value


def test_links_and_pictures_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_it_is_short_and_warns_of_the_names():
    assert README.count("\n") < 150  # two screens of text, and a table
    assert "do not install those beside this one" in README
