"""Sine layers and the SIREN network built from them.

Source: Sitzmann et al., "Implicit Neural Representations with Periodic Activation
Functions", NeurIPS 2020, arXiv:2006.09661. Initialisation follows section 3.2.
"""

from fields.activation import Sine
from fields.encoding import Encoding
from fields.mlp import FieldLayer, MLPField


class SineLayer(FieldLayer):
    """Affine map followed by a sine, ``y = sin(omega * (W x + b))``.

    Shapes:
        ``(*batch, in_features) -> (*batch, out_features)``; values lie in [-1, 1].

    Args:
        in_features: Input width, at least 1.
        out_features: Output width, at least 1.
        omega: Angular frequency, radians per unit of ``W x + b``; positive.
        is_first: Whether ``x`` is a coordinate in [-1, 1] rather than another sine.

    Raises:
        ValueError: If a width is below 1 or ``omega`` is not positive.
    """

    def __init__(
        self, in_features: int, out_features: int, *, omega: float = 30.0, is_first: bool = False
    ) -> None:
        super().__init__(in_features, out_features, activation=Sine(omega), is_first=is_first)
        self.omega = omega


class Siren(MLPField):
    """A multilayer perceptron with sine activations and an affine read-out.

    Initialisation, with n the fan-in: first layer W ~ U(±1/n); every later one, the read-out
    included, W ~ U(±sqrt(6/n)/omega); all biases torch's U(±1/sqrt(n)). Sines of unit-variance
    arguments then feed unit-variance arguments at any depth, but for the biases' own
    ``omega**2 / (3 n)``. Behind an encoding, whose features are waves already, the first layer
    follows the later layers' law.

    Shapes:
        ``(*batch, in_features) -> (*batch, out_features)``, unbounded.

    Args:
        in_features: Number of coordinates.
        out_features: Number of field components.
        width: Hidden width, or one width for each sine layer.
        depth: Number of sine layers, at least 1; None means 4, or the length of ``width``.
        omega: Angular frequency of the sine layers.
        first_omega: Angular frequency of the first sine layer; None means ``omega``.
        encoding: Map of the coordinates in front of the first layer; None means none.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int | list[int] = 256,
        depth: int | None = None,
        omega: float = 30.0,
        first_omega: float | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        self.omega = omega
        self.first_omega = first_omega
        super().__init__(
            in_features,
            out_features,
            width=width,
            depth=depth,
            activation=Sine(omega),
            first_activation=None if first_omega is None else Sine(first_omega),
            encoding=encoding,
        )

    def _layer(self, d_in: int, d_out: int, lowest: bool, coordinates: bool) -> SineLayer:
        omega = self.first_omega if lowest and self.first_omega is not None else self.omega
        return SineLayer(d_in, d_out, omega=omega, is_first=lowest and coordinates)
