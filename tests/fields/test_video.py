"""Films become pixels at their times and places."""

import numpy as np
import pytest
import torch
from PIL import Image

from fields import VideoSamples
from fields.video import FilmWarning
from overparam.errors import InputError

rng = np.random.default_rng(0)
ARRAY = rng.integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "a.npy", ARRAY)
    return str(tmp_path / "a.npy")


def test_the_bundled_film():
    data = VideoSamples()
    data.setup()
    assert data.x.shape == data.y.shape == (24 * 48 * 64, 3)
    assert data.signal["shape"] == [24, 48, 64]
    assert data.x.abs().max() == 1


def test_pixels_are_in_order_of_time_row_and_column(path):
    data = VideoSamples(path)
    data.setup()
    shown = (data.y.view(3, 4, 6, 3) + 1) / 2
    torch.testing.assert_close(shown, torch.from_numpy(ARRAY).float() / 255)
    x = data.x.view(3, 4, 6, 3)
    assert x[0, 0, 0].tolist() == [-1, -1, -1]
    assert x[2, 0, 5].tolist() == [1, -1, 1]


@pytest.mark.parametrize("size", [(1, 4, 6), (3, 1, 6), (3, 4, 1)])
def test_axes_of_one_sample_lie_in_the_middle(tmp_path, size):
    np.save(tmp_path / "b.npy", ARRAY[: size[0], : size[1], : size[2]])
    data = VideoSamples(str(tmp_path / "b.npy"))
    data.setup()
    assert torch.isfinite(data.x).all()
    assert not data.x[:, size.index(1)].any()
    assert data.baselines()["mean"]["psnr"] > 0


@pytest.mark.parametrize(("channels", "expected"), [(None, 3), (1, 1), (3, 3)])
def test_channels(path, channels, expected):
    data = VideoSamples(path, channels=channels)
    data.setup()
    assert data.y.shape[1] == data.signal["channels"] == expected


@pytest.mark.parametrize("bundled", [True, False])
def test_parts_and_reductions(path, bundled):
    data = VideoSamples(None if bundled else path, side=3, start=1, stride=1, frames=2)
    data.setup()
    assert data.signal["shape"] == [2, 2, 3]
    whole = VideoSamples(None if bundled else path, stride=2)
    whole.setup()
    assert whole.signal["rate"] == (6 if bundled else 12.5)


def test_a_single_pixel_is_refused(path, tmp_path):
    np.save(tmp_path / "b.npy", ARRAY[:1, :1, :1])
    with pytest.raises(InputError, match="at least 2 pixels"):
        VideoSamples(str(tmp_path / "b.npy")).setup()


def test_a_start_after_the_end_and_a_batch_of_too_many(path):
    for source in (None, path):
        with pytest.raises(InputError, match="no frame 24"):
            VideoSamples(source, start=24).setup()
    with pytest.raises(InputError, match="batch_size must be at most the 72"):
        VideoSamples(path, batch_size=73).setup()


def test_conversions_are_warned_of(tmp_path):
    for index in range(2):
        Image.new("RGBA", (4, 4), (0, 0, 0, 128)).save(tmp_path / f"{index}.png")
    with pytest.warns(FilmWarning, match="transparency"):
        VideoSamples(str(tmp_path)).setup()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"side": 1}, "side"), ({"start": -1}, "start"), ({"stride": 0}, "stride"),
     ({"frames": 0}, "frames"), ({"channels": 2}, "channels")],
)  # fmt: skip
def test_rejects_senseless_sizes(wrong, named):
    with pytest.raises(ValueError, match=named):
        VideoSamples(**wrong)
