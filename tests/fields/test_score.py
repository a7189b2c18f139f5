"""Every kind of signal is judged by its own measure, finitely."""

import math

import pytest
import torch

from fields.photograph import psnr
from fields.score import fit_scores, frame_psnr, headline, snr

SOUND = {"kind": "audio", "shape": [300], "power": 0.25}
FILM = {"kind": "video", "shape": [4, 12, 13]}


def test_a_sound_by_the_ratio_of_its_power_to_the_errors():
    y = 0.5 * torch.randn(300, 1).sign()
    scores = fit_scores(y * 1.1, y, SOUND)
    assert list(scores) == ["snr", "mse"]
    assert math.isclose(scores["snr"], 20, abs_tol=1e-3)
    assert math.isclose(scores["mse"], 0.0025, rel_tol=1e-4)
    assert abs(fit_scores(torch.zeros_like(y), y, SOUND)["snr"]) < 1e-3  # silence
    assert 130 < fit_scores(y, y, SOUND)["snr"] < 150


def test_a_sound_is_not_clamped():
    y = torch.zeros(300, 1)
    assert fit_scores(y + 5, y, SOUND)["mse"] == 25


def test_a_film_by_the_mean_over_its_frames():
    y = torch.rand(4 * 12 * 13, 3) * 2 - 1
    fitted = y + 0.1 * torch.randn_like(y)
    scores = fit_scores(fitted, y, FILM)
    each = [
        fit_scores(a, b, {})["psnr"].item()
        for a, b in zip(fitted.split(156), y.split(156), strict=True)
    ]
    assert math.isclose(scores["psnr"], sum(each) / 4, abs_tol=1e-4)
    torch.testing.assert_close(frame_psnr(fitted, y, 4), torch.tensor(each))
    spread = torch.tensor(each).std(correction=0)
    assert math.isclose(scores["psnr_std"], spread, abs_tol=1e-4)


def test_a_film_of_one_frame_has_no_spread():
    y = torch.rand(156, 1)
    assert fit_scores(y, y + 0.1, {"kind": "video", "shape": [1, 12, 13]})["psnr_std"] == 0


def test_an_unknown_kind_by_plain_psnr():
    y = torch.rand(10, 2)
    assert list(fit_scores(y, y, {"kind": "scent"})) == ["psnr"]


@pytest.mark.parametrize("signal", [SOUND, FILM, {}])
def test_the_headline_is_the_leading_score_of_unclamped_values(signal):
    y = torch.rand(4 * 12 * 13, 1) - 0.5
    fitted = 0.9 * y
    mse = (fitted - y).square().mean()
    name, value = headline(mse, signal)
    assert name == next(iter(fit_scores(fitted[:300], y[:300], signal | {"shape": [4, 5, 15]})))
    expected = snr(mse, 0.25) if "power" in signal else psnr(mse, 2.0)
    assert value == expected
