"""``python -m docking figures``: pictures of finished benchmark runs, and their numbers."""

import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docking.commands.display import progress, tell
from docking.commands.options import parse
from overparam.cli import DONE, LineParser, add_common_arguments
from overparam.errors import InputError

if TYPE_CHECKING:
    from docking.benchmark.dataset import Complex, Dataset
    from docking.figures.method import Method
    from overparam.page import Section

STRICT = "strict"
_UNSLICED = ("shape",)  # has no field, and maps as physics


def parser() -> LineParser:
    """The command line."""
    words = LineParser(
        prog="python -m docking figures",
        description="Draw finished benchmark runs: score against RMSD, calibration of the "
        "confidence, success by the ligand's size and, with a corpus, by similarity to the "
        "training set, and slices of the learned field around a ligand. Each picture has its "
        "numbers beside it as .csv; nothing is written into the runs.",
        epilog="example: python -m docking figures runs/test_rigid runs/test_flexible "
        "--data-root DATA --out runs/figures",
        allow_abbrev=False,
    )
    words.add_argument("runs", nargs="+", metavar="RUN", help="folder of a benchmark run")
    words.add_argument("--data-root", metavar="DIR", help="corpus with train and test parts: for "
                       "similarity and slices")  # fmt: skip
    words.add_argument("--train-split", default=STRICT, metavar="LEVEL", help="how far the "
                       "training of the models stayed from the test: published, strict, strict90 "
                       f"or strict30 (default: {STRICT})")  # fmt: skip
    words.add_argument("--complex", metavar="ID", help="the complex drawn alone; default: the one "
                       "whose poses tell most")  # fmt: skip
    words.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    words.add_argument("--overwrite", action="store_true", help="replace the figures in --out")
    add_common_arguments(words)
    return words


def main(args: list[str]) -> int:
    """Draw everything there are numbers for.

    Raises:
        InputError: If a run, the corpus or the folder cannot be used.
    """
    given = parse(parser(), args)
    runs = [Path(run) for run in dict.fromkeys(given.runs)]
    _check(given, runs)
    from docking.figures.book import Book
    from docking.figures.method import methods_of
    from docking.run import Stopwatch, surroundings
    from docking.splits import LEVELS
    from overparam.page import write_page
    from overparam.report_file import write_report
    from overparam.run_folder import RunFolder

    if given.train_split not in LEVELS:
        raise InputError(f"--train-split must be one of {', '.join(LEVELS)}")
    watch, warnings = Stopwatch(), list[str]()
    folder = RunFolder(given.out, overwrite=given.overwrite)
    methods = methods_of(runs)
    known = {key for one in methods for key in one.ids}
    if given.complex is not None and given.complex not in known:
        raise InputError(f"--complex must be of the runs, got {given.complex}")
    folder.create({
        "command": "docking figures", "runs": [str(run.resolve()) for run in runs],
        "data_root": given.data_root and str(Path(given.data_root).resolve()),
        "train_split": given.train_split, "complex": given.complex, "seed": given.seed,
    })  # fmt: skip
    book = Book(folder.path, methods, given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        data = _Data(given, runs, Path(scratch)) if given.data_root else None
        similar = None
        if data is not None:
            similar = _similar(given, methods, data, folder.path, warnings)
        book.write(similar, given.complex)
        sections = list(book.sections)
        if data is not None:
            chosen = given.complex or _chosen(book.facts, methods)
            sections += _slices(data, runs, chosen, folder.path, warnings)
    write_page(folder.path / "report.html", "Docking figures", sections)
    shares = {one.name: float(one.hits.mean()) for one in methods}
    write_report(folder.path, {
        "status": "finished", "command": "figures", "seed": given.seed,
        "runs": [str(run) for run in runs], "metrics": shares, "figures": book.facts,
        "sizes": {one.name: len(one.ids) for one in methods},
        **surroundings(watch), "warnings": warnings,
    })  # fmt: skip
    tell(warnings)
    for file in sorted(folder.path.glob("*.png")):
        print(file)
    print(f"report: {folder.path / 'report.html'}")
    return DONE


def _check(given: Namespace, runs: Sequence[Path]) -> None:
    """Refuse a corpus that is none, and what would delete a run."""
    if given.data_root is not None and not Path(given.data_root).is_dir():
        raise InputError(f"--data-root must be a folder, got {given.data_root}")
    out = Path(given.out).resolve()
    for run in runs:
        if out == run.resolve() or out in run.resolve().parents:
            raise InputError(f"--out {given.out} holds the run {run}; choose another --out")
    names = [run.name for run in runs]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise InputError(f"runs must have names of their own, got two called {double}")


class _Data:
    """The complexes of the runs' split, found when first asked for."""

    def __init__(self, given: Namespace, runs: Sequence[Path], scratch: Path) -> None:
        from docking.figures.method import read_config

        self.root = Path(given.data_root)
        self._splits = list(dict.fromkeys(str(read_config(run)["split"]) for run in runs))
        self._scratch = scratch
        self._found: Dataset | None = None

    def __call__(self) -> "Dataset":
        from docking.benchmark.dataset import Dataset

        if self._found is None:
            parts = [Dataset.open(self.root, split, self._scratch) for split in self._splits]
            self._found = Dataset([one for part in parts for one in part.complexes])
        return self._found

    def find(self, key: str) -> "Complex | None":
        """The files of one complex."""
        return next((one for one in self().complexes if one.id == key), None)


def _similar(
    given: Namespace, methods: "Sequence[Method]", data: _Data, out: Path, warnings: list[str]
) -> Any:
    from docking.figures.corpus import nearest_of

    with progress("read") as advance:

        def say(words: str) -> None:
            advance()
            if words:
                warnings.append(words)

        found = nearest_of(data.root, methods, out, level=given.train_split, files=data, tell=say)
    if found is None:
        warnings.append(f"{data.root} has no training part that can be told from the test")
    return found


def _chosen(facts: dict[str, Any], methods: "Sequence[Method]") -> str:
    funnel = facts.get("funnel")
    return str(funnel["complex"]) if isinstance(funnel, dict) else methods[0].ids[0]


def _slices(
    data: _Data, runs: Sequence[Path], key: str, out: Path, warnings: list[str]
) -> "list[Section]":
    """Slices around one ligand for every model of the runs."""
    from docking.benchmark.protocols import PADDING, read_ligand
    from docking.box import Box
    from docking.figures.method import read_config
    from docking.models import load_model
    from docking.molecule import Receptor
    from docking.slices import field_slices
    from overparam.page import Section

    one = data.find(key)
    if one is None:
        warnings.append(f"{data.root} has no files of {key}: its field is not drawn")
        return []
    ligand, receptor = read_ligand(one.ligand), Receptor.from_file(one.receptor)
    box = Box.from_ligand(ligand, PADDING)
    named = [read_config(run)["scoring"] for run in runs]
    models = [name for some in named for name in ([some] if isinstance(some, str) else some)]
    pictures = []
    for name in dict.fromkeys(models):
        if name in _UNSLICED:
            continue
        try:
            model = load_model(name)
        except InputError as error:
            warnings.append(f"the field of {name} is not drawn: {error}")
            continue
        stem = "slices_" + "".join(c if c.isalnum() else "_" for c in name).strip("_")
        file = out / f"{stem}.png"
        pocket = model.prepare(receptor, box)
        title = f"{key}, {name}"
        field_slices(pocket, ligand, file, model=model, title=title).write(file.with_suffix(".csv"))
        pictures.append((file, title))
    text = (
        "Blue is good for an atom there; the crystal ligand; thin lines: where physics is a wall."
    )
    return [Section("Slices of the field", text, pictures=pictures)] if pictures else []
