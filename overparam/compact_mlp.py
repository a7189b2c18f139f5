"""Hidden units of perceptrons: sequentials, fields, and plain lists of linear maps."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from overparam.hidden_units import (
    Affine,
    Elementwise,
    HiddenUnits,
    Reader,
    chain_units,
    shrink_units,
)
from overparam.masks import bake

_ELEMENTWISE = (
    nn.Identity, nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.ReLU, nn.ReLU6,
    nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.LogSigmoid, nn.Softplus, nn.Softsign, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink,
    nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Threshold, nn.PReLU, nn.BatchNorm1d,
)  # fmt: skip


def slice_chain(affines: Sequence[nn.Linear], after: Sequence[Elementwise]) -> list[nn.Linear]:
    """Return smaller copies of the affine maps of a network with the same function.

    The network is ``affines[0], after[0], affines[1], ..., affines[-1]``. For a module's own
    ``compacted()``: build it anew from the maps returned.

    Args:
        affines: Linear maps in order, masked or not; they are not changed.
        after: Elementwise function behind each map but the last, bias to value.

    Returns:
        New linear maps: same first inputs, same last outputs, hidden widths as small as exact
        folding allows and at least 1.

    Raises:
        ValueError: If there is not exactly one function between each two maps.
    """
    if len(after) != len(affines) - 1:
        raise ValueError(f"after must have {len(affines) - 1} functions, got {len(after)}")
    copies: list[Any] = [bake(affine) for affine in affines]
    shrink_units(chain_units([Affine(copy) for copy in copies], after))
    return copies


def sequential_units(prefix: str, sequential: nn.Sequential) -> list[HiddenUnits]:
    """Describe the hidden units in a sequential, nested ones flattened.

    A run of linear and elementwise modules is a chain; anything else ends it.
    """
    units: list[HiddenUnits] = []
    writer: tuple[str, nn.Module] | None = None
    between: list[nn.Module] = []
    for name, module in flatten(prefix, sequential):
        if is_linear(module):
            if writer is not None:
                units += _pair(writer, between, module)
            writer, between = (name, module), []
        elif writer is not None and is_elementwise(module, len(Affine(writer[1]).matrix())):
            between.append(module)
        else:
            writer = None
    return units


def _pair(
    writer: tuple[str, nn.Module], between: list[nn.Module], reader: nn.Module
) -> list[HiddenUnits]:
    name, first = writer
    into, out = Affine(first), Affine(reader)
    width = len(into.matrix())
    if width != out.matrix().shape[1]:
        return []
    after = nn.Sequential(*between)
    channels = [module for module in between if has_channels(module, width)]
    return [HiddenUnits(name, [into], [Reader(out)], after, channels)]


def is_linear(module: nn.Module) -> bool:
    """Tell whether a module is a linear map of torch or of torch_geometric."""
    if isinstance(module, nn.Linear):
        return True
    return any(
        kind.__module__ == "torch_geometric.nn.dense.linear" and kind.__name__ == "Linear"
        for kind in type(module).__mro__
    )


def field_units(prefix: str, module: Any) -> list[HiddenUnits]:
    """Describe the hidden units of a field: ``hidden`` layers with ``.affine``, then ``readout``.

    A layer may do more to its argument than its ``activation``, so a unit's constant is read off
    the layer itself: at a zero input, a unit without weights shows what it shows everywhere.
    """
    layers = list(module.hidden)
    maps = [layer.affine for layer in layers] + [module.readout]
    units = []
    for k, layer in enumerate(layers):

        def value(layer: Any = layer) -> Tensor:
            weight = layer.affine.weight
            return layer(weight.new_zeros(1, weight.shape[1]))

        def resized(width: int, k: int = k) -> None:
            if hasattr(module, "width"):  # the constructor argument, so that recipes stay true
                widths = [hidden.affine.weight.shape[0] for hidden in layers]
                module.width = widths[0] if len(set(widths)) == 1 else widths

        units.append(
            HiddenUnits(
                f"{prefix}hidden.{k}.affine",
                [Affine(maps[k])],
                [Reader(Affine(maps[k + 1]))],
                nn.Identity(),
                value=value,
                resized=resized,
            )
        )
    return units


def is_field(module: nn.Module) -> bool:
    """Tell whether ``module`` has ``hidden`` layers with ``.affine`` and a linear ``readout``."""
    hidden, readout = getattr(module, "hidden", None), getattr(module, "readout", None)
    if not isinstance(hidden, nn.Sequential) or not isinstance(readout, nn.Linear):
        return False
    maps: list[Any] = [getattr(layer, "affine", None) for layer in hidden]
    if not maps or not all(isinstance(affine, nn.Linear) for affine in maps):
        return False
    widths = [affine.out_features for affine in maps]
    return widths == [affine.in_features for affine in [*maps[1:], readout]]


def flatten(prefix: str, sequential: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of a sequential in order, going into plain nested ones."""
    for name, module in sequential.named_children():
        if is_plain_sequential(module):
            yield from flatten(f"{prefix}{name}.", module)
        else:
            yield f"{prefix}{name}", module


def nested(sequential: nn.Module) -> Iterator[nn.Module]:
    """Yield the plain sequentials directly inside one another, outermost first, itself left out."""
    for module in sequential.children():
        if is_plain_sequential(module):
            yield module
            yield from nested(module)


def is_plain_sequential(module: nn.Module) -> bool:
    """Tell whether a module runs its children one after another and does nothing else."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


@torch.no_grad()
def is_elementwise(module: nn.Module, width: int) -> bool:
    """Tell whether a module treats each unit alone; a stranger without state is tried out."""
    if isinstance(module, nn.BatchNorm1d) and module.running_mean is None:
        return False  # it looks at the other rows of the batch
    if getattr(module, "elementwise", False) or isinstance(module, _ELEMENTWISE):
        return True
    if any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
        return False
    try:
        x = torch.linspace(-2, 2, 2 * width).reshape(2, width)
        y, changed = module(x), x.clone()
        changed[:, ::2] += 0.5
        other = module(changed)
        return (
            y.shape == x.shape
            and torch.equal(y, module(x))
            and torch.equal(y[:, 1::2], other[:, 1::2])
            and torch.allclose(module(x.flip(1)), y.flip(1))
        )
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):
        return False


def has_channels(module: nn.Module, width: int) -> bool:
    """Tell whether a module holds a vector with one entry per unit."""
    tensors = [*module.parameters(), *module.buffers()]
    return any(tensor.shape == (width,) for tensor in tensors) and width > 1
