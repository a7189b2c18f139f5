"""Laws of functions on tensors: their derivatives and their symmetry."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import jacrev
from torch.testing import assert_close


def assert_jacobian(
    function: Callable[[Tensor], Tensor],
    x: Float[Tensor, "..."],
    jacobian: Float[Tensor, "..."] | None = None,
    *,
    step: float = 1e-5,
) -> None:
    """Reverse-mode derivatives agree with central differences, in double precision.

    Args:
        function: Tensor to tensor; a module is used as it is, so make it double beforehand.
        x: Where to differentiate, float64.
        jacobian: What a closed form claims, shape ``(*output, *x)``; checked as well if given.
        step: Step of the differences; their error is about ``step**2`` plus ``1e-16 / step``.

    Raises:
        ValueError: If ``x`` is not float64, where differences would drown in rounding.
    """
    if x.dtype != torch.float64:
        raise ValueError(f"x must be float64, got {x.dtype}")
    reverse = jacrev(function)(x)
    with torch.no_grad():
        columns = []
        for i in range(x.numel()):
            shift = torch.zeros_like(x).flatten()
            shift[i] = step
            shift = shift.reshape(x.shape)
            columns.append((function(x + shift) - function(x - shift)) / (2 * step))
        differences = torch.stack(columns, -1).reshape(reverse.shape)
    size = max(1.0, float(differences.abs().max()))
    assert_close(reverse, differences, rtol=1e-5, atol=1e-6 * size)
    if jacobian is not None:
        assert_close(jacobian, reverse)


def assert_equivariant(
    function: Callable[[Tensor], Tensor],
    irreps_in: Any,
    irreps_out: Any,
    *,
    batch: int = 5,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> None:
    """Rotating or reflecting the input rotates or reflects the output.

    Args:
        function: ``(batch, irreps_in.dim) -> (batch, irreps_out.dim)``.
        irreps_in: Irreps of the input, e3nn or its text form.
        irreps_out: Irreps of the output.
        batch: Number of random inputs.
        tolerance: Largest allowed error relative to the largest output.
        seed: Seed of inputs and rotations.
    """
    from e3nn import o3

    irreps_in, irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
    parameter = next(function.parameters(), None) if isinstance(function, nn.Module) else None
    dtype = torch.get_default_dtype() if parameter is None else parameter.dtype
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        x = irreps_in.randn(batch, -1, dtype=dtype)
        rotations = o3.rand_matrix(3)
    with torch.no_grad():
        y = function(x)
        size = float(y.abs().max())
        assert size > 0, "the output is zero, which proves nothing"
        for rotation in (*rotations, -torch.eye(3)):
            turn_in = irreps_in.D_from_matrix(rotation).to(x)
            turn_out = irreps_out.D_from_matrix(rotation).to(y)
            error = float((function(x @ turn_in.T) - y @ turn_out.T).abs().max()) / size
            assert error <= tolerance, f"equivariance error {error:.1e} exceeds {tolerance:.1e}"
