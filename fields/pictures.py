"""What a run leaves for a person: pictures, sounds and films of the fit, and the training curve."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from fields.drawing import drawing
from fields.fit import SignalFit
from fields.score import headline


class SignalPictures(Callback):
    """Write what shows a finished fit: by its task and kind of signal, and the training curve.

    A fit of a picture leaves ``fit.png``, ``overview.png`` and ``psnr.png``; other signals leave
    what their file in ``fields.drawing`` says, and a curve named after their leading score.
    Fits that nothing draws are left alone.

    Args:
        folder: Where to write; None is the run's own folder.
    """

    kinds: tuple[str, ...] | None = None  # None draws every kind

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self.curves: dict[str, list[tuple[int, Tensor | float]]] = {"train": [], "val": []}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Note the training score of the step."""
        self._note("train", trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the validation score."""
        if not trainer.sanity_checking:
            self._note("val", trainer, pl_module)

    def _note(self, stage: str, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        score = trainer.callback_metrics.get(f"{stage}/{_score_name(module)}")
        if score is not None:
            # kept where it is: reading a number off a GPU at each step would stall it
            self.curves[stage].append((trainer.global_step, score.detach()))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the files, on the first process."""
        data = getattr(trainer, "datamodule", None)
        if not isinstance(pl_module, SignalFit):
            return
        kind, draw = pl_module.signal.get("kind"), drawing(pl_module.signal)
        if draw is None or (self.kinds is not None and kind not in self.kinds):
            return
        # asked of every process, because Lightning's answer is broadcast
        folder = Path(self.folder or trainer.log_dir or trainer.default_root_dir)
        if data is None or not trainer.is_global_zero:
            return
        folder.mkdir(parents=True, exist_ok=True)
        draw(pl_module, data, folder)
        name = _score_name(pl_module)
        draw_curves(self.state_dict()["curves"], folder / f"{name}.png", name.upper())

    def state_dict(self) -> dict[str, Any]:
        """Return the curves as numbers, so that a resumed run draws them whole."""
        return {"curves": {k: [(s, float(v)) for s, v in c] for k, c in self.curves.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the curves back."""
        self.curves = {k: [(s, v) for s, v in c] for k, c in state_dict["curves"].items()}


class ImagePictures(SignalPictures):
    """``SignalPictures`` of fits of pictures; fits of other kinds are left alone.

    Args:
        folder: Where to write; None is the run's own folder.
    """

    kinds = ("image",)


def _score_name(module: pl.LightningModule) -> str:
    """Return the name of the leading score of the signal a module is fitted to."""
    return headline(torch.ones(()), getattr(module, "signal", {}))[0]


def draw_curves(
    curves: dict[str, list[tuple[int, float]]], file: str | Path, score: str = "PSNR"
) -> None:
    """Draw a score, dB, against optimizer steps, in training and in validation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for (stage, points), style in zip(curves.items(), ("-", "o"), strict=False):
        if points:
            steps, scores = zip(*points, strict=True)
            axes.plot(steps, scores, style, label=stage, markersize=3)
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel(f"{score}, dB")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    figure.savefig(file, dpi=100)
