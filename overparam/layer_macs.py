"""Multiply-adds of single layers, and of whatever other modules multiply in their own code."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from overparam.compact import evaluating
from overparam.compact_e3nn import is_o3_linear, is_product
from overparam.compact_mlp import is_linear
from overparam.prunable import layers, own_parameters


@dataclass
class LayerMacs:
    """Multiply-adds of a layer over one forward pass, all and active ones."""

    macs: int = 0
    active: float = 0.0

    def add(self, macs: int, active: float) -> None:
        """Add one call."""
        self.macs += macs
        self.active += active


class Weights:
    """Active entries of one layer's weights: counts, over all or over slices.

    Args:
        layer: The layer.
        active: By attribute name, which entries of a weight are active; absent means all.
    """

    def __init__(self, layer: nn.Module, active: Mapping[str, Tensor]) -> None:
        self.layer = layer
        self.active = active

    def numel(self, name: str) -> int:
        """Return all entries of a weight."""
        return getattr(self.layer, name).numel()

    def kept(self, name: str) -> int:
        """Return the active entries of a weight."""
        return int(self.active[name].sum()) if name in self.active else self.numel(name)

    def density(self, name: str) -> float:
        """Return the share of active entries of a weight."""
        return self.kept(name) / self.numel(name) if self.numel(name) else 1.0

    def matrices(self) -> list[str]:
        """Return the names of the layer's own weights that multiply."""
        return [name for name, weight in own_parameters(self.layer) if weight.dim() >= 2]


Formula = Callable[[Any, Weights, tuple[Any, ...], dict[str, Any], Any], tuple[int, float]]


def count_macs(
    module: nn.Module,
    run: Callable[[], Any],
    active: Mapping[str, Tensor],
    notes: list[str],
) -> dict[str, LayerMacs]:
    """Run a module once, in evaluation mode, and count multiply-adds by layer name.

    Args:
        module: The module.
        run: Calls it.
        active: By plain parameter name, which entries are active; absent means all.
        notes: Takes a line for whatever could not be counted.
    """
    counter = _Counter(module, active)
    with evaluating(module), counter.hooks():
        try:
            with FlopCounterMode(display=False) as flops:
                counter.flops = flops.get_total_flops
                run()
        except (AttributeError, NotImplementedError, TypeError, AssertionError) as error:
            # The flop counter does not see into everything; the formulas do without it.
            counter.restart()
            notes.append(f"only layers of known formula were counted: {error}".splitlines()[0])
            run()
    return counter.found


class _Counter:
    """Walks along a forward pass by hooks; the innermost module of known formula counts."""

    def __init__(self, module: nn.Module, active: Mapping[str, Tensor]) -> None:
        self.module = module
        self.active = active
        self.names = {id(layer): name for name, layer in layers(module)}
        self.restart()

    def restart(self) -> None:
        self.flops: Callable[[], int] = lambda: 0
        self.found: dict[str, LayerMacs] = {}
        self.called: set[int] = set()
        self.frames: list[list[int]] = []  # per running module: flops at its start, of its parts
        self.inside = 0  # how many layers of known formula are running

    @contextlib.contextmanager
    def hooks(self) -> Iterator[None]:
        handles = []
        for _, layer in layers(self.module):
            handles.append(layer.register_forward_pre_hook(self._enter))
            handles.append(layer.register_forward_hook(self._leave, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, layer: nn.Module, _: Any) -> None:
        self.frames.append([self.flops(), 0])
        if formula_of(layer) is not None:
            self.inside += 1

    def _leave(self, layer: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        start, parts = self.frames.pop()
        total = self.flops() - start
        if self.frames:
            self.frames[-1][1] += total
        formula = formula_of(layer)
        if formula is None:
            own = (total - parts) // 2
            if own and not self.inside:
                name, density = self._owner(layer)
                self._add(name, own, own * density)
            return
        self.inside -= 1
        self.called.add(id(layer))
        if not self.inside:
            name = self.names[id(layer)]
            prefix = f"{name}." if name else ""
            mine = {
                k.removeprefix(prefix): v for k, v in self.active.items() if k.startswith(prefix)
            }
            self._add(name, *formula(layer, Weights(layer, mine), args, kwargs, out))

    def _add(self, name: str, macs: int, active: float) -> None:
        self.found.setdefault(name, LayerMacs()).add(macs, active)

    def _owner(self, layer: nn.Module) -> tuple[str, float]:
        """Find whose weights a module multiplied by without calling them, and their density."""
        base = self.names[id(layer)]
        owners, total, kept = [], 0, 0
        for name, part in layers(layer):
            weights = [] if id(part) in self.called else Weights(part, {}).matrices()
            for attribute in weights:
                full = ".".join(piece for piece in (base, name, attribute) if piece)
                numel = Weights(part, {}).numel(attribute)
                total += numel
                kept += int(self.active[full].sum()) if full in self.active else numel
                owners.append(".".join(piece for piece in (base, name) if piece))
        where = owners[0] if len(set(owners)) == 1 else base
        return where, kept / total if total else 1.0


def formula_of(layer: nn.Module) -> Formula | None:
    """Return the formula that counts a layer, if there is one."""
    if isinstance(layer, nn.modules.conv._ConvNd):
        return _convolution
    if isinstance(layer, nn.MultiheadAttention):
        return _attention
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        return _recurrent
    if is_linear(layer):
        return _linear
    if is_product(layer):
        return _product
    if is_o3_linear(layer):
        return _equivariant
    if type(layer).__name__.endswith("_Layer") and hasattr(layer, "h_in"):
        return _radial
    return None


def _linear(layer: Any, w: Weights, args: Any, kwargs: Any, out: Any) -> tuple[int, float]:
    macs = out.numel() * layer.weight.shape[1]
    return macs, macs * w.density("weight")


def _radial(layer: Any, w: Weights, args: Any, kwargs: Any, out: Any) -> tuple[int, float]:
    macs = out.numel() * layer.weight.shape[0]
    return macs, macs * w.density("weight")


def _convolution(layer: Any, w: Weights, args: Any, kwargs: Any, out: Any) -> tuple[int, float]:
    # Each output (of a transposed one, each input) meets the kernel of its group once.
    x = args[0] if args else kwargs["input"]
    places = x.numel() if layer.transposed else out.numel()
    macs = places * prod(layer.weight.shape[1:])
    return macs, macs * w.density("weight")


def _recurrent(layer: Any, w: Weights, args: Any, kwargs: Any, out: Any) -> tuple[int, float]:
    x = args[0] if args else kwargs["input"]
    x = getattr(x, "data", x)  # a packed sequence holds its rows there
    rows = x.numel() // x.shape[-1]
    names = w.matrices()
    return rows * sum(map(w.numel, names)), float(rows * sum(map(w.kept, names)))


def _attention(layer: Any, w: Weights, args: Any, kwargs: Any, out: Any) -> tuple[int, float]:
    given = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
    query, key = given["query"], given["key"]
    n = layer.embed_dim
    axis = 1 if query.dim() == 3 and layer.batch_first else 0
    length_q, length_k = query.shape[axis], key.shape[axis]
    batch = query.numel() // (n * length_q)
    rows = {"q": batch * length_q, "k": batch * length_k, "v": batch * length_k}
    macs, active = 0, 0.0
    for index, part in enumerate("qkv"):
        if layer._qkv_same_embed_dim:
            mask = w.active.get("in_proj_weight")
            third = layer.in_proj_weight.detach()[index * n : (index + 1) * n]
            kept = third.numel() if mask is None else int(mask[index * n : (index + 1) * n].sum())
            macs, active = macs + rows[part] * third.numel(), active + rows[part] * kept
        else:
            name = f"{part}_proj_weight"
            macs, active = macs + rows[part] * w.numel(name), active + rows[part] * w.kept(name)
    mixing = 2 * batch * length_q * length_k * n  # scores, and the weighted mean of the values
    out_weight = layer.out_proj.weight.numel()
    out_mask = w.active.get("out_proj.weight")
    out_kept = out_weight if out_mask is None else int(out_mask.sum())
    return (
        macs + mixing + rows["q"] * out_weight,
        active + mixing + rows["q"] * out_kept,
    )


def _equivariant(layer: Any, w: Weights, args: Any, kwargs: Any, out: Any) -> tuple[int, float]:
    outer = prod(layer.weight.shape[:-1]) if layer.internal_weights else 1
    rows = out.numel() // max(layer.irreps_out.dim, 1)
    if layer.internal_weights and layer.weight.dim() == 3:
        rows //= layer.weight.shape[1]
    macs, active, start = 0, 0.0, 0
    mask = w.active.get("weight")
    for path in layer.instructions:
        if path.i_in == -1:
            continue
        size = prod(path.path_shape)
        one = rows * layer.irreps_out[path.i_out].ir.dim
        kept = outer * size if mask is None else int(mask[..., start : start + size].sum())
        macs, active, start = macs + one * outer * size, active + one * kept, start + size
    return macs, active


def _product(layer: Any, w: Weights, args: Any, kwargs: Any, out: Any) -> tuple[int, float]:
    rows = out.numel() // max(layer.irreps_out.dim, 1)
    macs, active, start = 0, 0.0, 0
    mask = w.active.get("weight")
    for path in layer.instructions:
        coupling, weighting = path_macs(layer, path)
        macs += rows * (coupling + weighting)
        share = 1.0
        if path.has_weight:
            size = prod(path.path_shape)
            if mask is not None and size:
                share = float(mask[start : start + size].float().mean())
            start += size
        active += rows * (coupling * (share > 0) + weighting * share)
    return macs, active


def path_macs(product: Any, path: Any) -> tuple[int, int]:
    """Return the multiply-adds a row of one path: coupling the inputs, and weighting the result.

    Coupling costs one for each pair of multiplicities and each nonzero coupling coefficient, as
    no implementation needs more; weighting costs one for each weight and output component.
    """
    first, second = product.irreps_in1[path.i_in1], product.irreps_in2[path.i_in2]
    target = product.irreps_out[path.i_out]
    if "<" in path.connection_mode:
        pairs = first.mul * (first.mul - 1) // 2
    elif path.connection_mode.startswith("uu"):
        pairs = first.mul
    else:
        pairs = first.mul * second.mul
    coupling = pairs * couplings(first.ir.l, second.ir.l, target.ir.l)
    return coupling, prod(path.path_shape) * target.ir.dim if path.has_weight else 0


@functools.lru_cache(maxsize=1024)
def couplings(l1: int, l2: int, l3: int) -> int:
    """Return the number of nonzero coupling coefficients of three degrees."""
    from e3nn.o3 import wigner_3j

    return int((wigner_3j(l1, l2, l3, dtype=torch.float64).abs() > 1e-9).sum())
