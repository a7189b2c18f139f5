"""Parts of the lean networks, and the checks of their sizes."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding_bag


class Categories(nn.Module):
    """Sum of one embedding per categorical feature.

    Args:
        sizes: Number of categories of each feature.
        width: Length of the embeddings.
    """

    first: Tensor

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.sizes, self.width = list(sizes), width
        tables = [nn.Embedding(size, width) for size in sizes]
        for table in tables:
            nn.init.normal_(table.weight, std=len(tables) ** -0.5)
        self.tables = nn.ModuleList(tables)
        first = torch.tensor([0, *itertools.accumulate(self.sizes)][:-1])
        self.register_buffer("first", first, persistent=False)

    def forward(self, features: Int[Tensor, "n f"]) -> Float[Tensor, "n width"]:
        """Embed."""
        # One look-up in one table: sixteen of them take longer than a round of messages.
        table = torch.cat([part.weight for part in self.tables])  # type: ignore[misc]
        return embedding_bag(features + self.first, table, mode="sum")


def update_net(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """A perceptron of one hidden layer."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)
    )


def at_least_one(**sizes: int) -> None:
    """Refuse sizes below 1 by their names."""
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def by_round(name: str, sizes: Sequence[int] | None, width: int, layers: int) -> list[int]:
    """One size for each round."""
    if sizes is None:
        return [width] * layers
    if len(sizes) != layers or min(sizes) < 1:
        raise ValueError(f"{name} must be {layers} sizes of at least 1, got {sizes}")
    return list(sizes)


def by_degree(vectors: int | Sequence[Sequence[int]], layers: int, degree: int) -> list[list[int]]:
    """Features of each round and degree above 0."""
    if isinstance(vectors, int):
        at_least_one(vectors=vectors)
        return [[vectors] * degree for _ in range(layers)]
    if len(vectors) != layers or any(len(v) != degree or min(v, default=1) < 1 for v in vectors):
        raise ValueError(
            f"vectors must be {layers} lists of {degree} sizes of at least 1, got {vectors}"
        )
    return [list(sizes) for sizes in vectors]


def hidden_sizes(updates: Iterable[Any], width: int) -> list[int] | None:
    """Hidden units of every update, read off its weights; None if each has ``width``."""
    sizes = [int(update[0].out_features) for update in updates]
    return None if all(size == width for size in sizes) else sizes
