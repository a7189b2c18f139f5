"""Training on likelihoods: it learns, takes its steps by turns, and its checkpoint is whole."""

import pytest
import torch
import yaml
from pytorch_lightning import Callback, Trainer
from torch.utils.data import DataLoader

from docking.learned.esf import EsfFields
from docking.learned.fit import ScoreFit
from docking.learned.losses import RotationLikelihood, TranslationLikelihood
from docking.learned.reference_graph import ComplexGraph
from docking.learned.reference_net import LigandNet, ReceptorNet
from overparam import load_module
from overparam.cli import bundled_configs
from overparam.testing import ModuleContract

from .pockets import Pocket, pocket

# most runs here train only
pytestmark = pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*")
KEYS = ("1stp", "1p5e", "1bju")


def tiny(layers=1, **options) -> ScoreFit:
    fields = EsfFields(
        ReceptorNet(1, 2, layers=layers, hidden=8),
        LigandNet(1, 2, layers=layers, hidden=8),
        cutoff=3.0,
    )
    small = {
        "translation": TranslationLikelihood(points=10, spacing=2.0),
        "rotation": RotationLikelihood(turns=12, lmax=4, k_max=1.5, reach=12.0),
    }
    return ScoreFit(fields, **(small | options))


class TestContract(ModuleContract):
    compiles = exports = compacts = False

    def make(self):
        return tiny()

    def batch(self, seed):
        return [pocket(KEYS[seed % 3], 3.2)]

    # Its input is a graph: the networks' own tests hold the laws of masks.
    test_masks_survive = None
    # Examples are molecules, which the file of tensors of this test cannot hold.
    test_two_processes_train_the_same_module = None


class Losses(Callback):
    """Keep the loss of every step, and which names were logged with it."""

    def __init__(self):
        self.losses, self.names = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(outputs["loss"]))
        self.names.append({k for k in trainer.logged_metrics if k != "train/loss"})


def loader(batches):
    return DataLoader(batches, batch_size=None)


def fit(module, batches, folder, *, steps, val=None, **options) -> tuple[Trainer, Losses]:
    losses = Losses()
    trainer = Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=[losses],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        log_every_n_steps=1,
        **options,
    )
    trainer.fit(module, loader(batches), loader(val) if val else None)
    return trainer, losses


def test_the_loss_falls(tmp_path):
    torch.manual_seed(0)
    module = tiny(noise=False, optimizer=lambda p: torch.optim.Adam(p, 1e-2))
    batch = [pocket("1stp", 3.2)]
    _, seen = fit(module, [batch], tmp_path, steps=16, gradient_clip_val=1.0)
    places, turns = seen.losses[::2], seen.losses[1::2]
    assert places[-1] < places[0] - 0.5
    assert turns[-1] < turns[0] - 0.1


def test_even_steps_take_translations_and_odd_ones_rotations(tmp_path):
    _, seen = fit(tiny(), [[pocket("1stp")]], tmp_path, steps=4)
    kinds = ["train/translation_loss", "train/rotation_loss"] * 2
    assert all(kind in names for kind, names in zip(kinds, seen.names, strict=True))


@pytest.mark.parametrize("kind", ["translation", "rotation"])
def test_gradients_reach_every_parameter(kind):
    torch.manual_seed(0)
    module = tiny(layers=2)
    likelihood = getattr(module, kind)
    pairs = module(module.graph([pocket("1stp")]))
    likelihood(*pairs[0]).loss.backward()
    silent = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_a_batch_is_the_mean_of_its_members():
    module = tiny(noise=False)
    module.log = lambda *_, **__: None  # no trainer is attached
    batch = [pocket(key) for key in KEYS]
    alone = torch.stack([module.training_step([one], 0) for one in batch])
    torch.testing.assert_close(module.training_step(batch, 0), alone.mean(), rtol=1e-5, atol=1e-5)


def test_validation_is_the_same_every_time_and_in_any_batch(tmp_path):
    module = tiny()
    batch = [pocket(key) for key in KEYS[:2]]
    first, _ = fit(module, [batch], tmp_path, steps=1, val=[batch], num_sanity_val_steps=0)
    found = {k: float(v) for k, v in first.callback_metrics.items() if k.startswith("val/")}
    names = ("loss", "translation_loss", "translation_rmsd", "rotation_loss", "rotation_rmsd")
    assert found.keys() == {f"val/{name}" for name in names}
    again = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    (result,) = again.validate(module, loader([[one] for one in batch]), verbose=False)
    assert result == pytest.approx(found, rel=1e-4)
    assert result["val/loss"] == pytest.approx(
        (result["val/translation_loss"] + result["val/rotation_loss"]) / 2
    )


def test_graphs_are_made_once():
    module, one = tiny(), pocket("1stp")
    first = module.graph([one])
    again = module.graph([Pocket("1stp", pocket("1bju").receptor, one.ligand)])
    torch.testing.assert_close(again.receptor.positions, first.receptor.positions)
    assert isinstance(first, ComplexGraph)
    assert module.double().graph([one]).ligand.positions.dtype == torch.float64


def test_a_checkpoint_alone_rebuilds_the_fit(tmp_path):
    module = tiny(noise=False)
    trainer, _ = fit(module, [[pocket("1stp")]], tmp_path, steps=2)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = load_module(tmp_path / "a.ckpt", ScoreFit)
    assert not again.noise
    assert (again.translation, again.rotation) == (module.translation, module.rotation)
    assert again.fields.cutoff == 3.0
    with torch.no_grad():
        pairs = [m.eval().fields.of(pocket("1stp")) for m in (module, again)]
    for one, other in zip(*pairs, strict=True):
        assert torch.equal(one.coefficients, other.coefficients)


def test_the_bundled_recipe_is_the_published_one():
    text = bundled_configs("docking")["esf_reference"].read_text()
    assert text.startswith("# Train")
    plan = yaml.safe_load(text)
    given = plan["model"]["init_args"]
    assert TranslationLikelihood(**given["translation"]) == TranslationLikelihood()
    assert RotationLikelihood(**given["rotation"]) == RotationLikelihood()
    assert given["optimizer"]["init_args"] == {"lr": 1e-3}
    assert (plan["trainer"]["gradient_clip_val"], plan["trainer"]["max_epochs"]) == (1.0, 10)
    assert plan["data"]["init_args"]["batch_size"] == 1
