"""``python -m fields activations``: how a field's layers are distributed, new or fitted."""

import csv
import time
from pathlib import Path
from typing import Any

from overparam.cli import LineParser, add_common_arguments, select_device
from overparam.errors import InputError
from overparam.run_folder import RunFolder

COLUMNS = ("std", "gradient_std", "ks_normal", "ks_arcsine")


def main(args: list[str] | None = None) -> int:
    """Parse the command line, measure, draw, write ``report.json``.

    Raises:
        InputError: If something the user gave cannot be used.
    """
    parser = LineParser(
        prog="python -m fields activations",
        description="Draw how the arguments, outputs and gradients of a field's layers are "
        "distributed, and how far that is from N(0, 1) and the arcsine law of sine networks.",
        epilog="example: python -m fields activations --out runs/activations",
    )
    parser.add_argument("checkpoint", nargs="?", help="checkpoint of a fit; default: a new Siren")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--width", type=int, default=2048, help="of a new field")
    parser.add_argument("--depth", type=int, default=10, help="sine layers of a new field")
    parser.add_argument("--omega", type=float, default=30.0, help="of a new field")
    parser.add_argument(
        "--biases",
        choices=["zero", "default"],
        default="zero",
        help="of a new field; torch's default adds omega^2 / (3 width) to the variance",
    )
    parser.add_argument("--points", type=int, default=2048, help="random points, on [-1, 1]")
    add_common_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a run in the folder")
    given = parser.parse_args(args)
    if given.points < 1:
        raise InputError(f"points must be at least 1, got {given.points}")
    folder = RunFolder(given.out, overwrite=given.overwrite)
    began = time.monotonic()
    import torch

    from fields.layer_statistics import layer_statistics
    from overparam.report_file import peak_memory, versions, write_report

    place = select_device(given.device)
    torch.manual_seed(given.seed)
    field, extent = _fitted(given.checkpoint) if given.checkpoint else _new(given)
    low, high = torch.tensor(extent).T
    x = low + (high - low) * torch.rand(given.points, len(low))
    found = layer_statistics(field.to(place), x.to(place))
    settings = {key: value for key, value in vars(given).items() if key != "overwrite"}
    folder.create(settings)
    rows = [{"layer": i, **{k: getattr(one, k) for k in COLUMNS}} for i, one in enumerate(found)]
    with (folder.path / "activations.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["layer", *COLUMNS])
        table.writeheader()
        table.writerows(rows)
    draw_layers(found, folder.path / "activations.png")
    report: dict[str, Any] = {"status": "finished", "seed": given.seed, "layers": rows}
    report |= {"wall_seconds": round(time.monotonic() - began, 3), **peak_memory()}
    write_report(folder.path, report | {"versions": versions()})
    print("layer  std     gradient  KS normal  KS arcsine")
    for i, one in enumerate(found):
        print(
            f"{i:5}  {one.std:6.3f}  {one.gradient_std:8.2e}  {one.ks_normal:9.4f}  "
            f"{one.ks_arcsine:10.4f}"
        )
    print(f"wrote {folder.path}")
    return 0


def _new(given: Any) -> tuple[Any, list[list[float]]]:
    from fields.sine import Siren

    try:
        field = Siren(1, 1, width=given.width, depth=given.depth, omega=given.omega)
    except ValueError as error:
        raise InputError(str(error)) from None
    if given.biases == "zero":
        for name, parameter in field.named_parameters():
            if name.endswith("bias"):
                parameter.data.zero_()
    return field, [[-1.0, 1.0]]


def _fitted(checkpoint: str) -> tuple[Any, list[list[float]]]:
    from fields.mlp import MLPField
    from overparam import load_module

    module: Any = load_module(checkpoint)
    field, signal = getattr(module, "field", None), getattr(module, "signal", None) or {}
    if not isinstance(field, MLPField) or "extent" not in signal:
        raise InputError(f"checkpoint {checkpoint} holds no fitted multilayer field")
    return field, signal["extent"]


def draw_layers(found: list[Any], file: Path) -> None:
    """Draw one row a layer: arguments, outputs and gradients, with the laws they should follow.

    Args:
        found: What ``layer_statistics`` returned.
        file: Picture to write.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from scipy import stats

    figure = Figure(figsize=(11, 1.8 * len(found) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(found), 3, squeeze=False)
    laws = (stats.norm(), stats.arcsine(loc=-1, scale=2), None)
    for row, one in enumerate(found):
        parts = (one.arguments, one.outputs, one.gradients)
        titles = (
            f"argument: std {one.std:.3f}, KS {one.ks_normal:.3f}",
            f"output: KS {one.ks_arcsine:.3f}",
            f"gradient: rms {one.gradient_std:.2e}",
        )
        for axes, values, title, law in zip(grid[row], parts, titles, laws, strict=True):
            axes.hist(values.numpy(), bins=101, density=True, color="0.7")
            low, high = axes.get_xlim()
            if law is not None:
                # the arcsine density is infinite at its ends
                at = np.linspace(low, high, 400)[1:-1]
                axes.plot(at, np.minimum(law.pdf(at), 3), color="C3", linewidth=1)
            axes.set_title(f"layer {row}, {title}", fontsize=9)
            axes.set_yticks([])
            axes.locator_params(axis="x", nbins=5)
    figure.savefig(file, dpi=100)
