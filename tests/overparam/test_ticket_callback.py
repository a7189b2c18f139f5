"""One Trainer.fit with the callback is the same search as one Trainer per round."""

import json
import math
from pathlib import Path
from typing import ClassVar

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn

from overparam import (
    COLT,
    IMP,
    LRR,
    CosineDecay,
    Gradual,
    Masks,
    OneShot,
    OverparameterizedModule,
    RandomSearch,
    Ticket,
    TicketCallback,
    find_ticket,
    plain_state,
)
from overparam.cli import run as command
from overparam.errors import InputError
from overparam.run_checkpoint import RunCheckpoint

pytestmark = [
    # a data loader of 24 rows needs no worker processes
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    # there are fewer batches than the default logging interval
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty.*"),
    # a checkpoint is read without the callback that wrote it
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint need.*"),
]

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randn(24, 2, generator=torch.Generator().manual_seed(1))
ALL = {"protect": ("bias",)}


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 12),
        nn.Tanh(),
        nn.BatchNorm1d(12),
        nn.Linear(12, 8),
        nn.Tanh(),
        nn.Linear(8, 2),
    )


class Steps:
    """Least squares; remembers the rate of every step."""

    def training_step(self, batch, batch_idx):
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.log("train/loss", loss)
        self.rates = [*getattr(self, "rates", []), self.optimizers().param_groups[0]["lr"]]
        return loss


class Model(Steps, OverparameterizedModule):
    def __init__(self, optimizer=torch.optim.Adam, scheduler=CosineDecay):
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        self.net = net()


class Validated(Model):
    def validation_step(self, batch, batch_idx):
        self.log("val/loss", nn.functional.mse_loss(self.net(batch[0]), batch[1]))
        if batch_idx == 0:
            self.seen = [*getattr(self, "seen", []), round(Masks(self).sparsity(), 3)]


class Plain(Steps, pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = net()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def loader(batch_size=8):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=batch_size)


def trainer(tmp_path, callbacks=(), **kwargs):
    defaults = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": str(tmp_path),
    }
    return Trainer(callbacks=list(callbacks), **(defaults | kwargs))


def run(tmp_path, schedule, model=None, callbacks=(), ckpt_path=None, first=None, **kwargs):
    model = Model() if model is None else model
    settings = kwargs.pop("settings", {})
    callback = TicketCallback(schedule, **(ALL | settings))
    before = [] if first is None else [first]
    fitted = trainer(tmp_path, [*before, callback, *callbacks], **({"max_epochs": 2} | kwargs))
    data = (loader(), loader()) if isinstance(model, Validated) else (loader(),)
    fitted.fit(model, *data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
    return model, callback, fitted


def assert_same(one, other):
    left, right = one.state_dict(), other.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(value, right[name]) for name, value in left.items())


BUDGETS = [{"max_epochs": 2}, {"max_steps": 5}, {"max_steps": 4, "max_epochs": 2}]


CASES = [
    *[(IMP(0.3, 5), budget) for budget in BUDGETS],
    (LRR(0.3, 3), BUDGETS[1]),
    (IMP(0.3, 2, rewind_step=2), BUDGETS[0]),
    (OneShot(0.6), BUDGETS[0]),
    (OneShot(0.6, "init"), BUDGETS[1]),
]


@pytest.mark.parametrize(("schedule", "budget"), CASES)
def test_one_fit_is_as_many_fits_as_rounds(tmp_path, schedule, budget):
    model, callback, _ = run(tmp_path / "one", schedule, accumulate_grad_batches=1, **budget)
    apart = Model()
    if "max_steps" in budget and "max_epochs" not in budget:
        budget = {**budget, "max_epochs": None}

    def fit(module):
        # the same order of batches as in one long run: rows cycle, and a round may end mid-epoch
        rows = getattr(fit, "rows", 0)
        steps = budget.get("max_steps", 6)
        batches = [(X[i : i + 8], Y[i : i + 8]) for i in (0, 8, 16)]
        order = [batches[(rows + k) % 3] for k in range(steps)]
        fit.rows = rows + steps
        data = torch.utils.data.DataLoader(order, batch_size=None)
        trainer(tmp_path, max_epochs=1).fit(module, data)

    ticket = find_ticket(apart, fit, schedule, **ALL)
    assert_same(model, apart)
    assert callback.ticket is not None
    assert callback.ticket.sha == ticket.sha
    assert [e["kept"] for e in callback.history] == [e["kept"] for e in ticket.history]
    assert len(callback.history) == schedule.rounds_total == callback.rounds_total
    for name, value in ticket.snapshot.state.items():
        assert torch.equal(value, callback.ticket.snapshot.state[name])


def test_every_round_has_the_whole_rate_schedule(tmp_path):
    model, _, fitted = run(tmp_path, LRR(0.3, 2))
    rounds = [model.rates[i : i + 6] for i in (0, 6, 12)]
    assert rounds[0] == rounds[1] == rounds[2]
    assert rounds[0][0] > rounds[0][-1]
    assert fitted.global_step == 18
    assert (fitted.max_epochs, fitted.max_steps) == (2, -1)  # its own budget again


def test_the_optimizer_starts_anew(tmp_path):
    class Spy(pl.Callback):
        found: ClassVar = []

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            state = trainer.optimizers[0].state
            self.found.append({float(s["step"]) for s in state.values()} if state else {0.0})

    run(tmp_path, IMP(0.3, 2), callbacks=[Spy()], max_steps=3)
    assert Spy.found == [{0.0}, {1.0}, {2.0}] * 3


def test_validation_sees_the_trained_network_before_it_is_pruned(tmp_path):
    model, callback, _ = run(
        tmp_path, LRR(0.5, 2), Validated(), max_epochs=1, num_sanity_val_steps=0
    )
    assert model.seen == [0.0, 0.5, 0.75]
    assert [round(e["sparsity"], 3) for e in callback.history] == model.seen
    assert all("val/loss" in e["metrics"] for e in callback.history)


def test_it_logs_round_sparsity_and_hash(tmp_path):
    _, callback, fitted = run(tmp_path, LRR(0.5, 2), log_every_n_steps=1)
    logged = {k: float(v) for k, v in fitted.callback_metrics.items() if k.startswith("ticket/")}
    assert logged["ticket/round"] == 2
    assert math.isclose(logged["ticket/sparsity"], callback.ticket.sparsity, rel_tol=1e-6)
    assert logged["ticket/mask_hash"] == int(callback.ticket.sha[:6], 16)


def test_it_leaves_the_ticket_in_the_run_folder(tmp_path):
    model, callback, _ = run(tmp_path, LRR(0.5, 1))
    stored = Ticket.load(tmp_path / "ticket.t")
    assert stored.sha == callback.ticket.sha == Masks(model).sha()
    assert json.loads((tmp_path / "ticket.t.json").read_text())["sparsity"] == stored.sparsity
    elsewhere = tmp_path / "elsewhere"
    run(tmp_path, LRR(0.5, 1), settings={"dirpath": str(elsewhere)})
    assert (elsewhere / "ticket.t").is_file()


def test_a_dry_run_leaves_nothing(tmp_path):
    _, callback, fitted = run(tmp_path, LRR(0.5, 2), fast_dev_run=True)
    assert fitted.global_step == 3
    assert callback.ticket.sparsity > 0.7
    assert not list(tmp_path.iterdir())


# going on after a kill


class StopTrainingError(Exception):
    pass


class Killer(pl.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise StopTrainingError


KILLS = [
    *[(LRR(0.3, 2), step, Model) for step in (6, 16)],
    *[(IMP(0.3, 2, rewind_step=2), step, Model) for step in (1, 7, 12)],
    *[(Gradual(0.6, every=2), step, Model) for step in (6, 13)],
    (IMP(0.3, 2, rewind_step=2), 7, Plain),
]


@pytest.mark.parametrize(("schedule", "step", "model"), KILLS)
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, schedule, step, model):
    epochs = {"max_epochs": 6 if isinstance(schedule, Gradual) else 2}
    straight, callback, _ = run(tmp_path / "a", schedule, model(), **epochs)
    folder = tmp_path / "b"
    with pytest.raises(StopTrainingError):
        # saved before each step; the ticket callback comes after it, then the kill
        run(folder, schedule, model(), [Killer(step)], first=RunCheckpoint(folder, 0.0), **epochs)
    other = model()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    going_on = {"first": RunCheckpoint(folder, 0.0), "ckpt_path": folder / "last.ckpt"}
    resumed, again, _ = run(folder, schedule, other, **going_on, **epochs)
    assert_same(resumed, straight)
    assert again.ticket.sha == callback.ticket.sha
    for name, value in callback.ticket.snapshot.state.items():
        assert torch.equal(value, again.ticket.snapshot.state[name])
    facts = ("kept", "mask", "sign_flips_init", "sign_flips_round", "steps", "metrics")
    for one, two in zip(callback.history, again.history, strict=True):
        assert {k: one.get(k) for k in facts} == {k: two.get(k) for k in facts}


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    every = ModelCheckpoint(tmp_path / "c", save_top_k=-1, every_n_train_steps=1, filename="{step}")
    run(tmp_path, LRR(0.3, 1), callbacks=[every])
    with pytest.raises(InputError, match="schedule must be that of the checkpoint"):
        run(tmp_path, IMP(0.3, 1), ckpt_path=tmp_path / "c" / "step=3.ckpt")
    dense = trainer(tmp_path / "d", [ModelCheckpoint(tmp_path / "e", filename="d")], max_epochs=1)
    dense.fit(Plain(), loader())
    with pytest.raises(InputError, match="step 3 of a run without tickets"):
        run(tmp_path, LRR(0.3, 1), Plain(), ckpt_path=tmp_path / "e" / "d.ckpt")


# criteria and schedules that need the batch


@pytest.mark.parametrize(
    ("schedule", "settings"),
    [
        (OneShot(0.7, "init"), {"criterion": "snip"}),
        (LRR(0.3, 2), {"criterion": "taylor", "granularity": "neuron"}),
        (RandomSearch(5, 0.5), {}),
        (LRR(0.3, 2), {"scope": "layer"}),
        (LRR(0.3, 2), {"criterion": "random", "seed": 3}),
    ],
)
def test_criteria_take_the_training_step(tmp_path, schedule, settings):
    model, callback, fitted = run(tmp_path, schedule, settings=settings)
    assert callback.ticket.sparsity >= schedule.goal - 0.01
    assert fitted.global_step == 6 * schedule.rounds_total
    assert len(model.rates) >= fitted.global_step
    assert model.log.__func__ is pl.LightningModule.log


def test_gradual_pruning_is_over_at_three_quarters(tmp_path):
    class Spy(pl.Callback):
        found: ClassVar = {}

        def on_train_batch_end(self, trainer, pl_module, *_):
            self.found[trainer.global_step] = Masks(pl_module).sparsity()

    _, callback, _ = run(
        tmp_path, Gradual(0.8, every=1), callbacks=[Spy()], max_steps=16, max_epochs=-1
    )
    total = callback.ticket.total
    for step, sparsity in Spy.found.items():  # what step + 1 trained with was pruned after step
        wanted = 0.8 * (1 - (1 - min((step - 1) / 12, 1)) ** 3)
        assert math.isclose(sparsity, wanted, abs_tol=0.51 / total)
    assert math.isclose(callback.ticket.sparsity, 0.8, abs_tol=0.51 / total)


# refusals


def test_what_cannot_run_in_one_fit_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"COLT, which trains on parts; use overparam\.find_ticket"
    ):
        TicketCallback(COLT())
    with pytest.raises(InputError, match="one round's budget"):
        run(tmp_path, LRR(), max_epochs=-1)
    with pytest.raises(InputError, match="rewind_step must be at most the 6"):
        run(tmp_path, IMP(rewind_step=7))
    with pytest.raises(InputError, match="weight to prune by path"):
        run(tmp_path, LRR(), settings={"granularity": "path"})


# layers of configuration


@pytest.mark.parametrize("package", ["fields", "docking", "neurosym"])
def test_every_package_bundles_the_layer(package):
    from importlib.resources import files

    text = Path(str(files(package))).joinpath("configs", "ticket.yaml").read_text()
    assert "overparam.TicketCallback" in text
    assert "trainer.callbacks+" not in text  # nested, so that it layers under any command


def test_the_layer_turns_an_image_fit_into_a_ticket_run(tmp_path):
    words = (
        "fit --config image --config ticket --data.init_args.side 16 "
        "--model.init_args.field.init_args.width 16 --trainer.max_steps 3 "
        "--data.init_args.epoch_steps 3 --trainer.enable_progress_bar false "
        f"--trainer.accelerator cpu --out {tmp_path / 'run'}"
    )
    assert command("fields", words.split()) == 0
    ticket = Ticket.load(tmp_path / "run" / "ticket.t")
    assert math.isclose(ticket.sparsity, 1 - 0.8**3, abs_tol=1e-3)
    assert [e["steps"] for e in ticket.history] == [3, 6, 9, 12]


def test_masks_and_weights_of_a_ticket_run_load_from_its_checkpoint(tmp_path):
    last = ModelCheckpoint(tmp_path / "c", filename="last", save_top_k=1)
    model, callback, fitted = run(tmp_path, LRR(0.5, 1), callbacks=[last])
    fitted.save_checkpoint(tmp_path / "end.ckpt")
    fresh = Model()
    fresh.load_state_dict(torch.load(tmp_path / "end.ckpt", weights_only=True)["state_dict"])
    assert Masks(fresh).sha() == callback.ticket.sha
    plain = net()  # pruned entries were cleared: a plain network loads the same function
    state = {k.removeprefix("net."): v for k, v in plain_state(model).items()}
    plain.load_state_dict(state)
    assert torch.equal(plain.eval()(X), model.net.eval()(X))
