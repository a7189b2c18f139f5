"""A finished fit leaves pictures that a person can open, of the right size and content."""

import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer

from fields import (
    AudioSamples,
    HashGrid,
    ImagePictures,
    ImageSamples,
    MLPField,
    Relu,
    SignalFit,
    Siren,
)
from fields.drawing.picture import draw_pictures
from fields.photograph import read_photograph
from fields.pictures import draw_curves

# Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


def size(file):
    with Image.open(file) as picture:
        picture.load()
        return picture.size


def trained(folder, callback, data, field=None):
    torch.manual_seed(0)
    module = SignalFit(field or Siren(2, 1, width=8, depth=2))
    trainer = Trainer(
        max_steps=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[callback],
    )
    trainer.fit(module, data)
    return module


def test_pictures_are_written_into_the_runs_folder(tmp_path):
    data = ImageSamples(side=16, epoch_steps=2)
    module = trained(tmp_path, ImagePictures(), data)
    for name in ("fit.png", "overview.png", "psnr.png"):
        assert min(size(tmp_path / name)) >= 16
    values, _ = read_photograph(tmp_path / "fit.png")
    shown = ((module(data.x).detach().clamp(-1, 1) + 1) / 2).view(16, 16, 1)
    assert (values - shown).abs().max() <= 0.5 / 255 + 1e-6


def test_a_folder_of_ones_own_colours_and_fields_without_curvature(tmp_path):
    data = ImageSamples(side=12, channels=3)
    own = tmp_path / "own" / "place"
    trained(tmp_path, ImagePictures(str(own)), data, MLPField(2, 3, width=4, activation=Relu()))
    assert read_photograph(own / "fit.png")[0].shape == (12, 12, 3)
    assert size(own / "overview.png") == (1200, 1260)


def test_encoded_fields_and_strips(tmp_path):
    Image.new("L", (9, 1), 128).save(tmp_path / "strip.png")
    data = ImageSamples(str(tmp_path / "strip.png"), side=9)
    field = MLPField(2, 1, width=4, encoding=HashGrid(2, levels=2, coarsest=2, finest=4))
    trained(tmp_path, ImagePictures(), data, field)
    assert (tmp_path / "overview.png").is_file()


def test_the_curve_survives_a_resumption():
    first = ImagePictures()
    first.curves["train"].append((1, torch.tensor(12.5)))
    second = ImagePictures()
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == {"curves": {"train": [(1, 12.5)], "val": []}}


def test_pictures_on_demand(tmp_path):
    data = ImageSamples(side=8)
    data.setup()
    module = SignalFit(Siren(2, 1, width=4))
    module.signal = data.signal
    assert all(file.is_file() for file in draw_pictures(module, data.y, tmp_path))
    draw_curves({"train": [], "val": []}, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").is_file()


def test_the_older_name_leaves_other_kinds_alone(tmp_path):
    torch.manual_seed(0)
    module = SignalFit(Siren(1, 1, width=4, depth=1))
    trainer = Trainer(
        max_steps=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[ImagePictures()],
    )
    trainer.fit(module, AudioSamples(seconds=0.01))
    assert not list(tmp_path.iterdir())
