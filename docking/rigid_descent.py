"""Quasi-Newton search of rigid poses for higher scores, many at once, each at its own step.

The variables of a pose are the shift of its centre and a rotation vector about it, the latter times
the radius of gyration, so that a unit of either moves atoms about one angstrom. A pose whose step
was too long tries a shorter one while the others go on; a step that loses is never taken.

Source: Nocedal and Wright, "Numerical Optimization" (2006), sections 3.1 and 6.1.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_ARMIJO = 1e-4
_FIRST, _LONGEST = 0.3, 1.0  # angstrom: the step before, the longest after curvature is known
_SHORTEST = 1e-3  # of the step first tried; a pose that gains nothing with less is at rest
_GAIN = 1e-3  # of the score's unit: two steps in a row below it end a descent

Score = Callable[[Tensor, Tensor, Tensor], Tensor]


class Placed(NamedTuple):
    """Rigid poses: turned about their centre, which is then moved to its place.

    Attributes:
        rotation: ``(p, 3, 3)``.
        center: ``(p, 3)``, angstrom.
        score: ``(p,)``.
    """

    rotation: Tensor
    center: Tensor
    score: Tensor


def climb(
    score: Score,
    rotation: Float[Tensor, "p 3 3"],
    center: Float[Tensor, "p 3"],
    gyration: Float[Tensor, " p"],
    *,
    evaluations: int = 40,
) -> Placed:
    """Lead poses to the nearest maximum; none ends below where it began.

    Args:
        score: Score of some poses, given which of them, their rotations and their centres, where a
            rotation may be off by a small vector's first order; differentiable in both.
        rotation: Where to start.
        center: Where to start, angstrom.
        gyration: Root mean square distance of a pose's atoms from its centre, angstrom.
        evaluations: Most scores of a pose computed.
    """
    arm = gyration.double().clamp(min=0.5)[:, None]
    R, t = rotation.double().clone(), center.double().clone()
    every = torch.arange(len(R))
    best, gradient = _value(score, every, R, t, arm)
    hessian = torch.eye(6, dtype=torch.float64).repeat(len(R), 1, 1)
    fresh = torch.ones(len(R), dtype=torch.bool)
    factor, small = torch.ones(len(R), dtype=torch.float64), torch.zeros(len(R))
    alive = every
    for _ in range(evaluations - 1):
        if not len(alive):
            break
        g, H, new = gradient[alive], hessian[alive], fresh[alive]
        direction = (H @ g[..., None])[..., 0]
        length = direction.norm(dim=1)
        # Without curvature a gradient tells a direction alone.
        wanted = torch.where(new, _FIRST, length.clamp(max=_LONGEST))
        step = direction * (factor[alive] * wanted / length.clamp(min=1e-12))[:, None]
        there = _turn(step[:, 3:] / arm[alive]) @ R[alive], t[alive] + step[:, :3]
        found, slopes = _value(score, alive, *there, arm[alive])
        gained = found - best[alive]
        took = gained >= _ARMIJO * (step * g).sum(1).clamp(min=0)
        H, curved = _learnt(H, step, g - slopes, took, new)
        rows = alive[took]
        R[rows], t[rows] = there[0][took], there[1][took]
        best[rows], gradient[rows] = found[took], slopes[took]
        hessian[alive], fresh[alive] = H, new & ~curved
        factor[alive] = torch.where(took, 1.0, factor[alive] / 3)
        small[rows] = (small[rows] + 1) * (gained[took] < _GAIN)
        alive = alive[(small[alive] < 2) & (factor[alive] > _SHORTEST)]
    return Placed(R, t, best)


def _value(
    score: Score, some: Tensor, R: Tensor, t: Tensor, arm: Tensor
) -> tuple[Float[Tensor, " p"], Float[Tensor, "p 6"]]:
    """Scores and their gradients in the scaled variables."""
    with torch.enable_grad():
        free = torch.zeros(len(R), 6, dtype=torch.float64, requires_grad=True)
        # To first order the exponential of a small rotation vector is this.
        turn = torch.eye(3, dtype=torch.float64) + _cross(free[:, 3:] / arm)
        value = score(some, turn @ R, t + free[:, :3])
        (gradient,) = torch.autograd.grad(value.sum(), free)
    return value.detach().double(), gradient


def _learnt(
    H: Tensor, step: Tensor, y: Tensor, took: Tensor, fresh: Tensor
) -> tuple[Float[Tensor, "p 6 6"], Tensor]:
    """The inverse Hessian of minus the score after the steps taken, and where it has changed."""
    sy, yy = (step * y).sum(1), (y * y).sum(1)
    curved = took & (sy > 1e-10 * yy) & (sy > 0)
    safe, safe_y = torch.where(curved, sy, 1.0), torch.where(curved, yy, 1.0)
    rho = torch.where(curved, 1 / safe, 0.0)[:, None, None]
    H = H * torch.where(curved & fresh, safe / safe_y, 1.0)[:, None, None]
    Hy = (H @ y[..., None])[..., 0]
    cross = step[:, :, None] * Hy[:, None, :]
    lift = (1 + (Hy * y).sum(1)[:, None, None] * rho) * rho
    return H + lift * step[:, :, None] * step[:, None, :] - rho * (cross + cross.mT), curved


def _cross(v: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3 3"]:
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))


def _turn(v: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3 3"]:
    return torch.linalg.matrix_exp(_cross(v))
