"""The known pixels and the prior, each with its share; the prior's points afresh at every step."""

import pytest
import torch
from pytorch_lightning import Callback, Trainer

from fields import HessianPrior, ImageSamples, InpaintFit, InpaintSamples, Siren, TotalVariation
from overparam import load_module
from overparam.errors import InputError

# Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


class Watch(Callback):
    """Notes every loss and every step's points."""

    def __init__(self):
        self.losses, self.points = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.points.append(pl_module.points())

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())


def trained(folder, *, data=None, steps=4, resume=None, seed=0, watch=None, **options):
    torch.manual_seed(seed)
    module = InpaintFit(Siren(2, 1, width=16, depth=2), **options)
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[] if watch is None else [watch],
    )
    data = data or InpaintSamples(side=12, epoch_steps=2)
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    return module, data, trainer


@pytest.mark.parametrize("prior", [TotalVariation(0.01), HessianPrior(0.001), None])
def test_the_first_loss_is_its_formula_in_any_chunks(tmp_path, prior):
    for chunk in (None, 5):
        watch = Watch()
        trained(tmp_path, steps=1, prior=prior, chunk=chunk, watch=watch)
        torch.manual_seed(0)
        field = Siren(2, 1, width=16, depth=2)
        data = InpaintSamples(side=12)
        data.setup()
        x, y = data.training()
        expected = len(x) / 144 * (field(x) - y).square().mean()
        if prior is not None:
            expected = expected + prior(field, watch.points[0])
        assert watch.losses[0] == pytest.approx(expected.item(), rel=1e-5)


def test_points_are_uniform_on_the_picture_and_new_at_every_step(tmp_path):
    watch = Watch()
    data = InpaintSamples(side=12, aspect=True, epoch_steps=2)
    trained(tmp_path, prior=TotalVariation(), prior_points=4000, watch=watch, data=data)
    one, other = watch.points[:2]
    assert one.shape == (4000, 2)
    assert not torch.equal(one, other)
    assert one.abs().max() <= 1
    # the mean of 4000 uniform numbers strays by 0.009 at one standard deviation
    assert one.mean(0).abs().max() < 0.05
    assert (one.var(0) - 1 / 3).abs().max() < 0.03


def test_half_as_many_points_as_pixels_by_default(tmp_path):
    watch = Watch()
    trained(tmp_path, prior=TotalVariation(), watch=watch, steps=1)
    assert watch.points[0].shape == (72, 2)


def test_a_prior_smooths_and_scores_are_those_of_the_missing(tmp_path):
    rough, data, _ = trained(tmp_path, steps=40)
    smooth, _, trainer = trained(tmp_path, steps=40, prior=TotalVariation(0.1))
    metrics = trainer.callback_metrics
    assert {"val/psnr_missing", "val/psnr", "val/ssim", "train/prior", "train/mse"} <= set(metrics)
    penalty = TotalVariation()
    assert penalty(smooth.field, data.x) < penalty(rough.field, data.x)


def test_resuming_ends_with_the_same_weights(tmp_path):
    options = {"prior": TotalVariation(0.01), "prior_points": 20}
    straight, _, _ = trained(tmp_path, steps=6, **options)
    _, _, trainer = trained(tmp_path, steps=4, **options)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    resumed, _, _ = trained(tmp_path, steps=6, resume=tmp_path / "half.ckpt", seed=1, **options)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_alone_rebuilds_the_fit(tmp_path):
    module, data, trainer = trained(tmp_path, prior=HessianPrior(0.5), steps=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = load_module(tmp_path / "a.ckpt", InpaintFit)
    assert torch.equal(again(data.x), module(data.x))
    assert repr(again.prior) == "HessianPrior(weight=0.5)"


def test_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(InputError, match="needs data with missing pixels"):
        trained(tmp_path, data=ImageSamples(side=8))
    with pytest.raises(ValueError, match="prior_points"):
        InpaintFit(Siren(2, 1), prior_points=0)
