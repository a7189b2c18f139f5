"""Elementwise activations with their derivatives and the initialisation that suits each.

Every activation is ``f(z) = shape(factor * z)``. A layer folds ``factor`` into its affine map, so
that one matrix product yields the argument of ``shape``; the weights themselves keep the scale
that the optimiser sees.

Every shape here solves a differential equation of second order: its second and third derivatives
follow from value and slope without another sine or exponential. One thing, longer than 300
lines: a family whose members differ by a few formulas each and are compared and tested together.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

Values = Float[Tensor, "*batch"]


def _positive(name: str, value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value


class Activation(nn.Module):
    """Base of the elementwise activations, ``f(z) = shape(factor * z)``.

    A subclass gives :meth:`shape` and, from the second derivative up in terms of what is known
    already, :meth:`shape_slope`, :meth:`shape_bend` and :meth:`shape_third`; it sets ``factor``
    when that is not one. It has no parameters, so that one object may serve every layer of a field.
    One that gives :meth:`shape` alone serves too; its fields are differentiated the slow way.

    Shapes:
        ``(*batch,) -> (*batch,)``.
    """

    factor: float = 1.0

    def __init__(self) -> None:  # without arguments, unlike nn.Module's: recipes read signatures
        super().__init__()

    def shape(self, s: Values) -> Values:
        """Apply the activation to ``s = factor * z``."""
        raise NotImplementedError

    def shape_slope(self, s: Values) -> tuple[Values, Values]:
        """Return :meth:`shape` and its derivative at ``s``, sharing what they have in common."""
        raise NotImplementedError

    def shape_bend(self, s: Values, f: Values, slope: Values) -> Values:
        """Return the second derivative, given value and slope."""
        raise NotImplementedError

    def shape_third(self, s: Values, f: Values, slope: Values, bend: Values) -> Values:
        """Return the third derivative, which training on second derivatives takes."""
        raise NotImplementedError

    def shape_derivatives(self, s: Values) -> tuple[Values, Values, Values]:
        """Return value, slope and curvature of :meth:`shape` with respect to ``s``."""
        f, slope = self.shape_slope(s)
        return f, slope, self.shape_bend(s, f, slope)

    def forward(self, z: Values) -> Values:
        """Apply the activation to the affine output ``z``."""
        return self.shape(self.factor * z)

    def derivatives(self, z: Values) -> tuple[Values, Values, Values]:
        """Return ``f(z)``, ``f'(z)`` and ``f''(z)``, sharing what the three have in common."""
        value, slope, curvature = self.shape_derivatives(self.factor * z)
        return value, self.factor * slope, self.factor**2 * curvature

    @torch.no_grad()
    def initialise(self, affine: nn.Linear, is_first: bool) -> None:
        """Draw ``affine``'s weights in place; the default keeps torch's own initialisation.

        Args:
            affine: Map whose output this activation receives.
            is_first: Whether the map's input is a coordinate rather than another layer's output.
        """

    @torch.no_grad()
    def initialise_readout(self, affine: nn.Linear) -> None:
        """Draw the weights of the affine read-out above the last hidden layer."""
        self.initialise(affine, False)


class Sine(Activation):
    """``sin(omega z)``.

    Weights: first layer U(±1/n), others U(±sqrt(6/n)/omega) with n the fan-in, so that sines of
    unit-variance arguments feed unit-variance arguments. Biases keep torch's U(±1/sqrt(n)), as in
    the authors' code; this adds ``omega**2 / (3 n)`` to the argument's variance.

    Args:
        omega: Angular frequency, radians per unit of ``z``; positive.

    Source: Sitzmann et al., arXiv:2006.09661, section 3.2.
    """

    def __init__(self, omega: float = 30.0) -> None:
        super().__init__()
        self.omega = _positive("omega", omega)
        self.factor = omega

    def shape(self, s: Values) -> Values:
        """Return ``sin(s)``."""
        return torch.sin(s)

    def shape_slope(self, s: Values) -> tuple[Values, Values]:
        """Return ``sin`` and ``cos`` of ``s``."""
        return torch.sin(s), torch.cos(s)

    def shape_bend(self, s: Values, f: Values, slope: Values) -> Values:
        """Return ``-f``."""
        return -f

    def shape_third(self, s: Values, f: Values, slope: Values, bend: Values) -> Values:
        """Return ``-f'``."""
        return -slope

    @torch.no_grad()
    def initialise(self, affine: nn.Linear, is_first: bool) -> None:
        """Draw the weights of the class docstring; leave the bias alone."""
        fan_in = affine.in_features
        bound = 1 / fan_in if is_first else math.sqrt(6 / fan_in) / self.omega
        nn.init.uniform_(affine.weight, -bound, bound)

    def extra_repr(self) -> str:
        """Show the frequency."""
        return f"omega={self.omega:g}"


class Finer(Sine):
    """``sin(omega (|z| + 1) z)``, a sine whose frequency grows with the size of its argument.

    Weights as for :class:`Sine`; the first layer's bias is drawn from U(±k), which spreads the
    neurons over frequencies. The derivative is that of the whole formula, also through ``|z|``
    (the authors' code holds that factor constant), so that a field's derivatives are its own.

    Args:
        omega: Angular frequency at ``z = 0``, radians per unit; positive.
        k: Bound of the first layer's bias; 5 to 20 suits pictures.

    Source: Liu et al., "FINER: Flexible spectral-bias tuning in implicit neural representation by
    variable-periodic activation functions", CVPR 2024, section 3.
    """

    def __init__(self, omega: float = 30.0, k: float = 5.0) -> None:
        super().__init__(omega)
        self.k = _positive("k", k)

    def shape(self, s: Values) -> Values:
        """Return ``sin(u)`` with ``u = (|s| / omega + 1) s``."""
        return torch.sin((s.abs() / self.omega + 1) * s)

    def shape_slope(self, s: Values) -> tuple[Values, Values]:
        """Return ``sin(u)`` and ``u' cos(u)`` with ``u' = 2|s|/omega + 1``."""
        size = s.abs() / self.omega
        u = (size + 1) * s
        return torch.sin(u), (2 * size + 1) * torch.cos(u)

    def shape_bend(self, s: Values, f: Values, slope: Values) -> Values:
        """Return ``u'' f' / u' - u'**2 f`` with ``u'' = 2 sign(s)/omega``."""
        rate = 2 / self.omega * s.abs() + 1
        return 2 / self.omega * torch.sign(s) * slope / rate - rate**2 * f

    def shape_third(self, s: Values, f: Values, slope: Values, bend: Values) -> Values:
        """Return ``-u' (3 u'' f + u' f')``; ``u''`` jumps at zero alone."""
        rate = 2 / self.omega * s.abs() + 1
        return -rate * (6 / self.omega * torch.sign(s) * f + rate * slope)

    @torch.no_grad()
    def initialise(self, affine: nn.Linear, is_first: bool) -> None:
        """Draw a sine layer's weights and, in the first layer, the wide bias."""
        super().initialise(affine, is_first)
        if is_first:
            nn.init.uniform_(affine.bias, -self.k, self.k)

    def extra_repr(self) -> str:
        """Show both constants."""
        return f"omega={self.omega:g}, k={self.k:g}"


class Gauss(Activation):
    """``exp(-(scale z)**2)``, on torch's default weights.

    Args:
        scale: Inverse width of the bell, per unit of ``z``; positive.

    Source: Ramasinghe and Lucey, "Beyond Periodicity", ECCV 2022.
    """

    def __init__(self, scale: float = 10.0) -> None:
        super().__init__()
        self.scale = _positive("scale", scale)
        self.factor = scale

    def shape(self, s: Values) -> Values:
        """Return ``exp(-s**2)``."""
        return torch.exp(-(s**2))

    def shape_slope(self, s: Values) -> tuple[Values, Values]:
        """Return the bell, and ``-2 s`` times it."""
        bell = torch.exp(-(s**2))
        return bell, -2 * s * bell

    def shape_bend(self, s: Values, f: Values, slope: Values) -> Values:
        """Return ``-2 (f + s f')``."""
        return -2 * (f + s * slope)

    def shape_third(self, s: Values, f: Values, slope: Values, bend: Values) -> Values:
        """Return ``-2 (2 f' + s f'')``."""
        return -2 * (2 * slope + s * bend)

    def extra_repr(self) -> str:
        """Show the inverse width."""
        return f"scale={self.scale:g}"


class Wire(Activation):
    """``cos(omega z) exp(-(scale z)**2)``, the real Gabor wavelet, on torch's default weights.

    Args:
        omega: Angular frequency, radians per unit of ``z``; positive.
        scale: Inverse width of the envelope, per unit of ``z``; positive.

    Source: Saragadam et al., "WIRE: Wavelet Implicit Neural Representations", CVPR 2023; the real
    part of its wavelet with one affine map per layer.
    """

    def __init__(self, omega: float = 20.0, scale: float = 10.0) -> None:
        super().__init__()
        self.omega = _positive("omega", omega)
        self.scale = _positive("scale", scale)
        self.factor = omega
        self._decay = (scale / omega) ** 2

    def shape(self, s: Values) -> Values:
        """Return ``cos(s) exp(-a s**2)`` with ``a = (scale / omega)**2``."""
        return torch.cos(s) * torch.exp(-self._decay * s**2)

    def shape_slope(self, s: Values) -> tuple[Values, Values]:
        """Product rule over the cosine and its envelope."""
        slide = 2 * self._decay * s
        envelope = torch.exp(-self._decay * s**2)
        cosine, sine = torch.cos(s), torch.sin(s)
        return cosine * envelope, -(sine + slide * cosine) * envelope

    def shape_bend(self, s: Values, f: Values, slope: Values) -> Values:
        """Return ``-4 a s f' - (4 a**2 s**2 + 2 a + 1) f``, what the product solves."""
        slide = 2 * self._decay * s
        return -2 * slide * slope - (slide**2 + 2 * self._decay + 1) * f

    def shape_third(self, s: Values, f: Values, slope: Values, bend: Values) -> Values:
        """Return the derivative of that equation."""
        slide, decay = 2 * self._decay * s, self._decay
        return -2 * slide * bend - (slide**2 + 6 * decay + 1) * slope - 4 * decay * slide * f

    def extra_repr(self) -> str:
        """Show both constants."""
        return f"omega={self.omega:g}, scale={self.scale:g}"


class Relu(Activation):
    """``max(z, 0)`` with Kaiming normal weights; its second derivative is zero everywhere."""

    def shape(self, s: Values) -> Values:
        """Return ``max(s, 0)``."""
        return torch.relu(s)

    def shape_slope(self, s: Values) -> tuple[Values, Values]:
        """Return the ramp and the step (zero at zero, as torch has it)."""
        return torch.relu(s), (s > 0).to(s.dtype)

    def shape_bend(self, s: Values, f: Values, slope: Values) -> Values:
        """Return zero."""
        return torch.zeros_like(s)

    def shape_third(self, s: Values, f: Values, slope: Values, bend: Values) -> Values:
        """Return zero."""
        return torch.zeros_like(s)

    @torch.no_grad()
    def initialise(self, affine: nn.Linear, is_first: bool) -> None:
        """Draw Kaiming normal weights."""
        nn.init.kaiming_normal_(affine.weight, nonlinearity="relu")


class Tanh(Activation):
    """``tanh(z)`` with Xavier normal weights."""

    def shape(self, s: Values) -> Values:
        """Return ``tanh(s)``."""
        return torch.tanh(s)

    def shape_slope(self, s: Values) -> tuple[Values, Values]:
        """Return ``t = tanh(s)`` and ``1 - t**2``."""
        value = torch.tanh(s)
        return value, 1 - value**2

    def shape_bend(self, s: Values, f: Values, slope: Values) -> Values:
        """Return ``-2 f f'``."""
        return -2 * f * slope

    def shape_third(self, s: Values, f: Values, slope: Values, bend: Values) -> Values:
        """Return ``f' (4 - 6 f')``."""
        return slope * (4 - 6 * slope)

    @torch.no_grad()
    def initialise(self, affine: nn.Linear, is_first: bool) -> None:
        """Draw Xavier normal weights."""
        nn.init.xavier_normal_(affine.weight)


class Softplus(Activation):
    """``log(1 + exp(z))`` with Kaiming normal weights at the rectifier's gain."""

    def shape(self, s: Values) -> Values:
        """Return ``log(1 + exp(s))``."""
        # logaddexp has no linear branch, unlike nn.functional.softplus, whose derivative is off
        # by its threshold: the derivatives below then agree at every s.
        return torch.logaddexp(s, torch.zeros_like(s))

    def shape_slope(self, s: Values) -> tuple[Values, Values]:
        """Return the function and the logistic."""
        return self.shape(s), torch.sigmoid(s)

    def shape_bend(self, s: Values, f: Values, slope: Values) -> Values:
        """Return ``f' (1 - f')``."""
        return slope * (1 - slope)

    def shape_third(self, s: Values, f: Values, slope: Values, bend: Values) -> Values:
        """Return ``f'' (1 - 2 f')``."""
        return bend * (1 - 2 * slope)

    @torch.no_grad()
    def initialise(self, affine: nn.Linear, is_first: bool) -> None:
        """Draw Kaiming normal weights."""
        nn.init.kaiming_normal_(affine.weight, nonlinearity="relu")
