"""Films arrive frame by frame as they were saved; bad ones leave in one line."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from fields.film import read_film, write_film
from fields.photograph import quantise, shrink
from fields.specimen import moving_shapes
from overparam.errors import InputError

rng = np.random.default_rng(0)
SHAPES = quantise(moving_shapes(9, 36, 50)).numpy()
GREY = SHAPES.mean(-1, keepdims=True).astype(np.uint8)
ARRAY = rng.integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)


def decibels(values, stored):
    return -10 * math.log10(np.square(values.numpy() - stored / 255).mean())


def smooth(frames=6, rows=32, columns=48):
    t, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in (frames, rows, columns)), indexing="ij")
    waves = [np.sin(2 * x + t), np.cos(3 * y - t), np.sin(2 * x + 2 * y)]
    return np.round(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)


# 8 bits leave 59 dB, rounding of brightness to 219 steps some 50, compression at this quality
# takes a few more; colour is stored at half resolution, which a smooth film hardly feels.
@pytest.mark.parametrize(("film", "least"), [(GREY, 40), (smooth(), 38)])
def test_an_mp4_comes_back_nearly_as_it_was(tmp_path, film, least):
    write_film(film, 12.5, tmp_path / "a.mp4")
    read = read_film(tmp_path / "a.mp4")
    assert read.values.shape == (*film.shape[:3], 3)
    assert read.rate == 12.5
    assert decibels(read.values, film) > least
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_odd_sides_are_made_even_by_repetition(tmp_path):
    write_film(GREY[:, :35, :49], 30000 / 1001, tmp_path / "a.mp4")
    read = read_film(tmp_path / "a.mp4")
    assert read.values.shape[1:3] == (36, 50)
    assert math.isclose(read.rate, 30000 / 1001, rel_tol=1e-6)
    assert decibels(read.values[:, :35, :49], GREY[:, :35, :49]) > 38


def test_one_frame_of_one_pixel_is_a_film(tmp_path):
    write_film(GREY[:1, :1, :1], 1.0, tmp_path / "a.mp4")
    assert read_film(tmp_path / "a.mp4").values.shape == (1, 2, 2, 3)


def test_a_film_without_frames_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        write_film([], 25.0, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_film_leaves_what_was_there(tmp_path):
    (tmp_path / "a.mp4").write_text("mine")

    def frames():
        yield GREY[0]
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_film(frames(), 25.0, tmp_path / "a.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "mine"


@pytest.mark.parametrize("kind", ["npy", "floats", "folder"])
def test_other_sources_arrive_exactly(tmp_path, kind):
    path = tmp_path / "film.npy"
    if kind == "folder":
        path = tmp_path
        for index, frame in enumerate(ARRAY):
            Image.fromarray(frame).save(tmp_path / f"{index:03}.png")
        (tmp_path / "notes.txt").write_text("not a frame")
    else:
        np.save(path, ARRAY if kind == "npy" else (ARRAY / 255).astype(np.float32))
    read = read_film(path)
    torch.testing.assert_close(read.values, torch.from_numpy(ARRAY).float() / 255)
    assert read.rate == 25


def test_grey_arrays_need_no_channel(tmp_path):
    np.save(tmp_path / "a.npy", ARRAY[..., 0])
    assert read_film(tmp_path / "a.npy").values.shape == (4, 5, 6, 1)


@pytest.mark.parametrize(
    ("start", "stride", "frames", "expected"),
    [(0, 1, None, [0, 1, 2, 3]), (1, 1, None, [1, 2, 3]), (0, 2, None, [0, 2]), (1, 2, 9, [1, 3]),
     (0, 3, 1, [0])],
)  # fmt: skip
def test_frames_are_picked_and_speed_is_kept(tmp_path, start, stride, frames, expected):
    np.save(tmp_path / "a.npy", ARRAY)
    read = read_film(tmp_path / "a.npy", start=start, stride=stride, frames=frames)
    torch.testing.assert_close(read.values, torch.from_numpy(ARRAY[expected]).float() / 255)
    assert read.rate == 25 / stride


def test_frames_are_reduced_like_pictures(tmp_path):
    np.save(tmp_path / "a.npy", ARRAY)
    read = read_film(tmp_path / "a.npy", side=3)
    expected = [shrink(torch.from_numpy(frame).float() / 255, 3) for frame in ARRAY]
    torch.testing.assert_close(read.values, torch.stack(expected))


def test_sound_is_left_out_with_a_note(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as opened:
        pictures, sound = opened.add_stream("libx264", 10), opened.add_stream("aac", 8000)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        opened.mux(pictures.encode(frame))
        opened.mux(pictures.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        opened.mux(sound.encode(silence))
        opened.mux(sound.encode())
    assert "sound left out" in read_film(tmp_path / "a.mp4").notes[0]


def saved(folder, array, name="a.npy"):
    np.save(folder / name, array)
    return folder / name


def missing(folder):
    return folder / "none.mp4"


def empty(folder):
    (folder / "e.mp4").touch()
    return folder / "e.mp4"


def no_pictures(folder):
    return folder


def text(folder):
    (folder / "t.mp4").write_text("no film at all")
    return folder / "t.mp4"


def truncated(folder):
    write_film(GREY, 25.0, folder / "w.mp4")
    data = (folder / "w.mp4").read_bytes()
    (folder / "c.mp4").write_bytes(data[: len(data) // 2])
    return folder / "c.mp4"


def no_array(folder):
    (folder / "t.npy").write_text("no array")
    return folder / "t.npy"


def flat(folder):
    return saved(folder, np.zeros((4, 4), np.uint8))


def many_channels(folder):
    return saved(folder, np.zeros((2, 4, 4, 5), np.uint8))


def no_frames(folder):
    return saved(folder, np.zeros((0, 4, 4), np.uint8))


def wide_integers(folder):
    return saved(folder, np.zeros((2, 4, 4), np.int64))


def not_a_number(folder):
    return saved(folder, np.full((2, 4, 4), np.nan, np.float32))


def out_of_range(folder):
    return saved(folder, np.full((2, 4, 4), 1.5, np.float32))


def objects(folder):
    return saved(folder, np.array([{"a": 1}], dtype=object))


def unequal(folder):
    for size in (4, 5):
        Image.fromarray(np.zeros((size, 4), np.uint8)).save(folder / f"{size}.png")
    return folder


BAD = [
    missing,
    empty,
    no_pictures,
    text,
    truncated,
    no_array,
    flat,
    many_channels,
    no_frames,
    wide_integers,
    not_a_number,
    out_of_range,
    objects,
    unequal,
]


@pytest.mark.parametrize("bad", BAD)
def test_bad_films_are_refused_in_one_line(tmp_path, bad):
    with pytest.raises(InputError) as caught:
        read_film(bad(tmp_path))
    assert "\n" not in str(caught.value)
    assert "film" in str(caught.value)


def test_a_start_beyond_the_end_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", ARRAY)
    with pytest.raises(InputError, match="no frame 4"):
        read_film(tmp_path / "a.npy", start=4)


@pytest.mark.parametrize("frames", [1, 3])
def test_what_memory_cannot_hold_is_refused(tmp_path, monkeypatch, frames):
    np.save(tmp_path / "a.npy", ARRAY)
    one = 5 * 4 * ARRAY[0].size / 0.8
    monkeypatch.setattr("fields.film.free_memory", lambda: int((frames - 0.5) * one))
    with pytest.raises(InputError, match="free memory: reduce side or frames"):
        read_film(tmp_path / "a.npy", frames=frames)
    if frames > 1:
        assert len(read_film(tmp_path / "a.npy", frames=frames - 1).values) == frames - 1
