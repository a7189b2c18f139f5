"""Hidden units of torch_geometric networks, described for exact slicing.

Inside an ``MLP`` (also that of a GIN layer) units are those of any perceptron. Between the
layers of a ``GCN``, ``GraphSAGE`` or ``GIN`` a unit that nobody reads goes, and so does one whose
constant value is zero. Another constant is folded only where that is exact: into GraphSAGE's root
weight when its neighbour weight is zero, and into the linear map behind jumping knowledge. A sum
over neighbours of a constant depends on the number of neighbours (and a mean is zero at a node
without any), so elsewhere the constant stays as a unit.
"""

import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from overparam.compact_mlp import (
    flatten,
    has_channels,
    is_elementwise,
    is_linear,
    is_plain_sequential,
)
from overparam.hidden_units import Affine, HiddenUnits, Reader

_SUMS = ("add", "sum", "mean", "max", "min")


def gnn_units(prefix: str, module: nn.Module) -> list[HiddenUnits]:
    """Describe the hidden units of a torch_geometric ``MLP`` or basic network; else none."""
    library = sys.modules.get("torch_geometric.nn.models")
    if library is None:
        return []
    if type(module) is library.MLP:
        return _mlp_units(prefix, module)
    if type(module) in (library.GCN, library.GraphSAGE, library.GIN):
        return _network_units(prefix, module)
    return []


def _mlp_units(prefix: str, mlp: Any) -> list[HiddenUnits]:
    units = []
    for k, (writer, reader) in enumerate(zip(mlp.lins, mlp.lins[1:], strict=False)):
        between = _between(mlp.act, mlp.norms[k], mlp.act_first, len(writer.weight))
        if between is None:
            continue

        def resized(width: int, k: int = k) -> None:
            mlp.channel_list = [*mlp.channel_list[: k + 1], width, *mlp.channel_list[k + 2 :]]

        units.append(
            HiddenUnits(
                f"{prefix}lins.{k}",
                [Affine(writer)],
                [Reader(Affine(reader))],
                between[0],
                between[1],
                resized=resized,
            )
        )
    return units


def _network_units(prefix: str, net: Any) -> list[HiddenUnits]:
    if net.jk_mode not in (None, "last", "cat"):
        return []  # max and LSTM mix the layers unit by unit
    blocks = [_width(conv) for conv in net.convs] if net.jk_mode == "cat" else []
    units = []
    for k, conv in enumerate(net.convs):
        readers: list[Reader] | None = []
        if k + 1 < len(net.convs):
            readers = _readers(net.convs[k + 1])
        elif net.jk_mode is None:
            continue  # the outputs of the network
        if net.jk_mode == "cat" or (net.jk_mode == "last" and k + 1 == len(net.convs)):
            head = Reader(Affine(net.lin), blocks=blocks, block=k if blocks else 0)
            readers = None if readers is None else [*readers, head]
        written = _writers(conv)
        if readers is None or written is None:
            continue
        writers, inner, channels = written
        between = _between(net.act, net.norms[k], net.act_first, _width(conv))
        if between is None:
            continue
        after, more = between

        def both(x: Tensor, inner: Any = inner, after: Any = after) -> Tensor:
            return after(inner(x))

        def resized(width: int, conv: Any = conv) -> None:
            if isinstance(getattr(conv, "out_channels", None), int):
                conv.out_channels = width

        units.append(
            HiddenUnits(
                f"{prefix}convs.{k}", writers, readers, both, [*channels, *more], resized=resized
            )
        )
    return units


def _writers(conv: Any) -> tuple[list[Affine], Callable[[Tensor], Tensor], list[nn.Module]] | None:
    """Return what writes a convolution's outputs and what follows inside it; None if coupled."""
    kind = type(conv).__name__
    if kind == "GCNConv":
        return [Affine(conv.lin, conv)], nn.Identity(), []
    if kind == "SAGEConv":
        if conv.normalize:
            return None  # divides by the norm over all units
        roots = [Affine(conv.lin_r)] if conv.root_weight else []
        return [Affine(conv.lin_l), *roots], nn.Identity(), []
    if kind == "GINConv":
        return _last_of(conv.nn)
    return None


def _last_of(
    network: Any,
) -> tuple[list[Affine], Callable[[Tensor], Tensor], list[nn.Module]] | None:
    library = sys.modules["torch_geometric.nn.models"]
    if type(network) is library.MLP:
        last = network.lins[-1]
        if network.plain_last:
            return [Affine(last)], nn.Identity(), []
        rest = _between(network.act, network.norms[-1], network.act_first, len(last.weight))
        return None if rest is None else ([Affine(last)], *rest)
    if is_plain_sequential(network):
        between: list[nn.Module] = []
        for _, module in reversed(list(flatten("", network))):
            if is_linear(module):
                affine = Affine(module)
                width = len(affine.matrix())
                if not all(is_elementwise(part, width) for part in between):
                    return None
                after = nn.Sequential(*between)
                return [affine], after, [part for part in between if has_channels(part, width)]
            between.insert(0, module)
    return None


def _readers(conv: Any) -> list[Reader] | None:
    """Return what reads a convolution's inputs; None if it does more than sum and mix them."""
    kind = type(conv).__name__
    if kind == "GCNConv":
        return [Reader(Affine(conv.lin, conv), folds=False)]
    if conv.aggr not in _SUMS:
        return None
    if kind == "SAGEConv":
        if conv.project or not isinstance(conv.in_channels, int):
            return None
        neighbours = Affine(conv.lin_l)
        readers = [Reader(neighbours, folds=False)]
        if conv.root_weight:
            readers.append(Reader(Affine(conv.lin_r), bias=neighbours))
        return [*readers]
    if kind == "GINConv":
        network = conv.nn
        library = sys.modules["torch_geometric.nn.models"]
        if type(network) is library.MLP:
            return [Reader(_InMLP(network), folds=False)]
        first = (
            next(iter(flatten("", network)), ("", None))[1]
            if is_plain_sequential(network)
            else None
        )
        return (
            [Reader(Affine(first), folds=False)] if first is not None and is_linear(first) else None
        )
    return None


class _InMLP(Affine):
    """The first linear map of an ``MLP``, which notes its sizes in a list."""

    def __init__(self, mlp: Any) -> None:
        super().__init__(mlp.lins[0])
        self.mlp = mlp

    def keep_inputs(self, index: Tensor) -> None:
        super().keep_inputs(index)
        self.mlp.channel_list = [len(index), *self.mlp.channel_list[1:]]


def _between(
    act: Any, norm: nn.Module, act_first: bool, width: int
) -> tuple[Callable[[Tensor], Tensor], list[nn.Module]] | None:
    """Return activation and norm as one elementwise function; None if the norm mixes units."""
    wrapped = type(norm).__name__ == "BatchNorm"  # torch_geometric's holds torch's
    core: Any = getattr(norm, "module", norm) if wrapped else norm
    if isinstance(act, nn.Module) and not is_elementwise(act, width):
        return None
    if not is_elementwise(core, width):
        return None
    activation = nn.Identity() if act is None else act
    steps = [activation, core] if act_first else [core, activation]

    def after(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    parts = [part for part in (norm, activation) if isinstance(part, nn.Module)]
    return after, [part for part in parts if has_channels(part, width)]


def _width(conv: Any) -> int:
    written = _writers(conv)
    if written is not None:
        return len(written[0][0].matrix())
    return int(getattr(conv, "out_channels", 0))
