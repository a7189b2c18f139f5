"""Recipes: built objects written as plain data, and built again from it.

The convention that makes it possible, the one scikit-learn uses for ``get_params``: a
constructor keeps each argument as an attribute of the same name. A recipe is the
``class_path``/``init_args`` form of the configuration files, so a checkpoint holds no code.
"""

import importlib
import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

Plain = None | bool | int | float | str | list[Any] | dict[str, Any]


class NoRecipeError(ValueError):
    """An object that cannot be written as plain data."""


def class_path(target: Any) -> str:
    """Return the dotted path of a class or function.

    Raises:
        NoRecipeError: If it is local or a lambda, which no other process can import.
    """
    name = getattr(target, "__qualname__", "")
    if not name or "<" in name:
        raise NoRecipeError(f"{target!r} must be importable to be written in a checkpoint")
    return f"{target.__module__}.{name}"


def recipe(value: Any) -> Plain:
    """Write ``value`` as plain data that ``build`` turns back into an equal object.

    Handles scalars, paths, containers, classes, functions, ``functools.partial`` with keyword
    arguments, and objects whose constructor arguments are attributes of the same name.

    Raises:
        NoRecipeError: If some part of it cannot be written.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): recipe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [recipe(item) for item in value]
    if isinstance(value, partial):
        if value.args:
            raise NoRecipeError(f"{value!r} must bind its arguments by keyword to be recorded")
        return {"class_path": class_path(value.func), "init_args": recipe(value.keywords)}
    if isinstance(value, type) or inspect.isfunction(value):
        return class_path(value)
    return {"class_path": class_path(type(value)), "init_args": arguments(value)}


def arguments(built: object) -> dict[str, Plain]:
    """Read the constructor arguments back from a built object's attributes.

    Raises:
        NoRecipeError: If an argument was not kept under its own name.
    """
    out: dict[str, Plain] = {}
    kind = type(built)
    if kind.__init__ in (object.__init__, nn.Module.__init__):
        return out  # takes no arguments of its own
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name == "self":
            continue
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if variadic or not hasattr(built, name):
            raise NoRecipeError(
                f"{kind.__name__} must keep constructor argument {name!r} as an attribute "
                "to be rebuilt from a checkpoint"
            )
        value = getattr(built, name)
        if name == "bias" and isinstance(built, nn.Module) and not isinstance(value, bool):
            value = value is not None  # torch layers take a flag and keep the tensor
        out[name] = recipe(value)
    return out


def build(plain: Plain) -> Any:
    """Build the object a recipe describes.

    Raises:
        ValueError: If a ``class_path`` cannot be imported.
    """
    if isinstance(plain, list):
        return [build(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "class_path" not in plain:
        return {key: build(value) for key, value in plain.items()}
    return locate(plain["class_path"])(**build(plain.get("init_args") or {}))


def locate(path: str) -> Any:
    """Import the object at a dotted path.

    Raises:
        ValueError: If there is none.
    """
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError as error:
            # only a missing package on the path itself means "look further up"
            if error.name and not path.startswith(error.name):
                raise
            continue
        for part in parts[cut:]:
            found = getattr(found, part, None)
        if found is not None:
            return found
        break
    raise ValueError(f"class_path must name something importable, got {path!r}")
