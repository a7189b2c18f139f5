"""Do one real job of each product that is ready, in under 4 minutes: python scripts/quickstart.py.

Leaves runs/quickstart/report.html (open it in a browser) and report.json. Running it again
replaces that folder's own runs, and nothing else.
"""

import json
import sys
import time
from argparse import ArgumentParser
from pathlib import Path

from overparam import cli
from overparam.page import Section, write_page
from overparam.run_report import peak_memory, versions, write_report

SAID = ("metrics", "sizes", "steps", "wall_seconds", "warnings")


def fit(config: str, out: Path, words: list[str]) -> dict:
    """Run one fit as ``python -m fields fit`` does and return its report."""
    command = ["fit", "--config", config, "--out", str(out), "--overwrite", *words]
    if code := cli.run("fields", command):
        sys.exit(code)
    return json.loads((out / "report.json").read_text())


def image_job(out: Path, side: int, steps: int, seed: int) -> tuple[dict, Section]:
    """Fit the photograph by our recipe and by the SIREN paper's, in the same number of steps."""
    words = ["--data.init_args.side", str(side), "--trainer.max_steps", str(steps)]
    words += ["--data.init_args.epoch_steps", str(steps), "--seed", str(seed)]
    ours = fit("image_fast", out / "image", words)
    paper = fit("image_paper", out / "image_paper", words)
    rows = [["recipe", "PSNR, dB", "parameters", "steps", "seconds"]]
    for name, report in {"ours (image_fast)": ours, "SIREN paper, 2020": paper}.items():
        psnr, size = report["metrics"]["val/psnr"], report["sizes"]["dense"]
        seconds = f"{report['wall_seconds']:.0f}"
        rows.append([name, f"{psnr:.2f}", f"{size:,}", report["steps"], seconds])
    pictures = [(out / "image" / f"{name}.png", name) for name in ("fit", "overview", "psnr")]
    text = f"A photograph as a function of two coordinates, fitted at {side} x {side} pixels."
    section = Section("fields: a photograph", text, ours["command"], rows, pictures)
    return {"image": ours, "image_paper": paper}, section


def main(args: list[str] | None = None) -> float:
    """Run the jobs; return the PSNR of the photograph."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"), help="folder")
    parser.add_argument("--side", type=int, default=128, help="pixels of the photograph's side")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of each fit")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    given = parser.parse_args(args)
    began = time.monotonic()
    jobs, section = image_job(given.out, given.side, given.steps, given.seed)
    report = {
        "status": "finished",
        "command": "python scripts/quickstart.py",
        "seed": given.seed,
        **{k: {name: job[k] for name, job in jobs.items()} for k in SAID},
        "wall_seconds": round(time.monotonic() - began, 1),
        **peak_memory(),
        "versions": versions(),
    }
    write_report(given.out, report)
    write_page(given.out / "report.html", "overparam: quick start", [section])
    psnr = {name: job["metrics"]["val/psnr"] for name, job in jobs.items()}
    for name, value in psnr.items():
        print(f"{name}_psnr_db={value:.2f}")
    print(f"seconds={report['wall_seconds']}\nreport={given.out / 'report.html'}")
    return psnr["image"]


if __name__ == "__main__":
    main()
