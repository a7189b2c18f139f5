"""A run folder is never overwritten by accident, tells what happened, and can be gone on with."""

import csv
import json
import signal
import time

import pytest
import torch
import yaml

from overparam import InputError
from overparam.cli import run
from overparam.metrics_csv import MetricsCSV
from overparam.quiet import collected_warnings
from overparam.report_file import write_report
from overparam.run_folder import HEADER, RunFolder, is_run

FIT = ["fit", "--config", "line", "--trainer.max_epochs", "2", "--trainer.log_every_n_steps", "1"]


def report_of(folder) -> dict:
    return json.loads((folder / "report.json").read_text())


def table(folder) -> list[dict]:
    return list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))


def snapshot(folder) -> dict:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# the folder by itself


def make_run(folder):
    folder.mkdir()
    (folder / "config.yaml").write_text(HEADER)
    (folder / "last.ckpt").write_bytes(b"x")
    (folder / "sub").mkdir()
    return folder


def test_a_new_folder_is_made_only_on_create(tmp_path):
    folder = RunFolder(tmp_path / "a" / "b")
    assert folder.state == "new"
    assert not folder.path.exists()
    folder.create({"seed_everything": 1})
    assert is_run(folder.path)
    assert yaml.safe_load((folder.path / "config.yaml").read_text()) == {"seed_everything": 1}


def test_a_used_folder_is_refused_unless_told(tmp_path):
    used = make_run(tmp_path / "used")
    before = snapshot_names(used)
    with pytest.raises(InputError, match="--resume goes on"):
        RunFolder(used)
    with pytest.raises(InputError, match="exclude each other"):
        RunFolder(used, resume=True, overwrite=True)
    assert RunFolder(used, resume=True).state == "resume"
    replaced = RunFolder(used, overwrite=True)
    assert snapshot_names(used) == before
    replaced.create({})
    assert snapshot_names(used) == ["config.yaml"]


def snapshot_names(folder) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_an_empty_folder_is_as_good_as_none(tmp_path):
    assert RunFolder(tmp_path).state == "new"


@pytest.mark.parametrize("files", [["notes.txt"], ["config.yaml"], ["report.json"]])
def test_what_is_not_ours_is_never_deleted(files, tmp_path):
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match="only a run of ours"):
        RunFolder(tmp_path, overwrite=True)


def test_a_working_directory_or_repository_is_never_deleted(tmp_path, monkeypatch):
    used = make_run(tmp_path / "used")
    (used / ".git").mkdir()
    with pytest.raises(InputError, match="only a run of ours"):
        RunFolder(used, overwrite=True)
    (used / ".git").rmdir()
    monkeypatch.chdir(used / "sub")
    with pytest.raises(InputError, match="only a run of ours"):
        RunFolder(used, overwrite=True)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        RunFolder(tmp_path / "file")


def test_nothing_to_resume(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        RunFolder(tmp_path / "none", resume=True)
    (tmp_path / "config.yaml").write_text(HEADER)
    with pytest.raises(InputError, match=r"holds no last\.ckpt"):
        RunFolder(tmp_path, resume=True)


def test_other_processes_of_the_same_run_do_not_refuse(tmp_path):
    assert RunFolder(make_run(tmp_path / "used"), first=False).state == "new"


def test_the_report_is_strict_json_whatever_the_numbers(tmp_path):
    write_report(tmp_path, {"psnr": float("inf"), "loss": float("nan"), "t": torch.ones(2)})
    read = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert read == {"psnr": "inf", "loss": "nan", "t": [1.0, 1.0]}


def test_metrics_of_a_resumed_run_follow_without_repetition(tmp_path):
    first = MetricsCSV(tmp_path)
    for step in range(6):
        first.log_metrics({"a": float(step), "epoch": 0}, step)
    first.log_metrics({"b": 1.0, "epoch": 0}, 5)
    first.save()
    second = MetricsCSV(tmp_path, resume_step=4)
    for step in range(4, 8):
        second.log_metrics({"a": float(step), "epoch": 1}, step)
    second.finalize("success")
    rows = table(tmp_path)
    assert [int(row["step"]) for row in rows] == list(range(8))
    assert [float(row["a"]) for row in rows] == [float(step) for step in range(8)]
    assert [int(row["epoch"]) for row in rows] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_warnings_are_collected_once_and_on_one_line(recwarn):
    import warnings

    seen: list[str] = []
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with collected_warnings(seen, said.append):
            for _ in range(2):
                warnings.warn("alpha channel\n  dropped", stacklevel=1)
    assert seen == said == ["alpha channel dropped"]


# runs


def test_a_run_leaves_config_metrics_checkpoint_and_report(in_folder):
    assert run("toyfit", FIT) == 0
    folder = in_folder / "runs" / "line"
    assert snapshot_names(folder) == ["config.yaml", "last.ckpt", "metrics.csv", "report.json"]
    report = report_of(folder)
    assert report["status"] == "finished"
    assert report["steps"] == 8
    assert report["epochs"] == 2
    assert report["sizes"]["dense"] == 105
    assert report["metrics"]["val/mse"] > 0
    assert report["peak_memory_mb"] > 0
    assert report["wall_seconds"] > 0
    assert report["device"] == "cpu"
    assert set(report["versions"]) >= {"python", "torch", "pytorch-lightning", "overparam"}
    assert report["warnings"] == []
    assert report["command"].startswith("python -m toyfit fit --config line")
    rows = table(folder)
    assert [int(row["step"]) for row in rows] == list(range(8))
    # the stored configuration runs again, to the same weights
    assert run("toyfit", ["fit", "--config", "runs/line/config.yaml", "--out", "again"]) == 0
    one, two = (
        torch.load(place / "last.ckpt", weights_only=True)["state_dict"]
        for place in (folder, in_folder / "again")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_second_run_changes_nothing(in_folder, capsys):
    assert run("toyfit", FIT) == 0
    before = snapshot(in_folder / "runs" / "line")
    assert run("toyfit", FIT) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    # not even one that may overwrite, if it does not get as far as training
    assert run("toyfit", [*FIT, "--overwrite", "--data.init_args.path", "nowhere"]) == 2
    assert snapshot(in_folder / "runs" / "line") == before
    assert run("toyfit", [*FIT, "--overwrite", "--seed", "5"]) == 0
    assert report_of(in_folder / "runs" / "line")["seed"] == 5


def test_resuming_a_finished_run_says_so(in_folder, capsys):
    assert run("toyfit", FIT) == 0
    before = snapshot(in_folder / "runs" / "line")
    capsys.readouterr()
    assert run("toyfit", [*FIT, "--resume"]) == 0
    assert "is finished" in capsys.readouterr().out
    assert snapshot(in_folder / "runs" / "line") == before


def test_a_crash_is_reported_and_shows_its_traceback(in_folder, monkeypatch):
    import toyfit

    def broken(self, batch, batch_idx):
        raise IndexError("ours")

    monkeypatch.setattr(toyfit.LineFit, "training_step", broken)
    with pytest.raises(IndexError):
        run("toyfit", FIT)
    report = report_of(in_folder / "runs" / "line")
    assert report["status"] == "failed"
    assert report["error"] == "IndexError: ours"


def test_the_best_checkpoint_lies_in_the_folder(in_folder):
    (in_folder / "best.yaml").write_text(
        "trainer:\n  callbacks+:\n    - class_path: pytorch_lightning.callbacks.ModelCheckpoint\n"
        "      init_args: {monitor: val/mse}\n"
    )
    assert run("toyfit", [*FIT, "--config", "best.yaml"]) == 0
    assert (in_folder / "runs" / "line" / "best.ckpt").is_file()
    assert (in_folder / "runs" / "line" / "last.ckpt").is_file()


def test_a_logger_of_the_user_does_not_replace_metrics_csv(in_folder):
    logger = "--trainer.logger=pytorch_lightning.loggers.CSVLogger"
    assert run("toyfit", [*FIT, logger, "--trainer.logger.save_dir=own"]) == 0
    assert (in_folder / "runs" / "line" / "metrics.csv").is_file()
    assert (in_folder / "own").is_dir()


# stopping and going on


@pytest.mark.parametrize("stop", [3, 14])
@pytest.mark.parametrize("layer", [[], ["--config", "ticket"]], ids=["plain", "ticket"])
def test_a_run_stopped_by_ctrl_c_goes_on_as_if_it_had_not(layer, stop, in_folder, monkeypatch):
    words = [*FIT, *layer]
    assert run("toyfit", [*words, "--out", "whole"]) == 0
    steps = report_of(in_folder / "whole")["steps"]
    monkeypatch.setenv("TOYFIT_STOP_AT", str(stop))
    assert run("toyfit", [*words, "--out", "parts"]) == (130 if stop < steps - 1 else 0)
    monkeypatch.delenv("TOYFIT_STOP_AT")
    assert run("toyfit", [*words, "--out", "parts", "--resume"]) == 0
    one, two = (
        torch.load(in_folder / name / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "parts")
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert table(in_folder / "whole") == table(in_folder / "parts")


# in real processes

SLOW = [
    *("toyfit", "fit", "--config", "line", "--trainer.max_epochs", "30", "--out", "run"),
    *("--model.init_args.delay", "0.02", "--trainer.log_every_n_steps", "1"),
]


def wait_for(file, process, seconds=90):
    deadline = time.monotonic() + seconds
    while not file.is_file():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"{file} did not appear"
        time.sleep(0.02)


def finish(process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_killed_run_resumes_to_the_same_weights(command, in_folder):
    killed = command(*SLOW, "--checkpoint_every", "0.1")
    wait_for(in_folder / "run" / "last.ckpt", killed)
    time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    assert finish(killed)[0] == -signal.SIGKILL
    assert not (in_folder / "run" / "report.json").exists()
    assert run("toyfit", ["fit", "--out", "run", "--resume"]) == 0
    assert run("toyfit", [*SLOW[1:], "--out", "whole"]) == 0
    one, two = (
        torch.load(in_folder / name / "last.ckpt", weights_only=True) for name in ("whole", "run")
    )
    assert one["global_step"] == two["global_step"] == 120
    for name, tensor in one["state_dict"].items():
        assert torch.equal(tensor, two["state_dict"][name])
    assert report_of(in_folder / "run")["attempts"] == 2
    assert table(in_folder / "whole") == table(in_folder / "run")


def test_ctrl_c_saves_says_how_to_go_on_and_refuses_other_settings(command, in_folder, capsys):
    stopped = command(*SLOW)
    wait_for(in_folder / "run" / "config.yaml", stopped)
    time.sleep(0.3)
    stopped.send_signal(signal.SIGINT)
    code, _, err = finish(stopped)
    assert code == 130
    assert "the same command with --resume goes on" in err
    assert err.count("\n") == 1
    assert report_of(in_folder / "run")["status"] == "interrupted"
    other = [*SLOW[1:], "--resume", "--model.init_args.net.init_args.width", "9"]
    assert run("toyfit", other) == 2
    assert "width is 9 here and 8 in its config.yaml" in capsys.readouterr().err
    state = torch.load(in_folder / "run" / "last.ckpt", weights_only=True)
    assert 0 < state["global_step"] < 120


@pytest.mark.slow
def test_sigterm_saves_too(command, tmp_path):
    stopped = command(*SLOW)
    wait_for(tmp_path / "run" / "config.yaml", stopped)
    time.sleep(0.3)
    stopped.send_signal(signal.SIGTERM)
    assert finish(stopped)[0] == 143
    assert report_of(tmp_path / "run")["status"] == "interrupted"
    assert (tmp_path / "run" / "last.ckpt").is_file()


DDP = [
    *("toyfit", "fit", "--config", "line", "--trainer.max_epochs", "10"),
    *("--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"),
]


@pytest.mark.slow
def test_two_processes_started_by_the_command_itself(command, tmp_path):
    code, _, err = finish(command(*DDP, "--out", "two"))
    assert (code, err) == (0, "")
    assert report_of(tmp_path / "two")["processes"] == 2
    before = snapshot(tmp_path / "two")
    code, _, err = finish(command(*DDP, "--out", "two"))
    assert code == 2
    assert err.count("\n") == 1
    assert snapshot(tmp_path / "two") == before
    # stopped halfway and gone on with
    killed = command(*DDP, "--out", "parts", "--checkpoint_every", "0")
    wait_for(tmp_path / "parts" / "last.ckpt", killed)
    killed.send_signal(signal.SIGKILL)
    finish(killed)
    assert finish(command(*DDP, "--out", "parts", "--resume"))[0] == 0
    one, two = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("two", "parts")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_two_processes_started_by_torchrun(command, tmp_path):
    launcher = ["torch.distributed.run", "--nproc-per-node", "2", "-m"]
    assert finish(command(*launcher, *DDP, "--out", "two"))[0] == 0
    assert report_of(tmp_path / "two")["processes"] == 2
    assert finish(command(*launcher, *DDP, "--out", "two"))[0] != 0
    assert finish(command(*launcher, *DDP, "--out", "two", "--overwrite"))[0] == 0
