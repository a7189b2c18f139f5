"""Rendering shows the fitted field itself, at any size, and refuses what it cannot do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pytorch_lightning import Trainer

from fields import ImageSamples, SignalFit, Siren
from fields.__main__ import main as fields_main
from fields.__main__ import render as render_command
from fields.image import pixel_extent, pixel_grid
from fields.render import OutsideWarning, main
from fields.rendering.picture import picture_size, render_image
from overparam import OverparameterizedModule
from overparam.errors import InputError

# Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


class Other(OverparameterizedModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))


def pixels(file):
    with Image.open(file) as picture:
        return np.asarray(picture).astype(int)


def save(module, file):
    trainer = Trainer(
        logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False
    )
    trainer.strategy.connect(module)
    trainer.save_checkpoint(file, weights_only=True)
    return str(file)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    torch.manual_seed(0)
    Image.new("RGB", (20, 10), (200, 100, 50)).save(folder / "p.png")
    data = ImageSamples(str(folder / "p.png"), side=20)
    data.setup()
    module = SignalFit(Siren(2, 3, width=8, depth=2))
    module.signal = data.signal
    return module, data, save(module, folder / "a.ckpt")


def test_at_training_resolution_it_is_the_validated_output(fitted, tmp_path):
    module, data, checkpoint = fitted
    assert main([checkpoint, "--out", str(tmp_path / "o.png")]) == 0
    shown = pixels(tmp_path / "o.png")
    values = (module.evaluate(data.x) + 1) / 2
    exact = (values.clamp(0, 1) * 255).view(10, 20, 3).numpy()
    # rounding to 8 bits, and sums of products in another order at another batch size
    assert np.abs(shown - exact).max() <= 0.5 + 1e-3


def test_any_resolution_keeps_the_proportions(fitted, tmp_path):
    _, _, checkpoint = fitted
    main([checkpoint, "--resolution", "50", "--out", str(tmp_path / "o.png")])
    assert pixels(tmp_path / "o.png").shape == (25, 50, 3)
    main([checkpoint, "--resolution", "7x9", "--out", str(tmp_path / "q.png"), "--chunk", "5"])
    assert pixels(tmp_path / "q.png").shape == (7, 9, 3)


@settings(deadline=None, max_examples=15)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), chunk=st.integers(1, 90))
def test_chunks_do_not_change_the_picture(rows, columns, chunk):
    torch.manual_seed(0)
    field = Siren(2, 2, width=5, depth=2)
    extent = pixel_extent(rows, columns)
    ours = render_image(field, rows, columns, extent, chunk=chunk)
    values = (field(pixel_grid(rows, columns, extent)) + 1) / 2
    exact = (values.detach().clamp(0, 1) * 255).view(rows, columns, 2)
    assert (ours - exact).abs().max() <= 0.5 + 1e-3


def test_a_region_is_a_window_of_the_whole(fitted, tmp_path):
    _, _, checkpoint = fitted
    whole, part = tmp_path / "whole.png", tmp_path / "part.png"
    main([checkpoint, "--resolution", "11x21", "--out", str(whole)])
    window = ["--region", "-1", "-1", "0", "1"]
    main([checkpoint, "--resolution", "6x21", "--out", str(part), *window])
    upper = pixels(whole)[:6]
    assert np.abs(upper - pixels(part)).max() <= 1


def test_beyond_the_fitted_coordinates_is_warned_of(fitted, tmp_path):
    _, _, checkpoint = fitted
    with pytest.warns(OutsideWarning, match="extrapolates"):
        main([checkpoint, "--out", str(tmp_path / "o.png"), "--region", "-2", "-1", "1", "1"])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--out", "x.gif"], "must end in .png"),
        (["--out", "{}/none/x.png"], "folder of --out"),
        (["--out", "{}/x.png", "--resolution", "0"], "resolution"),
        (["--out", "{}/x.png", "--resolution", "big"], "resolution"),
        (["--out", "{}/x.png", "--resolution", "9999999"], "GB are free"),
        (["--out", "{}/x.png", "--chunk", "0"], "chunk"),
        (["--out", "{}/x.png", "--region", "1", "0", "0", "1"], "region must be TOP LEFT BOTTOM"),
        (["--out", "{}/x.png", "--region", "0", "1"], "region must be TOP LEFT BOTTOM RIGHT"),
        (["--out", "{}/x.png", "--resolution", "2x3x4"], "resolution must be .* ROWSxCOLUMNS"),
        (["--out", "{}"], "must be a file, got the folder"),
        (["--out", "{}/x.png", "--device", "tpu"], "device"),
        (["--out", "{}/x.png", "--nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(fitted, tmp_path, words, named):
    with pytest.raises(InputError, match=named) as caught:
        main([fitted[2], *(word.format(tmp_path) for word in words)])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without CUDA")
def test_cuda_asked_for_and_absent(fitted, tmp_path):
    with pytest.raises(InputError, match="cuda"):
        main([fitted[2], "--out", str(tmp_path / "o.png"), "--device", "cuda"])


def test_an_existing_file_is_kept_unless_told(fitted, tmp_path):
    out = tmp_path / "o.png"
    out.write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        main([fitted[2], "--out", str(out)])
    assert out.read_text() == "mine"
    main([fitted[2], "--out", str(out), "--overwrite"])
    assert pixels(out).shape == (10, 20, 3)


def test_checkpoints_of_other_things(fitted, tmp_path):
    out = ["--out", str(tmp_path / "o.png")]
    with pytest.raises(InputError, match="existing file"):
        main([str(tmp_path / "none.ckpt"), *out])
    other = save(Other(), tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="holds a Other, no fitted field"):
        main([other, *out])
    unsigned = save(SignalFit(Siren(2, 1, width=4)), tmp_path / "unsigned.ckpt")
    with pytest.raises(InputError, match="does not say what signal"):
        main([unsigned, *out])
    scent = SignalFit(Siren(1, 1, width=4))
    scent.signal = {"kind": "scent"}
    with pytest.raises(InputError, match="kind scent is not supported; kinds: image, audio, video"):
        main([save(scent, tmp_path / "scent.ckpt"), *out])


@given(size=st.integers(1, 4000), rows=st.integers(1, 600), columns=st.integers(1, 600))
@settings(deadline=None)
def test_the_longer_side_is_the_resolution(size, rows, columns):
    found = picture_size(str(size), [rows, columns])
    assert max(found) == size
    assert min(found) >= 1


def test_through_the_command_line(fitted, tmp_path, capsys, monkeypatch):
    out = tmp_path / "o.png"
    assert render_command([fitted[2], "--out", str(out)]) == 0
    monkeypatch.setattr("sys.argv", ["fields", "render", fitted[2], "--out", str(out)])
    assert fields_main() == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "exists already" in captured.err
