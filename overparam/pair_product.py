"""A small tensor product as one matrix product, in place of a chain of small contractions."""

import copy
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, fx, nn

# Up to this many multiply-adds for each path, one dense matrix product over all pairs of inputs
# beat e3nn's chain of small contractions (both directions, 1 CPU thread, 100 and 2000 rows);
# beyond, the zeros of the matrix cost more than the short chain.
FUSE_LIMIT = 5000


def fuse_cost(product: Any) -> float:
    """Return the multiply-adds a row and path of the fused form; infinite where it is no use."""
    if not (product.internal_weights and product.shared_weights) or not product.instructions:
        return float("inf")
    if not isinstance(product._compiled_main_left_right, fx.GraphModule):
        return float("inf")  # scripted by the user's choice of e3nn's optimisation defaults
    pairs = product.irreps_in1.dim * product.irreps_in2.dim
    return pairs * product.irreps_out.dim / len(product.instructions)


@torch.no_grad()
def fuse_product(product: Any) -> None:
    """Replace the generated code of a product by :func:`pair_graph`, in place.

    The trilinear form is read off the generated code itself by running it on basis vectors, so
    that every connection mode and normalisation is covered.
    """
    exact = copy.deepcopy(product._compiled_main_left_right).double()
    device, dtype = product.output_mask.device, product.output_mask.dtype
    i, j, n = product.irreps_in1.dim, product.irreps_in2.dim, product.weight_numel
    x = torch.eye(i, dtype=torch.float64, device=device).repeat_interleave(j, 0)
    y = torch.eye(j, dtype=torch.float64, device=device).repeat(i, 1)
    bare = exact(x, y, x.new_zeros(n))
    owners, places, factors = [], [], []
    for owner in range(1 + n):  # owner 0 is the part without weights
        weights = x.new_zeros(n)
        if owner:
            weights[owner - 1] = 1
        form = (exact(x, y, weights) - bare if owner else bare).reshape(i, j, -1)
        place = (form.abs() > 1e-7 * form.abs().max()).nonzero()  # below: noise of the couplings
        owners.append(torch.full((len(place),), owner, device=device))
        places.append(place)
        factors.append(form[tuple(place.T)])
    entries = torch.cat([torch.cat(owners)[:, None], torch.cat(places)], 1)
    if len(entries):
        graph = pair_graph(entries, torch.cat(factors).to(dtype), j, product.irreps_out.dim)
        product._compiled_main_left_right = graph.to(device)


def pair_graph(
    entries: Int64[Tensor, "entries 4"], factor: Float[Tensor, " entries"], dim2: int, dim_out: int
) -> fx.GraphModule:
    """Write a tensor product as one matrix product over the pairs of components that occur.

    ``out[z, k] = sum_ij x1[z, i] x2[z, j] M(w)[ij, k]``; ``M`` is filled from the weights by the
    list of its nonzero entries, so gradients flow to the weights.

    Args:
        entries: Rows ``(1 + weight, i, j, k)`` of the nonzero coefficients; weight -1 means none.
        factor: Their values.
        dim2: Components of the second input.
        dim_out: Components of the output.

    Returns:
        A graph ``(*batch, i), (*batch, j), (weights,) -> (*batch, k)``, like those of e3nn.
    """
    owner, i, j, k = entries.unbind(1)
    columns, starts, rows = [], [], 0
    for second in range(dim2):
        # Slices are views and picks are copies: take the smallest slice that covers the places.
        used = i[j == second]
        a, b = (int(used.min()), int(used.max()) + 1) if len(used) else (0, 0)
        columns.append((a, b))
        starts.append(rows - a)
        rows += b - a
    place = (torch.tensor(starts, device=i.device)[j] + i) * dim_out + k
    root = nn.Module()
    for name, value in {"owner": owner.contiguous(), "place": place, "factor": factor}.items():
        root.register_buffer(name, value)

    graph = fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(graph)
    x1: Any
    x2: Any
    w: Any
    x1, x2, w = (fx.Proxy(graph.placeholder(name, Tensor), tracer) for name in ("x1", "x2", "w"))
    where, which, scale = (
        fx.Proxy(graph.get_attr(name), tracer) for name in ("place", "owner", "factor")
    )
    weights: Any = torch.cat([w.new_ones(1), w.reshape(-1)])
    matrix = w.new_zeros(rows * dim_out).index_add(0, where, scale * weights[which])
    pairs: Any = [x1[..., a:b] * x2[..., j : j + 1] for j, (a, b) in enumerate(columns) if b]
    out: Any = torch.cat(pairs, -1) @ matrix.reshape(rows, dim_out)
    graph.output(out.node, Tensor)
    graph.lint()
    return fx.GraphModule(root, graph, "tp_forward")
