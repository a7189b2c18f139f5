"""A fitted sound: heard, and seen as waves and as spectra."""

from pathlib import Path
from typing import Any

import numpy as np

from fields.audio import AudioSamples
from fields.fit import SignalFit
from fields.score import fit_scores
from fields.sound import Sound, write_sound

BUCKETS = 2000  # points across a figure: of more samples the lowest and highest are drawn
CLOSE = 0.02  # seconds of the part drawn enlarged


def draw(module: SignalFit, data: AudioSamples, folder: Path) -> list[Path]:
    """Write the sound and draw it.

    Returns:
        The files written: ``recon.wav``, at the original's rate, loudness and sample format;
        ``overview.png``, with the waves of reference and fit, their difference, a part enlarged,
        and the spectra over time.
    """
    signal = module.signal
    fitted = module.evaluate(data.x.to(module.device)).cpu()
    values = fitted[:, 0].double()
    sound = Sound(values * signal["peak"], signal["rate"], signal["format"])
    write_sound(sound, folder / "recon.wav")
    scores = fit_scores(fitted, data.y, signal)
    title = f"fit, SNR {scores['snr'].item():.2f} dB, MSE {scores['mse'].item():.3g}"
    _figure(
        data.y[:, 0].double().numpy(),
        values.numpy(),
        signal["rate"],
        (signal.get("name", "sound"), title),
        folder / "overview.png",
    )
    return [folder / "recon.wav", folder / "overview.png"]


def _figure(
    reference: np.ndarray, fitted: np.ndarray, rate: int, titles: tuple[str, str], file: Path
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 12), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic([["wave", "close"], ["error", "error"], ["one", "other"]])
    _wave(axes["wave"], reference, rate, label="reference", color="0.6")
    _wave(axes["wave"], fitted, rate, label="fit", color="C0", alpha=0.7)
    axes["wave"].set_title(titles[1], fontsize=10)
    axes["wave"].legend(loc="upper right")
    _wave(axes["error"], fitted - reference, rate, color="C3")
    axes["error"].set_title(
        f"difference, at most {np.abs(fitted - reference).max():.3g}", fontsize=10
    )
    loudest = int(np.abs(reference).argmax())
    first = max(0, min(loudest, len(reference) - round(CLOSE * rate)))
    part = slice(first, first + max(round(CLOSE * rate), 2))
    times = np.arange(len(reference))[part] / rate
    axes["close"].plot(times, reference[part], color="0.6")
    axes["close"].plot(times, fitted[part], color="C0", linewidth=0.8)
    axes["close"].set_title("enlarged where it is loudest", fontsize=10)
    for name in ("wave", "error", "close"):
        axes[name].set_xlabel("seconds")
    _spectra(axes["one"], axes["other"], reference, fitted, rate, titles)
    figure.savefig(file, dpi=100)


def _wave(axes: Any, values: np.ndarray, rate: int, **style: Any) -> None:
    """Draw a wave, or of many samples the band between the lowest and the highest near by."""
    step = -(-len(values) // BUCKETS)
    if step == 1:
        axes.plot(np.arange(len(values)) / rate, values, linewidth=0.8, **style)
        return
    starts = np.arange(0, len(values), step)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    axes.fill_between(starts / rate, low, high, linewidth=0.3, **style)


def _spectra(
    one: Any,
    other: Any,
    reference: np.ndarray,
    fitted: np.ndarray,
    rate: int,
    titles: tuple[str, str],
) -> None:
    """Draw power over time and frequency, 80 dB below the reference's loudest point."""
    from scipy.signal import spectrogram

    window = min(512, len(reference))
    top = None
    for axes, values, title in zip((one, other), (reference, fitted), titles, strict=True):
        rates, _, power = spectrogram(
            values, rate, nperseg=window, noverlap=window // 2, detrend=False
        )
        level = 10 * np.log10(power + 1e-20)
        top = float(level.max()) if top is None else top
        # a sound shorter than two windows has one column of spectrum
        ends = (0.0, len(values) / rate, float(rates[0]), float(rates[-1]))
        axes.imshow(level, origin="lower", aspect="auto", extent=ends, vmin=top - 80, vmax=top)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("seconds")
        axes.set_ylabel("hertz")
