"""Truncated Taylor expansions of intermediate quantities, carried through a field layer by layer.

A module takes part by one method, ``taylor(t) -> t``, which maps the expansion of its input to
that of its output: whatever ``forward`` does to values, ``taylor`` does to a :class:`Taylor`.
:func:`expand` calls it.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fields.activation import Activation, Relu, Tanh
from fields.curvature import Curvature
from fields.taylor_layer import (
    Streams,
    activate_affine,
    affine,
    follows,
    is_plain,
    known,
    lift,
    require_derivatives,
)


class Taylor:
    """Value, slopes and second derivatives at n points, of anything that depends on the points.

    Affine maps, activations, sums, products and rearrangements each have their method; they cover
    the layers and encodings of this package, and most others. What they do not cover builds a new
    ``Taylor`` from the three tensors. An expansion is not modified after it was made.

    Args:
        value: ``(n, *features)``.
        slopes: Derivatives along each of k directions, ``(k, n, *features)``; ``(k, 1, *features)``
            when all points share them.
        second: Second derivatives ``(m, n, *features)``; None when they vanish or none are carried.
        curvature: Which second derivatives they are.
    """

    def __init__(
        self, value: Tensor, slopes: Tensor, second: Tensor | None, curvature: Curvature
    ) -> None:
        self._streams: Streams = (value, slopes, second)
        self._pending: Activation | None = None
        self.curvature = curvature

    def _like(self, value: Tensor, slopes: Tensor, second: Tensor | None) -> "Taylor":
        """Return what follows from this expansion by one step."""
        return Taylor(value, slopes, second, self.curvature)

    def _settled(self) -> Streams:
        """Apply the activation that waits for the affine map above it."""
        if self._pending is not None:
            value, slopes, second = self._streams
            derivatives = known(self._pending, value, self.curvature)
            self._streams = lift(derivatives, slopes, second, self.curvature)
            self._pending = None
        return self._streams

    @property
    def value(self) -> Float[Tensor, "n *features"]:
        """The quantity itself."""
        return self._settled()[0]

    @property
    def slopes(self) -> Float[Tensor, "k one_or_n *features"]:
        """Its first derivatives along each direction."""
        return self._settled()[1]

    @property
    def second(self) -> Float[Tensor, "m n *features"] | None:
        """Its second derivatives; None when they vanish or none are carried."""
        return self._settled()[2]

    def affine(
        self, weight: Float[Tensor, "out in"], bias: Float[Tensor, " out"] | None = None
    ) -> "Taylor":
        """Return the expansion of ``W y + b``, over the last axis."""
        rows = self._streams[0].dim() == 2
        if self._pending is not None and rows and is_plain(self._pending):
            above = activate_affine(self._streams, self._pending, weight, bias, self.curvature)
        else:
            above = affine(self._settled(), weight, bias)
        return self._like(*above)

    def activate(self, activation: Activation) -> "Taylor":
        """Return the expansion of ``activation.shape(y)``, element by element."""
        require_derivatives(activation)
        above = self._like(*self._settled())
        above._pending = activation
        return above

    def chain(self, *derivatives: Float[Tensor, "n *features"]) -> "Taylor":
        """Return the expansion of an elementwise ``f(y)``.

        Args:
            derivatives: ``f``, ``f'`` and ``f''``, evaluated at ``self.value``.
        """
        _, slopes, second = self._settled()
        return self._like(*lift(derivatives, slopes, second, self.curvature))

    def linear(self, function: Callable[[Tensor], Tensor]) -> "Taylor":
        """Return the expansion of a linear map without offset.

        Args:
            function: Map of the trailing axes, the same for every leading one: indexing by
                ``s[..., 0]``, a multiplication by a constant, a flattening.
        """
        value, slopes, second = self._settled()
        above = None if second is None else function(second)
        return self._like(function(value), function(slopes), above)

    def __add__(self, other: "Taylor | Tensor | float") -> "Taylor":
        """Add another expansion, or a constant."""
        value, slopes, second = self._settled()
        if not isinstance(other, Taylor):
            return self._like(value + other, slopes, second)
        bent = other.second if second is None else second
        if second is not None and other.second is not None:
            bent = second + other.second
        return self._like(value + other.value, slopes + other.slopes, bent)

    def __mul__(self, other: "Taylor") -> "Taylor":
        """Multiply by another expansion of the same shape: the product rule."""
        one, slopes, second = self._settled()
        two = other.value
        above = slopes * two + other.slopes * one
        bent = None
        if self.curvature.count:
            bent = 2 * self.curvature.bilinear(slopes, other.slopes)
            bent = bent if second is None else bent + second * two
            bent = bent if other.second is None else bent + other.second * one
        return self._like(one * two, above, bent)

    @staticmethod
    def cat(parts: Sequence["Taylor"]) -> "Taylor":
        """Concatenate expansions along their last axis."""
        n = len(parts[0].value)
        slopes = [part.slopes.expand(-1, n, *part.slopes.shape[2:]) for part in parts]
        second = None
        if any(part.second is not None for part in parts):
            second = torch.cat([part._seconds() for part in parts], dim=-1)
        value = torch.cat([part.value for part in parts], dim=-1)
        return parts[0]._like(value, torch.cat(slopes, dim=-1), second)

    def _seconds(self) -> Tensor:
        if self.second is not None:
            return self.second
        return self.value.new_zeros(self.curvature.count, *self.value.shape)


# torch's own elementwise modules that are exactly ours
_ELEMENTWISE: dict[type[nn.Module], Activation] = {nn.Tanh: Tanh(), nn.ReLU: Relu()}


def expand(module: nn.Module, t: Taylor) -> Taylor:
    """Carry an expansion through a module: what a module's ``taylor`` calls for its parts.

    Args:
        module: One with a ``taylor`` of its own; or torch's ``Sequential`` of such modules,
            ``Linear``, ``Identity``, ``Tanh`` or ``ReLU``.
        t: Expansion of the module's input.

    Raises:
        NotImplementedError: If the module takes no part.
    """
    kind = type(module)
    if kind is nn.Sequential:
        for part in module.children():
            t = expand(part, t)
        return t
    if isinstance(module, nn.Linear) and kind.forward is nn.Linear.forward:
        return t.affine(module.weight, module.bias)
    if isinstance(module, Activation) and kind.forward is Activation.forward:
        return t.linear(lambda s: module.factor * s).activate(module)
    if kind is nn.Identity:
        return t
    if kind in _ELEMENTWISE:
        return t.activate(_ELEMENTWISE[kind])
    if not follows(module, "taylor", "forward"):
        raise NotImplementedError(f"{kind.__name__} does not carry Taylor expansions")
    return module.taylor(t)  # type: ignore[operator]
