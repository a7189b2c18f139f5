"""Pictures known by their derivatives: gradients, Laplacians, and gradients of two at once."""

from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fields.image import ImageSamples, warn_of, with_channels
from fields.lattice import Extent
from fields.photograph import bicubic, read_photograph
from fields.samples import Batch
from fields.specimen import rings
from fields.stencil import five_point, sobel
from overparam.errors import InputError

Derivative = Literal["gradient", "laplacian"]
Scale = Literal["exact", "authors"]

# What the SIREN authors' released code multiplies a picture's values in [-1, 1] by before it takes
# plain Sobel sums and five-point sums, whatever the number of pixels.
AUTHORS = {"gradient": 10.0, "laplacian": 1e4}


def derivative_targets(
    values: Float[Tensor, "rows columns c"],
    extent: Extent,
    derivative: Derivative,
    scale: Scale = "exact",
) -> Float[Tensor, "n c ..."]:
    """Return what the field's derivative shall be at each pixel.

    Args:
        values: Picture.
        extent: First and last coordinate of each axis.
        derivative: ``"gradient"`` by Sobel's kernel or ``"laplacian"`` by five points.
        scale: ``"exact"`` is per unit of the coordinates, exact for quadratic pictures on every
            pixel. ``"authors"`` is what the SIREN authors' code trains on: 0.63 times that for
            gradients and 0.62 for Laplacians at 256 pixels, other factors at other sizes, and
            half slopes at the border.

    Returns:
        ``(n, c, 2)`` for gradients, ``(n, c)`` for Laplacians.
    """
    finite = {"gradient": sobel, "laplacian": five_point}[derivative]
    if scale == "exact":
        return finite(values, extent, "extrapolate").flatten(0, 1)
    rows, columns = values.shape[:2]
    # one unit per pixel; Sobel's kernel sums to eight slopes
    pixels = [[0.0, n - 1.0] for n in (rows, columns)]
    sums = {"gradient": 8.0, "laplacian": 1.0}[derivative] * AUTHORS[derivative]
    return sums * finite(values, pixels, "replicate").flatten(0, 1)


class DerivativeSamples(ImageSamples):
    """A photograph of which training sees only derivatives, and scoring the pixels.

    Args:
        path: Picture file; None is the photograph inside the package.
        derivative: ``"gradient"`` or ``"laplacian"``.
        scale: Of the targets: ``"exact"``, or ``"authors"`` as in the SIREN authors' code.
        side: Pixels of the longer side, reached by averaging over areas; None keeps all.
        channels: 1 for grey, 3 for colour; None keeps the file's.
        aspect: Whether pixels stay square; otherwise the picture is stretched to [-1, 1] squared.
        batch_size: Pixels per step and process; None takes all of them in each step.
        epoch_steps: Steps in what the trainer calls an epoch; None is one pass over the pixels.
        seed: Seed of the shuffling.

    Raises:
        ValueError: If a size or name makes no sense.

    Source: Sitzmann et al., "Implicit Neural Representations with Periodic Activation
    Functions", NeurIPS 2020, section 4.1.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        derivative: Derivative = "gradient",
        scale: Scale = "exact",
        side: int | None = 128,
        channels: int | None = None,
        aspect: bool = False,
        batch_size: int | None = None,
        epoch_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            path,
            side=side,
            channels=channels,
            aspect=aspect,
            batch_size=batch_size,
            epoch_steps=epoch_steps,
            seed=seed,
        )
        if derivative not in ("gradient", "laplacian"):
            raise ValueError(f"derivative must be gradient or laplacian, got {derivative!r}")
        if scale not in ("exact", "authors"):
            raise ValueError(f"scale must be exact or authors, got {scale!r}")
        self.derivative = derivative
        self.scale = scale
        self.targets = torch.empty(0)

    def load(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Read the picture and take its derivatives.

        Raises:
            InputError: If the file cannot be used, or has no derivatives at all.
        """
        x, y, signal = super().load()
        if (y == y[0]).all():
            raise InputError(
                f"picture {signal['name']} must not be uniform: its {self.derivative} is zero "
                "everywhere"
            )
        picture = y.view(*signal["shape"], -1)
        self.targets = derivative_targets(picture, signal["extent"], self.derivative, self.scale)
        # a gradient at its true scale leaves a constant open, anything else a scale too
        exact = self.derivative == "gradient" and self.scale == "exact"
        return (
            x,
            y,
            signal
            | {
                "task": self.derivative,
                "scale": self.scale,
                "freedom": "offset" if exact else "affine",
            },
        )

    def training(self) -> Batch:
        """Return coordinates and the derivatives there."""
        return self.x, self.targets

    def scoring(self) -> Batch:
        """Return coordinates, values and derivatives."""
        return self.x, self.y, self.targets


class CompositeSamples(DerivativeSamples):
    """Two pictures of which training sees the weighted sum of their gradients.

    The second is brought to the first one's width, or height if it would be too high, and laid on
    a plain ground of the first one's size. A weighted sum of gradients is the gradient of the
    weighted sum, which is therefore what the fit is scored on.

    Args:
        path: First picture file; None is the photograph inside the package.
        second: Second picture file; None is a pattern of rings, made by formula.
        weights: Of the two pictures; not negative, of sum at most 1.
        padding: Grey of the ground below the second picture, in [0, 1].
        top: Row on which the second picture begins; None lays it on the bottom.
        derivative: ``"gradient"`` or ``"laplacian"``.
        scale: Of the targets: ``"exact"``, or ``"authors"`` as in the SIREN authors' code.
        side: Pixels of the first picture's longer side; None keeps all.
        channels: 1 for grey, 3 for colour; None keeps the first file's.
        aspect: Whether pixels stay square; otherwise the picture is stretched to [-1, 1] squared.
        batch_size: Pixels per step and process; None takes all of them in each step.
        epoch_steps: Steps in what the trainer calls an epoch; None is one pass over the pixels.
        seed: Seed of the shuffling.

    Raises:
        ValueError: If a size, weight or name makes no sense.

    Source: Sitzmann et al., NeurIPS 2020, section 4.1; ground and place as in their code, where a
    second picture of 340 rows lies on rows 172 to 511 of 512, on 0.85.
    """

    def __init__(
        self,
        path: str | None = None,
        second: str | None = None,
        *,
        weights: tuple[float, float] = (0.5, 0.5),
        padding: float = 0.85,
        top: int | None = None,
        derivative: Derivative = "gradient",
        scale: Scale = "exact",
        side: int | None = 128,
        channels: int | None = None,
        aspect: bool = False,
        batch_size: int | None = None,
        epoch_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            path,
            derivative=derivative,
            scale=scale,
            side=side,
            channels=channels,
            aspect=aspect,
            batch_size=batch_size,
            epoch_steps=epoch_steps,
            seed=seed,
        )
        if len(weights) != 2 or min(weights) < 0 or not 0 < sum(weights) <= 1:
            raise ValueError(
                "weights must be two numbers, not negative, of sum above 0 and at most 1, got "
                f"{list(weights)}"
            )
        if not 0 <= padding <= 1:
            raise ValueError(f"padding must be in [0, 1], got {padding}")
        if top is not None and top < 0:
            raise ValueError(f"top must not be negative, got {top}")
        self.second = second
        self.weights = weights
        self.padding = padding
        self.top = top
        self.sources: list[tuple[str, Tensor]] = []

    def picture(self, file: str | Path) -> Float[Tensor, "rows columns channels"]:
        """Read both pictures and return their weighted sum."""
        first = super().picture(file)
        laid = self._laid(first)
        names = [Path(file).name, "rings" if self.second is None else Path(self.second).name]
        self.sources = list(zip(names, (first, laid), strict=True))
        one, other = self.weights
        # in [-1, 1] the sum is that of the values there: grey, not black, is nothing
        return (one * (2 * first - 1) + other * (2 * laid - 1) + 1) / 2

    def _laid(self, first: Tensor) -> Tensor:
        """Return the second picture on its ground."""
        rows, columns, channels = first.shape
        if self.second is None:
            second = rings(340, 512)
        else:
            second, notes = read_photograph(self.second)
            warn_of(notes)
        second = with_channels(second, channels)
        ratio = min(columns / second.shape[1], rows / second.shape[0])
        size = [max(1, round(n * ratio)) for n in second.shape[:2]]
        second = bicubic(second, *size)
        top = rows - size[0] if self.top is None else self.top
        if top + size[0] > rows:
            raise InputError(
                f"top must leave room for the second picture's {size[0]} of {rows} rows, got {top}"
            )
        left = (columns - size[1]) // 2
        ground = torch.full_like(first, self.padding)
        ground[top : top + size[0], left : left + size[1]] = second
        return ground

    def load(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Read the pictures and take the derivatives of their sum."""
        x, y, signal = super().load()
        return x, y, signal | {"name": " + ".join(name for name, _ in self.sources)}
