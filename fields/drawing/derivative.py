"""A picture reconstructed from its derivatives, aligned as it was scored."""

from pathlib import Path

import torch
from torch import Tensor

from fields.chunk import chunked
from fields.derivative_fit import DerivativeFit
from fields.drawing.panels import Panel, Shaper, draw_panels, told
from fields.photograph import write_photograph
from fields.score import fit_scores
from fields.supervision import DerivativeSamples


@torch.no_grad()
def draw(module: DerivativeFit, data: DerivativeSamples, folder: Path) -> list[Path]:
    """Draw the reconstruction.

    Returns:
        The files written: ``recon.png``, the values aligned; ``overview.png``, with reference,
        reconstruction and error above, target derivative, the field's and their difference below,
        and for two pictures the pictures first.
    """
    rows, columns = module.signal["shape"]
    of = Shaper([rows, columns])
    x = data.x.to(module.device)
    fitted = chunked(module.displayed, x, module.chunk).cpu()
    found, target = module.derivatives(x).cpu(), data.targets.cpu()
    write_photograph((fitted.view(rows, columns, -1) + 1) / 2, folder / "recon.png")
    error = of.error(fitted, data.y)
    task, freedom = module.signal["task"], module.signal["freedom"]
    title = f"{told(fit_scores(fitted, data.y, module.signal))} after {freedom} alignment"
    panels: list[Panel | None] = [
        Panel("value", name, values.squeeze(-1)) for name, values in _sources(data)
    ]
    if panels:
        panels.append(None)  # reference, reconstruction and error stay side by side
    panels += [
        Panel("value", module.signal["name"], of.shown(data.y)),
        Panel("value", title, of.shown(fitted)),
        Panel("error", f"error, at most {error.max().item():.3f}", error),
    ]
    kind = "slope" if task == "gradient" else "bend"
    seen = of.length if task == "gradient" else of.plane
    size = "size of the gradient" if task == "gradient" else "Laplacian"
    panels += [
        Panel(kind, f"target: {size}", seen(target)),
        Panel(kind, f"field: {size}", seen(found)),
        Panel(f"{kind} error", f"size of the {task}'s error", _distance(of, found, target)),
    ]
    draw_panels(panels, 3, folder / "overview.png")
    return [folder / "recon.png", folder / "overview.png"]


def _sources(data: DerivativeSamples) -> list[tuple[str, Tensor]]:
    return getattr(data, "sources", [])


def _distance(of: Shaper, found: Tensor, target: Tensor) -> Tensor:
    difference = found - target
    return of.length(difference) if difference.ndim == 3 else of.plane(difference.abs())
