"""The photograph of the quick start: two recipes, scored on the pixels and between them."""

import json
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import interpolate

from fields.image import ImageSamples
from overparam import cli
from overparam.page import Section


def image_demo(
    out: Path, *, side: int = 256, steps: int = 100, seed: int = 0
) -> tuple[dict[str, dict[str, Any]], Section]:
    """Fit the photograph by a decaying rate and by the SIREN paper's recipe, in equal steps.

    Args:
        out: Folder for the runs; runs of ours in it are replaced.
        side: Pixels of the side fitted; the score between the pixels is at twice that.
        steps: Optimizer steps of each fit.
        seed: Seed of every random choice.

    Returns:
        Reports by name, with ``between/psnr`` among their metrics, and a section of a page.
    """
    words = ["--trainer.max_steps", str(steps), "--data.init_args.epoch_steps", str(steps)]
    words += ["--seed", str(seed), "--data.init_args.side"]
    rows = [["", "PSNR, dB", "between the pixels, dB", "parameters", "steps", "seconds"]]
    reports = {}
    titles = {"image": "ours (image)", "image_paper": "SIREN paper, 2020 (image_paper)"}
    for name, title in titles.items():
        report = _job("fit", name, out / name, [*words, str(side)])
        # twice the resolution: values the fit has never seen
        last = ["--ckpt_path", str(out / name / "last.ckpt"), *words, str(2 * side)]
        between = _job("validate", name, out / f"{name}_between", last)
        report["metrics"]["between/psnr"] = between["metrics"]["val/psnr"]
        reports[name] = report
        psnr = [f"{report['metrics'][key]:.2f}" for key in ("val/psnr", "between/psnr")]
        size, seconds = f"{report['sizes']['dense']:,}", f"{report['wall_seconds']:.0f}"
        rows.append([title, *psnr, size, report["steps"], seconds])
    rows.append(["bilinear interpolation", "", f"{between_by_bilinear(side):.2f}", "", "", ""])
    pictures = [(out / "image" / f"{name}.png", name) for name in ("overview", "psnr")]
    text = (
        f"A photograph as a function of two coordinates, fitted at {side} x {side} pixels and "
        f"scored there and, between the pixels, at {2 * side} x {2 * side}."
    )
    section = Section("fields: a photograph", text, reports["image"]["command"], rows, pictures)
    return reports, section


def between_by_bilinear(side: int) -> float:
    """PSNR, dB, of bilinear interpolation to twice the side: what any fit should beat."""
    pictures = []
    for size in (side, 2 * side):
        data = ImageSamples(side=size)
        data.setup("fit")
        pictures.append(data.y.view(1, 1, size, size))
    doubled = interpolate(pictures[0], scale_factor=2, mode="bilinear")
    return float(10 * torch.log10(4 / (doubled - pictures[1]).square().mean()))


def _job(command: str, config: str, out: Path, words: list[str]) -> dict[str, Any]:
    """Run what ``python -m fields COMMAND`` runs and return its report."""
    line = [command, "--config", config, "--out", str(out), "--overwrite", *words]
    if code := cli.run("fields", line):
        raise SystemExit(code)
    return json.loads((out / "report.json").read_text())
