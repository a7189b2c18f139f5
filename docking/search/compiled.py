"""Compiled functions of the search: one set of flags, kept on disk between processes.

Sums may be reordered (results differ in the last digits between kinds of processor), and the
interpreter's lock is released, so that threads run side by side.
"""

import inspect
from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function at its first call; later processes load it from disk."""
    # A checker of annotations may have wrapped it; the compiler needs the function itself.
    plain = inspect.unwrap(function)
    found: Callable[..., Any]
    try:
        found = njit(cache=True, nogil=True, fastmath=True)(plain)
    except RuntimeError:  # no folder to keep it in, neither beside the file nor in the home
        found = njit(nogil=True, fastmath=True)(plain)
    return found
