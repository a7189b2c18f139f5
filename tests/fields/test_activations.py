"""The command leaves a picture, a table and a report, and refuses bad input in one line."""

import csv
import json

import pytest
from PIL import Image
from pytorch_lightning import Trainer

from fields import ImageSamples, MLPField, SignalFit
from fields.activations import main
from overparam.cli import run
from overparam.errors import InputError

SMALL = ["--width", "32", "--depth", "3", "--points", "64"]


def test_a_new_field(tmp_path, capsys):
    out = tmp_path / "stats"
    assert main(["--out", str(out), *SMALL]) == 0
    with (out / "activations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["layer"]) for row in rows] == [0, 1, 2]
    report = json.loads((out / "report.json").read_text())
    assert report["layers"][1]["std"] == float(rows[1]["std"])
    with Image.open(out / "activations.png") as picture:
        assert picture.size == (1100, 600)
    assert capsys.readouterr().out.count("\n") == 5


def test_a_fitted_field_and_replacing(tmp_path):
    data = ImageSamples(side=8)
    data.setup()
    module = SignalFit(MLPField(2, 1, width=8, depth=2))
    module.signal = data.signal
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    words = [str(tmp_path / "a.ckpt"), "--out", str(tmp_path / "stats"), "--points", "50"]
    assert main(words) == 0
    with pytest.raises(InputError, match="--overwrite"):
        main(words)
    assert main([*words, "--overwrite"]) == 0


def test_biases_are_zero_unless_asked_for(tmp_path):
    spreads = []
    for biases in ("zero", "default"):
        out = tmp_path / biases
        main(["--out", str(out), *SMALL, "--biases", biases])
        spreads.append(json.loads((out / "report.json").read_text())["layers"][2]["std"])
    assert spreads[1] > 1.5 * spreads[0]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--points", "0"], "points"),
        (["--width", "0"], "width"),
        (["--depth", "0"], "depth"),
        (["--omega", "-1"], "omega"),
        (["none.ckpt"], "existing file"),
        (["--biases", "some"], "biases"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, words, named):
    from fields.__main__ import main as fields_main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["fields", "activations", "--out", "stats", *words])
    assert fields_main() == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert named in said
    assert not list(tmp_path.iterdir())


def test_it_is_listed_in_the_help(capsys, monkeypatch):
    from fields.__main__ import main as fields_main

    monkeypatch.setattr("sys.argv", ["fields", "--help"])
    assert fields_main() == 0
    said = capsys.readouterr().out
    assert "activations" in said
    assert run("fields", ["--help"]) == 0


def test_a_checkpoint_that_was_never_fitted_is_refused(tmp_path):
    module = SignalFit(MLPField(2, 1, width=4))
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    with pytest.raises(InputError, match="no fitted multilayer field"):
        main([str(tmp_path / "a.ckpt"), "--out", str(tmp_path / "stats")])
