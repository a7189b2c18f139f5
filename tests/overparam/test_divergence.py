"""A loss or weight that is no number ends a run, and never reaches a file that was good."""

import math
import warnings

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import nn
from torch.utils.data import DataLoader

from overparam import OverparameterizedModule
from overparam.divergence import StopsWhenDiverged, first_not_finite
from overparam.errors import InputError
from overparam.run_checkpoint import AtomicCheckpointIO, DivergedError, RunCheckpoint

pytestmark = pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*")


class Fit(StopsWhenDiverged, OverparameterizedModule):
    """A line; the root has an infinite gradient where its argument is nought."""

    def __init__(self, *, root: bool = False, **options):
        super().__init__(**options)
        self.root = root
        self.line = nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        loss = self.line(batch).square().mean()
        return (loss * 0).sqrt() if self.root and batch_idx else loss


def trainer(folder, *callbacks, **options) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(
        max_epochs=1,
        accelerator="cpu",
        enable_checkpointing=False,
        callbacks=[RunCheckpoint(folder, every=0.0), *callbacks],
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        **quiet,
        **options,
    )


def points(*values: float) -> DataLoader:
    return DataLoader([torch.tensor([[v]]) for v in values], batch_size=None)


def finite_weights(file) -> dict:
    state = torch.load(file, weights_only=True)["state_dict"]
    assert state and all(tensor.isfinite().all() for tensor in state.values())
    return state


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [2, 4])
def test_a_loss_that_is_no_number_stops_at_its_step_and_the_file_before_it_stays(
    tmp_path, bad, place
):
    values = [1.0] * 6
    values[place] = bad
    with pytest.raises(
        InputError, match=rf"diverged: the loss is \w+ at step {place}; .*last\.ckpt"
    ):
        trainer(tmp_path).fit(Fit(), points(*values))
    assert 0 < torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] <= place
    finite_weights(tmp_path / "last.ckpt")


def test_the_first_step_has_no_file_to_promise(tmp_path):
    with pytest.raises(DivergedError) as told:
        trainer(tmp_path).fit(Fit(), points(math.nan, 1.0))
    assert "last good state" not in str(told.value)
    assert not (tmp_path / "last.ckpt").exists()


@pytest.mark.parametrize("averaged", [False, True])
def test_weights_lost_under_a_finite_loss_are_never_written(tmp_path, averaged):
    callbacks = [EMAWeightAveraging(decay=0.5)] if averaged else []
    running = trainer(tmp_path, *callbacks)
    with pytest.raises(DivergedError, match=r"line\.\w+ is not finite at step 2|the loss is nan"):
        running.fit(Fit(root=True), points(1.0, 1.0, 1.0))
    finite_weights(tmp_path / "last.ckpt")


def test_whoever_saves_is_refused_before_the_file_is_touched(tmp_path):
    module, running = Fit(), trainer(tmp_path)
    running.fit(module, points(1.0))
    file = tmp_path / "last.ckpt"
    before = file.read_bytes()
    with torch.no_grad():
        module.line.bias.fill_(math.inf)
    with pytest.raises(DivergedError, match=r"line\.bias is not finite"):
        running.save_checkpoint(file)
    assert file.read_bytes() == before


def test_a_healthy_run_notices_nothing(tmp_path):
    weights = []
    for kind in (Fit, type("Plain", (Fit,), {"on_before_backward": lambda self, loss: None})):
        torch.manual_seed(0)
        module = kind(optimizer=lambda p: torch.optim.SGD(p, 0.1))
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            trainer(tmp_path).fit(module, points(1.0, -1.0, 0.5))
        weights.append(module.line.weight.detach().clone())
    assert torch.equal(*weights)


def test_the_first_bad_tensor_is_named():
    good = {"a": torch.ones(2), "count": torch.tensor(3), "note": "words"}
    assert first_not_finite(good) is None
    assert first_not_finite({**good, "b": torch.tensor([1.0, math.nan])}) == "b"
    assert first_not_finite({**good, "c": torch.tensor(1j * math.inf)}) == "c"
