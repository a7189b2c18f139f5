"""A checkpoint rebuilds its module by itself; anything else is refused in one line."""

from functools import partial

import pytest
import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import nn

from overparam.checkpoint import load_module, read_checkpoint
from overparam.errors import InputError
from overparam.module import OverparameterizedModule


class Line(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            nn.Linear(1, width), nn.Linear(width, width), nn.Linear(width, 1)
        )

    def forward(self, x):
        return self.layers(x)


class LineFit(OverparameterizedModule):
    def __init__(self, field: nn.Module, optimizer: OptimizerCallable = torch.optim.Adam) -> None:
        super().__init__(optimizer=optimizer)
        self.field = field

    def forward(self, x):
        return self.field(x)


class OtherFit(LineFit):
    pass


def saved(module, path):
    import pytorch_lightning as pl

    trainer = pl.Trainer(
        logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False,
        enable_model_summary=False, max_steps=0,
    )  # fmt: skip
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    return path


@pytest.mark.parametrize("granularity", ["weight", "neuron", "block"])
def test_the_file_alone_brings_back_weights_masks_and_snapshots(tmp_path, granularity):
    module = LineFit(Line(5), optimizer=partial(torch.optim.SGD, lr=0.5))
    module.masks.install(["field.layers.1.weight"], granularity)
    mask = module.masks.module_of("field.layers.1.weight")
    mask.set_bits(torch.arange(mask.groups) % 2 == 0)
    module.snapshot("early")
    module.scalars_fitted = 12
    back = load_module(saved(module, tmp_path / "m.ckpt"), LineFit)
    assert back.masks.sha() == module.masks.sha()
    assert back.masks.granularities() == module.masks.granularities()
    for name, value in module.state_dict().items():
        assert torch.equal(back.state_dict()[name], value)
    back.rewind("early")
    assert back.scalars_fitted == 12
    assert back.optimizer(back.parameters()).defaults["lr"] == 0.5
    assert not back.training


def test_what_cannot_be_recorded_can_be_supplied(tmp_path):
    field = nn.Sequential(nn.Linear(1, 3), nn.Linear(3, 1))
    path = saved(LineFit(field), tmp_path / "m.ckpt")
    with pytest.raises(InputError, match="cannot rebuild"):
        load_module(path)
    back = load_module(path, field=nn.Sequential(nn.Linear(1, 3), nn.Linear(3, 1)))
    assert torch.equal(back.field[0].weight, field[0].weight)


def test_another_class_is_named(tmp_path):
    path = saved(LineFit(Line(2)), tmp_path / "m.ckpt")
    with pytest.raises(InputError, match=r"holds a .*LineFit, expected a OtherFit"):
        load_module(path, OtherFit)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemError('the checkpoint was executed')",))


def test_missing_corrupt_and_hostile_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="existing file"):
        load_module(tmp_path / "none.ckpt")
    path = saved(LineFit(Line(2)), tmp_path / "m.ckpt")
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"corrupt or cut short|not plain data"):
            read_checkpoint(path)
    torch.save({"state_dict": {}, "bomb": Bomb()}, path)
    with pytest.raises(InputError, match="not plain data"):
        read_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="no state_dict"):
        read_checkpoint(path)


def test_a_checkpoint_cannot_call_arbitrary_code_through_its_masks(tmp_path):
    path = saved(LineFit(Line(2)), tmp_path / "m.ckpt")
    read = torch.load(path, weights_only=True)
    read["parametrizations"] = {
        "field.layers.1.weight": {"class_path": "os.system", "init_args": {"command": "false"}}
    }
    torch.save(read, path)
    with pytest.raises(InputError, match="must be a module"):
        load_module(path)
