"""Sounds read from wav files into plain numbers, every conversion noted, and written back."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from overparam.errors import InputError

# How a wav file stores samples -> (value of silence, value of full swing). 24-bit files arrive
# as 32-bit integers whose lowest byte is empty.
FORMATS: dict[str, tuple[float, float]] = {
    "uint8": (128.0, 128.0),
    "int16": (0.0, 2.0**15),
    "int32": (0.0, 2.0**31),
    "int64": (0.0, 2.0**63),
    "float32": (0.0, 1.0),
    "float64": (0.0, 1.0),
}


@dataclass
class Sound:
    """One channel of sound.

    Attributes:
        values: Samples in double precision; full swing of an integer format is [-1, 1).
        rate: Samples per second.
        format: How the file stored them, a key of ``FORMATS``.
        notes: One sentence for every conversion.
    """

    values: Float[Tensor, " n"]
    rate: int
    format: str = "float32"
    notes: list[str] = field(default_factory=list)


def read_sound(path: str | Path) -> Sound:
    """Read a wav file; several channels are averaged.

    Args:
        path: File of 8-bit unsigned, 16-, 24-, 32- or 64-bit signed, or floating-point samples.

    Raises:
        InputError: If the file is missing, empty, corrupt, without sound, or not finite.
    """
    from scipy.io import wavfile

    file = Path(path)
    if not file.is_file():
        raise InputError(f"sound must be an existing wav file, got {file}")
    if file.stat().st_size == 0:
        raise InputError(f"sound {file} is empty")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rate, stored = wavfile.read(file)
    except Exception as error:  # a parser of corrupt data raises nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"sound {file} cannot be read as wav: {reason}") from None
    notes = [f"sound {file.name}: {' '.join(str(one.message).split())}" for one in caught]
    name = stored.dtype.name
    if name not in FORMATS:
        raise InputError(f"sound {file} stores samples as {name}, which is none of {list(FORMATS)}")
    if len(stored) < 2:
        raise InputError(f"sound {file} must have at least 2 samples, got {len(stored)}")
    if rate < 1:
        raise InputError(f"sound {file} must have a positive rate, got {rate}")
    silence, swing = FORMATS[name]
    values = (stored.astype(np.float64) - silence) / swing
    if not np.isfinite(values).all():
        raise InputError(f"sound {file} must be finite, got NaN or infinity in it")
    if values.ndim == 2:
        if values.shape[1] > 1:
            notes.append(f"sound {file.name}: {values.shape[1]} channels averaged into one")
        values = values.mean(axis=1)
    return Sound(torch.from_numpy(values), int(rate), name, notes)


def write_sound(sound: Sound, path: str | Path) -> None:
    """Write a wav file; integer formats are rounded, and clipped to what they can hold."""
    from scipy.io import wavfile

    silence, swing = FORMATS[sound.format]
    kind = np.dtype(sound.format)
    stored = sound.values.detach().double().cpu().numpy() * swing + silence
    if kind.kind in "iu":
        # the largest 64-bit integer is no double: the one below it is
        most = np.nextafter(2.0**63, 0) if kind.name == "int64" else float(np.iinfo(kind).max)
        stored = np.clip(np.rint(stored), float(np.iinfo(kind).min), most)
    wavfile.write(path, sound.rate, stored.astype(kind))
