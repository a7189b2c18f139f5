"""A rendered film is the field, frame by frame, at the speed of the original."""

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer

from fields import SignalFit, Siren, VideoSamples
from fields.film import read_film
from fields.render import main
from fields.rendering import Order
from fields.rendering.film import render_frames
from overparam.errors import InputError


def save(module, file):
    trainer = Trainer(
        logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False
    )
    trainer.strategy.connect(module)
    trainer.save_checkpoint(file, weights_only=True)
    return str(file)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    torch.manual_seed(0)
    data = VideoSamples(side=16, frames=4, channels=1)
    data.setup()
    module = SignalFit(Siren(3, 1, width=8, depth=2, omega=2.0))
    module.signal = data.signal
    return module, data, save(module, tmp_path_factory.mktemp("film") / "a.ckpt")


def test_at_its_own_resolution_every_frame_is_the_field(fitted, tmp_path):
    module, data, checkpoint = fitted
    frames, rows, columns = data.signal["shape"]
    order = Order([frames, rows, columns], data.signal["extent"], data.signal, chunk=7)
    drawn = np.stack(list(render_frames(module.field, order)))
    exact = (module.evaluate(data.x).view(frames, rows, columns, 1) + 1) / 2 * 255
    # rounding to 8 bits, and sums of products in another order at another batch size
    assert np.abs(drawn - exact.clamp(0, 255).numpy()).max() <= 0.5 + 1e-2
    assert main([checkpoint, "--out", str(tmp_path / "o.mp4")]) == 0
    film = read_film(tmp_path / "o.mp4")
    assert film.values.shape == (frames, rows, columns, 3)
    assert film.rate == data.signal["rate"]
    # grey, smooth and nearly lossless: a few levels of 255
    assert np.abs(film.values.numpy() * 255 - drawn).max() < 8


@pytest.mark.parametrize(
    ("resolution", "shape", "rate"),
    [("32", (4, 24, 32), 12), ("10x14", (4, 10, 14), 12), ("7x12x16", (7, 12, 16), 24)],
)
def test_sizes_and_speed(fitted, tmp_path, resolution, shape, rate):
    main([fitted[2], "--out", str(tmp_path / "o.mp4"), "--resolution", resolution])
    film = read_film(tmp_path / "o.mp4")
    assert film.values.shape[:3] == shape
    assert film.rate == rate


def test_a_region_of_time_and_space(fitted, tmp_path):
    region = ["--region", "-1", "-1", "-1", "1", "0", "0"]
    main([fitted[2], "--out", str(tmp_path / "o.mp4"), *region])
    film = read_film(tmp_path / "o.mp4")
    assert film.values.shape[:3] == (4, 8, 10)  # 7 and 9, made even


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--out", "{}/x.png"], "kind video must end in .mp4"),
        (["--out", "{}/x.mp4", "--resolution", "1x2x3x4"], "FRAMESxROWSxCOLUMNS"),
        (["--out", "{}/x.mp4", "--region", "0", "0", "1", "1"], "FIRST TOP LEFT LAST BOTTOM RIGHT"),
        (["--out", "{}/x.mp4", "--resolution", "9999999"], "GB are free"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(fitted, tmp_path, words, named):
    with pytest.raises(InputError, match=named) as caught:
        main([fitted[2], *(word.format(tmp_path) for word in words)])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
