"""A fit is exact about its loss, honest about its score, and travels whole in a checkpoint."""

import math

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch import nn

from fields import GaussianFourier, ImageSamples, SignalFit, Siren
from fields.fit import fit_scores
from overparam import load_module
from overparam.errors import InputError

# Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


class SaveEpoch(Callback):
    def __init__(self, file):
        self.file = file

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(self.file)


def trained(
    tmp_path, *, steps=4, field=None, data=None, callbacks=(), resume=None, seed=0, **options
):
    torch.manual_seed(seed)
    module = SignalFit(field or Siren(2, 1, width=16, depth=2), **options)
    data = data or ImageSamples(side=12, epoch_steps=2)
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    return module, data, trainer


def test_improves_and_logs_what_it_says(tmp_path):
    module, data, trainer = trained(tmp_path, steps=60)
    metrics = trainer.callback_metrics
    flat = fit_scores(data.y.mean().expand_as(data.y), data.y, data.signal)
    assert metrics["val/psnr"] > flat["psnr"] + 3  # of the mean value, without any detail
    assert 0 < metrics["val/ssim"] <= 1
    loss = nn.functional.mse_loss(module(data.x), data.y)
    clamped = nn.functional.mse_loss(module(data.x).clamp(-1, 1), data.y)
    expected = 10 * math.log10(4 / clamped.item())
    assert math.isclose(metrics["val/psnr"].item(), expected, abs_tol=1e-3)
    assert clamped <= loss
    assert module.scalars_fitted == 144


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunks_do_not_change_training(tmp_path, chunk):
    whole = trained(tmp_path)[0]
    parts = trained(tmp_path, chunk=chunk)[0]
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_checkpoint_alone_rebuilds_the_field(tmp_path):
    field = Siren(2, 1, width=[9, 8], encoding=GaussianFourier(2, features=5, seed=4))
    module, data, trainer = trained(tmp_path, field=field, chunk=50)
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    again = load_module(tmp_path / "a.ckpt", SignalFit)
    assert torch.equal(again(data.x), module(data.x))
    assert again.signal == data.signal
    assert again.scalars_fitted == data.scalars_fitted
    assert again.chunk == 50


def test_resuming_ends_with_the_same_weights(tmp_path):
    options = {"side": 12, "batch_size": 50, "epoch_steps": 2}
    straight, _, _ = trained(tmp_path, steps=8, data=ImageSamples(**options))
    half = tmp_path / "half.ckpt"
    again, _, _ = trained(
        tmp_path, steps=4, data=ImageSamples(**options), callbacks=[SaveEpoch(half)]
    )
    assert not torch.equal(again.field.readout.weight, straight.field.readout.weight)
    resumed, _, _ = trained(tmp_path, steps=8, data=ImageSamples(**options), resume=half, seed=1)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_last_step_is_scored_wherever_it_falls(tmp_path):
    module, data, trainer = trained(tmp_path, steps=5, data=ImageSamples(side=12, epoch_steps=3))
    final = fit_scores(module(data.x).detach(), data.y, data.signal)
    assert math.isclose(trainer.callback_metrics["val/psnr"], final["psnr"], abs_tol=1e-4)


def test_divergence_stops_with_a_reason(tmp_path):
    with pytest.raises(InputError, match=r"diverged: the loss is (nan|inf) at step"):
        trained(tmp_path, steps=400, optimizer=lambda p: torch.optim.SGD(p, lr=1e18))


def test_weights_that_are_not_finite_are_never_written(tmp_path):
    module, _, trainer = trained(tmp_path)
    good = tmp_path / "last.ckpt"
    trainer.save_checkpoint(good)
    before = good.read_bytes()
    with torch.no_grad():
        module.field.readout.weight[0, 0] = math.nan
    with pytest.raises(InputError, match=r"field\.readout\.weight is not finite"):
        trainer.save_checkpoint(good)
    assert good.read_bytes() == before


def test_a_field_of_another_size_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(InputError, match=r"3 channels .* out_features 1: add .*out_features 3"):
        trained(tmp_path, data=ImageSamples(side=8, channels=3))
    with pytest.raises(InputError, match=r"2 coordinates .* in_features 3"):
        trained(tmp_path, field=Siren(3, 1, width=4))


def test_prediction_is_the_field_on_every_pixel(tmp_path):
    module, data, trainer = trained(tmp_path)
    (values,) = trainer.predict(module, data)
    torch.testing.assert_close(values, module(data.x))


def test_identical_pictures_score_finitely():
    y = torch.rand(400, 1) * 2 - 1
    scores = fit_scores(y, y, {"kind": "image", "shape": [20, 20]})
    assert 130 < scores["psnr"] < 150
    assert math.isclose(scores["ssim"].item(), 1.0, abs_tol=1e-6)


def test_tiny_pictures_have_no_structural_similarity():
    y = torch.rand(50, 1)
    assert set(fit_scores(y, y, {"kind": "image", "shape": [5, 10]})) == {"psnr"}
    assert set(fit_scores(y, y, {})) == {"psnr"}


def test_scores_ignore_what_a_screen_cannot_show():
    y = torch.ones(100, 1)
    assert fit_scores(y * 7, y, {})["psnr"] > 130


def test_reports_its_size_against_the_data(tmp_path):
    module, _, _ = trained(tmp_path)
    report = module.report()
    assert report.dense == sum(p.numel() for p in module.parameters())
    assert math.isclose(module.overparam_ratio, report.dense / 144)


def test_rejects_a_senseless_chunk():
    with pytest.raises(ValueError, match="chunk"):
        SignalFit(Siren(2, 1, width=4), chunk=0)
