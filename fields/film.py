"""Films read from video files, folders of pictures or arrays, and written as mp4."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fields.memory import SHARE, free_memory
from fields.photograph import read_photograph, shrink
from overparam.errors import InputError

RATE = 25.0  # frames per second where a source has none
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


@dataclass
class Film:
    """Frames in order.

    Attributes:
        values: Frames in [0, 1].
        rate: Frames per second.
        notes: One sentence for every conversion.
    """

    values: Float[Tensor, "frames rows columns channels"]
    rate: float = RATE
    notes: list[str] = field(default_factory=list)


def read_film(
    path: str | Path,
    *,
    side: int | None = None,
    start: int = 0,
    stride: int = 1,
    frames: int | None = None,
) -> Film:
    """Read frames ``start``, ``start + stride``, ...; each is reduced as soon as it is read.

    Args:
        path: Video file (anything ffmpeg reads), folder of pictures taken in the order of their
            names, or ``.npy`` array ``(frames, rows, columns[, channels])`` of bytes or of
            numbers in [0, 1].
        side: Pixels of the longer side, reached by averaging over areas; None keeps all.
        start: First frame.
        stride: Step between frames; the film keeps its speed.
        frames: Most frames to take; None takes all.

    Raises:
        InputError: If the source is missing, empty, corrupt, not finite, of frames that differ in
            size, or does not fit into memory.
    """
    source = Path(path)
    if source.is_dir():
        pictures, rate, notes = _folder(source)
    elif not source.is_file():
        raise InputError(f"film must be an existing file or folder, got {source}")
    elif source.stat().st_size == 0:
        raise InputError(f"film {source} is empty")
    elif source.suffix.lower() == ".npy":
        pictures, rate, notes = _array(source)
    else:
        pictures, rate, notes = _video(source)
    kept: list[Tensor] = []
    most = free_memory()
    stop = None if frames is None else start + stride * frames
    for picture in islice(pictures, start, stop, stride):
        values = picture if side is None else shrink(picture, side)
        if kept and values.shape != kept[0].shape:
            raise InputError(
                f"film {source} must have frames of one size, got {_size(kept[0])} and "
                f"{_size(values)}"
            )
        kept.append(values.contiguous())
        _foresee(source, len(kept) * values.numel(), most)
    if not kept:
        raise InputError(f"film {source} has no frame {start}")
    return Film(torch.stack(kept), rate / stride, notes)


def _foresee(source: Path, numbers: int, most: int | None) -> None:
    """Refuse a film of more numbers than ``most`` bytes hold."""
    # the frames and their stack, coordinates, and values once more as they are fitted
    if most is not None and 5 * 4 * numbers > SHARE * most:
        raise InputError(
            f"film {source} does not fit into {most / 1e9:.1f} GB of free memory: reduce side or "
            "frames, or raise stride"
        )


def _size(values: Tensor) -> str:
    return "x".join(map(str, values.shape))


Source = tuple[Iterator[Tensor], float, list[str]]


def _folder(source: Path) -> Source:
    files = sorted(file for file in source.iterdir() if file.suffix.lower() in PICTURES)
    if not files:
        raise InputError(f"film {source} holds no pictures ({' '.join(sorted(PICTURES))})")
    notes: list[str] = []

    def pictures() -> Iterator[Tensor]:
        for file in files:
            values, remarks = read_photograph(file)
            notes.extend(remarks)
            yield values

    return pictures(), RATE, notes


def _array(source: Path) -> Source:
    try:
        stored = np.load(source, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"film {source} cannot be read as an array: {reason}") from None
    if stored.ndim == 3:
        stored = stored[..., None]
    if stored.ndim != 4 or stored.shape[-1] not in (1, 3) or stored.size == 0:
        raise InputError(
            f"film {source} must be an array (frames, rows, columns[, 1 or 3]), got {stored.shape}"
        )
    whole = stored.dtype == np.uint8
    if not (whole or stored.dtype.kind == "f"):
        raise InputError(f"film {source} must hold bytes or numbers in [0, 1], got {stored.dtype}")

    def pictures() -> Iterator[Tensor]:
        for index, frame in enumerate(stored):
            _foresee(source, frame.size, free_memory())
            values = torch.from_numpy(np.array(frame, dtype=np.float32))
            if whole:
                values /= 255
            elif not (torch.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
                raise InputError(
                    f"film {source} must be finite and in [0, 1], not so frame {index}"
                )
            yield values

    return pictures(), RATE, []


def _video(source: Path) -> Source:
    import av

    def refused(error: Exception) -> InputError:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        return InputError(f"film {source} cannot be read: {reason}")

    try:
        with av.open(str(source)) as opened:
            if not opened.streams.video:
                raise InputError(f"film {source} has no pictures in it")
            found = opened.streams.video[0].average_rate
            notes = [f"film {source.name}: sound left out"] if opened.streams.audio else []
    except av.error.FFmpegError as error:
        raise refused(error) from None
    if not found:
        notes.append(f"film {source.name}: says no rate, {RATE:g} frames a second taken")

    def pictures() -> Iterator[Tensor]:
        try:
            with av.open(str(source)) as opened:
                for frame in opened.decode(video=0):
                    yield torch.from_numpy(frame.to_ndarray(format="rgb24")).float() / 255
        except av.error.FFmpegError as error:
            raise refused(error) from None

    return pictures(), float(found or RATE), notes


def write_film(frames: Iterable[np.ndarray], rate: float, path: str | Path) -> None:
    """Write an mp4 file (H.264) frame by frame; nothing is left if that fails.

    The format halves the resolution of colour and wants even sides: an odd side is made even by
    repeating its last row or column.

    Args:
        frames: Bytes ``(rows, columns, 1 or 3)`` of one size.
        rate: Frames per second; positive.
        path: Where to write.
    """
    import av

    # a denominator of 16 bits is what every container can hold
    pace = Fraction(rate).limit_denominator(65535)
    partial = Path(path).with_name(f".{Path(path).name}.{os.getpid()}.mp4")
    try:
        with av.open(str(partial), "w") as opened:
            stream = None
            for frame in frames:
                rows, columns = frame.shape[:2]
                odd = ((0, rows % 2), (0, columns % 2), (0, 0))
                coloured = np.broadcast_to(np.pad(frame, odd, mode="edge"), (*_even(frame), 3))
                if stream is None:
                    # constant quality, nearly lossless to the eye
                    stream = opened.add_stream("libx264", pace, options={"crf": "12"})
                    stream.height, stream.width = coloured.shape[:2]
                    stream.pix_fmt = "yuv420p"
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(coloured), "rgb24")
                opened.mux(stream.encode(picture))
            if stream is None:
                raise ValueError("frames must hold at least one frame, got none")
            opened.mux(stream.encode())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _even(frame: np.ndarray) -> tuple[int, int]:
    rows, columns = frame.shape[:2]
    return rows + rows % 2, columns + columns % 2
