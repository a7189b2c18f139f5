"""Every task leaves native files and an overview, of the fit itself."""

import csv
import math

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer
from scipy.io import wavfile

from fields import (
    AudioSamples,
    CompositeSamples,
    DerivativeFit,
    DerivativeSamples,
    InpaintFit,
    InpaintSamples,
    SignalFit,
    SignalPictures,
    Siren,
    VideoSamples,
)
from fields.drawing import TASKS, drawing
from fields.film import read_film
from fields.photograph import read_photograph

# Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


def trained(folder, module, data):
    trainer = Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[SignalPictures()],
    )
    trainer.fit(module, data)
    return trainer.callback_metrics


def opens(file):
    with Image.open(file) as picture:
        picture.load()
        return picture.size


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "data",
    [
        DerivativeSamples(side=12),
        DerivativeSamples(derivative="laplacian", side=12, channels=3),
        CompositeSamples(side=12),
        CompositeSamples(side=12, channels=3),
    ],
    ids=["gradient", "laplacian", "composite", "colour composite"],
)
def test_reconstructions(tmp_path, data):
    channels = data.channels or 1
    module = DerivativeFit(Siren(2, channels, width=8, depth=2))
    trained(tmp_path, module, data)
    values, _ = read_photograph(tmp_path / "recon.png")
    shown = ((module.displayed(data.x).detach().clamp(-1, 1) + 1) / 2).view(12, 12, channels)
    assert (values - shown).abs().max() <= 0.5 / 255 + 1e-4
    rows = 3 if isinstance(data, CompositeSamples) else 2
    assert opens(tmp_path / "overview.png") == (1200, 420 * rows)
    assert opens(tmp_path / "psnr.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_completions(tmp_path, channels):
    data = InpaintSamples(side=12, channels=channels)
    module = InpaintFit(Siren(2, channels, width=8, depth=2))
    trained(tmp_path, module, data)
    values, _ = read_photograph(tmp_path / "recon.png")
    shown = ((module(data.x).detach().clamp(-1, 1) + 1) / 2).view(12, 12, channels)
    assert (values - shown).abs().max() <= 0.5 / 255 + 1e-4
    assert opens(tmp_path / "overview.png") == (1200, 840)


@pytest.mark.parametrize("samples", [2, 30, 4100])
def test_sounds(tmp_path, samples):
    stored = (9000 * np.sin(np.arange(1, samples + 1))).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", 8000, stored)
    data = AudioSamples(str(tmp_path / "a.wav"))
    module = SignalFit(Siren(1, 1, width=8, depth=2))
    trained(tmp_path, module, data)
    rate, written = wavfile.read(tmp_path / "recon.wav")
    assert (rate, written.dtype) == (8000, np.int16)
    exact = module.evaluate(data.x)[:, 0].double() * data.signal["peak"] * 2**15
    assert np.abs(written - exact.numpy().clip(-(2**15), 2**15 - 1)).max() <= 0.5 + 1e-2
    assert opens(tmp_path / "overview.png") == (1200, 1200)
    assert opens(tmp_path / "snr.png")
    assert not (tmp_path / "psnr.png").exists()


@pytest.mark.parametrize("frames", [1, 3, 7])
def test_films(tmp_path, frames):
    data = VideoSamples(side=16, frames=frames)
    module = SignalFit(Siren(3, 3, width=8, depth=2))
    metrics = trained(tmp_path, module, data)
    assert read_film(tmp_path / "recon.mp4").values.shape == (frames, 12, 16, 3)
    with (tmp_path / "psnr.csv").open() as file:
        rows = [float(row["psnr"]) for row in csv.DictReader(file)]
    assert len(rows) == frames
    assert math.isclose(sum(rows) / frames, metrics["val/psnr"], abs_tol=1e-3)
    assert opens(tmp_path / "overview.png") == (400 * min(frames, 4), 960)


def test_the_task_goes_before_the_kind_and_nothing_draws_the_unknown():
    assert drawing({"kind": "image"}) is not drawing({"kind": "image", "task": "inpaint"})
    assert drawing({"kind": "scent"}) is None
    assert drawing({}) is None
    for name in TASKS:
        assert drawing({"kind": name}).__doc__
