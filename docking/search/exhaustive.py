"""Exhaustive search on a grid of rotations and translations, read from the maps.

For one rotation an atom lies at the same place in a cell for every translation by whole lattice
steps, so its eight interpolation weights are computed once and its map is added up shifted. The
best pose of the grid is certain; a descent from the best ones ends below every pose of the grid.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation

from docking.rotation import hopf_grid
from docking.search.compiled import compiled
from docking.search.engine import Minima, joined
from docking.search.problem import Body, Flexible, Maps


class GridScores(NamedTuple):
    """The best translation of every rotation.

    Attributes:
        energies: Energy of each rotation's best translation, kcal/mol; infinite where the ligand
            so turned fits the lattice nowhere.
        shifts: Position of the root's origin there, angstrom, ``(r, 3)``.
        poses: Poses evaluated in all.
    """

    energies: Float[ndarray, " r"]
    shifts: Float[ndarray, "r 3"]
    poses: int


@compiled
def _scan(values, channel, x, inverse, shape, total):
    """Energies of all lattice translations of atoms ``x`` given in lattice units from the root.

    Returns:
        Lowest energy, flat index of its translation, first translation of each axis, and poses.
    """
    n = x.shape[0]
    low = np.zeros(3, dtype=np.int64)
    size = np.zeros(3, dtype=np.int64)
    for a in range(3):
        least, most = math.inf, -math.inf
        for m in range(n):
            least = min(least, x[m, a])
            most = max(most, x[m, a])
        low[a] = -math.floor(least)
        size[a] = shape[a] - 2 - math.floor(most) - low[a] + 1
        if size[a] <= 0:
            return math.inf, 0, low, size
    nx, ny, nz = size[0], size[1], size[2]
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                total[i, j, k] = 0.0
    for m in range(n):
        bx, by, bz = math.floor(x[m, 0]), math.floor(x[m, 1]), math.floor(x[m, 2])
        fx = np.float32(x[m, 0] - bx)
        fy = np.float32(x[m, 1] - by)
        fz = np.float32(x[m, 2] - bz)
        one = np.float32(1.0)
        v = values[channel[m]]
        for i in range(nx):
            for j in range(ny):
                p = i + low[0] + bx
                q = j + low[1] + by
                s = low[2] + bz
                r00, r01 = v[p, q], v[p, q + 1]
                r10, r11 = v[p + 1, q], v[p + 1, q + 1]
                w00, w01 = (one - fx) * (one - fy), (one - fx) * fy
                w10, w11 = fx * (one - fy), fx * fy
                row = total[i, j]
                for k in range(nz):
                    near = w00 * r00[s + k] + w01 * r01[s + k] + w10 * r10[s + k] + w11 * r11[s + k]
                    far = (
                        w00 * r00[s + k + 1]
                        + w01 * r01[s + k + 1]
                        + w10 * r10[s + k + 1]
                        + w11 * r11[s + k + 1]
                    )
                    row[k] += near + fz * (far - near)
    best, where = math.inf, 0
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                if total[i, j, k] < best:
                    best = total[i, j, k]
                    where = (i * ny + j) * nz + k
    return best, where, low, size


def scan(
    maps: Maps,
    body: Body,
    rotations: Float[ndarray, "r 3 3"],
    *,
    conformer: int = 0,
    threads: int = 1,
) -> GridScores:
    """Score every rotation at every lattice translation of the rigid conformer.

    Args:
        maps: Maps of the pocket.
        body: A ligand laid out rigid (one body).
        rotations: Rotations about the ligand's root origin, for instance ``hopf_grid``.
        conformer: Which conformer.
        threads: Threads; the result does not depend on them.

    Raises:
        ValueError: If the ligand has torsions free.
    """
    if len(body.parents) != 1:
        raise ValueError(f"body must be rigid for a grid search, got {len(body.parents)} parts")
    shape = np.array(maps.values.shape[1:], dtype=np.int64)
    local = body.local[conformer] * maps.inverse

    def share(rows: ndarray) -> list[tuple[float, ndarray, int]]:
        total = np.zeros(tuple(shape), dtype=np.float32)
        out = []
        for row in rows:
            x = local @ rotations[row].T
            best, where, low, size = _scan(maps.values, body.channel, x, maps.inverse, shape, total)
            if not math.isfinite(best):
                out.append((best, np.zeros(3), 0))
                continue
            index = np.array(np.unravel_index(where, tuple(size)))
            out.append((best, maps.origin + (low + index) / maps.inverse, int(size.prod())))
        return out

    rows = [np.arange(first, len(rotations), threads) for first in range(max(1, threads))]
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(share, rows))
    else:
        found = [share(rows[0])]
    flat = [found[r % threads][r // threads] for r in range(len(rotations))]
    return GridScores(
        np.array([e for e, _, _ in flat]),
        np.array([t for _, t, _ in flat]).reshape(-1, 3),
        sum(count for _, _, count in flat),
    )


def grid_minima(
    scores: GridScores,
    rotations: Float[ndarray, "r 3 3"],
    rigid: Flexible,
    laid: Flexible,
    conformer: int,
    limit: int,
) -> Minima:
    """The best poses of a grid, best first, as starts of a descent in which torsions are free.

    Args:
        scores: What ``scan`` found.
        rotations: The rotations it was given.
        rigid: The ligand as it was scanned.
        laid: The ligand as it will descend; the same atoms, maybe with torsions.
        conformer: Which conformer was scanned.
        limit: Most poses.
    """
    order = np.argsort(scores.energies, kind="stable")[:limit]
    order = order[np.isfinite(scores.energies[order])]
    turns = rotations[order]
    # The root of a flexible ligand is a part of it, with an origin of its own.
    between = laid.origins[conformer, 0] - rigid.origins[conformer, 0]
    states = np.zeros((len(order), len(laid.body.scale) + 1))
    states[:, :3] = scores.shifts[order] + turns @ between
    if len(order):
        states[:, 3:7] = Rotation.from_matrix(turns).as_quat(scalar_first=True)
    here = laid.conformers[conformer, laid.order] - rigid.origins[conformer, 0]
    positions = np.einsum("rij,nj->rni", turns, here) + scores.shifts[order][:, None]
    chosen: Int[ndarray, " k"] = np.full(len(order), conformer, dtype=np.int64)
    return Minima(scores.energies[order], chosen, states, positions, scores.poses)


def sweep(
    maps: Maps, rigid: Flexible, laid: Flexible, effort: float, limit: int, *, threads: int = 1
) -> Minima:
    """Scan every conformer over a Hopf grid and return the best poses of all, best first.

    Args:
        maps: Maps of the pocket.
        rigid: The ligand without torsions.
        laid: The ligand as it will descend.
        effort: 1 takes the 4608 rotations 7 degrees apart; eight times as much the next finer
            grid, an eighth the coarser one.
        limit: Most poses of each conformer.
        threads: Threads.
    """
    level = min(max(round(2 + math.log(effort, 8)), 0), 3)
    rotations = hopf_grid(level).numpy().astype(np.float64)
    parts = []
    for c in range(len(rigid.conformers)):
        scores = scan(maps, rigid.body, rotations, conformer=c, threads=threads)
        parts.append(grid_minima(scores, rotations, rigid, laid, c, limit))
    return joined(parts)
