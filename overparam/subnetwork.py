"""Finding subnetworks of random weights: supermasks put on, trained and taken off modules.

Source: Ramanujan et al., "What's Hidden in a Randomly Weighted Neural Network?", CVPR 2020,
arXiv:1911.13299, sections 3.2 (scores) and 4.2 (scaled signed constants).
"""

import math
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from overparam.parametrization import original, set_parametrization
from overparam.prunable import ParamSpec, layers, prunable
from overparam.supermask import EdgePopup, GumbelMask, Supermask

WEIGHTS = ("kaiming", "rms", "keep")


def edge_popup(
    module: nn.Module,
    keep: float = 0.5,
    *,
    names: Iterable[str] | None = None,
    weights: str = "kaiming",
    generator: torch.Generator | None = None,
) -> list[nn.Parameter]:
    """Freeze ``module`` and put an ``EdgePopup`` on its weights.

    Args:
        module: Changed in place; every parameter it has now stops training, biases too.
        keep: Share of entries to keep in each weight.
        names: Plain names of the weights; default: every matrix, first and last included.
        weights: What the frozen values are: ``"kaiming"`` gives ``+-sqrt(2 / fan_in) /
            sqrt(keep)`` (for ReLU), ``"rms"`` gives ``+-rms(w) / sqrt(keep)`` (any other
            initialisation law), signs as initialised; ``"keep"`` leaves them alone.
        generator: Source of the initial scores; default: torch's global one.

    Returns:
        The trainable scores, for an optimizer.

    Raises:
        ValueError: If an option or a name is unknown, nothing can be masked, or ``"kaiming"``
            is asked of a weight that e3nn normalises itself.
    """
    for spec in _choose(module, names, keep, weights):
        _set_constants(module, spec, keep, weights)
        _install(module, spec, EdgePopup(spec.shape, keep, fan_in=_fan_in(spec)), generator)
    return _only_trainable(module)


def gumbel(
    module: nn.Module,
    density: float = 0.5,
    *,
    names: Iterable[str] | None = None,
    weights: str = "kaiming",
    temperature: float = 1.0,
    spread: float = 2.0,
    generator: torch.Generator | None = None,
) -> list[nn.Parameter]:
    """Freeze ``module`` and put a ``GumbelMask`` on its weights; as ``edge_popup`` otherwise.

    Add ``weight * budget_loss(module)`` to the objective and call ``anneal`` as training goes.

    Returns:
        The trainable scores and factors, for an optimizer.
    """
    for spec in _choose(module, names, density, weights):
        _set_constants(module, spec, density, weights)
        mask = GumbelMask(spec.shape, density, temperature=temperature, spread=spread)
        _install(module, spec, mask, generator)
    return _only_trainable(module)


def supermasks(module: nn.Module) -> dict[str, Supermask]:
    """List the supermasks of a module by plain parameter name, tied weights once."""
    found: dict[str, Supermask] = {}
    for name, link in _walk(module):
        if not any(link is other for other in found.values()):
            found[name] = link
    return found


def budget_loss(module: nn.Module) -> Float[Tensor, ""]:
    """Return ``(density - target)**2`` over all Gumbel masks together, differentiable.

    Layers may trade density among themselves; targets are averaged by size.

    Raises:
        ValueError: If the module has no Gumbel mask.
    """
    masks = _gumbels(module)
    total = sum(mask.scores.numel() for mask in masks)
    gap = [(mask.density() - mask.keep) * (mask.scores.numel() / total) for mask in masks]
    return torch.stack(gap).sum().square()


def anneal(module: nn.Module, progress: float, *, start: float = 1.0, end: float = 0.1) -> float:
    """Set the temperature of every Gumbel mask, geometric from ``start`` to ``end``.

    Args:
        module: Holder of the masks.
        progress: Share of the training done, clamped to [0, 1].
        start: Temperature at 0, positive.
        end: Temperature at 1, positive.

    Returns:
        The temperature.

    Raises:
        ValueError: If a temperature is not positive or there is no Gumbel mask.
    """
    if not min(start, end) > 0:
        raise ValueError(f"start and end must be positive, got {start} and {end}")
    value = start * (end / start) ** min(max(progress, 0.0), 1.0)
    for mask in _gumbels(module):
        mask.tau.fill_(value)
    return value


@torch.no_grad()
def freeze(module: nn.Module) -> list[str]:
    """Replace every supermask by a plain ``WeightMask`` with the same evaluation output.

    A learned factor is multiplied into the weight. Weights stay untrainable: call
    ``module.requires_grad_(True)`` to train the found subnetwork further.

    Returns:
        Plain names of the weights.
    """
    found = supermasks(module)
    for name, supermask in found.items():
        original(module, name).mul_(supermask.factor())
        set_parametrization(module, name, supermask.freeze())
    return list(found)


def _walk(module: nn.Module) -> Iterator[tuple[str, Supermask]]:
    for prefix, layer in layers(module):
        if not parametrize.is_parametrized(layer):
            continue
        for attribute, chain in layer.parametrizations.items():  # type: ignore[operator,union-attr]
            for link in chain:
                if isinstance(link, Supermask):
                    yield (f"{prefix}.{attribute}" if prefix else attribute), link


def _gumbels(module: nn.Module) -> list[GumbelMask]:
    masks = [mask for mask in supermasks(module).values() if isinstance(mask, GumbelMask)]
    if not masks:
        raise ValueError(f"module must have a GumbelMask, got {type(module).__name__} without one")
    return masks


def _choose(
    module: nn.Module, names: Iterable[str] | None, keep: float, weights: str
) -> list[ParamSpec]:
    """Resolve names to specifications, and refuse nonsense before anything is changed."""
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be among {', '.join(WEIGHTS)}, got {weights!r}")
    if not 0 < keep <= 1:
        raise ValueError(f"the share to keep must be in (0, 1], got {keep}")
    specs = prunable(module, protect=("norm", "bias", "embed"))
    by_name = {owner: spec for spec in specs.values() for owner in spec.owners}
    if names is None:
        chosen = [spec for spec in specs.values() if spec.protected is None]
    else:
        names = list(names)
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise ValueError(f"names must be maskable parameters, got {', '.join(unknown)}")
        chosen = [by_name[name] for name in names]
    if not chosen:
        raise ValueError(f"module must have a weight to mask, got {type(module).__name__}")
    if weights == "kaiming":
        # e3nn divides by the fan-in in its forward pass and stores unit-variance weights.
        odd = [
            s.name for s in chosen if s.kind == "tp_path" or (s.kind, s.unit_axis) == ("dense", 1)
        ]
        if odd:
            raise ValueError(f"weights must be 'rms' for {odd[0]}, which e3nn normalises itself")
    return chosen


@torch.no_grad()
def _set_constants(module: nn.Module, spec: ParamSpec, keep: float, weights: str) -> None:
    """Overwrite a weight by constants of its initial signs."""
    if weights == "keep":
        return
    weight = original(module, spec.name)
    rms = float(weight.square().mean().sqrt())
    size = math.sqrt(2 / _fan_in(spec)) if weights == "kaiming" else rms
    weight.copy_(torch.where(weight < 0, -size, size) / math.sqrt(keep))


def _install(
    module: nn.Module, spec: ParamSpec, supermask: Supermask, generator: torch.Generator | None
) -> None:
    if generator is not None:
        supermask.reset(generator)
    weight = original(module, spec.name)
    set_parametrization(module, spec.name, supermask.to(weight.device, weight.dtype))


def _only_trainable(module: nn.Module) -> list[nn.Parameter]:
    """Freeze everything but the parameters of supermasks, and return those."""
    module.requires_grad_(False)
    trainable = []
    for supermask in supermasks(module).values():
        trainable += list(supermask.requires_grad_(True).parameters())
    return trainable


def _fan_in(spec: ParamSpec) -> int:
    return max(1, spec.numel // spec.shape[spec.unit_axis])
