"""Multilayer perceptrons as functions of coordinates, whatever activation and encoding."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from fields.activation import Activation, Sine
from fields.encoding import Encoding
from fields.taylor import Taylor, expand


class FieldLayer(nn.Module):
    """Affine map followed by an elementwise activation, ``y = f(W x + b)``.

    Shapes:
        ``(*batch, in_features) -> (*batch, out_features)``.

    Args:
        in_features: Input width, at least 1.
        out_features: Output width, at least 1.
        activation: The elementwise ``f``; it also draws the initial weights.
        is_first: Whether ``x`` is a coordinate in [-1, 1] rather than another layer's output.

    Raises:
        ValueError: If a width is below 1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: Activation,
        is_first: bool = False,
    ) -> None:
        super().__init__()
        if min(in_features, out_features) < 1:
            raise ValueError(f"widths must be at least 1, got {in_features} -> {out_features}")
        self.is_first = is_first
        self.affine = nn.Linear(in_features, out_features)
        self.activation = activation
        activation.initialise(self.affine, is_first)

    @property
    def in_features(self) -> int:
        """Input width."""
        return self.affine.in_features

    @property
    def out_features(self) -> int:
        """Output width."""
        return self.affine.out_features

    def argument(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """Return ``factor * (W x + b)``, what the activation's ``shape`` is applied to.

        The factor multiplies the weights, not the (larger) product: the gradient of W is the same
        as if it multiplied the output, and one pass over the points is saved.
        """
        factor = self.activation.factor
        if factor == 1.0:
            return self.affine(x)
        return nn.functional.linear(x, factor * self.affine.weight, factor * self.affine.bias)

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """Apply the layer to the last axis of ``x``."""
        return self.activation.shape(self.argument(x))

    def taylor(self, t: Taylor) -> Taylor:
        """Carry an expansion through the layer."""
        factor, affine = self.activation.factor, self.affine
        if factor == 1.0:
            return t.affine(affine.weight, affine.bias).activate(self.activation)
        return t.affine(factor * affine.weight, factor * affine.bias).activate(self.activation)


class MLPField(nn.Module):
    """A multilayer perceptron from coordinates to values, with an affine read-out.

    Shapes:
        ``(*batch, in_features) -> (*batch, out_features)``, unbounded.

    Args:
        in_features: Number of coordinates.
        out_features: Number of field components.
        width: Hidden width, or one width for each hidden layer.
        depth: Number of hidden layers, at least 1; None means 4, or the length of ``width``.
        activation: Elementwise function of the hidden layers; None means ``Sine(30)``.
        first_activation: Another one for the first layer; None means the same.
        encoding: Map of the coordinates in front of the first layer; None means none.

    Raises:
        ValueError: If a size is below 1, or sizes contradict each other.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int | list[int] = 256,
        depth: int | None = None,
        activation: Activation | None = None,
        first_activation: Activation | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        super().__init__()
        if min(in_features, out_features) < 1:
            raise ValueError(
                f"in_features and out_features must be at least 1, "
                f"got {in_features} -> {out_features}"
            )
        if depth is None:
            depth = 4 if isinstance(width, int) else len(width)
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        widths = [width] * depth if isinstance(width, int) else list(width)
        if len(widths) != depth:
            raise ValueError(f"width must have depth = {depth} entries, got {len(widths)}")
        if min(widths) < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        if encoding is not None and encoding.in_features != in_features:
            raise ValueError(
                f"the encoding's in_features must be the field's {in_features}, "
                f"got {encoding.in_features}"
            )
        self.in_features, self.out_features = in_features, out_features
        self.width, self.depth = width, depth
        self.activation = Sine() if activation is None else activation
        self.first_activation = first_activation
        self.encoding = encoding
        features = in_features if encoding is None else encoding.out_features
        # Features that are waves already are no coordinates: the first layer then takes the
        # hidden layers' law (and their activation, unless another was asked for).
        coordinates = encoding is None or encoding.keeps_scale
        self.hidden = nn.Sequential(
            *(
                self._layer(d_in, d_out, index == 0, coordinates)
                for index, (d_in, d_out) in enumerate(
                    zip([features, *widths[:-1]], widths, strict=True)
                )
            )
        )
        self.readout = nn.Linear(widths[-1], out_features)
        self.activation.initialise_readout(self.readout)

    def _layer(self, d_in: int, d_out: int, lowest: bool, coordinates: bool) -> FieldLayer:
        """Build one hidden layer; the hook by which a subclass names its own layer class."""
        activation = self.first_activation if lowest else None
        return FieldLayer(
            d_in,
            d_out,
            activation=self.activation if activation is None else activation,
            is_first=lowest and coordinates,
        )

    @property
    def widths(self) -> Sequence[int]:
        """Width of each hidden layer."""
        return [int(layer.affine.out_features) for layer in self.hidden]  # type: ignore[arg-type,union-attr]

    def encode(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch e"]:
        """Return what the first hidden layer reads."""
        return x if self.encoding is None else self.encoding(x)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch c"]:
        """Evaluate the field at the points ``x``."""
        return self.readout(self.hidden(self.encode(x)))

    def taylor(self, t: Taylor) -> Taylor:
        """Carry an expansion through the field."""
        features = t if self.encoding is None else expand(self.encoding, t)
        return expand(self.readout, expand(self.hidden, features))
