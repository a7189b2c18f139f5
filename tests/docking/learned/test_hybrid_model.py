"""Mined poses, training on them, and docking with what was trained."""

import functools
import json

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import docking
from docking import Box, PocketField, load_model
from docking.complexes import Example
from docking.hybrid_model import HybridModel
from docking.learned.confidence import FEATURES, Confidence, features
from docking.learned.hybrid import HybridScore
from docking.learned.lean_net import MoleculeNet, PocketNet
from docking.learned.pose_set import PoseMiner, PoseSet, Source
from docking.learned.rank_fit import RankFit, loss, mined, ranking
from docking.mined_complexes import MinedComplexes, MinedExample
from docking.models import WEIGHTS
from docking.physics import vina_energy
from overparam.errors import InputError
from overparam.testing import ModuleContract
from tests.docking import demo
from tests.docking.corpus import write_corpus

# most runs here train only
pytestmark = pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*")
KEY = "1bju"
MINER = PoseMiner(effort=0.02, flexible=4, rigid=4, near=2)


def small_score(seed=0):
    torch.manual_seed(seed)
    pocket = PocketNet(channels=3, radial=4, width=16, vectors=4, layers=1, neighbours=8)
    return HybridScore(pocket, MoleculeNet(3, 16, 1))


def trained(score, seed=0):
    """A score whose learned part is not zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for last in (score.pocket.readout, *score.pocket.mix):
            for parameter in last.parameters():
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return score.eval()


@functools.cache
def mined_demo():
    ligand = demo.ligand(KEY)
    receptor = demo.receptor(KEY).without_ligand(ligand)
    return MinedExample(KEY, receptor, ligand, MINER(KEY, receptor, ligand))


@pytest.fixture(scope="module")
def example():
    return mined_demo()


@pytest.fixture(scope="module")
def setting(example):
    model = HybridModel(trained(small_score()))
    box = Box.from_ligand(example.ligand, padding=3.0)
    return model, box, model.prepare(example.receptor, box), example.ligand


class TestContract(ModuleContract):
    compiles = exports = compacts = False

    def make(self):
        return RankFit(small_score())

    def batch(self, seed):
        return [mined_demo()]

    # Its input is a graph: the networks' own tests hold the laws of masks.
    test_masks_survive = None
    # Examples are molecules, which the file of tensors of this test cannot hold.
    test_two_processes_train_the_same_module = None


# mining


def test_mined_poses_are_what_they_say(example):
    poses = example.poses
    assert poses.source[0] == Source.CRYSTAL and poses.rmsd[0] == 0
    assert np.array_equal(poses.coords[0], example.ligand.coords)
    assert set(poses.source) == set(Source)
    exact = vina_energy(example.receptor, example.ligand, poses.coords.astype(float), terms=True)
    capped = exact.inter - exact.cap  # mined terms are before the cap on atoms
    np.testing.assert_allclose(poses.terms.sum(1), capped, atol=1e-3)
    np.testing.assert_allclose(poses.intra, exact.intra, atol=1e-3)
    # Descents lead down.
    near = poses.terms[poses.source == Source.NEAR].sum(1)
    assert near[0] <= poses.terms[0].sum() + 1e-3


def test_mining_is_deterministic(example):
    again = MINER(KEY, example.receptor, example.ligand)
    assert np.array_equal(again.coords, example.poses.coords)
    other = MINER("another", example.receptor, example.ligand)
    assert not np.array_equal(other.coords, again.coords)


def test_pose_sets_come_back(example):
    back = PoseSet.unpack(example.poses.pack())
    for name, value in vars(example.poses).items():
        np.testing.assert_allclose(getattr(back, name), value, atol=1e-4)
    assert back.pack() == PoseSet.unpack(back.pack()).pack()


def test_corpus_is_mined_once(tmp_path, monkeypatch):
    root = write_corpus(tmp_path / "corpus", {"train": ["a0"], "val": ["c3"], "test": ["d1"]})
    options = {
        "split": "published", "cache_dir": str(tmp_path / "cache"), "effort": 0.02,
        "flexible": 2, "rigid": 2, "near": 1, "batch_size": 1,
    }  # fmt: skip
    data = MinedComplexes(str(root), **options)
    data.setup("fit")
    first = next(iter(data.train_dataloader()))[0]
    assert isinstance(first, MinedExample) and isinstance(first, Example)
    monkeypatch.setattr(PoseMiner, "__call__", None)  # mining again would fail
    again = MinedComplexes(str(root), **options)
    again.setup("fit")
    second = next(iter(again.train_dataloader()))[0]
    assert np.array_equal(first.poses.coords, second.poses.coords)
    small = MinedComplexes(str(root), torsions=0, **options)
    with pytest.raises(InputError, match="no ligand of train could be docked"):
        small.setup("fit")


# the loss


@given(
    st.lists(st.floats(-20, 20), min_size=2, max_size=8), st.floats(-50, 50), st.integers(0, 10**6)
)
def test_loss_is_a_log_probability(scores, shift, seed):
    s = torch.tensor(scores, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    rmsd = 5 * torch.rand(len(s), generator=generator, dtype=torch.float64)
    value = loss(s, rmsd)
    assert value >= -1e-9
    torch.testing.assert_close(loss(s + shift, rmsd), value, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(loss(s, torch.zeros_like(rmsd)), torch.zeros_like(value))


def test_step_zero_ranks_as_physics(example):
    fit = RankFit(small_score()).eval()
    one = mined(example, fit.score)
    with torch.no_grad():
        told = ranking(one, fit([one])[0])
    for name in ("flexible", "rigid"):
        assert told[name] == told[f"{name}_physics"]
        assert told[name] <= told[f"{name}_best"]


def test_training_lowers_the_loss(example):
    torch.manual_seed(0)
    fit = RankFit(small_score(), noise=0.0)
    one = fit.prepared(example)
    optimizer = torch.optim.Adam(fit.parameters(), lr=1e-2)
    before = float(loss(fit([one])[0], one.rmsd).detach())
    for _ in range(15):
        optimizer.zero_grad()
        loss(fit([one])[0], one.rmsd).backward()
        optimizer.step()
    fit.eval()
    assert float(loss(fit([one])[0], one.rmsd).detach()) < before - 0.1 * before


def test_draw_takes_true_poses_and_rivals_of_one_kind(example):
    fit = RankFit(small_score(), natives=2, rivals=3)
    one = fit.prepared(example)
    picks = fit.draw(one, torch.Generator().manual_seed(0))
    assert picks
    for picked in picks:
        own = one.source[picked] == Source.FLEXIBLE
        assert own.all() or not own.any()
        kind = (one.source == Source.FLEXIBLE) == own[0]
        good = one.rmsd[picked] < 2
        assert good.sum() == min(2, int((kind & (one.rmsd < 2)).sum()))
        assert (~good).sum() == min(3, int((kind & (one.rmsd >= 2)).sum()))
        assert len(set(picked.tolist())) == len(picked)


# the model


def test_scores_do_not_depend_on_company_or_pocket_file(setting, tmp_path):
    model, _, pocket, ligand = setting
    x = np.stack([ligand.coords, ligand.coords + 0.5, ligand.coords - 0.3])
    together = model.score(pocket, ligand, x)
    alone = [float(model.score(pocket, ligand, pose)) for pose in x]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-4)
    pocket.save(tmp_path / "pocket.pt")
    np.testing.assert_array_equal(
        model.score(PocketField.load(tmp_path / "pocket.pt"), ligand, x), together
    )


def test_scores_have_gradients(setting):
    model, _, pocket, ligand = setting
    x = torch.tensor(ligand.coords, requires_grad=True)
    model.score(pocket, ligand, x).backward()
    along = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    step = 1e-2
    ahead, behind = (
        model.score(pocket, ligand, (x + sign * step * along).detach()) for sign in (1, -1)
    )
    slope = float((ahead - behind) / (2 * step))
    assert float((x.grad * along).sum()) == pytest.approx(slope, rel=2e-2, abs=2e-2)


def test_first_pose_has_its_score(setting):
    model, _, pocket, ligand = setting
    result = model.dock(pocket, ligand, num_poses=5, seed=1, effort=0.05)
    assert result.model == "hybrid"
    assert (np.diff(result.scores) <= 0).all()
    first = result.poses[0]
    assert float(model.score(pocket, ligand, first.coords)) == pytest.approx(first.score, abs=1e-3)
    again = model.dock(pocket, ligand, num_poses=5, seed=1, effort=0.05)
    assert np.array_equal(again.coords, result.coords)


def test_untrained_model_docks_as_physics(setting):
    _, box, _, ligand = setting
    example = demo.receptor(KEY).without_ligand(ligand)
    physics = load_model("physics")
    plain = physics.dock(physics.prepare(example, box), ligand, seed=2, effort=0.05)
    model = HybridModel(small_score())
    model.candidates = 0
    hybrid = model.dock(model.prepare(example, box), ligand, seed=2, effort=0.05)
    assert np.array_equal(hybrid.coords[0], plain.coords[0])


def test_pocket_of_another_model_is_refused(setting, example):
    model, box, pocket, ligand = setting
    other = HybridModel(trained(small_score(), seed=5))
    with pytest.raises(InputError, match="not prepared by this hybrid model"):
        other.score(pocket, ligand)
    with pytest.raises(InputError, match="not prepared by this hybrid model"):
        model.score(load_model("physics").prepare(example.receptor, box), ligand)


def test_checkpoint_is_all_it_needs(setting, tmp_path):
    model, _, pocket, ligand = setting
    fit = RankFit(small_score())
    fit.score.load_state_dict(model.net.state_dict())
    trainer = pl.Trainer(
        max_steps=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    trainer.strategy.connect(fit)
    trainer.save_checkpoint(tmp_path / "hybrid.ckpt")
    loaded = load_model(tmp_path / "hybrid.ckpt")
    np.testing.assert_array_equal(loaded.score(pocket, ligand), model.score(pocket, ligand))


def test_unknown_models_are_named():
    with pytest.raises(InputError, match=r"no model 'physic' \(did you mean physics\?\)"):
        docking.load_model("physic")


# confidence


def test_confidence_recovers_a_logistic_law():
    rng = np.random.default_rng(0)
    told = rng.normal(size=(4000, len(FEATURES))) * [1, 2, 3, 4, 5] + 1
    logit = 1.5 * (told[:, 0] - 1) - 0.5
    true = (rng.random(len(told)) < 1 / (1 + np.exp(-logit))).astype(float)
    head = Confidence()
    assert float(head(torch.as_tensor(told))[0]) == 0.5
    head.fit(told, true, penalty=0.0)
    fitted = head(torch.as_tensor(told)).numpy()
    assert np.abs(fitted - 1 / (1 + np.exp(-logit))).mean() < 0.03
    # Maximum likelihood with a constant term: calibrated in the mean, exactly.
    assert fitted.mean() == pytest.approx(true.mean(), abs=1e-4)


@settings(max_examples=30)
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=9), st.floats(-20, 20))
def test_confidence_features_ignore_a_common_shift(scores, shift):
    s = np.sort(np.array(scores))[::-1]
    a, b = features(s, 3, 20), features(s + shift, 3, 20)
    np.testing.assert_allclose(a[:, :4], b[:, :4], atol=1e-9)
    assert np.isfinite(a).all()


# what is shipped


def test_shipped_weights_say_where_they_come_from():
    files = sorted(WEIGHTS.glob("*.ckpt"))
    assert [file.stem for file in files] == ["hybrid"]
    assert sum(file.stat().st_size for file in files) <= 10 * 2**20
    for file in files:
        record = json.loads(file.with_suffix(".json").read_text())
        assert record["bytes"] == file.stat().st_size
        assert len(record["data_hash"]) == 64
        assert record["command"].startswith("python -m docking fit --config")
        assert isinstance(record["seed"], int)
        net = load_model(file.stem).net
        # All parameters of the training module are those of the score.
        assert record["parameters"] == sum(p.numel() for p in net.parameters())
        held = [value for row in record["log"] for name, value in row.items() if name == "val/loss"]
        assert len(held) == record["config"]["trainer"]["max_epochs"]


def test_shipped_score_tells_true_poses_from_others_as_well_as_physics():
    model, physics = load_model("hybrid"), load_model("physics")
    ranks = {"hybrid": 0, "physics": 0}
    for key in demo.IDS:
        ligand = demo.ligand(key)
        receptor = demo.receptor(key).without_ligand(ligand)
        box = Box.from_ligand(ligand, padding=3.0)
        rng = np.random.default_rng(0)
        moved = ligand.coords + rng.normal(0, 2.0, (60, 1, 3))
        x = np.concatenate([ligand.coords[None], moved])
        for name, one in (("hybrid", model), ("physics", physics)):
            scores = one.score(one.prepare(receptor, box), ligand, x)
            ranks[name] += int((scores > scores[0]).sum())
    assert ranks["hybrid"] <= ranks["physics"] + 2


def test_a_screen_refuses_a_foreign_pocket_before_it_begins(setting, example, tmp_path):
    model, box, _, _ = setting
    library = tmp_path / "library.smi"
    library.write_text("CCO\n")
    foreign = load_model("physics").prepare(example.receptor, box)
    with pytest.raises(InputError, match="not prepared by this hybrid model"):
        model.screen(foreign, library, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
