"""A rendered sound is the field, at the rate and loudness of the original."""

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from scipy.io import wavfile

from fields import AudioSamples, SignalFit, Siren
from fields.render import OutsideWarning, main
from overparam.errors import InputError


def save(module, file):
    trainer = Trainer(
        logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False
    )
    trainer.strategy.connect(module)
    trainer.save_checkpoint(file, weights_only=True)
    return str(file)


@pytest.fixture(scope="module", params=[1.0, 100.0])
def fitted(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    torch.manual_seed(0)
    stored = (3000 * np.sin(np.arange(400) / 9)).astype(np.int16)
    wavfile.write(folder / "a.wav", 800, stored)
    data = AudioSamples(str(folder / "a.wav"), span=request.param)
    data.setup()
    module = SignalFit(Siren(1, 1, width=8, depth=2, omega=2.0))
    module.signal = data.signal
    return module, data, save(module, folder / "a.ckpt")


def test_at_its_own_resolution_it_is_the_field_in_the_originals_units(fitted, tmp_path):
    module, data, checkpoint = fitted
    assert main([checkpoint, "--out", str(tmp_path / "o.wav"), "--chunk", "33"]) == 0
    rate, stored = wavfile.read(tmp_path / "o.wav")
    assert (rate, stored.dtype, len(stored)) == (800, np.int16, 400)
    exact = module.evaluate(data.x)[:, 0].double().numpy() * data.signal["peak"] * 2**15
    assert np.abs(stored - exact).max() <= 0.5 + 1e-2


def test_more_samples_are_a_higher_rate_and_the_same_waves(fitted, tmp_path):
    _, _, checkpoint = fitted
    main([checkpoint, "--out", str(tmp_path / "own.wav")])
    main([checkpoint, "--out", str(tmp_path / "o.wav"), "--resolution", "799"])
    rate, fine = wavfile.read(tmp_path / "o.wav")
    _, own = wavfile.read(tmp_path / "own.wav")
    assert (rate, len(fine)) == (1600, 799)
    assert np.abs(fine[::2].astype(int) - own).max() <= 1


def test_a_region_is_a_part_at_the_same_rate(fitted, tmp_path):
    _, data, checkpoint = fitted
    low, high = data.signal["extent"][0]
    main([checkpoint, "--out", str(tmp_path / "own.wav")])
    part = ["--region", str(low), "0"]
    main([checkpoint, "--out", str(tmp_path / "o.wav"), *part])
    rate, half = wavfile.read(tmp_path / "o.wav")
    assert len(half) == 201
    assert abs(rate - 800) <= 3  # 200 steps of a half are 199.5 of the whole's
    with pytest.warns(OutsideWarning, match="extrapolates"):
        main([checkpoint, "--out", str(tmp_path / "p.wav"), "--region", "0", str(2 * high)])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--out", "{}/x.png"], "kind audio must end in .wav"),
        (["--out", "{}/x.wav", "--resolution", "1"], "at least 2"),
        (["--out", "{}/x.wav", "--resolution", "5x5"], "must be its samples"),
        (["--out", "{}/x.wav", "--region", "0", "1", "2", "3"], "region must be START END"),
        (["--out", "{}/x.wav", "--region", "0", "0.00001", "--resolution", "99999999"], "wav file"),
        (["--out", "{}/x.wav", "--resolution", "99999999999999"], "GB are free"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(fitted, tmp_path, words, named):
    with pytest.raises(InputError, match=named) as caught:
        main([fitted[2], *(word.format(tmp_path) for word in words)])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
