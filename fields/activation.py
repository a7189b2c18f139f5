"""Elementwise activations with their first two derivatives and the initialisation that suits each.

Every activation is ``f(z) = shape(factor * z)``. A layer folds ``factor`` into its affine map, so
that one matrix product yields the argument of ``shape``; the weights themselves keep the scale
that the optimiser sees.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

Values = Float[Tensor, "*batch"]
Derivatives = tuple[Values, Values, Values]


def _positive(name: str, value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value


class Activation(nn.Module):
    """Base of the elementwise activations, ``f(z) = shape(factor * z)``.

    A subclass gives :meth:`shape` and :meth:`shape_derivatives`, and sets ``factor`` when it is
    not one. It has no parameters, so that one object may serve every layer of a field.

    Shapes:
        ``(*batch,) -> (*batch,)``.
    """

    factor: float = 1.0

    def __init__(self) -> None:  # without arguments, unlike nn.Module's: recipes read signatures
        super().__init__()

    def shape(self, s: Values) -> Values:
        """Apply the activation to ``s = factor * z``."""
        raise NotImplementedError

    def shape_derivatives(self, s: Values) -> Derivatives:
        """Return value, slope and curvature of :meth:`shape` with respect to ``s``."""
        raise NotImplementedError

    def forward(self, z: Values) -> Values:
        """Apply the activation to the affine output ``z``."""
        return self.shape(self.factor * z)

    def derivatives(self, z: Values) -> Derivatives:
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

    def shape_derivatives(self, s: Values) -> Derivatives:
        """Return ``sin``, ``cos`` and ``-sin`` of ``s``."""
        sine = torch.sin(s)
        return sine, torch.cos(s), -sine

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

    def shape_derivatives(self, s: Values) -> Derivatives:
        """Chain rule over ``u``: ``u' = 2|s|/omega + 1`` and ``u'' = 2 sign(s)/omega``."""
        size = s.abs() / self.omega
        u = (size + 1) * s
        rate = 2 * size + 1
        sine, cosine = torch.sin(u), torch.cos(u)
        return sine, rate * cosine, 2 / self.omega * torch.sign(s) * cosine - rate**2 * sine

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

    def shape_derivatives(self, s: Values) -> Derivatives:
        """Return the bell, ``-2 s`` and ``4 s**2 - 2`` times it."""
        bell = torch.exp(-(s**2))
        return bell, -2 * s * bell, (4 * s**2 - 2) * bell

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

    def shape_derivatives(self, s: Values) -> Derivatives:
        """Product rule over the cosine and its envelope."""
        slide = 2 * self._decay * s
        envelope = torch.exp(-self._decay * s**2)
        cosine, sine = torch.cos(s), torch.sin(s)
        slope = -(sine + slide * cosine) * envelope
        bend = 2 * slide * sine + (slide**2 - 2 * self._decay - 1) * cosine
        return cosine * envelope, slope, bend * envelope

    def extra_repr(self) -> str:
        """Show both constants."""
        return f"omega={self.omega:g}, scale={self.scale:g}"


class Relu(Activation):
    """``max(z, 0)`` with Kaiming normal weights; its second derivative is zero everywhere."""

    def shape(self, s: Values) -> Values:
        """Return ``max(s, 0)``."""
        return torch.relu(s)

    def shape_derivatives(self, s: Values) -> Derivatives:
        """Return the ramp, the step (zero at zero, as torch has it) and zero."""
        return torch.relu(s), (s > 0).to(s.dtype), torch.zeros_like(s)

    @torch.no_grad()
    def initialise(self, affine: nn.Linear, is_first: bool) -> None:
        """Draw Kaiming normal weights."""
        nn.init.kaiming_normal_(affine.weight, nonlinearity="relu")


class Tanh(Activation):
    """``tanh(z)`` with Xavier normal weights."""

    def shape(self, s: Values) -> Values:
        """Return ``tanh(s)``."""
        return torch.tanh(s)

    def shape_derivatives(self, s: Values) -> Derivatives:
        """Return ``t = tanh(s)``, ``1 - t**2`` and ``-2 t (1 - t**2)``."""
        value = torch.tanh(s)
        slope = 1 - value**2
        return value, slope, -2 * value * slope

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

    def shape_derivatives(self, s: Values) -> Derivatives:
        """Return the function, the logistic ``p`` and ``p (1 - p)``."""
        slope = torch.sigmoid(s)
        return self.shape(s), slope, slope * (1 - slope)

    @torch.no_grad()
    def initialise(self, affine: nn.Linear, is_first: bool) -> None:
        """Draw Kaiming normal weights."""
        nn.init.kaiming_normal_(affine.weight, nonlinearity="relu")
