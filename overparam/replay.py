"""Going on in the middle of an epoch as if nothing had happened.

A data loader draws its order, and often the samples themselves, from the global random
generators. ``ReplayLoader`` remembers the generators at the start of an epoch; to go on, it puts
them back, reads and drops the batches already used, and restores the generators of the moment.
"""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

RandomState = dict[str, Any]


def random_state() -> RandomState:
    """Copy the state of the global generators of Python, numpy and torch, as plain tensors."""
    version, words, gauss = random.getstate()
    numpy: Any = np.random.get_state(legacy=True)
    _, key, position, has_gauss, cached = numpy
    state: RandomState = {
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
        "numpy": [torch.from_numpy(key.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: RandomState) -> None:
    """Put back what ``random_state`` copied."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    key, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", key.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


class ReplayLoader:
    """A data loader that can be stopped after any batch and go on from there.

    Args:
        loader: Any iterable of batches. Its own attributes stay reachable through this one.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader
        self.recording = False
        self.fetched = 0
        self._start: RandomState | None = None
        self._before: list[RandomState] = []
        self._goal: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "loader":
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        # a generator runs from the first batch on: nothing is drawn when Lightning merely
        # creates the iterator, which it does at other times in a fresh and in a resumed run
        goal, self._goal = self._goal, None
        if goal is not None:
            set_random_state(goal["start"])
        self._start, self._before, self.fetched = random_state(), [], 0
        self._own_generators(goal)
        batches = iter(self.loader)
        if goal is not None:
            for _ in range(goal["used"]):
                next(batches)
                self.fetched += 1
            for before in goal["before"]:
                set_random_state(before)
                batch = next(batches)
                self.fetched += 1
                set_random_state(goal["now"])
                yield batch
        while True:
            if self.recording:
                self._before.append(random_state())
            try:
                batch = next(batches)
            except StopIteration:
                self._before.clear()
                return
            self.fetched += 1
            yield batch

    def position(self, pending: int) -> dict[str, Any] | None:
        """Describe where this loader is, as plain data.

        Args:
            pending: Batches fetched whose step has not begun.

        Returns:
            The position; None if it cannot be told yet: ``recording`` must have been on for the
            last ``pending`` batches.
        """
        if self._start is None or len(self._before) < pending or self.fetched < pending:
            return None
        return {
            "start": self._start,
            "generators": self._generator_states,
            "used": self.fetched - pending,
            "before": self._before[len(self._before) - pending :],
            "now": random_state(),
        }

    def resume(self, position: dict[str, Any]) -> None:
        """Let the next iteration begin at ``position``."""
        self._goal = position

    def forget(self) -> None:
        """Drop what was recorded."""
        self._before.clear()

    # Lightning takes these two for a loader that resumes by itself, and then does not warn

    def state_dict(self) -> dict[str, Any]:
        """Nothing: ``RunCheckpoint`` stores the position."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing: ``RunCheckpoint`` restores the position."""

    def _own_generators(self, goal: dict[str, Any] | None) -> None:
        """Keep, or put back, the generators handed to the loader and its sampler."""
        holders = [self.loader, getattr(self.loader, "sampler", None)]
        found = [getattr(holder, "generator", None) for holder in holders]
        own = [g for g in found if isinstance(g, torch.Generator)]
        if goal is not None and len(goal["generators"]) == len(own):
            for generator, state in zip(own, goal["generators"], strict=True):
                generator.set_state(state)
        self._generator_states = [g.get_state() for g in own]
