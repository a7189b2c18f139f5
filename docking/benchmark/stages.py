"""CPU seconds of the stages inside one docking, by the functions of the model that do them.

What a pocket costs once (reading the receptor, its maps) and what every further ligand costs are
different prices: a screen pays the first once. The docking itself makes conformers and lays out
what its search reads, searches, and scores what it found; only the model knows where one ends.
"""

import importlib
import time
from collections.abc import Callable
from typing import Any

STAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "ligand_cpu_s": (
        ("docking.model", "generate"), ("docking.esf_model", "unlike"), ("", "_laid"),
    ),
    "rescore_cpu_s": (("", "_ranked"),),
}  # fmt: skip
"""Column to the functions it counts: of a module, or of the model itself. Search is the rest."""


class Stages:
    """Counts what functions of a model take while it is entered; they are timed ones then.

    Args:
        model: The scoring model.

    Attributes:
        spent: CPU seconds by column of ``STAGES``; a column is absent where the model has none of
            its functions.
    """

    def __init__(self, model: Any) -> None:
        self.spent: dict[str, float] = {}
        self._model = model
        self._inside = False
        self._put_back: list[Callable[[], None]] = []

    def __enter__(self) -> "Stages":
        classes = {kind.__module__ for kind in type(self._model).__mro__}
        for column, functions in STAGES.items():
            for module, name in functions:
                if not module:
                    self._time(self._model, name, column)
                elif module in classes:  # where the model's code looks the function up
                    self._time(importlib.import_module(module), name, column)
        return self

    def __exit__(self, *_: object) -> None:
        while self._put_back:
            self._put_back.pop()()

    def _time(self, owner: Any, name: str, column: str) -> None:
        function = getattr(owner, name, None)
        if not callable(function):
            return
        self.spent.setdefault(column, 0.0)
        own = vars(owner).get(name)
        self._put_back.append(
            (lambda: delattr(owner, name)) if own is None else lambda: setattr(owner, name, own)
        )

        def timed(*args: Any, **options: Any) -> Any:
            if self._inside:  # counted by who called it
                return function(*args, **options)
            self._inside, began = True, time.process_time()
            try:
                return function(*args, **options)
            finally:
                self._inside = False
                self.spent[column] += time.process_time() - began

        setattr(owner, name, timed)
