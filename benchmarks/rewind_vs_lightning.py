"""Does a lottery ticket rewind to its initial weights? Lightning's ``ModelPruning`` beside ours.

``python benchmarks/rewind_vs_lightning.py`` trains the same small perceptron on handwritten digits,
once with Lightning's ``ModelPruning(use_lottery_ticket_hypothesis=True)``, which prunes and resets
after every epoch, and once with ``overparam.TicketCallback(IMP(...))`` with rounds of one epoch.
After each reset, every weight that was kept is compared with the one it was initialised to, bit
for bit. A second ``fit`` with the same module and callback settings is tried too.
"""

import argparse
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from _table import RESULTS, markdown, write
from pytorch_lightning.callbacks import Callback, ModelPruning
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from overparam import IMP, Masks, TicketCallback, plain_state

RATE = 0.2
LAYERS = ("0.weight", "2.weight")


class Digits(pl.LightningModule):
    """A perceptron 64-64-10; remembers its initial weights apart from any callback."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.start = {name: value.clone() for name, value in plain_state(self.net).items()}

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the cross entropy."""
        return cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    def kept(self, name: str) -> tuple[Tensor, Tensor]:
        """Trainable values and mask of a weight, however it is pruned."""
        layer = self.net[int(name.split(".")[0])]
        if hasattr(layer, "weight_orig"):  # torch.nn.utils.prune
            return layer.weight_orig.detach(), layer.weight_mask.bool()
        masks = Masks(self.net)
        value = plain_state(self.net)[name].detach()
        return value, masks.get(name, torch.ones_like(value, dtype=torch.bool))


class Watch(Callback):
    """Compares kept weights with the initial ones at the first batch of every epoch."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look once per epoch, after the callbacks before this one have acted."""
        if batch_idx:
            return
        assert isinstance(pl_module, Digits)
        equal, kept, total, furthest = True, 0, 0, 0.0
        for name in LAYERS:
            value, mask = pl_module.kept(name)
            then = pl_module.start[name]
            equal &= torch.equal(value[mask], then[mask])
            furthest = max(furthest, float((value - then)[mask].abs().max()))
            kept, total = kept + int(mask.sum()), total + mask.numel()
        self.rows.append(
            {
                "resets": trainer.current_epoch,
                "sparsity": 1 - kept / total,
                "kept_equals_init": equal,
                "largest_difference": furthest,
            }
        )


def loader() -> DataLoader[Any]:
    x, y = load_digits(return_X_y=True)
    data = TensorDataset(torch.from_numpy((x / 16).astype("float32")), torch.from_numpy(y))
    return DataLoader(data, batch_size=100)


def lightning(module: Digits) -> Callback:
    layers = [(module.net[0], "weight"), (module.net[2], "weight")]
    return ModelPruning(
        "l1_unstructured",
        parameters_to_prune=layers,
        amount=RATE,
        use_lottery_ticket_hypothesis=True,
    )


def observe(module: Digits, callback: Callback, epochs: int, folder: str) -> list[dict[str, Any]]:
    watch = Watch()
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[callback, watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, loader())
    return watch.rows


def second_fit(module: Digits, callback: Callback, epochs: int, folder: str) -> str:
    try:
        observe(module, callback, epochs, folder)
    except Exception as error:  # whatever it is, it is the finding
        return f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
    return "runs"


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=6, help="prunings, each after one epoch")
    parser.add_argument("--smoke", action="store_true", help="two prunings, nothing written")
    given = parser.parse_args(args)
    rounds = 2 if given.smoke else given.rounds
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|torch")
    with tempfile.TemporaryDirectory() as folder:
        theirs = Digits()
        ours = Digits()
        found = {
            "Lightning ModelPruning": observe(theirs, lightning(theirs), rounds + 1, folder),
            "overparam TicketCallback": observe(
                ours, TicketCallback(IMP(RATE, rounds), protect=("bias",)), 1, folder
            ),
        }
        again = {
            "Lightning ModelPruning": second_fit(theirs, lightning(theirs), 2, folder),
            "overparam TicketCallback": second_fit(
                ours, TicketCallback(IMP(RATE, 1), protect=("bias",)), 1, folder
            ),
        }
    head = [
        "resets",
        *(f"{name}: {word}" for name in found for word in ("sparsity", "kept = init")),
    ]
    lines = []
    for index in range(1, rounds + 1):
        line = [str(index)]
        for rows in found.values():
            row = rows[index]
            off = row["largest_difference"]
            verdict = "yes" if row["kept_equals_init"] else f"NO (off by {off:.2g})"
            line += [f"{row['sparsity']:.1%}", verdict]
        lines.append(line)
    print(markdown(head, lines))
    for name, verdict in again.items():
        print(f"a second fit with {name}: {verdict}")
    held = {name: sum(row["kept_equals_init"] for row in rows[1:]) for name, rows in found.items()}
    print(f"exact rewinds of {rounds}: {held}")
    if not given.smoke:
        facts = {"pytorch_lightning": pl.__version__, "rate": RATE, "exact_rewinds": held}
        write("rewind_vs_lightning", facts | {"rounds": found, "second_fit": again}, Path(RESULTS))
    return held["overparam TicketCallback"]


if __name__ == "__main__":
    main()
