"""The complexes a run takes: found, chosen, for cross-docking each with its partner's receptor."""

import shutil
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docking.benchmark.dataset import Complex, Dataset, read_ids
from docking.benchmark.folder import CROSSINGS, DATA, SUPERPOSED, BenchmarkFolder
from overparam.errors import InputError

if TYPE_CHECKING:
    from docking.benchmark.crossing import Crossings


@dataclass
class Selection:
    """What is docked.

    Attributes:
        complexes: The complexes, by id.
        warnings: What was assumed or left out.
        crossings: Pairs of the whole split if the protocol is ``cross``.
    """

    complexes: list[Complex]
    warnings: list[str]
    crossings: "Crossings | None" = None

    @classmethod
    def open(
        cls, given: Namespace, folder: BenchmarkFolder, config: Mapping[str, Any]
    ) -> "Selection":
        """Open the data and make the run folder, in an order that spoils nothing on bad input.

        Raises:
            InputError: If there is no such data, choice or pair.
        """
        ids = read_ids(given.ids) if given.ids else None
        choice: dict[str, Any] = {
            "first": given.first, "count": given.count, "ids": ids, "seed": given.seed,
        }  # fmt: skip
        cache = folder.path / DATA
        if folder.state == "new":
            # An archive is unpacked aside: a run to be replaced stays until all is known to be
            # well.
            folder.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.path.parent, prefix=".unpacked-") as aside:
                place = Path(aside) / DATA
                data = Dataset.open(given.data_root, given.split, place)
                crossings = _crossings(given, data)
                _chosen(data, choice, crossings)
                folder.create(config)
                if place.is_dir():
                    shutil.move(place, cache)
        else:
            data = Dataset.open(given.data_root, given.split, cache)
            crossings = _crossings(given, data, folder.path / CROSSINGS)
            _chosen(data, choice, crossings)
            folder.create(config)
        data = Dataset.open(given.data_root, given.split, cache)
        chosen = _chosen(data, choice, crossings)
        if crossings is None:
            return cls(chosen.complexes, chosen.warnings)
        crossings.write(folder.path / CROSSINGS)
        known = {one.id: one for one in data.complexes}
        place = folder.path / SUPERPOSED
        placed = []
        for one in chosen.complexes:
            item = crossings.items[one.id]
            print(f"{one.id} into {item.partner}: CA RMSD {item.ca_rmsd:.2f} A", flush=True)
            placed.append(crossings.placed(one, known[item.partner], place))
        told = [f"cross-docking: {crossings.told()}"]
        told += [f"left out: {crossings.named()}"] if crossings.left_out else []
        return cls(placed, [*chosen.warnings, *told], crossings)


def _crossings(given: Namespace, data: Dataset, file: Path | None = None) -> "Crossings | None":
    """The pairs of a split, as the run before found them if there is one."""
    if given.protocol != "cross":
        return None
    from docking.benchmark.crossing import Crossings

    if file is not None and file.is_file():
        return Crossings.read(file, data.complexes)
    print(f"pairing {len(data)} structures of {given.split} by protein", flush=True)
    return Crossings.find(data.complexes)


def _chosen(data: Dataset, choice: Mapping[str, Any], crossings: "Crossings | None") -> Dataset:
    """The part of the data to dock; ligands without a partner are no part of it."""
    if crossings is None:
        return data.select(**choice)
    there = {item.id for item in crossings.docked}
    if choice["ids"] is not None:
        data.select(**choice)
        wanted = [key for key in choice["ids"] if key in there]
        if not wanted:
            raise InputError(f"no ligand of the given ids has a partner; {crossings.told()}")
        choice = {**choice, "ids": wanted}
    part = [one for one in data.complexes if one.id in there]
    return Dataset(part, data.warnings).select(**choice)
