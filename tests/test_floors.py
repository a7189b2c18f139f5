"""The floors: what may import what, and how large a file may grow."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCTS = {"fields", "docking", "neurosym"}
PACKAGES = PRODUCTS | {"overparam"}
LONGEST = 300

FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def imports(file: Path, top_level_only: bool = False) -> set[str]:
    """Dotted names a file imports; at its top level only, outside ``if TYPE_CHECKING``."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            found |= {node.module}
    return found


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_point_down(file):
    package = file.relative_to(ROOT).parts[0]
    allowed = {package, "overparam"}
    used = {name.split(".")[0] for name in imports(file)}
    assert used & PACKAGES <= allowed
    assert not used & {"tests", "scripts", "benchmarks"}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_is_one_noun(file):
    text = file.read_text(encoding="utf-8")
    doc = ast.get_docstring(ast.parse(text)) or ""
    lines = text.count("\n")
    assert doc, f"{name_of(file)} has no docstring"
    # past 300 lines the docstring says why it is one thing
    why = re.search(r"one thing|one file|one noun|[Ll]onger than|[Ll]ong because", doc)
    assert lines <= LONGEST or why, f"{lines} lines"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_heavy_libraries_are_imported_where_they_are_used(file):
    used = {name.split(".")[0] for name in imports(file, top_level_only=True)}
    # a picture is drawn, a molecule read or a worker started inside the function that does it
    assert not used & {"matplotlib", "ray", "onnx", "onnxruntime", "sklearn", "pandas"}
    if file.is_relative_to(ROOT / "overparam") and "testing" not in file.parts:
        assert not used & {"e3nn", "torch_geometric", "rdkit", "gemmi", "PIL"}


def test_no_file_is_a_drawer():
    drawers = {"utils", "helpers", "common", "misc", "core"}
    assert [name_of(file) for file in FILES if file.stem in drawers] == []


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_importing_a_package_is_light(package):
    code = (
        f"import sys, {package}; heavy = {{'pytorch_lightning', 'e3nn', 'torch_geometric', "
        "'matplotlib', 'rdkit', 'scipy', 'torchmetrics', 'jsonargparse'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_of_the_base_exists_and_is_no_module():
    import importlib
    import types

    import overparam

    missing = []
    for name in overparam.__all__:
        # importing the file of the same name first must not hide the name
        if (ROOT / "overparam" / f"{name}.py").is_file():
            importlib.import_module(f"overparam.{name}")
        try:
            value = getattr(overparam, name)
        except (ImportError, AttributeError) as error:
            missing.append(f"{name}: {error}")
            continue
        assert not isinstance(value, types.ModuleType), name
    assert missing == []
    assert set(overparam.__all__) <= set(dir(overparam))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = overparam.nonsense
