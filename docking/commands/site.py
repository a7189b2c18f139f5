"""Receptor, box and model of a command, from its options."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from docking.commands.options import AXES, PADDING
from overparam.cli import select_device
from overparam.errors import InputError

if TYPE_CHECKING:
    from docking.box import Box
    from docking.molecule import Receptor


class Site(NamedTuple):
    """Receptor and box of a command.

    Attributes:
        receptor: The receptor, less the ligand that drew the box.
        box: The search box.
        warnings: Of both, one sentence each.
    """

    receptor: "Receptor"
    box: "Box"
    warnings: list[str]


def read_site(given: Namespace) -> Site:
    """Read the receptor and draw the box.

    Raises:
        InputError: If a file cannot be read, or the box is not given, given twice, or far from
            the receptor.
    """
    from docking.box import Box
    from docking.ligand import Ligand
    from docking.molecule import Receptor

    center, size = _three(given, "center"), _three(given, "size")
    if given.box_from is not None and (center or size):
        raise InputError("give the box once: --box-from FILE, or --center X Y Z and --size X Y Z")
    if given.box_from is None and not (center and size):
        missing = f"--{'size' if center else 'center'} is missing: " if center or size else ""
        raise InputError(
            f"{missing}give the box by --box-from FILE, or by --center X Y Z and --size X Y Z"
        )
    if given.box_from is None and given.box_padding is not None:
        raise InputError("--box-padding goes with --box-from; --size is the whole box")
    hetero: str | list[str] = given.keep_hetero
    if hetero not in ("auto", "all", "none"):
        hetero = given.keep_hetero.split(",")
    receptor = Receptor.from_file(
        given.receptor,
        chains=given.chains.split(",") if given.chains else None,
        keep_hetero=hetero,
        keep_waters=given.keep_waters,
    )
    warnings: list[str] = []
    if given.box_from is not None:
        around = Ligand.from_file(given.box_from)
        warnings += [f"{given.box_from}: {warning}" for warning in around.warnings]
        box = Box.from_ligand(around, PADDING if given.box_padding is None else given.box_padding)
        receptor = receptor.without_ligand(around)
    else:
        assert center is not None and size is not None
        box = Box(center, size)
    box.check_receptor(receptor)
    return Site(receptor, box, [*receptor.warnings, *box.warnings, *warnings])


def site_settings(given: Namespace, site: Site) -> dict[str, Any]:
    """What ``config.yaml`` says of them."""
    return {
        "receptor": str(Path(given.receptor).resolve()),
        "chains": given.chains,
        "keep_hetero": given.keep_hetero,
        "keep_waters": given.keep_waters,
        "box_from": None if given.box_from is None else str(Path(given.box_from).resolve()),
        "center": [round(float(value), 4) for value in site.box.center],
        "size": [round(float(value), 4) for value in site.box.size],
    }


def site_report(site: Site) -> dict[str, Any]:
    """What ``report.json`` says of them."""
    return {
        "receptor": {
            "file": site.receptor.source,
            "heavy_atoms": int(site.receptor.heavy.sum()),
            "residues": len(site.receptor.residues),
        },
        "box": {"center": site.box.center.tolist(), "size": site.box.size.tolist()},
    }


def load_scoring(given: Namespace) -> Any:
    """The scoring model, and a check of ``--device``.

    Raises:
        InputError: If there is no such model or device.
    """
    from docking.models import load_model

    device = select_device(given.device)
    # The compiled search of one ligand takes a second of one core: a GPU has to be asked for.
    return load_model(given.scoring, device=device if given.device == "cuda" else "cpu")


def _three(given: Namespace, option: str) -> list[float] | None:
    """``--center X Y Z`` or its three parts."""
    whole = getattr(given, option)
    parts = [getattr(given, f"{option}_{axis}") for axis in AXES]
    named = ", ".join(f"--{option}_{axis}" for axis in AXES)
    if whole is not None and any(part is not None for part in parts):
        raise InputError(f"give --{option} X Y Z or {named}, not both")
    if whole is not None:
        return list(whole)
    if all(part is None for part in parts):
        return None
    if any(part is None for part in parts):
        raise InputError(f"{named} go together: give all three")
    return parts
