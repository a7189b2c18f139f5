"""``python -m fields render CKPT``: draw a fitted field at any resolution."""

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn

from fields.chunk import chunk_size
from fields.image import Extent
from fields.photograph import quantise
from overparam.cli import LineParser, add_common_arguments, select_device
from overparam.errors import InputError

SUFFIXES = {"image": (".png",)}  # kind of signal -> what it can be written as


class OutsideWarning(UserWarning):
    """A region reaches beyond the coordinates the field was fitted on."""


@torch.no_grad()
def render_image(
    field: nn.Module,
    rows: int,
    columns: int,
    extent: Extent,
    *,
    chunk: int | None = None,
    device: torch.device | str = "cpu",
) -> UInt8[Tensor, "rows columns channels"]:
    """Evaluate ``field`` on a grid of pixels and round to 8 bits.

    Whole rows go through the field a few at a time and are kept as bytes, so that memory is that
    of the finished picture and of one chunk.

    Args:
        field: Map from (row, column) coordinates to values in [-1, 1].
        rows: Pixels down.
        columns: Pixels across.
        extent: First and last coordinate of each axis.
        chunk: Points at a time; None suits the device.
        device: Where to evaluate.
    """
    place = torch.device(device)
    size = chunk_size(chunk, place)
    (top, bottom), (left, right) = extent
    down, across = torch.linspace(top, bottom, rows), torch.linspace(left, right, columns)
    out: Tensor | None = None
    step = max(1, size // columns)
    for start in range(0, rows, step):
        lines = torch.cartesian_prod(down[start : start + step], across)
        values = torch.cat([field(part.to(place)).cpu() for part in lines.split(size)])
        if out is None:
            out = torch.empty(rows, columns, values.shape[-1], dtype=torch.uint8)
        out[start : start + step] = quantise((values + 1) / 2).view(-1, columns, out.shape[-1])
    assert out is not None
    return out


def picture_size(resolution: str, shape: list[int]) -> tuple[int, int]:
    """Return rows and columns for ``"1024"`` (longer side, proportions kept) or ``"600x800"``.

    Raises:
        InputError: If it is neither, or below one pixel.
    """
    parts = resolution.lower().split("x")
    if not (len(parts) in (1, 2) and all(part.isdigit() and int(part) > 0 for part in parts)):
        raise InputError(
            f"resolution must be a positive number or ROWSxCOLUMNS, got {resolution!r}"
        )
    if len(parts) == 2:
        return int(parts[0]), int(parts[1])
    rows, columns = shape
    scale = int(parts[0]) / max(rows, columns)
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def free_memory() -> int | None:
    """Return the bytes of memory this machine has left, or None where it does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def foresee_memory(rows: int, columns: int, channels: int, free: int | None) -> None:
    """Refuse a picture that will not fit into ``free`` bytes.

    Raises:
        InputError: If it will not; the message names a size that does.
    """
    pixel = 2 * channels  # the bytes and their copy inside the PNG writer
    if free is None or rows * columns * pixel <= 0.8 * free:
        return
    fits = int(max(rows, columns) * (0.8 * free / (rows * columns * pixel)) ** 0.5)
    raise InputError(
        f"a picture of {rows}x{columns} needs {rows * columns * pixel / 1e9:.1f} GB and "
        f"{free / 1e9:.1f} GB are free: use --resolution {max(fits, 1)} or less, or a --region"
    )


def main(args: list[str] | None = None) -> int:
    """Parse the command line, render, write the picture.

    Raises:
        InputError: If something the user gave cannot be used.
    """
    parser = LineParser(
        prog="python -m fields render",
        description="Draw a fitted field at any resolution from its checkpoint alone.",
        epilog="example: python -m fields render runs/image/checkpoints/last.ckpt "
        "--resolution 1024 --out big.png",
    )
    parser.add_argument("checkpoint", help="checkpoint of a fit")
    parser.add_argument(
        "--resolution", default="", help="pixels of the longer side, or ROWSxCOLUMNS; default: own"
    )
    parser.add_argument("--out", required=True, help="file to write (.png)")
    parser.add_argument(
        "--region",
        nargs=4,
        type=float,
        metavar=("TOP", "LEFT", "BOTTOM", "RIGHT"),
        help="part of the field in its coordinates; default: what it was fitted on",
    )
    parser.add_argument("--chunk", type=int, help="points at a time; default: suits the device")
    add_common_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    given = parser.parse_args(args)
    if given.chunk is not None and given.chunk < 1:
        raise InputError(f"chunk must be at least 1, got {given.chunk}")
    out = Path(given.out)
    if out.exists() and not given.overwrite:
        raise InputError(f"{out} exists already: choose another --out or add --overwrite")
    if not out.parent.is_dir():
        raise InputError(f"folder of --out must exist, got {out.parent}")
    from fields.fit import SignalFit  # Lightning is imported after the cheap refusals
    from overparam import load_module

    place = select_device(given.device)
    module = load_module(given.checkpoint, SignalFit)
    shape, extent = _signal(module.signal, out)
    if given.region is not None:
        extent, shape = _region(given.region, extent, shape)
    rows, columns = picture_size(given.resolution or str(max(shape)), shape)
    foresee_memory(rows, columns, module.signal["channels"], free_memory())
    picture = render_image(
        module.field.to(place), rows, columns, extent, chunk=given.chunk, device=place
    ).numpy()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(out)
    print(f"wrote {out} ({rows}x{columns})")
    return 0


def _signal(signal: dict[str, Any], out: Path) -> tuple[list[int], Extent]:
    """Check that this kind of signal can be written to this file."""
    kind = signal.get("kind")
    if kind is None:
        raise InputError("the checkpoint does not say what signal it was fitted to")
    if kind not in SUFFIXES:
        supported = ", ".join(SUFFIXES)
        raise InputError(f"rendering kind {kind} is not yet supported; kinds: {supported}")
    if out.suffix.lower() not in SUFFIXES[kind]:
        allowed = " ".join(SUFFIXES[kind])
        raise InputError(f"--out for a field of kind {kind} must end in {allowed}, got {out.name}")
    return list(signal["shape"]), [list(axis) for axis in signal["extent"]]


def _region(region: list[float], extent: Extent, shape: list[int]) -> tuple[Extent, list[int]]:
    """Return the asked-for extent and the shape it has at the field's own pixel size."""
    top, left, bottom, right = region
    if not (top < bottom and left < right):
        raise InputError(f"region must be TOP LEFT BOTTOM RIGHT with positive size, got {region}")
    asked = [[top, bottom], [left, right]]
    if any(a[0] < e[0] or a[1] > e[1] for a, e in zip(asked, extent, strict=True)):
        warnings.warn(
            f"region {region} reaches outside the fitted coordinates {extent}: "
            "the field extrapolates there",
            OutsideWarning,
            stacklevel=2,
        )
    pixels = [
        max(1, round((a[1] - a[0]) / (e[1] - e[0]) * (n - 1)) + 1) if e[1] > e[0] else 1
        for a, e, n in zip(asked, extent, shape, strict=True)
    ]
    return asked, pixels
