"""The largest value of correlation maps, found from spectra by compiled code.

For each rotation: the product of receptor and ligand summed over channels, three passes of
one-dimensional Fourier sums over the wave vectors of the sphere alone, and the largest value.
Maps of ``LANES`` rotations lie side by side in memory; none is ever written whole.

A sum over wave numbers ``-reach ... reach`` costs an eighth of its complex products: parts even
and odd in the wave number leave a cosine and a sine sum, shifts x and -x share them, and so do
n / 2 - x and n / 2 + x, where sums over odd wave numbers only change sign. A fast transform of so
few points has no fewer operations.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from docking.grid import HalfSphere
from docking.search.compiled import compiled
from docking.spectrum import LANES

COLUMNS = 8  # lines summed at once
WIDTH = COLUMNS * LANES  # scalars in a row of work arrays: a core's caches hold those of a pass
TURNS = 4  # turns of the cube that share one reading of the ligand's spectrum
LOWEST = -3e38  # below every score; compiled code may not use infinities


class Plan(NamedTuple):
    """Where wave vectors are, what their sums are multiplied by, and where values go.

    Attributes:
        rows: First vector of each y and x, ``HalfSphere.rows``.
        trig: Cosines and sines of shifts x >= 0, for even and for odd wave numbers, which are
            padded by zeros to a multiple of four.
        deep: The same for the last axis, where a vector off the plane stands for its negative too.
        places: Where shifts x and -x go and, on a whole even grid, n / 2 - x and n / 2 + x.
        origin: Where shift 0 goes.
    """

    rows: Int[ndarray, "side ends"]
    trig: Float[ndarray, "2 2 shifts k"]
    deep: Float[ndarray, "2 2 shifts k"]
    places: Int[ndarray, "shifts two_or_four"]
    origin: int

    @classmethod
    def of(cls, sphere: HalfSphere, half: int | None, dtype: np.dtype) -> "Plan":
        """Tables for shifts up to ``half`` grid steps along each axis, or the whole grid."""
        n, reach = sphere.grid.points, sphere.reach
        half = n // 2 if half is None and n % 2 else half
        x = np.arange((n // 4 if half is None else half) + 1)
        if half is None:
            places = np.stack([x, -x, n // 2 - x, n // 2 + x], axis=1) % n
        else:
            places = half + np.stack([x, -x], axis=1)
        k = 2 * np.arange(-(-(reach // 2 + 1) // 4) * 4) + np.arange(2)[:, None, None]
        phase = (k * x[:, None] % n) * (2 * np.pi / n)
        trig = np.stack([np.cos(phase), np.sin(phase)]) * (k <= reach)
        deep = trig * np.where(k > 0, 2, 1)
        tables = trig.astype(dtype), deep.astype(dtype)
        return cls(sphere.rows.numpy(), *tables, places, half or 0)


class Room(NamedTuple):
    """Work arrays of one search; in a row, real parts come first, then imaginary parts."""

    line: ndarray
    waves: ndarray
    sums: ndarray
    middle: ndarray
    plane: ndarray
    deep: ndarray
    volume: ndarray
    top: ndarray

    @classmethod
    def of(cls, plan: Plan) -> "Room":
        """Arrays of the sizes a plan needs, zero."""
        _, _, shifts, k = plan.trig.shape
        side, wide = len(plan.rows), int(plan.places.max()) + 1
        layers, blocks = -(-(side // 2 + 1) // COLUMNS), -(-wide // COLUMNS)

        def zeros(*shape: int) -> ndarray:
            # torch's arrays begin where cache lines do, NumPy's do not.
            return torch.zeros(shape, dtype=torch.from_numpy(plan.trig).dtype).numpy()

        return cls(
            line=zeros(side, 2 * WIDTH),
            waves=zeros(2, k * 4 * WIDTH),
            sums=zeros(shifts, 8 * WIDTH),
            middle=zeros(TURNS, wide, layers * side, 2 * WIDTH),
            plane=zeros(wide, 1, 2 * WIDTH),
            deep=zeros(blocks, 2, k * 4 * WIDTH),
            volume=zeros(wide, WIDTH),
            top=zeros(2, WIDTH),
        )


@compiled
def products(receptor, slot, sign, ligand, plan, room, y, z, columns, lanes):
    """Receptor times conjugate ligand, summed over channels, on ``columns`` lines along x."""
    parts, rows, line = receptor.shape[1], plan.rows, room.line
    for x in range(rows.shape[0]):
        first = rows[y, x] + z
        count = max(0, min(columns, rows[y, x + 1] - first))
        for n in range(count):
            v = first + n
            p, s = receptor[slot[v]], sign[v]
            target = line[x, n * lanes :]
            for c in range(0, parts, 4):
                q = ligand[(v * parts + c) * LANES :]
                a, b, e, f = p[c], s * p[c + 1], p[c + 2], s * p[c + 3]
                # A fixed length is fast; what it writes too much, the next vector overwrites.
                if c == 0:
                    for i in range(LANES):
                        t, u, h, w = q[i], q[i + LANES], q[i + 2 * LANES], q[i + 3 * LANES]
                        target[i] = a * t + b * u + e * h + f * w
                        target[i + WIDTH] = b * t - a * u + f * h - e * w
                else:
                    for i in range(LANES):
                        t, u, h, w = q[i], q[i + LANES], q[i + 2 * LANES], q[i + 3 * LANES]
                        target[i] += a * t + b * u + e * h + f * w
                        target[i + WIDTH] += b * t - a * u + f * h - e * w
        rest = line[x]
        for i in range(count * lanes, columns * lanes):
            rest[i], rest[i + WIDTH] = 0, 0


@compiled
def _sum(trig, waves, kinds, sums, width):
    """Sums over even (n = 0) and odd (1) wave numbers of parts times cosines or sines."""
    for kind in range(kinds):
        for n in range(2):
            table = trig[kind % 2, n]
            for x in range(table.shape[0]):
                out = sums[x, (2 * kind + n) * WIDTH :]
                for k in range(0, table.shape[1], 4):
                    a, b, c, d = table[x, k], table[x, k + 1], table[x, k + 2], table[x, k + 3]
                    wave = waves[n, (4 * k + kind) * WIDTH :]
                    if k == 0:
                        for i in range(width):
                            p, q = wave[i], wave[i + 4 * WIDTH]
                            r, s = wave[i + 8 * WIDTH], wave[i + 12 * WIDTH]
                            out[i] = a * p + b * q + c * r + d * s
                    else:
                        for i in range(width):
                            p, q = wave[i], wave[i + 4 * WIDTH]
                            r, s = wave[i + 8 * WIDTH], wave[i + 12 * WIDTH]
                            out[i] += a * p + b * q + c * r + d * s


@compiled
def line(rows, first, plan, room, out, row, width):
    """Sum a pass's lines ``rows[first + wave number]`` into ``out[place, row]``."""
    waves, sums, places, reach = room.waves, room.sums, plan.places, plan.rows.shape[0] // 2
    middle, even = rows[first + reach], waves[0]
    for i in range(width):
        even[i], even[i + 2 * WIDTH] = middle[i], middle[i + WIDTH]
    for k in range(1, reach + 1):
        plus, minus = rows[first + reach + k], rows[first + reach - k]
        wave = waves[k % 2, k // 2 * 4 * WIDTH :]
        for i in range(width):
            a, b, c, d = plus[i], minus[i], plus[i + WIDTH], minus[i + WIDTH]
            # What cosines, sines, cosines and sines multiply.
            wave[i], wave[i + WIDTH] = a + b, c - d
            wave[i + 2 * WIDTH], wave[i + 3 * WIDTH] = c + d, a - b
    _sum(plan.trig, waves, 4, sums, width)
    one = plan.trig[0, 0, 0, 0]
    for x in range(places.shape[0]):
        terms = sums[x]
        for pair in range(0, places.shape[1], 2):
            # At n / 2 - x cosines of odd wave numbers change sign, and sines of even ones.
            s = one if pair == 0 else -one
            plus, minus = out[places[x, pair], row], out[places[x, pair + 1], row]
            for i in range(width):
                a, b = (
                    terms[i] + s * terms[i + WIDTH],
                    s * terms[i + 2 * WIDTH] + terms[i + 3 * WIDTH],
                )
                c = terms[i + 4 * WIDTH] + s * terms[i + 5 * WIDTH]
                d = s * terms[i + 6 * WIDTH] + terms[i + 7 * WIDTH]
                plus[i], plus[i + WIDTH] = a - b, c + d
                minus[i], minus[i + WIDTH] = a + b, c - d


@compiled
def turn(room, z, columns, lanes):
    """Bring the second pass's result, lines along z side by side, into the last pass's rows."""
    # Copies go by words of 16 bytes.
    source, target = room.plane.view(np.complex128), room.deep.view(np.complex128)
    words = source.shape[2] // (2 * COLUMNS)
    step = words * lanes // LANES
    for n in range(columns):
        k = z + n
        for part in range(2):
            row = (k // 2 * 4 + part) * COLUMNS * words
            for y in range(source.shape[0]):
                a = source[y, 0, part * COLUMNS * words + n * step :]
                b = target[y // COLUMNS, k % 2, row + y % COLUMNS * step :]
                for i in range(0, words, 4):
                    b[i], b[i + 1], b[i + 2], b[i + 3] = a[i], a[i + 1], a[i + 2], a[i + 3]


@compiled
def peaks(waves, plan, room, width):
    """Sum the last pass's lines into the volume; returns the largest value of each."""
    sums, places, volume, top, other = room.sums, plan.places, room.volume, room.top[0], room.top[1]
    _sum(plan.deep, waves, 2, sums, width)
    for i in range(width):
        top[i] = LOWEST
    one = plan.trig[0, 0, 0, 0]
    for x in range(places.shape[0]):
        terms = sums[x]
        for pair in range(0, places.shape[1], 2):
            s = one if pair == 0 else -one
            plus, minus = volume[places[x, pair]], volume[places[x, pair + 1]]
            for i in range(width):
                a, b = (
                    terms[i] + s * terms[i + WIDTH],
                    s * terms[i + 2 * WIDTH] + terms[i + 3 * WIDTH],
                )
                plus[i], minus[i] = a - b, a + b
                other[i] = max(top[i], a + abs(b))
            # A store to the array just read would be made conditional, and slow.
            top, other = other, top
    return top


@compiled
def better(top, room, x, y, lines, lanes, best, place):
    """Where a line holds more than the best so far, look for its largest value."""
    volume = room.volume
    for lane in range(lanes):
        peak, row = best[lane], -1
        for n in range(lines):
            if top[n * lanes + lane] > peak:
                peak, row = top[n * lanes + lane], n
        if row >= 0:
            column, z = row * lanes + lane, 0
            for n in range(1, volume.shape[0]):
                if volume[n, column] > volume[z, column]:
                    z = n
            best[lane] = volume[z, column]
            place[lane, 0], place[lane, 1], place[lane, 2] = x, y + row, z


@compiled
def first_pass(receptor, slot, sign, ligand, plan, room, lanes):
    """Products and sums over k_x, for as many turns as ``slot`` has rows."""
    side = plan.rows.shape[0]
    for y in range(side):
        for z in range(0, side // 2 + 1, COLUMNS):
            columns = min(COLUMNS, plan.rows[y, side // 2 + 1] - plan.rows[y, side // 2] - z)
            if columns > 0:
                row = z // COLUMNS * side + y
                for t in range(slot.shape[0]):
                    products(receptor, slot[t], sign[t], ligand, plan, room, y, z, columns, lanes)
                    line(room.line, 0, plan, room, room.middle[t], row, columns * lanes)


@compiled
def other_passes(middle, plan, room, lanes, best, place):
    """Sums over k_y and k_z of one turn, and the best shift of every lane."""
    side, wide = plan.rows.shape[0], room.volume.shape[0]
    for x in range(wide):
        for z in range(0, side // 2 + 1, COLUMNS):
            columns = min(COLUMNS, side // 2 + 1 - z)
            line(middle[x], z // COLUMNS * side, plan, room, room.plane, 0, columns * lanes)
            turn(room, z, columns, lanes)
        for y in range(0, wide, COLUMNS):
            lines = min(COLUMNS, wide - y)
            top = peaks(room.deep[y // COLUMNS], plan, room, lines * lanes)
            better(top, room, x, y, lines, lanes, best, place)


def search(
    receptor: Float[ndarray, "slots parts"],
    slot: Int[ndarray, "turns count"],
    sign: Float[ndarray, "turns count"],
    ligand: Float[ndarray, " scalars"],
    plan: Plan,
    room: Room,
    lanes: int,
) -> tuple[Float[ndarray, "turns lanes"], Int[ndarray, "turns lanes 3"]]:
    """Best score of every turn and lane, and its place along x, y and z.

    ``receptor`` is ``ReceptorSpectrum.pairs``, ``slot`` and ``sign`` are ``HalfSphere.turned_rows``
    of the turns to try, ``ligand`` is what ``LaneSpectra`` gives. ``lanes`` must be a multiple of
    four, and ``room`` zero or last used with as many.
    """
    best = np.full((len(slot), lanes), LOWEST, receptor.dtype)
    place = np.zeros((len(slot), lanes, 3), np.int64)
    for start in range(0, len(slot), TURNS):
        some = slice(start, start + TURNS)
        first_pass(receptor, slot[some], sign[some], ligand, plan, room, lanes)
        for t in range(start, min(start + TURNS, len(slot))):
            other_passes(room.middle[t - start], plan, room, lanes, best[t], place[t])
    return best, place
