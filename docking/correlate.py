"""Every translation, or every rotation, of a ligand's field against a receptor's at once.

``score(R, t) = sum_c integral of receptor_c(x) * ligand_c(R^-1 (x - t)) dx``; higher is better.

``correlate_rotations`` lives in ``docking.rotational``.

Sources: Katchalski-Katzir et al., PNAS 89 (1992) 2195, for the correlation theorem; Jing, Jaakkola
& Berger, ICLR 2024, arXiv:2312.04323, section 3.3, for fields of many channels.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from docking.grid import Grid, HalfSphere
from docking.inverse import Plan, Room, search
from docking.rotation import RigidMotion, cubic_orbits, cubic_rotations
from docking.rotational import RotationScores, correlate_rotations
from docking.scalar_field import ScalarField
from docking.spectrum import LANES, LaneSpectra, Scratch

__all__ = [
    "ReceptorSpectrum",
    "RotationScores",
    "TranslationScores",
    "correlate_rotations",
    "correlate_translations",
    "translation_maps",
]

Transform = Literal["compiled", "matrix"]


@dataclass(frozen=True, eq=False)
class ReceptorSpectrum:
    """A receptor's spectrum on a grid, computed once and correlated with many ligands.

    Args:
        field: The receptor's field.
        grid: Where ligands are tried; translations are relative to its centre. Nothing wraps
            around as long as it is wider than search window, ligand and fields' reach together.
        k_max: Largest wave number kept, radians per angstrom; None keeps all the grid resolves.
    """

    field: ScalarField
    grid: Grid
    k_max: float | None = None

    @cached_property
    def sphere(self) -> HalfSphere:
        """The wave vectors."""
        return HalfSphere(self.grid, self.k_max)

    @cached_property
    def slots(self) -> Float[Tensor, "slots parts"]:
        """Spectrum by slot, real parts of all channels, then imaginary parts."""
        center = self.field.positions.new_tensor(self.grid.center)
        return self.field.translated(-center).spectra(self.sphere)[..., 0]

    @cached_property
    def turned(self) -> Float[Tensor, "count parts turns_parts"]:
        """Matrices from a ligand's spectrum to the score's, for the 24 turns of the cube.

        Column 2g is the real part, column 2g + 1 the imaginary part of ``P(g k) conj(L(k))``.
        """
        slot, sign = (t.to(self.slots.device) for t in self.sphere.turned)
        valid = self.sphere.slot_of.to(slot.device)
        real, imag = self.slots.detach()[slot[:, valid]].chunk(2, dim=-1)
        imag = imag * sign[:, valid, None].to(imag)
        columns = torch.stack([torch.cat([real, imag], -1), torch.cat([imag, -real], -1)], dim=1)
        return (columns.flatten(0, 1).permute(1, 2, 0) * self.grid.k_step**3).contiguous()

    @cached_property
    def pairs(self) -> Float[np.ndarray, "slots parts"]:
        """Spectrum by slot times the volume element; real and imaginary parts by channel."""
        channels = self.field.channels
        parts = self.slots.detach().cpu().unflatten(1, (2, channels)).mT.flatten(1)
        # Compiled code takes two channels at a time.
        parts = torch.nn.functional.pad(parts, (0, 2 * (channels % 2)))
        return (parts * self.grid.k_step**3).numpy()


@dataclass(frozen=True, eq=False)
class TranslationScores:
    """The best translation of every rotation.

    Attributes:
        rotations: ``(r, 3, 3)``.
        scores: Best score of each rotation, ``(r,)``.
        shifts: Grid shift of the ligand's centre from the grid's centre, ``(r, 3)``.
        motions: Rigid motions of the ligand's coordinates that have these scores.
    """

    rotations: Tensor
    scores: Tensor
    shifts: Tensor
    motions: RigidMotion

    @property
    def best(self) -> int:
        """Index of the best rotation."""
        return int(self.scores.argmax())


def translation_maps(
    receptor: ReceptorSpectrum, ligand: ScalarField, rotations: Float[Tensor, "r 3 3"]
) -> Float[Tensor, "r x y z"]:
    """Scores of all shifts of the grid; differentiable in both fields and the rotations.

    Entry ``[r, i, j, k]`` has the ligand's centre, ``ligand.center``, at the grid's centre plus
    ``grid.shift((i, j, k))``. A softmax over the last three axes is the exact distribution of the
    translation given the rotation.
    """
    grid, sphere = receptor.grid, receptor.sphere
    centered = ligand.translated(-ligand.center)
    parts = centered.spectra(sphere, rotations).unflatten(1, (2, -1))
    other = receptor.slots.unflatten(1, (2, -1))
    p, q = (torch.complex(t[:, 0], t[:, 1]) for t in (other, parts))
    product = (p[..., None] * q.conj()).sum(1)[sphere.slot_of.to(p.device)].T
    n = grid.points
    full = product.new_zeros(len(rotations), n * n * (n // 2 + 1))
    place = sphere.spectrum_index.to(full.device).expand(len(rotations), -1)
    full = full.scatter(1, place, product).view(-1, n, n, n // 2 + 1)
    maps = torch.fft.irfftn(full, s=(n, n, n), dim=(1, 2, 3), norm="forward")
    return maps * grid.k_step**3


@torch.no_grad()
def correlate_translations(
    receptor: ReceptorSpectrum,
    ligand: ScalarField,
    rotations: Float[Tensor, "r 3 3"],
    *,
    window: float | None = None,
    transform: Transform | None = None,
) -> TranslationScores:
    """Find the best translation of every rotation by exhaustive correlation.

    Rotations that differ by a rotation of the cube share one ligand spectrum (24 do in
    ``cubic_grid``, 8 in ``hopf_grid``), channels are summed before the one inverse transform, and
    only the wave vectors of the receptor's sphere are ever touched.

    Args:
        receptor: The receptor's spectrum.
        ligand: The ligand's field; it turns about its centre.
        rotations: Rotations to try.
        window: Largest shift along each axis, angstrom; None searches the whole periodic grid.
        transform: ``"compiled"`` runs on the processor, in as many threads as torch is set to;
            ``"matrix"`` multiplies by rows of the Fourier matrix, on any device. Default: compiled
            if the fields are on the CPU.

    Raises:
        ValueError: If the fields have different channels, the window is negative or too wide, or
            the compiled transform is asked for elsewhere than on the CPU.
    """
    grid, device = receptor.grid, ligand.positions.device
    if receptor.field.channels != ligand.channels:
        raise ValueError(
            f"channels must agree, got {receptor.field.channels} and {ligand.channels}"
        )
    if window is not None and not 0 <= window <= grid.extent / 2 - grid.spacing:
        raise ValueError(
            f"window must lie in [0, {grid.extent / 2 - grid.spacing:g}] angstrom, got {window}"
        )
    if transform == "compiled" and device.type != "cpu":
        raise ValueError(f"the compiled transform needs fields on the CPU, got {device}")
    half = None if window is None else int(window / grid.spacing + 1e-9)
    fast = transform == "compiled" or (transform is None and device.type == "cpu")
    find = (_Compiled if fast else _Matrix)(receptor, ligand.translated(-ligand.center), half)
    orbits = cubic_orbits(rotations)
    scores = ligand.positions.new_empty(len(rotations))
    shifts = torch.empty(len(rotations), 3, dtype=torch.int64, device=device)
    group = cubic_rotations().to(torch.int64)

    @torch.no_grad()  # a thread has its own switch
    def run(batch: tuple[Tensor, Tensor, Tensor]) -> None:
        turns, bases, members = batch
        best, shift = find(orbits.base[bases], turns)
        # A map found for base g^-1 R is the map of R seen from the turned grid.
        shift = torch.einsum("gij,bgj->bgi", group[turns], shift)
        scores[members.flatten()] = best.flatten()
        shifts[members.flatten()] = shift.flatten(0, 1).to(device)

    batches = _batches(orbits.base_of, orbits.turn_of, find.bases)
    with ThreadPoolExecutor(torch.get_num_threads() if fast else 1) as pool:
        list(pool.map(run, batches))
    n = grid.points
    shifts = (shifts + n // 2).remainder(n) - n // 2
    places = grid.shift(shifts) + scores.new_tensor(grid.center, dtype=torch.float64)
    turned_center = rotations.to(torch.float64) @ ligand.center.to(torch.float64)
    motions = RigidMotion(rotations, (places - turned_center).to(rotations))
    return TranslationScores(rotations, scores, shifts, motions)


def _batches(base_of: Tensor, turn_of: Tensor, size: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Group orbits that need the same turns: (turns, bases, index of rotation[base, turn])."""
    bases, turns = base_of.cpu().numpy(), turn_of.cpu().numpy()
    order = np.lexsort((turns, bases))
    starts = np.flatnonzero(np.r_[True, np.diff(bases[order]) != 0])
    alike: dict[bytes, list[np.ndarray]] = {}
    for member in np.split(order, starts[1:]):
        alike.setdefault(turns[member].tobytes(), []).append(member)
    out = []
    for found in alike.values():
        for start in range(0, len(found), size):
            members = np.stack(found[start : start + size])
            first, base = (
                torch.from_numpy(turns[members[0]]),
                torch.from_numpy(bases[members[:, 0]]),
            )
            out.append((first, base, torch.from_numpy(members)))
    return out


class _Compiled:
    """Best shifts of up to ``LANES`` bases and any turns, by compiled code."""

    bases = LANES

    def __init__(self, receptor: ReceptorSpectrum, ligand: ScalarField, half: int | None) -> None:
        self.spectra = LaneSpectra(
            ligand.coefficients, ligand.positions, ligand.basis, receptor.sphere
        )
        dtype = self.spectra.weights.dtype
        self.receptor = receptor.pairs.astype(dtype)
        slot, sign = receptor.sphere.turned_rows
        self.slot, self.sign = slot.numpy(), sign.numpy().astype(dtype)
        self.plan = Plan.of(receptor.sphere, half, dtype)
        self.rooms: list[tuple[int, Room]] = []

    def __call__(self, rotations: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (bases, turns) and shifts (bases, turns, 3)."""
        ligand, count = self.spectra(rotations), len(rotations)
        # Copies by words of 16 bytes need a multiple of four.
        lanes = -(-count // 4) * 4
        held, room = self.rooms.pop() if self.rooms else (lanes, Room.of(self.plan))
        if held != lanes:
            room.middle.fill(0)
        chosen = turns.numpy()
        best, place = search(
            self.receptor, self.slot[chosen], self.sign[chosen], ligand, self.plan, room, lanes
        )
        self.rooms.append((lanes, room))
        scores, shifts = torch.from_numpy(best), torch.from_numpy(place) - self.plan.origin
        return scores[:, :count].T, shifts[:, :count].transpose(0, 1)


class _Matrix:
    """Best shifts by products with the needed rows of the Fourier matrix, on any device."""

    bases = 8

    def __init__(self, receptor: ReceptorSpectrum, ligand: ScalarField, half: int | None) -> None:
        sphere = receptor.sphere
        n, reach = sphere.grid.points, sphere.reach
        self.sphere, self.ligand, self.turned = sphere, ligand, receptor.turned
        self.scratch = Scratch(ligand.positions)
        self.shifts = torch.arange(n) if half is None else torch.arange(-half, half + 1)
        phase = self.shifts[:, None] * torch.arange(-reach, reach + 1)
        phase = phase.to(torch.float64) * (2 * math.pi / n)
        cos, sin = torch.cos(phase), torch.sin(phase)
        # (wave vector, part) -> (part, shift), as a right and as a left factor.
        first = torch.stack([torch.cat([cos, sin]), torch.cat([-sin, cos])]).permute(2, 0, 1)
        self.first = first.flatten(0, 1).contiguous().to(ligand.positions)
        second = torch.cat([torch.stack([cos, -sin], 2), torch.stack([sin, cos], 2)])
        self.second = second.flatten(1).to(ligand.positions)
        # Each vector off the plane k_z = 0 stands for its negative too.
        twice = torch.where(torch.arange(reach + 1) > 0, 2.0, 1.0)
        last = torch.stack([cos[:, reach:] * twice, -sin[:, reach:] * twice], 2)
        self.last = last.flatten(1).to(ligand.positions)

    def __call__(self, rotations: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (bases, turns) and shifts (bases, turns, 3)."""
        sphere, side, wide = self.sphere, 2 * self.sphere.reach + 1, len(self.shifts)
        parts = self.ligand.spectra(sphere, rotations, scratch=self.scratch)
        parts = parts.index_select(0, sphere.slot_of.to(parts.device)).mT
        columns = torch.stack([2 * turns, 2 * turns + 1], 1).flatten().to(parts.device)
        product = torch.bmm(parts, self.turned[:, :, columns]).unflatten(2, (-1, 2))
        found = []
        for maps in product.unbind(1):
            box = maps.new_zeros(len(turns), side // 2 * side * side + side * side, 2)
            box[:, sphere.compact_index.to(box.device)] = maps.transpose(0, 1)
            x = box.view(-1, 2 * side) @ self.first
            y = self.second @ x.view(-1, 2 * side, wide)
            maps = self.last @ y.view(len(turns), side + 1, wide * wide)
            found.append(maps.flatten(1).max(1))
        best = torch.stack([value for value, _ in found])
        index = torch.stack([place for _, place in found]).cpu()
        place = torch.stack([index % wide, index // wide % wide, index // wide**2], dim=-1)
        return best, self.shifts[place]
