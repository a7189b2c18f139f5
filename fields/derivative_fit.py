"""DerivativeFit: least squares between a field's derivatives and those of a picture."""

from typing import Any

import torch
from jaxtyping import Float
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn, optim

from fields.alignment import Aligned, Alignment, align
from fields.calculus import gradient, laplacian
from fields.chunk import chunked, chunked_mean
from fields.fit import SignalFit
from fields.score import fit_scores
from overparam.errors import InputError


def derivative(
    field: nn.Module, x: Float[Tensor, "n d"], name: str, *, create_graph: bool
) -> Float[Tensor, "n c ..."]:
    """Return the field's ``"gradient"`` ``(n, c, d)`` or ``"laplacian"`` ``(n, c)`` at ``x``.

    The one place where this fit differentiates: all points at once, in the field's precision.
    """
    operator = {"gradient": gradient, "laplacian": laplacian}[name]
    return operator(field, x, chunk=len(x), create_graph=create_graph)


class DerivativeFit(SignalFit):
    """Fit the derivatives of ``field(x)`` to those of a picture, whose values it never sees.

    Logs ``train/derivative_mse``, in validation the scores of the values after the alignment that
    the data ask for (a constant for exact gradients, else the best affine map, per channel) and
    ``val/derivative_error``, the relative error of the derivatives in the L2 norm. Which
    derivative is fitted, the data say.

    Args:
        field: Map from coordinates ``(n, d)`` to values ``(n, c)``.
        channel_weights: Weight of each channel in the loss; None is 1 each. The SIREN authors'
            code takes ``[10, 1, 10]`` for red, green and blue.
        optimizer: Parameters to optimizer.
        scheduler: Optimizer to learning-rate scheduler, stepped once per optimizer step.
        chunk: Points evaluated at a time; None suits the device. The result does not depend on it.

    Raises:
        ValueError: If ``chunk`` is below 1, or a weight is not positive.
    """

    def __init__(
        self,
        field: nn.Module,
        *,
        channel_weights: list[float] | None = None,
        optimizer: OptimizerCallable = optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        chunk: int | None = None,
    ) -> None:
        super().__init__(field, optimizer=optimizer, scheduler=scheduler, chunk=chunk)
        if channel_weights is not None and not all(weight > 0 for weight in channel_weights):
            raise ValueError(f"channel_weights must be positive, got {channel_weights}")
        self.channel_weights = channel_weights

    def setup(self, stage: str) -> None:
        """Check that the data hold derivatives, and as many channels as there are weights.

        Raises:
            InputError: If they do not.
        """
        kept = self.signal.get("alignment")
        super().setup(stage)
        if kept is not None:  # of a fit that is now asked for predictions
            self.signal["alignment"] = kept
        if self.signal and self.signal.get("task") not in ("gradient", "laplacian"):
            raise InputError(
                "DerivativeFit needs data with derivatives (fields.DerivativeSamples or "
                "fields.CompositeSamples)"
            )
        weights, channels = self.channel_weights, self.signal.get("channels")
        if weights is not None and channels not in (None, len(weights)):
            raise InputError(f"channel_weights must be one for each of {channels}, got {weights}")

    def mse(self, x: Float[Tensor, "n d"], y: Float[Tensor, "n c ..."]) -> Float[Tensor, ""]:
        """Squared error of the derivatives: summed over axes, weighted, averaged over the rest.

        Args:
            x: Coordinates.
            y: Derivatives, ``(n, c, d)`` or ``(n, c)``.
        """
        found = derivative(self.field, x, self.signal["task"], create_graph=True)
        squares = (found - y).square().flatten(2).sum(-1) if y.ndim == 3 else (found - y).square()
        if self.channel_weights is not None:
            squares = squares * squares.new_tensor(self.channel_weights)
        return squares.mean()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the squared error of the derivatives."""
        x, y = batch
        loss = chunked_mean(self.mse, self.field.parameters(), (x, y), self.chunk)
        self._stop_if_diverged(loss)
        self.log("train/derivative_mse", loss, prog_bar=True, batch_size=len(x))
        return loss

    def scores(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Align the values, keep the alignment for drawing, and score values and derivatives.

        Args:
            batch: Coordinates, values and derivatives.
        """
        x, y, target = batch
        fitted = self.evaluate(x)
        alignment = align(fitted, y, self.signal["freedom"])
        # a new dictionary: the data's own description stays what it was
        found = {"scale": list(alignment.scale), "offset": list(alignment.offset)}
        self.signal = self.signal | {"alignment": found}
        scores = fit_scores(alignment(fitted), y, self.signal)
        # a plane has no Laplacian: its error is then told in full
        size = target.norm()
        error = (self.derivatives(x) - target).norm() / torch.where(size > 0, size, 1.0)
        return scores | {"derivative_error": error}

    def derivatives(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c ..."]:
        """Return the derivatives that are fitted, at many points, without a graph."""

        def piece(part: Tensor) -> Tensor:
            return derivative(self.field, part, self.signal["task"], create_graph=False)

        return chunked(piece, x, self.chunk)

    @property
    def displayed(self) -> nn.Module:
        """The field in the alignment of its last validation."""
        found: dict[str, Any] | None = self.signal.get("alignment")
        if found is None:
            return self.field
        return Aligned(self.field, Alignment(tuple(found["scale"]), tuple(found["offset"])))
