"""A picture completed from some of its pixels, beside what costs nothing."""

from pathlib import Path

from torch import Tensor

from fields.drawing.panels import Panel, Shaper, draw_panels, told
from fields.inpaint import InpaintSamples, inpaint_scores
from fields.inpaint_fit import InpaintFit
from fields.photograph import write_photograph


def draw(module: InpaintFit, data: InpaintSamples, folder: Path) -> list[Path]:
    """Draw the completed picture.

    Returns:
        The files written: ``recon.png`` and ``overview.png``, with what was known, the fit, the
        picture, the nearest known pixel, and the errors of the fit and of the latter.
    """
    rows, columns = module.signal["shape"]
    of = Shaper([rows, columns])
    fitted = module.evaluate(data.x.to(module.device)).cpu()
    write_photograph((fitted.view(rows, columns, -1) + 1) / 2, folder / "recon.png")
    nearest = data.nearest()
    known = data.y.clone()
    known[~data.is_known] = -1.0

    def missing(values: Tensor) -> str:
        scores = inpaint_scores(values, data.y, data.is_known, module.signal)
        return f"{scores['psnr_missing'].item():.2f} dB on the missing pixels"

    scores = inpaint_scores(fitted, data.y, data.is_known, module.signal)
    panels: list[Panel | None] = [
        Panel("value", f"known: {module.signal['known']:.1%} of the pixels", of.shown(known)),
        Panel("value", f"fit, {told(scores)}", of.shown(fitted)),
        Panel("error", f"error of the fit: {missing(fitted)}", of.error(fitted, data.y)),
        Panel("value", module.signal["name"], of.shown(data.y)),
        Panel("value", "nearest known pixel", of.shown(nearest)),
        Panel("error", f"error of the nearest: {missing(nearest)}", of.error(nearest, data.y)),
    ]
    draw_panels(panels, 3, folder / "overview.png")
    return [folder / "recon.png", folder / "overview.png"]
