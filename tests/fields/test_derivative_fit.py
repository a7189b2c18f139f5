"""A fit of derivatives: exact about its loss, scored in its freedom, whole in a checkpoint."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import Callback, Trainer

from fields import CompositeSamples, DerivativeFit, DerivativeSamples, ImageSamples, Siren
from fields.chunk import chunked_mean
from fields.derivative_fit import derivative
from overparam import load_module
from overparam.errors import InputError

# Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


class SaveEpoch(Callback):
    def __init__(self, file):
        self.file = file

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(self.file)


def trained(folder, *, data, steps=3, field=None, resume=None, seed=0, callbacks=(), **options):
    torch.manual_seed(seed)
    module = DerivativeFit(field or Siren(2, 1, width=16, depth=2), **options)
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
    )
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    return module, trainer


@settings(deadline=None, max_examples=15)
@given(
    n=st.integers(1, 30),
    chunk=st.integers(1, 35),
    channels=st.integers(1, 3),
    name=st.sampled_from(["gradient", "laplacian"]),
    weighted=st.booleans(),
)
def test_chunked_value_and_gradient_are_those_of_the_whole(n, chunk, channels, name, weighted):
    torch.manual_seed(0)
    weights = [10.0, 1.0, 5.0][:channels] if weighted else None
    field = Siren(2, channels, width=7, depth=2, omega=5.0).double()
    module = DerivativeFit(field, channel_weights=weights)
    module.signal = {"task": name}
    x = torch.rand(n, 2, dtype=torch.float64)
    shape = (n, channels, 2) if name == "gradient" else (n, channels)
    target = torch.randn(shape, dtype=torch.float64)
    parameters = list(field.parameters())
    whole = module.mse(x, target)
    parts = chunked_mean(module.mse, parameters, (x, target), chunk)
    torch.testing.assert_close(parts, whole)
    ours = torch.autograd.grad(parts, parameters, allow_unused=True)
    theirs = torch.autograd.grad(whole, parameters, allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_the_loss_is_its_formula():
    field = Siren(2, 2, width=7, depth=2).double()
    module = DerivativeFit(field, channel_weights=[3.0, 1.0])
    x = torch.rand(5, 2, dtype=torch.float64)
    module.signal = {"task": "gradient"}
    target = torch.randn(5, 2, 2, dtype=torch.float64)
    difference = torch.stack([torch.func.jacrev(field)(point) for point in x]) - target
    per_channel = difference.square().sum(-1)
    expected = (3 * per_channel[:, 0] + per_channel[:, 1]).mean() / 2
    torch.testing.assert_close(module.mse(x, target), expected)


@pytest.mark.parametrize("name", ["gradient", "laplacian"])
def test_it_reconstructs_better_than_the_mean(tmp_path, name):
    data = DerivativeSamples(derivative=name, side=12, epoch_steps=100)
    _, trainer = trained(
        tmp_path,
        data=data,
        steps=100,
        field=Siren(2, 1, width=32, depth=2, omega=10.0),
        optimizer=lambda p: torch.optim.Adam(p, lr=3e-3),
    )
    metrics = trainer.callback_metrics
    assert metrics["val/psnr"] > data.baselines()["mean"]["psnr"] + 1
    assert metrics["val/derivative_error"] < 0.9
    assert 0 < metrics["val/ssim"] <= 1


def test_the_derivative_error_is_relative_to_the_target(tmp_path):
    data = DerivativeSamples(side=8)
    module, trainer = trained(tmp_path, data=data, chunk=7)
    found = derivative(module.field, data.x, "gradient", create_graph=False)
    expected = (found - data.targets).norm() / data.targets.norm()
    assert math.isclose(trainer.callback_metrics["val/derivative_error"], expected, rel_tol=1e-4)


def test_what_is_displayed_is_what_was_scored(tmp_path):
    data = DerivativeSamples(side=8)
    module, trainer = trained(tmp_path, data=data)
    shown = module.displayed(data.x)
    torch.testing.assert_close(shown.mean(), data.y.mean(), rtol=1e-4, atol=1e-5)
    clamped = (shown.clamp(-1, 1) - data.y).square().mean().item()
    expected = 10 * math.log10(4 / clamped)
    assert math.isclose(trainer.callback_metrics["val/psnr"], expected, abs_tol=1e-2)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = load_module(tmp_path / "a.ckpt", DerivativeFit)
    torch.testing.assert_close(again.displayed(data.x), shown)
    assert torch.equal(trainer.predict(module, data)[0], shown)


def test_resuming_ends_with_the_same_weights(tmp_path):
    def data():
        return DerivativeSamples(side=10, batch_size=40, epoch_steps=2)

    straight, _ = trained(tmp_path, data=data(), steps=6)
    save = SaveEpoch(tmp_path / "half.ckpt")
    half, _ = trained(tmp_path, data=data(), steps=4, callbacks=[save])
    resumed, _ = trained(tmp_path, data=data(), steps=6, resume=tmp_path / "half.ckpt", seed=1)
    assert not torch.equal(half.field.readout.weight, straight.field.readout.weight)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_two_pictures_in_colour(tmp_path):
    data = CompositeSamples(side=10, channels=3)
    module, trainer = trained(
        tmp_path, data=data, field=Siren(2, 3, width=8), channel_weights=[10.0, 1.0, 10.0]
    )
    assert torch.isfinite(trainer.callback_metrics["val/psnr"])
    assert module.signal["task"] == "gradient"


def test_refuses_what_does_not_fit_in_one_line(tmp_path):
    with pytest.raises(InputError, match="needs data with derivatives"):
        trained(tmp_path, data=ImageSamples(side=8))
    with pytest.raises(InputError, match="one for each of 1"):
        trained(tmp_path, data=DerivativeSamples(side=8), channel_weights=[1.0, 2.0])
    with pytest.raises(InputError, match=r"3 channels .* out_features 1: add .*out_features 3"):
        trained(tmp_path, data=DerivativeSamples(side=8, channels=3))
    with pytest.raises(ValueError, match="channel_weights must be positive"):
        DerivativeFit(Siren(2, 1), channel_weights=[-1.0])
