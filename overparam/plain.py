"""State dicts by plain name, whether or not the module is masked."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from overparam.mask import WeightMask
from overparam.parametrization import owner_of, set_parametrization


def plain_state(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters and persistent buffers by plain name; masks are left out, not applied."""
    return plain_keys(module.state_dict())


def plain_keys(state: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the keys of a masked state dict to those of the plain module, dropping masks."""
    plain: dict[str, Any] = {}
    originals: dict[str, Any] = {}
    for key, value in state.items():
        parts = key.split(".")
        if "parametrizations" not in parts:
            plain[key] = value
        elif parts[-1] == "original":
            where = parts.index("parametrizations")
            originals[".".join([*parts[:where], parts[where + 1]])] = value
    return plain | originals  # a layer may also store the weight as it is used


def load_plain(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy a plain state into ``module`` in place; masks are untouched.

    Raises:
        ValueError: If a key is missing, unknown or of another shape.
    """
    target = plain_state(module)
    if target.keys() != state.keys():
        odd = sorted(target.keys() ^ state.keys())
        raise ValueError(f"state must have the module's own keys, differs in {', '.join(odd[:5])}")
    with torch.no_grad():
        for name, value in state.items():
            if target[name].shape != value.shape:
                shapes = f"{tuple(target[name].shape)}, got {tuple(value.shape)}"
                raise ValueError(f"state of {name} must have shape {shapes}")
            target[name].copy_(value)


def install_from_state(module: nn.Module, state: Mapping[str, Any]) -> list[str]:
    """Put weight masks on a plain module wherever a state dict was saved from a masked one.

    Returns:
        Plain names that were masked. Call ``load_state_dict`` afterwards.
    """
    added = []
    for key, value in state.items():
        parts = key.split(".")
        if parts[-1] != "mask" or "parametrizations" not in parts:
            continue
        where = parts.index("parametrizations")
        name = ".".join([*parts[:where], parts[where + 1]])
        layer, attribute = owner_of(module, name)
        if not parametrize.is_parametrized(layer, attribute):
            set_parametrization(module, name, WeightMask(value.shape))
            added.append(name)
    return added
