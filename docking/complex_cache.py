"""Complexes as training reads them, kept on disk: parsed, typed and cropped to the pocket once."""

import hashlib
import io
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import gemmi
import numpy as np
import rdkit
from rdkit import Chem

from docking.benchmark.dataset import Complex
from docking.complex_reader import POCKET, Pair, ligand_files, read_pair
from docking.ligand import Ligand
from docking.molecule import Receptor, Residue
from overparam.errors import InputError

VERSION = 1
"""Part of every key. Raise it when readers, typing or crop change what they make of a file."""
_BINARY = int(Chem.PropertyPickleOptions.AllProps | Chem.PropertyPickleOptions.CoordsAsDouble)


@dataclass(frozen=True)
class Entry:
    """A complex and its place in the cache.

    Attributes:
        complex: Where its files are.
        source: SHA-256 of what is in them.
        key: Name of the file in the cache.
        reason: Why it cannot be used; empty if it can.
    """

    complex: Complex
    source: str
    key: str
    reason: str = ""


class ComplexCache:
    """A folder of complexes, one file each.

    The name of a file is a hash of the bytes it was read from, of the versions of the readers and
    of the crop, so nothing in it grows stale. Files appear whole or not at all: a build that was
    killed goes on where it stopped, and several processes may build at once. What cannot be read
    is kept as the sentence that says why.

    Args:
        folder: Where; made if it is not there.
        pocket: Angstrom from the ligand within which residues are kept; see ``crop``.

    Raises:
        ValueError: If ``pocket`` is not positive and finite.
        InputError: If the folder cannot be made.
    """

    def __init__(self, folder: str | Path, *, pocket: float | int = POCKET) -> None:
        if not 0 < pocket < np.inf:
            raise ValueError(f"pocket must be a positive number of angstrom, got {pocket}")
        self.folder, self.pocket = Path(folder), float(pocket)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cache {folder} cannot be made ({error.strerror})") from None

    def prepare(self, one: Complex) -> Entry:
        """Make sure that a complex is in the cache, or say in ``reason`` why it cannot be.

        Raises:
            InputError: If the cache cannot be written.
        """
        try:
            entry = self._identify(one)
        except OSError as error:
            return Entry(one, "", "", f"{error.filename}: cannot be read ({error.strerror})")
        if self._file(entry.key).is_file():
            return entry
        refusal = self._refusal(entry.key)
        if refusal.is_file() and (reason := refusal.read_text("utf-8", errors="replace")):
            return replace(entry, reason=reason)
        try:
            pair = read_pair(one, self.pocket)
        except InputError as error:
            # without the folder, for others may share the cache
            reason = " ".join(str(error).split()).replace(f"{one.receptor.parent}{os.sep}", "")
            self._write(refusal, reason.encode())
            return replace(entry, reason=reason)
        except Exception as error:  # one broken file among thousands must not stop the others
            return replace(entry, reason=f"{type(error).__name__}: {' '.join(str(error).split())}")
        self._write(self._file(entry.key), pack(*pair))
        return entry

    def load(self, entry: Entry) -> Pair:
        """The complex, from the cache or, if its file is damaged or gone, from the source again.

        Raises:
            InputError: If the source is needed and has changed or cannot be read any more.
        """
        try:
            data = self._file(entry.key).read_bytes()
            return unpack(data, source=str(entry.complex.receptor))
        except Exception:  # damaged archives raise nearly anything
            try:
                same = self._identify(entry.complex).key == entry.key
            except OSError:
                same = False
            if not same:
                raise InputError(
                    f"{entry.complex.id}: its cache file is damaged and its source has changed"
                ) from None
        pair = read_pair(entry.complex, self.pocket)
        self._write(self._file(entry.key), pack(*pair))
        return pair

    def _identify(self, one: Complex) -> Entry:
        files = [one.receptor, *ligand_files(one)]
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        # A molecule without a title is named after its file.
        readers = [
            VERSION,
            gemmi.__version__,  # type: ignore[attr-defined]
            rdkit.__version__,
            self.pocket,
        ]
        told = json.dumps([readers, [file.name for file in files], digests])
        source = hashlib.sha256("".join(digests).encode()).hexdigest()
        return Entry(one, source, hashlib.sha256(told.encode()).hexdigest())

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"

    def _refusal(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.txt"

    def _write(self, file: Path, data: bytes) -> None:
        partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
        try:
            file.parent.mkdir(exist_ok=True)
            partial.write_bytes(data)
            partial.replace(file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise InputError(f"cache {file} cannot be written ({error.strerror})") from None


def pack(receptor: Receptor, ligand: Ligand, *, compress: bool = True) -> bytes:
    """A complex as an npz archive: arrays, RDKit's binary molecule, and JSON for the words.

    The archive has a checksum of everything in it; equal complexes give equal bytes.
    """
    words = {
        "receptor": [
            receptor.elements,
            receptor.names,
            [list(residue) for residue in receptor.residues],
            receptor.warnings,
        ],
        "ligand": [ligand.name, ligand.title, ligand.properties, ligand.warnings, ligand.record],
    }
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(
        buffer,
        words=np.frombuffer(json.dumps(words).encode(), dtype=np.uint8),
        positions=receptor.positions,
        residue_index=receptor.residue_index.astype(np.int32),
        receptor_type=receptor.vina_type.astype(np.int8),
        bonds=receptor.bonds.astype(np.int32),
        mol=np.frombuffer(ligand.mol.ToBinary(_BINARY), dtype=np.uint8),
        coords=np.asarray(ligand.coords),
        ligand_type=ligand.vina_type.astype(np.int8),
        input_atoms=ligand.input_atoms.astype(np.int32),
    )
    return buffer.getvalue()


def unpack(data: bytes, *, source: str) -> Pair:
    """What ``pack`` packed.

    Args:
        data: The archive.
        source: Path the receptor came from; not in the archive, which other places may share.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    words = json.loads(arrays["words"].tobytes())
    elements, names, residues, warnings = words["receptor"]
    # Constructors would perceive bonds and types again, which takes five times as long.
    receptor = object.__new__(Receptor)
    receptor.__dict__.update(
        positions=arrays["positions"],
        elements=elements,
        names=names,
        residue_index=arrays["residue_index"].astype(np.int64),
        residues=[Residue(*residue) for residue in residues],
        warnings=warnings,
        source=source,
        bonds=arrays["bonds"].astype(np.int64),
        vina_type=arrays["receptor_type"].astype(np.int64),
    )
    name, title, properties, warnings, record = words["ligand"]
    ligand = object.__new__(Ligand)
    ligand.__dict__.update(
        title=title,
        name=name,
        properties=properties,
        warnings=warnings,
        record=record,
        mol=Chem.Mol(arrays["mol"].tobytes()),
        input_atoms=arrays["input_atoms"].astype(np.int64),
        coords=arrays["coords"],
        vina_type=arrays["ligand_type"].astype(np.int64),
        _tree=None,
    )
    return receptor, ligand
