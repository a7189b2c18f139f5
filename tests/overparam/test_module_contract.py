"""The contract, held by the smallest modules that have every feature it speaks of."""

from functools import partial

import pytest
import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor, nn, optim

from overparam.checkpoint import load_module
from overparam.errors import InputError
from overparam.module import OverparameterizedModule
from overparam.subnetwork import edge_popup, gumbel
from overparam.testing.contract import ModuleContract
from overparam.testing.laws import assert_same_state


class Perceptron(OverparameterizedModule):
    """Regression by a multilayer perceptron with batch normalisation and dropout."""

    def __init__(
        self,
        width: int = 12,
        dropout: float = 0.2,
        *,
        optimizer: OptimizerCallable = optim.AdamW,
    ) -> None:
        super().__init__(optimizer=optimizer)
        self.width, self.dropout = width, dropout
        self.net = nn.Sequential(
            nn.Linear(3, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Linear(width, 2),
        )
        self.noise = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        loss = (self.noise(self(x)) - y).square().mean()
        self.log("train/mse", loss)
        return loss


class Normalised(OverparameterizedModule):
    """A recurrent classifier with normalisation, default optimizer, no example input."""

    def __init__(self, hidden: int = 6) -> None:
        super().__init__()
        self.hidden = hidden
        self.first = nn.Linear(3, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.norm = nn.BatchNorm1d(hidden)
        self.last = nn.Linear(hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.gru(self.first(x))[0][:, -1]))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch["x"]), batch["label"])
        self.log("train/cross_entropy", loss)
        return loss


class TestPerceptron(ModuleContract):
    def make(self):
        return Perceptron(optimizer=partial(optim.AdamW, lr=0.01, weight_decay=0.1))

    def batch(self, seed):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(seed))
        return [x, x[:, :2].sin()]

    def example(self):
        return (self.batch(0)[0],)


class TestRecurrentClassifier(ModuleContract):
    compiles = False  # Dynamo does not trace recurrent layers
    compacts = False  # recurrent units are not sliced

    def make(self):
        return Normalised()

    def batch(self, seed):
        x = torch.randn(8, 5, 3, generator=torch.Generator().manual_seed(seed))
        return {"x": x, "label": (x.sum((1, 2)) > 0).long()}

    def example(self):
        return (self.batch(0)["x"],)


class Broken(TestPerceptron):
    """A contract whose module breaks one promise; not collected by its name."""

    def __init__(self, kind):
        self.kind = kind

    def make(self):
        return self.kind()


class Aliasing(Perceptron):
    """Its snapshot is the live tensors, as in a rewind by ``.data =``."""

    def snapshot(self, name="init"):
        saved = super().snapshot(name)
        saved.state.update(self.state_dict(keep_vars=True))
        return saved


class Unmasking(Perceptron):
    """Its training forgets the masks."""

    def on_train_end(self):
        for mask in self.masks.values():
            mask.fill_(True)


class Nameless(Perceptron):
    """It logs a bare word."""

    def training_step(self, batch, batch_idx):
        self.log("loss", torch.zeros(()))
        return super().training_step(batch, batch_idx)


class Forgetful(Perceptron):
    """Its width is not the one it was given."""

    def __init__(self, width: int = 12) -> None:
        super().__init__(width)
        self.net[2] = nn.Linear(width, width + 1)
        self.net[4] = nn.Linear(width + 1, 2)
        self.hparams["width"] = width + 1


@pytest.mark.parametrize(
    ("kind", "law", "match"),
    [
        (Aliasing, "test_rewinds_to_the_same_bits_every_round", "shares memory"),
        (Unmasking, "test_trains_and_logs_named_quantities", "changed the masks"),
        (Nameless, "test_trains_and_logs_named_quantities", "loss"),
        (Forgetful, "test_rebuilds_from_its_checkpoint_alone", None),
    ],
)
def test_the_contract_notices(kind, law, match, tmp_path):
    with pytest.raises((AssertionError, InputError), match=match):
        getattr(Broken(kind), law)(tmp_path)


@pytest.mark.parametrize("kind", [edge_popup, gumbel])
def test_a_supermask_is_rebuilt_from_the_checkpoint(kind, tmp_path):
    contract = TestPerceptron()
    module = contract.make()
    scores = kind(module, 0.3)
    contract._fit(module, tmp_path)
    rebuilt = load_module(next(tmp_path.rglob("epoch=1.ckpt")), Perceptron)
    assert_same_state(module, rebuilt)
    x = contract.example()
    assert torch.equal(rebuilt(*x), module.eval()(*x))
    frozen = [name for name, p in rebuilt.named_parameters() if not p.requires_grad]
    assert [name for name in frozen if name.endswith("original")] == [
        f"net.{i}.parametrizations.weight.original" for i in (0, 2, 4)
    ]
    assert all(p.requires_grad for p in scores)
