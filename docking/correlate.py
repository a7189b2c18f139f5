"""Every translation, or every rotation, of a ligand's field against a receptor's at once.

``score(R, t) = sum_c integral of receptor_c(x) * ligand_c(R^-1 (x - t)) dx``; higher is better.

``correlate_translations`` lives here, ``correlate_rotations`` in ``docking.rotational``. One thing,
longer than 300 lines: the inverse transforms to choose from belong to this one step.

Sources: Katchalski-Katzir et al., PNAS 89 (1992) 2195, for the correlation theorem; Jing, Jaakkola
& Berger, ICLR 2024, arXiv:2312.04323, section 3.3, for fields of many channels.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.grid import Grid, HalfSphere
from docking.rotation import RigidMotion, cubic_orbits, cubic_rotations
from docking.rotational import RotationScores, correlate_rotations
from docking.scalar_field import ScalarField
from docking.spectrum import Scratch

__all__ = [
    "ReceptorSpectrum",
    "RotationScores",
    "TranslationScores",
    "correlate_rotations",
    "correlate_translations",
    "translation_maps",
]

Transform = Literal["matrix", "fft", "fftw"]
BASES = 8  # orbits whose spectra are held at once
TURNS = 2  # maps transformed at once; their intermediates fill a core's second-level cache


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
    transform: Transform = "matrix",
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
        transform: ``"matrix"`` multiplies by the few rows of the Fourier matrix that are needed,
            ``"fft"`` is SciPy's, ``"fftw"`` needs pyfftw (GPL).

    Raises:
        ValueError: If the fields have different channels or the window is negative or too wide.
    """
    grid, sphere = receptor.grid, receptor.sphere
    if receptor.field.channels != ligand.channels:
        raise ValueError(
            f"channels must agree, got {receptor.field.channels} and {ligand.channels}"
        )
    if window is not None and not 0 <= window <= grid.extent / 2 - grid.spacing:
        raise ValueError(
            f"window must lie in [0, {grid.extent / 2 - grid.spacing:g}] angstrom, got {window}"
        )
    half = None if window is None else int(window / grid.spacing + 1e-9)
    orbits = cubic_orbits(rotations)
    centered = ligand.translated(-ligand.center)
    scores = centered.positions.new_empty(len(rotations))
    shifts = torch.empty(len(rotations), 3, dtype=torch.int64, device=scores.device)
    scratch = Scratch(centered.positions)
    inverse: Any = _INVERSES[transform](sphere, half, scratch)
    group = cubic_rotations().to(torch.int64)
    for turns, bases, members in _batches(orbits.base_of, orbits.turn_of):
        matrices = receptor.turned
        if not torch.equal(turns, torch.arange(len(group))):
            columns = torch.stack([2 * turns, 2 * turns + 1], 1).flatten()
            matrices = matrices[:, :, columns.to(matrices.device)]
        for start in range(0, len(bases), BASES):
            some = slice(start, start + BASES)
            parts = centered.spectra(sphere, orbits.base[bases[some]], scratch=scratch)
            parts = parts.index_select(0, sphere.slot_of.to(parts.device)).mT
            size = (len(parts), parts.shape[1], matrices.shape[2])
            product = torch.bmm(parts, matrices, out=scratch("product", *size))
            product = torch.view_as_complex(product.unflatten(2, (-1, 2)))
            found = [inverse(product[:, i].T) for i in range(parts.shape[1])]
            best, shift = (torch.stack(t) for t in zip(*found, strict=True))
            # A map found for base g^-1 R is the map of R seen from the turned grid.
            shift = torch.einsum("gij,bgj->bgi", group[turns], shift)
            index = members[some].flatten().to(scores.device)
            scores[index] = best.flatten()
            shifts[index] = shift.flatten(0, 1).to(scores.device)
    if half is None:
        n = grid.points
        shifts = (shifts + n // 2).remainder(n) - n // 2
    places = grid.shift(shifts) + scores.new_tensor(grid.center, dtype=torch.float64)
    turned_center = rotations.to(torch.float64) @ ligand.center.to(torch.float64)
    motions = RigidMotion(rotations, (places - turned_center).to(rotations))
    return TranslationScores(rotations, scores, shifts, motions)


def _batches(base_of: Tensor, turn_of: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Group the orbits that need the same turns: (turns, bases, index of rotation[base, turn])."""
    bases, turns = base_of.cpu().numpy(), turn_of.cpu().numpy()
    order = np.lexsort((turns, bases))
    starts = np.flatnonzero(np.r_[True, np.diff(bases[order]) != 0])
    alike: dict[bytes, list[np.ndarray]] = {}
    for member in np.split(order, starts[1:]):
        alike.setdefault(turns[member].tobytes(), []).append(member)
    out = []
    for found in alike.values():
        members = np.stack(found)
        first, base = turns[members[0]], bases[members[:, 0]]
        out.append((torch.from_numpy(first), torch.from_numpy(base), torch.from_numpy(members)))
    return out


class _Matrix:
    """Inverse transforms as products with the needed rows of the Fourier matrix."""

    def __init__(self, sphere: HalfSphere, half: int | None, scratch: Scratch) -> None:
        n, reach = sphere.grid.points, sphere.reach
        self.scratch, self.side, self.deep = scratch, 2 * reach + 1, reach + 1
        self.place = sphere.compact_index.to(scratch.like.device)
        self.shifts = torch.arange(n) if half is None else torch.arange(-half, half + 1)
        phase = self.shifts[:, None] * torch.arange(-reach, reach + 1)
        phase = phase.to(torch.float64) * (2 * math.pi / n)
        cos, sin = torch.cos(phase), torch.sin(phase)
        # (wave vector, part) -> (part, shift), as a right and as a left factor.
        first = torch.stack([torch.cat([cos, sin]), torch.cat([-sin, cos])]).permute(2, 0, 1)
        self.first = first.flatten(0, 1).contiguous().to(scratch.like)
        second = torch.cat([torch.stack([cos, -sin], 2), torch.stack([sin, cos], 2)])
        self.second = second.flatten(1).to(scratch.like)
        # Each vector off the plane k_z = 0 stands for its negative too.
        twice = torch.where(torch.arange(reach + 1) > 0, 2.0, 1.0)
        last = torch.stack([cos[:, reach:] * twice, -sin[:, reach:] * twice], 2)
        self.last = last.flatten(1).to(scratch.like)
        self.box: Tensor | None = None

    def __call__(self, product: Tensor) -> tuple[Tensor, Tensor]:
        side, deep, wide = self.side, self.deep, len(self.shifts)
        if self.box is None or len(self.box) != len(product):
            self.box = product.new_zeros(len(product), deep * side * side)
        _words(self.box)[:, self.place] = _words(product)
        best, index = [], []
        for box in torch.view_as_real(self.box).split(TURNS):
            turns, out = len(box), self.scratch
            x = torch.mm(
                box.view(-1, 2 * side), self.first, out=out("x", turns * deep * side, 2 * wide)
            ).view(-1, 2 * side, wide)
            y = torch.bmm(
                self.second.expand(len(x), -1, -1), x, out=out("y", len(x), 2 * wide, wide)
            ).view(turns, 2 * deep, wide * wide)
            maps = torch.bmm(
                self.last.expand(turns, -1, -1), y, out=out("maps", turns, wide, wide * wide)
            )
            value, place = _top(maps.flatten(1))
            best.append(value)
            index.append(place)
        return torch.cat(best), self.shifts[_unravel(torch.cat(index), wide).flip(-1)]


class _Fast:
    """Inverse transforms by FFT over the whole grid."""

    def __init__(self, sphere: HalfSphere, half: int | None, scratch: Scratch) -> None:
        self.points, self.half = sphere.grid.points, half
        self.place = sphere.spectrum_index
        self.box: Tensor | None = None

    def irfftn(self, spectrum: np.ndarray) -> np.ndarray:
        """Unscaled inverse real transform over the last three axes."""
        from scipy.fft import irfftn

        n = self.points
        return irfftn(spectrum, s=(n, n, n), axes=(1, 2, 3), norm="forward")

    def __call__(self, product: Tensor) -> tuple[Tensor, Tensor]:
        n, deep = self.points, self.points // 2 + 1
        if self.box is None or len(self.box) != len(product):
            self.box = product.new_zeros(len(product), n * n * deep)
        _words(self.box)[:, self.place] = _words(product)
        best, index = [], []
        wide = n if self.half is None else 2 * self.half + 1
        for box in self.box.split(TURNS):
            maps = torch.from_numpy(self.irfftn(box.view(-1, n, n, deep).numpy()))
            if self.half is not None:
                maps = maps.roll((self.half,) * 3, (1, 2, 3))[:, :wide, :wide, :wide]
            value, place = _top(maps.flatten(1))
            best.append(value)
            index.append(place)
        return torch.cat(best), _unravel(torch.cat(index), wide) - (self.half or 0)


class _Fftw(_Fast):
    """The same by FFTW."""

    def irfftn(self, spectrum: np.ndarray) -> np.ndarray:
        """Unscaled inverse real transform over the last three axes."""
        try:
            from pyfftw.interfaces import cache
            from pyfftw.interfaces.scipy_fft import irfftn
        except ImportError as error:
            raise ImportError('transform="fftw" needs the package pyfftw') from error
        cache.enable()
        n = self.points
        return irfftn(
            spectrum, s=(n, n, n), axes=(1, 2, 3), norm="forward", planner_effort="FFTW_MEASURE"
        )


_INVERSES = {"matrix": _Matrix, "fft": _Fast, "fftw": _Fftw}


def _words(t: Tensor) -> Tensor:
    """The same memory as real words of the size of a complex number, which are moved faster."""
    return t.view(torch.float64) if t.dtype == torch.complex64 else t


def _top(maps: Float[Tensor, "r n"]) -> tuple[Tensor, Tensor]:
    """Largest value of each row and its place."""
    if maps.device.type != "cpu":
        return maps.max(1)
    # NumPy's argmax is vectorised on every machine; torch's is ten times slower here.
    place = torch.from_numpy(maps.numpy().argmax(1))
    return maps.gather(1, place[:, None])[:, 0], place


def _unravel(index: Int[Tensor, "*batch"], side: int) -> Int[Tensor, "*batch 3"]:
    index = index.cpu()
    return torch.stack([index // side**2, index // side % side, index % side], dim=-1)
