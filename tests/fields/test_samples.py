"""Streams of points: complete, repeatable, fairly shared; pictures at their coordinates."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fields import ImageSamples
from fields.image import PictureWarning, pixel_extent, pixel_grid
from fields.photograph import CAMERA, read_photograph
from fields.samples import PointStream
from overparam.errors import InputError

quick = settings(deadline=None, max_examples=40)


def stream(n, **options):
    numbers = torch.arange(n, dtype=torch.float32)[:, None]
    return PointStream(numbers, -numbers, **options)


def drawn(batches):
    return torch.cat([x for x, _ in batches]).flatten().long().tolist()


@quick
@given(n=st.integers(1, 30), batch=st.integers(1, 30), seed=st.integers(0, 5))
def test_a_pass_shows_every_point_once_with_its_value(n, batch, seed):
    batches = list(stream(n, batch_size=min(batch, n), seed=seed))
    assert sorted(drawn(batches)) == list(range(n))
    assert all(torch.equal(x, -y) for x, y in batches)
    assert len(batches) == len(stream(n, batch_size=min(batch, n)))


@quick
@given(n=st.integers(1, 30), batch=st.integers(1, 7), steps=st.integers(1, 9))
def test_epochs_are_windows_of_one_endless_stream(n, batch, steps):
    batch = min(batch, n)
    per_pass = math.ceil(n / batch)
    long = stream(n, batch_size=batch, steps=3 * per_pass)
    epoch = [0]
    short = stream(n, batch_size=batch, steps=steps, epoch=lambda: epoch[0])
    found = []
    while len(found) < 3 * per_pass:
        found += list(short)
        epoch[0] += 1
    assert drawn(found[: 3 * per_pass]) == drawn(long)


@quick
@given(n=st.integers(1, 30), world=st.integers(1, 4), whole=st.booleans())
def test_processes_share_the_points_equally(n, world, whole):
    size = None if whole else 2
    shares = [drawn(stream(n, batch_size=size, rank=r, world=world)) for r in range(world)]
    assert {len(share) for share in shares} == {math.ceil(n / world)}
    together = sorted(point for share in shares for point in share)
    assert sorted(set(together)) == list(range(n))
    assert len(together) - n < world


def test_seeds_and_passes_are_shuffled_differently():
    first, second = (drawn(stream(50, batch_size=50, seed=s)) for s in (0, 1))
    assert first != second
    both = stream(50, batch_size=50, steps=2)
    one, two = (drawn([batch]) for batch in both)
    assert one != two


def test_any_number_of_tensors_is_drawn_row_by_row():
    numbers = torch.arange(10)
    three = PointStream(numbers, 2.0 * numbers[:, None], numbers.view(10, 1, 1) > 4, batch_size=4)
    for one, other, third in three:
        assert torch.equal(2.0 * one, other[:, 0])
        assert torch.equal(one > 4, third.flatten())


@quick
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), aspect=st.booleans())
def test_pixels_are_in_matrix_order_inside_the_square(rows, columns, aspect):
    extent = pixel_extent(rows, columns, aspect=aspect)
    x = pixel_grid(rows, columns, extent).view(rows, columns, 2)
    assert x.abs().max() <= 1
    assert (x[1:, :, 0] > x[:-1, :, 0]).all()
    assert (x[:, 1:, 1] > x[:, :-1, 1]).all()
    torch.testing.assert_close(x, -x.flip(0, 1))
    if aspect and rows > 1 and columns > 1:
        torch.testing.assert_close(x[1, 0, 0] - x[0, 0, 0], x[0, 1, 1] - x[0, 0, 1])
    if not aspect and rows > 1:
        assert (x[0, 0, 0], x[-1, 0, 0]) == (-1, 1)


def test_the_bundled_photograph():
    data = ImageSamples(side=None)
    data.setup()
    assert data.x.shape == (512 * 512, 2)
    assert data.y.shape == (512 * 512, 1)
    assert data.scalars_fitted == 512 * 512
    values, _ = read_photograph(CAMERA)
    torch.testing.assert_close((data.y.view(512, 512, 1) + 1) / 2, values)
    assert data.signal["shape"] == [512, 512]


@pytest.mark.parametrize(("channels", "expected"), [(None, 3), (1, 1), (3, 3)])
def test_channels(tmp_path, channels, expected):
    array = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "c.png")
    data = ImageSamples(str(tmp_path / "c.png"), side=8, channels=channels)
    data.setup()
    assert data.y.shape == (48, expected)
    if channels == 1:
        pillow = np.asarray(Image.fromarray(array).convert("L"), dtype=np.float32)
        ours = (data.y.view(6, 8).numpy() + 1) / 2 * 255
        assert np.abs(ours - pillow).max() <= 1  # Pillow rounds


def test_grey_can_be_repeated_as_colour():
    data = ImageSamples(side=8, channels=3)
    data.setup()
    assert torch.equal(data.y[:, 0], data.y[:, 2])


def test_conversions_are_warned_of(tmp_path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "a.png")
    with pytest.warns(PictureWarning, match="transparency"):
        ImageSamples(str(tmp_path / "a.png"), side=4).setup()
    Image.new("L", (4, 3)).save(tmp_path / "b.png")
    with pytest.warns(PictureWarning, match="smaller than side"):
        ImageSamples(str(tmp_path / "b.png"), side=16).setup()


def test_a_strip_of_one_row_is_fine(tmp_path):
    Image.new("L", (4, 1), 255).save(tmp_path / "s.png")
    data = ImageSamples(str(tmp_path / "s.png"), side=4)
    data.setup()
    assert torch.isfinite(data.x).all()
    assert data.x[:, 0].abs().max() == 0


def test_more_points_a_batch_than_there_are_is_refused():
    with pytest.raises(InputError, match="batch_size must be at most the 16"):
        ImageSamples(side=4, batch_size=17).setup()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"side": 1}, "side"),
        ({"channels": 2}, "channels"),
        ({"batch_size": 0}, "batch_size"),
        ({"epoch_steps": 0}, "epoch_steps"),
    ],
)
def test_rejects_senseless_sizes(wrong, named):
    with pytest.raises(ValueError, match=named):
        ImageSamples(**wrong)
