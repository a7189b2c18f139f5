"""Pictures of which most pixels are missing."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from fields.image import ImageSamples, warn_of, with_channels
from fields.photograph import read_photograph
from fields.samples import Batch
from fields.score import fit_scores
from overparam.errors import InputError

# A quarter of a million biharmonic equations take a quarter of a minute; more would keep a report
# waiting.
MOST_BIHARMONIC = 300_000


class InpaintSamples(ImageSamples):
    """A photograph of which training sees some pixels, and scoring all of them.

    Args:
        path: Picture file; None is the photograph inside the package.
        known: Fraction of pixels that training sees, drawn by ``seed``.
        mask: Picture file whose bright pixels are known; replaces ``known``. A mask of another
            size is stretched.
        side: Pixels of the longer side, reached by averaging over areas; None keeps all.
        channels: 1 for grey, 3 for colour; None keeps the file's.
        aspect: Whether pixels stay square; otherwise the picture is stretched to [-1, 1] squared.
        batch_size: Pixels per step and process; None takes all known ones in each step.
        epoch_steps: Steps in what the trainer calls an epoch; None is one pass over the pixels.
        seed: Seed of the mask and of the shuffling.

    Raises:
        ValueError: If a size or fraction makes no sense.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        known: float = 0.1,
        mask: str | None = None,
        side: int | None = 128,
        channels: int | None = None,
        aspect: bool = False,
        batch_size: int | None = None,
        epoch_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            path,
            side=side,
            channels=channels,
            aspect=aspect,
            batch_size=batch_size,
            epoch_steps=epoch_steps,
            seed=seed,
        )
        if not 0 < known < 1:
            raise ValueError(f"known must be a fraction in (0, 1), got {known}")
        self.known = known
        self.mask = mask
        self.is_known: Bool[Tensor, " n"] = torch.empty(0, dtype=torch.bool)

    def load(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Read the picture and the mask.

        Raises:
            InputError: If a file cannot be used, or the mask shows everything or nothing.
        """
        x, y, signal = super().load()
        rows, columns = signal["shape"]
        if self.mask is None:
            generator = torch.Generator().manual_seed(self.seed)
            count = min(max(round(self.known * len(x)), 1), len(x) - 1)
            self.is_known = torch.zeros(len(x), dtype=torch.bool)
            self.is_known[torch.randperm(len(x), generator=generator)[:count]] = True
        else:
            self.is_known = _read_mask(self.mask, rows, columns)
        known = int(self.is_known.sum())
        if known in (0, len(x)):
            raise InputError(f"mask {self.mask} must leave some pixels known and some missing")
        return x, y, signal | {"task": "inpaint", "known": known / len(x)}

    def training(self) -> Batch:
        """Return the known pixels."""
        return self.x[self.is_known], self.y[self.is_known]

    def scoring(self) -> Batch:
        """Return all pixels, and which of them are known."""
        return self.x, self.y, self.is_known

    def baselines(self) -> dict[str, dict[str, float]]:
        """Score the mean colour, the nearest known pixel and biharmonic interpolation.

        The last is left out where its equations would take longer than a fit.
        """
        fills = {"mean": self.y[self.is_known].mean(0).expand_as(self.y), "nearest": self.nearest()}
        if int((~self.is_known).sum()) <= MOST_BIHARMONIC:
            fills["biharmonic"] = self.biharmonic()
        told = {}
        for name, fill in fills.items():
            scores = inpaint_scores(fill, self.y, self.is_known, self.signal)
            told[name] = {measure: float(value) for measure, value in scores.items()}
        return told

    def nearest(self) -> Tensor:
        """Fill every pixel with the nearest known one's value."""
        from scipy.ndimage import distance_transform_edt

        rows, columns = self.signal["shape"]
        missing = ~self.is_known.view(rows, columns).numpy()
        places = distance_transform_edt(missing, return_distances=False, return_indices=True)
        flat = torch.from_numpy(places[0].astype(np.int64) * columns + places[1])
        return self.y[flat.flatten()]

    def biharmonic(self) -> Tensor:
        """Fill the missing pixels by the smoothest surface through the known ones."""
        from skimage.restoration import inpaint_biharmonic

        rows, columns = self.signal["shape"]
        picture = self.y.view(rows, columns, -1).numpy().astype(np.float64)
        missing = ~self.is_known.view(rows, columns).numpy()
        filled = inpaint_biharmonic(picture, missing, channel_axis=-1)
        return torch.from_numpy(filled).float().flatten(0, 1)


def _read_mask(path: str, rows: int, columns: int) -> Bool[Tensor, " n"]:
    values, notes = read_photograph(path)
    grey = with_channels(values, 1)[..., 0]
    if grey.shape != (rows, columns):
        notes.append(f"mask {path}: stretched from {grey.shape[0]}x{grey.shape[1]}")
        picture = Image.fromarray(np.ascontiguousarray(grey.numpy()))
        grey = torch.from_numpy(np.array(picture.resize((columns, rows), Image.Resampling.NEAREST)))
    warn_of(notes)
    return (grey > 0.5).flatten()


def inpaint_scores(
    fitted: Tensor, y: Tensor, is_known: Bool[Tensor, " n"], signal: dict[str, Any]
) -> dict[str, Tensor]:
    """Score all pixels, and the missing ones alone: ``psnr_missing`` first, it is the task's."""
    missing = ~is_known
    scores = {"psnr_missing": fit_scores(fitted[missing], y[missing], {})["psnr"]}
    return scores | fit_scores(fitted, y, signal)
