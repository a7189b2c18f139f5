"""How many parameters a module has, how many are active, and what they cost."""

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from overparam.masks import Masks, effective
from overparam.prunable import prunable


@dataclass(frozen=True)
class ParamRow:
    """One parameter of a report.

    Attributes:
        name: Plain name.
        kind: Kind as in ``ParamSpec``.
        shape: Shape of the tensor.
        total: Number of scalars.
        active: Scalars not masked.
        protected: Why it is not pruned by default, or None.
        units: Output units of a matrix, 0 otherwise.
        dead_units: Output units whose incoming weights are all zero.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    total: int
    active: int
    protected: str | None
    units: int = 0
    dead_units: int = 0

    @property
    def sparsity(self) -> float:
        """Share of masked scalars."""
        return 1 - self.active / self.total


@dataclass(frozen=True)
class ParamReport:
    """Sizes of a module; ``print`` it for a table.

    Attributes:
        rows: One per parameter, in registration order, tied weights once.
        dense: All scalars.
        active: Scalars not masked.
        scalars_fitted: Scalars in the targets, if known.
        macs: Multiply-accumulates of one forward on the example, unmasked; None if unknown.
        active_macs: The same with masked weights left out.
        bytes: Bytes of all parameters as stored.
        active_bytes: Bytes of active values plus one bit per maskable weight.
    """

    rows: tuple[ParamRow, ...]
    dense: int
    active: int
    scalars_fitted: int | None = None
    macs: int | None = None
    active_macs: int | None = None
    bytes: int = 0
    active_bytes: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def ratio(self) -> float | None:
        """Active parameters per scalar fitted; above 1 is over-parameterised."""
        return self.active / self.scalars_fitted if self.scalars_fitted else None

    @property
    def sparsity(self) -> float:
        """Share of masked scalars over all parameters."""
        return 1 - self.active / self.dense if self.dense else 0.0

    @property
    def prunable_sparsity(self) -> float:
        """Share of masked scalars over the parameters not protected."""
        rows = [row for row in self.rows if row.protected is None]
        total = sum(row.total for row in rows)
        return 1 - sum(row.active for row in rows) / total if total else 0.0

    @property
    def dead_units(self) -> int:
        """Output units with no incoming weight, over all matrices."""
        return sum(row.dead_units for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``report.json``."""
        out = asdict(self)
        out["rows"] = [asdict(row) | {"sparsity": row.sparsity} for row in self.rows]
        for name in ("ratio", "sparsity", "prunable_sparsity", "dead_units"):
            out[name] = getattr(self, name)
        return out

    def __str__(self) -> str:
        width = max([len(row.name) for row in self.rows] + [9])
        lines = [f"{'parameter':<{width}}  kind       total     active  sparsity  dead units"]
        for row in self.rows:
            dead = f"{row.dead_units}/{row.units}" if row.units else "-"
            lines.append(
                f"{row.name:<{width}}  {row.kind:<9}{row.total:>8}  {row.active:>9}"
                f"  {row.sparsity:>7.1%}  {dead:>10}"
            )
        lines.append(
            f"dense {self.dense:,}  active {self.active:,}  sparsity {self.sparsity:.1%}"
            f" (prunable {self.prunable_sparsity:.1%})  dead units {self.dead_units}"
        )
        if self.scalars_fitted:
            lines.append(
                f"scalars fitted {self.scalars_fitted:,}  active parameters per scalar"
                f" {self.active / self.scalars_fitted:.3g}"
            )
        if self.macs is not None:
            lines.append(f"multiply-accumulates {self.macs:,}  active {self.active_macs:,}")
        lines.append(f"bytes {self.bytes:,}  active with bitmask {self.active_bytes:,}")
        return "\n".join([*lines, *self.notes])


def report(
    module: nn.Module, scalars: int | None = None, example: tuple[Tensor, ...] | None = None
) -> ParamReport:
    """Measure the sizes of ``module``.

    Args:
        module: Any module, masked or not.
        scalars: Number of scalars in the targets it is fitted to.
        example: Inputs of one forward, for counting operations.
    """
    from overparam.subnetwork import supermasks

    # A supermask counts as it would be frozen now.
    masks = {**Masks(module), **{name: s.hard() for name, s in supermasks(module).items()}}
    specs = prunable(module)
    rows, stored, kept = [], 0, 0.0
    listed: set[str] = set()
    for name, spec in specs.items():
        mask = masks.get(name)
        active = spec.numel if mask is None else int(mask.sum())
        weight = effective(module, name).detach()
        units = dead = 0
        if spec.kind not in ("vector", "tp_path"):
            units = spec.shape[spec.unit_axis]
            alive = weight.movedim(spec.unit_axis, 0).reshape(units, -1).ne(0).any(1)
            dead = units - int(alive.sum())
        rows.append(
            ParamRow(name, spec.kind, spec.shape, spec.numel, active, spec.protected, units, dead)
        )
        listed.update(spec.owners)
        stored += weight.numel() * weight.element_size()
        kept += active * weight.element_size() + (0 if mask is None else mask.numel() / 8)
    for name, parameter in _others(module, listed).items():
        size = parameter.numel() * parameter.element_size()
        shape = tuple(parameter.shape)
        rows.append(ParamRow(name, "other", shape, parameter.numel(), parameter.numel(), "other"))
        stored, kept = stored + size, kept + size
    macs = active_macs = None
    notes: tuple[str, ...] = ()
    if example is not None:
        from overparam.budget import cost

        counted = cost(module, example, sliced=False)
        macs, active_macs = counted.macs, counted.active_macs
    return ParamReport(
        rows=tuple(rows),
        dense=sum(row.total for row in rows),
        active=sum(row.active for row in rows),
        scalars_fitted=scalars,
        macs=macs,
        active_macs=active_macs,
        bytes=stored,
        active_bytes=round(kept),
        notes=notes,
    )


def _others(module: nn.Module, listed: set[str]) -> dict[str, Tensor]:
    """Parameters that are not maskable (attention vectors, mask scores), each once."""
    from overparam.plain import plain_keys

    out: dict[str, Tensor] = {}
    for name, parameter in module.named_parameters():
        plain = next(iter(plain_keys({name: parameter})), name)
        if plain not in listed and parameter.numel():
            out[plain] = parameter
    return out
