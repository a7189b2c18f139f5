"""How a field's layers are distributed: before and after their activations, and their gradients.

Sines of the right size feed sines of the right size: arguments are close to N(0, 1), outputs to
the arcsine law on [-1, 1], and gradients keep their size. Close, not equal: in a wide network
without biases the variance v of the arguments goes from layer to layer by ``1 - exp(-2 v)``, from
1 towards 0.797; outputs are then 0.043 to 0.065 away from the arcsine law in the
Kolmogorov-Smirnov distance; and the variance of the gradients grows by ``1 + exp(-2 v)`` from each
layer to the one below.

Source: Sitzmann et al., arXiv:2006.09661, section 3.2 and supplement.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fields.chunk import CPU_CHUNK, chunk_size
from fields.mlp import MLPField


@dataclass(frozen=True)
class LayerStatistics:
    """One hidden layer over many points.

    Attributes:
        std: Standard deviation of the arguments, what the activation's shape is applied to.
        gradient_std: Root mean square of the field's derivatives in those arguments.
        ks_normal: Kolmogorov-Smirnov distance of the arguments from N(0, 1).
        ks_arcsine: The same of the outputs from the arcsine law on [-1, 1]; 1 at most.
        arguments: Some of the arguments, evenly picked.
        outputs: The outputs there.
        gradients: The gradients there.
    """

    std: float
    gradient_std: float
    ks_normal: float
    ks_arcsine: float
    arguments: Float[Tensor, " k"]
    outputs: Float[Tensor, " k"]
    gradients: Float[Tensor, " k"]


def layer_statistics(
    field: MLPField,
    x: Float[Tensor, "n d"],
    *,
    kept: int = 200_000,
    chunk: int | None = None,
) -> list[LayerStatistics]:
    """Measure every hidden layer of ``field`` at the points ``x``.

    Args:
        field: Multilayer field; gradients are those of the sum of its components.
        x: Points.
        kept: About how many values of each layer distances are taken over; moments take all.
        chunk: Points at a time; None suits the device, less for wide layers.
    """
    from scipy import stats

    size = chunk_size(chunk, x.device)
    if chunk is None:
        # three tensors a layer are alive: as much memory as a chunk of a field 256 wide takes
        size = max(1, min(size, CPU_CHUNK * 256 // max(field.widths)))
    squares = [torch.zeros(2, dtype=torch.float64) for _ in field.hidden]
    some: list[list[tuple[Tensor, ...]]] = [[] for _ in field.hidden]
    for points in x.split(size):
        for index, values in enumerate(_layers(field, points)):
            stride = max(1, len(x) * values[0].shape[1] // kept)
            some[index].append(tuple(v.flatten()[::stride] for v in values))
            arguments, _, gradients = values
            squares[index] += torch.stack(
                [v.double().square().sum().cpu() for v in (arguments, gradients)]
            )
    arcsine = stats.arcsine(loc=-1, scale=2)
    found = []
    for index, width in enumerate(field.widths):
        arguments, outputs, gradients = (
            torch.cat(parts).float().cpu() for parts in zip(*some[index], strict=True)
        )
        std, gradient_std = (squares[index] / (len(x) * width)).sqrt().tolist()
        found.append(
            LayerStatistics(
                std=std,
                gradient_std=gradient_std,
                ks_normal=_distance(arguments, stats.norm()),
                ks_arcsine=_distance(outputs, arcsine),
                arguments=arguments,
                outputs=outputs,
                gradients=gradients,
            )
        )
    return found


def _layers(field: MLPField, points: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return argument, output and gradient of every hidden layer."""
    with torch.enable_grad():
        h = field.encode(points).requires_grad_()
        arguments, outputs = [], []
        for layer in field.hidden:
            arguments.append(layer.argument(h))  # type: ignore[operator]
            h = layer.activation.shape(arguments[-1])  # type: ignore[operator]
            outputs.append(h)
        gradients = torch.autograd.grad(field.readout(h).sum(), arguments)
    return [
        (s.detach(), y.detach(), g) for s, y, g in zip(arguments, outputs, gradients, strict=True)
    ]


def _distance(values: Tensor, law: object) -> float:
    """Return the largest difference between two cumulative distributions."""
    ordered = values.double().sort().values
    expected = torch.from_numpy(law.cdf(ordered.numpy()))  # type: ignore[attr-defined]
    steps = torch.arange(len(ordered) + 1, dtype=torch.float64) / len(ordered)
    return float(torch.maximum(steps[1:] - expected, expected - steps[:-1]).max())
