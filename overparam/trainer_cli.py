"""Lightning's commands with run folders, resumption, and mistakes told in one line."""

import contextlib
import re
import shlex
from argparse import ArgumentError
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, Namespace  # pyright: ignore[reportPrivateImportUsage]
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from overparam.checkpoint import read_checkpoint
from overparam.cli import (
    BAD_INPUT,
    DONE,
    INTERRUPTED,
    complain,
    resolve_config,
    select_device,
    teaching,
)
from overparam.config_errors import shorten
from overparam.errors import InputError
from overparam.launch import config_name, rank, refuse_no_training, with_stored_config
from overparam.quiet import collected_warnings, quiet
from overparam.run_folder import RunFolder
from overparam.run_report import RunReport
from overparam.trainer_parts import trainer_parts

TERMINATED = 143

# settings of the command rather than of the run: not stored in config.yaml
_OURS = ("config", "out", "resume", "overwrite", "device")

# what torch and Lightning say when a checkpoint belongs to another module or optimizer
_MISFIT = r"Error\(s\) in loading state_dict|loaded state dict|Trying to restore optimizer state"


def run_trainer(package: str, command: str, words: list[str]) -> int:
    """Run ``fit``, ``validate``, ``test`` or ``predict`` and return its exit code."""
    first = rank() == 0
    seen: list[str] = []

    def say(line: str) -> None:
        if first:
            complain(line, "warning")

    with quiet(), collected_warnings(seen, say), TemporaryDirectory() as scratch:
        cli = None
        try:
            words = with_stored_config(words)
            cli = RunCLI(package, command, words, seen, scratch)
            if cli.folder is not None and cli.folder.state == "finished":
                if first:
                    print(f"{cli.folder.path} is finished; its report.json has the result")
                return DONE
            cli.start()
            if first and command in ("fit", "validate", "test"):
                print(cli.result())
            return DONE
        except InputError:
            raise
        except MisconfigurationException as error:
            raise InputError(str(error)) from None
        except SystemExit as stop:
            if cli is not None and getattr(cli, "trainer", None) and cli.trainer.interrupted:
                if first:
                    complain(f"interrupted{cli.how_to_go_on()}", "stopped")
                return TERMINATED if isinstance(stop, SIGTERMException) else INTERRUPTED
            return stop.code if isinstance(stop.code, int) else BAD_INPUT if stop.code else DONE


class RunCLI(LightningCLI):
    """LightningCLI for one command of one package.

    Args:
        package: Import name whose configs are known by name.
        command: Trainer method to run.
        words: Command line after the command.
        seen: Warnings so far, for the report.
        scratch: Folder for what a run without a run folder writes all the same.
    """

    def __init__(
        self, package: str, command: str, words: list[str], seen: list[str], scratch: str
    ) -> None:
        self.package = package
        self.command = command
        self.words = words
        self.seen = seen
        self.scratch = scratch
        self.folder: RunFolder | None = None
        every = {"exit_on_error": False, "allow_abbrev": False, "prog": f"python -m {package}"}
        usage = f"python -m {package} {command} --config NAME_OR_PATH [--KEY VALUE ...]"
        about = {"description": teaching(package, command), "usage": usage}
        with contextlib.suppress(_AlreadyFinished):
            super().__init__(
                LightningModule,
                LightningDataModule,
                save_config_callback=None,
                trainer_defaults={"enable_model_summary": False},
                parser_kwargs=every | {command: {**every, **about}},
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                args=[command, *words],
            )

    # parsing

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Only the command asked for: building a parser takes a second each."""
        return {self.command: LightningCLI.subcommands()[self.command]}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Make a parser whose ``--config`` knows bundled names."""
        package = self.package

        class NamedConfig(ActionConfigFile):
            def __call__(
                self, parser: Any, cfg: Any, values: Any, option_string: str | None = None
            ) -> None:
                path = str(resolve_config(values, package))
                try:
                    super().__call__(parser, cfg, path, option_string)
                except (UnicodeDecodeError, yaml.YAMLError):
                    raise InputError(f"config {values} is not readable yaml") from None
                except ArgumentError as error:
                    raise InputError(f"config {values}: {shorten(str(error))}") from None

        parser = self.parser_class(**kwargs)
        parser.add_argument("-c", "--config", action=NamedConfig, help="bundled name or path")
        return parser

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the seed, and what concerns the run folder."""
        parser.add_argument(
            "--seed_everything",
            "--seed",
            type=bool | int,
            default=0,
            help="seed of every random choice; true draws one",
        )
        parser.add_argument(
            "--out",
            type=str | None,
            default=None,
            help="run folder; default runs/<name of the first config>",
        )
        parser.add_argument(
            "--resume", action="store_true", help="go on with the run in the folder"
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="replace the run in the folder"
        )
        parser.add_argument("--device", type=str | None, default=None, help="auto, cpu or cuda")
        parser.add_argument(
            "--checkpoint_every",
            type=float,
            default=30.0,
            help="seconds between two checkpoints to resume from; 0 writes one per step",
        )

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Leave Lightning's table of metrics out: ``result`` says them in a line."""
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        return kwargs | ({"verbose": False} if "verbose" in kwargs else {})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse without Lightning's remark on a non-empty ``sys.argv``."""
        try:
            self.config = parser.parse_args(args)
        except ArgumentError as error:
            options = self._subcommand_parsers[self.command]._option_string_actions
            raise InputError(shorten(str(error), list(options))) from None

    def _parse_ckpt_path(self) -> None:
        """Check the checkpoint; the module comes from the config, not from its hyperparameters."""
        path = self.settings.get("ckpt_path")
        if path and path not in ("best", "last", "hpc"):
            read_checkpoint(path)

    @property
    def settings(self) -> Namespace:
        """The parsed configuration of the command."""
        return self.config[self.command]

    # before anything is built

    def before_instantiate_classes(self) -> None:
        """Check the device, the length and the folder while nothing has been built or written."""
        given = self.settings
        if given.device is not None:
            given.trainer.accelerator = select_device(given.device).type
        if not given.checkpoint_every >= 0:
            raise InputError(
                f"--checkpoint_every must not be negative, got {given.checkpoint_every}"
            )
        if self.command == "fit":
            refuse_no_training(given.trainer.as_dict())
        dry = bool(given.trainer.get("fast_dev_run"))
        if dry and (given.resume or given.overwrite):
            raise InputError("fast_dev_run writes no run folder: leave --resume/--overwrite out")
        if dry or (self.command != "fit" and given.out is None):
            return
        if given.resume and self.command != "fit":
            raise InputError(f"--resume concerns fit, not {self.command}")
        path = given.out or f"runs/{config_name(self.words) or self.package}"
        self.folder = RunFolder(
            path, resume=given.resume, overwrite=given.overwrite, first=rank() == 0
        )
        if self.folder.state == "finished":
            raise _AlreadyFinished
        if self.folder.state == "resume":
            if given.get("ckpt_path"):
                raise InputError("--resume already says which checkpoint to load: no --ckpt_path")
            self.folder.refuse_other_settings(self.plain_config())
            read_checkpoint(self.folder.checkpoint)
            given.ckpt_path = str(self.folder.checkpoint)

    def plain_config(self) -> dict[str, Any]:
        """The whole configuration as plain data, without what concerns only this command line."""
        text = self._parser(self.command).dump(self.settings, skip_none=False)
        plain = yaml.safe_load(text)
        plain.pop("ckpt_path", None) if self.settings.resume else None
        return {key: value for key, value in plain.items() if key not in _OURS}

    # building

    def instantiate_classes(self) -> None:
        """Build everything; what a constructor refuses is the user's to fix."""
        self._stored = self.plain_config()
        try:
            super().instantiate_classes()
        except (ValueError, FileNotFoundError, MisconfigurationException) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(shorten(str(error))) from None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with what a run folder needs."""
        given = dict(self._get(self.config_init, "trainer"))
        report = None
        if self.folder is not None:
            begin = self._begin if self.folder.state == "new" else None
            report = RunReport(self.folder.path, self._heading(), self.seen, begin)
        every = self.settings.checkpoint_every
        parts = trainer_parts(given, self.command, self.folder, report, every, self.scratch)
        return super().instantiate_trainer(**kwargs, **parts)

    def _heading(self) -> dict[str, Any]:
        words = shlex.join([self.command, *self.words])
        return {
            "command": f"python -m {self.package} {words}",
            "seed": self.settings.seed_everything,
        }

    # running

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing yet: ``start`` runs, once the caller holds this object."""

    def _begin(self) -> None:
        assert self.folder is not None
        self.folder.create(self._stored)

    def start(self) -> None:
        """Run; the folder is made once data and module are ready."""
        try:
            super()._run_subcommand(self.command)
        except (RuntimeError, ValueError, KeyError) as error:
            if not re.match(_MISFIT, str(error).strip("'\"")):
                raise
            path = self.settings.get("ckpt_path")
            first = " ".join(str(error).split())[:300]
            raise InputError(f"checkpoint {path} does not fit this config: {first}") from None

    def result(self) -> str:
        """Say in a few words where the run is and what it reached."""
        values = self.trainer.callback_metrics.items()
        words = [self.command, *(f"{name}={float(value):.5g}" for name, value in values)]
        return "  ".join(words + ([str(self.folder.path)] if self.folder is not None else []))

    def how_to_go_on(self) -> str:
        """Say how to go on after an interruption, if there is a way."""
        if self.folder is None or not self.folder.checkpoint.is_file():
            return ""
        return f"; {self.folder.checkpoint} is kept: the same command with --resume goes on"


class _AlreadyFinished(Exception):  # noqa: N818  # not an error: there is nothing left to do
    pass
