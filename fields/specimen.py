"""Signals made by formula: what is fitted where no file is given.

They belong to nobody, weigh nothing in the package, and are the same on every machine.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def chord(seconds: float = 2.0, rate: int = 8000) -> Float[Tensor, " n"]:
    """Return four plucked notes with overtones, one after another, below a rising whistle.

    Args:
        seconds: Length; positive.
        rate: Samples per second.

    Returns:
        Samples in [-1, 1], double precision; all frequencies lie below 2 kHz.
    """
    if not seconds * rate >= 2:
        raise ValueError(f"seconds * rate must be at least 2, got {seconds} * {rate}")
    t = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    turns = 2 * math.pi * t
    total = torch.zeros_like(t)
    for index, pitch in enumerate((220.0, 277.18, 329.63, 440.0)):  # A major, tempered, hertz
        since = t - 0.15 * seconds * index
        swell = torch.where(since >= 0, torch.exp(-2.5 * since.clamp_min(0)), 0.0)
        attack = (since / 0.01).clamp(0, 1)  # ten milliseconds: no click
        for overtone in range(1, 5):
            total += swell * attack * torch.sin(overtone * pitch * turns) / overtone**1.5
    # frequency 500 Hz rising to 1900 Hz: its phase is the integral
    whistle = torch.sin(500.0 * turns + math.pi * 1400.0 / seconds * t**2)
    total += 0.4 * torch.sin(math.pi * t / seconds) ** 2 * whistle
    return 0.9 * total / total.abs().max()


def moving_shapes(
    frames: int = 24, rows: int = 48, columns: int = 64
) -> Float[Tensor, "frames rows columns 3"]:
    """Return a short film: a disc, a square and a ring crossing a shaded ground, in colour.

    Args:
        frames: Number of frames; the motion is one turn, whatever their number.
        rows: Pixels down.
        columns: Pixels across.

    Returns:
        Values in [0, 1]; edges are one pixel soft, as a camera's are.
    """
    if min(frames, rows, columns) < 1:
        raise ValueError(f"sizes must be at least 1, got {frames}, {rows} and {columns}")
    turn = (2 * math.pi * torch.arange(frames) / frames)[:, None, None]
    across = columns / rows
    y = torch.linspace(-1, 1, rows)[None, :, None]
    x = torch.linspace(-across, across, columns)[None, None, :]
    ground = (0.45 + 0.2 * torch.sin(2.0 * x + turn) * torch.cos(3.0 * y)).expand(frames, -1, -1)
    film = torch.stack([ground, 0.9 * ground, 0.6 + 0.0 * ground], dim=-1)
    centres = {
        "disc": (0.5 * torch.sin(turn), 0.6 * across * torch.cos(turn)),
        "square": (0.5 * torch.cos(2 * turn), 0.6 * across * torch.sin(turn)),
        "ring": (0.2 * torch.sin(2 * turn), -0.7 * across * torch.cos(turn)),
    }
    colours = {"disc": (0.9, 0.25, 0.2), "square": (0.2, 0.7, 0.3), "ring": (0.95, 0.9, 0.3)}
    for name, (down, right) in centres.items():
        dy, dx = y - down, x - right
        distance = torch.hypot(dy, dx)
        inside = {
            "disc": 0.3 - distance,
            "square": 0.25 - torch.maximum(dy.abs(), dx.abs()),
            "ring": 0.07 - (distance - 0.28).abs(),
        }[name]
        cover = (inside * rows / 2 + 0.5).clamp(0, 1)[..., None]
        film = film + cover * (torch.tensor(colours[name]) - film)
    return film.clamp(0, 1)


def rings(rows: int = 340, columns: int = 512) -> Float[Tensor, "rows columns 1"]:
    """Return a grey picture of rings that narrow outwards, on a ground with soft discs.

    Args:
        rows: Pixels down.
        columns: Pixels across.

    Returns:
        Values in [0, 1].
    """
    if min(rows, columns) < 1:
        raise ValueError(f"sizes must be at least 1, got {rows} and {columns}")
    scale = max(rows, columns)
    y = (torch.arange(rows) - (rows - 1) / 2)[:, None] * 2 / scale
    x = (torch.arange(columns) - (columns - 1) / 2)[None, :] * 2 / scale
    squared = y**2 + x**2
    card = 0.5 + 0.35 * torch.cos(60.0 * squared) * torch.exp(-1.5 * squared)
    for down, right, level in ((-0.35, -0.7, 0.95), (0.35, 0.7, 0.1), (-0.35, 0.7, 0.8)):
        cover = ((0.18 - torch.hypot(y - down, x - right)) * 40 + 0.5).clamp(0, 1)
        card = card + cover * (level - card)
    return card[..., None].clamp(0, 1)
