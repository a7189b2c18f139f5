"""Pictures of a fit: the photograph, the field, their derivatives, and the training curve."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from fields.calculus import gradient, laplacian
from fields.fit import SignalFit, fit_scores
from fields.image import pixel_grid
from fields.photograph import write_photograph
from fields.stencil import five_point, sobel


class ImagePictures(Callback):
    """Write ``fit.png``, ``overview.png`` and ``psnr.png`` when a fit of a picture ends.

    ``overview.png`` shows the photograph, the fit and their difference; below, the gradient's size
    and the Laplacian, by finite differences of the photograph and by differentiating the field.
    Fits of other signals are left alone.

    Args:
        folder: Where to write; None is the run's own folder.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self.curves: dict[str, list[tuple[int, Tensor | float]]] = {"train": [], "val": []}

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Note the training score of the step."""
        self._note("train", trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the validation score."""
        if not trainer.sanity_checking:
            self._note("val", trainer)

    def _note(self, stage: str, trainer: pl.Trainer) -> None:
        score = trainer.callback_metrics.get(f"{stage}/psnr")
        if score is not None:
            # kept where it is: reading a number off a GPU at each step would stall it
            self.curves[stage].append((trainer.global_step, score.detach()))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the pictures, on the first process."""
        data = getattr(trainer, "datamodule", None)
        if not isinstance(pl_module, SignalFit) or pl_module.signal.get("kind") != "image":
            return
        # asked of every process, because Lightning's answer is broadcast
        folder = Path(self.folder or trainer.log_dir or trainer.default_root_dir)
        if data is None or not trainer.is_global_zero:
            return
        folder.mkdir(parents=True, exist_ok=True)
        draw_pictures(pl_module, data.y, folder)
        draw_curves(self.state_dict()["curves"], folder / "psnr.png")

    def state_dict(self) -> dict[str, Any]:
        """Return the curves as numbers, so that a resumed run draws them whole."""
        return {"curves": {k: [(s, float(v)) for s, v in c] for k, c in self.curves.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the curves back."""
        self.curves = {k: [(s, v) for s, v in c] for k, c in state_dict["curves"].items()}


def draw_pictures(module: SignalFit, y: Tensor, folder: str | Path) -> list[Path]:
    """Draw a fitted field beside its picture.

    Args:
        module: Fit of a picture; its ``signal`` describes the picture.
        y: The picture's values ``(rows * columns, channels)`` in [-1, 1].
        folder: Existing folder.

    Returns:
        The files written: ``fit.png`` and ``overview.png``.
    """
    rows, columns = module.signal["shape"]
    extent = module.signal["extent"]
    x = pixel_grid(rows, columns, extent).to(module.device)
    fitted = module.evaluate(x)
    slopes = gradient(module.field, x, chunk=module.chunk).cpu()
    bends = laplacian(module.field, x, chunk=module.chunk).cpu()
    fitted = fitted.cpu()
    y = y.cpu()
    scores = fit_scores(fitted, y, module.signal)
    photograph = y.view(rows, columns, -1)
    sobel_slopes = sobel(photograph, extent).flatten(0, 1)
    stencil = five_point(photograph, extent)

    def plane(values: Tensor) -> Tensor:
        return values.reshape(rows, columns, -1).mean(-1)

    def shown(values: Tensor) -> Tensor:
        return ((values.reshape(rows, columns, -1).clamp(-1, 1) + 1) / 2).squeeze(-1)

    def length(values: Tensor) -> Tensor:
        return plane(values.norm(dim=-1))

    folder = Path(folder)
    write_photograph((fitted.view(rows, columns, -1) + 1) / 2, folder / "fit.png")
    name = module.signal.get("name", "photograph")
    error = plane((fitted.clamp(-1, 1) - y).abs()) / 2
    ssim = f", SSIM {scores['ssim'].item():.3f}" if "ssim" in scores else ""
    panels = [
        ("value", name, shown(y)),
        ("value", f"fit, PSNR {scores['psnr'].item():.2f} dB{ssim}", shown(fitted)),
        ("error", f"error, at most {error.max().item():.3f}", error),
        ("slope", f"{name}: size of the gradient (Sobel)", length(sobel_slopes)),
        ("slope", "fit: size of the gradient (exact)", length(slopes)),
        ("slope error", "difference", (length(slopes) - length(sobel_slopes)).abs()),
        ("bend", f"{name}: Laplacian (five points)", plane(stencil)),
        ("bend", "fit: Laplacian (exact)", plane(bends)),
        ("bend error", "difference", (plane(bends) - plane(stencil)).abs()),
    ]
    _draw_panels(panels, folder / "overview.png")
    return [folder / "fit.png", folder / "overview.png"]


def _draw_panels(panels: list[tuple[str, str, Tensor]], file: Path) -> None:
    """Draw nine panels; panels of one kind share the range of the first of them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 12.6), layout="constrained")
    FigureCanvasAgg(figure)
    ranges: dict[str, tuple[float, float]] = {"value": (0.0, 1.0)}
    for axes, (kind, title, values) in zip(figure.subplots(3, 3).flat, panels, strict=True):
        if kind not in ranges:
            # the outermost per cent is clipped: single pixels would darken all the others
            ends = torch.quantile(_sample(values), torch.tensor([0.01, 0.99])).tolist()
            reach = max(abs(end) for end in ends) or 1.0
            ranges[kind] = (-reach, reach) if kind == "bend" else (0.0, reach)
        low, high = ranges[kind]
        colours = {"bend": "RdBu_r", "value": "gray", "slope": "gray"}.get(kind, "magma")
        axes.imshow(values.numpy(), cmap=colours, vmin=low, vmax=high)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    figure.savefig(file, dpi=100)


def _sample(values: Tensor, most: int = 100_000) -> Tensor:
    """Thin values out evenly: torch's quantile takes 16 million at most."""
    flat = values.flatten().float()
    return flat[:: -(-len(flat) // most)]


def draw_curves(curves: dict[str, list[tuple[int, float]]], file: str | Path) -> None:
    """Draw PSNR against optimizer steps, in training and in validation."""
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
    axes.set_ylabel("PSNR, dB")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    figure.savefig(file, dpi=100)
