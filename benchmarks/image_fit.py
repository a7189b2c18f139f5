"""How well and how fast the picture presets fit, against their baselines.

    python benchmarks/image_fit.py            # about 25 minutes on two idle cores
    python benchmarks/image_fit.py --smoke    # seconds: shows that everything runs

Every run is the command a user types (``python -m fields fit --config image_paper ...``), and
every figure is read from the run folder. Writes ``benchmarks/results/image_fit.json`` and prints
a table.
"""

import csv
import io
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import stats

from fields import ImageSamples, SignalFit, gradient
from fields.image import pixel_grid
from fields.photograph import CAMERA, bicubic, psnr, quantise, read_photograph, shrink
from fields.stencil import sobel
from overparam import load_module
from overparam.cli import run

PRESETS = ("paper", "fast", "best")
SIDE = 256
RESULTS = Path(__file__).parent / "results" / "image_fit.json"


def score(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """PSNR of values in [0, 1], dB."""
    return psnr((ours.clamp(0, 1) - theirs).square().mean()).item()


def fit(preset: str, seed: int, side: int, steps: int | None, folder: Path) -> dict[str, Any]:
    """Run one preset as a user would and read its folder."""
    words = ["fit", "--config", f"image_{preset}", "--seed", str(seed), "--out", str(folder)]
    words += ["--data.init_args.side", str(side), "--trainer.enable_progress_bar", "false"]
    if steps is not None:
        words += ["--trainer.max_steps", str(steps), "--data.init_args.epoch_steps", "2"]
    wall, cpu = time.perf_counter(), time.process_time()
    if run("fields", words) != 0:
        raise SystemExit(f"{' '.join(words)} failed")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    report = json.loads((folder / "report.json").read_text())
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    scored = {int(r["step"]) + 1: float(r["val/psnr"]) for r in rows if r.get("val/psnr")}
    return {
        "preset": preset,
        "seed": seed,
        "steps": report["steps"],
        "psnr": report["metrics"]["val/psnr"],
        "psnr_at_100": scored.get(100),
        "psnr_at_500": scored.get(500),
        "parameters": report["sizes"]["dense"],
        "per_scalar": report["sizes"]["ratio"],
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        **generalisation(folder / "last.ckpt", side),
    }


def generalisation(checkpoint: Path, side: int) -> dict[str, float]:
    """Score the field between the pixels it saw, and its slopes at them.

    Pixels of the full photograph lie off the coarse ones' centres: pixel j of twice as many is at
    (j + 1/2) / 2 - 1/2 in coarse pixels.
    """
    module = load_module(checkpoint, SignalFit)
    full, _ = read_photograph(CAMERA)
    size = full.shape[0]
    ratio = size / side
    ends = [2 * ((j + 0.5) / ratio - 0.5) / (side - 1) - 1 for j in (0, size - 1)]
    values = module.evaluate(pixel_grid(size, size, [ends, ends]))
    data = ImageSamples(side=side)
    data.setup()
    slopes = gradient(module.field, data.x)[:, 0].flatten()
    finite = sobel(data.y.view(side, side, 1), data.signal["extent"]).flatten()
    return {
        "psnr_full": score((values.view(size, size, 1) + 1) / 2, full),
        "gradient_correlation": torch.corrcoef(torch.stack([slopes, finite]))[0, 1].item(),
    }


def baselines(side: int) -> dict[str, float]:
    """What costs nothing: the mean grey, cubic interpolation, and the usual file formats."""
    full, _ = read_photograph(CAMERA)
    small = shrink(full, side)
    picture = Image.fromarray(quantise(small)[..., 0].numpy())
    files = {}
    for name, options in (("png", {"optimize": True}), ("jpeg", {"quality": 95})):
        buffer = io.BytesIO()
        picture.save(buffer, name, **options)
        files[name] = buffer
    decoded = torch.from_numpy(np.array(Image.open(files["jpeg"])))
    return {
        "mean_psnr": score(small.mean().expand_as(small), small),
        "bicubic_psnr_full": score(bicubic(small, *full.shape[:2]), full),
        "png_bytes": files["png"].getbuffer().nbytes,
        "jpeg95_bytes": files["jpeg"].getbuffer().nbytes,
        "jpeg95_psnr": score(decoded[..., None] / 255, small),
    }


def interval(values: list[float | None]) -> tuple[float, float] | None:
    """Mean and half-width of its 95 % confidence interval (Student's t); half-width 0 for one."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    if len(known) == 1:
        return known[0], 0.0
    spread = statistics.stdev(known) / math.sqrt(len(known))
    return statistics.mean(known), stats.t.ppf(0.975, len(known) - 1) * spread


def table(runs: list[dict[str, Any]], trivial: dict[str, float]) -> str:
    """Markdown: one row per preset, mean ± 95 % interval over seeds."""
    columns = {
        "PSNR @100": "psnr_at_100",
        "PSNR @500": "psnr_at_500",
        "PSNR at end": "psnr",
        "at 512²": "psnr_full",
        "slope correlation": "gradient_correlation",
        "wall s": "wall_seconds",
        "CPU s": "cpu_seconds",
    }
    lines = [
        "| preset | steps | parameters | " + " | ".join(columns) + " |",
        "|---|---|---|" + "---|" * len(columns),
    ]
    for preset in dict.fromkeys(one["preset"] for one in runs):
        mine = [one for one in runs if one["preset"] == preset]
        cells = []
        for key in columns.values():
            found = interval([one[key] for one in mine])
            cells.append("-" if found is None else f"{found[0]:.2f} ± {found[1]:.2f}")
        head = f"| {preset} | {mine[0]['steps']} | {mine[0]['parameters']:,} | "
        lines.append(head + " | ".join(cells) + " |")
    lines += [
        "",
        f"Mean grey: {trivial['mean_psnr']:.2f} dB. Cubic interpolation to 512²: "
        f"{trivial['bicubic_psnr_full']:.2f} dB. The same picture as PNG: lossless in "
        f"{trivial['png_bytes']:,} bytes; as JPEG 95: {trivial['jpeg95_psnr']:.2f} dB in "
        f"{trivial['jpeg95_bytes']:,} bytes (fewer than any of the fields' weights take).",
    ]
    return "\n".join(lines)


def keep(runs: list[dict[str, Any]], side: int, out: Path | None) -> dict[str, Any]:
    """Everything known so far, written to ``out``: a stopped benchmark goes on with --resume."""
    result = {
        "picture": f"camera, {side}x{side}",
        "machine": {
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "system": platform.platform(),
        },
        "baselines": baselines(side),
        "runs": runs,
    }
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=2) + "\n")
    return result


def main(args: list[str] | None = None) -> dict[str, Any]:
    """Run the presets, write the JSON, print the table; return what was written."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3, help="runs per preset")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS))
    parser.add_argument(
        "--out", type=Path, help=f"JSON file; default {RESULTS.name} (not in smoke)"
    )
    parser.add_argument("--smoke", action="store_true", help="one seed, 4 steps, 32 pixels")
    parser.add_argument("--resume", action="store_true", help="keep the runs of the JSON file")
    given = parser.parse_args(args)
    side, steps, seeds = (32, 4, 1) if given.smoke else (SIDE, None, given.seeds)
    out = given.out or (None if given.smoke else RESULTS)
    runs = json.loads(out.read_text())["runs"] if given.resume and out and out.exists() else []
    done = {(one["preset"], one["seed"]) for one in runs}
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(seeds):  # seeds outside: a slow hour hits every preset alike
            for preset in given.presets:
                if (preset, seed) in done:
                    continue
                folder = Path(scratch) / f"{preset}_{seed}"
                runs.append(fit(preset, seed, side, steps, folder))
                print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
                result = keep(runs, side, out)
    result = result or keep(runs, side, out)
    print(table(runs, result["baselines"]))
    return result


if __name__ == "__main__":
    main()
