"""A fitted photograph: the picture, the field, and the derivatives of both."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from fields.calculus import gradient, laplacian
from fields.drawing.panels import Panel, Shaper, draw_panels, told
from fields.fit import SignalFit
from fields.image import pixel_grid
from fields.photograph import write_photograph
from fields.samples import SignalSamples
from fields.score import fit_scores
from fields.stencil import five_point, sobel


def draw(module: SignalFit, data: SignalSamples, folder: Path) -> list[Path]:
    """Draw a finished fit of a photograph."""
    return draw_pictures(module, data.y, folder)


def draw_pictures(
    module: SignalFit, y: Float[Tensor, "n channels"], folder: str | Path
) -> list[Path]:
    """Draw a fitted field beside its picture.

    Args:
        module: Fit of a picture; its ``signal`` describes the picture.
        y: The picture's values ``(rows * columns, channels)`` in [-1, 1].
        folder: Existing folder.

    Returns:
        The files written: ``fit.png``; ``overview.png``, with the photograph, the fit and their
        difference, and below the gradient's size and the Laplacian, by finite differences of the
        photograph and by differentiating the field.
    """
    rows, columns = module.signal["shape"]
    extent = module.signal["extent"]
    x = pixel_grid(rows, columns, extent).to(module.device)
    fitted = module.evaluate(x).cpu()
    slopes = gradient(module.field, x, chunk=module.chunk).cpu()
    bends = laplacian(module.field, x, chunk=module.chunk).cpu()
    y = y.cpu()
    photograph = y.view(rows, columns, -1)
    sobel_slopes = sobel(photograph, extent).flatten(0, 1)
    stencil = five_point(photograph, extent)
    of = Shaper([rows, columns])
    folder = Path(folder)
    write_photograph((fitted.view(rows, columns, -1) + 1) / 2, folder / "fit.png")
    name = module.signal.get("name", "photograph")
    scores = fit_scores(fitted, y, module.signal)
    error = of.error(fitted, y)
    panels: list[Panel | None] = [
        Panel("value", name, of.shown(y)),
        Panel("value", f"fit, {told(scores)}", of.shown(fitted)),
        Panel("error", f"error, at most {error.max().item():.3f}", error),
        Panel("slope", f"{name}: size of the gradient (Sobel)", of.length(sobel_slopes)),
        Panel("slope", "fit: size of the gradient (exact)", of.length(slopes)),
        Panel("slope error", "difference", (of.length(slopes) - of.length(sobel_slopes)).abs()),
        Panel("bend", f"{name}: Laplacian (five points)", of.plane(stencil)),
        Panel("bend", "fit: Laplacian (exact)", of.plane(bends)),
        Panel("bend error", "difference", (of.plane(bends) - of.plane(stencil)).abs()),
    ]
    draw_panels(panels, 3, folder / "overview.png")
    return [folder / "fit.png", folder / "overview.png"]
