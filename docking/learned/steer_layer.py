"""An equivariant layer that hears neighbours, then multiplies what it heard with itself.

No network is run for every edge: what neighbours send is summed for every radial function apart,
which is a small product of matrices, and weights are applied to the sums. Products of an atom's
tensors, even and odd alike, come after the sum: they see angles between neighbours, and which way
round three of them stand.

Source: Drautz, Phys. Rev. B 99 (2019) 014104, for products taken after the sum over neighbours.
"""

import math

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

_CROWD = 4.0  # root of the usual number of neighbours


class TensorPower(nn.Module):
    """Products of an atom's vectors and quadrupoles, coupled to scalars and to tensors.

    Channel by channel ``a x b`` with two learned mixtures a and b, all couplings of degrees
    ``p <= q <= 2`` to degrees up to ``degree``. Those with ``p + q`` and the result of different
    parity change sign under reflections: they are what tells mirror images apart.

    Args:
        vectors: Features of each degree above 0.
        degree: Largest degree of the results, at least 1.
        channels: Mixtures that are multiplied.
    """

    coupling: Tensor

    def __init__(self, vectors: int, degree: int, channels: int) -> None:
        super().__init__()
        self.vectors, self.degree, self.channels = vectors, degree, channels
        table, self.paths = _couplings(degree)
        self.register_buffer("coupling", table, persistent=False)
        self.mix = nn.ModuleList(
            nn.Linear(vectors, 2 * channels, bias=False) for _ in range(min(degree, 2))
        )
        self.out = nn.ModuleList(
            nn.Linear(paths * channels, vectors, bias=False) for paths in self.paths[1:]
        )

    @property
    def scalars(self) -> int:
        """Number of scalars that come out."""
        return self.paths[0] * self.channels

    def forward(
        self, v: Float[Tensor, "n lm vectors"]
    ) -> tuple[Float[Tensor, "n scalars"], Float[Tensor, "n lm vectors"]]:
        """Scalars, and tensors of every degree above 0."""
        mixed = [mix(part) for mix, part in zip(self.mix, by_degree(sized(v)), strict=False)]
        # Channels before components: one product of matrices couples all atoms.
        a, b = torch.cat(mixed, 1).mT.chunk(2, 1)
        pairs = (a[..., None] * b[..., None, :]).flatten(2)
        coupled = (pairs @ self.coupling).mT.split(
            [count * (2 * d + 1) for d, count in enumerate(self.paths)], 1
        )
        tensors = [
            out(part.reshape(len(v), 2 * d + 1, -1))
            for d, (out, part) in enumerate(zip(self.out, coupled[1:], strict=True), start=1)
        ]
        return coupled[0].flatten(1), torch.cat(tensors, 1)


def _span(degree: int) -> slice:
    """Where a degree's components are among those above 0."""
    return slice(degree * degree - 1, (degree + 1) ** 2 - 1)


def sized(v: Float[Tensor, "n lm vectors"]) -> Tensor:
    """An atom's tensors at a size of about one, small ones left small."""
    return v * (v.square().mean((1, 2), keepdim=True) + 0.01).rsqrt()


def by_degree(v: Float[Tensor, "n lm vectors"]) -> tuple[Tensor, ...]:
    """The parts of each degree above 0, (n, 2 l + 1, vectors)."""
    # One split instead of slices: every slice costs its gradient an array of zeros.
    return v.split([2 * d + 1 for d in range(1, math.isqrt(v.shape[1] + 1))], 1)


def _couplings(degree: int) -> tuple[Tensor, list[int]]:
    """Coupling coefficients, (pairs, results), component by component, and paths to each degree."""
    top = min(degree, 2)
    width = (top + 1) ** 2 - 1
    rows: list[Tensor] = []
    paths = []
    for result in range(degree + 1):
        blocks = []
        for p in range(1, top + 1):
            for q in range(max(p, result - p), min(top, result + p) + 1):
                block = torch.zeros(2 * result + 1, width, width)
                block[:, _span(p), _span(q)] = o3.wigner_3j(result, p, q)
                blocks.append(block.flatten(1) * math.sqrt(2 * result + 1))
        paths.append(len(blocks))
        rows.append(torch.stack(blocks, 1).flatten(0, 1))
    return torch.cat(rows).T.contiguous(), paths


class SteerLayer(nn.Module):
    """One round of hearing neighbours: their scalars, their directions, and their own vectors.

    What is heard is summed over the neighbours for every radial function (and every bond type)
    apart, and the weights are applied to the sums.

    Args:
        width: Scalar features.
        vectors: Features of each degree above 0.
        degree: Largest degree, at least 1.
        radial: Functions of an edge, its radial ones and its bond types.
        first: Whether atoms come in without tensors.
        channels: Channels of ``TensorPower``.
        dropout: Probability of dropping a hidden feature.
    """

    def __init__(
        self,
        width: int,
        vectors: int,
        degree: int,
        radial: int,
        first: bool = False,
        channels: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, self.vectors, self.degree = width, vectors, degree
        self.radial, self.first = radial, first
        self.channels, self.dropout = channels, dropout
        self.norm = nn.LayerNorm(width)
        self.send = nn.Linear(width, width // 2 + vectors)
        self.gain = nn.Linear(width, vectors * degree)
        self.scalar = nn.Linear(radial * (width // 2), width, bias=False)
        self.tensor = nn.ModuleList(
            nn.Linear(radial * vectors, vectors, bias=False) for _ in range(degree)
        )
        if not first:
            self.carry = nn.Linear(radial * vectors, vectors, bias=False)
            self.turn = nn.ModuleList(
                nn.Linear(vectors, vectors, bias=False) for _ in range(degree)
            )
        self.power = TensorPower(vectors, degree, channels)
        self.update = nn.Sequential(
            nn.Linear(2 * width + vectors * degree + self.power.scalars, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(
        self,
        h: Float[Tensor, "m width"],
        v: Float[Tensor, "m lm vectors"] | None,
        own: Tensor,
        neighbours: Tensor,
        edges: Float[Tensor, "t e k"],
        shapes: Float[Tensor, "t lm_e k"],
    ) -> tuple[Float[Tensor, "t width"], Float[Tensor, "t lm vectors"]]:
        """New scalars and tensors of the atoms that go on.

        Args:
            h: Scalars of the atoms that came in.
            v: Their tensors; None in the first layer.
            own: Atoms that go on, ``(t,)``.
            neighbours: Whom they hear, ``(t, k)``.
            edges: Functions of each edge; zeros where there is none.
            shapes: The same times the harmonics of its direction, degrees 1 and up.
        """
        g = self.norm(h)
        mine = g.index_select(0, own)
        sent = self.send(g).index_select(0, neighbours.flatten()).view(*neighbours.shape, -1)
        scalars, directions = sent.split([self.width // 2, self.vectors], -1)
        heard = self.scalar((edges @ scalars).flatten(1)) / _CROWD
        felt = (shapes @ directions).unflatten(1, (-1, self.radial)).flatten(2)
        gains = self.gain(mine).unflatten(-1, (self.degree, 1, self.vectors)).unbind(1)
        blocks = [
            tensor(part) / _CROWD for tensor, part in zip(self.tensor, by_degree(felt), strict=True)
        ]
        if v is not None:
            before = by_degree(v.index_select(0, own))
            turned = [turn(part) for turn, part in zip(self.turn, before, strict=True)]
            blocks = [block + part for block, part in zip(blocks, turned, strict=True)]
            blocks[0] = blocks[0] + self._carried(v, neighbours, edges)
        w = torch.cat([b * (1 + gain) for b, gain in zip(blocks, gains, strict=True)], 1)
        products, tensors = self.power(w)
        w = w + tensors
        sizes = [(part.square().mean(1) + 1e-4).sqrt() for part in by_degree(w)]
        update = self.update(torch.cat([mine, heard, *sizes, products], -1))
        return h.index_select(0, own) + update, w

    def _carried(self, v: Tensor, neighbours: Tensor, edges: Tensor) -> Tensor:
        """The neighbours' own vectors."""
        vectors = v[:, :3].flatten(1).index_select(0, neighbours.flatten())
        heard = edges @ vectors.view(*neighbours.shape, -1)
        heard = heard.unflatten(-1, (3, self.vectors)).transpose(1, 2).flatten(2)
        return self.carry(heard) / _CROWD
