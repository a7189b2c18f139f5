"""A sphere to begin with: the read-out of a field is set so that it nearly is one."""

import math

import torch
from torch import nn

from fields.activation import Sine
from fields.mlp import FieldLayer, MLPField


@torch.no_grad()
def set_to_sphere(field: nn.Module, radius: float, *, points: int = 4096, seed: int = 0) -> float:
    """Set a field's read-out so that it is nearly the signed distance of a sphere around 0.

    The affine read-out is fitted by least squares at random points of [-1, 1] cubed. Sines of the
    field's own frequency cannot add up to so smooth a function: a quarter of the units of each
    sine layer is drawn anew to read only one another and to vary over the cube by a radian. A
    field that begins as a sphere, negative inside, keeps that sense when it is fitted to points
    without normals.

    Args:
        field: Field with hidden layers and an affine read-out of one component.
        radius: Radius of the sphere, positive.
        points: Number of points.
        seed: Seed of the points and of the units drawn anew.

    Returns:
        The root mean square of what remains between field and distance.

    Raises:
        ValueError: If ``radius`` is not positive, or the field has no read-out of one component.

    Source: a sphere to begin with, Atzmon and Lipman, "SAL: Sign agnostic learning of shapes from
    raw data", CVPR 2020; several frequencies in a field of sines, DiGS (see ``EikonalLoss``).
    """
    if not radius > 0:
        raise ValueError(f"sphere must be a positive radius, got {radius}")
    if not (isinstance(field, MLPField) and field.out_features == 1):
        raise ValueError(f"sphere needs an MLPField of one component, got {type(field).__name__}")
    weight = field.readout.weight
    generator = torch.Generator().manual_seed(seed)
    if field.encoding is None:
        _slow_down(field, generator)
    x = torch.rand(points, field.in_features, generator=generator).to(weight) * 2 - 1
    features = field.hidden(field.encode(x)).double()
    features = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    wanted = x.norm(dim=-1).double() - radius
    # a little ridge: features that hardly differ must not get large opposite weights
    gram = features.T @ features
    gram += 1e-6 * points * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    solution = torch.linalg.solve(gram, features.T @ wanted)
    weight.copy_(solution[None, :-1])
    field.readout.bias.copy_(solution[-1:])
    return float((features @ solution - wanted).square().mean().sqrt())


def _slow_down(field: MLPField, generator: torch.Generator, part: float = 0.25) -> None:
    """Draw the first units of each sine layer as a field of their own, of frequency one."""
    below = field.in_features
    for index, layer in enumerate(field.hidden):
        assert isinstance(layer, FieldLayer)
        omega = layer.activation.factor
        if not isinstance(layer.activation, Sine):
            return
        units = max(1, int(part * layer.out_features))
        bound = 1.0 if index == 0 else math.sqrt(6 / below)
        weight, bias = layer.affine.weight[:units], layer.affine.bias[:units]
        drawn = torch.rand(units, below + 1, generator=generator).to(weight) * 2 - 1
        weight.zero_()
        weight[:, :below] = bound / omega * drawn[:, :below]
        bias.copy_(math.pi / omega * drawn[:, below])
        below = units
