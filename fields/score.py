"""How near a fit is to its signal, in the measure that its kind of signal is judged by."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fields.photograph import psnr

SSIM_WINDOW = 11  # pixels; a smaller picture has no structural similarity

Scores = dict[str, Tensor]
Values = Float[Tensor, "n c"]


def fit_scores(fitted: Values, y: Values, signal: dict[str, Any]) -> Scores:
    """Compare the values of a fit with those of its signal.

    Args:
        fitted: The field's values.
        y: The signal's values, in [-1, 1].
        signal: Description of the signal; its ``kind`` chooses the measure.

    Returns:
        Scores by name, the leading one first: for a picture ``psnr`` in dB, on values clamped and
        rescaled to [0, 1], and from 11 pixels each way ``ssim``; for a film the mean of ``psnr``
        over its frames and their ``psnr_std``; for a sound ``snr`` in dB and ``mse``, on samples
        whose peak is 1; for anything else ``psnr``.
    """
    return SCORES.get(signal.get("kind", ""), _plain)(fitted, y, signal)


def headline(mse: Tensor, signal: dict[str, Any]) -> tuple[str, Tensor]:
    """Turn a mean squared error into the leading score of the signal's kind: its name and value.

    Args:
        mse: Mean squared error of values that span [-1, 1].
        signal: Description of the signal; a sound states its own ``power``.
    """
    if "power" in signal:
        return "snr", snr(mse, signal["power"])
    return "psnr", psnr(mse, peak=2.0)


def snr(mse: Tensor, power: float) -> Tensor:
    """Return the signal-to-noise ratio in decibels, ``10 log10(power / mse)``.

    A perfect fit is reported at the resolution of 32-bit numbers, as in ``psnr``.
    """
    floor = power * torch.finfo(torch.float32).eps ** 2
    return 10 * (math.log10(power) - mse.clamp_min(floor).log10())


def frame_psnr(fitted: Values, y: Values, frames: int) -> Float[Tensor, " frames"]:
    """Return the PSNR, dB, of each frame of a film, on values clamped and rescaled to [0, 1]."""
    ours, theirs = (_shown(values).view(frames, -1) for values in (fitted, y))
    return psnr((ours - theirs).square().mean(1))


def _shown(values: Tensor) -> Tensor:
    """Return what a screen can show, as numbers in [0, 1]."""
    return (values.float().clamp(-1, 1) + 1) / 2


def _plain(fitted: Tensor, y: Tensor, signal: dict[str, Any]) -> Scores:
    return {"psnr": psnr(nn.functional.mse_loss(_shown(fitted), _shown(y)))}


def _picture(fitted: Tensor, y: Tensor, signal: dict[str, Any]) -> Scores:
    scores = _plain(fitted, y, signal)
    rows, columns = signal["shape"]
    if min(rows, columns) >= SSIM_WINDOW:
        from torchmetrics.functional.image import structural_similarity_index_measure

        one, other = (_shown(v).T.reshape(1, -1, rows, columns) for v in (fitted, y))
        similarity = structural_similarity_index_measure(one, other, data_range=1.0)
        assert isinstance(similarity, Tensor)
        scores["ssim"] = similarity
    return scores


def _sound(fitted: Tensor, y: Tensor, signal: dict[str, Any]) -> Scores:
    mse = nn.functional.mse_loss(fitted.float(), y.float())
    return {"snr": snr(mse, signal["power"]), "mse": mse}


def _film(fitted: Tensor, y: Tensor, signal: dict[str, Any]) -> Scores:
    each = frame_psnr(fitted, y, signal["shape"][0])
    return {"psnr": each.mean(), "psnr_std": each.std(correction=0)}


# A new kind of signal states its measure here; without one it is scored by PSNR.
SCORES = {"image": _picture, "audio": _sound, "video": _film}
