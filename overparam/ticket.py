"""Lottery tickets: a sparse subnetwork and the weights it is trained from, as one artefact.

Longer than most files here because it holds one noun and the function that makes it; the search
itself is in ``search.py``, the file format in ``ticket_file.py``.

Source: Frankle and Carbin, "The Lottery Ticket Hypothesis", ICLR 2019, arXiv:1803.03635; the
controls are those of Frankle et al., "Pruning Neural Networks at Initialization: Why are We
Missing the Mark?", ICLR 2021, arXiv:2009.08576, section 5.
"""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from overparam.criteria import Loss
from overparam.errors import InputError
from overparam.masks import Masks, mask_sha
from overparam.prunable import PROTECT, ParamSpec, prunable
from overparam.pruning import clear_pruned
from overparam.schedule import LRR, Schedule
from overparam.search import Search, check_rewound
from overparam.snapshot import Snapshot, restore, take
from overparam.ticket_control import permuted, random_like, shuffled
from overparam.training_round import train_round

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transfer:
    """What ``Ticket.transfer`` matched.

    Attributes:
        matched: Name in the ticket to name in the module.
        unmatched: Names in the ticket that found no weight.
        bare: Unprotected weights of the module that got no mask.
    """

    matched: dict[str, str]
    unmatched: tuple[str, ...]
    bare: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Ticket:
    """Masks, and the snapshot their weights are rewound to.

    Attributes:
        masks: Plain name to boolean mask.
        snapshot: Weights to start from; None if only the masks are known.
        specs: What each masked weight is.
        granularity: Which entries live and die together.
        block: Side of a block.
        seed: Seed of the search.
        schedule: Name and arguments of the schedule.
        criterion: What made a weight matter.
        history: One entry per training round.
        versions: Versions of the libraries that made it.
    """

    masks: Mapping[str, Tensor]
    snapshot: Snapshot | None = None
    specs: Mapping[str, ParamSpec] = field(default_factory=dict)
    granularity: str = "weight"
    block: int = 16
    seed: int | None = None
    schedule: Mapping[str, Any] = field(default_factory=dict)
    criterion: str = ""
    history: Sequence[Mapping[str, Any]] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.masks:
            raise ValueError("masks must name at least one weight, got none")
        known = dict(self.specs)
        for name, mask in self.masks.items():
            if mask.dtype != torch.bool:
                raise ValueError(f"mask of {name} must be boolean, got {mask.dtype}")
            spec = known.setdefault(name, ParamSpec(name, "dense", tuple(mask.shape)))
            if spec.shape != tuple(mask.shape):
                raise ValueError(f"mask of {name} must have shape {spec.shape}, got {mask.shape}")
        object.__setattr__(self, "specs", {name: known[name] for name in self.masks})

    @classmethod
    def of(cls, search: Search, schedule: Schedule) -> "Ticket":
        """Collect the ticket that a search has arrived at."""
        from overparam.ticket_file import versions

        snapshot = search.saved(schedule.snapshot)
        return cls(
            masks={name: mask.cpu() for name, mask in search.bits().items()},
            snapshot=Snapshot({k: v.cpu().clone() for k, v in snapshot.state.items()}),
            specs=search.specs,
            granularity=search.granularity,
            block=search.block,
            seed=search.seed,
            schedule=schedule.describe(),
            criterion=search.criterion,
            history=tuple(dict(entry) for entry in search.history),
            versions=versions(),
        )

    # numbers

    @property
    def total(self) -> int:
        """Entries of all masked weights."""
        return sum(mask.numel() for mask in self.masks.values())

    @property
    def kept(self) -> int:
        """Entries kept."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def sparsity(self) -> float:
        """Share of entries pruned."""
        return 1 - self.kept / self.total

    @property
    def sha(self) -> str:
        """Hash of the masks."""
        return mask_sha(self.masks)

    def __repr__(self) -> str:
        schedule = dict(self.schedule)
        how = " ".join(
            [str(schedule.pop("name", "masks")), *(f"{k}={v}" for k, v in schedule.items() if v)]
        )
        start = "masks only" if self.snapshot is None else "rewinds"
        return (
            f"Ticket({how}; {len(self.masks)} weights, {self.kept:,} of {self.total:,} kept "
            f"({self.sparsity:.1%} sparse); {self.granularity}; {start}; {self.sha[:12]})"
        )

    def sparsity_table(self) -> dict[str, dict[str, Any]]:
        """Return shape, entries and kept entries of every weight, as plain data."""
        return {
            name: {
                "shape": list(mask.shape),
                "total": mask.numel(),
                "kept": int(mask.sum()),
                "sparsity": 1 - float(mask.double().mean()),
            }
            for name, mask in self.masks.items()
        }

    # use

    def apply(self, module: nn.Module) -> None:
        """Put the masks on ``module``; weights, and masks elsewhere, stay as they are.

        Raises:
            InputError: If the module lacks a weight of the ticket or has it in another shape.
        """
        specs = {owner: spec for spec in prunable(module, ()).values() for owner in spec.owners}
        for name, mask in self.masks.items():
            if name not in specs:
                raise InputError(
                    f"ticket must fit the module, but {type(module).__name__} has no weight {name}"
                )
            if specs[name].shape != tuple(mask.shape):
                raise InputError(
                    f"ticket must fit the module, but {name} has shape {specs[name].shape} "
                    f"there and {tuple(mask.shape)} in the ticket"
                )
        self._wear(module, {name: specs[name] for name in self.masks}, specs)

    def transfer(self, other: nn.Module, protect: Sequence[str] = PROTECT) -> Transfer:
        """Put the masks on another module: by name, else by order among equal shapes.

        Args:
            other: Module that may share only part of the architecture.
            protect: Weights that only a mask of the same name may go to.

        Returns:
            What matched and what did not; the latter is logged too.

        Raises:
            InputError: If nothing matches.
        """
        every = {owner: spec for spec in prunable(other, ()).values() for owner in spec.owners}
        open_to_all = {k: s for k, s in prunable(other, protect).items() if s.protected is None}
        matched = {
            name: every[name].name
            for name, mask in self.masks.items()
            if name in every and every[name].shape == tuple(mask.shape)
        }
        for name, mask in self.masks.items():
            if name in matched:
                continue
            taken = set(matched.values())
            for candidate, spec in open_to_all.items():
                if candidate not in taken and spec.shape == tuple(mask.shape):
                    matched[name] = candidate
                    break
        if not matched:
            shapes = ", ".join(str(tuple(mask.shape)) for mask in self.masks.values())
            raise InputError(f"ticket must share a name or shape with the module, has {shapes}")
        unmatched = tuple(name for name in self.masks if name not in matched)
        bare = tuple(name for name in open_to_all if name not in set(matched.values()))
        for name in unmatched:
            log.warning("mask of %s found no weight of shape %s", name, self.specs[name].shape)
        self._wear(other, {name: every[to] for name, to in matched.items()}, every)
        return Transfer(matched, unmatched, bare)

    def _wear(
        self, module: nn.Module, to: Mapping[str, ParamSpec], specs: Mapping[str, ParamSpec]
    ) -> None:
        view = Masks(module)
        for name, spec in to.items():
            mine = self.specs[name]
            same = (spec.unit_axis, spec.paths) == (mine.unit_axis, mine.paths) and (
                spec.families == mine.families
            )
            view.install([spec.name], self.granularity if same else "weight", self.block)
            view.set(spec.name, self.masks[name].to(view[spec.name].device))

    def rewind(
        self, module: nn.Module, optimizer: Optimizer | None = None, keep: Sequence[str] = ()
    ) -> None:
        """Write the snapshot into ``module`` and check that kept entries have its very bits.

        Masks stay; pruned entries are cleared.

        Args:
            module: Module of the ticket's architecture.
            optimizer: If given, what it remembers is forgotten.
            keep: ``("bn",)`` leaves normalisation statistics as they are.

        Raises:
            InputError: If the ticket has no snapshot or the module is of another architecture.
            RuntimeError: If a kept weight differs afterwards.
        """
        if self.snapshot is None:
            raise InputError(
                "ticket must have a snapshot to rewind to, but it holds masks only: build the "
                f"module again under seed {self.seed}"
            )
        try:
            restore(module, self.snapshot, keep=keep)
        except ValueError as error:
            raise InputError(f"ticket must fit the module: {error}") from None
        if optimizer is not None:
            optimizer.state.clear()
        clear_pruned(module)
        check_rewound(module, self.snapshot)

    # controls

    def shuffled(self, seed: int = 0) -> "Ticket":
        """Return the control whose groups are permuted within each weight (and part).

        The densities of all layers stay; which connections survive is forgotten.
        """
        masks = shuffled(self.masks, self.specs, self.granularity, self.block, seed)
        return replace(self, masks=masks, schedule=self._marked("shuffled", seed))

    def random_like(self, seed: int = 0, scope: str = "layer") -> "Ticket":
        """Return the control of as many random entries.

        Args:
            seed: Seed of the draw.
            scope: ``"layer"``: as many in each weight as here; ``"global"``: as many in all, so
                that the densities of the layers are forgotten too.
        """
        masks = random_like(self.masks, seed, scope)
        schedule = self._marked(f"random_{scope}", seed)
        return replace(self, masks=masks, granularity="weight", schedule=schedule)

    def reinitialised(self, seed: int = 0) -> "Ticket":
        """Return the control with the same masks and other initial weights of the same law.

        Initial weights are independent draws of one law per tensor, so permuting a tensor draws
        it anew; only its match with the mask is lost. Values that were zero under the mask
        already stay there. Meant for snapshots of initialisation, not of a later step.

        Raises:
            InputError: If the ticket has no snapshot.
        """
        if self.snapshot is None:
            raise InputError("ticket must have a snapshot to be reinitialised, got masks only")
        state = permuted(self.snapshot.state, self.masks, seed)
        schedule = self._marked("reinitialised", seed)
        return replace(self, snapshot=Snapshot(state), schedule=schedule)

    def _marked(self, name: str, seed: int) -> dict[str, Any]:
        return {**self.schedule, "control": name, "control_seed": seed}

    # files

    def save(self, path: str | Path, snapshot: bool = True) -> None:
        """Write the ticket, and beside it ``<path>.json`` with its sparsity in words.

        Both are written aside and renamed, so that no reader sees half a file.

        Args:
            path: File to write.
            snapshot: Whether to store the weights to rewind to.
        """
        from overparam.ticket_file import write_ticket

        write_ticket(self if snapshot else replace(self, snapshot=None), Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "Ticket":
        """Read a ticket; nothing in the file is executed.

        Raises:
            InputError: If the file is missing, corrupt, or no ticket.
        """
        from overparam.ticket_file import read_ticket

        return read_ticket(Path(path))


def find_ticket(
    module: nn.Module,
    fit: Callable[..., Any],
    schedule: Schedule | None = None,
    criterion: str = "magnitude",
    scope: str = "global",
    granularity: str = "weight",
    protect: Sequence[str] = PROTECT,
    min_keep: int = 1,
    loss: Loss | None = None,
    example: Any = None,
    seed: int = 0,
    *,
    block: int = 16,
) -> Ticket:
    """Search a sparse subnetwork by training and pruning in rounds.

    Afterwards ``module`` carries the final masks and the trained weights of the last round; every
    rewind has been checked bit for bit.

    Args:
        module: Module in its initial state; trained and masked in place.
        fit: ``fit(module)`` trains one whole round in place, with a *fresh* optimizer and
            learning-rate schedule. With ``COLT`` it is called as ``fit(module, split=(i, n))``
            too: train on part ``i`` of ``n`` of the data. Numbers it returns go into the history.
        schedule: When to prune and rewind; default ``LRR()``.
        criterion: What makes a weight matter; see ``score``.
        scope: ``"global"``: all weights compete; ``"layer"``: every weight loses the same share.
        granularity: ``"weight"``, ``"neuron"``, ``"path"`` (of tensor products) or ``"block"``.
        protect: What is never pruned; see ``prunable``.
        min_keep: Groups that survive in each weight, and in each q, k, v or gate.
        loss: ``loss(module) -> scalar`` over a batch, for ``snip``, ``taylor``, ``RandomSearch``.
        example: Input of one forward, for ``synflow``.
        seed: Seed of random criteria; training draws from its own sources.
        block: Side of a block.

    Raises:
        ValueError: If an argument makes no sense, nothing can be pruned, training diverged, or
            ``fit`` ended before the step to rewind to.
    """
    schedule = LRR() if schedule is None else schedule
    if not callable(fit):
        raise ValueError(f"fit must be callable as fit(module), got {fit!r}")
    if not schedule.in_one_run:
        _check_takes_split(fit, schedule)
    search = Search(
        module,
        criterion=criterion,
        scope=scope,
        granularity=granularity,
        protect=protect,
        min_keep=min_keep,
        loss=loss,
        example=example,
        seed=seed,
        block=block,
    )
    search.save("init")
    for index in range(schedule.rounds_total):
        schedule.before(search, index)
        last = schedule.done(search, index)
        late = schedule.rewind_step if index == 0 else 0
        given = getattr(module, "_snapshots", {}).get("rewind")
        automatic: list[Snapshot] = []

        def on_step(step: int, late: int = late, automatic: list[Snapshot] = automatic) -> None:
            if step == late:
                automatic.append(take(module))
            schedule.during(search, step, None)

        steps = train_round(search, fit, schedule.split(search, index), on_step)
        if late:
            _keep_late(search, given, automatic, late, steps)
        else:
            schedule.check_length(max(steps, schedule.rewind_step))
        log.info("round %d of %d: %s", index + 1, schedule.rounds_total, search.history[-1])
        if last:
            break
    return Ticket.of(search, schedule)


def _keep_late(
    search: Search, before: Snapshot | None, automatic: list[Snapshot], wanted: int, steps: int
) -> None:
    """Take as ``rewind`` what ``fit`` stored under that name, else what was cloned at the step."""
    stored = getattr(search.module, "_snapshots", {}).get("rewind")
    if stored is not None and stored is not before:
        return
    if not automatic:
        raise ValueError(
            f"fit must reach rewind_step {wanted} or call module.snapshot('rewind') in the first "
            f"round, but it took {steps} optimizer steps"
        )
    search.put("rewind", automatic[0])


def _check_takes_split(fit: Callable[..., Any], schedule: Schedule) -> None:
    try:
        inspect.signature(fit).bind(None, split=(0, 2))
    except TypeError:
        raise ValueError(
            f"{type(schedule).__name__} needs fit(module, split=(i, n)) to train on part i of n, "
            "but fit takes no split"
        ) from None
    except ValueError:  # a builtin without a signature will tell when called
        return
