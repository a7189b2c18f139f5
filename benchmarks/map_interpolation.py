"""Error of interpolated pocket maps against exact pair sums, over lattice spacing.

    python benchmarks/map_interpolation.py --data-root DIR --complexes 20

For every complex (``<id>_protein.pdb``, ``<id>_ligand.sdf``) the maps of the ligand's box are built
at each spacing; the crystal pose and perturbed poses that stay inside are read from them and summed
exactly. Printed: error of a pose's energy (mean, root mean square, largest), root mean square error
of one atom and of its gradient, CPU time to build the maps and to read one pose with gradient, and
size. Writes ``map_interpolation.json`` and ``.md``.
"""

import argparse
import json
import sys
import time
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from docking.box import Box
from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.physics import ATOM_CAP, atom_terms
from docking.pocket_map import PocketField
from docking.torsion import apply_torsions
from docking.vina_table import cap

SPACINGS = (1.0, 0.75, 0.5, 0.375, 0.3, 0.25)
POSES = 30
SHIFT, TURN, TWIST = 0.4, 0.15, 0.15  # standard deviations: angstrom and radians
NEAR = 20.0  # kcal/mol above the crystal pose: where a search has to be right


def poses_of(ligand: Ligand, box: Box, rng: np.random.Generator) -> torch.Tensor:
    """The crystal pose and perturbed ones inside the box."""
    x = ligand.coords
    assert x is not None
    poses = [x]
    while len(poses) < POSES:
        y = x
        if ligand.torsions:
            y = apply_torsions(x, ligand.torsions, rng.normal(0, TWIST, len(ligand.torsions)))
        turn = Rotation.from_rotvec(rng.normal(0, TURN, 3)).as_matrix()
        y = (y - y.mean(0)) @ turn.T + y.mean(0) + rng.normal(0, SHIFT, 3)
        if box.contains(y[ligand.heavy]).all():
            poses.append(y)
    return torch.as_tensor(np.array(poses))


def errors(file: Path, seed: int) -> dict[tuple[str, float], dict[str, Any]]:
    """Raw errors of one complex by method and spacing."""
    key = file.name.partition("_protein.pdb")[0]
    receptor = Receptor.from_file(file)
    ligand = Ligand.from_file(file.with_name(f"{key}_ligand.sdf"))
    box = Box.from_ligand(ligand)
    x = poses_of(ligand, box, np.random.default_rng([seed, zlib.crc32(key.encode())]))
    kinds = torch.as_tensor(ligand.vina_type)
    x, kinds = x[:, kinds >= 0].requires_grad_(), kinds[kinds >= 0]
    y = torch.as_tensor(receptor.positions), torch.as_tensor(receptor.vina_type)
    exact = cap(atom_terms(x, kinds, *y).sum(-1), ATOM_CAP)
    (slope,) = torch.autograd.grad(exact.sum(), x)
    x, exact = x.detach(), exact.detach()
    near = exact.sum(-1) < exact[0].sum() + NEAR
    x, exact, slope = x[near], exact[near], slope[near]
    found = {}
    for method in ("cubic", "linear"):
        for spacing in SPACINGS:
            started = time.process_time()
            field = PocketField.build(receptor, box, spacing=spacing, method=method)
            built = time.process_time() - started
            read = min(_seconds(field, x, kinds) for _ in range(5))
            by_atom = torch.stack(
                [
                    field.energy(x[:, n : n + 1], kinds[n : n + 1], limit=ATOM_CAP)
                    for n in range(len(kinds))
                ],
                dim=1,
            )
            _, gradient = field.energy_and_gradient(x, kinds, limit=ATOM_CAP)
            found[method, spacing] = {
                "atom": (by_atom - exact).flatten().tolist(),
                "pose": (by_atom - exact).sum(-1).tolist(),
                "atom_scale": exact.flatten().tolist(),
                "gradient": (gradient - slope).flatten().tolist(),
                "gradient_scale": slope.flatten().tolist(),
                "build": built,
                "read": read / len(x),
                "bytes": field.nbytes,
            }
    return found


def _seconds(field: PocketField, x: torch.Tensor, kinds: torch.Tensor) -> float:
    started = time.process_time()
    field.energy_and_gradient(x, kinds, limit=ATOM_CAP)
    return time.process_time() - started


def summarise(found: list[dict[tuple[str, float], dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row per method and spacing, over all complexes."""
    rows = []
    for method, spacing in found[0]:
        parts = [each[method, spacing] for each in found]
        pool = {
            name: np.concatenate([part[name] for part in parts])
            for name in ("atom", "atom_scale", "pose", "gradient", "gradient_scale")
        }
        rms = {name: float(np.sqrt(np.mean(values**2))) for name, values in pool.items()}
        rows.append(
            {
                "method": method,
                "spacing": spacing,
                "pose_mean": float(pool["pose"].mean()),
                "pose_rms": rms["pose"],
                "pose_max": float(np.abs(pool["pose"]).max()),
                "atom_rms": rms["atom"],
                "atom_relative": rms["atom"] / rms["atom_scale"],
                "gradient_relative": rms["gradient"] / rms["gradient_scale"],
                "build_cpu_s": float(np.median([part["build"] for part in parts])),
                "build_cpu_s_max": float(np.max([part["build"] for part in parts])),
                "read_cpu_us_per_pose": 1e6 * float(np.median([part["read"] for part in parts])),
                "mebibytes": float(np.median([part["bytes"] for part in parts])) / 2**20,
            }
        )
    return rows


def markdown(rows: list[dict[str, Any]], complexes: int, poses: int) -> str:
    """The rows as a table."""
    lines = [
        f"{complexes} complexes, {poses} poses; kcal/mol. Relative: root mean square of the error "
        "over that of the quantity. 19 maps each.",
        "",
        "| method | spacing A | pose mean | pose rms | pose max | atom rms | atom relative "
        "| gradient relative | build CPU-s median (max) | read µs/pose | MiB |",
        "|---" * 11 + "|",
    ]
    for r in rows:
        lines.append(
            f"| {r['method']} | {r['spacing']:g} | {r['pose_mean']:+.3f} | {r['pose_rms']:.3f} | "
            f"{r['pose_max']:.2f} | {r['atom_rms']:.4f} | {r['atom_relative']:.2%} | "
            f"{r['gradient_relative']:.1%} | {r['build_cpu_s']:.2f} ({r['build_cpu_s_max']:.2f}) | "
            f"{r['read_cpu_us_per_pose']:.0f} | {r['mebibytes']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, help="folder of complexes; the bundled demo")
    parser.add_argument("--complexes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(args)
    root = given.data_root or Path(str(files("docking") / "demo"))
    complexes = sorted(root.rglob("*_protein.pdb*"))[: given.complexes]
    if not complexes:
        print(f"no <id>_protein.pdb under {root}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    found = [errors(file, given.seed) for file in complexes]
    rows = summarise(found)
    poses = sum(len(each[rows[0]["method"], rows[0]["spacing"]]["pose"]) for each in found)
    given.out.mkdir(parents=True, exist_ok=True)
    text = markdown(rows, len(found), poses)
    (given.out / "map_interpolation.json").write_text(json.dumps(rows, indent=1) + "\n")
    (given.out / "map_interpolation.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
