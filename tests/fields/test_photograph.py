"""Pictures arrive as the numbers that were saved; bad ones leave in one line."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fields.photograph import CAMERA, bicubic, psnr, read_photograph, shrink, write_photograph
from overparam.errors import InputError

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def saved(tmp_path, array, name="p.png", mode=None, **options):
    file = tmp_path / name
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(file, **options)
    return file


@pytest.mark.parametrize("array", [GREY, COLOUR])
@pytest.mark.parametrize("name", ["p.png", "p.tif", "p.bmp"])
def test_eight_bit_pictures_arrive_exactly_and_silently(tmp_path, array, name):
    values, notes = read_photograph(saved(tmp_path, array, name))
    assert not notes
    expected = torch.from_numpy(array.reshape(5, 7, -1)).float() / 255
    assert torch.equal(values, expected)


@pytest.mark.parametrize("array", [GREY, COLOUR])
def test_writing_and_reading_is_the_identity(tmp_path, array):
    values = torch.from_numpy(array.reshape(5, 7, -1)).float() / 255
    write_photograph(values, tmp_path / "w.png")
    assert torch.equal(read_photograph(tmp_path / "w.png")[0], values)


def test_transparency_is_laid_on_white(tmp_path):
    array = np.zeros((2, 2, 4), dtype=np.uint8)
    array[0, 0] = (255, 0, 0, 255)
    values, notes = read_photograph(saved(tmp_path, array))
    assert values[0, 0].tolist() == [1, 0, 0]
    assert values[1, 1].tolist() == [1, 1, 1]
    assert "transparency" in notes[0]
    grey = np.array([[[0, 255], [0, 0]]], dtype=np.uint8)
    values, notes = read_photograph(saved(tmp_path, grey))
    assert values[..., 0].tolist() == [[0, 1]]
    assert "transparency" in notes[0]


def test_palettes_become_colour(tmp_path):
    flat = np.repeat(np.array([[[250, 10, 30]]], dtype=np.uint8), 4, axis=1)
    file = saved(tmp_path, flat, mode="P")
    values, notes = read_photograph(file)
    assert values.shape == (1, 4, 3)
    assert any("palette" in note for note in notes)
    picture = Image.new("P", (3, 3), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "t.gif", transparency=1)
    values, notes = read_photograph(tmp_path / "t.gif")
    assert values.min() == 1
    assert any("transparency" in note for note in notes)


def test_sixteen_bits_keep_their_precision(tmp_path):
    array = np.array([[0, 1, 32768, 65535]], dtype=np.uint16)
    values, notes = read_photograph(saved(tmp_path, array))
    torch.testing.assert_close(values[0, :, 0], torch.tensor([0, 1, 32768, 65535]) / 65535)
    assert "16-bit" in notes[0]


def test_wide_integers_are_scaled(tmp_path):
    array = np.array([[-5, 0, 100_000]], dtype=np.int32)
    values, notes = read_photograph(saved(tmp_path, array, "p.tif"))
    assert (values.min(), values.max()) == (0, 1)
    assert "scaled" in notes[0]


def test_floating_point_pictures(tmp_path):
    inside = np.array([[0.0, 0.123456789, 1.0]], dtype=np.float32)
    values, notes = read_photograph(saved(tmp_path, inside, "p.tif"))
    assert torch.equal(values[..., 0], torch.from_numpy(inside))
    assert "kept" in notes[0]
    values, notes = read_photograph(saved(tmp_path, 4 * inside - 1, "q.tif"))
    torch.testing.assert_close(values[..., 0], torch.from_numpy(inside))
    assert "scaled" in notes[0]
    flat = np.full((2, 2), 7.0, dtype=np.float32)
    assert not read_photograph(saved(tmp_path, flat, "r.tif"))[0].any()


def test_other_colour_spaces_and_bilevel(tmp_path):
    values, notes = read_photograph(saved(tmp_path, COLOUR, "p.tif", mode="CMYK"))
    assert values.shape == (5, 7, 3)
    assert "CMYK" in notes[0]
    values, notes = read_photograph(saved(tmp_path, GREY, mode="1"))
    assert set(values.unique().tolist()) <= {0.0, 1.0}
    assert not notes


def test_the_cameras_rotation_is_obeyed(tmp_path):
    tag = Image.Exif()
    tag[0x0112] = 6
    values, notes = read_photograph(saved(tmp_path, GREY, exif=tag))
    assert values.shape == (7, 5, 1)
    assert "EXIF" in notes[0]


def test_animations_give_their_first_frame(tmp_path):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    values, notes = read_photograph(tmp_path / "a.tif")
    assert torch.equal(values[..., 0], torch.from_numpy(GREY).float() / 255)
    assert "first of 2" in notes[0]


def missing(folder):
    return folder / "none.png"


def empty(folder):
    (folder / "e.png").touch()
    return folder / "e.png"


def directory(folder):
    return folder


def text(folder):
    (folder / "t.png").write_text("no picture")
    return folder / "t.png"


def truncated(folder):
    data = CAMERA.read_bytes()
    (folder / "c.png").write_bytes(data[: len(data) // 2])
    return folder / "c.png"


def flipped(folder):
    data = bytearray(CAMERA.read_bytes())
    data[5000:5100] = bytes(100)
    (folder / "f.png").write_bytes(data)
    return folder / "f.png"


def single(folder):
    return saved(folder, GREY[:1, :1])


def not_a_number(folder):
    return saved(folder, np.array([[0.5, math.nan]], dtype=np.float32), "n.tif")


def infinite(folder):
    return saved(folder, np.array([[0.5, math.inf]], dtype=np.float32), "i.tif")


@pytest.mark.parametrize(
    "bad",
    [missing, empty, directory, text, truncated, flipped, single, not_a_number, infinite],
)
def test_bad_pictures_are_refused_in_one_line(tmp_path, bad):
    with pytest.raises(InputError) as caught:
        read_photograph(bad(tmp_path))
    assert "\n" not in str(caught.value)
    assert "picture" in str(caught.value)


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 12), columns=st.integers(2, 12), side=st.integers(2, 14))
def test_shrinking_keeps_proportions_range_and_never_enlarges(rows, columns, side):
    values = torch.rand(rows, columns, 2)
    small = shrink(values, side)
    assert max(small.shape[:2]) == min(side, max(rows, columns))
    assert small.shape[0] == max(1, round(rows * min(1, side / max(rows, columns))))
    assert small.min() >= values.min() - 1e-6
    assert small.max() <= values.max() + 1e-6


def test_shrinking_by_a_whole_factor_averages_blocks():
    values = torch.rand(8, 12, 3)
    blocks = values.reshape(4, 2, 6, 2, 3).mean((1, 3))
    torch.testing.assert_close(shrink(values, 6), blocks)


def test_bicubic_keeps_a_constant():
    large = bicubic(torch.full((4, 5, 1), 0.25), 9, 7)
    torch.testing.assert_close(large, torch.full((9, 7, 1), 0.25))


@given(mse=st.floats(1e-9, 10), peak=st.floats(0.1, 10))
def test_psnr_is_its_formula(mse, peak):
    ours = psnr(torch.tensor(mse, dtype=torch.float64), peak).item()
    assert math.isclose(ours, 10 * math.log10(peak**2 / mse), abs_tol=1e-6)


def test_psnr_of_identical_signals_is_finite_and_largest():
    perfect = psnr(torch.tensor(0.0)).item()
    assert 130 < perfect < 150
    assert perfect > psnr(torch.tensor(1e-12)).item()
