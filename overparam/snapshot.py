"""Snapshots of a module's weights and how to rewind to them.

A snapshot is a deep clone and is written back in place. Aliasing a live tensor instead
(``p.data = saved``) lets the next round of training change the snapshot, so that every rewind
after the first restores trained weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from overparam.parametrization import owner_of
from overparam.plain import plain_state


@dataclass(frozen=True)
class Snapshot:
    """Weights and persistent buffers by plain name, masks left out.

    Attributes:
        state: Plain name to tensor; owned by the snapshot alone.
    """

    state: Mapping[str, Tensor]


def take(module: nn.Module) -> Snapshot:
    """Clone every parameter and persistent buffer of ``module``."""
    return Snapshot({name: value.detach().clone() for name, value in plain_state(module).items()})


def restore(
    module: nn.Module,
    snapshot: Snapshot,
    optimizer: Optimizer | None = None,
    signs_only: bool = False,
    keep: Sequence[str] = (),
) -> None:
    """Write a snapshot back in place; masks stay as they are.

    Args:
        module: Module of the architecture the snapshot was taken from.
        snapshot: What ``take`` returned.
        optimizer: If given, its running averages and counters are zeroed in place.
        signs_only: Keep today's magnitudes and take only the signs of the snapshot.
        keep: ``("bn",)`` leaves the buffers of normalisation layers as they are.

    Raises:
        ValueError: If names or shapes differ, or ``keep`` holds an unknown word.
    """
    if set(keep) - {"bn"}:
        raise ValueError(f"keep must be empty or ('bn',), got {tuple(keep)}")
    live = plain_state(module)
    if live.keys() != snapshot.state.keys():
        odd = sorted(live.keys() ^ snapshot.state.keys())
        raise ValueError(f"snapshot must be of the same architecture, differs in {odd[:5]}")
    for name, value in snapshot.state.items():
        if live[name].shape != value.shape:
            want, got = tuple(live[name].shape), tuple(value.shape)
            raise ValueError(f"snapshot of {name} must have shape {want}, got {got}")
    weights = {name for name, parameter in _parameters(module).items() if parameter is not None}
    with torch.no_grad():
        for name, value in snapshot.state.items():
            if "bn" in keep and _is_norm_buffer(module, name):
                continue
            source = value.to(live[name].device)
            if signs_only and name in weights:
                source = live[name].abs() * source.sign()
            live[name].copy_(source)
    if optimizer is not None:
        reset(optimizer)


def reset(optimizer: Optimizer) -> None:
    """Zero an optimizer's running averages and step counters in place."""
    with torch.no_grad():
        for state in optimizer.state.values():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    value.zero_()
                elif isinstance(value, int | float):
                    state[key] = type(value)(0)


def _parameters(module: nn.Module) -> dict[str, Tensor]:
    from overparam.plain import plain_keys

    return plain_keys(dict(module.named_parameters(remove_duplicate=False)))


def _is_norm_buffer(module: nn.Module, name: str) -> bool:
    layer, attribute = owner_of(module, name)
    return "Norm" in type(layer).__name__ and attribute in layer._buffers
