"""Cross-docking: each ligand goes into another structure of its protein, put where its own one is.

The other structure is the next one by id, after the last the first, that has the same protein at
its ligand; no result of a docking plays a part in the choice. It is superposed by the alpha carbons
near the ligand, and the crystal pose stays the truth. A pair that says little about docking is left
out by name: if the other structure lacks much of the pocket, or has it in another shape.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from docking.benchmark.chain import NEAR, PocketChain, Superposition
from docking.benchmark.dataset import SAME_LIGAND, Complex
from docking.benchmark.protocols import read_ligand
from docking.complex_reader import crop
from docking.molecule import Receptor
from overparam.errors import InputError
from overparam.run_folder import write_whole

LIMIT = 2.0
"""Angstrom: above this RMSD of alpha carbons near the ligand, the pocket has another shape."""
RESOLVED = 0.8
"""Share of the alpha carbons near the ligand that the other structure must have."""
FEWEST = 10
"""Alpha carbons that must be superposed: fewer leave a turn of the pocket open."""
_WHOLE = 1e6  # A: all of the receptor
_SINGLE = "no other structure of its protein"


@dataclass(frozen=True)
class Crossing:
    """What became of one ligand of the split.

    Attributes:
        id: Complex the ligand belongs to.
        partner: Complex whose receptor it goes into; empty if there is none.
        identity: Share of aligned residues that are the same in both.
        calphas: Alpha carbons superposed.
        ca_rmsd: Of these, angstrom.
        same_ligand: Whether the partner's own ligand is the same molecule.
        left_out: Why it is not docked; empty if it is.
    """

    id: str
    partner: str = ""
    identity: float = float("nan")
    calphas: int = 0
    ca_rmsd: float = float("nan")
    same_ligand: bool = False
    left_out: str = ""


class Crossings:
    """The ligands of a split and their partners.

    Args:
        items: One per complex of the split, by id.
    """

    def __init__(self, items: Sequence[Crossing]) -> None:
        self.items = {item.id: item for item in items}

    @classmethod
    def find(cls, complexes: Sequence[Complex]) -> "Crossings":
        """Pair all complexes of a split.

        Raises:
            InputError: If no ligand has a partner that can be superposed.
        """
        chains: list[PocketChain] = []
        items: list[Crossing] = []
        for one in complexes:
            try:
                chains.append(PocketChain.of(one))
            except (ValueError, RuntimeError) as error:
                items.append(Crossing(one.id, left_out=f"unreadable: {_line(error)}"))
        files = {one.id: one for one in complexes}
        items += [_cross(place, chains, files) for place in range(len(chains))]
        found = cls(sorted(items, key=lambda item: item.id))
        if not found.docked:
            raise InputError(": ".join(filter(None, [found.told(), found.named()])))
        return found

    @property
    def docked(self) -> list[Crossing]:
        """Those with a partner that could be superposed."""
        return [item for item in self.items.values() if not item.left_out]

    def write(self, file: Path) -> None:
        """Write all to a CSV file."""
        text = io.StringIO()
        table = csv.DictWriter(text, [f.name for f in fields(Crossing)], lineterminator="\n")
        table.writeheader()
        table.writerows(
            asdict(item) | {"same_ligand": int(item.same_ligand)} for item in self.items.values()
        )
        write_whole(file, text.getvalue())

    @classmethod
    def read(cls, file: Path, complexes: Sequence[Complex]) -> "Crossings":
        """Read what ``write`` wrote for these complexes.

        Raises:
            InputError: If the file is damaged or is about other complexes.
        """
        try:
            with file.open(newline="", encoding="utf-8") as lines:
                items = [
                    Crossing(
                        row["id"], row["partner"], float(row["identity"]), int(row["calphas"]),
                        float(row["ca_rmsd"]), row["same_ligand"] == "1", row["left_out"],
                    )
                    for row in csv.DictReader(lines)
                ]  # fmt: skip
        except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError):
            raise InputError(f"{file} is damaged; the run cannot go on") from None
        if {item.id for item in items} != {one.id for one in complexes}:
            raise InputError(f"{file} is about other complexes than the data hold")
        return cls(items)

    def placed(self, own: Complex, partner: Complex, folder: Path) -> Complex:
        """The ligand of one complex with the superposed receptor of its partner as a file."""
        item = self.items[own.id]
        file = folder / f"{own.id}_in_{partner.id}_protein.pdb"
        if not file.is_file():
            chains = PocketChain.of(own), PocketChain.of(partner)
            found = chains[0].superpose(chains[1], chains[0].match(chains[1]))
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(file, superposed(partner, found))
        flags = own.flags | ({SAME_LIGAND} if item.same_ligand else set())
        return Complex(own.id, file, own.ligand, flags, partner.id)

    @property
    def left_out(self) -> list[Crossing]:
        """Those with another structure that is of no use, and those that cannot be read."""
        return [item for item in self.items.values() if item.left_out not in ("", _SINGLE)]

    def told(self) -> str:
        """How many ligands are docked and how many are not, in one line."""
        rmsd = [item.ca_rmsd for item in self.docked]
        single = sum(item.left_out == _SINGLE for item in self.items.values())
        line = (
            f"{len(rmsd)} of {len(self.items)} ligands have a partner, {single} are of a protein "
            f"without another structure, {len(self.left_out)} are left out"
        )
        if rmsd:
            line += (
                f"; CA RMSD {np.median(rmsd):.2f} A in the median, {max(rmsd):.2f} A at most; "
                f"{sum(item.same_ligand for item in self.docked)} partners hold the same ligand"
            )
        return line

    def named(self) -> str:
        """Who is left out, and why."""
        return "; ".join(
            f"{item.id}{item.partner and f' into {item.partner}'} ({item.left_out})"
            for item in self.left_out
        )

    def table(self, ids: Iterable[str]) -> list[list[str]]:
        """The pairs of some ligands, a head first."""
        head = ["ligand of", "into", "identity, %", "alpha carbons", "their RMSD, Å", "same ligand"]
        return [head] + [
            [
                item.id, item.partner, f"{100 * item.identity:.1f}", str(item.calphas),
                f"{item.ca_rmsd:.2f}", "yes" if item.same_ligand else "no",
            ]
            for item in map(self.items.__getitem__, ids)
        ]  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """What the report keeps."""
        return {
            "ligands": len(self.items), "with_partner": len(self.docked),
            "limits": {"ca_rmsd": LIMIT, "resolved": RESOLVED, "calphas": FEWEST, "near": NEAR},
            "left_out": [asdict(item) for item in self.left_out],
        }  # fmt: skip


def superposed(partner: Complex, found: Superposition) -> str:
    """PDB text of a structure brought onto another, less its ligand.

    Residues our reader leaves out of a deposited entry (waters, additives) are left out here, so
    that every method reads the same.

    Raises:
        InputError: If the structure cannot be read, or its ligand cannot be told from it.
    """
    kept = crop(Receptor.from_file(partner.receptor), read_ligand(partner.ligand), _WHOLE)
    stay = {residue.id for residue in kept.residues}
    structure = gemmi.read_structure(str(partner.receptor))
    while len(structure) > 1:
        del structure[len(structure) - 1]
    for chain in structure[0]:
        for place in reversed(range(len(chain))):
            if f"{chain.name}:{chain[place].seqid}" not in stay:
                del chain[place]
    structure.remove_empty_chains()
    structure.shorten_chain_names()
    structure[0].transform_pos_and_adp(found.transform)
    return str(structure.make_pdb_string(gemmi.PdbWriteOptions(minimal=True)))


def _cross(place: int, chains: Sequence[PocketChain], files: Mapping[str, Complex]) -> Crossing:
    """Find the partner of one ligand, and try to bring it onto the ligand's own receptor."""
    own = chains[place]
    for other in (*chains[place + 1 :], *chains[:place]):
        if own.resembles(other) and (match := own.match(other)).same_protein:
            break
    else:
        return Crossing(own.id, left_out=_SINGLE)
    found = own.superpose(other, match)
    item = Crossing(
        own.id, other.id, match.identity, found.matched, found.rmsd, own.smiles == other.smiles
    )
    return replace(item, left_out=_objection(found, files[other.id]))


def _objection(found: Superposition, partner: Complex) -> str:
    """Why a partner is of no use; nothing if it is."""
    if found.matched < max(FEWEST, RESOLVED * found.near):
        return f"it has {found.matched} of the {found.near} alpha carbons near the ligand"
    if found.rmsd > LIMIT:
        return f"CA RMSD {found.rmsd:.2f} A"
    try:
        superposed(partner, found)
    except (ValueError, RuntimeError) as error:
        return f"unreadable: {_line(error)}"
    return ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
