"""What will not fit into memory is refused before it is begun."""

import os
from collections.abc import Sequence
from pathlib import Path

from overparam.errors import InputError

SHARE = 0.8  # of the free memory that one job may take


def free_memory() -> int | None:
    """Return the bytes of memory this machine has left, or None where it does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def foresee_memory(size: Sequence[int], needed: int, free: int | None, axes: int) -> None:
    """Refuse to render what will not fit into ``free`` bytes.

    Args:
        size: Samples along each axis of what is rendered.
        needed: Bytes it takes.
        free: Bytes there are; None where that is unknown.
        axes: Number of axes that ``--resolution`` stretches: how the need grows with it.

    Raises:
        InputError: If it will not; the message names a resolution that does.
    """
    if free is None or needed <= SHARE * free:
        return
    fits = int(max(size) * (SHARE * free / needed) ** (1 / axes))
    raise InputError(
        f"rendering {'x'.join(map(str, size))} needs {needed / 1e9:.1f} GB and "
        f"{free / 1e9:.1f} GB are free: use --resolution {max(fits, 1)} or less, or a --region"
    )
