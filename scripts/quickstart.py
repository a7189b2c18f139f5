"""Do one real job of each product that is ready, in under 4 minutes: python scripts/quickstart.py.

Leaves runs/quickstart/report.html (open it in a browser) and report.json. Running it again
replaces that folder's own runs, and nothing else.
"""

import time
from argparse import ArgumentParser
from pathlib import Path

from docking.showcase import docking_demo
from fields.demo import image_demo
from overparam.page import write_page
from overparam.report_file import peak_memory, versions, write_report


def main(args: list[str] | None = None) -> float:
    """Run the jobs; return the PSNR of the photograph."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"), help="folder")
    parser.add_argument("--side", type=int, default=192, help="pixels of the photograph's side")
    parser.add_argument("--steps", type=int, default=100, help="optimizer steps of each fit")
    parser.add_argument("--effort", type=float, default=1.0, help="of each docking search")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    given = parser.parse_args(args)
    began = time.monotonic()
    jobs, section = image_demo(given.out, side=given.side, steps=given.steps, seed=given.seed)
    docked, docking_section = docking_demo(given.out, seed=given.seed, effort=given.effort)
    kept = ("metrics", "sizes", "steps", "warnings")
    report = {"status": "finished", "command": "python scripts/quickstart.py", "seed": given.seed}
    every = {**jobs, **{f"dock_{name}": job for name, job in docked.items()}}
    report |= {key: {name: job.get(key) for name, job in every.items()} for key in kept}
    report |= {"wall_seconds": round(time.monotonic() - began, 1), **peak_memory()}
    write_report(given.out, report | {"versions": versions()})
    write_page(given.out / "report.html", "overparam: quick start", [section, docking_section])
    for name, job in jobs.items():
        print(f"{name}_psnr_db={job['metrics']['val/psnr']:.2f}")
        print(f"{name}_between_psnr_db={job['metrics']['between/psnr']:.2f}")
    for name, job in docked.items():
        metrics = job["metrics"]
        print(f"dock_{name}_kcal={-metrics['best_score']:.2f} rmsd_a={metrics['rmsd']:.2f}")
    print(f"seconds={report['wall_seconds']}\nreport={given.out / 'report.html'}")
    return jobs["image"]["metrics"]["val/psnr"]


if __name__ == "__main__":
    main()
