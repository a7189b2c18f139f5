"""Panels of pictures side by side, those of one kind in one range of grey or colour."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

# kind of panel -> colour map; anything else is an error
COLOURS = {"bend": "RdBu_r", "value": "gray", "slope": "gray"}


@dataclass
class Panel:
    """One picture in a figure.

    Attributes:
        kind: Panels of one kind share the range of the first of them; ``"value"`` is in [0, 1],
            ``"bend"`` has a sign.
        title: Line above it.
        values: Picture ``(rows, columns)``, or ``(rows, columns, 3)`` in [0, 1].
    """

    kind: str
    title: str
    values: Float[Tensor, "rows columns ..."]


def draw_panels(panels: list[Panel | None], columns: int, file: Path) -> None:
    """Draw panels in rows of ``columns``.

    Args:
        panels: At least one; None leaves a place empty.
        columns: Panels in a row.
        file: Picture to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    tall, wide = next(panel for panel in panels if panel is not None).values.shape[:2]
    height = 4 * min(max(tall / wide, 0.25), 3) + 0.2  # inches, with the title
    figure = Figure(figsize=(4 * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    ranges: dict[str, tuple[float, float]] = {"value": (0.0, 1.0)}
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, panels, strict=False):
        if panel is None:
            continue
        if panel.kind not in ranges:
            # the outermost per cent is clipped: single pixels would darken all the others
            ends = torch.quantile(thinned(panel.values), torch.tensor([0.01, 0.99])).tolist()
            reach = max(abs(end) for end in ends) or 1.0
            ranges[panel.kind] = (-reach, reach) if panel.kind == "bend" else (0.0, reach)
        low, high = ranges[panel.kind]
        colours = COLOURS.get(panel.kind, "magma")
        axes.imshow(panel.values.numpy(), cmap=colours, vmin=low, vmax=high)
        axes.set_title(panel.title, fontsize=10)
    figure.savefig(file, dpi=100)


def thinned(values: Tensor, most: int = 100_000) -> Tensor:
    """Thin values out evenly: torch's quantile takes 16 million at most."""
    flat = values.flatten().float()
    return flat[:: -(-len(flat) // most)]


class Shaper:
    """Turns values of points into pictures of one shape.

    Args:
        shape: Rows and columns.
    """

    def __init__(self, shape: list[int]) -> None:
        self.shape = shape

    def shown(self, values: Float[Tensor, "n c"]) -> Float[Tensor, "rows columns ..."]:
        """Return values of [-1, 1] as a picture in [0, 1]."""
        return ((values.reshape(*self.shape, -1).clamp(-1, 1) + 1) / 2).squeeze(-1)

    def plane(self, values: Float[Tensor, "n ..."]) -> Float[Tensor, "rows columns"]:
        """Return one number a pixel: the mean over channels."""
        return values.reshape(*self.shape, -1).mean(-1)

    def length(self, slopes: Float[Tensor, "n c 2"]) -> Float[Tensor, "rows columns"]:
        """Return the size of the gradient, the mean over channels."""
        return self.plane(slopes.norm(dim=-1))

    def error(
        self, fitted: Float[Tensor, "n c"], y: Float[Tensor, "n c"]
    ) -> Float[Tensor, "rows columns"]:
        """Return the size of the error in units of [0, 1], as a screen shows it."""
        return self.plane((fitted.clamp(-1, 1) - y.clamp(-1, 1)).abs()) / 2


def told(scores: dict[str, Tensor]) -> str:
    """Say what PSNR and SSIM are, where they are."""
    ssim = f", SSIM {scores['ssim'].item():.3f}" if "ssim" in scores else ""
    return f"PSNR {scores['psnr'].item():.2f} dB{ssim}"
