"""Maps from coordinates to features that a field's first layer reads.

Every encoding states ``in_features``, ``out_features`` and ``keeps_scale``: whether its features
are raw coordinates, for which a first layer has a law of its own, or already waves.
"""

import itertools
import math
from operator import itemgetter

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fields.taylor import Taylor


class Encoding(nn.Module):
    """Base of the encodings: ``(*batch, in_features) -> (*batch, out_features)``.

    Attributes:
        in_features: Number of coordinates.
        out_features: Number of features, set by the subclass.
        keeps_scale: True when the features are the coordinates themselves.
    """

    keeps_scale: bool = False

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        if in_features < 1:
            raise ValueError(f"in_features must be at least 1, got {in_features}")
        self.in_features = in_features
        self.out_features = out_features

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch e"]:
        """Encode the last axis of ``x``."""
        raise NotImplementedError

    def taylor(self, t: Taylor) -> Taylor:
        """Carry an expansion of ``x`` through the encoding."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"{self.in_features} -> {self.out_features}"


class Identity(Encoding):
    """The coordinates as they are."""

    keeps_scale = True

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features, in_features)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Return ``x``."""
        return x

    def taylor(self, t: Taylor) -> Taylor:
        """Return the expansion as it is."""
        return t


def _waves(phase: Taylor) -> list[Taylor]:
    """Return the expansions of a phase's sine and cosine."""
    sine, cosine = torch.sin(phase.value), torch.cos(phase.value)
    return [phase.chain(sine, cosine, -sine), phase.chain(cosine, -sine, -cosine)]


class Positional(Encoding):
    """``[x, sin(2^i pi x_j), cos(2^i pi x_j)]`` for ``i < F``: octaves of each coordinate.

    Args:
        in_features: Number of coordinates.
        frequencies: Number F of octaves; None takes it from ``samples``, or 4 without those.
        samples: Samples along the shortest axis of the signal. The highest octave then stays
            below the sampling limit, ``F = floor(log2(samples / 4))``.

    Raises:
        ValueError: If both or a senseless number is given.

    Source: Mildenhall et al., "NeRF", ECCV 2020, section 5.1; the rule for F is that of the
    SIREN authors' released code.
    """

    rates: Tensor

    def __init__(
        self, in_features: int, *, frequencies: int | None = None, samples: int | None = None
    ) -> None:
        if frequencies is not None and samples is not None:
            raise ValueError(
                f"give frequencies or samples, not both, got {frequencies} and {samples}"
            )
        if frequencies is not None and frequencies < 1:
            raise ValueError(f"frequencies must be at least 1, got {frequencies}")
        if samples is not None and samples < 2:
            raise ValueError(f"samples must be at least 2, got {samples}")
        octaves = frequencies or 4
        if samples is not None:
            octaves = max(1, math.floor(math.log2(samples / 4)))
        super().__init__(in_features, in_features * (1 + 2 * octaves))
        self.frequencies = frequencies
        self.samples = samples
        self.octaves = octaves
        # Powers of two are exact in every precision; pi multiplies in the precision of x.
        self.register_buffer("rates", 2.0 ** torch.arange(octaves), persistent=False)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch e"]:
        """Encode the last axis of ``x``."""
        phase = self._phase(x)
        return torch.cat([x, torch.sin(phase), torch.cos(phase)], dim=-1)

    def taylor(self, t: Taylor) -> Taylor:
        """Carry an expansion of ``x`` through the waves."""
        return Taylor.cat([t, *_waves(t.linear(self._phase))])

    def _phase(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch e"]:
        return math.pi * (x[..., None] * self.rates).flatten(-2)


class GaussianFourier(Encoding):
    """``[sin(2 pi B x), cos(2 pi B x)]`` with the rows of B drawn once from N(0, sigma**2).

    Args:
        in_features: Number of coordinates.
        features: Number of rows of B; twice as many features come out.
        sigma: Standard deviation of the frequencies, cycles per unit of ``x``; positive.
        seed: Seed of B. B is kept in the state dict too, so that a checkpoint holds it.

    Source: Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low
    Dimensional Domains", NeurIPS 2020, section 6.
    """

    phases: Tensor

    def __init__(
        self, in_features: int, *, features: int = 128, sigma: float = 10.0, seed: int = 0
    ) -> None:
        if features < 1:
            raise ValueError(f"features must be at least 1, got {features}")
        if not (sigma > 0 and math.isfinite(sigma)):
            raise ValueError(f"sigma must be positive and finite, got {sigma}")
        super().__init__(in_features, 2 * features)
        self.features = features
        self.sigma = sigma
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        frequencies = sigma * torch.randn(features, in_features, generator=generator)
        self.register_buffer("phases", 2 * torch.pi * frequencies)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch e"]:
        """Encode the last axis of ``x``."""
        phase = nn.functional.linear(x, self.phases)
        return torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1)

    def taylor(self, t: Taylor) -> Taylor:
        """Carry an expansion of ``x`` through the waves."""
        return Taylor.cat(_waves(t.affine(self.phases)))

    def extra_repr(self) -> str:
        """Show the sizes and what the frequencies were drawn with."""
        return f"{super().extra_repr()}, sigma={self.sigma:g}, seed={self.seed}"


class HashGrid(Encoding):
    """Learned feature tables on grids of several resolutions, interpolated at ``x``.

    Level ``l`` divides [-1, 1] into ``coarsest * growth**l`` cells an axis and blends the features
    of the cell's corners multilinearly. A level with more corners than ``2**log2_table`` rows
    shares rows by a spatial hash; a coarser level has a row for each corner. Points outside
    [-1, 1] take the value at the nearest edge.

    The features are continuous with jumps in slope between cells; ``smooth`` blends by
    ``3 t**2 - 2 t**3`` and makes slopes continuous (they vanish at the corners). Second
    derivatives jump either way: supervise values or gradients through it, not Laplacians.

    Args:
        in_features: Number of coordinates, 2 or 3.
        levels: Number of grids.
        features: Features of each level.
        log2_table: Binary logarithm of the most rows a level may have.
        coarsest: Cells an axis of the first level.
        finest: Cells an axis of the last level.
        smooth: Whether to blend by the smooth step.

    Source: Müller et al., "Instant Neural Graphics Primitives", SIGGRAPH 2022, section 3.
    """

    primes = (1, 2_654_435_761, 805_459_861)
    cells: Tensor
    row_count: Tensor
    row_start: Tensor
    is_dense: Tensor
    strides: Tensor
    corners: Tensor
    factors: Tensor

    def __init__(
        self,
        in_features: int,
        *,
        levels: int = 12,
        features: int = 2,
        log2_table: int = 14,
        coarsest: int = 8,
        finest: int = 256,
        smooth: bool = True,
    ) -> None:
        if in_features not in (2, 3):
            raise ValueError(f"in_features must be 2 or 3 for a hash grid, got {in_features}")
        if min(levels, features, coarsest) < 1:
            raise ValueError(
                "levels, features and coarsest must be at least 1, "
                f"got {levels}, {features} and {coarsest}"
            )
        if finest < coarsest:
            raise ValueError(f"finest must be at least coarsest = {coarsest}, got {finest}")
        if not 1 <= log2_table <= 24:
            raise ValueError(f"log2_table must be between 1 and 24, got {log2_table}")
        super().__init__(in_features, levels * features)
        self.levels, self.features, self.log2_table = levels, features, log2_table
        self.coarsest, self.finest, self.smooth = coarsest, finest, smooth
        growth = (finest / coarsest) ** (1 / max(levels - 1, 1))
        cells = [round(coarsest * growth**level) for level in range(levels)]
        rows = [min((n + 1) ** in_features, 2**log2_table) for n in cells]
        self.rows = rows
        dense = [(n + 1) ** in_features <= 2**log2_table for n in cells]
        strides = [[(n + 1) ** axis for axis in range(in_features)] for n in cells]
        corners = list(itertools.product((0, 1), repeat=in_features))
        self.table = nn.Embedding(sum(rows), features)
        nn.init.uniform_(self.table.weight, -1e-4, 1e-4)
        for name, value in (
            ("cells", torch.tensor(cells)),
            ("row_count", torch.tensor(rows)),
            ("row_start", torch.tensor([0, *itertools.accumulate(rows)][:-1])),
            ("is_dense", torch.tensor(dense)),
            ("strides", torch.tensor(strides)),
            ("corners", torch.tensor(corners)),
            ("factors", torch.tensor(self.primes[:in_features])),
        ):
            # Made from the constructor's arguments: nothing for a checkpoint to hold.
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch e"]:
        """Encode the last axis of ``x``."""
        place, corner = self._place(x)
        t = place - corner
        if self.smooth:
            t = t * t * (3 - 2 * t)
        blend = torch.where(self.corners.bool(), t[..., None, :], 1 - t[..., None, :]).prod(-1)
        return self._mix(blend, corner)

    def taylor(self, t: Taylor) -> Taylor:
        """Carry an expansion of ``x`` through the blending; the edges' outside has no slope."""
        x = t.value
        place, corner = self._place(x)
        within = (x == x.clamp(-1, 1)).to(x.dtype)
        part = place - corner
        scale = self.cells[:, None] / 2
        inside = t.linear(lambda s: (s * within)[..., None, :] * scale)
        blended = (part, torch.ones_like(part), torch.zeros_like(part))
        if self.smooth:
            blended = (part * part * (3 - 2 * part), 6 * part * (1 - part), 6 - 12 * part)
        # the weight of a corner is a product over axes of t or of 1 - t
        upper = inside.chain(*blended)
        sign = (2 * self.corners - 1).to(x.dtype)
        weights = upper.linear(lambda s: s[..., None, :] * sign) + (1 - self.corners)
        blend, *others = (weights.linear(itemgetter((..., a))) for a in range(self.in_features))
        for other in others:
            blend = blend * other
        return blend.linear(lambda s: self._mix(s, corner))

    def _place(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return places in units of cells and the corners below them, ``(*batch, levels, d)``."""
        place = ((x.clamp(-1, 1) + 1) / 2)[..., None, :] * self.cells[:, None]
        limit = (self.cells - 1)[:, None]
        return place, torch.minimum(place.detach().floor().long(), limit)

    def _mix(self, blend: Tensor, corner: Tensor) -> Tensor:
        """Blend the corners' features by their weights ``(*batch, levels, corners)``."""
        rows = self._rows(corner[..., None, :] + self.corners)
        return (blend[..., None] * self.table(rows)).sum(-2).flatten(-2)

    def _rows(self, corner: Int[Tensor, "*batch levels k d"]) -> Int[Tensor, "*batch levels k"]:
        """Return the table row of each integer grid corner of each level."""
        plain = (corner * self.strides[:, None]).sum(-1)
        products = corner * self.factors
        hashed = products[..., 0]
        for axis in range(1, self.in_features):
            hashed = hashed ^ products[..., axis]
        count, start = self.row_count[:, None], self.row_start[:, None]
        return torch.where(self.is_dense[:, None], plain, hashed % count) + start

    def extra_repr(self) -> str:
        """Show the sizes and the resolutions."""
        return f"{super().extra_repr()}, {self.levels} levels, {self.coarsest}..{self.finest} cells"
