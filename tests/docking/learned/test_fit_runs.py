"""Whole runs of the three fits: data that are no numbers, and two processes."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from docking.__main__ import COMMANDS
from docking.learned.esf import EsfFields
from docking.learned.field_fit import FieldFit
from docking.learned.fit import ScoreFit
from docking.learned.hybrid import HybridScore
from docking.learned.lean_esf import LeanLigandNet, LeanReceptorNet
from docking.learned.lean_fields import LeanFields
from docking.learned.lean_net import MoleculeNet, PocketNet
from docking.learned.losses import RotationLikelihood, TranslationLikelihood
from docking.learned.pose_set import PoseMiner, PoseSet
from docking.learned.rank_fit import RankFit
from docking.learned.reference_net import LigandNet, ReceptorNet
from docking.learned.soft_losses import ShiftLikelihood, TurnLikelihood
from docking.mined_complexes import MinedComplexes, MinedExample
from overparam import load_module
from overparam.cli import run
from overparam.run_checkpoint import DivergedError
from tests.docking import demo
from tests.docking.corpus import write_corpus

from .pockets import pocket

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*"),
    pytest.mark.filterwarnings("ignore:.*only .* complexes.*"),
]
ROOT = Path(__file__).parents[3]
KEY = "1bju"


@functools.cache
def mined() -> MinedExample:
    ligand = demo.ligand(KEY)
    receptor = demo.receptor(KEY).without_ligand(ligand)
    miner = PoseMiner(effort=0.02, flexible=4, rigid=4, near=2)
    return MinedExample(KEY, receptor, ligand, miner(KEY, receptor, ligand))


def rank_fit():
    net = PocketNet(channels=3, radial=4, width=16, vectors=4, layers=1, neighbours=8)
    module = RankFit(HybridScore(net, MoleculeNet(3, 16, 1)))
    return module, mined(), module.prepared(mined()).terms


def field_fit():
    sizes = {"channels": 2, "degree": 1, "width": 12, "vectors": 4, "layers": 1}
    nets = LeanReceptorNet(radial=2, **sizes), LeanLigandNet(radial=1, **sizes)
    fields = LeanFields(*nets, scale=1.0, reach=4.0, k_max=1.5)
    shift, turn = ShiftLikelihood(half=2, turns=1), TurnLikelihood(turns=10, lmax=4)
    module = FieldFit(fields, shift=shift, turn=turn, spacing=2.0)
    return module, pocket(KEY, 3.2), module.prepared(pocket(KEY, 3.2)).pocket.positions


def score_fit():
    nets = (net(1, 2, layers=1, hidden=8) for net in (ReceptorNet, LigandNet))
    module = ScoreFit(
        EsfFields(*nets, cutoff=3.0),
        translation=TranslationLikelihood(points=10, spacing=2.0),
        rotation=RotationLikelihood(turns=12, lmax=4, k_max=1.5, reach=12.0),
    )
    module.graph([pocket(KEY, 3.2)])
    return module, pocket(KEY, 3.2), module._graphs[KEY].ligand.positions


@pytest.mark.parametrize("make", [rank_fit, field_fit, score_fit])
def test_numbers_that_are_none_end_every_fit(make, tmp_path):
    torch.manual_seed(0)
    module, example, numbers = make()
    numbers += float("nan")
    trainer = Trainer(
        max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    with pytest.raises(DivergedError, match="the loss is nan at step 0"):
        trainer.fit(module, DataLoader([[example]] * 3, batch_size=None))
    assert all(p.isfinite().all() for p in module.parameters())


# --- the command


TINY = """
trainer: {max_epochs: 2, accelerator: cpu}
model:
  init_args:
    score:
      init_args:
        pocket: {init_args: {channels: 3, radial: 4, width: 16, layers: 1}}
        molecule: {init_args: {channels: 3, width: 16, layers: 1}}
data:
  init_args: {split: published, effort: 0.1, flexible: 12, rigid: 12, near: 4, batch_size: 1}
"""


def words(folder: Path, *more: str) -> list[str]:
    """Train the hybrid score, small, on four complexes of a corpus in the folder."""
    parts = {"train": ["a0", "a1", "a2", "a3"], "val": ["c3", "c4"], "test": ["d1"]}
    root = write_corpus(folder / "corpus", parts)
    (folder / "tiny.yaml").write_text(TINY)
    given = ["fit", "--config", "hybrid", "--config", str(folder / "tiny.yaml")]
    given += ["--data.init_args.root", str(root)]
    given += ["--data.init_args.cache_dir", str(folder / "cache")]
    return [*given, "--out", str(folder / "run"), *more]


def spoil_the_last(folder: Path) -> None:
    """Take the numbers from the poses of the complex that the first epoch comes to last."""
    data = MinedComplexes(
        str(folder / "corpus"), cache_dir=str(folder / "cache"), split="published", effort=0.1,
        flexible=12, rigid=12, near=4, batch_size=1,
    )  # fmt: skip
    data.setup("fit")
    torch.manual_seed(0)
    *_, (last,) = data.train_dataloader()
    (entry,) = [one for one in data.sets["train"].entries if one.complex.id == last.id]
    file = data.poses.file(entry)
    poses = PoseSet.unpack(file.read_bytes())
    poses.terms[:] = float("nan")
    file.write_bytes(poses.pack())


@pytest.mark.slow
def test_a_spoilt_complex_ends_the_command_and_the_last_checkpoint_is_good(tmp_path, capsys):
    given = words(tmp_path, "--checkpoint_every", "0", "--seed", "0")
    spoil_the_last(tmp_path)
    assert run("docking", given, commands=COMMANDS) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: training diverged: the loss is nan at step")
    assert "last.ckpt is the last good state" in said
    module = load_module(tmp_path / "run" / "last.ckpt", RankFit)
    assert all(p.isfinite().all() for p in module.parameters())


KEEP = """
import torch
from pytorch_lightning import Callback
class KeepRank(Callback):
    def __init__(self, folder: str) -> None:
        self.folder = folder
    def on_train_end(self, trainer, pl_module):
        state = {name: p.detach() for name, p in pl_module.named_parameters()}
        torch.save(state, f"{self.folder}/rank{trainer.global_rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights(tmp_path):
    (tmp_path / "keep_rank.py").write_text(KEEP)
    given = words(tmp_path, "--trainer.devices", "2", "--trainer.strategy", "ddp")
    # beside the callbacks of the config, the averaging of weights among them
    given += ["--trainer.callbacks+=keep_rank.KeepRank", f"--trainer.callbacks.folder={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "docking", *given],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / f"rank{k}.pt", weights_only=True) for k in range(2))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert all(tensor.isfinite().all() for tensor in one.values())
    assert any(tensor.any() for name, tensor in one.items() if "readout" in name)
    assert (tmp_path / "run" / "best.ckpt").is_file()
