"""Potential maps of a pocket, and the energy of ligand atoms read from them.

``S(pose) = sum_n sum_q A[n, q] V_q(x_n)``: the receptor gives maps ``V_q`` on a lattice, the ligand
coefficients ``A``. For physics ``A`` depends on the atom type alone; a learned field passes its own
coefficients to ``PocketField.contract``. Maps serve a search; final scores are exact pair sums.
One thing, longer than 300 lines: a field of maps with its building, reading and bounds.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.box import Box
from docking.channels import ALL_TYPES, Channels
from docking.interpolate import (
    METHODS,
    sample,
    sample_channel,
    sample_one,
    spline_coefficients,
    spline_values,
)
from docking.lattice import Lattice
from docking.molecule import Receptor
from docking.pocket_file import Learned, read_pocket, write_pocket
from docking.radial_sums import check_size, radial_sums
from docking.terms import VINA, ScoringFunction
from docking.typing import VinaType
from docking.vina_table import cap
from overparam.errors import InputError

MAX_BYTES = 1 << 30


class PocketField:
    """Maps of one pocket on one lattice, ready to be read at any point of its box.

    Args:
        grid: Spline coefficients (``cubic``) or values (``linear``), ``(q, ...)``.
        lattice: Where the values lie.
        method: ``cubic``, twice continuously differentiable, or ``linear``.
        channels: What the maps are, for physics; None for learned maps, read by ``contract``.
        names: One name per map; the channels' names if left out.
        box: Lower and upper corner; points outside are moved to it. The lattice's by default.
        receptor: Positions and types of the receptor atoms, for exact final scores.
        learned: What a learned model keeps of the receptor.

    Raises:
        ValueError: If sizes do not fit or the method is unknown.
    """

    def __init__(
        self,
        grid: Tensor,
        lattice: Lattice,
        *,
        method: str = "cubic",
        channels: Channels | None = None,
        names: tuple[str, ...] = (),
        box: tuple[np.ndarray, np.ndarray] | None = None,
        receptor: tuple[np.ndarray, np.ndarray] | None = None,
        learned: Learned | None = None,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        names = names or (channels.names if channels else tuple(map(str, range(len(grid)))))
        extra = 2 if method == "cubic" else 0
        shape = (len(names), *(n + extra for n in lattice.shape))
        if tuple(grid.shape) != shape:
            raise ValueError(f"grid must have shape {shape}, got {tuple(grid.shape)}")
        self.grid, self.lattice, self.method = grid, lattice, method
        self.channels, self.names = channels, tuple(names)
        low, high = box if box is not None else (lattice.low, lattice.high)
        self.low = np.maximum(np.asarray(low, dtype=float), lattice.low)
        self.high = np.minimum(np.asarray(high, dtype=float), lattice.high)
        positions, types = receptor or (np.zeros((0, 3)), np.zeros(0, dtype=np.int64))
        self.receptor_positions: np.ndarray = positions
        self.receptor_types: np.ndarray = types
        self.learned = learned

    @classmethod
    def build(
        cls,
        receptor: Receptor,
        box: Box,
        *,
        spacing: float = 0.5,
        method: str = "cubic",
        types: Iterable[int] = ALL_TYPES,
        by_term: bool = False,
        function: ScoringFunction = VINA,
        max_bytes: int = MAX_BYTES,
    ) -> "PocketField":
        """Compute the physics maps of a pocket.

        Args:
            receptor: All of it; atoms beyond the cut-off of the box add nothing.
            box: Where ligand atoms may be.
            spacing: Lattice spacing, angstrom.
            method: Interpolation, ``cubic`` or ``linear``.
            types: Ligand atom types to prepare for; all of them by default.
            by_term: Keep the five terms apart, so that their weights can be changed or trained.
            function: Constants.
            max_bytes: Largest size of the maps.

        Raises:
            InputError: If the maps would be too large, or no receptor atom is near the box.
        """
        lattice = Lattice.cover(box.low, box.high, spacing)
        channels = (Channels.by_term if by_term else Channels.by_type)(types, function=function)
        check_size(lattice, len(channels), max_bytes)
        typed = receptor.vina_type >= 0
        positions, kinds = receptor.positions[typed], receptor.vina_type[typed]
        gap = np.maximum(lattice.low - positions, positions - lattice.high).max(1, initial=-np.inf)
        near = gap < function.cutoff
        if not near.any():
            corners = " to ".join(np.array2string(c, precision=1) for c in (box.low, box.high))
            raise InputError(
                f"no receptor atom within {function.cutoff:g} angstrom of the box {corners}"
            )
        values = radial_sums(lattice, positions[near], kinds[near], channels)
        kept = {"channels": channels, "box": (box.low, box.high), "receptor": (positions, kinds)}
        return cls.from_values(values, lattice, method=method, **kept)

    @classmethod
    def from_values(
        cls,
        values: Float[Tensor, "q x y z"],
        lattice: Lattice,
        *,
        method: str = "cubic",
        **rest: Any,
    ) -> "PocketField":
        """Maps from their values at the lattice points; other arguments as the constructor's."""
        grid = spline_coefficients(values) if method == "cubic" else values
        return cls(grid, lattice, method=method, **rest)

    @property
    def values(self) -> Float[Tensor, "q x y z"]:
        """The maps at the lattice points."""
        return spline_values(self.grid) if self.method == "cubic" else self.grid

    @property
    def nbytes(self) -> int:
        """Bytes held by the maps."""
        return self.grid.numel() * self.grid.element_size()

    def __repr__(self) -> str:
        points = "x".join(map(str, self.lattice.shape))
        return (
            f"PocketField({len(self.names)} {self.method} maps, "
            f"{points} points every {self.lattice.spacing:g} angstrom, "
            f"{self.nbytes / 2**20:.1f} MiB, {len(self.receptor_types)} receptor atoms)"
        )

    def locate(
        self, x: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch"]]:
        """Lattice coordinates of points moved into the box, and how far they were out, angstrom.

        The overshoot is summed over the axes. Both are differentiable.
        """
        low, high = self._corners(x)
        inside = torch.minimum(torch.maximum(x, low), high)
        return self.lattice.to_lattice(inside), (x - inside).abs().sum(-1)

    def sample(self, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch q"]:
        """All maps at each point, differentiable in ``x`` and in the maps."""
        return sample(self.grid, self.locate(x)[0], method=self.method)

    def contract(
        self, x: Float[Tensor, "*batch n 3"], A: Float[Tensor, "*batch_A n q"]
    ) -> Float[Tensor, "*batch"]:
        """``sum_n sum_q A[n, q] V_q(x_n)`` for any coefficients, differentiable in all."""
        return (self.sample(x) * A).sum((-1, -2))

    def channel_of_type(self) -> Int[Tensor, " types"]:
        """Which map each atom type reads; -1 for types without one. Needs one map per type."""
        if self.channels is None or not self.channels.terms.all():
            raise ValueError("maps must hold one channel per type: merge() maps kept by term first")
        member = torch.as_tensor(self.channels.member)
        return torch.where(member.any(1), member.int().argmax(1), -1).to(self.grid.device)

    def energy(
        self,
        x: Float[Tensor, "*batch n 3"],
        types: Int[Tensor, " n"],
        *,
        limit: float = math.inf,
        slope: float = 1e6,
        weights: Float[Tensor, " terms"] | None = None,
    ) -> Float[Tensor, "*batch"]:
        """Ligand-receptor energy read from the maps, kcal/mol, differentiable in ``x``.

        Args:
            x: Poses, angstrom.
            types: Atom types; negative ones (hydrogens) are passed over.
            limit: Cap on the positive energy of an atom; Vina searches with 10.
            slope: Penalty for leaving the box, kcal/mol per angstrom, summed over the axes.
            weights: Weights of the terms, differentiable; for maps kept by term.
        """
        x, types = x[..., types >= 0, :], types[types >= 0]
        u, overshoot = self.locate(x)
        if weights is None and self.channels is not None and self.channels.terms.all():
            channel = self._channels_of(types).expand(u.shape[:-1])
            energy = sample_channel(self.grid, u, channel, method=self.method)
        else:
            A = self._readout(types, weights)
            energy = (sample(self.grid, u, method=self.method) * A).sum(-1)
        return (cap(energy, limit) + slope * overshoot).sum(-1)

    def energy_and_gradient(
        self,
        x: Float[Tensor, "*batch n 3"],
        types: Int[Tensor, " n"],
        *,
        limit: float = math.inf,
        slope: float = 1e6,
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch n 3"]]:
        """Energy and its gradient in ``x`` from one gather, without autograd: for searches.

        Arguments as ``energy``; the maps must hold one channel per type.
        """
        heavy = types >= 0
        kept = x[..., heavy, :]
        u, overshoot = self.locate(kept)
        channel = self._channels_of(types[heavy]).expand(u.shape[:-1])
        energy, slopes = sample_one(self.grid, u, channel, method=self.method)
        positive = energy.clamp(min=0.0)
        slopes = slopes / self.lattice.spacing / (1 + positive[..., None] / limit) ** 2
        low, high = self._corners(x)
        out = (kept > high).to(slopes) - (kept < low).to(slopes)
        gradient = torch.zeros(x.shape, dtype=slopes.dtype, device=x.device)
        gradient[..., heavy, :] = torch.where(out == 0, slopes, slope * out)
        return (cap(energy, limit) + slope * overshoot).sum(-1), gradient

    def _corners(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.as_tensor(self.low).to(x), torch.as_tensor(self.high).to(x)

    def _channels_of(self, types: Tensor) -> Tensor:
        channel = self.channel_of_type()[types]
        self._refuse_missing(types, channel < 0)
        return channel

    def _readout(self, types: Tensor, weights: Tensor | None) -> Tensor:
        if self.channels is None:
            raise ValueError("these maps have no channels of atom types: use contract()")
        member = torch.as_tensor(self.channels.member).any(1).to(types.device)
        self._refuse_missing(types, ~member[types])
        return self.channels.readout(weights).to(self.grid)[types]

    def _refuse_missing(self, types: Tensor, missing: Tensor) -> None:
        if missing.any():
            names = sorted({VinaType(t).name for t in types[missing].tolist()})
            raise InputError(f"the pocket has no map for ligand atoms of type {', '.join(names)}")

    def merge(self, weights: Float[Tensor, " terms"] | None = None) -> "PocketField":
        """One map per type from maps kept by term, at given weights."""
        if self.channels is None:
            raise ValueError("only physics maps can be merged, these have no channels")
        types = np.flatnonzero(self.channels.member.any(1)).tolist()
        function = self.channels.function
        if weights is not None:
            function = replace(function, weights=tuple(map(float, weights)))
        channels = Channels.by_type(types, function=function)
        A = self.channels.readout(weights)[list(channels.probes)].to(self.grid)
        grid = torch.einsum("tq,qxyz->txyz", A, self.grid)
        changed = {"grid": grid, "channels": channels, "names": channels.names}
        return PocketField(**{**self._arguments(), **changed})

    def to(self, device: torch.device | str) -> "PocketField":
        """The same field with its maps on another device."""
        return PocketField(**{**self._arguments(), "grid": self.grid.to(device)})

    def _arguments(self) -> dict[str, Any]:
        return {
            "grid": self.grid,
            "lattice": self.lattice,
            "method": self.method,
            "channels": self.channels,
            "names": self.names,
            "box": (self.low, self.high),
            "receptor": (self.receptor_positions, self.receptor_types),
            "learned": self.learned,
        }

    def save(self, path: str | Path) -> None:
        """Write the field to a file that ``load`` and ``torch.load(weights_only=True)`` open."""
        write_pocket(Path(path), self._arguments())

    @classmethod
    def load(cls, path: str | Path) -> "PocketField":
        """Read a field that ``save`` wrote.

        Raises:
            InputError: If the file is missing, damaged, of another kind or from a newer version.
        """
        arguments = read_pocket(Path(path))
        try:
            return cls(**arguments)
        except (ValueError, TypeError) as error:
            raise InputError(f"{path} is damaged: {error}") from error
