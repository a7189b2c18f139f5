"""What a finished fit leaves for a person to open: one file here for each task.

To add a task or kind: a module with ``draw(module, data, folder) -> list[Path]``, and its line in
``TASKS``. A signal's ``task`` goes before its ``kind``.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

# task or kind of signal -> module that draws it, imported when asked for
TASKS = {
    "image": "fields.drawing.picture",
    "gradient": "fields.drawing.derivative",
    "laplacian": "fields.drawing.derivative",
    "inpaint": "fields.drawing.inpainting",
    "audio": "fields.drawing.sound",
    "video": "fields.drawing.film",
}

Draw = Callable[[Any, Any, Path], list[Path]]


def drawing(signal: dict[str, Any]) -> Draw | None:
    """Return what draws fits of ``signal``, or None where nothing does."""
    name = signal.get("task", signal.get("kind"))
    if name not in TASKS:
        return None
    draw: Draw = importlib.import_module(TASKS[name]).draw
    return draw
