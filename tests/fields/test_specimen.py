"""Signals made by formula are within range, of the size asked for, and not trivial."""

import pytest
import torch

from fields import specimen


def test_the_chord_is_loud_but_not_clipped_and_fills_its_band():
    values = specimen.chord(1.0, 8000)
    assert values.shape == (8000,)
    assert abs(values.abs().max().item() - 0.9) < 1e-12
    power = torch.fft.rfft(values).abs().square()
    hertz = torch.fft.rfftfreq(8000, 1 / 8000)
    assert power[hertz > 2000].sum() < 1e-3 * power.sum()
    assert power[hertz > 1000].sum() > 1e-3 * power.sum()
    torch.testing.assert_close(values, specimen.chord(1.0, 8000), rtol=0, atol=0)


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 9), (24, 48, 64)])
def test_the_shapes_are_pictures_that_move(size):
    film = specimen.moving_shapes(*size)
    assert film.shape == (*size, 3)
    assert 0 <= film.min() <= film.max() <= 1
    if size[0] > 1:
        assert (film[1:] - film[:-1]).abs().flatten(1).max(1).values.min() > 0.1


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (340, 512)])
def test_the_rings_are_a_picture(size):
    picture = specimen.rings(*size)
    assert picture.shape == (*size, 1)
    assert 0 <= picture.min() <= picture.max() <= 1
    # the same at half a turn, but for the discs
    if size[0] > 7:
        difference = (picture - picture.flip(0, 1)).abs()
        assert (difference > 1e-4).float().mean() < 0.3


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="seconds"):
        specimen.chord(0.0)
    with pytest.raises(ValueError, match="sizes"):
        specimen.moving_shapes(0, 1, 1)
    with pytest.raises(ValueError, match="sizes"):
        specimen.rings(0, 1)
