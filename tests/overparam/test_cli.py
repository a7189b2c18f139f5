"""What a user meets on the command line, right and wrong."""

import json
import subprocess
import sys

import pytest
import torch
import yaml

from overparam import InputError
from overparam.cli import LineParser, bundled_configs, overview, run, select_device

LINE = ["--config", "line", "--trainer.max_epochs", "1"]


def bad(capsys, *words: str) -> str:
    """Run a command that must be refused; return the one line it says."""
    assert run("toyfit", list(words)) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert "Namespace(" not in said.err
    return said.err


# teaching


def test_help_names_every_command_and_config(in_folder, capsys):
    assert run("toyfit", ["--help"], {"check": (len, "looks twice")}) == 0
    told = capsys.readouterr().out
    for word in ("fit", "validate", "test", "predict", "looks twice", "Fit a plane", "--resume"):
        assert word in told


def test_help_needs_neither_torch_nor_lightning(in_folder):
    code = (
        "import sys; from overparam.cli import run; assert run('json', ['--help']) == 0; "
        "assert not {'torch', 'pytorch_lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_help_of_a_command_begins_with_an_example(in_folder, capsys):
    assert run("toyfit", ["fit", "--help"]) == 0
    told = capsys.readouterr().out
    assert "python -m toyfit fit --config" in told[:600]
    for option in ("--seed", "--out", "--resume", "--overwrite", "--device", "--print_config"):
        assert option in told


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "no command given; one of fit"),
        (["fti"], "did you mean fit?"),
        (["fit", "--config", "lin"], "did you mean line?); toyfit bundles: line"),
        (["fit", "--config", "missing.yaml"], "toyfit bundles: line"),
        (["fit", "--trainer.max_steps", "3"], "data and model not set: start from --config"),
        (["fit", *LINE, "--nonsense", "3"], "no setting 'nonsense'"),
        (["fit", *LINE, "--trainer.max_epoch", "3"], "did you mean --trainer.max_epochs?"),
        (["fit", *LINE, "--trainer.max_epochs", "many"], "trainer.max_epochs: expected int"),
        (["fit", *LINE, "--model.init_args.nett", "1"], "LineFit takes no argument 'nett'"),
        (
            ["fit", *LINE, "--model.init_args.net.init_args.widht", "1"],
            "model.net: toyfit.Net takes no argument 'widht' (did you mean width?)",
        ),
        (["fit", *LINE, "--model.init_args.net.init_args.width", "x"], "model.net.width: expected"),
        (["fit", *LINE, "--model.init_args.net.init_args.width", "0"], "at least 1, got 0"),
        (["fit", *LINE, "--model.init_args.net.class_path", "no.Net"], "cannot be imported"),
        (["fit", *LINE, "--model.class_path", "toyfit.Nope"], "has no attribute 'Nope'"),
        (["fit", *LINE, "--data.init_args.path", "here"], "here holds no plane"),
        (["fit", *LINE, "--data.init_args.count", "9"], "needs as many points, not 9\n"),
        (["fit", *LINE, "--trainer.max_epochs", "0"], "trainer.max_epochs must be at least 1"),
        (["fit", *LINE, "--trainer.max_steps", "0"], "trainer.max_steps must be at least 1"),
        (["fit", *LINE, "--trainer.limit_train_batches", "0"], "must not be 0"),
        (["fit", *LINE, "--device", "tpu"], "must be auto, cpu or cuda"),
        (["fit", *LINE, "--trainer.strategy", "nope"], "invalid strategy name"),
        (["fit", *LINE, "--checkpoint_every", "-1"], "must not be negative"),
        (["fit", *LINE, "--resume", "--overwrite"], "exclude each other"),
        (["fit", *LINE, "--resume"], "nothing to resume"),
        (["fit", *LINE, "--trainer.fast_dev_run", "true", "--overwrite"], "fast_dev_run writes no"),
        (["validate", *LINE, "--ckpt_path", "no.ckpt"], "must be an existing file"),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_nothing(words, part, in_folder, capsys):
    assert part in bad(capsys, *words)
    assert list(in_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"trainer: [1, 2\n  : x", "not valid yaml"),
        (b"", "empty or holds no settings"),
        (b"only words", "empty or holds no settings"),
        (b"\xff\xfe\x00\x01", "not readable yaml"),
        (b"modle: {a: 1}\n", "no setting 'modle.a'"),
        (b"trainer: {max_epoch: 1}\n", "did you mean --trainer.max_epochs?"),
        (b"model: {init_args: {net: {init_args: {widht: 1}}}}", "did you mean width?"),
    ],
)
def test_a_damaged_config_is_told_in_one_line(content, part, in_folder, capsys):
    (in_folder / "mine.yaml").write_bytes(content)
    assert part in bad(capsys, "fit", "--config", "line", "--config", "mine.yaml")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("words", [["--device", "cuda"], ["--trainer.accelerator", "cuda"]])
def test_cuda_asked_for_and_absent(words, in_folder, capsys):
    assert "available" in bad(capsys, "fit", *LINE, *words) or "no CUDA device"
    assert list(in_folder.iterdir()) == []


def test_a_mistake_of_ours_shows_its_traceback(in_folder):
    def broken(words):
        raise IndexError("ours")

    with pytest.raises(IndexError):
        run("toyfit", ["break"], {"break": (broken, "breaks")})


# commands of a package


def test_a_package_adds_commands_with_their_own_exit_code(in_folder):
    import toyfit.__main__ as product

    assert product.main(["check", "this"]) == 3


def test_the_parser_for_own_commands_says_one_line(in_folder, capsys):
    def draw(words):
        parser = LineParser(prog="python -m toyfit draw")
        parser.add_argument("--size", type=int, required=True)
        parser.parse_args(words)
        return 0

    commands = {"draw": (draw, "draws")}
    assert run("toyfit", ["draw", "--size", "2"], commands) == 0
    assert run("toyfit", ["draw", "--size", "two"], commands) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_select_device():
    assert select_device("cpu") == torch.device("cpu")
    assert select_device(None) == select_device("auto")
    with pytest.raises(InputError, match="auto, cpu or cuda"):
        select_device("abacus")


# the trainer's commands


def test_print_config_can_be_edited_and_run(in_folder, capsys):
    assert run("toyfit", ["fit", *LINE, "--print_config"]) == 0
    (in_folder / "mine.yaml").write_text(capsys.readouterr().out)
    assert run("toyfit", ["fit", "--config", "mine.yaml"]) == 0
    assert (in_folder / "runs" / "mine" / "report.json").is_file()


def test_configs_layer_left_to_right(in_folder):
    (in_folder / "slow.yaml").write_text("trainer: {max_epochs: 2}\nseed_everything: 7\n")
    assert run("toyfit", ["fit", "--config", "line", "--config", "slow.yaml"]) == 0
    stored = yaml.safe_load((in_folder / "runs" / "line" / "config.yaml").read_text())
    assert (stored["trainer"]["max_epochs"], stored["seed_everything"]) == (2, 7)


def test_seed_decides_the_result(in_folder):
    def weights(seed: str, out: str):
        assert run("toyfit", ["fit", *LINE, "--seed", seed, "--out", out]) == 0
        return torch.load(f"{out}/last.ckpt", weights_only=True)["state_dict"]

    one, again, other = weights("1", "a"), weights("1", "b"), weights("2", "c")
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    assert json.loads((in_folder / "c" / "report.json").read_text())["seed"] == 2


def test_fast_dev_run_writes_nothing(in_folder):
    assert run("toyfit", ["fit", *LINE, "--trainer.fast_dev_run", "true"]) == 0
    assert list(in_folder.iterdir()) == []


def test_measuring_a_run_needs_only_its_checkpoint(in_folder, capsys):
    assert run("toyfit", ["fit", *LINE]) == 0
    report = json.loads((in_folder / "runs" / "line" / "report.json").read_text())
    capsys.readouterr()
    for command in ("validate", "test"):
        assert run("toyfit", [command, "--ckpt_path", "runs/line/last.ckpt"]) == 0
        reached = f"mse={report['metrics']['val/mse']:.5g}"
        assert reached in capsys.readouterr().out
    assert run("toyfit", ["predict", "--ckpt_path", "runs/line/last.ckpt"]) == 0
    assert [p.name for p in in_folder.iterdir()] == ["runs"]
    assert run("toyfit", ["test", "--ckpt_path", "runs/line/last.ckpt", "--out", "tested"]) == 0
    assert "test/mse" in json.loads((in_folder / "tested" / "report.json").read_text())["metrics"]


def test_a_checkpoint_of_another_shape_is_refused(in_folder, capsys):
    assert run("toyfit", ["fit", *LINE]) == 0
    capsys.readouterr()
    wider = ["--model.init_args.net.init_args.width", "9", "--ckpt_path", "runs/line/last.ckpt"]
    assert "does not fit this config" in bad(capsys, "validate", *LINE, *wider)
    assert "does not fit this config" in bad(capsys, "fit", *LINE, *wider, "--out", "other")
    assert not (in_folder / "other").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_a_damaged_checkpoint_is_told_in_one_line(content, in_folder, capsys):
    (in_folder / "bad.ckpt").write_bytes(content)
    assert "bad.ckpt" in bad(capsys, "validate", *LINE, "--ckpt_path", "bad.ckpt")


def test_overview_of_a_package_without_configs():
    assert bundled_configs("json") == {}
    assert "none yet" in overview("json", {})


def test_the_base_has_no_command_yet(capsys):
    from overparam.__main__ import main

    assert main(["--help"]) == 0
    assert "diagnose" in capsys.readouterr().out
    for words in (["diagnose", "x.ckpt", "--with", "ntk"], ["what"], []):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_product_to_come_says_so(capsys):
    assert run("neurosym", ["--help"]) == 0
    assert "later release" in capsys.readouterr().out


@pytest.mark.parametrize("package", ["docking", "neurosym"])
def test_a_config_that_is_not_there_is_refused_with_those_that_are(package, capsys):
    assert run(package, ["fit", "--config", "nonsense"]) == 2
    assert f"{package} bundles:" in capsys.readouterr().err
