"""Sums of radial functions over receptor atoms at all points of a lattice.

The functions are tabulated on a fine radial mesh; a point's sum is a weighted sum of table rows,
one or two per receptor atom in reach, for all channels at once.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import embedding_bag

from docking.channels import NODES_PER_ANGSTROM, Channels
from docking.lattice import Lattice
from overparam.errors import InputError

BLOCK = 3.0  # angstrom: edge of the blocks of points that share a list of receptor atoms


def check_size(lattice: Lattice, maps: int, max_bytes: int) -> None:
    """Refuse maps above ``max_bytes``, naming the spacing that would fit."""
    size = 4 * maps * math.prod(n + 2 for n in lattice.shape)
    if size > max_bytes:
        extent = " x ".join(f"{e:.1f}" for e in lattice.high - lattice.low)
        fits = lattice.spacing * (size / max_bytes) ** (1 / 3)
        raise InputError(
            f"{maps} maps of a box of {extent} angstrom at a spacing of {lattice.spacing:g} take "
            f"{size / 2**20:.0f} MiB, more than {max_bytes / 2**20:.0f}: use a smaller box or a "
            f"spacing of {math.ceil(100 * fits) / 100:g}"
        )


def radial_sums(
    lattice: Lattice,
    positions: Float[np.ndarray, "m 3"],
    types: Int[np.ndarray, " m"],
    channels: Channels,
) -> Float[Tensor, "q x y z"]:
    """Sum each channel's radial function over the receptor atoms, at every lattice point.

    Args:
        lattice: Where.
        positions: Receptor atoms, angstrom.
        types: Their types, none negative.
        channels: Which functions.

    Returns:
        Values, float32, exact to about 1e-5 kcal/mol a pair.
    """
    emitters, row = np.unique(types, return_inverse=True)
    left, right = channels.table(torch.as_tensor(emitters))
    cells = left.shape[1] - 1
    left, right = left.float().flatten(0, 1), right.float().flatten(0, 1)
    values = torch.zeros(len(channels), *lattice.shape)
    blocks, ends = _blocks(lattice)
    reach = channels.function.cutoff + np.linalg.norm(ends[1] - ends[0], axis=1) / 2
    near = cKDTree(positions).query_ball_point((ends[0] + ends[1]) / 2, reach)
    offset = torch.as_tensor(row * (cells + 1), dtype=torch.int32)
    for block, found in zip(blocks, near, strict=True):
        if not found:
            continue
        atoms, axes = positions[found], [a[s] for a, s in zip(lattice.axes(), block, strict=True)]
        # Squared differences per axis in double precision: three small arrays, one large sum.
        dx, dy, dz = (
            torch.as_tensor((a[:, None] - atoms[:, k]) ** 2, dtype=torch.float32)
            for k, a in enumerate(axes)
        )
        r = (dx[:, None, None] + dy[:, None] + dz).flatten(0, 2).sqrt_()
        r = r.mul_(NODES_PER_ANGSTROM).clamp_(max=cells)
        index = r.to(torch.int32)
        r -= index
        index += offset[found]
        total = embedding_bag(index, right, mode="sum", per_sample_weights=r)
        total += embedding_bag(index, left, mode="sum", per_sample_weights=r.neg_().add_(1))
        values[(slice(None), *block)] = total.T.unflatten(1, [len(a) for a in axes])
    return values


def _blocks(lattice: Lattice) -> tuple[list[tuple[slice, ...]], np.ndarray]:
    """Blocks that tile the lattice, and the positions of their two end points."""
    edge = max(1, round(BLOCK / lattice.spacing))
    starts = [np.arange(0, n, edge) for n in lattice.shape]
    first = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, 3)
    last = np.minimum(first + edge, lattice.shape) - 1
    blocks = [
        tuple(slice(a, b + 1) for a, b in zip(*corners, strict=True))
        for corners in zip(first.tolist(), last.tolist(), strict=True)
    ]
    return blocks, lattice.low + lattice.spacing * np.stack((first, last))
