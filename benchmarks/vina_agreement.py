"""Energies against the ``vina`` package, on the same prepared atoms.

    python benchmarks/vina_agreement.py --data-root DIR --complexes 200

For every complex (``<id>_protein.pdb``, ``<id>_ligand.sdf``) the crystal pose and ten perturbed
poses are scored by ``vina.Vina.score`` and by ``docking.vina_energy``, with Vina's table emulated
and with the exact pair functions. Writes every pose to ``vina_agreement.csv`` and a summary to
``vina_agreement.json`` and ``.md``. Needs the ``bench`` extra. Complexes that
Meeko cannot prepare are listed and replaced by the next. Exit code 3 if a pose disagrees for no
reason the benchmark finds.
"""

import argparse
import csv
import hashlib
import json
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation
from vina_typing import differences, literal_types

from docking.benchmark.preparation import atom_rows, ligand_pdbqt, positions, receptor_pdbqt
from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.physics import VinaTerms, vina_energy
from docking.torsion import apply_torsions

TOLERANCE = {"table": 1e-3, "exact": 2e-2}  # kcal/mol; the package rounds to 5e-4
SHIFT, TURN, TWIST = 0.3, 0.1, 0.1  # standard deviations: angstrom and radians
ENERGY_RANGE = 3.0  # kcal/mol, the package's default


def with_positions(pdbqt: str, x: np.ndarray) -> str:
    """The same text with other coordinates, rounded to the format's three decimals."""
    atoms = iter(x)
    return "\n".join(
        row[:30] + "".join(f"{c:8.3f}" for c in next(atoms)) + row[54:]
        if row.startswith(("ATOM", "HETATM"))
        else row
        for row in pdbqt.splitlines()
    )


def perturbed(
    receptor: Receptor, ligand: Ligand, count: int, rng: np.random.Generator
) -> np.ndarray:
    """The pose itself, then ``count`` poses with all degrees of freedom disturbed.

    A draw further above the crystal pose than the energy range Vina reports poses in is drawn again
    at three quarters of the amplitude: Vina's table errs in proportion to the clashes of a pose, by
    0.1 kcal/mol at +100, which no search returns.
    """
    x = ligand.coords
    assert x is not None
    ceiling = float(vina_energy(receptor, ligand, x)) + ENERGY_RANGE
    poses, scale = [np.round(x, 3)], 1.0
    while len(poses) <= count:
        y = x
        if ligand.torsions:
            angles = rng.normal(0, scale * TWIST, len(ligand.torsions))
            y = apply_torsions(x, ligand.torsions, angles)
        centre = y.mean(0)
        turn = Rotation.from_rotvec(rng.normal(0, scale * TURN, 3)).as_matrix()
        y = (y - centre) @ turn.T + centre + rng.normal(0, scale * SHIFT, 3)
        if scale > 0.05 and vina_energy(receptor, ligand, y) > ceiling:
            scale *= 0.75
        else:
            poses.append(np.round(y, 3))
            scale = 1.0
    return np.array(poses)


def peer_energy(receptor: Path, text: str) -> list[float]:
    """Total, ligand-receptor and ligand's own energy of a pose by the package."""
    import vina  # here alone: Open Babel's iterators end a process that has imported it

    peer = vina.Vina(cpu=1, seed=1, verbosity=0)
    peer.set_receptor(str(receptor))
    peer.set_ligand_from_string(text)
    x = positions(text)
    low, high = x.min(0), x.max(0)
    # The package scores with explicit atoms, yet needs maps that hold the pose: coarse ones do.
    peer.compute_vina_maps(((low + high) / 2).tolist(), (high - low + 4).tolist(), spacing=1.0)
    energies = peer.score()
    return [float(energies[i]) for i in (0, 1, 5)]


def aside(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function in a fork of its own; what it imports and takes is gone with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def peer_energies(receptor: Path, texts: list[str], kept: Path) -> np.ndarray:
    """``peer_energy`` of every pose, ``(p, 3)``, kept in a file for the next run.

    Each pose has a process of its own: the package never gives back what it takes for a ligand, a
    gigabyte if it is large.
    """
    digest = hashlib.sha256("".join([receptor.read_text(), *texts]).encode()).hexdigest()
    if kept.exists():
        known = json.loads(kept.read_text())
        if known["digest"] == digest:
            return np.array(known["energies"])
    energies = []
    for text in texts:
        energies.append(aside(peer_energy, receptor, text))
    kept.write_text(json.dumps({"digest": digest, "energies": energies}))
    return np.array(energies)


def compare(key: str, folder: Path, args: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Rows of one complex, or one row that names what failed."""
    stage = "receptor preparation"
    try:
        receptor_file, ligand_file = work / f"{key}_receptor.pdbqt", work / f"{key}_crystal.pdbqt"
        if not receptor_file.exists():
            text = aside(receptor_pdbqt, folder / f"{key}_protein.pdb")
            receptor_file.write_text(text)
        stage = "ligand preparation"
        if not ligand_file.exists():
            crystal = Ligand.from_file(folder / f"{key}_ligand.sdf")
            assert crystal.coords is not None
            ligand_file.write_text(aside(ligand_pdbqt, crystal, crystal.coords, rigid=False))
        text = ligand_file.read_text()
        stage = "docking reader"
        receptor, ligand = Receptor.from_file(receptor_file), Ligand.from_pdbqt(ligand_file)
        rng = np.random.default_rng([args.seed, zlib.crc32(key.encode())])
        poses = perturbed(receptor, ligand, args.poses, rng)
        texts = [with_positions(text, pose) for pose in poses]
        assert np.array_equal(positions(texts[-1]), poses[-1])
        stage = "vina package"
        peer = peer_energies(receptor_file, texts, work / f"{key}_vina.json")
        stage = "vina_energy"
        started = time.process_time()
        table: VinaTerms = vina_energy(receptor, ligand, poses, table=True, terms=True)
        between = time.process_time()
        exact: VinaTerms = vina_energy(receptor, ligand, poses, terms=True)
        seconds = between - started, time.process_time() - between
        reason = ""
        if np.abs(table.total - peer[:, 0]).max() > TOLERANCE["table"]:
            stage = "explanation"
            reason = explain(receptor, receptor_file.read_text(), ligand, poses, peer[:, 0])
    except Exception as error:  # a failure is a row of the table
        return [{"id": key, "status": stage, "reason": f"{type(error).__name__}: {error}"[:200]}]
    return [
        {
            "id": key, "status": "ok", "pose": p, "heavy_atoms": int(ligand.heavy.sum()),
            "torsions": ligand.num_torsions,
            "vina_total": peer[p, 0], "table_total": table.total[p], "exact_total": exact.total[p],
            "vina_inter": peer[p, 1], "table_inter": table.inter[p], "exact_inter": exact.inter[p],
            "vina_intra": peer[p, 2], "table_intra": table.intra[p], "exact_intra": exact.intra[p],
            "table_cpu_ms": 1e3 * seconds[0] / len(poses),
            "exact_cpu_ms": 1e3 * seconds[1] / len(poses), "reason": reason,
        }
        for p in range(len(poses))
    ]  # fmt: skip


def explain(
    receptor: Receptor, pdbqt: str, ligand: Ligand, poses: np.ndarray, peer: np.ndarray
) -> str:
    """Which receptor types differ from Vina's, if they account for the whole difference."""
    rows, ours = atom_rows(pdbqt), receptor.vina_type.copy()
    literal = literal_types(receptor.positions, [row[77:].strip() for row in rows])
    receptor.vina_type = literal
    left = np.abs(vina_energy(receptor, ligand, poses, table=True) - peer).max()
    receptor.vina_type = ours
    if left > TOLERANCE["table"]:
        return ""
    return f"types differ, with Vina's {left:.4f} is left: {differences(rows, ours, literal)}"


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts, errors and the list of disagreements."""
    good = [row for row in rows if row["status"] == "ok"]
    out: dict[str, Any] = {
        "complexes": len({row["id"] for row in good}),
        "poses": len(good),
        "failed": {r["id"]: f"{r['status']}: {r['reason']}" for r in rows if r["status"] != "ok"},
        "disagreements": {row["id"]: row["reason"] for row in good if row["reason"]},
    }
    # A complex whose atoms got other types is listed with the reason and left out of the errors.
    good = [row for row in good if not row["reason"]]
    if not good:
        raise SystemExit(f"no complex could be compared: {out}")
    gaps = {
        (mode, part): np.array([abs(row[f"{mode}_{part}"] - row[f"vina_{part}"]) for row in good])
        for part in ("total", "inter", "intra")
        for mode in TOLERANCE
    }
    for (mode, part), gap in gaps.items():
        tolerance = TOLERANCE[mode]
        out[f"{mode}_{part}"] = {
            "tolerance": tolerance,
            "mean": float(gap.mean()),
            "p99": float(np.quantile(gap, 0.99)),
            "max": float(gap.max()),
            "poses_over": int((gap > tolerance).sum()),
            "crystal_poses_over": sum(
                bool(g > tolerance and row["pose"] == 0) for row, g in zip(good, gap, strict=True)
            ),
        }
    # Where the emulated table agrees, what the exact functions differ by is Vina's table alone.
    table_off = gaps["table", "total"] > TOLERANCE["table"]
    exact_off = gaps["exact", "total"] > TOLERANCE["exact"]
    out["exact_total"]["poses_over_by_vina_table"] = int((exact_off & ~table_off).sum())
    out["unexplained_poses"] = int(table_off.sum())
    for mode in TOLERANCE:
        out[f"{mode}_cpu_ms_per_pose"] = float(np.median([row[f"{mode}_cpu_ms"] for row in good]))
    return out


def markdown(summary: dict[str, Any]) -> str:
    """The summary as a table."""
    lines = [
        f"{summary['complexes']} complexes, {summary['poses']} poses; kcal/mol. "
        f"Unexplained: {summary['unexplained_poses']} poses.",
        "",
        "| energy | mean | 99 % | max | tolerance | poses over | of them crystal |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in ("total", "inter", "intra"):
        for mode in TOLERANCE:
            s = summary[f"{mode}_{part}"]
            errors = f"{s['mean']:.1e} | {s['p99']:.1e} | {s['max']:.1e} | {s['tolerance']:g}"
            over = f"{s['poses_over']} | {s['crystal_poses_over']}"
            lines.append(f"| {part}, {mode} | {errors} | {over} |")
    by_table = summary["exact_total"]["poses_over_by_vina_table"]
    lines += [
        "",
        f"Of the exact totals over the tolerance, {by_table} are Vina's table alone: emulated, the "
        "same poses agree.",
        "",
        *(f"- {key}: {reason}" for key, reason in summary["disagreements"].items()),
        *(f"- {key}: failed, {reason}" for key, reason in summary["failed"].items()),
    ]
    return "\n".join(lines) + "\n"


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, required=True, help="folder of complexes")
    parser.add_argument("--complexes", type=int, default=200, help="how many to compare")
    parser.add_argument("--poses", type=int, default=10, help="perturbed poses per complex")
    parser.add_argument("--prepared", type=Path, help="folder to keep and reuse prepared files in")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(args)
    files = sorted(given.data_root.rglob("*_protein.pdb"))
    if not files:
        print(f"no <id>_protein.pdb under {given.data_root}", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        work = given.prepared or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        for file in files:
            if len({row["id"] for row in rows if row["status"] == "ok"}) == given.complexes:
                break
            key = file.name.removesuffix("_protein.pdb")
            rows += compare(key, file.parent, given, work)
            print(key, rows[-1]["status"], rows[-1]["reason"], flush=True)
    with (given.out / "vina_agreement.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, max((list(row) for row in rows), key=len))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()})
    if not any(row["status"] == "ok" for row in rows):
        print("every complex failed", file=sys.stderr)
        return 3
    summary = summarise(rows)
    (given.out / "vina_agreement.json").write_text(json.dumps(summary, indent=1) + "\n")
    (given.out / "vina_agreement.md").write_text(markdown(summary))
    print(markdown(summary))
    return 3 if summary["unexplained_poses"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
