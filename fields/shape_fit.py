"""ShapeFit: a signed distance from oriented points, by the Eikonal equation."""

from typing import Any

import torch
from jaxtyping import Float
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn, optim

from fields.chunk import chunked_mean
from fields.fit import SignalFit
from fields.jet import jet
from fields.sphere import set_to_sphere
from overparam.errors import InputError

TERMS = ("surface", "normal", "off", "eikonal", "guide", "divergence")


class EikonalLoss:
    """Weights of the terms whose sum a signed distance minimises; every term is a mean.

    ===========  ======================  ===============================================
    term         mean over               of
    ===========  ======================  ===============================================
    surface      surface points          ``|f|``
    normal       surface points          ``1 - cos(grad f, n)``
    off          points off the surface  ``exp(-sharpness |f|)``
    eikonal      all points              ``| |grad f| - 1 |``
    guide        points off the surface  ``|f - d|``, d the signed distance to the cloud
    divergence   points off the surface  ``|laplacian f|``
    ===========  ======================  ===============================================

    The first four are the SIREN paper's. ``off`` only keeps the field from zero away from the
    surface; ``guide`` says what it is there, which settles the sign deep inside and far outside
    within few steps. ``divergence`` does that without normals, together with a sphere to begin
    with (``ShapeFit(sphere=...)``). A term of weight zero is not computed.

    Args:
        surface: Weight of the surface term.
        normal: Weight of the normals.
        off: Weight of the term off the surface.
        eikonal: Weight of the Eikonal equation.
        guide: Weight of the measured distance; needs data that hold one.
        divergence: Weight of the divergence; second derivatives cost about twice the time.
        sharpness: How fast the term off the surface falls with ``|f|``.

    Raises:
        ValueError: If a weight is negative or all are zero, or ``sharpness`` is not positive.

    Source: Sitzmann et al., arXiv:2006.09661, equation 6; divergence: Ben-Shabat, Koneputugodage,
    Gould, "DiGS: Divergence guided shape implicit neural representation for unoriented point
    clouds", CVPR 2022.
    """

    def __init__(
        self,
        *,
        surface: float = 3e3,
        normal: float = 3e2,
        off: float = 0.0,
        eikonal: float = 5e1,
        guide: float = 1e3,
        divergence: float = 0.0,
        sharpness: float = 100.0,
    ) -> None:
        weights = dict(zip(TERMS, (surface, normal, off, eikonal, guide, divergence), strict=True))
        for name, weight in weights.items():
            if not weight >= 0:
                raise ValueError(f"weight {name} must not be negative, got {weight}")
        if not any(weights.values()):
            raise ValueError("at least one weight must be positive, got none")
        if not sharpness > 0:
            raise ValueError(f"sharpness must be positive, got {sharpness}")
        self.surface, self.normal, self.off = surface, normal, off
        self.eikonal, self.guide, self.divergence = eikonal, guide, divergence
        self.sharpness = sharpness

    @classmethod
    def authors(cls, **changed: float) -> "EikonalLoss":
        """Return the weights of the SIREN authors' code, as weights of means.

        Their means of the first three terms run over all points, half of which do not count: the
        numbers 3000, 100 and 100 of the code stand for half of that.
        """
        given = {"surface": 1.5e3, "normal": 5e1, "off": 5e1, "eikonal": 5e1, "guide": 0.0}
        return cls(**(given | changed))

    @property
    def weights(self) -> dict[str, float]:
        """The weights by name, in the order of :meth:`terms`."""
        return {name: getattr(self, name) for name in TERMS}

    def terms(
        self,
        field: nn.Module,
        x: Float[Tensor, "n 3"],
        normals: Float[Tensor, "n 3"],
        distance: Float[Tensor, " n"],
    ) -> Float[Tensor, "n 6"]:
        """Return every term at every point, whether or not it counts there.

        Args:
            field: Map from points to values ``(n, 1)``.
            x: Points.
            normals: Unit normals, or zeros.
            distance: Signed distances to the cloud, or zeros.
        """
        order = "laplacian" if self.divergence else "gradient"
        value, gradient, *second = jet(field, x, order, chunk=len(x))
        value, gradient = value[:, 0], gradient[:, 0]
        length = gradient.norm(dim=-1)
        zero = torch.zeros_like(value)
        return torch.stack(
            [
                value.abs(),
                1 - (gradient * normals).sum(-1) / length.clamp_min(1e-8),
                torch.exp(-self.sharpness * value.abs()) if self.off else zero,
                (length - 1).abs(),
                (value - distance).abs() if self.guide else zero,
                second[0][:, 0].abs() if second else zero,
            ],
            dim=-1,
        )


class ShapeFit(SignalFit):
    """Fit a signed distance, negative inside, to the points of a shape.

    Logs ``train/loss`` and its terms, unweighted, as ``train/surface`` and so on; in validation
    ``val/residual``, the mean of ``|f|`` on the surface in units where the cube's side is 2,
    ``val/normal``, the mean cosine between gradient and normal, and ``val/eikonal``, the mean of
    ``| |grad f| - 1 |`` over the cube. Clip gradients (``trainer.gradient_clip_val: 1``): the
    terms' slopes jump at zero.

    Args:
        field: Map from coordinates ``(n, 3)`` to values ``(n, 1)``.
        loss: Weights of the terms; None is ``EikonalLoss()``.
        sphere: Radius of a sphere whose signed distance the field is set to at first, by least
            squares of its affine read-out; None leaves the field as it is.
        optimizer: Parameters to optimizer.
        scheduler: Optimizer to learning-rate scheduler, stepped once per optimizer step.
        chunk: Points evaluated at a time; None suits the device. The result does not depend on it.

    Raises:
        ValueError: If ``chunk`` is below 1, or ``sphere`` is not positive or the field has no
            read-out.
    """

    def __init__(
        self,
        field: nn.Module,
        *,
        loss: EikonalLoss | None = None,
        sphere: float | None = None,
        optimizer: OptimizerCallable = optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        chunk: int | None = None,
    ) -> None:
        super().__init__(field, optimizer=optimizer, scheduler=scheduler, chunk=chunk)
        self.loss = EikonalLoss() if loss is None else loss
        self.sphere = sphere
        self.shape_scores: dict[str, Any] = {}
        if sphere is not None:
            set_to_sphere(field, sphere)

    def setup(self, stage: str) -> None:
        """Check that the data hold a shape, and what the loss needs of it.

        Raises:
            InputError: If they do not.
        """
        super().setup(stage)
        if not self.signal:
            return
        if self.signal.get("kind") != "shape":
            raise InputError("ShapeFit needs the points of a shape (fields.ShapeSamples)")
        if stage == "fit" and self.loss.guide and not self.signal["guided"]:
            raise InputError(
                "the weight guide of the loss needs distances to the cloud: add "
                "--data.init_args.guide 65536, or set --model.init_args.loss.init_args.guide 0"
            )

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Return the weighted sum of the terms."""
        x, normals, off, distance = batch
        count = len(x) + len(off)
        weights = x.new_tensor(list(self.loss.weights.values()))
        shares = self._shares(len(x), len(off), x)
        sums = torch.zeros_like(weights)

        def mean(x: Tensor, normals: Tensor, distance: Tensor, shares: Tensor) -> Tensor:
            terms = self.loss.terms(self.field, x, normals, distance) * shares
            sums.add_(terms.detach().sum(0) / count)
            return (terms * weights).sum() / len(x)

        tensors = (
            torch.cat([x, off]),
            torch.cat([normals, torch.zeros_like(off)]),
            torch.cat([distance.new_zeros(len(x)), distance]),
            shares,
        )
        loss = chunked_mean(mean, self.field.parameters(), tensors, self.chunk)
        self._stop_if_diverged(loss)
        self.log("train/loss", loss, prog_bar=True, batch_size=count)
        for name, value, weight in zip(TERMS, sums, weights.tolist(), strict=True):
            if weight:
                self.log(f"train/{name}", value, batch_size=count)
        return loss

    def _shares(self, on: int, off: int, like: Tensor) -> Float[Tensor, "n 6"]:
        """Return the factors that turn a mean over all points into the mean of each term."""
        count = on + off
        oriented = float(self.signal.get("oriented", True))
        surface, space = count / on, count / max(off, 1)
        rows = [[surface, oriented * surface, 0.0, 1.0, 0.0, 0.0]] * on
        rows += [[0.0, 0.0, space, 1.0, space, space]] * off
        return like.new_tensor(rows)

    def scores(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Score the field on the surface and in space.

        Args:
            batch: Surface points, normals, and points of the cube.
        """
        x, normals, space = batch
        with torch.no_grad():
            value, gradient = jet(self.field, x, "gradient", chunk=self.chunk)
            _, slope = jet(self.field, space, "gradient", chunk=self.chunk)
        found = {"residual": value.abs().mean()}
        if self.signal.get("oriented", True):
            cosine = nn.functional.cosine_similarity(gradient[:, 0], normals, dim=-1)
            found["normal"] = cosine.mean()
        return found | {"eikonal": (slope[:, 0].norm(dim=-1) - 1).abs().mean()}

    def report_entries(self) -> dict[str, Any]:
        """Return what ``report.json`` holds besides: the signal, scores of the mesh, baselines."""
        scored = {"shape": self.shape_scores} if self.shape_scores else {}
        return super().report_entries() | scored
