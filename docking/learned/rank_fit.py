"""RankFit: training of a score so that a true pose outranks the rivals mined for it."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Generator, Tensor, optim

from docking.learned.confidence import Confidence
from docking.learned.hybrid import HybridScore
from docking.learned.pocket_graph import MoleculeGraph, PocketGraph
from docking.learned.pose_set import PoseSet, Source
from docking.ligand import Ligand
from docking.molecule import Receptor
from overparam import OverparameterizedModule
from overparam.divergence import StopsWhenDiverged

SUCCESS = 2.0
"""RMSD below which a pose is true, angstrom."""


@runtime_checkable
class MinedComplex(Protocol):
    """A complex and poses of its ligand."""

    id: str
    receptor: Receptor
    ligand: Ligand
    poses: PoseSet


class Mined(NamedTuple):
    """A complex as tensors: graphs of what its poses can feel, and the poses.

    Attributes:
        pocket: Cropped pocket.
        molecule: Ligand.
        coords: Heavy atoms of the poses, ``(p, n, 3)``.
        rmsd: To the crystal pose, angstrom.
        terms: Vina's weighted terms, ``(p, 5)``.
        intra: The ligand's own energy.
        source: ``Source`` of each pose.
    """

    pocket: PocketGraph
    molecule: MoleculeGraph
    coords: Tensor
    rmsd: Tensor
    terms: Tensor
    intra: Tensor
    source: Tensor


class RankFit(StopsWhenDiverged, OverparameterizedModule):
    """Fit a score to the probability that the best-scored pose is a true one.

    Poses are compared only with poses of the same kind: those from conformers of the molecular
    graph among themselves, and those of the bound conformer among themselves. Else a score would
    learn which kind a pose is, for the crystal's own lengths and angles fit best.

    A step draws some true poses (RMSD below 2 angstrom, graded: full credit up to 1) and some
    rivals of each kind and maximises ``log sum_i g_i softmax(S)_i``. Of the true poses few are
    drawn at a time, so that each must outrank the rivals by itself. A kind without true poses, or
    without rivals, teaches nothing and is passed over.

    Logs ``train/loss``; in validation and test, of the poses that a user would be offered (not the
    crystal pose and descents from it), ``loss``, ``flexible`` and ``rigid``: the share of complexes
    whose best-scored pose of that search is below 2 angstrom, beside the same of Vina's energy
    (``flexible_physics``, ``rigid_physics``) and of the best choice possible (``flexible_best``,
    ``rigid_best``). A complex without poses of a search counts as a miss there.

    Args:
        score: The score.
        natives: True poses drawn of each kind.
        rivals: Other poses drawn of each kind.
        noise: Standard deviation of the disturbance of every coordinate in training, angstrom.
        optimizer: Parameters to optimizer.
        scheduler: Optimizer to learning-rate scheduler, stepped once per optimizer step.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        score: HybridScore,
        *,
        natives: int = 3,
        rivals: int = 14,
        noise: float = 0.1,
        optimizer: OptimizerCallable = optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        for name, value in (("natives", natives), ("rivals", rivals)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not (noise >= 0 and math.isfinite(noise)):
            raise ValueError(f"noise must be at least 0 and finite, got {noise}")
        self.score = score
        self.natives, self.rivals, self.noise = natives, rivals, noise
        self.confidence = Confidence()
        self._made: dict[str, Mined] = {}

    def prepared(self, example: MinedComplex) -> Mined:
        """A complex as tensors, made once and kept by its id."""
        if example.id not in self._made:
            self._made[example.id] = mined(example, self.score)
        return self._made[example.id]

    def forward(
        self, batch: Sequence[Mined], chosen: Sequence[Tensor] | None = None
    ) -> list[Float[Tensor, " p"]]:
        """Scores of the poses of every complex, or of some of them."""
        where = self.device
        pockets = PocketGraph.joined([one.pocket for one in batch]).to(where)
        molecules = MoleculeGraph.joined([one.molecule for one in batch]).to(where)
        fields, readouts = self.score.fields(pockets), self.score.readouts(molecules)
        scores = []
        for k, (one, field, A) in enumerate(zip(batch, fields, readouts, strict=True)):
            pick = slice(None) if chosen is None else chosen[k]
            x = one.coords[pick].to(where)
            if self.training and self.noise:
                x = x + self.noise * torch.randn_like(x)
            physics = self.score.energies(one.terms[pick].to(where), one.intra[pick].to(where))
            scores.append(physics + field.scores(A, x))
        return scores

    def training_step(self, batch: Sequence[MinedComplex], batch_idx: int) -> Tensor | None:
        """Return the mean loss of the complexes; None if none of them teaches anything."""
        made = [self.prepared(example) for example in batch]
        drawn = [(one, picks) for one in made if (picks := self.draw(one))]
        if not drawn:
            # Other processes wait for this one's gradient, which is nought.
            nought = torch.stack([p.sum() for p in self.parameters()]).sum() * 0
            return nought if self._together() else None
        chosen = [torch.cat(picks) for _, picks in drawn]
        losses = []
        for (one, picks), scores in zip(
            drawn, self([one for one, _ in drawn], chosen), strict=True
        ):
            parts = scores.split([len(pick) for pick in picks])
            losses += [loss(part, one.rmsd[pick]) for part, pick in zip(parts, picks, strict=True)]
        mean = torch.stack(losses).mean()
        self.log("train/loss", mean, prog_bar=True, batch_size=len(batch))
        return mean

    def draw(self, one: Mined, generator: Generator | None = None) -> list[Tensor]:
        """Which poses a step looks at, kind by kind: true ones and rivals without repetition."""
        picks = []
        for kind in kinds(one):
            near = one.rmsd < SUCCESS
            parts = [
                some[torch.randperm(len(some), generator=generator)[:count]]
                for some, count in (
                    ((kind & near).nonzero()[:, 0], self.natives),
                    ((kind & ~near).nonzero()[:, 0], self.rivals),
                )
            ]
            if all(len(part) for part in parts):
                picks.append(torch.cat(parts))
        return picks

    def validation_step(self, batch: Sequence[MinedComplex], batch_idx: int) -> None:
        """Measure ranking on all poses of every complex."""
        self._measure("val", batch)

    def test_step(self, batch: Sequence[MinedComplex], batch_idx: int) -> None:
        """Measure ranking on all poses of every complex."""
        self._measure("test", batch)

    def _measure(self, stage: str, batch: Sequence[MinedComplex]) -> None:
        made = [self.prepared(example) for example in batch]
        for one, scores in zip(made, self(made), strict=True):
            found = ranking(one, scores.cpu())
            # Lightning divides the sum of weights by the processes, in whole numbers.
            weight = self.trainer.world_size
            if self._together() and "loss" not in found:
                # Processes wait for each other's means: all must have the same ones.
                self.log(f"{stage}/loss", torch.zeros(()), sync_dist=True, batch_size=0)
            for name, value in found.items():
                self.log(f"{stage}/{name}", value, sync_dist=True, batch_size=weight)

    def _together(self) -> bool:
        return self._trainer is not None and self.trainer.world_size > 1

    def __deepcopy__(self, memo: dict[int, object]) -> "RankFit":
        """Copy all but the prepared complexes and what makes optimizers: nobody changes them."""
        # What makes an optimizer may hold on to the whole command, and that to its processes.
        for kept in (self._made, self.optimizer, self.scheduler):
            memo[id(kept)] = kept
        return super().__deepcopy__(memo)


def mined(example: MinedComplex, score: HybridScore) -> Mined:
    """The tensors of one complex, its pocket cropped to what its poses can feel."""
    heavy, poses = example.ligand.heavy, example.poses
    coords = poses.coords[:, heavy]
    net = score.pocket
    pocket = PocketGraph.of(
        example.receptor,
        coords.reshape(-1, 3),
        reach=score.cutoff,
        layers=net.layers,
        cutoff=net.cutoff,
        neighbours=net.neighbours,
    )
    return Mined(
        pocket,
        MoleculeGraph.of(example.ligand),
        torch.as_tensor(coords).float(),
        torch.as_tensor(poses.rmsd).float(),
        torch.as_tensor(poses.terms).float(),
        torch.as_tensor(poses.intra).float(),
        torch.as_tensor(poses.source).long(),
    )


def loss(scores: Float[Tensor, " p"], rmsd: Float[Tensor, " p"]) -> Float[Tensor, ""]:
    """Minus the logarithm of the probability that a pose drawn by score is a true one, nats."""
    # Full credit to 1 angstrom, none from 2 on.
    credit = (SUCCESS - rmsd).clamp(1e-6, 1.0)
    return -((scores + credit.log()).logsumexp(0) - scores.logsumexp(0))


def kinds(one: Mined) -> tuple[Tensor, Tensor]:
    """Poses from conformers of the graph, and poses of the bound conformer."""
    own = one.source == int(Source.FLEXIBLE)
    return own, ~own


def ranking(one: Mined, scores: Float[Tensor, " p"]) -> dict[str, Tensor]:
    """Loss and successes of one complex, among the poses a user would be offered."""
    out: dict[str, Tensor] = {}
    losses = []
    physics = -(one.terms.sum(-1) + one.intra)
    for name, source in (("flexible", Source.FLEXIBLE), ("rigid", Source.RIGID)):
        here = one.source == int(source)
        good = one.rmsd[here] < SUCCESS
        if good.any() and not good.all():
            losses.append(loss(scores[here], one.rmsd[here]))
        for kind, by in (("", scores), ("_physics", physics)):
            hit = good[by[here].argmax()] if len(good) else torch.tensor(False)
            out[f"{name}{kind}"] = hit.float()
        out[f"{name}_best"] = good.any().float()
    return {"loss": torch.stack(losses).mean(), **out} if losses else out
