"""The bundled configurations run, leave what they promise, and refuse bad input in one line."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

from fields.__main__ import render
from overparam import load_module
from overparam.cli import bundled_configs, run

PRESETS = ["", "_fast", "_best", "_paper"]

# Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")

IMAGE = ["image", "image_best", "image_fast", "image_paper"]
SMALL = ["--data.init_args.side", "16", "--trainer.enable_progress_bar", "false"]

# What makes a config of each kind small enough for a test.
NARROW = ["--trainer.enable_progress_bar", "false", "--model.init_args.field.init_args.width", "8"]
SIDE = [*NARROW, "--data.init_args.side", "12"]
TINY = {
    "audio": [*NARROW, "--data.init_args.seconds", "0.02"],
    "video": [*SIDE, "--data.init_args.frames", "2", "--data.init_args.batch_size", "50"],
    "image_gradient": SIDE,
    "image_laplacian": SIDE,
    "composite": SIDE,
    "inpaint": SIDE,
}
# Kind -> native files of a run, suffix of a rendering.
LEFT = {
    "audio": (["recon.wav", "overview.png", "snr.png"], ".wav"),
    "video": (["recon.mp4", "psnr.csv", "overview.png", "psnr.png"], ".mp4"),
    "image_gradient": (["recon.png", "overview.png", "psnr.png"], ".png"),
    "image_laplacian": (["recon.png", "overview.png", "psnr.png"], ".png"),
    "composite": (["recon.png", "overview.png", "psnr.png"], ".png"),
    "inpaint": (["recon.png", "overview.png", "psnr.png"], ".png"),
}


def test_every_experiment_has_its_presets():
    presets = [f"{name}{preset}" for name in ("image", *TINY) for preset in PRESETS]
    assert set(presets) <= set(bundled_configs("fields"))


def test_every_config_says_first_what_it_is_and_how_to_run_it():
    for name, file in bundled_configs("fields").items():
        first = file.read_text().splitlines()[0]
        told = "NAME --config ticket" if name == "ticket" else name
        assert first.endswith(f"Run: python -m fields fit --config {told}")


@pytest.mark.parametrize("name", IMAGE)
def test_each_runs_one_step(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("fields", ["fit", "--config", name, "--trainer.fast_dev_run", "true", *SMALL]) == 0
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS[1:])
@pytest.mark.parametrize("name", TINY)
def test_each_preset_runs_one_step(name, preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--config", name + preset, "--trainer.fast_dev_run", "true"]
    assert run("fields", ["fit", *words, *TINY[name]]) == 0


@pytest.mark.parametrize("name", TINY)
def test_each_leaves_its_native_files_baselines_and_something_to_render(name, tmp_path):
    folder = tmp_path / "run"
    words = ["--config", name, "--out", str(folder), "--trainer.max_steps", "3", *TINY[name]]
    assert run("fields", ["fit", *words, "--data.init_args.epoch_steps", "2"]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert (report["status"], report["steps"]) == ("finished", 3)
    scores = {key.removeprefix("val/") for key in report["metrics"] if key.startswith("val/")}
    assert set(report["baselines"]["mean"]) <= scores
    assert report["signal"]["kind"] in ("image", "audio", "video")
    files, suffix = LEFT[name]
    assert all((folder / file).stat().st_size > 0 for file in files)
    out = tmp_path / f"out{suffix}"
    assert render([str(folder / "last.ckpt"), "--out", str(out)]) == 0
    assert out.stat().st_size > 0


ACTIVATIONS = ["Finer", "Gauss", "Relu", "Sine", "Softplus", "Tanh", "Wire"]


@pytest.mark.parametrize(
    ("name", "activation"),
    [("image", "Relu"), ("audio", "Tanh")]
    + [
        pytest.param(name, activation, marks=pytest.mark.slow)
        for name in ("image", "audio", "image_laplacian", "video")
        for activation in ACTIVATIONS
    ],
)
def test_every_activation_is_a_word_on_the_command_line(name, activation, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = SMALL if name == "image" else TINY[name]
    words = ["fit", "--config", name, "--trainer.fast_dev_run", "true"]
    words += ["--model.init_args.field", "fields.MLPField", *small]
    field = "--model.init_args.field.init_args"
    assert run("fields", [*words, f"{field}.activation", f"fields.{activation}"]) == 0


def test_an_encoding_is_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    field = "--model.init_args.field.init_args"
    words = ["fit", "--config", "audio", "--trainer.fast_dev_run", "true"]
    words += ["--model.init_args.field", "fields.MLPField", *TINY["audio"]]
    words += [f"{field}.activation", "fields.Relu", f"{field}.encoding", "fields.Positional"]
    words += [f"{field}.encoding.in_features", "1", f"{field}.encoding.samples", "160"]
    assert run("fields", words) == 0


@pytest.mark.slow
def test_an_interrupted_run_ends_like_an_uninterrupted_one(command, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    words = ["--config", "inpaint", *TINY["inpaint"], "--trainer.max_steps", "400"]
    words += ["--data.init_args.epoch_steps", "150", "--checkpoint_every", "0"]
    assert command("fields", "fit", *words, "--out", str(whole)).wait(200) == 0
    process = command("fields", "fit", *words, "--out", str(parts))
    while not (parts / "last.ckpt").is_file() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(100) == 130
    assert command("fields", "fit", *words, "--out", str(parts), "--resume").wait(200) == 0
    one, two = (load_module(folder / "last.ckpt").state_dict() for folder in (whole, parts))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_run_leaves_pictures_a_report_and_a_checkpoint_to_render(tmp_path):
    folder = tmp_path / "run"
    words = ["--config", "image", "--out", str(folder), "--data.init_args.epoch_steps", "2"]
    assert run("fields", ["fit", *words, *SMALL, "--trainer.max_steps", "5"]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["status"] == "finished"
    assert report["steps"] == 5
    assert report["sizes"]["scalars_fitted"] == 256
    assert {"val/psnr", "val/ssim"} <= set(report["metrics"])
    with (folder / "metrics.csv").open() as file:
        scored = [int(row["step"]) for row in csv.DictReader(file) if row["val/psnr"]]
    assert scored == [1, 3, 4]
    for name in ("fit.png", "overview.png", "psnr.png", "config.yaml"):
        assert (folder / name).stat().st_size > 0
    out = tmp_path / "big.png"
    assert render([str(folder / "last.ckpt"), "--resolution", "40", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.size == (40, 40)


@pytest.mark.filterwarnings("always:picture a.png")
def test_conversions_are_in_the_report(tmp_path):
    Image.new("RGBA", (16, 16), (90, 90, 90, 128)).save(tmp_path / "a.png")
    folder = tmp_path / "run"
    words = ["--config", "image", "--out", str(folder), "--data.init_args.path"]
    words += [str(tmp_path / "a.png"), "--data.init_args.channels", "1", "--trainer.max_steps", "1"]
    assert run("fields", ["fit", *words, *SMALL]) == 0
    report = json.loads((folder / "report.json").read_text())
    assert any("transparency laid on white" in line for line in report["warnings"])


@pytest.mark.slow
def test_two_processes_train_the_weights_of_one(tmp_path):
    weights = []
    for devices in ("1", "2"):
        folder = tmp_path / devices
        words = ["--config", "image_paper", "--out", str(folder), *SMALL, "--device", "cpu"]
        words += ["--trainer.max_steps", "4", "--trainer.devices", devices]
        words += ["--model.init_args.chunk", "60"]
        words += ["--trainer.strategy", "ddp"] if devices == "2" else []
        done = subprocess.run(
            [sys.executable, "-m", "fields", "fit", *words],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        weights.append(load_module(folder / "last.ckpt").state_dict())
    one, two = weights
    for name, tensor in one.items():
        # the same gradient, summed in another order; Adam's first steps are signs times the rate
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--data.init_args.path", "none.png"], "none.png"),
        (["--data.init_args.channels", "3"], "out_features 3"),
        (["--data.init_args.side", "1"], "side"),
        (["--data.init_args.batch_size", "999"], "batch_size"),
        (["--model.init_args.field.init_args.depth", "0"], "depth"),
        (["--model.init_args.chunk", "0"], "chunk"),
    ],
)
def test_bad_input_ends_with_code_2_and_one_line(tmp_path, monkeypatch, capsys, words, named):
    monkeypatch.chdir(tmp_path)
    code = run("fields", ["fit", "--config", "image", *SMALL, *words, "--trainer.max_steps", "1"])
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    assert named in said


def silent(folder):
    wavfile.write(folder / "bad.wav", 8000, np.zeros(50, np.int16))


def hollow(folder):
    wavfile.write(folder / "bad.wav", 8000, np.zeros(0, np.int16))


def stuttering(folder):
    wavfile.write(folder / "bad.wav", 8000, np.array([0, np.nan, 1], np.float32))


def words_in(name):
    return lambda folder: (folder / name).write_text("not what it says")


def uniform(folder):
    Image.new("L", (12, 12), 90).save(folder / "bad.png")


PATH = "--data.init_args.path"
MASK = "--data.init_args.mask"
BAD = [
    ("audio", None, [PATH, "none.wav"], "existing wav file"),
    ("audio", silent, [PATH, "bad.wav"], "must not be silent"),
    ("audio", hollow, [PATH, "bad.wav"], "at least 2 samples"),
    ("audio", stuttering, [PATH, "bad.wav"], "must be finite"),
    ("audio", words_in("bad.wav"), [PATH, "bad.wav"], "cannot be read as wav"),
    ("audio", None, ["--data.init_args.batch_size", "999"], "at most the 160"),
    ("audio", None, ["--data.init_args.span", "0"], "span must be positive"),
    ("audio", None, ["--model.init_args.field.init_args.in_features", "2"], "in_features 1"),
    ("video", None, [PATH, "none.mp4"], "existing file or folder"),
    ("video", words_in("bad.mp4"), [PATH, "bad.mp4"], "cannot be read"),
    ("video", None, [PATH, "."], "holds no pictures"),
    ("video", None, ["--data.init_args.batch_size", "999"], "at most the 216"),
    ("video", None, ["--data.init_args.channels", "1"], "out_features 1"),
    ("image_gradient", uniform, [PATH, "bad.png"], "must not be uniform"),
    ("image_gradient", words_in("bad.png"), [PATH, "bad.png"], "cannot be read"),
    ("image_laplacian", None, ["--data.init_args.derivative", "curl"], "derivative"),
    ("composite", None, ["--data.init_args.weights", "[-1, 1]"], "weights"),
    ("composite", None, ["--data.init_args.second", "none.png"], "none.png"),
    ("composite", None, ["--model.init_args.channel_weights", "[1, 2]"], "one for each of 1"),
    ("inpaint", None, [MASK, "none.png"], "none.png"),
    ("inpaint", uniform, [MASK, "bad.png"], "some pixels known and some missing"),
    ("inpaint", None, ["--data.init_args.known", "1"], "known"),
    ("inpaint", None, ["--model.init_args.prior.init_args.weight", "-1"], "weight must be"),
    ("inpaint", None, ["--data", "fields.ImageSamples"], "fields.InpaintSamples"),
]
# one of each kind in the fast suite: a command line takes a second to build
FAST = {"must not be silent", "cannot be read", "must not be uniform", "weights", "weight must be"}


@pytest.mark.parametrize(
    ("name", "make", "words", "named"),
    [pytest.param(*one, marks=() if one[3] in FAST else pytest.mark.slow) for one in BAD],
    ids=[f"{name}: {named}" for name, _, _, named in BAD],
)
def test_bad_input_of_every_kind(tmp_path, monkeypatch, capsys, name, make, words, named):
    monkeypatch.chdir(tmp_path)
    if make is not None:
        make(tmp_path)
    small = [] if "fields.ImageSamples" in words else TINY[name]
    code = run("fields", ["fit", "--config", name, *small, *words, "--trainer.max_steps", "1"])
    said = capsys.readouterr().err
    assert code == 2
    assert said.count("\n") == 1
    assert named in said
    assert not (tmp_path / "runs").exists()


def test_divergence_ends_with_code_2_and_the_reason(tmp_path, capsys):
    words = ["--config", "image_paper", "--out", str(tmp_path / "run"), *SMALL]
    words += ["--model.init_args.optimizer", "torch.optim.SGD"]
    words += ["--model.init_args.optimizer.init_args.lr", "1e18"]
    assert run("fields", ["fit", *words]) == 2
    assert "training diverged" in capsys.readouterr().err
