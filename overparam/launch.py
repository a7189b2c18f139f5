"""What the launcher and the words of a command say before anything is parsed or built."""

import os
from pathlib import Path

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
