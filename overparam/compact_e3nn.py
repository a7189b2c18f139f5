"""Tensor products and equivariant linear maps with the surviving paths only.

A path (instruction) of an e3nn product is equivariant by itself, so any subset of paths is. The
rebuilt product writes the old normalisation of each surviving path into its ``path_weight`` and
switches e3nn's own normalisation off: the outputs do not change when paths leave.
"""

import copy
import sys
import warnings
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, fx, nn

from overparam.compact_mlp import Affine, HiddenUnits, Reader, _put, chain_units, is_linear

Keep = Bool[Tensor, " paths"] | Sequence[bool]

# Up to this many multiply-adds a row, one dense matrix product over all pairs of inputs beats
# e3nn's chain of small contractions on a CPU; beyond, the zeros of the matrix cost more.
FUSE_LIMIT = 16_384


def is_product(module: nn.Module) -> bool:
    """Tell whether ``module`` is an ``e3nn.o3.TensorProduct``."""
    return _is(module, "o3", "TensorProduct")


def is_o3_linear(module: nn.Module) -> bool:
    """Tell whether ``module`` is an ``e3nn.o3.Linear``."""
    return _is(module, "o3", "Linear")


def is_radial(module: nn.Module) -> bool:
    """Tell whether ``module`` is an ``e3nn.nn.FullyConnectedNet``."""
    return _is(module, "nn", "FullyConnectedNet")


def _is(module: nn.Module, floor: str, name: str) -> bool:
    library = sys.modules.get("e3nn")  # who holds an e3nn module has imported it
    found = getattr(getattr(library, floor, None), name, None)
    return found is not None and isinstance(module, found)


class RadialAffine(Affine):
    """A layer of ``FullyConnectedNet``: weight ``(inputs, outputs)``, no bias, its own scaling.

    The layer divides by ``sqrt(h_in)``. The matrix seen here is the stored one; when inputs are
    dropped it is scaled so that the layer keeps its outputs, and could be rebuilt from its sizes.
    """

    takes_bias = False

    def tensors(self) -> Iterator[tuple[nn.Module, str]]:
        """Yield the one parameter."""
        yield self.module, "weight"

    def matrix(self) -> Float[Tensor, "outputs inputs"]:
        """Return the weights, outputs first."""
        return self.module.weight.detach().T  # type: ignore[operator,union-attr,return-value]

    def bias(self) -> Float[Tensor, " outputs"]:
        """Return zeros."""
        return self.matrix().new_zeros(len(self.matrix()))

    def add_bias(self, extra: Float[Tensor, " outputs"]) -> None:
        """Refuse: there is no bias."""
        raise ValueError("a radial layer must not get a bias, it has none")

    def keep_outputs(self, index: Int64[Tensor, " kept"]) -> None:
        """Keep the output units of ``index`` only."""
        _put(self.module, "weight", self.matrix()[index].T)
        self.module.h_out = len(index)  # type: ignore[assignment]
        self._describe()

    def keep_inputs(self, index: Int64[Tensor, " kept"]) -> None:
        """Keep the inputs of ``index`` only; the rest of the scaling moves into the weights."""
        before = self.matrix().shape[1]
        scale = (len(index) / before) ** 0.5
        _put(self.module, "weight", (self.matrix()[:, index] * scale).T)
        self.module.h_in = len(index)  # type: ignore[assignment]
        self._describe()

    def _describe(self) -> None:
        if hasattr(self.module, "_profiling_str"):
            self.module._profiling_str = repr(self.module)  # type: ignore[assignment]


def radial_units(prefix: str, net: nn.Module) -> list[HiddenUnits]:
    """Describe the hidden units of a ``FullyConnectedNet``."""
    layers = list(net.children())
    names = [f"{prefix}{name}" for name, _ in net.named_children()]
    units = chain_units(
        [RadialAffine(layer) for layer in layers],
        [layer.act for layer in layers[:-1]],  # type: ignore[misc]
        names,
    )
    for group in units:
        group.resized = lambda _: setattr(net, "hs", _widths(net))
    return units


def _widths(net: nn.Module) -> list[int]:
    layers = list(net.children())
    return [layers[0].weight.shape[0], *(layer.weight.shape[1] for layer in layers)]  # type: ignore[union-attr,index,list-item]


def live_paths(module: nn.Module) -> Bool[Tensor, " paths"]:
    """Return which weighted paths of a product or linear map have a weight that is not zero.

    The order is that of the slices of the flat ``weight``, as in a path mask.

    Raises:
        ValueError: If the module does not hold its own weights.
    """
    if not getattr(module, "internal_weights", False):
        raise ValueError(f"internal_weights must be True to read live paths, got {module}")
    weight = module.weight.detach()  # type: ignore[operator,union-attr]
    pieces = weight.split(_sizes(module), -1)
    return torch.tensor([bool((piece != 0).any()) for piece in pieces], dtype=torch.bool)


def shrink_tp(
    product: nn.Module, keep: Keep | None = None, *, fuse: bool | None = None
) -> nn.Module:
    """Rebuild a tensor product with its surviving paths.

    Args:
        product: Any ``e3nn.o3.TensorProduct``, ``FullyConnectedTensorProduct`` included.
        keep: One flag per weighted path; default: those with a weight that is not zero. Paths
            left out must be zero if outputs are to be equal.
        fuse: Whether to replace e3nn's generated code by one matrix product over pairs of
            inputs, for products that hold their weights; default: when it is small enough to be
            faster.

    Returns:
        An ``o3.TensorProduct`` with the same irreps; ``weight`` holds the surviving slices in
        order, and for external weights the caller passes those columns only.

    Raises:
        ValueError: If ``keep`` has another length than there are weighted paths.
    """
    from e3nn import o3

    flags = _flags(product, keep)
    weighted = iter(flags)
    kept = [path for path in product.instructions if not path.has_weight or next(weighted)]  # type: ignore[operator,union-attr]
    small = o3.TensorProduct(
        product.irreps_in1,
        product.irreps_in2,
        product.irreps_out,
        # The stored path_weight is the square root of what the constructor takes.
        [(*path[:5], path.path_weight**2) for path in kept],
        irrep_normalization="none",
        path_normalization="none",
        internal_weights=product.internal_weights,
        shared_weights=product.shared_weights,
        compile_right=product._did_compile_right,
        _specialized_code=product._specialized_code,
        _optimize_einsums=product._optimize_einsums,
    )
    _adopt(small, product)
    if product.internal_weights:
        _put_slices(small, product, flags)
    _drop_dead_code(small)
    if fuse or (fuse is None and _fuse_cost(small) <= FUSE_LIMIT):
        _fuse(small)
    return small


def shrink_weighted_tp(
    product: nn.Module, radial: nn.Module, keep: Keep | None = None
) -> tuple[nn.Module, nn.Module]:
    """Shrink a product with external weights together with the layer that makes its weights.

    Args:
        product: Tensor product with ``shared_weights=False``.
        radial: The network whose last layer's outputs are the product's weights, or that layer:
            a linear map, an e3nn radial layer, or a sequential (``FullyConnectedNet``) of them.
        keep: One flag per weighted path; default: those that some output column can reach.

    Returns:
        The smaller product, and a copy of ``radial`` with the other output columns removed.

    Raises:
        ValueError: If the sizes do not fit, or the last layer is of no known kind.
    """
    radial = copy.deepcopy(radial)
    last = last_affine(radial)
    if last is None:
        raise ValueError(f"radial must end in a linear or radial layer, got {radial}")
    if len(last.matrix()) != product.weight_numel:
        raise ValueError(
            f"radial must have weight_numel = {product.weight_numel} outputs, "
            f"got {len(last.matrix())}"
        )
    sizes = _sizes(product)
    if keep is None:
        live = (last.matrix() != 0).any(1) | (last.bias() != 0)
        keep = torch.tensor([bool(part.any()) for part in live.split(sizes)], dtype=torch.bool)
    small = shrink_tp(product, keep)
    columns = torch.repeat_interleave(_flags(product, keep), torch.tensor(sizes))
    last.keep_outputs(columns.nonzero().flatten().to(last.matrix().device))
    if is_radial(radial):
        radial.hs = _widths(radial)  # type: ignore[assignment]
    return small, radial


def last_affine(radial: nn.Module) -> Affine | None:
    """Return the affine map that makes the outputs of a radial network, if nothing follows it."""
    if is_linear(radial):
        return Affine(radial)
    children = list(radial.children())
    if type(radial).__name__ == "_Layer" and type(radial).__module__.startswith("e3nn."):
        act = getattr(radial, "act", None)
        silent = act is None or not bool(act(torch.zeros(1)).any())
        return RadialAffine(radial) if silent else None
    if isinstance(radial, nn.Sequential) and children:
        return last_affine(children[-1])
    return None


def shrink_o3_linear(linear: nn.Module, keep: Keep | None = None) -> nn.Module:
    """Rebuild an ``o3.Linear`` with its surviving paths; its biases stay.

    e3nn scales a path by the number of inputs that reach its output. Dropping paths changes that
    number, so the surviving weights are scaled to keep the outputs.

    Args:
        linear: An ``e3nn.o3.Linear`` that holds its weights.
        keep: One flag per path; default: those with a weight that is not zero.

    Raises:
        ValueError: If ``keep`` has another length, or the weights are external.
    """
    from e3nn import o3

    if not linear.internal_weights:
        raise ValueError(f"internal_weights must be True to shrink a linear map, got {linear}")
    flags = _flags(linear, keep)
    paths = [path for path in linear.instructions if path.i_in != -1]  # type: ignore[operator,union-attr]
    kept = [path for path, flag in zip(paths, flags, strict=True) if flag]
    biased = {path.i_out for path in linear.instructions if path.i_in == -1}  # type: ignore[operator,union-attr]
    outer = linear.weight.shape[:-1] or (None, None)  # type: ignore[union-attr]
    small = o3.Linear(
        linear.irreps_in,
        linear.irreps_out,
        f_in=outer[0],
        f_out=outer[1],
        internal_weights=True,
        instructions=[(path.i_in, path.i_out) for path in kept],
        biases=[index in biased for index in range(len(linear.irreps_out))],  # type: ignore[arg-type]
        _optimize_einsums=linear._optimize_einsums,
    )
    _adopt(small, linear)
    _put_slices(small, linear, flags)
    if kept:
        new = [path for path in small.instructions if path.i_in != -1]
        ratios = [old.path_weight / now.path_weight for old, now in zip(kept, new, strict=True)]
        weight = small.weight.detach()
        sizes = torch.tensor(_sizes(small), device=weight.device)
        scale = torch.tensor(ratios, device=weight.device, dtype=weight.dtype)
        _put(small, "weight", weight * scale.repeat_interleave(sizes))
        small.weight.requires_grad_(linear.weight.requires_grad)  # type: ignore[union-attr]
    if isinstance(linear.bias, nn.Parameter):
        _put(small, "bias", linear.bias.detach())
        small.bias.requires_grad_(linear.bias.requires_grad)
    _drop_dead_code(small)
    return small


def _sizes(module: nn.Module) -> list[int]:
    return [
        prod(path.path_shape)
        for path in module.instructions  # type: ignore[union-attr,operator]
        if getattr(path, "has_weight", True) and getattr(path, "i_in", 0) != -1
    ]


def _flags(module: nn.Module, keep: Keep | None) -> Bool[Tensor, " paths"]:
    flags = live_paths(module) if keep is None else torch.as_tensor(keep, dtype=torch.bool).cpu()
    if len(flags) != len(_sizes(module)):
        raise ValueError(f"keep must have {len(_sizes(module))} flags, got {len(flags)}")
    return flags


def _adopt(small: nn.Module, old: nn.Module) -> None:
    """Give a rebuilt module the dtype, device and training flag of the old one."""
    small.to(old.output_mask.device).to(old.output_mask.dtype)  # type: ignore[arg-type,union-attr,call-overload]
    small.train(old.training)


def _put_slices(small: nn.Module, old: nn.Module, flags: Tensor) -> None:
    weight = old.weight.detach()  # type: ignore[union-attr,operator]
    pieces = [w for w, flag in zip(weight.split(_sizes(old), -1), flags, strict=True) if flag]
    if pieces:
        _put(small, "weight", torch.cat(pieces, -1))
        small.weight.requires_grad_(old.weight.requires_grad)  # type: ignore[union-attr,operator]


def _drop_dead_code(module: nn.Module) -> None:
    """Remove statements without use from the generated code; eager e3nn would run them."""
    for name in ("_compiled_main_left_right", "_compiled_main_right", "_compiled_main"):
        graph = getattr(module, name, None)
        if isinstance(graph, fx.GraphModule) and graph.graph.eliminate_dead_code():
            graph.recompile()


def _fuse_cost(product: Any) -> float:
    if not (product.internal_weights and product.shared_weights) or not product.instructions:
        return float("inf")
    if not isinstance(product._compiled_main_left_right, fx.GraphModule):
        return float("inf")  # scripted by the user's choice of e3nn's optimisation defaults
    pairs = product.irreps_in1.dim * product.irreps_in2.dim
    return float(pairs * product.irreps_out.dim)


class PairProduct(nn.Module):
    """A tensor product as one matrix product over the pairs of input components that occur.

    ``out[z, k] = sum_ij x[z, i] y[z, j] M(w)[ij, k]``; ``M`` is filled from the weights by a
    table of its nonzero entries, so gradients flow to the weights.

    Shapes:
        ``(*batch, i), (*batch, j), (weights,) -> (*batch, k)``.

    Args:
        table: ``table[0]`` the part without weights, ``table[1 + w]`` that of weight ``w``;
            shape ``(1 + weights, i, j, k)``.
    """

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        used = (table != 0).any(0).any(-1)  # (i, j): pairs that reach an output
        self.columns = [_hull(used[:, j]) for j in range(used.shape[1])]
        rows = torch.cat([table[:, a:b, j] for j, (a, b) in enumerate(self.columns)], 1)
        self.shape = [rows.shape[1], rows.shape[2]]
        flat = rows.flatten(1)
        owner, place = flat.nonzero().unbind(1)
        self.register_buffer("place", place)
        self.register_buffer("owner", owner)
        self.register_buffer("coefficient", flat[owner, place])

    def forward(self, x1: Tensor, x2: Tensor, w: Tensor) -> Tensor:
        """Contract both inputs with the weights."""
        weights = torch.cat([w.new_ones(1), w.reshape(-1)])
        matrix = w.new_zeros(self.shape[0] * self.shape[1])
        matrix = matrix.index_add(0, self.place, self.coefficient * weights[self.owner])  # type: ignore[arg-type,operator,index]
        pairs = [x1[..., a:b] * x2[..., j : j + 1] for j, (a, b) in enumerate(self.columns) if b]
        return torch.cat(pairs, -1) @ matrix.reshape(self.shape[0], self.shape[1])


def _hull(flags: Tensor) -> tuple[int, int]:
    """Return the smallest slice that covers the flagged places: slices are views, picks are not."""
    places = flags.nonzero().flatten()
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)


@torch.no_grad()
def _fuse(product: Any) -> None:
    """Replace the generated code by a :class:`PairProduct` with the same trilinear form.

    The form is read off the generated code itself by running it on basis vectors, so that every
    connection mode and normalisation is covered.
    """
    exact = copy.deepcopy(product._compiled_main_left_right).double()
    device = product.output_mask.device
    i, j, n = product.irreps_in1.dim, product.irreps_in2.dim, product.weight_numel
    one = dict(dtype=torch.float64, device=device)
    x = torch.eye(i, **one).repeat_interleave(j, 0)
    y = torch.eye(j, **one).repeat(i, 1)
    bare = exact(x, y, torch.zeros(n, **one))
    slabs = [bare, *(exact(x, y, w) - bare for w in torch.eye(n, **one))]
    table = torch.stack(slabs).reshape(1 + n, i, j, product.irreps_out.dim)
    table[table.abs() < 1e-7 * table.abs().max()] = 0  # noise of the coupling coefficients
    if not table.any():
        return
    fused = PairProduct(table.to(product.output_mask.dtype))
    with warnings.catch_warnings():  # tracing notes that it cannot see buffers made above
        warnings.simplefilter("ignore")
        graph = fx.symbolic_trace(fused)
    product._compiled_main_left_right = graph.to(device)
