"""Every script runs, prints name=value lines and returns the number it printed."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from overparam.page import Section, write_page

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_quickstart_makes_its_page_and_may_run_again(in_folder, capsys):
    quickstart = script("quickstart")
    small = ["--side", "16", "--steps", "2", "--effort", "0.02"]
    for _ in range(2):
        psnr = quickstart.main(small)
    printed = capsys.readouterr().out
    assert f"image_psnr_db={psnr:.2f}" in printed
    own = [line for line in printed.split("\n") if not line.startswith(("fit ", "validate "))]
    assert all("=" in line for line in own if line)
    folder = in_folder / "runs" / "quickstart"
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 7
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "SIREN paper" in page
    assert "bilinear" in page
    assert "python -m fields fit --config image" in page
    assert "python -m docking dock --receptor" in page
    assert "of 5 first poses lie within" in page
    report = json.loads((folder / "report.json").read_text())
    assert report["metrics"]["image"]["val/psnr"] == psnr
    assert {"steps", "sizes", "wall_seconds", "versions", "seed", "warnings"} <= set(report)


def test_quickstart_replaces_nothing_that_is_not_its_own(in_folder, capsys):
    mine = in_folder / "runs" / "quickstart" / "image"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(SystemExit):
        script("quickstart").main(["--side", "16", "--steps", "2"])
    assert "only a run of ours" in capsys.readouterr().err
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_scripts_are_thin():
    for file in SCRIPTS.glob("*.py"):
        assert file.read_text().count("\n") <= 50, file.name


def test_a_page_escapes_text_and_refuses_odd_pictures(tmp_path):
    write_page(tmp_path / "a.html", "<a>", [Section("b<c", "d&e", "f>g", [["h"], ["<i>"]])])
    page = (tmp_path / "a.html").read_text()
    for text in ("&lt;a&gt;", "b&lt;c", "d&amp;e", "f&gt;g", "&lt;i&gt;"):
        assert text in page
    with pytest.raises(ValueError, match="picture must be one of"):
        write_page(tmp_path / "b.html", "x", [Section("y", pictures=[(tmp_path / "z.exe", "z")])])
