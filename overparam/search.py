"""The state of one ticket search: what is masked, where to rewind to, what happened.

Schedules act on it; ``find_ticket`` and ``TicketCallback`` drive them. It is one thing, longer than
300 lines, because every step of a search checks itself against the same state.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from overparam.criteria import CRITERIA, Loss
from overparam.family_mask import FamilyMask, Rival, kept, rivals, size
from overparam.mask import GRANULARITIES
from overparam.masks import Masks, mask_sha
from overparam.parametrization import effective, original
from overparam.prunable import PROTECT, ParamSpec, prunable
from overparam.pruning import SCOPES, agree, clear_pruned, gains, parts_of, prune, rescale
from overparam.snapshot import Snapshot, restore, take


class Search:
    """Masks, snapshots and history of one search; puts masks on ``module`` when made.

    Args:
        module: Module that is trained and pruned, in place.
        criterion: What makes a weight matter; see ``score``.
        scope: ``"global"`` or ``"layer"``.
        granularity: ``"weight"``, ``"neuron"``, ``"path"`` or ``"block"``; weights that have no
            such groups are left alone.
        protect: What is never pruned; see ``prunable``. Families of paths that a module names are
            pruned whatever this says: with the path goes its bias.
        min_keep: Groups that survive in each weight and in each of its parts.
        loss: ``loss(module) -> scalar``, where the criterion or the schedule needs one.
        example: Input of one forward, for ``synflow``.
        seed: Seed of everything drawn here; training draws from its own sources.
        block: Side of a block.

    Attributes:
        specs: The weights that compete.
        start: Entries alive in each of them, or in each family of paths, at the start.
        hash: Hash of the masks as they were last changed.
        sparsity: Share of the competing entries, or of the cost of paths, pruned then.
        history: One entry per finished round.

    Raises:
        ValueError: If an argument is unknown or nothing can be pruned.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        criterion: str = "magnitude",
        scope: str = "global",
        granularity: str = "weight",
        protect: Sequence[str] = PROTECT,
        min_keep: int = 1,
        loss: Loss | None = None,
        example: Any = None,
        seed: int = 0,
        block: int = 16,
    ) -> None:
        for name, value, known in (
            ("criterion", criterion, CRITERIA),
            ("scope", scope, SCOPES),
            ("granularity", granularity, GRANULARITIES),
        ):
            if value not in known:
                raise ValueError(f"{name} must be among {', '.join(known)}, got {value!r}")
        if min_keep < 0:
            raise ValueError(f"min_keep must be at least 0, got {min_keep}")
        self.module = module
        self.criterion, self.scope, self.min_keep = criterion, scope, min_keep
        self.granularity, self.block = granularity, block
        self.loss, self.example, self.seed = loss, example, seed
        self.specs = {
            name: spec
            for name, spec in prunable(module, protect).items()
            if _has_groups(spec, granularity)
        }
        if not self.specs:
            raise ValueError(
                f"module must have a weight to prune by {granularity}, got "
                f"{type(module).__name__} with all of them protected ({', '.join(protect)})"
            )
        self.masks = Masks(module)
        self.masks.install(list(self.specs.values()), granularity, block)
        self.start = {name: kept(rival) for name, rival in self.rivals.items()}
        self.generator = torch.Generator().manual_seed(seed)
        self.history: list[dict[str, Any]] = []
        self._own: dict[str, Snapshot] = {}
        self._signs: dict[str, Tensor] = {}
        self._settle()

    # what is kept

    @property
    def kept(self) -> int:
        """Entries alive."""
        return sum(int(self.masks[name].sum()) for name in self.specs)

    @property
    def rivals(self) -> dict[str, Rival]:
        """What competes: masks by weight, families of paths by name."""
        masks = {name: self.masks.module_of(name) for name in self.specs}
        return rivals(masks, self.specs)

    @property
    def paths(self) -> dict[str, int]:
        """Paths alive in each family."""
        found = self.rivals.items()
        return {name: int(r.bits.sum()) for name, r in found if isinstance(r, FamilyMask)}

    def _settle(self) -> None:
        """Note that the masks have just been changed, on purpose."""
        self.hash = self.sha()
        competing = self.rivals.values()
        self.sparsity = 1 - sum(map(kept, competing)) / sum(map(size, competing))

    def sha(self) -> str:
        """Hash of the masks this search owns."""
        return mask_sha({name: self.masks[name] for name in self.specs})

    def bits(self) -> dict[str, Tensor]:
        """Copy the masks."""
        return {name: self.masks[name].clone() for name in self.specs}

    def wear(self, bits: Mapping[str, Tensor], clear: bool = False) -> None:
        """Write masks; unlike ``prune`` this can bring entries back."""
        for name, value in bits.items():
            self.masks.set(name, value)
        if clear:
            clear_pruned(self.module, self.specs)
        self._settle()

    # steps of a schedule

    def prune(
        self,
        sparsity: float,
        *,
        iterations: int = 1,
        criterion: str | None = None,
        clear: bool = True,
    ) -> None:
        """Prune to ``sparsity`` of what was alive at the start, exactly.

        Args:
            sparsity: Share pruned afterwards.
            iterations: Reach it by this many equal factors, with fresh scores before each.
            criterion: Another criterion than the search's.
            clear: Zero the values of pruned entries.
        """
        before = sum(map(kept, self.rivals.values())) / sum(self.start.values())
        for step in range(1, iterations + 1):
            density = 1 - sparsity
            if step < iterations:
                density = before * (density / before) ** (step / iterations)
            self._prune(density, self.start, criterion or self.criterion, clear)
        self._settle()

    def prune_alive(self, rate: float) -> None:
        """Prune ``rate`` of what is alive: of all together, or of each weight by its own."""
        alive = {name: kept(rival) for name, rival in self.rivals.items()}
        self._prune(1 - rate, alive, self.criterion, clear=True)
        self._settle()

    def _prune(self, density: float, base: Mapping[str, int], criterion: str, clear: bool) -> None:
        prune(
            self.module,
            self.specs,
            density,
            base=base,
            criterion=criterion,
            scope=self.scope,
            min_keep=self.min_keep,
            loss=self.loss,
            example=self.example,
            generator=self.generator,
            clear=clear,
        )

    def rescale(self, target: float | Mapping[str, float]) -> None:
        """Bring the variance of pruned layers back; see ``pruning.rescale``."""
        rescale(self.module, self.specs, target)

    def gains(self) -> dict[str, float]:
        """Return what ``rescale`` takes as target."""
        return gains(self.module, self.specs)

    # parts of the data, for COLT

    def open_parts(self) -> None:
        """Begin a round whose parts all start from the present masks."""
        self._parts: list[dict[str, Tensor]] = []
        self._before = self.bits()

    def close_part(self) -> None:
        """Put the masks of the part just pruned aside, and take up those it began with."""
        self._parts.append(self.bits())
        self.wear(self._before)

    @torch.no_grad()
    def intersect(self) -> None:
        """Keep what every part has kept, and begin the next round.

        Where fewer than ``min_keep`` groups agree, those with the most votes stay.
        """
        for name, mask in self.rivals.items():
            votes = torch.stack([_survivors(name, mask, p) for p in self._parts]).sum(0)
            spec = self.specs.get(name)
            alive, part = mask.bits, parts_of(mask, spec)
            both = alive & (votes == len(self._parts))
            for number in range(1 if spec is None else spec.parts):
                members = ((part == number) & alive).nonzero()[:, 0]
                if int(both[members].sum()) < self.min_keep:
                    best = votes[members].argsort(descending=True, stable=True)[: self.min_keep]
                    both[members[best]] = True
            mask.set_bits(both)
        agree({name: self.masks.module_of(name) for name in self.specs})
        clear_pruned(self.module, self.specs)
        self._settle()
        self.open_parts()

    # snapshots

    @property
    def _snapshots(self) -> dict[str, Snapshot]:
        # Looked up each time: loading a checkpoint gives the module another dictionary.
        return getattr(self.module, "_snapshots", self._own)

    def save(self, name: str) -> None:
        """Clone the weights under ``name``; a module with snapshots of its own keeps them."""
        self.put(name, take(self.module))

    def put(self, name: str, snapshot: Snapshot) -> None:
        """Keep a snapshot under ``name``."""
        self._snapshots[name] = snapshot

    def has(self, name: str) -> bool:
        """Whether a snapshot of that name was taken."""
        return name in self._snapshots

    def saved(self, name: str) -> Snapshot:
        """Return a snapshot.

        Raises:
            ValueError: If it was never taken.
        """
        if name not in self._snapshots:
            raise ValueError(f"snapshot {name!r} must be taken before it is rewound to, got none")
        return self._snapshots[name]

    def rewind(self, name: str = "init", keep: Sequence[str] = ()) -> None:
        """Write a snapshot back and check that every kept entry has its very bits.

        Args:
            name: Which snapshot.
            keep: ``("bn",)`` leaves normalisation statistics as they are.

        Raises:
            RuntimeError: If a kept weight differs from the snapshot.
        """
        snapshot = self.saved(name)
        restore(self.module, snapshot, keep=keep)
        clear_pruned(self.module, self.specs)
        check_rewound(self.module, snapshot)

    # bookkeeping

    def finish(self, **facts: Any) -> dict[str, Any]:
        """Check the masks after a round of training, and write the round into the history.

        Returns:
            The entry: round, sparsity, kept, mask hash, sign flips of the kept entries against
            the weights of the round before and against ``init``, paths alive in each family if
            there are any, and ``facts``.

        Raises:
            RuntimeError: If training changed a mask or a pruned entry is not zero.
        """
        if self.sha() != self.hash:
            raise RuntimeError("fit must leave the masks alone, but they changed while it trained")
        check_zeros(self.module, self.specs)
        entry = {
            "round": len(self.history),
            "sparsity": self.sparsity,
            "kept": self.kept,
            "mask": self.hash[:12],
            **self.sign_flips(),
            **({"paths": self.paths} if self.paths else {}),
            **facts,
        }
        self.history.append(entry)
        return entry

    @torch.no_grad()
    def sign_flips(self) -> dict[str, float]:
        """Share of kept entries whose sign changed since the last call and since ``init``."""
        now = {
            name: original(self.module, name).detach().sign().to(torch.int8) for name in self.specs
        }
        out = {}
        first = self._snapshots.get("init")
        for label, then in (
            ("sign_flips_init", {} if first is None else first.state),
            ("sign_flips_round", self._signs),
        ):
            if all(name in then for name in now):
                flipped = sum(
                    int((sign != then[name].to(sign.device).sign())[self.masks[name]].sum())
                    for name, sign in now.items()
                )
                out[label] = flipped / max(self.kept, 1)
        self._signs = now
        return out

    def state_dict(self) -> dict[str, Any]:
        """Return plain data from which ``load_state_dict`` continues bit for bit."""
        return {
            "history": [dict(entry) for entry in self.history],
            "start": dict(self.start),
            "masks": self.bits(),
            "signs": dict(self._signs),
            "generator": self.generator.get_state(),
            "snapshots": {k: dict(v.state) for k, v in self._own.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state_dict`` returned; the weights are the module's own business."""
        self.history = [dict(entry) for entry in state["history"]]
        self.start = dict(state["start"])
        self.wear(state["masks"])
        self._signs = {k: v.clone() for k, v in state["signs"].items()}
        self.generator.set_state(state["generator"].cpu())
        for name, saved in state["snapshots"].items():
            self._own[name] = Snapshot({k: v.clone() for k, v in saved.items()})


def check_rewound(module: nn.Module, snapshot: Snapshot) -> None:
    """Raise RuntimeError unless every kept entry of every masked weight equals the snapshot."""
    for name, mask in Masks(module).items():
        now = original(module, name).detach()
        then = snapshot.state[name].to(now.device)
        if not torch.equal(now[mask], then[mask]):
            raise RuntimeError(f"rewinding must restore {name} bit for bit, but it differs")


def check_zeros(module: nn.Module, names: Mapping[str, ParamSpec]) -> None:
    """Raise RuntimeError unless pruned entries are zero in the weights the forward uses."""
    view = Masks(module)
    for name in names:
        if bool(effective(module, name).detach()[~view[name]].any()):
            raise RuntimeError(f"pruned entries of {name} must be zero in the forward pass")


def _survivors(name: str, rival: Rival, bits: Mapping[str, Tensor]) -> Tensor:
    """Which groups of a competitor are alive in masks put aside."""
    if isinstance(rival, FamilyMask):
        return rival.family.alive(bits)
    return rival.pool(bits[name].float()) > 0


def _has_groups(spec: ParamSpec, granularity: str) -> bool:
    if granularity == "path" and spec.families:
        return True
    if spec.protected is not None:
        return False
    if granularity == "path":
        return bool(spec.paths)
    if granularity == "neuron":
        return spec.kind != "tp_path"
    return granularity != "block" or len(spec.shape) >= 2
