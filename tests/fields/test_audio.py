"""Sounds become samples at their times, at peak 1, and say how to become sounds again."""

import math

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from fields import AudioSamples
from fields.audio import SoundWarning
from overparam.errors import InputError


def saved(folder, values, rate=1000):
    wavfile.write(folder / "a.wav", rate, values)
    return str(folder / "a.wav")


def test_the_bundled_sound():
    data = AudioSamples()
    data.setup()
    assert data.x.shape == data.y.shape == (16000, 1)
    assert (data.x[0], data.x[-1]) == (-1, 1)
    assert data.signal["kind"] == "audio"
    assert data.scalars_fitted == 16000
    assert math.isclose(data.signal["power"], data.y.square().mean(), rel_tol=1e-5)


def test_the_peak_is_divided_out_and_kept(tmp_path):
    stored = np.array([0, 100, -400, 200], np.int16)
    data = AudioSamples(saved(tmp_path, stored))
    data.setup()
    assert data.y[:, 0].tolist() == [0, 0.25, -1, 0.5]
    back = data.y[:, 0].double() * data.signal["peak"] * 2**15
    assert back.round().tolist() == stored.tolist()
    assert (data.signal["rate"], data.signal["format"]) == (1000, "int16")


@pytest.mark.parametrize("span", [1.0, 100.0])
def test_times_span_what_is_asked(span):
    data = AudioSamples(span=span, seconds=0.1)
    data.setup()
    torch.testing.assert_close(data.x[[0, -1], 0], torch.tensor([-span, span]))
    steps = data.x.double().diff(dim=0)
    torch.testing.assert_close(steps, torch.full_like(steps, 2 * span / 799), rtol=1e-3, atol=0)


def test_a_part_of_a_sound(tmp_path):
    stored = np.arange(1, 11, dtype=np.float32) / 20
    data = AudioSamples(saved(tmp_path, stored, rate=10), start=0.2, seconds=0.5)
    data.setup()
    torch.testing.assert_close(data.y[:, 0] * data.signal["peak"], torch.from_numpy(stored[2:7]))
    data = AudioSamples(saved(tmp_path, stored, rate=10), start=0.5, seconds=99.0)
    data.setup()
    assert len(data.y) == 5


def test_stereo_is_warned_of(tmp_path):
    path = saved(tmp_path, np.ones((5, 2), np.int16))
    with pytest.warns(SoundWarning, match="2 channels averaged"):
        AudioSamples(path).setup()


def test_silence_is_refused_however_it_arises(tmp_path):
    with pytest.raises(InputError, match="must not be silent"):
        AudioSamples(saved(tmp_path, np.full(9, 128, np.uint8))).setup()
    stereo = np.array([[100, -100], [7, -7]], np.int16)
    with (
        pytest.warns(SoundWarning, match="averaged"),
        pytest.raises(InputError, match="must not be silent"),
    ):
        AudioSamples(saved(tmp_path, stereo)).setup()


def test_a_start_after_the_end_and_a_batch_of_too_many(tmp_path):
    path = saved(tmp_path, np.ones(50, np.int16))
    with pytest.raises(InputError, match="at least 2 samples after start"):
        AudioSamples(path, start=1.0).setup()
    with pytest.raises(InputError, match="batch_size must be at most the 50"):
        AudioSamples(path, batch_size=51).setup()


def test_the_mean_is_the_baseline():
    data = AudioSamples(seconds=0.2)
    data.setup()
    scores = data.baselines()["mean"]
    assert math.isclose(scores["mse"], data.y.var(correction=0).item(), rel_tol=1e-4)
    assert 0 <= scores["snr"] < 1


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"start": -1.0}, "start"), ({"seconds": 0.0}, "seconds"), ({"span": 0.0}, "span"),
     ({"span": math.inf}, "span"), ({"start": math.nan}, "start")],
)  # fmt: skip
def test_rejects_senseless_sizes(wrong, named):
    with pytest.raises(ValueError, match=named):
        AudioSamples(**wrong)
