"""Vina's lookup table of pair energies, emulated.

Vina does not evaluate its terms at the distance of a pair: it divides the squared distance into
bins of 1/32 square angstrom and takes the mean of the energies at the two ends of the bin. The
table follows it to rounding; the exact functions differ from it by up to about 0.01 kcal/mol a
pose. Vina's cap on the energy of one atom is here too.
"""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.terms import VINA, ScoringFunction, pair_terms
from docking.typing import RADIUS

BINS_PER_SQUARE_ANGSTROM = 32


@lru_cache(maxsize=4)
def lookup_table(function: ScoringFunction = VINA) -> Float[Tensor, "types types bins terms"]:
    """Weighted terms by type, type and bin of the squared distance, kcal/mol, float64."""
    types = torch.arange(len(RADIUS))
    bins = round(BINS_PER_SQUARE_ANGSTROM * function.cutoff**2)
    r = (torch.arange(bins + 1, dtype=torch.float64) / BINS_PER_SQUARE_ANGSTROM).sqrt()
    grid = torch.broadcast_tensors(r, types[:, None, None], types[None, :, None])
    ends = pair_terms(*grid, function=function) * torch.tensor(function.weights, dtype=r.dtype)
    # The last end lies on the cut-off, where the energy is zero: Vina halves its last bin.
    return (ends[..., 1:, :] + ends[..., :-1, :]) / 2


def table_terms(
    r: Float[Tensor, "*pairs"],
    type_i: Int[Tensor, "*pairs"],
    type_j: Int[Tensor, "*pairs"],
    *,
    function: ScoringFunction = VINA,
) -> Float[Tensor, "*pairs terms"]:
    """Weighted terms of atom pairs as Vina looks them up, kcal/mol.

    Constant inside a bin, so nothing is recorded for autograd.
    """
    table = lookup_table(function).to(r.device)
    square = r.detach() ** 2
    index = (square * BINS_PER_SQUARE_ANGSTROM).long().clamp(max=table.shape[2] - 1)
    inside = square < function.cutoff**2
    return (table[type_i, type_j, index] * inside[..., None]).to(r.dtype)


def cap(energy: Float[Tensor, "*batch"], limit: float) -> Float[Tensor, "*batch"]:
    """Bend positive energies towards ``limit``: ``e * limit / (limit + e)``; others stay.

    Differentiable; the slope at zero is one from both sides.
    """
    if not limit > 0:
        raise ValueError(f"limit must be positive, got {limit}")
    # Not a product with the ratio: an infinite limit means no cap.
    positive = energy.clamp(min=0.0)
    return energy.clamp(max=0.0) + positive / (1 + positive / limit)
