"""Physically smaller modules with equal outputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from overparam.compact_e3nn import (
    is_o3_linear,
    is_product,
    live_paths,
    shrink_o3_linear,
    shrink_tp,
    shrink_weighted_tp,
)
from overparam.compact_gnn import gnn_units
from overparam.compact_mlp import (
    field_units,
    is_field,
    is_plain_sequential,
    nested,
    sequential_units,
)
from overparam.compact_mlp import slice_chain as slice_chain
from overparam.compact_radial import is_radial, last_affine, radial_units
from overparam.hidden_units import HiddenUnits, shrink_units, sliceable
from overparam.masks import bake

Example = Any


def compact(module: nn.Module, example: Example, *, rtol: float = 1e-5) -> nn.Module:
    """Return a physically smaller module with equal outputs.

    Masks are folded in first, so zeros are zeros whatever made them. Then, until nothing changes:
    hidden units that nobody reads are deleted, those that read nothing are folded into the next
    bias, and tensor-product paths without weight are dropped. Sizes of inputs and outputs stay.

    Handled: linear/elementwise chains in ``nn.Sequential``; fields (``hidden`` layers with
    ``.affine``, then ``readout``); e3nn products, linear maps and radial networks; torch_geometric
    MLP, GCN, GraphSAGE and GIN; and every module that has a method ``compacted()``, returning its
    smaller self, or ``hidden_units()``, returning descriptions to slice by. What is not handled
    stays as it is. Layers that share parameters stay as well.

    Equality holds in evaluation mode: folding through dropout or batch norm takes their
    evaluation form. Optimizers hold the old parameters and must be built anew.

    Args:
        module: Masked or plain module; it is not changed.
        example: Input the outputs are compared on: a tensor, a tuple of positional arguments, or
            a dictionary of keyword arguments.
        rtol: Largest difference allowed, relative to the largest output; wider for dtypes whose
            precision is below single.

    Returns:
        The smaller module: same dtype, device, training flags and gradient flags.

    Raises:
        ValueError: If a lazy layer has not run yet.
        RuntimeError: If the outputs differ, which means that a module uses its hidden layers in
            ways its structure does not show.
    """
    small = shrink(module)
    problem = _difference(module, small, example, rtol)
    if problem is not None:  # perhaps a network beside a product was not what makes its weights
        small = shrink(module, pairs=False)
        problem = _difference(module, small, example, rtol)
    if problem is not None:
        raise RuntimeError(
            f"compact must not change outputs, but {problem}: some module uses its hidden layers "
            "in ways its structure does not show; give it a method compacted()"
        )
    return small


def shrink(module: nn.Module, *, own: bool = True, pairs: bool = True) -> nn.Module:
    """Return what ``compact`` returns, without comparing outputs.

    Args:
        module: Masked or plain module; it is not changed.
        own: Whether to let modules shrink themselves by their method ``compacted()``.
        pairs: Whether to prune a product with external weights together with the one network
            beside it that has as many outputs as the product has weights.
    """
    refuse_lazy(module)
    small = _replace(bake(module), own, pairs, {})
    with evaluating(small):
        shrink_units(sliceable(find_hidden_units(small), small))
    return small


def find_hidden_units(root: nn.Module) -> list[HiddenUnits]:
    """Describe every group of hidden units that the package knows how to slice."""
    units: list[HiddenUnits] = []
    inside: set[int] = set()
    for name, module in root.named_modules():
        prefix = f"{name}." if name else ""
        described = getattr(module, "hidden_units", None)
        if callable(described):
            units += described()
        elif is_field(module):
            units += field_units(prefix, module)
        elif is_radial(module):
            units += radial_units(prefix, module)
        elif is_plain_sequential(module) and id(module) not in inside:
            units += sequential_units(prefix, module)
            inside |= {id(part) for part in nested(module)}  # flattened along with it
        else:
            units += gnn_units(prefix, module)
    return units


def dead_units(module: nn.Module) -> dict[str, int]:
    """Count the hidden units of each layer that ``compact`` would take out, by layer name.

    Layers without any are listed with 0; layers of unknown structure are not listed.
    """
    refuse_lazy(module)
    baked = _replace(bake(module), False, True, {})
    with evaluating(baked):
        units = sliceable(find_hidden_units(baked), baked)
        before = [group.width for group in units]
        shrink_units(units)
    return {group.name: width - group.width for group, width in zip(units, before, strict=True)}


def refuse_lazy(module: nn.Module) -> None:
    """Raise a ValueError if some layer still waits for its first input."""
    for name, parameter in module.named_parameters():
        if nn.parameter.is_lazy(parameter):
            raise ValueError(f"{name} must be initialised, got a lazy layer: run one forward first")


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules into evaluation mode for a while; every part gets its own flag back."""
    flags = {part: part.training for module in modules for part in module.modules()}
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, flag in flags.items():
            part.training = flag


def call(module: nn.Module, example: Example) -> Any:
    """Call a module on an example: a tensor, a tuple of arguments or a dictionary of them."""
    if isinstance(example, dict):
        return module(**example)
    return module(*example) if isinstance(example, tuple | list) else module(example)


def _replace(
    module: nn.Module, own: bool, pairs: bool, done: dict[int, tuple[nn.Module, nn.Module]]
) -> nn.Module:
    """Shrink what is replaced as a whole, from the top down; shared modules once."""
    if id(module) in done:
        return done[id(module)][1]
    result = module
    compacted = getattr(module, "compacted", None)
    if own and callable(compacted):
        result = compacted()
        result.train(module.training)
    elif is_product(module):
        if module.internal_weights and not live_paths(module).all():
            result = shrink_tp(module)
    elif is_o3_linear(module):
        if module.internal_weights and not live_paths(module).all():
            result = shrink_o3_linear(module)
    else:
        if pairs:
            _shrink_pair(module)
        for name, child in list(module._modules.items()):
            if child is not None:
                module._modules[name] = _replace(child, own, pairs, done)
    done[id(module)] = (module, result)
    return result


def _shrink_pair(module: nn.Module) -> None:
    """Prune a product with external weights and the network beside it that makes them."""
    children = {name: child for name, child in module._modules.items() if child is not None}
    products = {n: c for n, c in children.items() if is_product(c) and not c.shared_weights}
    if len(products) != 1:
        return
    ((where, product),) = products.items()
    makers = {}
    for name, child in children.items():
        last = None if child is product else last_affine(child)
        if last is not None and len(last.matrix()) == product.weight_numel:
            makers[name] = child
    if len(makers) == 1:
        ((beside, radial),) = makers.items()
        module._modules[where], module._modules[beside] = shrink_weighted_tp(product, radial)


def _difference(module: nn.Module, small: nn.Module, example: Example, rtol: float) -> str | None:
    """Say how the outputs of two modules differ, or None if they agree."""
    problem = _compare(_outputs(module, example), _outputs, small, example, rtol)
    if problem is None:
        return None
    try:  # a network with large gains amplifies rounding; a wrong one differs in any precision
        exact = tree_map(_double, example)
        reference = _outputs(bake(module).double(), exact)
        if any(leaf.dtype == torch.float64 for leaf in reference):
            wide = bake(small).double()
            return _compare(reference, _outputs, wide, exact, rtol) and problem
    except (RuntimeError, TypeError, ValueError):
        pass
    return problem


def _compare(
    reference: list[Tensor], run: Any, small: nn.Module, example: Example, rtol: float
) -> str | None:
    try:
        found = run(small, example)
    except (RuntimeError, ValueError, IndexError) as error:
        return f"the smaller module cannot run ({str(error).splitlines()[0]})"
    if len(found) != len(reference):
        return f"there were {len(reference)} outputs and are {len(found)}"
    for old, new in zip(reference, found, strict=True):
        if old.shape != new.shape:
            return f"an output of shape {tuple(old.shape)} became {tuple(new.shape)}"
        if not (old.is_floating_point() or old.is_complex()):
            if not torch.equal(old, new):
                return "an integer output changed"
            continue
        scale = float(old.abs().nan_to_num(0.0, 0.0, 0.0).max()) if old.numel() else 0.0
        tolerance = max(rtol, 8 * torch.finfo(old.dtype).eps) * scale
        if not torch.allclose(old, new, rtol=0.0, atol=tolerance, equal_nan=True):
            worst = float((old - new).abs().max())
            return f"an output changed by {worst:.1e}, {worst / (scale or 1):.1e} of the largest"
    return None


def _outputs(module: nn.Module, example: Example) -> list[Tensor]:
    with evaluating(module), torch.random.fork_rng(devices=[]):
        # Gradients stay on: a module may differentiate inside its forward.
        torch.manual_seed(0)  # restored on leaving; a sampling module draws the same both times
        leaves = tree_leaves(call(module, example))
    return [leaf.detach() for leaf in leaves if isinstance(leaf, Tensor)]


def _double(leaf: Any) -> Any:
    wide = isinstance(leaf, Tensor) and leaf.is_floating_point()
    return leaf.double() if wide else leaf
