"""Derivatives of few outputs, by one hand-written reverse sweep for each output.

A forward expansion carries one stream for each number asked for; a sweep from the outputs down
carries one for each output. With ``A`` the gradient of an output in what an activation ``f``
returns, ``A <- (A f'(z)) W`` goes down a layer, and every second derivative of the output is

    sum over layers of  A . f''(z) B(P, P),

``P`` being the slopes of ``z``. Gradients alone need no slopes on the way up. The sweep is written
in ordinary operations, so that training differentiates it like any other pass, without a graph of
a graph.
"""

import torch
from torch import Tensor, nn

from fields.activation import Activation
from fields.taylor import Taylor
from fields.taylor_layer import Streams, require_derivatives, shape_slope


class Sweep(Taylor):
    """A value together with what leads from it back to an expansion.

    Affine maps and activations are remembered; anything else may only come before the first.

    Args:
        base: Expansion of what the first affine map reads; the sweep ends there.
    """

    def __init__(self, base: Taylor) -> None:
        super().__init__(base.value, base.slopes, base.second, base.curvature)
        self._base = base
        # from the base up: a weight, or an activation's slope with what its curvature adds
        self._steps: list[tuple[Tensor | None, Tensor, Tensor]] = []

    def _like(self, value: Tensor, slopes: Tensor, second: Tensor | None) -> "Sweep":
        return Sweep(Taylor(value, slopes, second, self.curvature))

    def _settled(self) -> Streams:
        if self._steps:
            raise NotImplementedError("a sweep remembers affine maps and activations only")
        return self._streams

    @property
    def width(self) -> int:
        """Number of components so far."""
        return self._streams[0].shape[-1]

    def affine(self, weight: Tensor, bias: Tensor | None = None) -> "Sweep":
        """Apply the affine map ``W y + b`` and remember it."""
        value, slopes, _ = self._streams
        linear = nn.functional.linear
        if self.curvature.count:
            slopes = linear(slopes, weight)
        return self._after(linear(value, weight, bias), slopes, (weight, weight, weight))

    def activate(self, activation: Activation) -> "Sweep":
        """Apply ``activation.shape``, and remember its derivatives."""
        require_derivatives(activation)
        z, slopes, _ = self._streams
        value, slope = shape_slope(activation, z)
        if not self.curvature.count:
            return self._after(value, slopes, (None, slope, slope))
        bend = activation.shape_bend(z, value, slope)
        bent = bend * self.curvature.bilinear(slopes, slopes)
        return self._after(value, slope * slopes, (None, slope, bent))

    def _after(
        self, value: Tensor, slopes: Tensor, step: tuple[Tensor | None, Tensor, Tensor]
    ) -> "Sweep":
        above = Sweep(self._base)
        above._streams = (value, slopes, None)
        above._steps = [*self._steps, step]
        return above

    def outcome(self) -> Streams:
        """Return value ``(n, c)``, slopes ``(k, n, c)`` and second derivatives ``(m, n, c)``."""
        value, slopes, _ = self._streams
        unit = torch.eye(value.shape[-1], dtype=value.dtype, device=value.device)
        swept = [self._swept(row[None]) for row in unit]
        if self.curvature.count:
            return value, slopes, torch.stack([second for _, second in swept], dim=-1)
        return value, torch.stack([slope for slope, _ in swept], dim=-1), None

    def _swept(self, adjoint: Tensor) -> tuple[Tensor, Tensor]:
        """Bring an output's gradient ``(1, c)`` down to the base.

        Returns:
            Its slopes ``(k, n)`` if no second derivatives are carried, and those ``(m, n)``.
        """
        n, count = len(self._streams[0]), self.curvature.count
        second = adjoint.new_zeros(count, n)
        for weight, slope, bent in reversed(self._steps):
            if weight is not None:
                adjoint = adjoint @ weight
                continue
            if count:
                second = second + (bent * adjoint).sum(-1)
            adjoint = adjoint * slope
        _, slopes, bent_base = self._base._settled()
        if count:
            return slopes[..., 0], second if bent_base is None else (
                second + (bent_base * adjoint).sum(-1)
            )
        if slopes.shape[1] == 1:
            return (adjoint @ slopes[:, 0].t()).t().expand(-1, n), second
        return torch.einsum("ne,kne->kn", adjoint.expand(n, -1), slopes), second
