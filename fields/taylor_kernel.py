"""The elementwise part of a layer's Taylor streams on a CPU: one pass over memory, not one a term.

Matrix products apart, a layer adds and multiplies some thirty tensors of its own size. As torch
operations each of them reads and writes memory; here a point's numbers meet in registers. The
formulas are those of :mod:`fields.taylor_layer`, which uses this file for large tensors on few
threads, and itself otherwise. Compiled at the first use, and kept on disk.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile at the first call; sums may be reordered, which lets loops use vectors."""
    # not all of "fast" mathematics: numbers that are not finite have to stay so
    liberties = {"contract", "reassoc", "nsz", "arcp"}
    options: dict[str, Any] = {"nogil": True, "fastmath": liberties, "error_model": "numpy"}
    plain = inspect.unwrap(function)  # a checker of annotations may have wrapped it
    try:
        return njit(cache=True, **options)(plain)
    except RuntimeError:  # no folder to keep it in, neither beside the file nor in the home
        return njit(**options)(plain)


def sine_cosine(z: Tensor) -> tuple[Tensor, Tensor]:
    """Return sine and cosine of single-precision numbers, to 1e-7."""
    sine, cosine = torch.empty_like(z), torch.empty_like(z)
    _sine_cosine(*_arrays(z.view(-1), sine.view(-1), cosine.view(-1)))
    return sine, cosine


@_compiled
def _sine_cosine(z, sine, cosine):
    # Reduced to [-pi/4, pi/4] in double precision; there Taylor polynomials leave 3e-9 and 3e-8.
    for i in range(z.size):
        x = np.float64(z[i])
        turns = np.rint(x * 0.6366197723675814)
        y = np.float32(x - turns * 1.5707963267948966)
        quarter = np.int64(turns)
        u = y * y
        s = np.float32(2.7557319e-6)
        s = s * u - np.float32(1.9841270e-4)
        s = s * u + np.float32(8.3333333e-3)
        s = s * u - np.float32(1.6666667e-1)
        s = s * u * y + y
        c = np.float32(2.4801587e-5)
        c = c * u - np.float32(1.3888889e-3)
        c = c * u + np.float32(4.1666667e-2)
        c = c * u * u - np.float32(0.5) * u + np.float32(1.0)
        one = c if quarter & 1 else s
        other = s if quarter & 1 else c
        sine[i] = -one if quarter & 2 else one
        cosine[i] = -other if (quarter + 1) & 2 else other


def lift(
    slope: Tensor, bend: Tensor, slopes: Tensor, second: Tensor | None, weights: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Return slopes and second derivatives of ``f(z)``.

    Args:
        slope: ``f'`` at z, ``(n, h)``.
        bend: ``f''`` at z.
        slopes: Slopes of z, ``(k, n, h)`` or ``(k, 1, h)``.
        second: Second derivatives of z, ``(m, n, h)``; None when they vanish.
        weights: Coefficients ``(k,)`` of the sum over directions.
        count: m: one for the sum, k for each direction by itself.
    """
    above = slopes.new_empty(len(slopes), *slope.shape)
    bent = slopes.new_empty(count, *slope.shape)
    q = bent[:0] if second is None else second
    _lift(*_arrays(slope, bend, slopes, q, weights, above, bent))
    return above, bent


@_compiled
def _lift(slope, bend, slopes, second, weights, above, bent):
    k, m = len(slopes), len(bent)
    n, h = slope.shape
    for row in range(n):
        for i in range(m):
            if len(second) > 0:
                for j in range(h):
                    bent[i, row, j] = slope[row, j] * second[i, row, j]
            else:
                for j in range(h):
                    bent[i, row, j] = 0
        for i in range(k):
            p = slopes[i, row if slopes.shape[1] > 1 else 0]
            to, rate = bent[i if m > 1 else 0, row], weights[i]
            for j in range(h):
                above[i, row, j] = slope[row, j] * p[j]
                to[j] += rate * bend[row, j] * p[j] * p[j]


def pull(
    derivatives: tuple[Tensor, Tensor, Tensor],
    slopes: Tensor,
    second: Tensor | None,
    weights: Tensor,
    hats: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Bring the adjoints of what :func:`lift` and ``f`` return down to ``z, P, q``.

    Args:
        derivatives: ``f', f'', f'''`` at z.
        slopes: Slopes of z.
        second: Second derivatives of z, or None.
        weights: As for :func:`lift`.
        hats: Adjoints of value, slopes and second derivatives of ``f(z)``; overwritten.
    """
    value_hat, slopes_hat, second_hat = hats
    shared = slopes.shape[1] == 1
    total = torch.zeros_like(slopes) if shared else slopes_hat
    q = second_hat[:0] if second is None else second
    _pull(*_arrays(*derivatives, slopes, q, weights, *hats, total))
    return value_hat, total, None if second is None else second_hat


@_compiled
def _pull(slope, bend, third, slopes, second, weights, value_hat, slopes_hat, second_hat, total):
    k, m = len(slopes), len(second_hat)
    n, h = slope.shape
    shared = slopes.shape[1] == 1
    mixed, square = np.empty(h, slope.dtype), np.empty(h, slope.dtype)
    for row in range(n):
        mixed[:] = 0
        square[:] = 0
        for i in range(len(second)):
            for j in range(h):
                mixed[j] += second[i, row, j] * second_hat[i, row, j]
        for i in range(k):
            p = slopes[i, 0 if shared else row]
            up, bent_up = slopes_hat[i, row], second_hat[i if m > 1 else 0, row]
            rate = weights[i]
            for j in range(h):
                weighted = rate * p[j] * bent_up[j]
                square[j] += p[j] * weighted
                mixed[j] += p[j] * up[j]
                up[j] = slope[row, j] * up[j] + 2 * bend[row, j] * weighted
            if shared:
                for j in range(h):
                    total[i, 0, j] += up[j]
        for j in range(h):
            value_hat[row, j] = (
                slope[row, j] * value_hat[row, j]
                + bend[row, j] * mixed[j]
                + third[row, j] * square[j]
            )
        for i in range(m):
            for j in range(h):
                second_hat[i, row, j] *= slope[row, j]


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    """Hand the tensors' memory over; what is not contiguous is copied."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
