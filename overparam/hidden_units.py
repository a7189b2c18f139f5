"""Hidden units between affine maps: which of them do nothing, and how to take them out.

A hidden unit that nobody reads is deleted. A hidden unit that reads nothing is the constant
``f(bias)``; it is folded into the next bias and deleted. Both leave the function unchanged, and
each may make others idle, so they are applied until nothing changes.

``compact_mlp.py``, ``compact_gnn.py`` and ``compact_e3nn.py`` describe the layers they know in
these words; a module of your own may do so in a method ``hidden_units()``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn.utils import parametrize

Elementwise = Callable[[Tensor], Tensor]


class Affine:
    """An affine map seen as a matrix ``(outputs, inputs)``, whatever layout its module stores.

    Args:
        module: Owner of ``weight`` of shape ``(outputs, inputs)``.
        bias_owner: Owner of ``bias`` of shape ``(outputs,)``; default: ``module``.
    """

    takes_bias = True

    def __init__(self, module: nn.Module, bias_owner: nn.Module | None = None) -> None:
        self.module: Any = module
        self.bias_owner: Any = module if bias_owner is None else bias_owner

    def tensors(self) -> Iterator[tuple[nn.Module, str]]:
        """Yield owner and name of each parameter; none may be shared with another layer."""
        yield self.module, "weight"
        if getattr(self.bias_owner, "bias", None) is not None:
            yield self.bias_owner, "bias"

    def matrix(self) -> Float[Tensor, "outputs inputs"]:
        """Return the weights, detached."""
        return self.module.weight.detach()

    def bias(self) -> Float[Tensor, " outputs"]:
        """Return the bias, zeros where there is none."""
        bias = getattr(self.bias_owner, "bias", None)
        return self.matrix().new_zeros(len(self.matrix())) if bias is None else bias.detach()

    def add_bias(self, extra: Float[Tensor, " outputs"]) -> None:
        """Add to the bias; a layer without one gets one."""
        # Double precision on the CPU: not every device has it, and constants may be many.
        total = self.bias().cpu().double() + extra.cpu().double()
        put(self.bias_owner, "bias", total.to(self.matrix()))

    def keep_outputs(self, index: Int64[Tensor, " kept"]) -> None:
        """Keep the output units of ``index`` only."""
        put(self.module, "weight", self.matrix()[index])
        if getattr(self.bias_owner, "bias", None) is not None:
            put(self.bias_owner, "bias", self.bias()[index])
        for owner in (self.module, self.bias_owner):
            _resize(owner, ("out_features", "out_channels"), len(index))

    def keep_inputs(self, index: Int64[Tensor, " kept"]) -> None:
        """Keep the input columns of ``index`` only."""
        put(self.module, "weight", self.matrix()[:, index])
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
                yield from (
                    (part, name) for name in part._parameters if part._parameters[name] is not None
                )

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

    def idle(
        self,
    ) -> tuple[Bool[Tensor, " width"], Bool[Tensor, " width"], Float[Tensor, " width"]]:
        """Return which units can go, which of those must be folded first, and their values."""
        unread = torch.stack([(r.columns(self.width) == 0).all(0) for r in self.readers])
        reads_nothing = torch.stack([(w.matrix() == 0).all(1) for w in self.writers]).all(0)
        values = self.constants()
        folds = torch.stack(
            [nobody | reader.folds for nobody, reader in zip(unread, self.readers, strict=True)]
        )
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
            not parametrize.is_parametrized(owner)
            and count.get(id(owner._parameters.get(name)), 0) == 1
            for owner, name in group.tensors()
        )
    ]


def _slice_channels(module: nn.Module, index: Tensor, width: int) -> None:
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if parameter is not None and parameter.shape == (width,):
                put(part, name, parameter.detach()[index])
        for name, buffer in list(part._buffers.items()):
            if buffer is not None and buffer.shape == (width,):
                part._buffers[name] = buffer[index].clone()
        _resize(part, ("num_features", "num_parameters", "in_channels"), len(index))


def put(owner: nn.Module, name: str, value: Tensor) -> None:
    """Set a parameter to a copy of ``value``, trainable if the old one was."""
    old = owner._parameters.get(name)
    trains = True if old is None else old.requires_grad
    owner._parameters[name] = nn.Parameter(value.detach().clone(), requires_grad=trains)


def _resize(owner: nn.Module, names: Sequence[str], size: int) -> None:
    for name in names:
        if isinstance(getattr(owner, name, None), int):
            setattr(owner, name, size)
