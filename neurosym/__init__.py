"""Programs inside networks: typed languages, search, verification; models in a later release."""

import importlib
import sys
from types import ModuleType
from typing import Any

# Public name -> module that holds it; imported on first use, so that `import neurosym` stays light.
_PUBLIC = {
    "BOTTOM": "finite",
    "Arrow": "types",
    "Base": "types",
    "Block": "straight_line",
    "Bool": "finite",
    "Definition": "definition",
    "Domain": "domain",
    "Enumeration": "enumeration",
    "Fold": "control",
    "GraphProgram": "languages.graphs",
    "Grid": "composite",
    "If": "control",
    "Input": "domain",
    "Int": "finite",
    "Language": "language",
    "Line": "straight_line",
    "List": "composite",
    "Loop": "control",
    "Map": "control",
    "Pack": "structure",
    "Part": "structure",
    "Perm": "permutation",
    "Primitive": "primitive",
    "Program": "program",
    "Record": "composite",
    "Select": "structure",
    "StepLimitError": "machine",
    "StraightLine": "straight_line",
    "Symbol": "finite",
    "Var": "types",
    "Verification": "verify",
    "add_machine": "languages.grid_machine",
    "apply_machine": "languages.grid_machine",
    "arithmetic": "languages.arithmetic",
    "block_program": "languages.strip_machine",
    "comparison": "languages.comparison",
    "counting": "languages.lists",
    "draw_program": "export_dot",
    "enumerate_programs": "enumerate",
    "find_equivalent": "enumerate",
    "from_json": "export_json",
    "function": "types",
    "graph_language": "languages.graphs",
    "lists": "languages.lists",
    "ordering": "languages.comparison",
    "parse": "program",
    "primitive": "primitive",
    "run_graph": "languages.graphs",
    "run_state": "languages.graphs",
    "simplify": "simplify",
    "strip_language": "languages.strip_machine",
    "to_json": "export_json",
    "to_python": "export_python",
    "unify": "unify",
    "verify": "verify",
    "walk": "languages.walk",
}

__all__ = sorted(_PUBLIC)


class _LazyPackage(ModuleType):
    """A package whose public names win over its files of the same name, such as ``verify``."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'neurosym' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"neurosym.{_PUBLIC[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


sys.modules[__name__].__class__ = _LazyPackage
