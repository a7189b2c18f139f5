"""Vina's energy of given poses, by exact sums over atom pairs.

Ligand-receptor energy, the ligand's own energy and the correction for rotatable bonds, kcal/mol,
lower is better. The terms are those of ``docking.terms``; ``table=True`` looks pairs up as Vina
does. Final scores of a search come from here, never from maps.

Source: Trott and Olson, J. Comput. Chem. 31 (2010) 455; Eberhardt et al., J. Chem. Inf. Model. 61
(2021) 3891 (Vina 1.2).
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.search.exact import pair_constants, pose_terms
from docking.terms import TERMS, VINA, ScoringFunction, pair_energy, pair_terms
from docking.vina_table import cap, table_terms

ATOM_CAP = 1000.0  # kcal/mol, Vina's limit on one ligand atom when it reports an energy
PAIR_CAP = 1000.0  # kcal/mol, and on one pair of a ligand's own atoms
PAIRS_PER_CHUNK = 1_000_000  # distances held at once: tens of megabytes


class VinaTerms(NamedTuple):
    """Energy of each pose and its parts, kcal/mol; every field has one value per pose.

    ``total = inter + torsion``, and ``inter`` is the sum of the five terms plus ``cap``. ``intra``
    is no part of the total: Vina takes the same amount off as the unbound state of a single pose.

    Attributes:
        total: What ``vina --score_only`` prints.
        inter: Ligand-receptor energy.
        intra: Energy of the ligand's own movable pairs.
        torsion: What the divisor for rotatable bonds adds.
        gauss1: First Gaussian.
        gauss2: Second Gaussian.
        repulsion: Steric overlap.
        hydrophobic: Hydrophobic contacts.
        hydrogen_bond: Hydrogen bonds and metal contacts.
        cap: What the cap on the positive energy of each atom takes off.
    """

    total: Any
    inter: Any
    intra: Any
    torsion: Any
    gauss1: Any
    gauss2: Any
    repulsion: Any
    hydrophobic: Any
    hydrogen_bond: Any
    cap: Any


def contacts(
    x: Float[Tensor, "n 3"], y: Float[Tensor, "m 3"], cutoff: float
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """Indices of all pairs of ``x`` and ``y`` closer than ``cutoff``, ordered by ``x``."""
    near = ((y > x.amin(0) - cutoff) & (y < x.amax(0) + cutoff)).all(1).nonzero()[:, 0]
    y = y[near]
    rows = max(1, PAIRS_PER_CHUNK // max(1, len(y)))
    pairs = []
    for start in range(0, len(x), rows):
        block = x[start : start + rows]
        # Differences axis by axis: a matrix product would lose digits far from the origin.
        square = (block[:, :1] - y[:, 0]).square_()
        for axis in (1, 2):
            square += (block[:, axis, None] - y[:, axis]).square_()
        i, j = (square < cutoff**2).nonzero(as_tuple=True)
        pairs.append((i + start, near[j]))
    return torch.cat([i for i, _ in pairs]), torch.cat([j for _, j in pairs])


def atom_terms(
    x: Float[Tensor, "p n 3"],
    types: Int[Tensor, " n"],
    receptor_x: Float[Tensor, "m 3"],
    receptor_types: Int[Tensor, " m"],
    *,
    function: ScoringFunction = VINA,
    table: bool = False,
) -> Float[Tensor, "p n terms"]:
    """Weighted terms of every ligand atom in every pose, before any cap, kcal/mol.

    Args:
        x: Poses, angstrom.
        types: Ligand atom types; negative ones (hydrogens) get zeros.
        receptor_x: Receptor atoms, angstrom.
        receptor_types: Receptor atom types; negative ones are passed over.
        function: Constants.
        table: Look pairs up as Vina does; no gradient then.

    Returns:
        Energies in the order of ``TERMS``, differentiable in ``x`` and ``receptor_x``.
    """
    poses, atoms = x.shape[:2]
    out = x.new_zeros(poses * atoms, len(TERMS))
    active = (types >= 0).nonzero()[:, 0]
    solid = (receptor_types >= 0).nonzero()[:, 0]
    if poses and len(active) and len(solid):
        y, kinds_y = receptor_x[solid].to(x), receptor_types[solid]
        if not table and _plain(x, y):
            return _compiled_terms(x, types, y, kinds_y, function)
        flat = x[:, active].reshape(-1, 3)
        i, j = contacts(flat.detach(), y.detach(), function.cutoff)
        pose, atom = i // len(active), active[i % len(active)]
        r = (flat[i] - y[j]).square().sum(-1).clamp(min=1e-12).sqrt()
        kinds = types[atom], kinds_y[j]
        if table:
            energy = table_terms(r, *kinds, function=function)
        else:
            scale = torch.tensor(function.weights, dtype=x.dtype, device=x.device)
            energy = pair_terms(r, *kinds, function=function) * scale
        out = out.index_add(0, pose * atoms + atom, energy)
    return out.reshape(poses, atoms, -1)


def _plain(x: Tensor, y: Tensor) -> bool:
    """Whether all there is to find are numbers, in double precision and on the CPU."""
    wanted = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
    return x.device.type == "cpu" and x.dtype == torch.float64 and not wanted


def _compiled_terms(
    x: Float[Tensor, "p n 3"],
    types: Int[Tensor, " n"],
    y: Float[Tensor, "m 3"],
    y_types: Int[Tensor, " m"],
    function: ScoringFunction,
) -> Float[Tensor, "p n terms"]:
    poses, places = x.detach().contiguous().numpy(), y.detach().numpy()
    near = (places > poses.min((0, 1)) - function.cutoff) & (
        places < poses.max((0, 1)) + function.cutoff
    )
    chosen = np.flatnonzero(near.all(1))
    out = np.zeros((*poses.shape[:2], len(TERMS)))
    kinds = types.to(torch.int64).numpy(), y_types.to(torch.int64).numpy()[chosen]
    pose_terms(poses, kinds[0], places[chosen], kinds[1], pair_constants(function), out)
    return torch.as_tensor(out)


def intermolecular(
    x: Float[Tensor, "p n 3"],
    types: Int[Tensor, " n"],
    receptor_x: Float[Tensor, "m 3"],
    receptor_types: Int[Tensor, " m"],
    *,
    function: ScoringFunction = VINA,
    table: bool = False,
    limit: float = ATOM_CAP,
) -> Float[Tensor, " p"]:
    """Ligand-receptor energy of each pose, each atom under the cap ``limit``, kcal/mol."""
    terms = atom_terms(x, types, receptor_x, receptor_types, function=function, table=table)
    return cap(terms.sum(-1), limit).sum(-1)


def intramolecular(
    x: Float[Tensor, "p n 3"],
    types: Int[Tensor, " n"],
    pairs: Int[Tensor, "k 2"],
    *,
    function: ScoringFunction = VINA,
    table: bool = False,
    limit: float = PAIR_CAP,
) -> Float[Tensor, " p"]:
    """Energy of a ligand's own pairs in each pose, each pair under the cap, kcal/mol.

    Args:
        x: Poses, angstrom.
        types: Ligand atom types.
        pairs: Which pairs count, as ``TorsionTree.movable_pairs`` finds them.
        function: Constants.
        table: Look pairs up as Vina does; no gradient then.
        limit: Cap on the positive energy of one pair, kcal/mol.
    """
    i, j = pairs[:, 0], pairs[:, 1]
    # The floor keeps the gradient of the square root finite for atoms on top of each other.
    r = (x[:, i] - x[:, j]).square().sum(-1).clamp(min=1e-12).sqrt()
    type_i, type_j = types[i].expand_as(r), types[j].expand_as(r)
    if table:
        energy = table_terms(r, type_i, type_j, function=function).sum(-1)
    else:
        energy = pair_energy(r, type_i, type_j, function=function)
    return cap(energy, limit).sum(-1)


def vina_energy(
    receptor: Receptor,
    ligand: Ligand,
    coords: Any = None,
    *,
    table: bool = False,
    terms: bool = False,
    function: ScoringFunction = VINA,
) -> Any:
    """Energy that ``vina --score_only`` prints for each pose, kcal/mol; lower is better.

    Args:
        receptor: The receptor, all of it.
        ligand: The ligand; its own coordinates are used when ``coords`` is left out.
        coords: One pose ``(n, 3)`` or several ``(p, n, 3)``, angstrom, all atoms in the ligand's
            order; an array, or a tensor through which gradients flow.
        table: Look pairs up as Vina does: agrees with the ``vina`` package to its three decimals
            but is constant inside a bin. Exact pair functions otherwise.
        terms: Also return the parts.
        function: Constants; ``docking.terms.VINARDO`` for the other published set.

    Returns:
        Totals ``(p,)``, or a scalar for one pose; with ``terms`` a ``VinaTerms`` of such values.
        Float64 arrays, or tensors when ``coords`` is one.

    Raises:
        ValueError: If there are no coordinates, their shape does not fit or one is not finite.
    """
    given = ligand.coords if coords is None else coords
    if given is None:
        raise ValueError(f"ligand {ligand.name!r} has no 3-D coordinates: pass coords")
    x = given if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given, dtype=float))
    atoms = len(ligand.vina_type)
    if x.ndim not in (2, 3) or tuple(x.shape[-2:]) != (atoms, 3):
        given_shape = tuple(x.shape)
        raise ValueError(f"coords must be ({atoms}, 3) or (poses, {atoms}, 3), got {given_shape}")
    if not x.isfinite().all():
        raise ValueError("coords must be finite, got NaN or infinity")
    poses, kinds = x.reshape(-1, atoms, 3), torch.as_tensor(ligand.vina_type, device=x.device)
    receptor_x = torch.as_tensor(receptor.positions, device=x.device)
    receptor_kinds = torch.as_tensor(receptor.vina_type, device=x.device)
    how: dict[str, Any] = {"function": function, "table": table}
    by_atom = atom_terms(poses, kinds, receptor_x, receptor_kinds, **how)
    inter = cap(by_atom.sum(-1), ATOM_CAP).sum(-1)
    total = inter / function.torsion_divisor(ligand.num_torsions)
    parts = [total]
    if terms:
        pairs = torch.as_tensor(ligand.tree.movable_pairs(ligand.bonds, ligand.heavy))
        own = intramolecular(poses, kinds, pairs.to(x.device), **how)
        by_term = by_atom.sum(1)
        off = inter - by_term.sum(-1)
        parts += [inter, own, total - inter, *by_term.unbind(-1), off]
    shaped: list[Any] = [part.reshape(x.shape[:-2]) for part in parts]
    if not isinstance(given, Tensor):
        shaped = [part.numpy() for part in shaped]
    return VinaTerms(*shaped) if terms else shaped[0]
