"""Training points where the residual is large.

Source: C. Wu, M. Zhu, Q. Tan, Y. Kartha, L. Lu, "A comprehensive study of non-adaptive and
residual-based adaptive sampling", CMAME 403 (2023) 115671 (RAD, RAR-D); A. Daw et al., "Rethinking
the importance of sampling in physics-informed neural networks", ICML 2023 (R3).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from overparam.errors import InputError


def residual_density(
    residual: Float[Tensor, " n"], *, k: float | int = 1, c: float | int = 1
) -> Float[Tensor, " n"]:
    """Return the density of points relative to the uniform one, ``(|r|^k / E|r|^k + c) / (1 + c)``.

    Its mean over uniform points is 1, so that times ``1 / volume`` it integrates to 1 over the
    domain. A residual that is zero everywhere gives the uniform density.

    Args:
        residual: Residuals at points uniform in the domain; any sign.
        k: Sharpness, at least 0.
        c: Share of the uniform density, at least 0.

    Raises:
        InputError: If a residual is not finite.
        ValueError: If there is none, or ``k`` or ``c`` is negative.
    """
    if len(residual) == 0:
        raise ValueError("residual must hold at least one point, got none")
    if k < 0 or c < 0:
        raise ValueError(f"k and c must not be negative, got {k} and {c}")
    if not residual.isfinite().all():
        raise InputError("residuals must be finite, got NaN or infinity")
    size = residual.detach().double().abs()
    largest = size.max()
    if largest == 0:
        return torch.ones_like(residual)
    power = (size / largest) ** k  # scaled first: a high power of a small residual is no zero
    return ((power / power.mean() + c) / (1 + c)).to(residual)


def rad(
    points: Float[Tensor, "m d"],
    residual: Float[Tensor, " m"],
    n: int,
    *,
    k: float | int = 1,
    c: float | int = 1,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n d"]:
    """Choose ``n`` of many uniform points by their residual, without repetition (RAD).

    Args:
        points: Points uniform in the domain, several times as many as are chosen.
        residual: Residual at each.
        n: Number of points to choose.
        k: Sharpness; see :func:`residual_density`.
        c: Share of the uniform density; with 0, points without residual are taken last.
        generator: Source of randomness; None is torch's own.

    Raises:
        InputError: If a residual is not finite.
        ValueError: If ``n`` is not between 1 and the number of points.
    """
    if not 1 <= n <= len(points):
        raise ValueError(f"n must be between 1 and the {len(points)} points, got {n}")
    density = residual_density(residual, k=k, c=c).double()
    # Efraimidis and Spirakis: the largest of log(u) / p are a draw without replacement
    unit = torch.rand(len(points), generator=generator, dtype=torch.float64).to(density.device)
    keys = torch.log(unit.clamp_min(1e-300)) / density.clamp_min(1e-300)
    return points[keys.topk(n).indices]


def rar_d(
    points: Float[Tensor, "p d"],
    pool: Float[Tensor, "m d"],
    residual: Float[Tensor, " m"],
    n: int,
    *,
    k: float | int = 2,
    c: float | int = 0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "q d"]:
    """Add ``n`` points of a pool to those in use, by the pool's residual (RAR-D).

    Raises:
        InputError: If a residual is not finite.
        ValueError: If ``n`` is not between 1 and the size of the pool.
    """
    return torch.cat([points, rad(pool, residual, n, k=k, c=c, generator=generator)])


def r3(
    points: Float[Tensor, "n d"], residual: Float[Tensor, " n"], fresh: Float[Tensor, "n d"]
) -> Float[Tensor, "n d"]:
    """Keep the points whose residual is above the mean, replace the others by fresh ones (R3).

    Args:
        points: Points in use.
        residual: Residual at each.
        fresh: As many new uniform points; those in the places of the released points are taken.

    Raises:
        InputError: If a residual is not finite.
    """
    if not residual.isfinite().all():
        raise InputError("residuals must be finite, got NaN or infinity")
    size = residual.detach().abs()
    return torch.where((size > size.mean())[:, None], points, fresh)
