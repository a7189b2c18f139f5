"""Damaged files are refused in one line that names them, or read; nothing else happens."""

import gzip
import random
import time
from pathlib import Path

import pytest

from docking.ligand import Ligand
from docking.molecule import Receptor
from overparam.errors import InputError

from .demo import ligand_path, mmcif_text, mol2_text, pdb_text

FORMATS = ("pdb", "cif", "sdf", "mol2")
PER_FORMAT = 500
SLICE = 30
LIMIT = 10.0  # seconds
ODD = [
    "nan",
    "inf",
    "-inf",
    "1e999",
    "99999",
    "-1",
    "0",
    "*",
    "???",
    "Xx",
    "R#",
    "$$$$",
    "M  END",
    "\t",
    "é",
]


def original(kind: str, source: random.Random) -> str:
    if kind in ("pdb", "cif"):
        text = pdb_text("1stp") if kind == "pdb" else mmcif_text("1stp")
        lines = text.splitlines(keepends=True)
        rows = [i for i, line in enumerate(lines) if line.startswith("ATOM")]
        # A stretch of 25 residues is enough to go wrong in.
        return "".join(lines[: rows[200]] + lines[rows[-1] + 1 :])
    keys = source.sample(["1bju", "1p5e", "1stp", "3og7", "4alw"], 2)
    if kind == "mol2":
        return "".join(mol2_text(key, key) for key in keys)
    return "".join(ligand_path(key).read_text() for key in keys)


def damage(text: str, source: random.Random) -> bytes:
    """One to four random injuries."""
    for _ in range(source.randint(1, 4)):
        lines = text.splitlines(keepends=True) or [""]
        i, j = source.randrange(len(lines)), source.randrange(len(lines))
        kind = source.randrange(12)
        if kind == 0:
            text = text[: source.randrange(len(text) + 1)]
            continue
        if kind == 1:
            del lines[min(i, j) : max(i, j)]
        elif kind == 2:
            del lines[i]
        elif kind == 3:
            lines.insert(i, lines[j])
        elif kind == 4:
            lines[i], lines[j] = lines[j], lines[i]
        elif kind == 5:
            cut = source.randrange(len(lines[i]) + 1)
            lines[i] = lines[i][:cut] + source.choice(ODD) + lines[i][cut:]
        elif kind == 6:
            words = lines[i].split(" ")
            words[source.randrange(len(words))] = source.choice(ODD)
            lines[i] = " ".join(words)
        elif kind == 7:
            cut = source.randrange(len(lines[i]) + 1)
            lines[i] = lines[i][:cut] + chr(source.randrange(256)) + lines[i][cut + 1 :]
        elif kind == 8:
            lines[i] = "".join(chr(source.randrange(32, 127)) for _ in range(80)) + "\n"
        elif kind == 9:
            digits = [k for k, c in enumerate(lines[i]) if c.isdigit()]
            if digits:
                k = source.choice(digits)
                lines[i] = lines[i][:k] + source.choice("0123456789-. ") + lines[i][k + 1 :]
        elif kind == 10:
            lines[i] = lines[i].replace("\n", "")
        else:
            lines = lines * source.choice([0, 2])
        text = "".join(lines)
    data = bytearray(text.encode("utf-8", "replace"))
    for _ in range(source.choice([0, 0, 0, 3])):
        if data:
            data[source.randrange(len(data))] = source.randrange(256)
    return bytes(data)


def use(path: Path, kind: str) -> None:
    """Read as a user would, and ask for everything that is computed on demand."""
    if kind in ("pdb", "cif"):
        receptor = Receptor.from_file(path)
        assert len(receptor.vina_type) == len(receptor) > 0
        return
    ligand = Ligand.from_file(path)
    assert len(ligand.tree.fragments) == len(ligand) == len(ligand.vina_type)
    list(Ligand.iter_file(path, failures=[]))


def trial(folder: Path, kind: str, seed: int) -> bool:
    """Whether the file was read; fails on anything but reading or a proper refusal."""
    source = random.Random(f"{kind}{seed}")
    data = damage(original(kind, source), source)
    packed = source.random() < 0.1
    path = folder / f"f{seed}.{kind}{'.gz' if packed else ''}"
    if packed:
        data = gzip.compress(data)
        data = data[: source.randrange(len(data))] if source.random() < 0.5 else data
    path.write_bytes(data)
    start = time.monotonic()
    try:
        use(path, kind)
        read = True
    except InputError as error:
        message, read = str(error), False
        assert message.startswith(str(path)) and "\n" not in message, message
        assert len(message) > len(str(path)) + 5 and message.isprintable(), message
    assert time.monotonic() - start < LIMIT
    path.unlink()
    return read


@pytest.mark.parametrize("kind", FORMATS)
def test_a_slice_of_damaged_files(tmp_path, kind):
    read = [trial(tmp_path, kind, seed) for seed in range(SLICE)]
    assert any(read) and not all(read)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_two_thousand_damaged_files(tmp_path, kind):
    read = sum(trial(tmp_path, kind, seed) for seed in range(SLICE, SLICE + PER_FORMAT))
    print(f"{kind}: {read} of {PER_FORMAT} damaged files could still be read")
    assert 0 < read < PER_FORMAT


@pytest.mark.parametrize("kind", FORMATS)
def test_every_truncation_point(tmp_path, kind):
    """Cut anywhere, a file is read or refused."""
    source = random.Random(kind)
    text = original(kind, source)
    path = tmp_path / f"cut.{kind}"
    for cut in sorted(source.sample(range(len(text)), 25)):
        path.write_text(text[:cut])
        try:
            use(path, kind)
        except InputError as error:
            assert str(error).startswith(str(path))
