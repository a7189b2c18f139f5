"""Training steps on derivatives: one forward pass against nested automatic differentiation.

    python benchmarks/jet_speed.py --out benchmarks/results    # about 5 minutes of one core
    python benchmarks/jet_speed.py --tasks laplacian           # prints only; with --out, the rows
                                                               # of other tasks are kept
    python benchmarks/jet_speed.py --smoke                     # seconds: shows that it runs

Each task is one step, loss and gradient in the weights, on equal points, weights and loss:

    nested          in the style of the SIREN authors' code (section 3 of their paper): layers as
                    sin(30 (W x + b)), one reverse pass with ``create_graph`` for every component
                    of every Jacobian, all points at once
    jet             ``fields.jet`` on all points at once (it works on 2048 at a time; one graph)
    nested chunked  as nested, with ``fields.chunked_mean``: 1024 points at a time
    jet chunked     as jet, likewise

CPU time of one thread, contestants interleaved, so that what else the machine does hits all
alike. Ratios are of the least times and, in brackets, the middle 80 % over rounds. Memory is the
peak resident size that one step adds, each in a process of its own. Agreement is the largest
relative difference of loss and weight gradients, in double precision on 64 points, and in the
timed single precision.
"""

import json
import os
import resource
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _jet_losses import (
    Loss,
    PlainSiren,
    jet_gradient,
    jet_helmholtz,
    jet_laplacian,
    jet_wave,
    nested_gradient,
    nested_helmholtz,
    nested_laplacian,
    nested_wave,
)
from _table import markdown, write
from interleave import compare, interleave
from torch import Tensor, nn

import fields

CHUNK = 1024


class Task(NamedTuple):
    """A step to time: points, coordinates, outputs, the two losses, the goal of the ratio."""

    points: int
    coordinates: int
    outputs: int
    nested: Loss
    jet: Loss
    goal: float


TASKS = {
    "laplacian": Task(16_384, 2, 1, nested_laplacian, jet_laplacian, 1.9),
    "wave": Task(4_096, 3, 1, nested_wave, jet_wave, 1.5),
    "helmholtz-pml": Task(4_096, 2, 2, nested_helmholtz, jet_helmholtz, 3.3),
    "inversion": Task(1_024, 2, 11, nested_helmholtz, jet_helmholtz, 40.0),
    "gradient": Task(16_384, 2, 1, nested_gradient, jet_gradient, 1.0),
}
MEMORY_GOAL = 0.6
STYLES = ("nested", "jet", "nested chunked", "jet chunked")


def steps(
    name: str, points: int, width: int, dtype: torch.dtype
) -> tuple[fields.Siren, dict[str, Callable[[], Tensor]]]:
    """Return the field and, for each style, a call that leaves gradients and returns the loss."""
    task = TASKS[name]
    torch.manual_seed(0)
    field = fields.Siren(task.coordinates, task.outputs, width=width, depth=4).to(dtype)
    plain = PlainSiren(field)
    x = torch.rand(points, task.coordinates, dtype=dtype) * 2 - 1
    target = torch.randn(points, 2, dtype=dtype)

    def step(loss: Loss, module: nn.Module, chunked: bool) -> Callable[[], Tensor]:
        def run() -> Tensor:
            field.zero_grad(set_to_none=True)
            if chunked:
                total = fields.chunked_mean(
                    lambda *part: loss(module, *part), field.parameters(), (x, target), CHUNK
                )
            else:
                total = loss(module, x, target)
            total.backward()
            return total.detach()

        return run

    return field, {
        style: step(task.nested, plain, "chunked" in style)
        if style.startswith("nested")
        else step(task.jet, field, "chunked" in style)
        for style in STYLES
    }


def gap(name: str, points: int, width: int, dtype: torch.dtype) -> float:
    """Largest relative difference of loss and weight gradients between the styles."""
    field, runs = steps(name, points, width, dtype)
    found = []
    for run in runs.values():
        loss = run()
        zeros = torch.zeros_like
        found.append([loss] + [zeros(p) if p.grad is None else p.grad for p in field.parameters()])
    return max(
        float((one - other).norm() / other.norm().clamp(min=1e-30))
        for row in found[1:]
        for one, other in zip(row, found[0], strict=True)
    )


def added_memory(name: str, style: str, points: int, width: int) -> float:
    """Megabytes that one step adds to a fresh process."""
    words = [sys.executable, __file__, "--memory", name, style, str(points), str(width)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def print_memory(name: str, style: str, points: int, width: int) -> None:
    """Do one step and print by how much the peak resident size grew."""
    torch.set_num_threads(1)
    _, runs = steps(name, 8, width, torch.float32)
    runs[style]()  # what the first call of each operation loads is no step's memory
    _, runs = steps(name, points, width, torch.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    runs[style]()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def measure(name: str, points: int, width: int, rounds: int) -> dict[str, Any]:
    """Time, memory and agreement of one task."""
    row: dict[str, Any] = {"task": name, "points": points, "outputs": TASKS[name].outputs}
    row["goal"], row["memory_goal"] = TASKS[name].goal, MEMORY_GOAL
    # a single chunk is all points at once
    styles = STYLES if points > CHUNK else STYLES[:2]
    row["megabytes"] = {style: added_memory(name, style, points, width) for style in styles}
    row["memory_ratio"] = row["megabytes"]["jet"] / max(row["megabytes"]["nested"], 1e-9)
    row["difference_float64"] = gap(name, 64, width, torch.float64)
    row["difference_float32"] = gap(name, points, width, torch.float32)
    _, runs = steps(name, points, width, torch.float32)
    times = interleave({style: runs[style] for style in styles}, rounds=rounds, repeats=1)
    row["milliseconds"] = {
        style: {"min": min(found), "median": float(np.median(found))}
        for style, found in times.items()
    }
    pairs = [("nested", style) for style in styles[1:]] + [("nested chunked", "jet chunked")]
    for slow, fast in pairs:
        if slow in times:
            row[f"{slow} / {fast}"] = compare(times, slow, fast)
    return row


def small_network(rounds: int) -> dict[str, Any]:
    """Time a network that calls cost more than arithmetic: 5 x 100 tanh, as PDE suites use."""
    torch.manual_seed(0)
    field = fields.MLPField(2, 1, width=100, depth=5, activation=fields.Tanh())
    x, target = torch.rand(CHUNK, 2) * 2 - 1, torch.randn(CHUNK, 2)
    compiled = fields.CompiledJet(field, "laplacian")
    losses = {
        "nested": lambda: nested_laplacian(field, x, target),
        "jet": lambda: jet_laplacian(field, x, target),
        "compiled": lambda: (compiled(x)[2][:, 0] - target[:, 0]).square().mean(),
    }
    calls = {name: lambda loss=loss: loss().backward() for name, loss in losses.items()}
    started = time.perf_counter()
    calls["compiled"]()
    first = time.perf_counter() - started
    times = interleave(calls, rounds=4 * rounds, repeats=2)
    return {
        "milliseconds": {name: min(found) for name, found in times.items()},
        "nested / jet": compare(times, "nested", "jet"),
        "jet / compiled": compare(times, "jet", "compiled"),
        "first_call_wall_s": first,
    }


def table(rows: list[dict[str, Any]]) -> str:
    head = ["step", "points", *(f"{style}, ms min (median)" for style in STYLES)]
    head += ["nested / jet", "goal", "both chunked", "memory, MB: " + ", ".join(STYLES)]
    head += ["jet / nested memory", "difference, float64 (float32)"]
    lines = []
    for row in rows:
        size, ratio = row["megabytes"], row["nested / jet"]
        times = {s: f"{t['min']:.0f} ({t['median']:.0f})" for s, t in row["milliseconds"].items()}
        alike = row.get("nested chunked / jet chunked")
        lines.append(
            [
                row["task"],
                f"{row['points']:,}",
                *(times.get(style, "-") for style in STYLES),
                f"**{ratio['ratio']:.2f}** ({ratio['ratio_p10']:.2f}-{ratio['ratio_p90']:.2f})",
                f"{row['goal']:g}",
                f"{alike['ratio']:.2f}" if alike else "-",
                ", ".join(f"{size[style]:.0f}" if style in size else "-" for style in STYLES),
                f"{row['memory_ratio']:.2f}",
                f"{row['difference_float64']:.0e} ({row['difference_float32']:.0e})",
            ]
        )
    return markdown(head, lines)


def kept(folder: Path | None) -> dict[str, Any]:
    """What an earlier run left in the folder."""
    path = None if folder is None else folder / "jet_speed.json"
    return json.loads(path.read_text()) if path is not None and path.exists() else {}


def main(args: list[str] | None = None) -> list[dict[str, Any]]:
    """Measure, print the table, write it if asked; return the rows."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--compiled", action="store_true", help="time the compiled path too")
    parser.add_argument("--out", type=Path, help="folder for jet_speed.md and jet_speed.json")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing written")
    parser.add_argument("--memory", nargs=4, help="internal: one step in a process of its own")
    given = parser.parse_args(args)
    if given.memory:
        name, style, points, width = given.memory
        print_memory(name, style, int(points), int(width))
        return []
    torch.set_num_threads(1)
    rounds, width = (2, 16) if given.smoke else (given.rounds, given.width)
    found = kept(given.out) | {"width": width, "rounds": rounds}
    done = {row["task"]: row for row in found.get("rows", [])}
    for name in given.tasks:
        points = 64 if given.smoke else TASKS[name].points
        done[name] = measure(name, points, width, rounds)
        print(table([done[name]]).splitlines()[-1], flush=True)
    rows = found["rows"] = [done[name] for name in TASKS if name in done]
    text = table(rows)
    if given.compiled:
        found["compiled"] = small_network(rounds)
    if "compiled" in found:
        small, times = found["compiled"], found["compiled"]["milliseconds"]
        text += (
            f"\n\nTanh network of 5 x 100, Laplacian on {CHUNK:,} points, least ms: nested "
            f"{times['nested']:.1f}, jet {times['jet']:.1f}, compiled {times['compiled']:.1f} "
            f"(first call {small['first_call_wall_s']:.0f} s of wall time)."
        )
    print(text)
    if given.out is not None and not given.smoke:
        path = write("jet_speed", found, given.out)
        about = (
            f"SIREN of width {width} and depth 4, one thread, single precision, least and median "
            f"of {rounds} interleaved rounds. Commands: `python benchmarks/jet_speed.py --out DIR`."
        )
        path.with_suffix(".md").write_text(f"{about}\n\n{text}\n", encoding="utf-8")
    return rows


if __name__ == "__main__":
    main()
