"""Loading a module from its checkpoint alone."""

import argparse
import pickle
import zipfile
from pathlib import Path
from typing import Any, TypeVar

import torch

from overparam.errors import InputError
from overparam.module import OverparameterizedModule
from overparam.recipe import locate

M = TypeVar("M", bound=OverparameterizedModule)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint as plain data; nothing in the file is executed.

    Raises:
        InputError: If the file is missing, corrupt, holds code, or is no checkpoint.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"checkpoint must be an existing file, got {file}")
    try:
        read = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"checkpoint {file} is not plain data and was not loaded: {reason}"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"checkpoint {file} is corrupt or cut short: {reason}") from None
    if not isinstance(read, dict) or "state_dict" not in read:
        raise InputError(f"checkpoint {file} holds no state_dict, so it is no training checkpoint")
    return read


def load_module(
    path: str | Path,
    expected: type[M] = OverparameterizedModule,  # type: ignore[assignment]
    **overrides: Any,
) -> M:
    """Rebuild a module from its checkpoint and put it in eval mode on the CPU.

    Args:
        path: Checkpoint written by a training run.
        expected: Class the module must be of.
        overrides: Constructor arguments that replace the recorded ones, or supply what could
            not be recorded.

    Raises:
        InputError: If the file is unreadable or holds another kind of module.
    """
    read = read_checkpoint(path)
    recorded = read.get("hyper_parameters", {})
    name = recorded.get("_class_path")
    if not isinstance(name, str):
        raise InputError(f"checkpoint {path} does not say which class it holds")
    try:
        kind = locate(name)
    except ValueError as error:
        raise InputError(f"checkpoint {path} holds a {name}: {error}") from None
    if not (isinstance(kind, type) and issubclass(kind, expected)):
        raise InputError(f"checkpoint {path} holds a {name}, expected a {expected.__name__}")
    try:
        module = kind.load_from_checkpoint(path, map_location="cpu", weights_only=True, **overrides)
    except (RuntimeError, TypeError, ValueError, KeyError, argparse.ArgumentError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"checkpoint {path} cannot rebuild its {name}: {reason}") from error
    return module.eval()
