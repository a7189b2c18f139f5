"""Stacking the tensors of modules that are alike, and slicing what an optimizer knows of them."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

_SETTINGS = (bool, int, float, str, tuple, list, torch.Size, type(None))


def check_alike(modules: Sequence[nn.Module]) -> None:
    """Raise a ValueError, naming the first difference, if modules are not of one shape.

    Compared with the first: parameters and buffers by name, shape, dtype and device, and the
    class and plain settings (numbers, names) of every part, since only one member's code runs.
    """
    first = modules[0]
    for index, module in enumerate(modules[1:], 1):
        for kind in ("named_parameters", "named_buffers"):
            mine, theirs = dict(getattr(module, kind)()), dict(getattr(first, kind)())
            if mine.keys() != theirs.keys():
                odd = sorted(mine.keys() ^ theirs.keys())[0]
                raise ValueError(f"members must have the same tensors, member {index}: {odd}")
            for name, value in mine.items():
                for what in ("shape", "dtype", "device"):
                    got, want = getattr(value, what), getattr(theirs[name], what)
                    if got != want:
                        raise ValueError(
                            f"members must have one {what} of {name}: "
                            f"member 0 has {_show(want)}, member {index} has {_show(got)}"
                        )
        _check_settings(first, module, index)


def _check_settings(first: nn.Module, module: nn.Module, index: int) -> None:
    mine, theirs = dict(module.named_modules()), dict(first.named_modules())
    for name, part in theirs.items():
        other = mine.get(name)
        # A masked layer has a class of its own; its bases are what it is.
        if other is None or type(other).__name__ != type(part).__name__:
            raise ValueError(f"members must be of one class, member {index} differs at {name!r}")
        for key, value in vars(part).items():
            if key.startswith("_") or key == "training" or not isinstance(value, _SETTINGS):
                continue
            if _plain(value) and vars(other).get(key) != value:
                raise ValueError(
                    f"members must have one setting {'.'.join(filter(None, (name, key)))}: "
                    f"member 0 has {value!r}, member {index} has {vars(other).get(key)!r}"
                )


def _plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def _show(value: object) -> str:
    return str(tuple(value)) if isinstance(value, torch.Size) else str(value)


def build_members(
    members: Sequence[nn.Module] | Callable[[], nn.Module], seeds: Sequence[int] | None
) -> list[nn.Module]:
    """Return a list of modules, or build one under each seed; the global random state stays."""
    if isinstance(members, Sequence | nn.ModuleList):
        if seeds is not None:
            raise ValueError(
                f"seeds must come with a factory, got a list of {len(members)} modules"
            )
        built = list(members)
    else:
        if seeds is None:
            raise ValueError("seeds must be given with a factory, got none")
        built = []
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                built.append(members())
    if not built:
        raise ValueError("members must be at least one module, got none")
    return built


def refuse_statistics(module: nn.Module) -> None:
    """Raise a ValueError if training would update running statistics, which cannot be stacked."""
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._NormBase) and part.track_running_stats:
            raise ValueError(
                f"{name} must not track running statistics in a population that trains, "
                f"got {type(part).__name__}: use group or layer norm, or call eval()"
            )


def stack(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stack equal dictionaries of tensors along a new first axis."""
    return {name: torch.stack([m[name].detach() for m in members]) for name in members[0]}


def rebind_optimizer(
    optimizer: torch.optim.Optimizer,
    pairs: Mapping[int, nn.Parameter],
    indices: Sequence[int],
    size: int,
) -> None:
    """Point an optimizer at other parameters and slice its state along the first axis, in place.

    Hyperparameters and schedulers stay attached. State with one entry for each member (moments,
    momentum) is sliced and copied; step counts are kept.

    Args:
        optimizer: Optimizer over stacked parameters.
        pairs: From the ``id`` of each old parameter to the new one.
        indices: Members to keep.
        size: Number of members so far.
    """
    for group in optimizer.param_groups:
        for place, old in enumerate(group["params"]):
            new = pairs.get(id(old))
            if new is None:
                continue
            group["params"][place] = new
            if old in optimizer.state:
                optimizer.state[new] = {
                    key: _slice(value, indices, size)
                    for key, value in optimizer.state.pop(old).items()
                }


def _slice(value: object, indices: Sequence[int], size: int) -> object:
    if isinstance(value, Tensor) and value.dim() and len(value) == size:
        return value[list(indices)].clone()
    return value
