"""``python -m fields render CKPT``: write a fitted field to a file at any resolution."""

import warnings
from pathlib import Path
from typing import Any

from fields.lattice import Extent
from fields.memory import foresee_memory, free_memory
from fields.rendering import Order, Rendering, rendering
from overparam.cli import LineParser, add_common_arguments, select_device
from overparam.errors import InputError


class OutsideWarning(UserWarning):
    """A region reaches beyond the coordinates the field was fitted on."""


def main(args: list[str] | None = None) -> int:
    """Parse the command line, render, write the file.

    Raises:
        InputError: If something the user gave cannot be used.
    """
    parser = LineParser(
        prog="python -m fields render",
        description="Write a fitted field at any resolution from its checkpoint alone: a picture "
        "as png, a sound as wav, a film as mp4, by the kind of signal it was fitted to.",
        epilog="example: python -m fields render runs/image/last.ckpt "
        "--resolution 1024 --out big.png",
    )
    parser.add_argument("checkpoint", help="checkpoint of a fit")
    parser.add_argument(
        "--resolution",
        default="",
        help="pixels of the longer side, samples of a sound, or all axes as ROWSxCOLUMNS; "
        "default: the signal's own",
    )
    parser.add_argument("--out", required=True, help="file to write")
    parser.add_argument(
        "--region",
        nargs="+",
        type=float,
        metavar="NUMBER",
        help="part of the field in its coordinates, low ends then high ends (of a picture: TOP "
        "LEFT BOTTOM RIGHT); default: what it was fitted on",
    )
    parser.add_argument("--chunk", type=int, help="points at a time; default: suits the device")
    add_common_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    given = parser.parse_args(args)
    if given.chunk is not None and given.chunk < 1:
        raise InputError(f"chunk must be at least 1, got {given.chunk}")
    out = Path(given.out)
    if out.is_dir():
        raise InputError(f"--out must be a file, got the folder {out}")
    if out.exists() and not given.overwrite:
        raise InputError(f"{out} exists already: choose another --out or add --overwrite")
    if not out.parent.is_dir():
        raise InputError(f"folder of --out must exist, got {out.parent}")
    from overparam import load_module  # Lightning is imported after the cheap refusals

    place = select_device(given.device)
    module: Any = load_module(given.checkpoint)
    signal, writer = _writer(module, given.checkpoint, out)
    shape = list(signal["shape"])
    extent: Extent = [list(axis) for axis in signal["extent"]]
    if given.region is not None:
        extent, shape = _region(given.region, extent, shape, writer.corners)
    size = writer.size(given.resolution, shape) if given.resolution else shape
    order = Order(size, extent, signal, given.chunk, place)
    foresee_memory(size, writer.memory(order), free_memory(), writer.scaled_axes)
    # a field known up to a constant is shown with the constant of its last validation
    field = getattr(module, "displayed", module.field)
    written = writer.write(field.to(place), out, order)
    print(f"wrote {out} ({written})")
    return 0


def _writer(module: Any, checkpoint: str, out: Path) -> tuple[dict[str, Any], Rendering]:
    """Find what writes this kind of signal, and check that it can write this file."""
    signal = getattr(module, "signal", None)
    if signal is None or not hasattr(module, "field"):
        raise InputError(
            f"checkpoint {checkpoint} holds a {type(module).__name__}, no fitted field"
        )
    kind = signal.get("kind")
    if kind is None:
        raise InputError("the checkpoint does not say what signal it was fitted to")
    writer = rendering(kind)
    if out.suffix.lower() not in writer.suffixes:
        allowed = " ".join(writer.suffixes)
        raise InputError(f"--out for a field of kind {kind} must end in {allowed}, got {out.name}")
    return signal, writer


def _region(
    region: list[float], extent: Extent, shape: list[int], corners: tuple[str, ...]
) -> tuple[Extent, list[int]]:
    """Return the asked-for extent and the shape it has at the field's own spacing."""
    axes = len(extent)
    if len(region) != 2 * axes or not all(
        low < high for low, high in zip(region[:axes], region[axes:], strict=True)
    ):
        raise InputError(f"region must be {' '.join(corners)} with positive size, got {region}")
    asked = [list(pair) for pair in zip(region[:axes], region[axes:], strict=True)]
    if any(a[0] < e[0] or a[1] > e[1] for a, e in zip(asked, extent, strict=True)):
        warnings.warn(
            f"region {region} reaches outside the fitted coordinates {extent}: "
            "the field extrapolates there",
            OutsideWarning,
            stacklevel=2,
        )
    samples = [
        max(1, round((a[1] - a[0]) / (e[1] - e[0]) * (n - 1)) + 1) if e[1] > e[0] else 1
        for a, e, n in zip(asked, extent, shape, strict=True)
    ]
    return asked, samples
