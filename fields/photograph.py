"""Photographs read from files into plain numbers, every conversion noted."""

import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from overparam.errors import InputError

CAMERA = Path(__file__).parent / "assets" / "camera.png"


def read_photograph(path: str | Path) -> tuple[Float[Tensor, "rows columns channels"], list[str]]:
    """Read a picture file as values in [0, 1] with one or three channels.

    Transparency is laid on white, palettes and CMYK become RGB, the camera's rotation tag is
    obeyed, 16-bit and floating-point files keep their precision.

    Args:
        path: Any file that Pillow reads.

    Returns:
        The values, and one sentence for every conversion.

    Raises:
        InputError: If the file is missing, empty, corrupt, a single pixel, or not finite.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"picture must be an existing file, got {file}")
    if file.stat().st_size == 0:
        raise InputError(f"picture {file} is empty")
    try:
        with Image.open(file) as opened:
            values, notes = _convert(opened)
    except InputError as error:
        raise InputError(f"picture {file} {error}") from None
    except Exception as error:  # decoders of corrupt data raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"picture {file} cannot be read: {reason}") from None
    if values.shape[0] * values.shape[1] < 2:
        raise InputError(f"picture {file} must have at least 2 pixels, got 1")
    return torch.from_numpy(values), [f"picture {file.name}: {note}" for note in notes]


def _convert(opened: Image.Image) -> tuple[np.ndarray, list[str]]:
    """Turn an open file into an array of rows, columns and channels."""
    notes = []
    frames = getattr(opened, "n_frames", 1)
    if frames > 1:
        notes.append(f"first of {frames} frames taken")
    deep = ";16" in str(
        getattr(opened, "tile", "")
    )  # how the file stores samples; known only before loading
    opened.load()
    picture = ImageOps.exif_transpose(opened)
    if opened.getexif().get(0x0112, 1) != 1:
        notes.append("rotated as its EXIF tag says")
    mode = picture.mode
    if mode.startswith(("I", "F")):
        values, note = _deep(picture)
        return values[..., None], notes + note
    if deep:
        notes.append("16-bit colour reduced to 8 bits")
    if "transparency" in picture.info or mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        grey = mode in ("L", "LA", "La", "1")
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("L" if grey else "RGB")
        notes.append("transparency laid on white")
        mode = mode if mode == "P" else picture.mode
    if mode == "1":
        picture = picture.convert("L")
    elif mode == "P":
        picture = picture.convert("RGB")
        notes.append("palette converted to RGB")
    elif mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
        notes.append(f"{mode} converted to RGB")
    values = np.asarray(picture, dtype=np.float32) / 255
    return values[..., None] if values.ndim == 2 else values, notes


def _deep(picture: Image.Image) -> tuple[np.ndarray, list[str]]:
    """Scale one channel of more than 8 bits to [0, 1]."""
    raw = np.asarray(picture, dtype=np.float64)
    if not np.isfinite(raw).all():
        raise InputError("must be finite, got NaN or infinity in it")
    low, high = float(raw.min()), float(raw.max())
    if picture.mode == "F":
        if low >= 0 and high <= 1:
            return raw.astype(np.float32), ["floating-point values kept"]
        span = high - low or 1.0
        note = f"floating-point values {low:g} to {high:g} scaled to 0 to 1"
        return ((raw - low) / span).astype(np.float32), [note]
    if low < 0 or high > 65535:
        span = high - low or 1.0
        return ((raw - low) / span).astype(np.float32), [f"integers {low:g} to {high:g} scaled"]
    return (raw / 65535).astype(np.float32), ["16-bit values scaled to 0 to 1"]


def shrink(
    values: Float[Tensor, "rows columns channels"], side: int
) -> Float[Tensor, "rows2 columns2 channels"]:
    """Average over areas so that the longer side has ``side`` pixels; smaller pictures stay.

    Raises:
        ValueError: If ``side`` is below 2.
    """
    if side < 2:
        raise ValueError(f"side must be at least 2, got {side}")
    rows, columns, channels = values.shape
    ratio = side / max(rows, columns)
    if ratio >= 1:
        return values
    size = (max(1, round(columns * ratio)), max(1, round(rows * ratio)))
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(values[..., c].numpy())).resize(
                size, Image.Resampling.BOX
            )
        )
        for c in range(channels)
    ]
    return torch.from_numpy(np.stack(planes, axis=-1))


def bicubic(
    values: Float[Tensor, "rows columns channels"], rows: int, columns: int
) -> Float[Tensor, "rows2 columns2 channels"]:
    """Resize by cubic interpolation of pixel areas, clamped to [0, 1]: a field's rival."""
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(values[..., c].numpy())).resize(
                (columns, rows), Image.Resampling.BICUBIC
            )
        )
        for c in range(values.shape[-1])
    ]
    return torch.from_numpy(np.stack(planes, axis=-1)).clamp(0, 1)


def write_photograph(values: Float[Tensor, "rows columns channels"], path: str | Path) -> None:
    """Write values in [0, 1], clamped and rounded to 8 bits; the suffix names the format."""
    levels = quantise(values).numpy()
    Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels).save(path)


def quantise(values: Tensor) -> Tensor:
    """Round values in [0, 1] to 8 bits; anything outside is clamped."""
    return (values.clamp(0, 1) * 255).round().to(torch.uint8)


def psnr(mse: Tensor, peak: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio in decibels, ``10 log10(peak**2 / mse)``.

    A perfect fit would be infinite; it is reported at the resolution of 32-bit numbers
    (138 dB), so that tables, logs and JSON stay finite.
    """
    floor = (peak * torch.finfo(torch.float32).eps) ** 2
    return 10 * (2 * math.log10(peak) - mse.clamp_min(floor).log10())
