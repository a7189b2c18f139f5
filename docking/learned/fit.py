"""ScoreFit: training of scalar fields by likelihoods of the crystal pose."""

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Generator, Tensor, nn, optim

from docking.learned.esf import Pair
from docking.learned.losses import RotationLikelihood, TranslationLikelihood
from docking.learned.reference_graph import Complex, ComplexGraph
from overparam import OverparameterizedModule
from overparam.divergence import StopsWhenDiverged


class ScoreFit(StopsWhenDiverged, OverparameterizedModule):
    """Fit fields so that the crystal pose is likely among all translations and all rotations.

    Even steps take the translations, odd steps the rotations, each given the other freedom at its
    true value or, with noise, near it. A step is a step of the optimizer. Logs in training
    ``train/loss`` and the loss of its kind of step, ``train/translation_loss`` or
    ``train/rotation_loss`` (nats); in validation and test both of them, their mean ``loss``, and
    ``translation_rmsd`` and ``rotation_rmsd`` (angstrom) of the most probable cell. What is drawn
    there depends on the complex's id alone.

    Graphs are made once and kept in memory by the complex's id.

    Args:
        fields: Network from a ``ComplexGraph`` to pairs of fields, receptor and ligand.
        translation: Likelihood over translations; default the reference's.
        rotation: Likelihood over rotations; default the reference's.
        noise: Whether the other freedom is disturbed (ESF-N) or true (ESF).
        optimizer: Parameters to optimizer.
        scheduler: Optimizer to learning-rate scheduler, stepped once per optimizer step.

    Source: Jing, Jaakkola & Berger, ICLR 2024, arXiv:2312.04323.
    """

    def __init__(
        self,
        fields: nn.Module,
        *,
        translation: TranslationLikelihood | None = None,
        rotation: RotationLikelihood | None = None,
        noise: bool = True,
        optimizer: OptimizerCallable = optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        self.fields = fields
        self.translation = translation or TranslationLikelihood()
        self.rotation = rotation or RotationLikelihood()
        self.noise = noise
        self._graphs: dict[str, ComplexGraph] = {}

    def forward(self, graph: ComplexGraph) -> list[Pair]:
        """The fields of receptor and ligand of every complex in the graph."""
        return self.fields(graph)

    def graph(self, batch: Sequence[Complex]) -> ComplexGraph:
        """The graph of several complexes on the module's device, each made once.

        Raises:
            InputError: If a ligand has no coordinates or no residue of a receptor N, CA and C.
        """
        for example in batch:
            if example.id not in self._graphs:
                self._graphs[example.id] = ComplexGraph.of(example)
        graph = ComplexGraph.joined([self._graphs[example.id] for example in batch])
        return graph.to(self.device).to(self.dtype)

    def training_step(self, batch: Sequence[Complex], batch_idx: int) -> Tensor:
        """Return the mean loss of the batch, of translations or of rotations by turns."""
        name = "rotation" if self.global_step % 2 else "translation"
        likelihood = getattr(self, name)
        pairs = self(self.graph(batch))
        losses = [likelihood(*pair, noisy=self.noise).loss for pair in pairs]
        loss = torch.stack(losses).mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        self.log(f"train/{name}_loss", loss, batch_size=len(batch))
        return loss

    def validation_step(self, batch: Sequence[Complex], batch_idx: int) -> None:
        """Measure both likelihoods of every complex."""
        self._measure("val", batch)

    def test_step(self, batch: Sequence[Complex], batch_idx: int) -> None:
        """Measure both likelihoods of every complex."""
        self._measure("test", batch)

    def _measure(self, stage: str, batch: Sequence[Complex]) -> None:
        for example, pair in zip(batch, self(self.graph(batch)), strict=True):
            for name, value in self.measure(pair, seed=zlib.crc32(example.id.encode())).items():
                self.log(f"{stage}/{name}", value, sync_dist=True, batch_size=1)

    @torch.no_grad()
    def measure(self, pair: Pair, *, seed: int = 0) -> dict[str, Tensor]:
        """Losses and errors of one complex; noise and target rotation are drawn from the seed."""
        generator = Generator().manual_seed(seed)
        options: dict[str, Any] = {"noisy": self.noise, "generator": generator}
        place = self.translation(*pair, **options)
        turn = self.rotation(*pair, cell=self.rotation.draw(generator), **options)
        return {
            "loss": (place.loss + turn.loss) / 2,
            "translation_loss": place.loss,
            "translation_rmsd": place.rmsd,
            "rotation_loss": turn.loss,
            "rotation_rmsd": turn.rmsd,
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> "ScoreFit":
        """Copy everything but the graphs and what makes optimizers, which nobody changes."""
        # What makes an optimizer may hold on to the whole command, and that to its processes.
        for kept in (self._graphs, self.optimizer, self.scheduler):
            memo[id(kept)] = kept
        return super().__deepcopy__(memo)
