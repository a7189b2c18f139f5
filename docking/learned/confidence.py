"""Confidence: the probability that a docked pose lies within 2 angstrom of the truth."""

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn

from docking.ligand import Ligand

FEATURES = ("margin", "share", "torsions", "heavy_atoms", "score_per_atom")
"""What the probability is told from: the score above that of the best other pose, the logarithm of
the softmax over the poses found, rotatable bonds, heavy atoms, and the score per heavy atom."""


class Confidence(nn.Module):
    """Logistic regression on what a search says of its poses.

    It is fitted on complexes the score was not trained on (``fit``), by maximum likelihood with a
    small quadratic penalty; without a fit it knows nothing and says one half.
    """

    def __init__(self) -> None:
        super().__init__()
        for name in ("weight", "center", "scale"):
            value = torch.ones(len(FEATURES)) if name == "scale" else torch.zeros(len(FEATURES))
            self.register_buffer(name, value.double())
        self.register_buffer("bias", torch.zeros((), dtype=torch.float64))

    weight: Tensor
    center: Tensor
    scale: Tensor
    bias: Tensor

    def forward(self, features: Float[Tensor, "p f"]) -> Float[Tensor, " p"]:
        """Probabilities from ``features``."""
        return torch.sigmoid((features - self.center) / self.scale @ self.weight + self.bias)

    def of(
        self, score: Float[ndarray, " p"], kept: Int[ndarray, " k"], ligand: Ligand
    ) -> Float[ndarray, " p"]:
        """Probability of each pose of a search; of those not kept, zero."""
        told = features(score[kept], len(ligand.torsions), int(ligand.heavy.sum()))
        out = np.zeros(len(score))
        out[kept] = self(torch.as_tensor(told)).numpy()
        return out

    def fit(
        self, told: Float[ndarray, "p f"], true: Float[ndarray, " p"], penalty: float = 1e-2
    ) -> float:
        """Fit to poses known to be true or not; returns the mean log-loss, nats.

        Args:
            told: ``features`` of the poses.
            true: Whether each is true, 0 or 1.
            penalty: Half the weight of the squared coefficients, per pose.
        """
        x, y = torch.as_tensor(told), torch.as_tensor(true, dtype=torch.float64)
        self.center = x.mean(0)
        self.scale = x.std(0).clamp(min=1e-6)
        z = (x - self.center) / self.scale
        theta = torch.zeros(z.shape[1] + 1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([theta], max_iter=200, line_search_fn="strong_wolfe")

        def objective() -> Tensor:
            return nn.functional.binary_cross_entropy_with_logits(z @ theta[:-1] + theta[-1], y)

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = objective() + penalty * theta[:-1].square().sum()
            value.backward()
            return value

        optimizer.step(closure)
        self.weight, self.bias = theta[:-1].detach().clone(), theta[-1].detach().clone()
        with torch.no_grad():
            return float(objective())


def features(score: Float[ndarray, " k"], torsions: int, heavy: int) -> Float[ndarray, "k f"]:
    """``FEATURES`` of the poses of one search.

    Args:
        score: Scores, best first.
        torsions: Rotatable bonds.
        heavy: Heavy atoms.
    """
    top = score[:1]
    rest = score[1:2] if len(score) > 1 else top - 10.0
    margin = np.clip(np.where(np.arange(len(score)) == 0, score - rest, score - top), -10, 10)
    share = score - score.max()
    share = np.clip(share - np.log(np.exp(share).sum()), -20, 0)
    same = np.ones(len(score))
    return np.stack(
        [margin, share, same * min(torsions, 20), same * min(heavy, 60), score / heavy], axis=1
    )
