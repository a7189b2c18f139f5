"""Scores of all shifts and of all rotations from one Fourier transform of each field.

The receptor's spectrum on the wave vectors of a periodic cube is the dear part; both searches
share it. For shifts it is multiplied with the ligand's and transformed back. For rotations the
score is ``sum_lmn D_lmn(R) I_lmn`` as in ``docking.rotational``, its receptor side the same
spectrum summed against harmonics over the ball of wave vectors, which is a quadrature as exact as
the cube's periodicity.

Unlike ``docking.spectrum`` nothing is arranged by length: all wave vectors of a field are one
product of matrices, which is what autograd goes backward through fastest.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from docking.basis import RadialBasis
from docking.expansion import SphericalWaves, expand
from docking.grid import Grid, HalfSphere
from docking.harmonics import degrees, real_harmonics
from docking.rotational import EulerGrid, synthesize
from docking.scalar_field import ScalarField

FAINT = 1e-3
"""Of its largest value, below which a radial function's transform is left out."""
Spectrum = Float[Tensor, "parts c k"]


@dataclass(frozen=True)
class Band:
    """The wave vectors of a periodic cube up to a length, and what depends on them alone.

    Args:
        points: Points along an axis of the cube, at least 4.
        spacing: Their distance, angstrom: the distance of the shifts.
        k_max: Largest wave number, radians per angstrom; at most Nyquist.

    Raises:
        ValueError: If an argument is out of range.
    """

    points: int
    spacing: float = 1.0
    k_max: float = 2.5

    def __post_init__(self) -> None:
        _ = self.sphere

    @cached_property
    def grid(self) -> Grid:
        """The cube, its centre at the origin."""
        return Grid(self.points, self.spacing)

    @cached_property
    def sphere(self) -> HalfSphere:
        """One wave vector of each pair."""
        return HalfSphere(self.grid, self.k_max)

    @cached_property
    def vectors(self) -> Float[Tensor, "k 3"]:
        """Wave vectors, radians per angstrom."""
        return self.sphere.index.to(torch.float64) * self.grid.k_step

    @cached_property
    def weights(self) -> Float[Tensor, " k"]:
        """Volume element of each vector, doubled where it stands for its negative too."""
        twice = torch.where(self.sphere.index[:, 2] > 0, 2.0, 1.0).double()
        return twice * self.grid.k_step**3

    def tables(self, basis: RadialBasis, lmax: int, like: Tensor) -> list[Tensor]:
        """Transforms of each radial function, ``(lm, k)``, as far out as they matter.

        Beyond the last vector of a table all transforms are below ``FAINT`` of their largest
        values. Even degrees come first; the signs of ``(-i)**l`` (+1, -i, -1, +i) are included.

        Args:
            basis: Radial functions.
            lmax: Largest degree.
            like: A tensor whose precision and device the tables are to have.
        """
        return _tables(self, basis, lmax, like.dtype, like.device)  # type: ignore[arg-type]

    def spectrum(
        self, field: ScalarField, about: Float[Tensor, "3"], turns: Tensor | None = None
    ) -> Float[Tensor, "*r parts c k"]:
        """Unitary Fourier transform about a point, real and imaginary part.

        Differentiable in the coefficients.

        Args:
            field: The field.
            about: Origin of the transform, angstrom.
            turns: Rotations about that point, ``(r, 3, 3)``; default none, without the axis r.
        """
        if turns is not None:
            turned = [field.rotated(turn, about=about) for turn in turns]
            return torch.stack([self.spectrum(one, about) for one in turned])
        a = field.coefficients
        k = self.vectors.to(a)
        angle = (field.positions - about) @ k.T
        wave = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
        order, even = _even_first(field.lmax)
        total = a.new_zeros(2, field.channels, len(k))
        for j, table in enumerate(self.tables(field.basis, field.lmax, a)):
            width = table.shape[1]
            rows = a[:, :, j, order].permute(2, 1, 0).flatten(0, 1)
            sums = (rows @ wave[..., :width].flatten(1)).view(len(order), -1, 2, width)
            terms = sums * table[:, None, None]
            one, two = terms[:even].sum(0), terms[even:].sum(0)
            # Even degrees: cos - i sin; odd ones that times -i.
            part = torch.stack([one[:, 0] - two[:, 1], -one[:, 1] - two[:, 0]])
            total = total + torch.nn.functional.pad(part, (0, len(k) - width))
        return total

    def moved(self, spectrum: Spectrum, shift: Float[Tensor, "3"]) -> Spectrum:
        """The spectrum about a point that lies ``shift`` further, angstrom."""
        angle = self.vectors.to(spectrum) @ shift.to(spectrum)
        cos, sin = torch.cos(angle), torch.sin(angle)
        real, imag = spectrum.unbind(0)
        return torch.stack([real * cos - imag * sin, real * sin + imag * cos])

    def shifts(self, half: int) -> Float[Tensor, "x y z 3"]:
        """The lattice shifts up to ``half`` steps along each axis, angstrom."""
        axis = torch.arange(-half, half + 1, dtype=torch.float64) * self.spacing
        return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)

    def shift_scores(
        self,
        receptor: Spectrum,
        ligand: Float[Tensor, "r parts c k"],
        half: int,
    ) -> Float[Tensor, "r x y z"]:
        """Score of every shift of ``shifts`` of each turn of the ligand.

        Args:
            receptor: Spectrum about where the ligand's centre is without shift.
            ligand: Spectra about the ligand's centre.
            half: Largest shift, steps.
        """
        p, q = receptor[:, None], ligand.transpose(0, 1)
        real = (p[0] * q[0] + p[1] * q[1]).sum(1)
        imag = (p[1] * q[0] - p[0] * q[1]).sum(1)
        product = torch.complex(real, imag)
        n = self.points
        full = product.new_zeros(len(product), n * n * (n // 2 + 1))
        place = self.sphere.spectrum_index.to(full.device).expand(len(product), -1)
        full = full.scatter(1, place, product).view(-1, n, n, n // 2 + 1)
        maps = torch.fft.irfftn(full, s=(n, n, n), dim=(1, 2, 3), norm="forward")
        maps = maps * self.grid.k_step**3
        for axis in (1, 2, 3):
            ends = maps.narrow(axis, n - half, half), maps.narrow(axis, 0, half + 1)
            maps = torch.cat(ends, axis)
        return maps

    def rotation_scores(
        self,
        receptor: Spectrum,
        ligand: ScalarField,
        lmax: int,
        grid: EulerGrid,
    ) -> Float[Tensor, "beta alpha gamma"]:
        """Score of every rotation of the ligand about its centre.

        Args:
            receptor: Spectrum about where the ligand's centre is.
            ligand: The ligand's field.
            lmax: Largest degree of the ligand's expansion.
            grid: The rotations.
        """
        radius = float((ligand.positions - ligand.center).norm(dim=-1).max())
        waves = self._waves(radius, lmax)
        about = expand(ligand, ligand.center[None], waves)[0]
        return synthesize(self._expansion(receptor, waves)[None], about, grid)[0]

    def _waves(self, radius: float, lmax: int) -> SphericalWaves:
        # The ligand's waves are polynomials in k of a degree that grows with k r; eight more nodes
        # than that leave an interpolation error below single precision.
        count = 8 * math.ceil((8 + 0.75 * self.k_max * radius) / 8)
        return SphericalWaves(self.k_max, count, lmax)

    def _expansion(self, receptor: Spectrum, waves: SphericalWaves) -> Float[Tensor, "c i d"]:
        """What the ligand's expansion has to be multiplied with and summed for the score."""
        c, i = receptor.shape[1], waves.count
        to_nodes, even, odd, order = _ball(self, waves, receptor.dtype, receptor.device)
        real, imag = receptor.unbind(0)
        # conj((-i)**l) P: the real part for even degrees, minus the imaginary one for odd
        parts = [
            (part[:, None] * to_nodes).flatten(0, 1) @ shape
            for part, shape in ((real, even), (-imag, odd))
        ]
        return torch.cat(parts, -1).index_select(-1, order).unflatten(0, (c, i))


def _even_first(lmax: int) -> tuple[list[int], int]:
    degree = degrees(lmax)
    order = sorted(range(len(degree)), key=lambda i: degree[i] % 2)
    return order, sum(1 for d in degree if d % 2 == 0)


@lru_cache(maxsize=64)
def _tables(
    band: Band, basis: RadialBasis, lmax: int, dtype: torch.dtype, device: torch.device
) -> list[Tensor]:
    order, _ = _even_first(lmax)
    degree = torch.tensor(degrees(lmax))[order]
    length = band.vectors.norm(dim=-1)
    sign = torch.where(degree // 2 % 2 == 1, -1.0, 1.0)
    shape = real_harmonics(band.vectors, lmax)[:, order] * sign
    tables = []
    for radial in basis.transform(length, lmax).unbind(-2):
        strong = (radial.abs() > FAINT * radial.abs().amax(0)).any(1).nonzero()
        last = length[int(strong.max())]
        k = int((length <= last * (1 + 1e-9)).sum())  # whole shells
        tables.append((radial[:k, degree] * shape[:k]).T.contiguous().to(device, dtype))
    return tables


@lru_cache(maxsize=64)
def _ball(
    band: Band, waves: SphericalWaves, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """From wave vectors to nodes of a ligand's waves, weighted harmonics, and their order."""
    nodes, root = waves.nodes
    to_nodes = _lagrange(nodes, band.vectors.norm(dim=-1)) / root[:, None] * band.weights
    order, even = _even_first(waves.lmax)
    degree = torch.tensor(degrees(waves.lmax))
    sign = torch.where(degree // 2 % 2 == 1, -1.0, 1.0)
    shape = (real_harmonics(band.vectors, waves.lmax) * sign)[:, order].to(device, dtype)
    back = torch.argsort(torch.tensor(order)).to(device)
    return to_nodes.to(device, dtype), shape[:, :even], shape[:, even:], back


def _lagrange(nodes: Float[Tensor, " n"], x: Float[Tensor, " k"]) -> Float[Tensor, "n k"]:
    """Values at ``x`` of the polynomials that are one at one node and zero at the others."""
    gap = nodes[:, None] - nodes + torch.eye(len(nodes), dtype=nodes.dtype)
    scale = gap.abs().log().sum(1).neg()
    sign = gap.sign().prod(1)
    weight = sign * torch.exp(scale - scale.max())
    away = x - nodes[:, None]
    close = away.abs() < 1e-12
    terms = weight[:, None] / torch.where(close, 1.0, away)
    values = terms / terms.sum(0)
    return torch.where(close.any(0), close.to(values), values)
