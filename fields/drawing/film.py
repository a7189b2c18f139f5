"""A fitted film: played, scored frame by frame, and some frames side by side."""

import csv
from pathlib import Path

import torch

from fields.drawing.panels import Panel, Shaper, draw_panels
from fields.film import write_film
from fields.fit import SignalFit
from fields.photograph import quantise
from fields.score import frame_psnr
from fields.video import VideoSamples

SHOWN = 4  # frames in the overview, evenly over the film


def draw(module: SignalFit, data: VideoSamples, folder: Path) -> list[Path]:
    """Write the film and its scores, and draw some frames.

    Returns:
        The files written: ``recon.mp4``; ``psnr.csv``, one row a frame; ``overview.png``, with
        frames of the reference, of the fit, and their difference.
    """
    frames, rows, columns = module.signal["shape"]
    fitted = module.evaluate(data.x.to(module.device)).cpu()
    pictures = fitted.view(frames, rows, columns, -1)
    film = (quantise((picture + 1) / 2).numpy() for picture in pictures)
    write_film(film, module.signal["rate"], folder / "recon.mp4")
    each = frame_psnr(fitted, data.y, frames).tolist()
    with (folder / "psnr.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["frame", "psnr"])
        table.writerows((index, f"{value:.4f}") for index, value in enumerate(each))
    picked = torch.linspace(0, frames - 1, min(SHOWN, frames)).round().long().unique().tolist()
    theirs = data.y.view(frames, rows * columns, -1)
    ours = fitted.view(frames, rows * columns, -1)
    of = Shaper([rows, columns])
    panels: list[Panel | None] = []
    panels += [Panel("value", f"frame {i}", of.shown(theirs[i])) for i in picked]
    panels += [Panel("value", f"fit, PSNR {each[i]:.2f} dB", of.shown(ours[i])) for i in picked]
    panels += [Panel("error", "error", of.error(ours[i], theirs[i])) for i in picked]
    draw_panels(panels, len(picked), folder / "overview.png")
    return [folder / name for name in ("recon.mp4", "psnr.csv", "overview.png")]
