"""Laws for downstream tests: what masks, modules and functions promise, as assertions.

A package built on this one tests its modules by subclassing ``ModuleContract`` and its functions
by calling the ``assert_*`` laws. Nothing here is needed at run time, and pytest only by the
contract class.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "contract": ("ModuleContract",),
    "functions": ("assert_equivariant", "assert_jacobian"),
    "laws": (
        "assert_acts_like_plain",
        "assert_averages",
        "assert_decays",
        "assert_deepcopies",
        "assert_ignores_pruned",
        "assert_interchanges",
        "assert_masked_zeros",
        "assert_resumes",
        "assert_same_state",
    ),
    "ranks": ("assert_ranks_agree", "join", "report_rank", "spawn"),
    "transforms": (
        "assert_compiles",
        "assert_differentiates_twice",
        "assert_exports",
        "assert_hypernetwork",
        "assert_parameter_jacobian",
        "assert_scripts",
        "assert_stacks",
    ),
}
_WHERE = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
