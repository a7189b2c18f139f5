"""Sounds arrive as the numbers that were saved; bad ones leave in one line."""

import wave

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from fields.sound import FORMATS, Sound, read_sound, write_sound
from overparam.errors import InputError

rng = np.random.default_rng(0)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_full_swing_one_and_round_trips(tmp_path, name):
    silence, swing = FORMATS[name]
    stored = (silence + swing * np.array([0.0, -1.0, 0.5, -0.25])).astype(name)
    wavfile.write(tmp_path / "a.wav", 8000, stored)
    sound = read_sound(tmp_path / "a.wav")
    assert sound.values.tolist() == [0.0, -1.0, 0.5, -0.25]
    assert (sound.rate, sound.format, sound.notes) == (8000, name, [])
    write_sound(sound, tmp_path / "b.wav")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), n=st.integers(2, 50))
def test_sixteen_bits_survive_reading_and_writing(tmp_path_factory, seed, n):
    folder = tmp_path_factory.mktemp("wav")
    stored = np.random.default_rng(seed).integers(-(2**15), 2**15, n).astype(np.int16)
    wavfile.write(folder / "a.wav", 44100, stored)
    write_sound(read_sound(folder / "a.wav"), folder / "b.wav")
    assert np.array_equal(wavfile.read(folder / "b.wav")[1], stored)


def test_twenty_four_bits_are_full_swing_one_too(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(8000)
        file.writeframes(
            b"".join(n.to_bytes(3, "little", signed=True) for n in (0, 2**22, -(2**23)))
        )
    assert read_sound(tmp_path / "a.wav").values.tolist() == [0.0, 0.5, -1.0]


def test_too_loud_integers_are_clipped_not_wrapped(tmp_path):
    for name in ("uint8", "int16", "int32", "int64"):
        write_sound(Sound(torch.tensor([5.0, -5.0, 0.0]), 8000, name), tmp_path / "a.wav")
        values = read_sound(tmp_path / "a.wav").values
        assert values[0] > 0.99
        assert values[1] == -1


def test_stereo_is_averaged_with_a_note(tmp_path):
    both = rng.integers(-1000, 1000, (20, 2)).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", 8000, both)
    sound = read_sound(tmp_path / "a.wav")
    np.testing.assert_allclose(sound.values, both.mean(1) / 2**15)
    assert "2 channels averaged" in sound.notes[0]


def test_unknown_chunks_are_noted(tmp_path):
    wavfile.write(tmp_path / "a.wav", 8000, np.zeros(10, np.int16))
    data = (tmp_path / "a.wav").read_bytes()
    size = (len(data) - 8 + 12).to_bytes(4, "little")
    odd = b"odd!\x04\x00\x00\x00abcd"
    (tmp_path / "a.wav").write_bytes(data[:4] + size + data[8:36] + odd + data[36:])
    sound = read_sound(tmp_path / "a.wav")
    assert len(sound.values) == 10
    assert any("a.wav" in note for note in sound.notes)


def missing(folder):
    return folder / "none.wav"


def empty(folder):
    (folder / "e.wav").touch()
    return folder / "e.wav"


def directory(folder):
    return folder


def text(folder):
    (folder / "t.wav").write_text("no sound at all")
    return folder / "t.wav"


def headless(folder):
    wavfile.write(folder / "h.wav", 8000, np.zeros(100, np.int16))
    data = (folder / "h.wav").read_bytes()
    (folder / "h.wav").write_bytes(data[:20])
    return folder / "h.wav"


def no_samples(folder):
    wavfile.write(folder / "z.wav", 8000, np.zeros(0, np.int16))
    return folder / "z.wav"


def one_sample(folder):
    wavfile.write(folder / "o.wav", 8000, np.ones(1, np.int16))
    return folder / "o.wav"


def not_a_number(folder):
    wavfile.write(folder / "n.wav", 8000, np.array([0.0, np.nan], np.float32))
    return folder / "n.wav"


def infinite(folder):
    wavfile.write(folder / "i.wav", 8000, np.array([0.0, np.inf], np.float32))
    return folder / "i.wav"


BAD = [
    missing,
    empty,
    directory,
    text,
    headless,
    no_samples,
    one_sample,
    not_a_number,
    infinite,
]


@pytest.mark.parametrize("bad", BAD)
def test_bad_sounds_are_refused_in_one_line(tmp_path, bad):
    with pytest.raises(InputError) as caught:
        read_sound(bad(tmp_path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
