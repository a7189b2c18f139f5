"""Fewer words from the libraries, and a record of the warnings that remain."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Lightning says these about every healthy run of ours
_QUIET = (
    r".*does not have many workers.*",
    r".*smaller than the logging interval.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*`tensorboardX` has been removed.*",
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*GPU available but not used.*",
    r".*`LightningCLI`'s args parameter.*",
    r".*callbacks used to create the checkpoint need to be provided.*",
    r".*in eval mode at the start of training.*",
)

_CHATTY = (
    "pytorch_lightning",
    "pytorch_lightning.utilities.rank_zero",
    "pytorch_lightning.accelerators.cuda",
    "lightning_fabric",
    "lightning_fabric.utilities.seed",
    "lightning_fabric.utilities.rank_zero",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advertisements and its remarks on healthy runs off the screen."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in _QUIET:
            warnings.filterwarnings("ignore", message=pattern)
        try:
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
            sys.stdout.flush()


@contextmanager
def collected_warnings(seen: list[str], say: Any = None) -> Iterator[list[str]]:
    """Collect warnings into ``seen``, each once and on one line, instead of printing them.

    Args:
        seen: List to fill.
        say: Called with each new line.
    """

    def show(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        line = " ".join(str(message).split())
        if line not in seen:
            seen.append(line)
            if say is not None:
                say(line)

    before = warnings.showwarning
    warnings.showwarning = show
    try:
        yield seen
    finally:
        warnings.showwarning = before
