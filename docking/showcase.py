"""The docking job of the quick start: every demo ligand, from its graph alone, into its pocket."""

import json
from contextlib import redirect_stdout
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from docking.box import Box
from docking.ligand import Ligand
from docking.models import load_model
from docking.molecule import Receptor
from docking.pictures import draw_pose
from docking.symmetry import Symmetry
from overparam import cli
from overparam.page import Section

DEMO = Path(str(files("docking"))) / "demo"
SOLVED = 2.0  # angstrom of symmetric RMSD to the crystal pose


def docking_demo(
    out: Path, *, seed: int = 0, effort: float = 1.0
) -> tuple[dict[str, dict[str, Any]], Section]:
    """Dock the demo complexes as a user would and compare with the crystal.

    Args:
        out: Folder for the runs; runs of ours in it are replaced.
        seed: Seed of every random choice.
        effort: Multiplies the search's default length.

    Returns:
        Reports by complex, with ``rmsd`` and ``best_rmsd`` among their metrics, and a section of
        a page.
    """
    from docking.__main__ import COMMANDS

    rows: list[list[Any]] = [
        ["complex", "heavy atoms", "torsions", "kcal/mol", "crystal pose's", "RMSD, Å",
         "best of 9, Å", "start, Å", "seconds"]
    ]  # fmt: skip
    reports: dict[str, dict[str, Any]] = {}
    pictures, command = [], ""
    for file in sorted(_shorter(DEMO).glob("*_ligand.sdf")):
        key = file.name.removesuffix("_ligand.sdf")
        folder = out / f"dock_{key}"
        protein = file.with_name(f"{key}_protein.pdb.gz")
        words = ["dock", "--receptor", str(protein), "--ligand", str(file), "--box-from", str(file)]
        words += ["--seed", str(seed), "--effort", str(effort), "--out", str(folder)]
        with redirect_stdout(StringIO()):  # the page has the tables
            code = cli.run("docking", [*words, "--overwrite"], commands=COMMANDS)
        if code:
            raise SystemExit(code)
        report = json.loads((folder / "report.json").read_text())
        crystal = Ligand.from_file(file)
        poses = np.array([pose.coords for pose in Ligand.iter_file(folder / "poses.sdf")])
        apart = Symmetry.of(crystal.mol).rmsd(poses, _coords(crystal)[None])[:, 0]
        start = _start_rmsd(crystal, seed)
        model = load_model("physics")
        pocket = model.prepare(
            Receptor.from_file(protein).without_ligand(crystal), Box.from_ligand(crystal)
        )
        best = report["metrics"]["best_score"]
        report["metrics"] |= {
            "rmsd": float(apart[0]),
            "best_rmsd": float(apart.min()),
            "start_rmsd": start,
            "crystal_score": float(model.score(pocket, crystal)),
        }
        reports[key] = report
        seconds = report["metrics"]["search_seconds"]
        rows.append(
            [key, int(crystal.heavy.sum()), len(crystal.torsions), f"{-best:.2f}",
             f"{-report['metrics']['crystal_score']:.2f}", f"{apart[0]:.2f}", f"{apart.min():.2f}",
             f"{start:.2f}", f"{seconds:.1f}"]
        )  # fmt: skip
        picture = folder / "pose.png"
        title = f"{key}: {-best:.2f} kcal/mol, {apart[0]:.2f} Å from the crystal pose"
        draw_pose(picture, pocket, crystal, poses[0], _coords(crystal), title)
        pictures.append((picture, f"{key}, best pose"))
        command = command or "python -m docking " + " ".join(words)
    solved = sum(report["metrics"]["rmsd"] < SOLVED for report in reports.values())
    text = (
        "Ligands of five crystal structures, built from their molecular graph alone and docked "
        f"into the pocket they were found in: {solved} of {len(reports)} first poses lie within "
        f"{SOLVED:g} Å of the crystal's. Start: RMSD of a random placement in the box."
    )
    return reports, Section("docking: real ligands", text, command, rows, pictures)


def _shorter(folder: Path) -> Path:
    """The folder as seen from here, if it is below: commands are shown to be typed again."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _coords(ligand: Ligand) -> np.ndarray:
    assert ligand.coords is not None  # demo ligands lie in their pockets
    return ligand.coords


def _start_rmsd(ligand: Ligand, seed: int) -> float:
    """RMSD of the crystal conformer, turned at random, its centre anywhere in the box."""
    from scipy.spatial.transform import Rotation

    generator, box = np.random.default_rng(seed), Box.from_ligand(ligand)
    x = _coords(ligand)
    turned = (x - x.mean(0)) @ Rotation.random(rng=generator).as_matrix().T
    placed = turned + box.center + (generator.random(3) - 0.5) * box.size
    return float(Symmetry.of(ligand.mol).rmsd(placed[None], x[None])[0, 0])
