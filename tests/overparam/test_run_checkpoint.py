"""A run stopped anywhere and resumed ends with the same weights, bit for bit."""

import random

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from overparam.replay import ReplayLoader, random_state, set_random_state
from overparam.run_checkpoint import AtomicCheckpointIO, DivergedError, RunCheckpoint


class Noisy(Dataset):
    """Samples that draw from all three global generators when they are read."""

    def __len__(self):
        return 16

    def __getitem__(self, index):
        jitter = random.random() + np.random.rand() + torch.rand(()).item()
        return torch.tensor([float(index), jitter])


class Stream(IterableDataset):
    """The same without a length, so that Lightning reads one batch ahead."""

    def __iter__(self):
        for index in range(16):
            yield torch.tensor([float(index), torch.rand(()).item()])


class Fit(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.3), nn.Linear(4, 1))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch.clone())
        loss = self.net(batch).square().mean()
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val", self.net(batch).square().mean() + torch.rand(()))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": decay, "interval": "step"}}


class HaltError(Exception):
    pass


class HaltAfter(pl.Callback):
    """Stops as a kill would: in the middle of the step after the checkpoint."""

    def __init__(self, step):
        self.step = step

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.global_step == self.step:
            raise HaltError


class Log(pl.loggers.logger.DummyLogger):
    def __init__(self):
        super().__init__()
        self.rows = {}

    def log_metrics(self, metrics, step=None):
        self.rows.setdefault(step, {}).update(metrics)


def train(folder, setting, halt=None, resume=False, workers=0):
    pl.seed_everything(3, verbose=False)
    module = Fit()
    data = Stream() if setting.pop("stream", False) else Noisy()
    shuffle = isinstance(data, Noisy)
    size = setting.pop("batch_size", 4)
    log = Log()
    callbacks = [RunCheckpoint(folder, every=0.0)]
    callbacks += [HaltAfter(halt)] if halt is not None else []
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=log,
        log_every_n_steps=1,
        plugins=[AtomicCheckpointIO()],
        **setting,
    )
    loader = DataLoader(data, size, shuffle=shuffle, num_workers=workers)
    path = folder / "last.ckpt" if resume else None
    trainer.fit(module, loader, DataLoader(Noisy(), 16), ckpt_path=path)
    return module, log.rows, trainer


SETTINGS = {
    "epochs": {"max_epochs": 3},
    "steps across epochs": {"max_steps": 10},
    "one batch per epoch": {"max_steps": 10, "batch_size": 16},
    "one batch per epoch, epochs": {"max_epochs": 10, "batch_size": 16},
    "validation now and then": {"max_steps": 10, "batch_size": 16, "check_val_every_n_epoch": 3},
    "validation inside epochs": {"max_epochs": 3, "val_check_interval": 2},
    "validation across epochs": {
        "max_steps": 11,
        "val_check_interval": 3,
        "check_val_every_n_epoch": None,
    },
    "no validation": {"max_epochs": 3, "limit_val_batches": 0},
    "accumulated": {"max_epochs": 4, "accumulate_grad_batches": 2},
    "a stream without length": {"max_steps": 10, "stream": True},
}


@pytest.mark.parametrize("halt", [2, 4, 5, 7])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_stopped_run_ends_as_the_uninterrupted_one(name, halt, tmp_path):
    setting = SETTINGS[name]
    whole, rows, _ = train(tmp_path / "whole", dict(setting))
    with pytest.raises(HaltError):
        train(tmp_path / "parts", dict(setting), halt=halt)
    parts, again, _ = train(tmp_path / "parts", dict(setting), resume=True)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(reversed(whole.seen), reversed(parts.seen), strict=False):
        assert torch.equal(a, b)
    # and logs the same numbers for the same steps
    assert {s: r for s, r in rows.items() if s in again} == again
    assert max(again) == max(rows)


@pytest.mark.slow
def test_worker_processes_go_on_too(tmp_path):
    whole, _, _ = train(tmp_path / "whole", {"max_epochs": 3}, workers=2)
    with pytest.raises(HaltError):
        train(tmp_path / "parts", {"max_epochs": 3}, halt=6, workers=2)
    parts, _, _ = train(tmp_path / "parts", {"max_epochs": 3}, resume=True, workers=2)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b)


def test_generators_return_to_where_they_were():
    def draw():
        return random.random(), np.random.rand(), torch.rand(3).tolist(), np.random.randn()

    state = random_state()
    first = draw()
    draw()
    set_random_state(state)
    assert draw() == first


def test_random_state_is_plain_data(tmp_path):
    torch.save(random_state(), tmp_path / "state")
    set_random_state(torch.load(tmp_path / "state", weights_only=True))


@pytest.mark.parametrize("used", range(4))
@pytest.mark.parametrize("own_generator", [False, True])
def test_a_loader_goes_on_after_any_batch(used, own_generator):
    def fresh():
        generator = torch.Generator().manual_seed(5) if own_generator else None
        return ReplayLoader(DataLoader(Noisy(), 4, shuffle=True, generator=generator))

    pl.seed_everything(1, verbose=False)
    loader = fresh()
    batches = iter(loader)
    for _ in range(used):
        next(batches)
    loader.recording = True
    expected = [next(batches)]
    position = loader.position(pending=1)
    expected += list(batches)
    torch.rand(7)
    resumed = fresh()
    resumed.resume(position)
    for a, b in zip(expected, resumed, strict=True):
        assert torch.equal(a, b)
    assert len(resumed) == 4
    assert resumed.batch_size == 4


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path):
    file = tmp_path / "last.ckpt"
    writer = AtomicCheckpointIO()
    writer.save_checkpoint({"step": 1}, file)
    with pytest.raises(Exception, match=r"pickle|local"):
        writer.save_checkpoint({"step": lambda: 2}, file)
    assert torch.load(file, weights_only=True) == {"step": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_a_diverging_run_stops_and_keeps_the_last_good_state(tmp_path):
    class Explodes(Fit):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            return loss * (float("nan") if self.global_step >= 5 else 1.0)

    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=50,
        callbacks=[RunCheckpoint(tmp_path, every=0.0)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )
    with pytest.raises(DivergedError, match=r"last\.ckpt is the last good state"):
        trainer.fit(Explodes(), DataLoader(Noisy(), 4), DataLoader(Noisy(), 16))
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert all(tensor.isfinite().all() for tensor in state.values())


def test_a_negative_interval_is_refused(tmp_path):
    with pytest.raises(ValueError, match="every must not be negative"):
        RunCheckpoint(tmp_path, every=-1.0)
