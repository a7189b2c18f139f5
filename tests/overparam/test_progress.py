"""One bar for a run, only where somebody can see it."""

import sys

import pytest

from overparam.cli import run

LINE = ["--config", "line", "--trainer.max_epochs", "3"]


def pretend_terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_shows_all_steps_and_the_metrics(in_folder, capsys, monkeypatch):
    pretend_terminal(monkeypatch)
    assert run("toyfit", ["fit", *LINE]) == 0
    shown = capsys.readouterr().err
    assert "12/12" in shown
    assert "train/mse" in shown
    assert "litlogger" not in shown.lower()


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_measuring_shows_its_batches(command, in_folder, capsys, monkeypatch):
    pretend_terminal(monkeypatch)
    assert run("toyfit", [command, *LINE]) == 0
    assert "4/4" in capsys.readouterr().err


def test_a_log_file_stays_clean(in_folder, capsys):
    assert run("toyfit", ["fit", *LINE]) == 0
    assert capsys.readouterr().err == ""


def test_the_bar_can_be_switched_off(in_folder, capsys, monkeypatch):
    pretend_terminal(monkeypatch)
    assert run("toyfit", ["fit", *LINE, "--trainer.enable_progress_bar", "false"]) == 0
    assert "12/12" not in capsys.readouterr().err
