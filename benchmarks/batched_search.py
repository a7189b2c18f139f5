"""The batched search beside the compiled one: time, energies found, energies computed per second.

``python benchmarks/batched_search.py --effort 0.25 --widths 1 16 64 --out FILE`` docks the demo
complexes, with torsions held and free, by the compiled search on one thread and by the batched one
on every device there is, the work of a flexible ligand split over more and shorter chains
(``docking.search.batched.widened``; the compiled search does the widest split, too). Contestants
take turns within a round; every round has a seed of its own. Printed: the least wall and CPU time
of all rounds, the median of the best energies after the same refinement with exact pair sums, which
is on no clock, and energies computed per second of wall time. Before that, how many energies with
gradients a device computes per second, by how many at once. Writes JSON with ``--out``;
``--smoke`` runs one complex in seconds.
"""

import json
import platform
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from docking.box import Box
from docking.ligand import Ligand
from docking.model import PhysicsModel
from docking.molecule import Receptor
from docking.search.batched import search_batched, widened
from docking.search.batched_energy import energies
from docking.search.batched_problem import DeviceBody, DeviceMaps
from docking.search.engine import Budget, Minima, distinct, refine, search
from docking.search.problem import Body, Maps, flexible, search_maps

DEMO = Path(str(files("docking"))) / "demo"
REFINED = 30


def devices() -> list[str]:
    """The processor, and an accelerator with 64-bit numbers if there is one."""
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def problems(count: int) -> Iterator[tuple[str, Maps, Body]]:
    """Demo complexes, their torsions held and, if there are any, free."""
    model = PhysicsModel()
    for path in sorted(DEMO.glob("*_ligand.sdf"))[:count]:
        key = path.name.partition("_ligand")[0]
        ligand = Ligand.from_file(path)
        receptor = Receptor.from_file(DEMO / f"{key}_protein.pdb.gz").without_ligand(ligand)
        pocket = model.prepare(receptor, Box.from_ligand(ligand))
        maps = search_maps(pocket)
        assert ligand.coords is not None
        for rigid in (True, False) if ligand.num_torsions else (True,):
            laid = flexible(ligand, pocket, ligand.coords[None], np.zeros(1), rigid=rigid)
            yield f"{key} {'rigid' if rigid else 'flexible'}", maps, laid.body


def per_second(maps: DeviceMaps, body: Body, poses: int, repeats: int) -> float:
    """Energies with gradients of poses in the box, per second of wall time, at the best."""
    generator = np.random.default_rng(0)
    states = generator.normal(size=(poses, len(body.scale) + 1))
    states[:, :3] = maps.middle + states[:, :3]
    states[:, 3:7] /= np.linalg.norm(states[:, 3:7], axis=1, keepdims=True)
    ligand = DeviceBody.of(body, maps)
    where = maps.values.device
    given = torch.as_tensor(states, device=where)
    conformer = torch.zeros(poses, dtype=torch.int64, device=where)
    least = np.inf
    for _ in range(repeats + 1):
        started = time.perf_counter()
        energies(maps, ligand, conformer, given)[0].cpu()
        least = min(least, time.perf_counter() - started)
    return poses / least


def contest(
    maps: Maps, body: Body, runs: dict[str, Callable[[int], Minima]], rounds: int
) -> dict[str, dict[str, float]]:
    """Run contestants in turns; a figure each."""
    found: dict[str, list[tuple[float, float, float, int]]] = {name: [] for name in runs}
    for run in runs.values():
        run(0)  # compiled, loaded and in memory before any clock
    for seed in range(rounds):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            minima = run(seed)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            exact = refine(maps, body, minima, distinct(minima, 0.5, REFINED))
            found[name].append((wall, cpu, float(exact.energies[0]), minima.evaluations))
    table = {}
    for name, rows in found.items():
        walls, cpus, best, counts = (np.array(column) for column in zip(*rows, strict=True))
        table[name] = {
            "wall_s": float(walls.min()),
            "cpu_s": float(cpus.min()),
            "best": float(np.median(best)),
            "lowest": float(best.min()),
            "evaluations": float(counts.mean()),
            "per_second": float((counts / walls).max()),
        }
    return table


def contestants(
    maps: Maps, body: Body, effort: float, widths: list[int]
) -> dict[str, Callable[[int], Minima]]:
    """The searches to compare, by name."""
    budget = Budget.of(len(body.parents) - 1, len(body.kinds), effort)
    splits = list(dict.fromkeys(widened(budget, width) for width in sorted(widths)))
    runs: dict[str, Callable[[int], Minima]] = {
        f"compiled, {split.chains} chains": partial(_compiled, maps, body, split)
        for split in (budget, splits[-1])
    }
    for device in devices():
        where = DeviceMaps.of(maps, device)
        for split in splits:
            runs[f"{device}, {split.chains} chains"] = partial(_batched, where, body, split)
    return runs


def _compiled(maps: Maps, body: Body, budget: Budget, seed: int) -> Minima:
    return search(maps, body, budget, seed=seed)


def _batched(maps: DeviceMaps, body: Body, budget: Budget, seed: int) -> Minima:
    return search_batched(maps, body, budget, seed=seed)


def main(args: list[str] | None = None) -> dict[str, Any]:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--effort", type=float, default=0.25)
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--poses", type=int, nargs="+", default=[256, 2048, 16384])
    parser.add_argument("--complexes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of torch on the processor")
    parser.add_argument("--out", type=Path, help="file for the results as JSON")
    parser.add_argument("--smoke", action="store_true", help="one complex, in seconds")
    given = parser.parse_args(args)
    if given.smoke:
        given.effort, given.widths, given.poses = 0.02, [8], [64]
        given.complexes, given.rounds = 1, 1
    torch.set_num_threads(given.threads)
    names = {"cpu": platform.processor() or platform.machine()}
    if "cuda" in devices():
        names["cuda"] = torch.cuda.get_device_name()
    print(f"torch {torch.__version__}, " + ", ".join(f"{k}: {v}" for k, v in names.items()))
    rows: dict[str, Any] = {}
    for title, maps, body in problems(given.complexes):
        rates = {
            device: {
                poses: per_second(DeviceMaps.of(maps, device), body, poses, 1 if given.smoke else 3)
                for poses in given.poses
            }
            for device in devices()
        }
        print(f"\n{title}: {len(body.kinds)} heavy atoms, {len(body.pairs)} own pairs")
        for device, rate in rates.items():
            at = ", ".join(f"{each:.3g} of {poses}" for poses, each in rate.items())
            print(f"  {device}: energies and gradients per second: {at} at once")
        runs = contestants(maps, body, given.effort, given.widths)
        table = contest(maps, body, runs, given.rounds)
        for name, row in table.items():
            print(
                f"  {name:24s} wall {row['wall_s']:7.3f} s  CPU {row['cpu_s']:7.3f} s  "
                f"best {row['best']:7.2f} (lowest {row['lowest']:7.2f})  "
                f"{row['per_second']:9.3g} energies/s",
                flush=True,
            )
        rows[title] = {"energies_per_second": rates, "searches": table}
    if given.out:
        settings = {key: value for key, value in vars(given).items() if key != "out"}
        about = {"torch": torch.__version__, "devices": names, "settings": settings}
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    return rows


if __name__ == "__main__":
    main()
