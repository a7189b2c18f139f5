"""What a forward pass costs: multiply-adds, parameters, bytes and time, dense and pruned.

Multiply-adds (MACs) are counted where a formula is known, layer by layer, and measured by
``torch.utils.flop_counter`` elsewhere (matrix products and convolutions inside other modules).
Biases, activations, norms and sums over neighbours are not counted.
"""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from overparam.compact import call, compact, dead_units, evaluating, shrink
from overparam.layer_macs import LayerMacs, count_macs
from overparam.masks import Masks, effective
from overparam.narrow import dense_narrow_sizes as dense_narrow_sizes
from overparam.narrow import dense_narrow_width as dense_narrow_width
from overparam.narrow import dense_size as dense_size
from overparam.prunable import layers, own_parameters


@dataclass(frozen=True)
class LayerCost:
    """One layer of a cost report.

    Attributes:
        name: Plain name of the layer.
        kind: Its class.
        macs: Multiply-adds of one forward on the example, masked weights included.
        active_macs: The same without masked weights.
        parameters: Scalars the layer owns.
        active: Scalars not masked.
    """

    name: str
    kind: str
    macs: int
    active_macs: int
    parameters: int
    active: int

    @property
    def density(self) -> float:
        """Share of the parameters not masked."""
        return self.active / self.parameters if self.parameters else 1.0


@dataclass(frozen=True)
class CostReport:
    """Cost of one forward pass; ``print`` it for a table.

    Attributes:
        layers: One row for each layer that owns parameters or multiplies.
        macs: Multiply-adds, masked weights included; None without an example.
        active_macs: Multiply-adds without masked weights: what a perfect sparse kernel would do.
        sliced_macs: Multiply-adds after ``compact``: what an ordinary kernel will do.
        parameters: All scalars.
        active: Scalars not masked.
        sliced_parameters: Scalars after ``compact``.
        bytes: All scalars as stored.
        active_bytes: Unmasked scalars as stored, and one bit for each maskable scalar.
        latency_us: Median time of a forward, microseconds; None if not asked for.
        sliced_latency_us: The same after ``compact``.
        dead_units: Hidden units that do nothing, by layer, where the structure is known.
        notes: What could not be counted.
    """

    layers: tuple[LayerCost, ...]
    macs: int | None
    active_macs: int | None
    parameters: int
    active: int
    bytes: int
    active_bytes: int
    sliced_macs: int | None = None
    sliced_parameters: int | None = None
    latency_us: float | None = None
    sliced_latency_us: float | None = None
    dead_units: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def sparsity(self) -> float:
        """Share of masked scalars over all parameters."""
        return 1 - self.active / self.parameters if self.parameters else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for a JSON report."""
        return asdict(self) | {"sparsity": self.sparsity}

    def __str__(self) -> str:
        head = ("layer", "kind", "MACs", "active", "parameters", "active", "density", "dead")
        rows = [
            (
                *(layer.name, layer.kind, f"{layer.macs:,}", f"{layer.active_macs:,}"),
                *(f"{layer.parameters:,}", f"{layer.active:,}", f"{layer.density:.1%}"),
                str(self.dead_units.get(layer.name, "-")),
            )
            for layer in self.layers
        ]
        sizes = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
        lines = [
            "  ".join(
                cell.ljust(size) if k < 2 else cell.rjust(size)
                for k, (cell, size) in enumerate(zip(row, sizes, strict=True))
            ).rstrip()
            for row in [head, *rows]
        ]
        lines.append(_line("MACs", self.macs, self.active_macs, self.sliced_macs))
        lines.append(_line("parameters", self.parameters, self.active, self.sliced_parameters))
        lines.append(f"bytes: dense {self.bytes:,}, active with bitmask {self.active_bytes:,}")
        if self.latency_us is not None:
            lines.append(_line("microseconds", self.latency_us, None, self.sliced_latency_us))
        return "\n".join([*lines, *self.notes])


def cost(
    module: nn.Module,
    example: Any = None,
    *,
    latency: int = 0,
    sliced: bool = True,
) -> CostReport:
    """Count what a forward pass of ``module`` costs.

    Args:
        module: Masked or plain module; it is not changed.
        example: Input as for ``compact``; without one only sizes are counted.
        latency: Number of timed forwards, at least 5; 0 times none. Times are wall time on
            whatever else the machine is doing; compare ratios.
        sliced: Whether to also count the module that ``compact`` would return.

    Raises:
        ValueError: If ``latency`` is between 1 and 4, or a time is asked for without an example.
    """
    if latency < 0 or 0 < latency < 5:
        raise ValueError(f"latency must be 0 or at least 5 forwards, got {latency}")
    if latency and example is None:
        raise ValueError("latency must come with an example, got none")
    notes: list[str] = []
    counted: dict[str, LayerMacs] = {}
    if example is not None:
        counted = count_macs(module, lambda: call(module, example), densities(module), notes)
    rows = _rows(module, counted)
    small = _smaller(module, example, notes) if sliced else None
    report = CostReport(
        layers=tuple(rows),
        macs=None if example is None else sum(row.macs for row in rows),
        active_macs=None if example is None else sum(row.active_macs for row in rows),
        parameters=sum(row.parameters for row in rows),
        active=sum(row.active for row in rows),
        **_bytes(module),
        latency_us=_latency(module, example, latency) if latency else None,
        dead_units=dead_units(module) if sliced else {},
        notes=tuple(notes),
    )
    if small is None:
        return report
    after = cost(small, example, latency=latency, sliced=False)
    extra = {
        "sliced_macs": after.macs,
        "sliced_parameters": after.parameters,
        "sliced_latency_us": after.latency_us,
    }
    return CostReport(**{**{f: getattr(report, f) for f in report.__dataclass_fields__}, **extra})


def _smaller(module: nn.Module, example: Any, notes: list[str]) -> nn.Module | None:
    try:
        return shrink(module) if example is None else compact(module, example)
    except RuntimeError as error:
        notes.append(f"not sliced: {error}".splitlines()[0])
        return None


def densities(module: nn.Module) -> dict[str, Tensor]:
    """Return, by plain name, which entries of each masked or otherwise pruned weight are active."""
    masks = Masks(module)
    active = {name: masks[name] for name in masks}
    for prefix, layer in layers(module):
        for attribute, _ in own_parameters(layer):
            name = f"{prefix}.{attribute}" if prefix else attribute
            if name not in active and _is_parametrized(layer, attribute):
                active[name] = effective(module, name).detach() != 0
    return active


def _is_parametrized(layer: nn.Module, attribute: str) -> bool:
    return attribute in getattr(layer, "parametrizations", {})


def _rows(module: nn.Module, counted: dict[str, LayerMacs]) -> list[LayerCost]:
    active = densities(module)
    rows: dict[str, LayerCost] = {}
    seen: set[int] = set()
    for prefix, layer in layers(module):
        total = kept = 0
        for attribute, parameter in own_parameters(layer):
            if id(parameter) in seen or nn.parameter.is_lazy(parameter):
                continue
            seen.add(id(parameter))
            name = f"{prefix}.{attribute}" if prefix else attribute
            total += parameter.numel()
            kept += int(active[name].sum()) if name in active else parameter.numel()
        macs = counted.get(prefix)
        if total or macs is not None:
            done = (0, 0) if macs is None else (macs.macs, round(macs.active))
            rows[prefix] = LayerCost(prefix or "(root)", _kind(layer), *done, total, kept)
    return list(rows.values())


def _kind(layer: nn.Module) -> str:
    # A parametrized layer has a class of its own, named after the class it had.
    return type(layer).__name__.removeprefix("Parametrized").lstrip("_")


def _bytes(module: nn.Module) -> dict[str, int]:
    active = densities(module)
    dense = kept = 0.0
    seen: set[int] = set()
    for prefix, layer in layers(module):
        for attribute, parameter in own_parameters(layer):
            if id(parameter) in seen or nn.parameter.is_lazy(parameter):
                continue
            seen.add(id(parameter))
            size, name = parameter.element_size(), f"{prefix}.{attribute}" if prefix else attribute
            dense += size * parameter.numel()
            if name in active:
                kept += size * int(active[name].sum()) + math.ceil(parameter.numel() / 8)
            else:
                kept += size * parameter.numel()
    return {"bytes": int(dense), "active_bytes": int(kept)}


def _latency(module: nn.Module, example: Any, repeats: int) -> float:
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    times = []
    with evaluating(module), torch.no_grad():
        for _ in range(2):
            call(module, example)
        for _ in range(repeats):
            wait()
            start = time.perf_counter()
            call(module, example)
            wait()
            times.append(1e6 * (time.perf_counter() - start))
    return statistics.median(times)


def _line(what: str, dense: Any, active: Any, sliced: Any) -> str:
    def show(value: Any) -> str:
        return f"{value:,.0f}"

    parts = [f"dense {show(dense)}"] if dense is not None else []
    parts += [f"active {show(active)}"] if active is not None else []
    if sliced is not None:
        ratio = f" ({dense / sliced:.2f}x less)" if sliced else ""
        parts.append(f"sliced {show(sliced)}{ratio}")
    return f"{what}: " + (", ".join(parts) or "not counted")
