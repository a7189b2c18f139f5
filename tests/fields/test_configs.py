"""The bundled configurations run, leave what they promise, and refuse bad input in one line."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
from PIL import Image

from fields.__main__ import render
from overparam import load_module
from overparam.cli import bundled_configs, run

# Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")

IMAGE = ["image", "image_best", "image_fast", "image_paper"]
SMALL = ["--data.init_args.side", "16", "--trainer.enable_progress_bar", "false"]


def test_the_picture_presets_are_bundled():
    assert set(IMAGE) <= set(bundled_configs("fields"))


@pytest.mark.parametrize("name", IMAGE)
def test_each_runs_one_step(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("fields", ["fit", "--config", name, "--trainer.fast_dev_run", "true", *SMALL]) == 0
    assert not (tmp_path / "runs").exists()


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


def test_divergence_ends_with_code_2_and_the_reason(tmp_path, capsys):
    words = ["--config", "image_paper", "--out", str(tmp_path / "run"), *SMALL]
    words += ["--model.init_args.optimizer", "torch.optim.SGD"]
    words += ["--model.init_args.optimizer.init_args.lr", "1e18"]
    assert run("fields", ["fit", *words]) == 2
    assert "training diverged" in capsys.readouterr().err
