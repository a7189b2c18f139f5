"""What a command shows while it runs: a bar and warnings, on standard error."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from overparam.cli import complain

_SHOWN = 8  # warnings told on the screen; reports have all


def tell(warnings: Iterable[str]) -> None:
    """Say warnings on standard error, each once, the first few."""
    lines = list(dict.fromkeys(warnings))
    for line in lines[:_SHOWN]:
        complain(line, "warning")
    if len(lines) > _SHOWN:
        complain(f"{len(lines) - _SHOWN} more; report.json has them", "warning")


@contextmanager
def progress(what: str, total: Callable[[], int | None] | None = None) -> Iterator[Any]:
    """A bar on standard error; yields a function that moves it, given words to show.

    Silent where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield lambda words="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
        console=Console(stderr=True),
        refresh_per_second=4,
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=total() if total else None, words="")
        yield lambda words="": bar.update(task, advance=1, words=words)
