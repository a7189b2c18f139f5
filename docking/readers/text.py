"""Text of a molecular file, compressed or not, in whatever encoding its author had."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from overparam.errors import InputError

_GZIP = b"\x1f\x8b"


def file_format(path: str | Path, known: tuple[str, ...]) -> str:
    """The format a file's name tells, lower case, without ``.gz``.

    Raises:
        InputError: If it is none of ``known``.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    found = suffixes[-1][1:] if suffixes else ""
    if found not in known:
        choices = ", ".join(f".{name}" for name in known)
        raise InputError(f"{path}: unknown file type; one of {choices} is read, each also as .gz")
    return found


def decode(data: bytes) -> str:
    """UTF-8 if it is, else Latin-1, which reads any bytes; a byte-order mark is dropped."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\0", "?")


def printable(text: str, limit: int = 60) -> str:
    """A short quotation of file content that is safe inside a one-line message."""
    shown = "".join(c if c.isprintable() else "?" for c in text.strip())
    return repr(shown if len(shown) <= limit else shown[:limit] + "...")


@contextmanager
def _opened(path: str | Path) -> Iterator[IO[bytes]]:
    try:
        with Path(path).open("rb") as plain:
            if plain.peek(2)[:2] == _GZIP:
                with gzip.open(plain) as unpacked:
                    yield unpacked  # type: ignore[misc]
            else:
                yield plain
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged or truncated gzip file ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_text(path: str | Path) -> str:
    """The whole file as text.

    Raises:
        InputError: If it is missing, unreadable, empty or a broken archive.
    """
    with _opened(path) as file:
        text = decode(file.read())
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    return text


def read_lines(path: str | Path) -> Iterator[str]:
    """Lines of the file without their ends, one at a time, so that large libraries stream.

    A file cut inside a gzip stream gives the lines before the cut and then raises ``InputError``.
    """
    with _opened(path) as file:
        for line in file:
            yield decode(line).rstrip("\r\n")


def number(field: str) -> float | None:
    """The finite number a fixed-width field holds, or None."""
    try:
        value = float(field)
    except ValueError:
        return None
    # Python reads "1_0" and "nan"; a coordinate beyond 1e6 A is a damaged column.
    return value if abs(value) < 1e6 and "_" not in field else None
