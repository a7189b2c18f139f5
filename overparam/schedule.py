"""Schedules: when a ticket search trains, prunes and rewinds.

A schedule is its constructor arguments and a few lines that act on a ``Search``; adding one means
one class here. The same object drives ``find_ticket`` and ``TicketCallback``. The file is one
thing, the list of schedules, and grows longer than 300 lines with them.

Sources: Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, arXiv:1803.03635 (IMP);
Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020,
arXiv:1912.05671 (late rewinding); Renda et al., "Comparing Rewinding and Fine-tuning", ICLR 2020,
arXiv:2003.02389, and Gadhikar and Burkholz, "Masks, Signs, and Learning Rate Rewinding", ICLR
2024, arXiv:2402.19262 (LRR); Hossain et al., "COLT: Cyclic Overlapping Lottery Tickets",
arXiv:2212.12770; Zhu and Gupta, "To prune, or not to prune", arXiv:1710.01878 (cubic schedule).
"""

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from overparam.recipe import arguments

if TYPE_CHECKING:
    from overparam.search import Search


class Schedule:
    """Base of the schedules.

    Attributes:
        in_one_run: Whether ``TicketCallback`` can turn it into one ``Trainer.fit``.
        rewind_step: Optimizer step of the first round whose weights rounds rewind to.
    """

    in_one_run: ClassVar[bool] = True
    rewind_step: int = 0

    @property
    def rounds_total(self) -> int:
        """Number of times training runs."""
        return 1

    @property
    def goal(self) -> float:
        """Sparsity at the end, of what was alive at the start."""
        raise NotImplementedError

    def before(self, search: "Search", index: int) -> None:
        """Act before round ``index``, counted from 0."""

    def during(self, search: "Search", step: int, steps: int | None) -> None:
        """Act after optimizer step ``step``, counted from 1, of the ``steps`` of a round."""

    def check_length(self, steps: int) -> None:
        """Raise ValueError if a round of ``steps`` optimizer steps is too short."""
        if self.rewind_step > 0 and steps < self.rewind_step:
            raise ValueError(
                f"rewind_step must be at most the {steps} optimizer steps of one round, "
                f"got {self.rewind_step}"
            )

    def split(self, search: "Search", index: int) -> tuple[int, int] | None:
        """Part of the data to train on in round ``index`` as (number, parts); None for all."""
        return None

    def done(self, search: "Search", index: int) -> bool:
        """Whether round ``index``, about to be trained, is the last though others are left."""
        return False

    @property
    def snapshot(self) -> str:
        """Name of the snapshot the ticket rewinds to."""
        return "rewind" if self.rewind_step else "init"

    def describe(self) -> dict[str, Any]:
        """Return name and arguments as plain data."""
        return {"name": type(self).__name__, **arguments(self)}

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in arguments(self).items())
        return f"{type(self).__name__}({shown})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash(repr(self))


class LRR(Schedule):
    """Learning-rate rewinding: train, prune, train on from the trained weights; repeat.

    Only the learning-rate schedule and the optimizer start anew. Sparsity after ``r`` rounds is
    ``1 - (1 - rate)**r``: 89.3 % after 10 rounds of 20 %, 95.6 % after 14, 99.1 % after 21. The
    kept weights have by then been trained ``r + 1`` times as long as an ``IMP`` ticket's.

    Args:
        rate: Share of the remaining weights pruned per round, in (0, 1).
        rounds: Number of prunings, at least 1; training runs once more.
    """

    def __init__(self, rate: float = 0.2, rounds: int = 10) -> None:
        self.rate = _share("rate", rate)
        self.rounds = _count("rounds", rounds)

    @property
    def rounds_total(self) -> int:
        """Number of times training runs: dense first, then after each pruning."""
        return self.rounds + 1

    def target(self, pruned: int) -> float:
        """Sparsity after ``pruned`` prunings."""
        return 1 - (1 - self.rate) ** pruned

    @property
    def goal(self) -> float:
        """Sparsity at the end."""
        return self.target(self.rounds)

    def before(self, search: "Search", index: int) -> None:
        """Prune before every round but the first."""
        if index:
            search.prune(self.target(index))


class IMP(LRR):
    """Iterative magnitude pruning: train, prune, rewind the kept weights, repeat.

    Args:
        rate: Share of the remaining weights pruned per round, in (0, 1).
        rounds: Number of prunings, at least 1; training runs once more.
        rewind_step: Optimizer step of the first round to rewind to; 0 is initialisation. Later
            steps ("late rewinding") are what deep networks need.
        keep_statistics: Leave running statistics of normalisation layers as trained.
    """

    def __init__(
        self,
        rate: float = 0.2,
        rounds: int = 10,
        rewind_step: int = 0,
        keep_statistics: bool = False,
    ) -> None:
        super().__init__(rate, rounds)
        if rewind_step < 0:
            raise ValueError(f"rewind_step must be at least 0, got {rewind_step}")
        self.rewind_step = rewind_step
        self.keep_statistics = keep_statistics

    def before(self, search: "Search", index: int) -> None:
        """Prune and rewind before every round but the first."""
        super().before(search, index)
        if index:
            search.rewind(self.snapshot, keep=("bn",) if self.keep_statistics else ())


class COLT(Schedule):
    """Cyclic overlap: train on parts of the data from the same start, keep what all parts keep.

    Each round trains once per part (``fit(module, split=(i, n))``), prunes ``rate`` of the
    remaining weights of each, and takes the intersection, which prunes faster than ``rate``. The
    last training is on all data.

    Args:
        rate: Share of the remaining weights pruned in each part, in (0, 1).
        rounds: Number of prunings, at least 1.
        splits: Number of parts, at least 2.
        sparsity: Stop as soon as this sparsity is reached; None for all rounds.
    """

    in_one_run = False

    def __init__(
        self, rate: float = 0.2, rounds: int = 6, splits: int = 2, sparsity: float | None = None
    ) -> None:
        self.rate = _share("rate", rate)
        self.rounds = _count("rounds", rounds)
        if splits < 2:
            raise ValueError(f"splits must be at least 2, got {splits}")
        self.splits = splits
        self.sparsity = None if sparsity is None else _share("sparsity", sparsity)

    @property
    def rounds_total(self) -> int:
        """Largest number of times training runs."""
        return self.rounds * self.splits + 1

    @property
    def goal(self) -> float:
        """Sparsity at the end if the parts disagree on nothing; in fact it is higher."""
        return 1 - (1 - self.rate) ** self.rounds

    def before(self, search: "Search", index: int) -> None:
        """Close the part that was trained last, and rewind for the next."""
        if index == 0:
            search.open_parts()
            return
        search.prune_alive(self.rate)
        search.close_part()
        if index % self.splits == 0:
            search.intersect()
        search.rewind(self.snapshot)

    def split(self, search: "Search", index: int) -> tuple[int, int] | None:
        """Part to train on in round ``index``; None, all data, once the mask is final."""
        whole = index >= self.rounds * self.splits or self.done(search, index)
        return None if whole else (index % self.splits, self.splits)

    def done(self, search: "Search", index: int) -> bool:
        """Whether the intersection after ``index`` trainings is sparse enough to stop."""
        closed = index > 0 and index % self.splits == 0
        reached = 1 - search.kept / sum(search.start.values())
        return closed and self.sparsity is not None and reached >= self.sparsity


class OneShot(Schedule):
    """Prune once, before training or after it.

    Args:
        sparsity: Share of the weights pruned, in (0, 1).
        when: ``"trained"``: train, prune, rewind, train again; ``"init"``: prune untrained
            weights, then train (for the criteria ``snip``, ``synflow``, ``random``).
        iterations: Steps of the pruning, each with fresh scores; SynFlow needs about 100.
        rewind: After ``"trained"``: go back to initialisation rather than on from there.
        rescale: After ``"init"``: ``True`` gives pruned layers the variance they were initialised
            with, a number that gain (2 is the edge of chaos of ReLU networks).
    """

    def __init__(
        self,
        sparsity: float = 0.9,
        when: str = "trained",
        iterations: int = 1,
        rewind: bool = True,
        rescale: bool | float = False,
    ) -> None:
        self.sparsity = _share("sparsity", sparsity)
        if when not in ("trained", "init"):
            raise ValueError(f"when must be 'trained' or 'init', got {when!r}")
        if rescale is not False and when != "init":
            raise ValueError(f"rescale must be False unless when='init', got {rescale}")
        if rescale is not True and rescale is not False and not rescale > 0:
            raise ValueError(f"rescale must be a flag or a positive gain, got {rescale}")
        self.when = when
        self.iterations = _count("iterations", iterations)
        self.rewind = rewind
        self.rescale = rescale

    @property
    def rounds_total(self) -> int:
        """Number of times training runs."""
        return 2 if self.when == "trained" else 1

    @property
    def goal(self) -> float:
        """Sparsity at the end."""
        return self.sparsity

    def before(self, search: "Search", index: int) -> None:
        """Prune before the last round."""
        if index != self.rounds_total - 1:
            return
        gains = search.gains()
        search.prune(self.sparsity, iterations=self.iterations)
        if self.when == "trained":
            if self.rewind:
                search.rewind(self.snapshot)
            return
        if self.rescale is not False:
            search.rescale(gains if self.rescale is True else float(self.rescale))
        search.save("init")  # what a rewound ticket starts from is the pruned, rescaled network


class Gradual(Schedule):
    """Prune while training: ``s(t) = sparsity * (1 - (1 - t / T)**3)``, T at 75 % of the steps.

    Args:
        sparsity: Share of the weights pruned at the end, in (0, 1).
        stop: Share of the steps after which pruning is over, in (0, 1].
        every: Optimizer steps between prunings; None prunes about a hundred times.
        steps: Optimizer steps of the training; ``TicketCallback`` knows them by itself.
    """

    def __init__(
        self,
        sparsity: float = 0.9,
        stop: float = 0.75,
        every: int | None = None,
        steps: int | None = None,
    ) -> None:
        self.sparsity = _share("sparsity", sparsity)
        if not 0 < stop <= 1:
            raise ValueError(f"stop must be in (0, 1], got {stop}")
        self.stop = stop
        self.every = None if every is None else _count("every", every)
        self.steps = None if steps is None else _count("steps", steps)

    @property
    def goal(self) -> float:
        """Sparsity at the end."""
        return self.sparsity

    def end(self, steps: int) -> int:
        """Step of the last pruning."""
        return max(1, math.floor(self.stop * steps))

    def target(self, step: int, steps: int) -> float:
        """Sparsity after ``step`` of ``steps`` optimizer steps."""
        part = min(step / self.end(steps), 1.0)
        return self.sparsity * (1 - (1 - part) ** 3)

    def check_length(self, steps: int) -> None:
        """Raise ValueError if training is over before pruning is."""
        if self.steps is not None and steps < self.end(self.steps):
            raise ValueError(
                f"steps must be the optimizer steps of one round, got {self.steps}, but a round "
                f"takes {steps} and pruning ends after {self.end(self.steps)}"
            )

    def during(self, search: "Search", step: int, steps: int | None) -> None:
        """Prune on the grid of steps and, exactly, at the end of it."""
        steps = self.steps if self.steps is not None else steps
        if steps is None:
            raise ValueError("Gradual needs steps, the optimizer steps of one fit, got None")
        every = self.every or max(1, self.end(steps) // 100)
        if step == self.end(steps) or (step < self.end(steps) and step % every == 0):
            search.prune(self.target(step, steps))


class RandomSearch(Schedule):
    """Draw random masks, keep the one of lowest loss before training, train it once.

    A baseline: print it beside every ticket.

    Args:
        candidates: Masks drawn, at least 1.
        sparsity: Share of the weights pruned, in (0, 1).
    """

    def __init__(self, candidates: int = 64, sparsity: float = 0.5) -> None:
        self.candidates = _count("candidates", candidates)
        self.sparsity = _share("sparsity", sparsity)

    @property
    def goal(self) -> float:
        """Sparsity at the end."""
        return self.sparsity

    def before(self, search: "Search", index: int) -> None:
        """Rank the candidates and wear the best."""
        if search.loss is None:
            raise ValueError("RandomSearch needs loss(module) -> scalar, got None")
        before, best, lowest = search.bits(), search.bits(), math.inf
        for _ in range(self.candidates):
            search.wear(before)
            search.prune(self.sparsity, criterion="random", clear=False)
            with torch.no_grad():
                value = float(search.loss(search.module))
            if value < lowest:
                best, lowest = search.bits(), value
        if lowest == math.inf:
            raise ValueError("loss of every candidate must be finite for one, got NaN or infinity")
        search.wear(best, clear=True)


def _share(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"{name} must be in (0, 1), got {value}")
    return value


def _count(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value
