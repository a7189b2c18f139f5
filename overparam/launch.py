"""What the launcher, the words and the settings of a command say before anything is built."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overparam.errors import InputError
from overparam.run_folder import CONFIG


def rank() -> int:
    """Rank of this process as its launcher tells it, before any trainer exists."""
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def config_name(words: list[str]) -> str:
    """Name of the first config given: its file's, or its folder's for a run's config.yaml."""
    given = option(words, "--config", "-c")
    path = Path(given)
    return path.resolve().parent.name if path.name == CONFIG else path.stem


def option(words: list[str], *names: str) -> str:
    """First value given to an option, spelt ``--name value`` or ``--name=value``; else nothing."""
    for here, following in zip(words, [*words[1:], ""], strict=True):
        if here in names:
            return following
        for name in names:
            if here.startswith(f"{name}="):
                return here.removeprefix(f"{name}=")
    return ""


def with_stored_config(words: list[str]) -> list[str]:
    """Without ``--config``, take the config.yaml of the run that is resumed or measured."""
    if option(words, "--config", "-c"):
        return words
    folder = option(words, "--out") if "--resume" in words else ""
    checkpoint = option(words, "--ckpt_path")
    stored = Path(folder) / CONFIG if folder else Path(checkpoint).parent / CONFIG
    if (folder or checkpoint) and stored.is_file():
        return ["--config", str(stored), *words]
    return words


def refuse_no_training(trainer: Mapping[str, Any]) -> None:
    """Check that trainer settings ask for at least one step.

    Raises:
        InputError: Naming the setting that forbids it.
    """
    for name in ("max_steps", "max_epochs"):
        value = trainer.get(name)
        if value is not None and (value == 0 or value < -1):
            raise InputError(f"trainer.{name} must be at least 1 (or -1 for no limit), got {value}")
    if trainer.get("limit_train_batches") == 0:
        raise InputError("trainer.limit_train_batches must not be 0: nothing would be trained")
