"""Cost of the correlation operators: ``python benchmarks/correlate_speed.py``.

Single-thread CPU time, contenders interleaved, minimum of ``--rounds``. The translational step is
everything a rotation costs once receptor and ligand are given: ligand spectrum, contraction over
channels, inverse transform of the whole box, arg max. Its parts are the same compiled code called
by itself; what is left of the whole, orbits of rotations and copies, is the last part. The
rotational step is compared with the
same expansion done unfolded, as ``inv(G) @ (C @ A)`` with dense matrices for every emitter.
"""

import json
import os
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from time import process_time, strftime

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy
import torch
from scipy.fft import irfftn

from docking import inverse
from docking.basis import GaussianShells
from docking.correlate import ReceptorSpectrum, correlate_translations
from docking.expansion import SphericalWaves, expand
from docking.grid import Grid
from docking.rotation import cubic_grid, hopf_grid
from docking.rotational import EulerGrid, correlate_rotations, synthesize
from docking.scalar_field import ScalarField
from docking.search.compiled import compiled
from docking.spectrum import LANES, LaneSpectra

BOX, SPACING, K_MAX, CHANNELS, WINDOW = 40, 1.0, 2.5, 5, 4.0
LIGAND_ATOMS, RESIDUES = 28, 150
RADIAL, LMAX = 25, 10  # of the unfolded global basis: 25 * 11**2 = 3025 functions


def interleaved(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Smallest CPU time of each task, seconds; tasks take turns so that load hits all alike."""
    best = dict.fromkeys(tasks, float("inf"))
    for name, task in list(tasks.items()) * (rounds + 1):
        start = process_time()
        task()
        best[name] = min(best[name], process_time() - start)
    return best


def random_field(points: int, spread: float, seed: int) -> ScalarField:
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(points, CHANNELS, 5, 9, generator=generator)
    return ScalarField(
        coefficients, spread * torch.randn(points, 3, generator=generator), GaussianShells()
    )


def bare_transforms(fftw: bool) -> dict[str, tuple[Callable[[], object], int]]:
    """Inverse real FFTs of the box alone, one at a time and in batches, as (task, maps)."""
    generator = np.random.default_rng(0)
    shape = (24, BOX, BOX, BOX // 2 + 1)
    spectrum = generator.standard_normal((*shape, 2)).astype(np.float32).view(np.complex64)[..., 0]
    size = (BOX,) * 3
    tasks: dict[str, tuple[Callable[[], object], int]] = {
        "scipy, one": (lambda: [irfftn(s, s=size) for s in spectrum], 24),
        "scipy, batch": (lambda: irfftn(spectrum, s=size, axes=(1, 2, 3)), 24),
    }
    if fftw:
        import pyfftw

        source = pyfftw.empty_aligned(shape[1:], "complex64")
        target = pyfftw.empty_aligned(size, "float32")
        plan = pyfftw.FFTW(
            source, target, axes=(0, 1, 2), direction="FFTW_BACKWARD", flags=("FFTW_MEASURE",)
        )
        source[:] = spectrum[0]
        tasks["fftw"] = (lambda: [plan.execute() for _ in range(24)], 24)
    return tasks


@compiled
def first_sums(receptor, slot, sign, ligand, plan, room, lanes, contract):
    """The first pass's products alone or its sums alone, in the order of a search."""
    side = plan.rows.shape[0]
    for start in range(0, slot.shape[0], inverse.TURNS):
        for y in range(side):
            for z in range(0, side // 2 + 1, inverse.COLUMNS):
                columns = plan.rows[y, side // 2 + 1] - plan.rows[y, side // 2] - z
                columns = min(inverse.COLUMNS, columns)
                if columns <= 0:
                    continue
                for t in range(start, min(start + inverse.TURNS, slot.shape[0])):
                    if contract:
                        inverse.products(
                            receptor, slot[t], sign[t], ligand, plan, room, y, z, columns, lanes
                        )
                    else:
                        row = z // inverse.COLUMNS * side + y
                        middle = room.middle[t - start]
                        inverse.line(room.line, 0, plan, room, middle, row, columns * lanes)


@compiled
def second_sums(plan, room, lanes, turns):
    """Sums over k_y, and their turning for the last pass."""
    side = plan.rows.shape[0]
    for t in range(turns):
        for x in range(room.volume.shape[0]):
            for z in range(0, side // 2 + 1, inverse.COLUMNS):
                columns = min(inverse.COLUMNS, side // 2 + 1 - z)
                middle = room.middle[t % inverse.TURNS, x]
                row = z // inverse.COLUMNS * side
                inverse.line(middle, row, plan, room, room.plane, 0, columns * lanes)
                inverse.turn(room, z, columns, lanes)


@compiled
def last_sums(plan, room, lanes, turns, locate):
    """Sums over k_z with the largest value of every line and, if asked, of every map."""
    best = np.zeros((turns, lanes), room.top.dtype)
    place = np.zeros((turns, lanes, 3), np.int64)
    for t in range(turns):
        for x in range(room.volume.shape[0]):
            for y in range(0, room.volume.shape[0], inverse.COLUMNS):
                lines = min(inverse.COLUMNS, room.volume.shape[0] - y)
                deep = room.deep[y // inverse.COLUMNS]
                top = inverse.peaks(deep, plan, room, lines * lanes)
                if locate:
                    inverse.better(top, room, x, y, lines, lanes, best[t], place[t])
    return best, place


def parts(
    receptor: ReceptorSpectrum, ligand: ScalarField, rotations: torch.Tensor
) -> dict[str, tuple[Callable[[], object], int]]:
    """The translational step cut in pieces, for ``LANES`` orbits of 24, as (task, maps)."""
    spectra = LaneSpectra(ligand.coefficients, ligand.positions, ligand.basis, receptor.sphere)
    slot, sign = (t.numpy() for t in receptor.sphere.turned_rows)
    sign, turns = sign.astype(np.float32), len(slot)
    plan = inverse.Plan.of(receptor.sphere, None, np.dtype(np.float32))
    room = inverse.Room.of(plan)
    some = rotations[:LANES]
    pair = (receptor.pairs, slot, sign, spectra(some), plan, room, LANES)
    inverse.search(*pair)  # so that work arrays hold what they hold in a search
    tasks = {
        "ligand spectrum": lambda: spectra(some),
        "contraction": lambda: first_sums(*pair, True),
        "sums over k_x": lambda: first_sums(*pair, False),
        "sums over k_y": lambda: second_sums(plan, room, LANES, turns),
        "sums over k_z and maxima of lines": lambda: last_sums(plan, room, LANES, turns, False),
        "the same and places of maxima": lambda: last_sums(plan, room, LANES, turns, True),
    }
    return {name: (task, turns * LANES) for name, task in tasks.items()}


def translational(rotations: int, rounds: int, fftw: bool) -> dict[str, object]:
    receptor = ReceptorSpectrum(random_field(RESIDUES, 6.0, 0), Grid(BOX, SPACING), K_MAX)
    ligand = random_field(LIGAND_ATOMS, 3.0, 1)
    cubic = cubic_grid(rotations).float()
    hopf = hopf_grid(1).float()
    kinds = {
        "box, compiled": (cubic, {}),
        "box, compiled, Hopf grid": (hopf, {}),
        "window, compiled": (cubic, {"window": WINDOW}),
        "box, matrix": (cubic, {"transform": "matrix"}),
    }
    tasks = bare_transforms(fftw) | {
        name: (
            lambda grid=grid, options=options: correlate_translations(
                receptor, ligand, grid, **options
            ),
            len(grid),
        )
        for name, (grid, options) in kinds.items()
    }
    pieces = parts(receptor, ligand, cubic)
    both = tasks | pieces
    seconds = interleaved({name: task for name, (task, _) in both.items()}, rounds)
    per_map = {name: 1e3 * seconds[name] / count for name, (_, count) in both.items()}
    bare = min(per_map["scipy, one"], per_map["scipy, batch"])
    split = {name: per_map[name] for name in pieces}
    split["places of maxima"] = (
        split.pop("the same and places of maxima") - split["sums over k_z and maxima of lines"]
    )
    split["all else"] = per_map["box, compiled"] - sum(split.values())
    side = 2 * int(WINDOW / SPACING) + 1
    rates = {
        name: {
            # A whole-box search scores every shift; only side**3 of them lie in the window.
            "full_box_per_s": None if "window" in name else BOX**3 / per_map[name] * 1e3,
            "in_window_per_s": side**3 / per_map[name] * 1e3,
        }
        for name in kinds
    }
    return {
        "rotations": len(cubic),
        "ms_per_rotation": {name: per_map[name] for name in tasks},
        "over_bare_scipy": {name: per_map[name] / bare for name in kinds},
        "ms_of_parts_of_box_compiled": split,
        "parts_over_bare_scipy": {name: time / bare for name, time in split.items()},
        "poses_per_second": rates,
    }


def unfolded(count: int) -> Callable[[], object]:
    """The dense expansion: inverse Gram matrix times coupling table times coefficients, each."""
    size, emitted = RADIAL * (LMAX + 1) ** 2, 45
    generator = torch.Generator().manual_seed(0)
    gram = torch.randn(size, size, generator=generator)
    table = torch.randn(size, emitted, generator=generator)
    coefficients = torch.randn(count, emitted, CHANNELS, generator=generator)
    return lambda: [(gram @ table) @ a for a in coefficients]


def rotational(rounds: int) -> dict[str, object]:
    receptor, ligand = random_field(RESIDUES, 6.0, 0), random_field(LIGAND_ATOMS, 3.0, 1)
    waves, few = SphericalWaves(K_MAX, RADIAL, LMAX), 4
    grid = EulerGrid.resolving(LMAX)
    centers = torch.zeros(8, 3)
    ready = expand(receptor, centers, waves)
    about = expand(ligand, ligand.center[None], waves)[0]
    tasks = {
        "unfolded": unfolded(few),
        "folded": lambda: expand(receptor, centers, waves),
        "overlap and transform": lambda: synthesize(ready, about, grid).flatten(1).max(1),
        "whole step": lambda: correlate_rotations(receptor, ligand, centers, waves=waves),
    }
    with torch.no_grad():
        seconds = interleaved(tasks, rounds)
    dense = 1e3 * seconds["unfolded"] / few
    folded = 1e3 * seconds["folded"] / (len(centers) * RESIDUES)
    whole = 1e3 * seconds["whole step"] / len(centers)
    transform = 1e3 * seconds["overlap and transform"] / len(centers)
    poses = int(np.prod(grid.shape))
    return {
        "lmax": LMAX,
        "radial": RADIAL,
        "residues": RESIDUES,
        "euler_grid": grid.shape,
        "ms_per_residue_unfolded": dense,
        "ms_per_residue_folded": folded,
        "expansion_speedup": dense / folded,
        "ms_per_center_overlap_and_transform": transform,
        "ms_per_center_whole_step": whole,
        "whole_step_speedup": (dense * RESIDUES + transform) / whole,
        "poses_per_second": poses / whole * 1e3,
        "poses_per_second_receptor_expanded": poses / transform * 1e3,
    }


def main(args: list[str] | None = None) -> dict[str, object]:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rotations", type=int, default=1992, help="size of the rotation grid")
    parser.add_argument("--rounds", type=int, default=10, help="repetitions; the minimum counts")
    parser.add_argument(
        "--fftw", action="store_true", help="also time FFTW's bare transform (needs pyfftw)"
    )
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--out", type=Path, help="result file")
    given = parser.parse_args(args)
    if given.smoke:
        given.rotations, given.rounds = 216, 1
    torch.set_num_threads(1)
    result: dict[str, object] = {
        "date": strftime("%Y-%m-%d"),
        "load_average": os.getloadavg(),
        "versions": {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        "setting": f"{BOX} A, {SPACING} A, k_max {K_MAX}, {CHANNELS} channels, "
        f"{LIGAND_ATOMS} ligand atoms, 45 coefficients per atom and channel, float32, one thread",
        "rounds": given.rounds,
        "translational": translational(given.rotations, given.rounds, given.fftw),
        "rotational": rotational(given.rounds),
    }
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    main()
