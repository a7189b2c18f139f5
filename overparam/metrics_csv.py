"""metrics.csv of a run folder: one row per logged step, appended to when a run goes on."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

NAME = "metrics.csv"


class MetricsCSV(Logger):
    """Logger whose folder is the run folder itself.

    Args:
        folder: Run folder.
        resume_step: Optimizer steps already done; later rows of an earlier attempt are dropped,
            because the run writes them again. None starts a new file.
        flush_every: Rows kept in memory between two writes.
    """

    def __init__(
        self, folder: str | Path, resume_step: int | None = None, flush_every: int = 20
    ) -> None:
        super().__init__()
        self.file = Path(folder) / NAME
        self.flush_every = flush_every
        self.rows: list[dict[str, Any]] = []
        self._unsaved = 0
        if resume_step is not None and self.file.is_file():
            with self.file.open(newline="", encoding="utf-8") as file:
                kept = [row for row in csv.DictReader(file) if int(row["step"]) < resume_step]
            filled = ({k: v for k, v in row.items() if v != ""} for row in kept)
            self.rows = [row | {"step": int(row["step"])} for row in filled]

    @property
    def name(self) -> str:
        """Empty: the run folder has no folder per logger."""
        return ""

    @property
    def version(self) -> str:
        """Empty: the run folder has no folder per version."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.file.parent)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add ``metrics`` to the row of ``step``."""
        values = {k: v for k, v in metrics.items() if k != "epoch"}
        head = {"step": int(step or 0)} | {k: int(v) for k, v in metrics.items() if k == "epoch"}
        self._unsaved += 1
        if self.rows and self.rows[-1]["step"] == head["step"]:
            self.rows[-1] |= values
            return
        self.rows.append(head | values)
        if self._unsaved >= self.flush_every:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write the table whole and rename it, so that a reader never sees half of it."""
        if not self._unsaved or not self.file.parent.is_dir():
            return
        columns = list(dict.fromkeys(["step", "epoch", *(k for row in self.rows for k in row)]))
        partial = self.file.with_name(f".{NAME}.partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.file)
        self._unsaved = 0

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is left."""
        self.save()
