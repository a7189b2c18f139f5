"""One round of training by somebody else's function, counted step by step."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import optimizer as optimizers

from overparam.search import Search


@contextmanager
def watch_steps(module: nn.Module, call: Callable[[int], None]) -> Iterator[list[int]]:
    """Call ``call(step)`` after each optimizer step that may move ``module``'s parameters.

    Steps of an optimizer inside another one's step are part of that step. Yields a list whose
    one entry is the number of steps so far.
    """
    mine = {id(parameter) for parameter in module.parameters()}
    taken, depth = [0], [0]

    def holds(optimizer: torch.optim.Optimizer) -> bool:
        return any(id(p) in mine for group in optimizer.param_groups for p in group["params"])

    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        depth[0] += holds(optimizer)

    def after(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if holds(optimizer):
            depth[0] -= 1
            if depth[0] == 0:
                taken[0] += 1
                call(taken[0])

    handles = (
        optimizers.register_optimizer_step_pre_hook(before),
        optimizers.register_optimizer_step_post_hook(after),
    )
    try:
        yield taken
    finally:
        for handle in handles:
            handle.remove()


def train_round(
    search: Search,
    fit: Callable[..., Any],
    split: tuple[int, int] | None,
    on_step: Callable[[int], None],
) -> int:
    """Call ``fit`` once, watched, and record the round.

    Returns:
        The number of optimizer steps seen.
    """
    began = time.perf_counter()
    with watch_steps(search.module, on_step) as steps:
        result = fit(search.module) if split is None else fit(search.module, split=split)
    facts: dict[str, Any] = {"steps": steps[0], "seconds": time.perf_counter() - began}
    if split is not None:
        facts["split"] = list(split)
    search.finish(**facts, **_plain_result(result))
    return steps[0]


def _plain_result(result: Any) -> dict[str, float]:
    """Numbers a ``fit`` returned, for the history."""
    if isinstance(result, Mapping):
        pairs = {str(key): value for key, value in result.items()}
    else:
        pairs = {"result": result}
    kept = {}
    for key, value in pairs.items():
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, int | float) and not isinstance(value, bool):
            kept[key] = float(value)
    return {k: v for k, v in kept.items() if k not in ("round", "steps", "seconds", "split")}
