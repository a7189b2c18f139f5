"""Sounds as signals: samples at their times."""

import math
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor

from fields.lattice import lattice, unit_extent
from fields.samples import SignalSamples
from fields.sound import Sound, read_sound
from fields.specimen import chord
from overparam.errors import InputError


class SoundWarning(UserWarning):
    """A sound was converted on reading."""


class AudioSamples(SignalSamples):
    """The samples of a sound: one coordinate in [-span, span], values in [-1, 1], peak 1.

    Args:
        path: Wav file; None is a short chord made by formula.
        start: Seconds to skip.
        seconds: Most seconds to take; None takes all.
        span: Reach of the coordinate. A field whose first layer has frequency omega on
            [-100, 100], as in the SIREN paper, is one of 100 omega on [-1, 1], but for the
            spread of its phases.
        batch_size: Samples per step and process; None takes all of them in each step.
        epoch_steps: Steps in what the trainer calls an epoch; None is one pass over the samples.
        seed: Seed of the shuffling.

    Raises:
        ValueError: If a size makes no sense.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        start: float = 0.0,
        seconds: float | None = None,
        span: float = 1.0,
        batch_size: int | None = None,
        epoch_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, epoch_steps=epoch_steps, seed=seed)
        if not start >= 0:
            raise ValueError(f"start must not be negative, got {start}")
        if seconds is not None and not seconds > 0:
            raise ValueError(f"seconds must be positive, got {seconds}")
        if not (span > 0 and math.isfinite(span)):
            raise ValueError(f"span must be positive and finite, got {span}")
        self.path = path
        self.start = start
        self.seconds = seconds
        self.span = span

    def load(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Read and cut the sound, divide it by its peak; warn of what was converted.

        Raises:
            InputError: If the file cannot be used, or what is taken of it is silent.
        """
        if self.path is None:
            sound, name = Sound(chord(), 8000, "int16"), "chord"
        else:
            sound, name = read_sound(self.path), Path(self.path).name
        for note in sound.notes:
            warnings.warn(note, SoundWarning, stacklevel=2)
        first = round(self.start * sound.rate)
        last = None if self.seconds is None else first + round(self.seconds * sound.rate)
        values = sound.values[first:last]
        if len(values) < 2:
            raise InputError(
                f"sound {name} of {len(sound.values) / sound.rate:g} seconds must have at least "
                f"2 samples after start = {self.start:g}, got {len(values)}"
            )
        peak = float(values.abs().max())
        if peak == 0:
            raise InputError(f"sound {name} must not be silent, got zero at every sample")
        y = (values / peak).float()[:, None]
        extent = unit_extent([len(y)], self.span)
        signal = {
            "kind": "audio",
            "name": name,
            "shape": [len(y)],
            "channels": 1,
            "extent": extent,
            "rate": sound.rate,
            "peak": peak,
            "format": sound.format,
            "power": float(y.double().square().mean()),
        }
        return lattice([len(y)], extent), y, signal
