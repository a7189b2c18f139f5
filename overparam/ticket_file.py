"""The ticket file: plain data that ``torch.load(weights_only=True)`` reads, masks bit-packed."""

import json
import os
import pickle
import platform
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from overparam.errors import InputError
from overparam.masks import mask_sha
from overparam.path_family import PathFamily, Strand
from overparam.prunable import ParamSpec
from overparam.snapshot import Snapshot

if TYPE_CHECKING:
    from overparam.ticket import Ticket

FORMAT, VERSION = "overparam.ticket", 1


def versions() -> dict[str, str]:
    """Return the versions of what makes a ticket."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        own = version("overparam")
    except PackageNotFoundError:  # run from a checkout that is not installed
        own = "unknown"
    return {
        "overparam": own,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def pack(mask: Tensor) -> Tensor:
    """Pack a boolean tensor into bytes, eight entries each, the first in the highest bit."""
    return torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))


def unpack(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo ``pack``.

    Raises:
        ValueError: If there are not as many bytes as ``shape`` takes.
    """
    size = prod(shape)
    if packed.dtype != torch.uint8 or packed.numel() != -(-size // 8):
        raise ValueError(f"packed mask of {shape} must have {-(-size // 8)} bytes, got {packed}")
    bits = np.unpackbits(packed.numpy(), count=size)
    return torch.from_numpy(bits.astype(np.bool_)).reshape(shape)


def describe(ticket: "Ticket") -> dict[str, Any]:
    """Return everything but tensors: the readable side of a ticket."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "sha": ticket.sha,
        "sparsity": ticket.sparsity,
        "kept": ticket.kept,
        "total": ticket.total,
        "granularity": ticket.granularity,
        "block": ticket.block,
        "seed": ticket.seed,
        "criterion": ticket.criterion,
        "rewinds": ticket.snapshot is not None,
        "schedule": _plain(ticket.schedule),
        "layers": ticket.sparsity_table(),
        "history": _plain(ticket.history),
        "versions": dict(ticket.versions),
    }


def write_ticket(ticket: "Ticket", path: Path) -> None:
    """Write the ticket and its readable twin ``<path>.json``, each aside and renamed."""
    data = describe(ticket) | {
        "masks": {name: pack(mask) for name, mask in ticket.masks.items()},
        "specs": {name: _plain(asdict(spec)) for name, spec in ticket.specs.items()},
        "snapshot": None if ticket.snapshot is None else _owned(ticket.snapshot.state),
    }
    text = json.dumps(describe(ticket), indent=2) + "\n"
    _replace(path, lambda aside: torch.save(data, aside))
    _replace(
        path.with_name(path.name + ".json"),
        lambda aside: aside.write_text(text, encoding="utf-8"),
    )


def read_ticket(path: Path) -> "Ticket":
    """Read what ``write_ticket`` wrote.

    Raises:
        InputError: If the file is missing, corrupt, holds code, or is no ticket.
    """
    from overparam.ticket import Ticket

    if not path.is_file():
        raise InputError(f"ticket must be an existing file, got {path}")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"ticket {path} is not plain data and was not loaded: {reason}") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"ticket {path} is corrupt or cut short: {reason}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"ticket {path} must say format {FORMAT!r}: it is no ticket")
    if data.get("version") != VERSION:
        raise InputError(f"ticket {path} must have version {VERSION}, got {data.get('version')}")
    try:
        specs = {name: _spec(plain) for name, plain in data["specs"].items()}
        masks = {name: unpack(bits, specs[name].shape) for name, bits in data["masks"].items()}
        state = data["snapshot"]
        ticket = Ticket(
            masks=masks,
            snapshot=None if state is None else Snapshot(dict(state)),
            specs=specs,
            granularity=data["granularity"],
            block=data["block"],
            seed=data["seed"],
            schedule=data["schedule"],
            criterion=data["criterion"],
            history=tuple(data["history"]),
            versions=data["versions"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"ticket {path} is damaged: {type(error).__name__} {reason}") from None
    if mask_sha(masks) != data["sha"]:
        raise InputError(f"ticket {path} is damaged: its masks do not match their hash")
    return ticket


def _spec(plain: Mapping[str, Any]) -> ParamSpec:
    return ParamSpec(
        name=plain["name"],
        kind=plain["kind"],
        shape=tuple(plain["shape"]),
        unit_axis=plain["unit_axis"],
        parts=plain["parts"],
        paths=tuple(plain["paths"]),
        protected=plain["protected"],
        owners=tuple(plain["owners"]),
        families=tuple(
            PathFamily(**{**f, "strands": tuple(Strand(**s) for s in f["strands"])})
            for f in plain.get("families", ())  # written since tickets of declared paths
        ),
    )


def _owned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Cloned: a view would drag the whole storage it looks into along into the file.
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _replace(path: Path, write: Any) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(aside)
        aside.replace(path)
    except OSError as error:
        raise InputError(f"ticket cannot be written to {path}: {error.strerror}") from None
    finally:
        aside.unlink(missing_ok=True)  # renamed away unless writing failed
