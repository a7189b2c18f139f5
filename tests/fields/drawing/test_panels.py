"""Panels are drawn in one figure, whatever they hold."""

import pytest
import torch
from PIL import Image

from fields.drawing.panels import Panel, Shaper, draw_panels, thinned


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3)])
def test_a_figure_of_so_many_panels(tmp_path, rows, columns):
    kinds = ["value", "error", "bend"]
    panels = [Panel(kinds[i % 3], "", torch.rand(5, 5)) for i in range(rows * columns)]
    draw_panels(panels, columns, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size == (400 * columns, 420 * rows)


def test_empty_places_and_long_pictures(tmp_path):
    panels = [
        Panel("value", "", torch.rand(4, 8)),
        None,
        None,
        Panel("value", "", torch.rand(4, 8)),
    ]
    draw_panels(panels, 3, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size == (1200, 2 * 220)
    draw_panels([Panel("value", "", torch.rand(1, 900))], 1, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size == (400, 120)


def test_constants_and_colour_can_be_drawn(tmp_path):
    panels = [Panel("error", "", torch.zeros(3, 3)), Panel("value", "", torch.rand(3, 3, 3))]
    draw_panels(panels, 2, tmp_path / "p.png")


def test_thinning_is_even_and_enough():
    values = torch.arange(1001.0)
    assert thinned(values, 1001).tolist() == values.tolist()
    few = thinned(values, 100)
    assert len(few) <= 100
    assert (few.diff() == few[1] - few[0]).all()


def test_pictures_of_values_slopes_and_errors():
    of = Shaper([2, 3])
    grey, colour = torch.rand(6, 1) * 2 - 1, torch.rand(6, 3) * 2 - 1
    assert of.shown(grey).shape == (2, 3)
    assert of.shown(colour).shape == (2, 3, 3)
    torch.testing.assert_close(of.shown(grey).flatten(), (grey[:, 0] + 1) / 2)
    slopes = torch.tensor([3.0, 4.0]).expand(6, 1, 2)
    assert (of.length(slopes) == 5).all()
    # what a screen cannot show is no error, and its full range is 1
    assert not of.error(torch.full((6, 1), 9.0), torch.ones(6, 1)).any()
    assert (of.error(-torch.ones(6, 1), torch.ones(6, 1)) == 1).all()
