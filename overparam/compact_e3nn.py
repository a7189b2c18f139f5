"""Tensor products and equivariant linear maps with the surviving paths only.

A path (instruction) of an e3nn product is equivariant by itself, so any subset of paths is. The
rebuilt product writes the old normalisation of each surviving path into its ``path_weight`` and
switches e3nn's own normalisation off: the outputs do not change when paths leave.
"""

import copy
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, fx, nn

from overparam.compact_radial import is_e3nn, is_radial, last_affine, radial_widths
from overparam.hidden_units import put
from overparam.pair_product import FUSE_LIMIT, fuse_cost, fuse_product

Keep = Bool[Tensor, " paths"] | Sequence[bool]


def is_product(module: nn.Module) -> bool:
    """Tell whether ``module`` computes as an ``e3nn.o3.TensorProduct`` does."""
    return is_e3nn(module, "o3", "TensorProduct")


def is_o3_linear(module: nn.Module) -> bool:
    """Tell whether ``module`` computes as an ``e3nn.o3.Linear`` does."""
    return is_e3nn(module, "o3", "Linear")


def live_paths(module: Any) -> Bool[Tensor, " paths"]:
    """Return which weighted paths of a product or linear map have a weight that is not zero.

    The order is that of the slices of the flat ``weight``, as in a path mask.

    Raises:
        ValueError: If the module does not hold its own weights.
    """
    if not getattr(module, "internal_weights", False):
        raise ValueError(f"internal_weights must be True to read live paths, got {module}")
    weight = module.weight.detach()
    pieces = weight.split(_sizes(module), -1)
    return torch.tensor([bool((piece != 0).any()) for piece in pieces], dtype=torch.bool)


def shrink_tp(product: Any, keep: Keep | None = None, *, fuse: bool | None = None) -> nn.Module:
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
    kept = [path for path in product.instructions if not path.has_weight or next(weighted)]
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
    if fuse or (fuse is None and fuse_cost(small) <= FUSE_LIMIT):
        fuse_product(small)
    return small


def shrink_weighted_tp(
    product: Any, radial: Any, keep: Keep | None = None
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
        radial.hs = radial_widths(radial)
    return small, radial


def shrink_o3_linear(linear: Any, keep: Keep | None = None) -> nn.Module:
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
    paths = [path for path in linear.instructions if path.i_in != -1]
    kept = [path for path, flag in zip(paths, flags, strict=True) if flag]
    biased = {path.i_out for path in linear.instructions if path.i_in == -1}
    outer = linear.weight.shape[:-1] or (None, None)
    small = o3.Linear(
        linear.irreps_in,
        linear.irreps_out,
        f_in=outer[0],
        f_out=outer[1],
        internal_weights=True,
        instructions=[(path.i_in, path.i_out) for path in kept],
        biases=[index in biased for index in range(len(linear.irreps_out))],
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
        put(small, "weight", weight * scale.repeat_interleave(sizes))
        small.weight.requires_grad_(linear.weight.requires_grad)
    if isinstance(linear.bias, nn.Parameter):
        put(small, "bias", linear.bias.detach())
        small.bias.requires_grad_(linear.bias.requires_grad)
    _drop_dead_code(small)
    return small


def _sizes(module: Any) -> list[int]:
    return [
        prod(path.path_shape)
        for path in module.instructions
        if getattr(path, "has_weight", True) and getattr(path, "i_in", 0) != -1
    ]


def _flags(module: Any, keep: Keep | None) -> Bool[Tensor, " paths"]:
    flags = live_paths(module) if keep is None else torch.as_tensor(keep, dtype=torch.bool).cpu()
    if len(flags) != len(_sizes(module)):
        raise ValueError(f"keep must have {len(_sizes(module))} flags, got {len(flags)}")
    return flags


def _adopt(small: Any, old: Any) -> None:
    """Give a rebuilt module the dtype, device and training flag of the old one."""
    small.to(old.output_mask.device).to(old.output_mask.dtype)
    small.train(old.training)


def _put_slices(small: Any, old: Any, flags: Tensor) -> None:
    weight = old.weight.detach()
    pieces = [w for w, flag in zip(weight.split(_sizes(old), -1), flags, strict=True) if flag]
    if pieces:
        put(small, "weight", torch.cat(pieces, -1))
        small.weight.requires_grad_(old.weight.requires_grad)


def _drop_dead_code(module: nn.Module) -> None:
    """Remove statements without use from the generated code; eager e3nn would run them."""
    for name in ("_compiled_main_left_right", "_compiled_main_right", "_compiled_main"):
        graph = getattr(module, name, None)
        if isinstance(graph, fx.GraphModule) and graph.graph.eliminate_dead_code():
            graph.recompile()
