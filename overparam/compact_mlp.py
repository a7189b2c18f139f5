"""Hidden units between affine maps: which of them do nothing, and how to take them out.

A hidden unit that nobody reads is deleted. A hidden unit that reads nothing is the constant
``f(bias)``; it is folded into the next bias and deleted. Both leave the function unchanged, and
each may make others idle, so they are applied until nothing changes.

Layers are described by :class:`HiddenUnits`; ``compact_gnn.py`` and ``compact_e3nn.py`` describe
theirs in the same words, and a module of your own may do so in a method ``hidden_units()``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.utils import parametrize

from overparam.masks import bake

Elementwise = Callable[[Tensor], Tensor]

_ELEMENTWISE = (
    nn.Identity, nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.ReLU, nn.ReLU6,
    nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.LogSigmoid, nn.Softplus, nn.Softsign, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink,
    nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Threshold, nn.PReLU, nn.BatchNorm1d,
)  # fmt: skip


class Affine:
    """An affine map seen as a matrix ``(outputs, inputs)``, whatever layout its module stores.

    Args:
        module: Owner of ``weight`` of shape ``(outputs, inputs)``.
        bias_owner: Owner of ``bias`` of shape ``(outputs,)``; default: ``module``.
    """

    takes_bias = True

    def __init__(self, module: nn.Module, bias_owner: nn.Module | None = None) -> None:
        self.module = module
        self.bias_owner = module if bias_owner is None else bias_owner

    def tensors(self) -> Iterator[tuple[nn.Module, str]]:
        """Yield owner and name of each parameter; none may be shared with another layer."""
        yield self.module, "weight"
        if getattr(self.bias_owner, "bias", None) is not None:
            yield self.bias_owner, "bias"

    def matrix(self) -> Float[Tensor, "outputs inputs"]:
        """Return the weights, detached."""
        return self.module.weight.detach()  # type: ignore[operator,union-attr,return-value]

    def bias(self) -> Float[Tensor, " outputs"]:
        """Return the bias, zeros where there is none."""
        bias = getattr(self.bias_owner, "bias", None)
        return self.matrix().new_zeros(len(self.matrix())) if bias is None else bias.detach()

    def add_bias(self, extra: Float[Tensor, " outputs"]) -> None:
        """Add to the bias; a layer without one gets one."""
        # Double precision on the CPU: not every device has it, and constants may be many.
        total = self.bias().cpu().double() + extra.cpu().double()
        _put(self.bias_owner, "bias", total.to(self.matrix()))

    def keep_outputs(self, index: Int64[Tensor, " kept"]) -> None:
        """Keep the output units of ``index`` only."""
        _put(self.module, "weight", self.matrix()[index])
        if getattr(self.bias_owner, "bias", None) is not None:
            _put(self.bias_owner, "bias", self.bias()[index])
        for owner in (self.module, self.bias_owner):
            _resize(owner, ("out_features", "out_channels"), len(index))

    def keep_inputs(self, index: Int64[Tensor, " kept"]) -> None:
        """Keep the input columns of ``index`` only."""
        _put(self.module, "weight", self.matrix()[:, index])
        for owner in (self.module, self.bias_owner):
            _resize(owner, ("in_features", "in_channels"), len(index))


@dataclass(eq=False)
class Reader:
    """The columns of an affine map that read a group of hidden units.

    Attributes:
        affine: The map.
        folds: Whether a constant input is a constant shift of the output; not so behind an
            aggregation whose sum depends on the number of neighbours.
        bias: Map whose bias takes folded constants; default: ``affine``.
        blocks: Widths of the groups concatenated at the input, one list for all their readers.
        block: Which of them is this group.
    """

    affine: Affine
    folds: bool = True
    bias: Affine | None = None
    blocks: list[int] = field(default_factory=list)
    block: int = 0

    def start(self) -> int:
        """First column of the group."""
        return sum(self.blocks[: self.block])

    def columns(self, width: int) -> Float[Tensor, "outputs width"]:
        """Return the columns that read the group."""
        return self.affine.matrix()[:, self.start() : self.start() + width]

    def keep(self, index: Int64[Tensor, " kept"], width: int) -> None:
        """Keep the columns of ``index`` among the group's ``width``, and all other groups'."""
        start, total = self.start(), self.affine.matrix().shape[1]
        every = torch.arange(total, device=index.device)
        kept = torch.cat([every[:start], index + start, every[start + width :]])
        self.affine.keep_inputs(kept)
        if self.blocks:
            self.blocks[self.block] = len(index)

    def fold(self, units: Int64[Tensor, " some"], values: Float[Tensor, " width"]) -> None:
        """Move the constants of ``units`` into the bias."""
        target = self.affine if self.bias is None else self.bias
        columns = self.columns(len(values))[:, units].cpu().double()
        target.add_bias(columns @ values[units].cpu().double())


@dataclass(eq=False)
class HiddenUnits:
    """A group of hidden units: who writes them, what happens to each alone, who reads them.

    Attributes:
        name: Name of the layer that writes them.
        writers: Affine maps whose outputs are summed into the units' arguments.
        readers: Affine maps that read the units' values.
        after: Elementwise function from arguments ``(1, width)`` to values ``(1, width)``.
        channels: Modules with one parameter per unit inside ``after``, sliced along.
        value: Replaces ``after(bias)`` where only the whole layer can be called.
        resized: Called with the new width, to correct sizes noted elsewhere.
    """

    name: str
    writers: list[Affine]
    readers: list[Reader]
    after: Elementwise
    channels: list[nn.Module] = field(default_factory=list)
    value: Callable[[], Tensor] | None = None
    resized: Callable[[int], None] | None = None

    @property
    def width(self) -> int:
        """Number of units."""
        return len(self.writers[0].matrix())

    def tensors(self) -> Iterator[tuple[nn.Module, str]]:
        """Yield owner and name of every parameter that slicing replaces."""
        for affine in [*self.writers, *(reader.affine for reader in self.readers)]:
            yield from affine.tensors()
        for channel in self.channels:
            for part in channel.modules():
                yield from ((part, name) for name in part._parameters if part._parameters[name] is not None)

    @torch.no_grad()
    def constants(self) -> Float[Tensor, " width"]:
        """Return the value each unit would have if it read nothing."""
        if self.value is not None:
            return self.value().reshape(-1)
        bias = torch.stack([writer.bias() for writer in self.writers]).sum(0)
        return self.after(bias[None])[0]

    def importance(self) -> Float[Tensor, " width"]:
        """Return the norm of what each unit reads times the norm of what reads it."""
        into = torch.cat([writer.matrix() for writer in self.writers], 1).norm(dim=1)
        out = torch.cat([reader.columns(self.width) for reader in self.readers]).norm(dim=0)
        return into * out

    def idle(self) -> tuple[Bool[Tensor, " width"], Bool[Tensor, " width"], Float[Tensor, " width"]]:
        """Return which units can go, which of those must be folded first, and their values."""
        unread = torch.stack([(r.columns(self.width) == 0).all(0) for r in self.readers])
        reads_nothing = torch.stack([(w.matrix() == 0).all(1) for w in self.writers]).all(0)
        values = self.constants()
        folds = torch.stack([nobody | reader.folds for nobody, reader in zip(unread, self.readers, strict=True)])
        constant = reads_nothing & torch.isfinite(values)
        silent = unread.all(0) | (constant & (values == 0))
        foldable = constant & folds.all(0) & ~silent
        return silent | foldable, foldable, values

    def reduce(self) -> int:
        """Take idle units out; at least one stays, since no layer may be empty.

        Returns:
            How many units went.
        """
        gone, foldable, values = self.idle()
        if gone.all():
            gone[0] = foldable[0] = False
        if not gone.any():
            return 0
        units = foldable.nonzero().flatten()
        if len(units):
            for reader in self.readers:
                if reader.folds:
                    reader.fold(units, values)
        self.keep((~gone).nonzero().flatten())
        return int(gone.sum())

    def keep(self, index: Int64[Tensor, " kept"]) -> None:
        """Keep the units of ``index``, in that order, and drop the others."""
        width = self.width
        for writer in self.writers:
            writer.keep_outputs(index)
        for reader in self.readers:
            reader.keep(index, width)
        for channel in self.channels:
            _slice_channels(channel, index, width)
        if self.resized is not None:
            self.resized(len(index))


def shrink_units(units: Sequence[HiddenUnits]) -> int:
    """Take idle units out of all groups until none is left.

    Returns:
        How many units went.
    """
    total = 0
    while went := sum(group.reduce() for group in units):
        total += went
    return total


def chain_units(
    affines: Sequence[Affine], after: Sequence[Elementwise], names: Sequence[str] | None = None
) -> list[HiddenUnits]:
    """Describe the hidden units of ``affine, elementwise, affine, ..., affine``.

    Args:
        affines: The maps, in order.
        after: The function behind each but the last.
        names: Name of each map.
    """
    names = [f"layer {k}" for k in range(len(affines))] if names is None else names
    return [
        HiddenUnits(name, [writer], [Reader(reader, folds=reader.takes_bias)], function)
        for name, writer, reader, function in zip(names, affines, affines[1:], after, strict=False)
    ]


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
    copies = [bake(affine) for affine in affines]
    shrink_units(chain_units([Affine(copy) for copy in copies], after))
    return copies  # type: ignore[return-value]


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


def field_units(prefix: str, module: nn.Module) -> list[HiddenUnits]:
    """Describe the hidden units of a field: ``hidden`` layers with ``.affine``, then ``readout``.

    A layer may do more to its argument than its ``activation``, so a unit's constant is read off
    the layer itself: at a zero input, a unit without weights shows what it shows everywhere.
    """
    layers = list(module.hidden)  # type: ignore[arg-type]
    maps = [layer.affine for layer in layers] + [module.readout]
    units = []
    for k, layer in enumerate(layers):

        def value(layer: nn.Module = layer) -> Tensor:
            weight = layer.affine.weight  # type: ignore[union-attr]
            return layer(weight.new_zeros(1, weight.shape[1]))  # type: ignore[operator,union-attr]

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
    maps = [getattr(layer, "affine", None) for layer in hidden]
    if not maps or not all(isinstance(affine, nn.Linear) for affine in maps):
        return False
    widths = [affine.out_features for affine in maps]  # type: ignore[union-attr]
    return widths == [affine.in_features for affine in [*maps[1:], readout]]  # type: ignore[union-attr]


def flatten(prefix: str, sequential: nn.Sequential) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of a sequential in order, going into plain nested ones."""
    for name, module in sequential.named_children():
        if is_plain_sequential(module):
            yield from flatten(f"{prefix}{name}.", module)  # type: ignore[arg-type]
        else:
            yield f"{prefix}{name}", module


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


def sliceable(units: Iterable[HiddenUnits], root: nn.Module) -> list[HiddenUnits]:
    """Leave out groups whose parameters have another owner too, or a foreign parametrization."""
    count: dict[int, int] = {}
    for _, module in root.named_modules(remove_duplicate=False):
        for parameter in module._parameters.values():
            if parameter is not None:
                count[id(parameter)] = count.get(id(parameter), 0) + 1
    return [
        group
        for group in units
        if all(
            not parametrize.is_parametrized(owner) and count.get(id(owner._parameters.get(name)), 0) == 1
            for owner, name in group.tensors()
        )
    ]


def _slice_channels(module: nn.Module, index: Tensor, width: int) -> None:
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if parameter is not None and parameter.shape == (width,):
                _put(part, name, parameter.detach()[index])
        for name, buffer in list(part._buffers.items()):
            if buffer is not None and buffer.shape == (width,):
                part._buffers[name] = buffer[index].clone()
        _resize(part, ("num_features", "num_parameters", "in_channels"), len(index))


def _put(owner: nn.Module, name: str, value: Tensor) -> None:
    old = owner._parameters.get(name)
    trains = True if old is None else old.requires_grad
    owner._parameters[name] = nn.Parameter(value.detach().clone(), requires_grad=trains)


def _resize(owner: nn.Module, names: Sequence[str], size: int) -> None:
    for name in names:
        if isinstance(getattr(owner, name, None), int):
            setattr(owner, name, size)
