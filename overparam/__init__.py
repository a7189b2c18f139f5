"""Over-parameterization base: masks, lottery tickets, physical shrink, budgets, populations.

Every public name is served on first use, so ``import overparam`` costs nothing and Lightning is
imported only by those who train.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

_HOME = {
    "OverparameterizedModule": "module",
    "load_module": "checkpoint",
    "ParamReport": "report",
    "ParamSpec": "prunable",
    "prunable": "prunable",
    "Mask": "mask",
    "WeightMask": "mask",
    "RowMask": "mask",
    "PathMask": "mask",
    "BlockMask": "mask",
    "make_mask": "mask",
    "Masks": "masks",
    "bake": "parametrization",
    "effective": "parametrization",
    "original": "parametrization",
    "set_parametrization": "parametrization",
    "plain_state": "plain",
    "load_plain": "plain",
    "Snapshot": "snapshot",
    "Ticket": "ticket",
    "find_ticket": "ticket",
    "TicketCallback": "ticket_callback",
    "score": "criteria",
    "LRR": "schedule",
    "IMP": "schedule",
    "COLT": "schedule",
    "OneShot": "schedule",
    "Gradual": "schedule",
    "RandomSearch": "schedule",
    "EdgePopup": "supermask",
    "GumbelMask": "supermask",
    "edge_popup": "subnetwork",
    "gumbel": "subnetwork",
    "compact": "compact",
    "CostReport": "budget",
    "cost": "budget",
    "Population": "population",
    "CosineDecay": "optim",
    "MuonAdam": "optim",
    "InputError": "errors",
}

__all__ = sorted(_HOME)


class _LazyPackage(ModuleType):
    """A package whose public names win over its files of the same name.

    Importing ``overparam/compact.py`` would otherwise put that file where users look for the
    function ``overparam.compact``.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])


sys.modules[__name__].__class__ = _LazyPackage
