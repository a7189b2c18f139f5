"""Compiled functions of the search: one set of flags, kept on disk between processes.

Sums may be reordered (results differ in the last digits between kinds of processor), and the
interpreter's lock is released, so that threads run side by side.
"""

import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import IndexDataCacheFile

# A test for division by zero inside a loop would keep it from being vectorised.
_FLAGS: dict[str, Any] = {"nogil": True, "fastmath": True, "error_model": "numpy"}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function at its first call; later processes load it from disk."""
    # A checker of annotations may have wrapped it; the compiler needs the function itself.
    plain = inspect.unwrap(function)
    found: Callable[..., Any]
    try:
        found = njit(cache=True, **_FLAGS)(plain)
    except RuntimeError:  # no folder to keep it in, neither beside the file nor in the home
        return njit(**_FLAGS)(plain)
    kept = found._cache  # type: ignore[attr-defined]
    # The compiler looks at the function's own file alone, and would go on using what was inlined
    # from another one before it changed.
    kept._cache_file = IndexDataCacheFile(
        kept._cache_path,
        f"{kept._impl.filename_base}.{_digest(Path(inspect.getfile(plain)).parent)}",
        kept._impl.locator.get_source_stamp(),
    )
    return found


@cache
def _digest(folder: Path) -> str:
    """Digits that differ whenever a source file of a folder does."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
