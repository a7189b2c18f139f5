"""ModuleContract, the tests every OverparameterizedModule inherits.

One thing, longer than 300 lines: a test class is inherited whole.
"""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.testing import assert_close
from torch.utils.data import DataLoader

from overparam.checkpoint import load_module
from overparam.module import OverparameterizedModule
from overparam.parametrization import effective, original
from overparam.plain import plain_state
from overparam.testing import laws, ranks, transforms

_QUIET = [
    # two tiny batches in the test's own process need no workers
    "ignore:.*does not have many workers:UserWarning",
    # a resumed run writes beside the checkpoints of the run it goes on from
    "ignore:Checkpoint directory .* exists and is not empty:UserWarning",
]


class ModuleContract:
    """What a trainable module promises: subclass it in a test file, inherit the tests.

    ::

        class TestSignalFit(ModuleContract):
            def make(self):
                return SignalFit(Siren(2, 1, width=16, depth=3))

            def batch(self, seed):
                x = torch.rand(32, 2, generator=torch.Generator().manual_seed(seed))
                return x, x.sum(-1, keepdim=True)

            def example(self):
                return (self.batch(0)[0],)

    The module must have at least one weight that is not protected, and be importable by its
    class path, as every checkpoint demands. Laws that need a forward pass are skipped, with that
    reason, when ``example`` returns None.

    Attributes:
        compiles: Whether ``forward`` is one graph for ``torch.compile``.
        exports: Whether ``torch.export`` can write it.
        compacts: Whether it can be shrunk.
    """

    pytestmark = [pytest.mark.filterwarnings(line) for line in _QUIET]  # noqa: RUF012

    compiles = True
    exports = True
    compacts = True

    def make(self) -> OverparameterizedModule:
        """Build a small module, randomly initialised."""
        raise NotImplementedError

    def batch(self, seed: int) -> Any:
        """Return one training batch, plain containers of tensors, the same for the same seed."""
        raise NotImplementedError

    def example(self) -> tuple[Tensor, ...] | None:
        """Inputs of one forward pass that returns a tensor; default the module's own."""
        return self.make().example_input

    def test_trains_and_logs_named_quantities(self, tmp_path: Path) -> None:
        """Two epochs change the weights, stay finite and log ``stage/quantity``."""
        module = self._masked()
        before = {name: value.clone() for name, value in plain_state(module).items()}
        sha = module.masks.sha()
        trainer = self._fit(module, tmp_path)
        after = plain_state(module)
        assert any(not torch.equal(after[name], value) for name, value in before.items())
        assert all(value.isfinite().all() for value in after.values())
        assert all("/" in name for name in trainer.callback_metrics), trainer.callback_metrics
        laws.assert_masked_zeros(module)
        assert module.masks.sha() == sha, "training changed the masks"

    def test_resumes_to_the_same_bits(self, tmp_path: Path) -> None:
        """Going on from the middle of a run ends where the run ended, optimizer included."""
        straight, random = self._masked(), _RandomState()
        first = self._fit(straight, tmp_path, random)
        saved = sorted(tmp_path.rglob("*.ckpt"))
        assert len(saved) == 2, "one checkpoint per epoch was expected"

        resumed, random.replay = self._masked(seed=1), True
        second = self._fit(resumed, tmp_path, random, resume=saved[0])
        laws.assert_same_state(straight, resumed)
        for one, other in zip(first.optimizers, second.optimizers, strict=True):
            left, right = one.state_dict()["state"], other.state_dict()["state"]
            assert left.keys() == right.keys()
            for key, state in left.items():
                assert all(
                    torch.equal(torch.as_tensor(v), torch.as_tensor(right[key][k]))
                    for k, v in state.items()
                    if v is not None
                ), f"optimizer state {key} differs"

    def test_rebuilds_from_its_checkpoint_alone(self, tmp_path: Path) -> None:
        """Class, arguments, weights and masks are in the file, and it is plain data."""
        module = self._masked()
        self._fit(module, tmp_path)
        path = sorted(tmp_path.rglob("*.ckpt"))[-1]
        read = torch.load(path, weights_only=True)
        json.dumps({k: v for k, v in read["hyper_parameters"].items() if k != "_instantiator"})
        rebuilt = load_module(path, type(module))
        assert type(rebuilt) is type(module)
        assert not rebuilt.training
        laws.assert_same_state(module, rebuilt)
        assert rebuilt.masks.sha() == module.masks.sha()
        example = self.example()
        if example is not None:
            module.eval()
            with torch.no_grad():
                assert torch.equal(rebuilt(*example), module(*example))

    @pytest.mark.parametrize(
        "law",
        [
            laws.assert_acts_like_plain,
            laws.assert_deepcopies,
            laws.assert_averages,
            laws.assert_decays,
            laws.assert_resumes,
            laws.assert_interchanges,
            laws.assert_ignores_pruned,
        ],
    )
    def test_masks_survive(self, law: laws.Law) -> None:
        """The mask laws hold for this module's forward."""
        law(self._masked(), self._need_example())

    def test_compiles(self) -> None:
        """The masked forward is one graph, and new masks do not recompile it."""
        if not self.compiles:
            pytest.skip("this module declares compiles = False")
        transforms.assert_compiles(self._masked(), self._need_example())

    def test_exports(self) -> None:
        """The masked forward can be written by ``torch.export``."""
        if not self.exports:
            pytest.skip("this module declares exports = False")
        transforms.assert_exports(self._masked(), self._need_example())

    def test_the_report_adds_up(self) -> None:
        """Rows sum to the totals, and sparsities are those of the masks."""
        module = self._masked()
        report = module.report(1000)
        parameters = {id(p): p.numel() for p in module.parameters()}
        assert report.dense == sum(row.total for row in report.rows) == sum(parameters.values())
        assert report.active == sum(row.active for row in report.rows) < report.dense
        assert report.ratio == report.active / 1000
        assert len({row.name for row in report.rows}) == len(report.rows)
        assert report.active_bytes <= report.bytes + report.dense / 8
        for row in report.rows:
            assert row.active == round(row.total * module.masks.density(row.name))
            assert row.sparsity == pytest.approx(1 - row.active / row.total)
            assert row.dead_units <= row.units
        removed = sum(int((~mask).sum()) for mask in module.masks.values())
        assert report.dense - report.active == removed
        json.dumps(report.as_dict())
        assert all(row.name in str(report) for row in report.rows)

    def test_rewinds_to_the_same_bits_every_round(self, tmp_path: Path) -> None:
        """Five rounds of training and rewinding; the snapshot is nobody's alias."""
        module = self._masked()
        saved = module.snapshot("init")
        copies = {name: value.clone() for name, value in saved.state.items()}
        pointers = {value.data_ptr() for value in saved.state.values() if value.numel()}
        live = {p.data_ptr() for p in module.parameters() if p.numel()}
        assert not pointers & live, "the snapshot shares memory with the weights"
        sha = module.masks.sha()
        for round_ in range(5):
            self._fit(module, tmp_path / str(round_), epochs=1)
            assert any(
                not torch.equal(original(module, name), copies[name]) for name in module.masks
            )
            module.rewind("init", keep=())
            for name, value in plain_state(module).items():
                assert torch.equal(value, copies[name]), f"{name} differs after round {round_}"
        assert {p.data_ptr() for p in module.parameters() if p.numel()} == live
        assert module.masks.sha() == sha

    def test_compact_keeps_the_outputs(self) -> None:
        """Removing dead units gives a module no larger, with equal outputs."""
        if not self.compacts:
            pytest.skip("this module declares compacts = False")
        example, module = self._need_example(), self._masked("neuron").eval()
        small = module.compact(example)
        with torch.no_grad():
            expected = module(*example)
            assert_close(small(*example), expected, rtol=1e-5, atol=1e-5 * _size(expected))
        sizes = [sum(p.numel() for p in net.parameters()) for net in (small, module)]
        assert sizes[0] < sizes[1]

    @pytest.mark.slow
    def test_two_processes_train_the_same_module(self, tmp_path: Path) -> None:
        """Under Lightning's ddp on two CPU processes, masks and weights stay equal."""
        module = self._masked()
        self._fit(module, tmp_path / "start", epochs=1)
        start = next((tmp_path / "start").rglob("*.ckpt"))
        torch.save([self.batch(0), self.batch(1)], tmp_path / "batches.pt")
        ranks.spawn(["-m", "overparam.testing.contract", str(start), str(tmp_path)])
        found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
        assert found[0] == found[1]
        assert found[0]["masks"] == module.masks.sha()
        assert found[0]["weights"] != ranks.weights_sha(module), "nothing was trained"

    def _need_example(self) -> tuple[Tensor, ...]:
        example = self.example()
        if example is None:
            pytest.skip("example() returns None, so there is no forward pass to test")
        return example

    def _masked(self, granularity: str = "weight", seed: int = 0) -> OverparameterizedModule:
        """Build with a random half of every unprotected weight, or of its units, masked."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = self.make()
            module.masks.install(granularity=granularity)
            assert module.masks, "a module must have a weight that is not protected"
            for name in module.masks:
                mask = module.masks.module_of(name)
                bits = torch.rand(mask.groups) > 0.5
                bits[0], bits[-1] = True, False
                mask.set_bits(bits)
                assert effective(module, name).eq(0).any()
        return module

    def _fit(
        self,
        module: OverparameterizedModule,
        folder: Path,
        *callbacks: Callback,
        epochs: int = 2,
        resume: Path | None = None,
    ) -> Trainer:
        """Train quietly on two batches an epoch, keeping every epoch's checkpoint."""
        keep = ModelCheckpoint(folder, "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
        trainer = _trainer(max_epochs=epochs, callbacks=[keep, *callbacks], devices=1)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            trainer.fit(module, _loader([self.batch(0), self.batch(1)]), ckpt_path=resume)
        return trainer


class _RandomState(Callback):
    """Note the random state at the first batch of the second epoch; a replay puts it back."""

    def __init__(self) -> None:
        self.state = torch.get_rng_state()
        self.replay = False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) != (1, 0):
            return
        if self.replay:
            torch.set_rng_state(self.state)
        self.state = torch.get_rng_state()


def _trainer(**options: Any) -> Trainer:
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(accelerator="cpu", use_distributed_sampler=False, **quiet, **options)


def _loader(batches: list[Any]) -> DataLoader:
    return DataLoader(copy.copy(batches), batch_size=None)  # type: ignore[arg-type]


def _size(tensor: Tensor) -> float:
    return max(1.0, float(tensor.abs().max()))


def _rank_main(checkpoint: str, folder: str) -> None:
    """Train the module of ``checkpoint`` as one rank of the group, each rank on its own batch."""
    batches = torch.load(Path(folder, "batches.pt"), weights_only=True)
    with ranks.join() as rank:
        module = load_module(checkpoint, OverparameterizedModule).train()
        trainer = _trainer(
            max_epochs=2, devices=2, strategy="ddp", enable_checkpointing=False, num_nodes=1
        )
        trainer.fit(module, _loader([batches[rank]]))
        found = {"masks": module.masks.sha(), "weights": ranks.weights_sha(module)}
        Path(folder, f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    _rank_main(*sys.argv[1:])
