"""Differential operators on a field, as functions of the points.

Each is one figure out of :func:`fields.jet.jet`, without a graph unless asked for.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fields.jet import Field, jet


def gradient(
    field: Field,
    x: Float[Tensor, "*batch d"],
    *,
    chunk: int | None = None,
    create_graph: bool = False,
) -> Float[Tensor, "*batch c d"]:
    """Return the first derivatives of every component, ``g[..., c, i] = d y_c / d x_i``.

    Args:
        field: Map from points to values, each point by itself.
        x: Points.
        chunk: Points at a time; None suits the device.
        create_graph: Whether the result is to be differentiated in turn, in the field's
            parameters or in ``x``.
    """
    return _derivative(field, x, "gradient", chunk, create_graph)


jacobian = gradient


def divergence(
    field: Field,
    x: Float[Tensor, "*batch d"],
    *,
    chunk: int | None = None,
    create_graph: bool = False,
) -> Float[Tensor, "*batch"]:
    """Return the divergence ``sum_i d y_i / d x_i`` of a vector field.

    Args:
        field: Map from points to as many components as there are coordinates.
        x: Points.
        chunk: Points at a time; None suits the device.
        create_graph: Whether the result is to be differentiated in turn.

    Raises:
        ValueError: If the field has another number of components.
    """
    slopes = gradient(field, x, chunk=chunk, create_graph=create_graph)
    if slopes.shape[-2] != slopes.shape[-1]:
        raise ValueError(
            f"a divergence takes as many components as coordinates, got {slopes.shape[-2]} and "
            f"{slopes.shape[-1]}"
        )
    return slopes.diagonal(dim1=-2, dim2=-1).sum(-1)


def laplacian(
    field: Field,
    x: Float[Tensor, "*batch d"],
    *,
    chunk: int | None = None,
    create_graph: bool = False,
) -> Float[Tensor, "*batch c"]:
    """Return the sum of the second derivatives of every component along each coordinate.

    Args:
        field: Map from points to values, each point by itself.
        x: Points.
        chunk: Points at a time; None suits the device.
        create_graph: Whether the result is to be differentiated in turn, in the field's
            parameters or in ``x``.
    """
    return _derivative(field, x, "laplacian", chunk, create_graph)


def hessian(
    field: Field,
    x: Float[Tensor, "*batch d"],
    *,
    chunk: int | None = None,
    create_graph: bool = False,
) -> Float[Tensor, "*batch c d d"]:
    """Return the second derivatives of every component, ``d2 y_c / d x_i d x_j``.

    Args:
        field: Map from points to values, each point by itself.
        x: Points.
        chunk: Points at a time; None suits the device.
        create_graph: Whether the result is to be differentiated in turn.
    """
    return _derivative(field, x, "hessian", chunk, create_graph)


def _derivative(
    field: Field, x: Tensor, order: str, chunk: int | None, create_graph: bool
) -> Tensor:
    # Validation hooks run in inference mode, whose tensors cannot enter a graph: leave it, copy.
    with torch.inference_mode(False), torch.set_grad_enabled(create_graph):
        points = x.clone() if x.is_inference() else x
        return jet(field, points, order, chunk=chunk)[-1]
