"""A fit of a shape weighs its terms as it says, knows an exact distance, and finds a sphere."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import Trainer
from torch import nn

from fields import (
    EikonalLoss,
    HashGrid,
    ImageSamples,
    MLPField,
    ShapeFit,
    ShapeSamples,
    Siren,
    Tanh,
)
from fields.domains import Ball
from fields.meshing import mesh_field
from fields.shape_fit import TERMS
from fields.sphere import set_to_sphere
from overparam import CosineDecay, load_module
from overparam.errors import InputError

# Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


class Sphere(nn.Module):
    """The exact signed distance, with a weight so that it can be trained."""

    def __init__(self, radius=0.9):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(radius))

    def forward(self, x):
        return x.norm(dim=-1, keepdim=True) - self.shift


class Opaque(nn.Module):
    """A field whose layers cannot be seen, so that it is differentiated the slow way."""

    def __init__(self, field):
        super().__init__()
        self.field = field

    def forward(self, x):
        return self.field(x)


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ball")
    _, normals = Ball([0.0, 0.0, 0.0], 1.0).boundary(3994, dtype=torch.float64)
    # with the poles its box, and so its scale in the cube, is exact
    normals = np.concatenate([normals.numpy(), np.eye(3), -np.eye(3)])
    np.savez(folder / "ball.npz", points=2 * normals + [5.0, 0.0, -3.0], normals=normals)
    return str(folder / "ball.npz")


def trained(module, data, tmp_path, *, steps=4, **options):
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        default_root_dir=tmp_path,
        **options,
    )
    trainer.fit(module, data)
    return trainer


def test_the_exact_distance_has_no_loss(ball):
    data = ShapeSamples(ball, guide=1000)
    data.setup()
    x, normals, space = data.scoring()
    points, distances = data.pool
    terms = EikonalLoss(off=1.0, divergence=1.0).terms
    on = terms(Sphere(), x, normals, torch.zeros(len(x)))
    off = terms(Sphere(), points, torch.zeros_like(points), distances)
    assert on[:, :2].abs().max() < 1e-6  # surface and normals
    assert torch.cat([on, off])[:, 3].max() < 1e-6  # Eikonal
    assert off[:, 4].max() < 0.03  # guide: half the spacing of the cloud
    # the Laplacian of a distance is twice the mean curvature
    torch.testing.assert_close(off[:, 5], 2 / points.norm(dim=1), rtol=1e-4, atol=1e-4)
    scores = ShapeFit(Sphere()).scores((x, normals, space))
    assert scores["residual"] < 1e-6
    assert scores["normal"] > 1 - 1e-6
    assert scores["eikonal"] < 1e-6


@settings(deadline=None, max_examples=15)
@given(on=st.integers(1, 40), off=st.integers(1, 40), chunk=st.integers(1, 50))
def test_the_loss_is_the_weighted_sum_of_means(on, off, chunk):
    torch.manual_seed(on * 100 + off)
    weights = {name: float(i + 1) for i, name in enumerate(TERMS)}
    loss = EikonalLoss(**weights)
    module = ShapeFit(Siren(3, 1, width=5, depth=2, omega=3.0), loss=loss, chunk=chunk)
    logged = {}
    module.log = lambda name, value, **_: logged.update({name: value})
    x, space = torch.rand(on, 3), torch.rand(off, 3)
    normals, distance = nn.functional.normalize(torch.randn(on, 3)), torch.rand(off)
    with torch.no_grad():
        found = module.training_step((x, normals, space, distance), 0)
    there = loss.terms(module.field, x, normals, torch.zeros(on)).detach()
    away = loss.terms(module.field, space, torch.zeros(off, 3), distance).detach()
    means = {
        "surface": there[:, 0].mean(),
        "normal": there[:, 1].mean(),
        "off": away[:, 2].mean(),
        "eikonal": torch.cat([there, away])[:, 3].mean(),
        "guide": away[:, 4].mean(),
        "divergence": away[:, 5].mean(),
    }
    for name, value in means.items():
        torch.testing.assert_close(logged[f"train/{name}"], value, rtol=1e-4, atol=1e-5)
    total = sum(weights[name] * value for name, value in means.items())
    torch.testing.assert_close(found, total, rtol=1e-4, atol=1e-5)


def test_terms_and_their_gradients_agree_with_nested_differentiation():
    torch.manual_seed(0)
    field = Siren(3, 1, width=7, depth=3, omega=5.0).double()
    x = torch.rand(6, 3, dtype=torch.float64)
    normals = nn.functional.normalize(torch.randn_like(x))
    distance = torch.rand(6, dtype=torch.float64)
    loss = EikonalLoss(off=1.0, divergence=1.0)
    ours = loss.terms(field, x, normals, distance)
    slow = loss.terms(Opaque(field), x, normals, distance)
    torch.testing.assert_close(ours, slow)
    one, other = (torch.autograd.grad(t.sum(), list(field.parameters())) for t in (ours, slow))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("chunk", [30, 133])
def test_chunks_do_not_change_training(ball, tmp_path, chunk):
    weights = []
    for size in (None, chunk):
        torch.manual_seed(0)
        module = ShapeFit(Siren(3, 1, width=8, depth=2), chunk=size)
        data = ShapeSamples(ball, guide=500, batch_size=100, epoch_steps=2)
        trained(module, data, tmp_path)
        weights.append([p.detach() for p in module.parameters()])
    for a, b in zip(*weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_what_is_logged_and_reported(ball, tmp_path):
    torch.manual_seed(0)
    module = ShapeFit(Siren(3, 1, width=8, depth=2))
    data = ShapeSamples(ball, guide=500, batch_size=200, epoch_steps=2)
    trainer = trained(module, data, tmp_path)
    metrics = trainer.callback_metrics
    assert {"val/residual", "val/normal", "val/eikonal", "train/loss"} <= set(metrics)
    wanted = {"train/surface", "train/normal", "train/eikonal", "train/guide"}
    assert {name for name in metrics if name.startswith("train/")} - {"train/loss"} == wanted
    scores = module.scores(data.scoring())
    torch.testing.assert_close(metrics["val/residual"], scores["residual"])
    entries = module.report_entries()
    assert set(entries["baselines"]) == {"convex hull", "ellipsoid"}
    assert entries["signal"]["kind"] == "shape"
    assert module.scalars_fitted == 16_000


def test_a_checkpoint_alone_rebuilds_the_fit(ball, tmp_path):
    torch.manual_seed(0)
    loss = EikonalLoss(normal=7.0, guide=0.0, divergence=0.5, off=2.0)
    module = ShapeFit(Siren(3, 1, width=8, depth=2), loss=loss, sphere=0.4)
    data = ShapeSamples(ball, batch_size=100, epoch_steps=2)
    trained(module, data, tmp_path).save_checkpoint(tmp_path / "a.ckpt")
    again = load_module(tmp_path / "a.ckpt", ShapeFit)
    assert again.loss.weights == loss.weights
    assert again.sphere == 0.4
    assert again.signal == data.signal
    assert torch.equal(again(data.x), module(data.x))


@pytest.mark.parametrize(
    "field",
    [
        Siren(3, 1, width=128),
        Siren(3, 1, width=64, first_omega=10.0, omega=10.0),
        MLPField(3, 1, width=64, activation=Tanh()),
    ],
    ids=["siren", "slow siren", "tanh"],
)
def test_a_field_can_begin_as_a_sphere(field):
    left = set_to_sphere(field, 0.5)
    x = torch.rand(2000, 3) * 2 - 1
    exact = x.norm(dim=1) - 0.5
    found = field(x).detach()[:, 0]
    rms = (found - exact).square().mean().sqrt()
    assert rms < 0.1
    assert abs(rms - left) < 0.03
    assert (torch.sign(found) == torch.sign(exact))[exact.abs() > 0.25].float().mean() > 0.99
    surface = mesh_field(field, [24] * 3, [[-1.0, 1.0]] * 3, slope=None)
    assert 0.5 < surface.volume / (4 / 3 * np.pi * 0.5**3) < 2


def test_points_of_a_sphere_are_found_within_a_few_steps(tmp_path, ball):
    torch.manual_seed(0)
    module = ShapeFit(
        Siren(3, 1, width=64, depth=3, omega=10.0),
        optimizer=lambda p: torch.optim.Adam(p, lr=2e-3),
        scheduler=CosineDecay,
    )
    data = ShapeSamples(ball, guide=4000, batch_size=256, off_size=256, epoch_steps=50)
    trained(module, data, tmp_path, steps=100)
    x = torch.rand(4000, 3) * 2 - 1
    exact = x.norm(dim=1) - 0.9
    near = exact.abs() < 0.1
    off = (module(x)[:, 0] - exact).abs()
    assert off[near].mean() < 0.01
    assert off.mean() < 0.03
    assert mesh_field(module.field, [32] * 3, data.signal["extent"]).is_closed


def test_without_normals_a_sphere_to_begin_with_keeps_the_sign(tmp_path, ball):
    torch.manual_seed(0)
    loss = EikonalLoss(normal=0.0, guide=0.0, off=10.0, divergence=1.0)
    module = ShapeFit(
        Siren(3, 1, width=48, depth=2, omega=10.0),
        loss=loss,
        sphere=0.5,
        optimizer=lambda p: torch.optim.Adam(p, lr=1e-3),
    )
    data = ShapeSamples(ball, normals=False, batch_size=128, epoch_steps=40)
    trainer = trained(module, data, tmp_path, steps=40)
    assert "val/normal" not in trainer.callback_metrics
    middle, corner = module(torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])).flatten()
    assert middle < -0.2
    assert corner > 0.2


def test_what_does_not_fit_is_refused_with_the_remedy(tmp_path, ball):
    with pytest.raises(InputError, match=r"needs distances .*guide 65536"):
        trained(ShapeFit(Siren(3, 1, width=4)), ShapeSamples(ball), tmp_path)
    with pytest.raises(InputError, match=r"3 coordinates .*in_features 3"):
        trained(ShapeFit(Siren(2, 1, width=4)), ShapeSamples(ball), tmp_path)
    with pytest.raises(InputError, match=r"needs the points of a shape"):
        trained(ShapeFit(Siren(2, 1, width=4)), ImageSamples(side=8), tmp_path)


@pytest.mark.parametrize("name", TERMS)
def test_negative_weights_are_refused(name):
    with pytest.raises(ValueError, match=f"weight {name} must not be negative, got -1"):
        EikonalLoss(**{name: -1.0})


def test_other_senseless_numbers_are_refused():
    with pytest.raises(ValueError, match="at least one weight"):
        EikonalLoss(**dict.fromkeys(TERMS, 0.0))
    with pytest.raises(ValueError, match="sharpness"):
        EikonalLoss(sharpness=0.0)
    with pytest.raises(ValueError, match="positive radius"):
        ShapeFit(Siren(3, 1, width=4), sphere=0.0)
    with pytest.raises(ValueError, match="MLPField of one component"):
        ShapeFit(Sphere(), sphere=0.5)


def test_the_authors_weights_count_half_of_their_numbers():
    weights = EikonalLoss.authors().weights
    numbers = {"surface": 3e3, "normal": 1e2, "off": 1e2, "eikonal": 1e2}
    assert {k: 2 * v for k, v in weights.items() if v} == numbers


def test_fields_with_feature_tables_can_be_trained(tmp_path, ball):
    torch.manual_seed(0)
    field = MLPField(3, 1, width=8, depth=1, encoding=HashGrid(3, levels=2, coarsest=4, finest=8))
    module = ShapeFit(field)
    data = ShapeSamples(ball, guide=200, batch_size=100, epoch_steps=2)
    before = [p.detach().clone() for p in module.parameters()]
    trained(module, data, tmp_path)
    assert all(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.slow
def test_the_distance_of_a_sphere_to_a_thousandth(tmp_path, ball):
    torch.manual_seed(0)
    module = ShapeFit(
        Siren(3, 1, width=128, omega=10.0, first_omega=10.0),
        optimizer=lambda p: torch.optim.Adam(p, lr=1e-3),
        scheduler=CosineDecay,
    )
    data = ShapeSamples(ball, guide=30_000, batch_size=1024, off_size=512, epoch_steps=200)
    trained(module, data, tmp_path, steps=1000)
    fresh = 0.9 * Ball([0.0, 0.0, 0.0], 1.0).boundary(5000, seed=5)[0]
    assert module(fresh).abs().mean() < 1e-3
    surface = mesh_field(module.field, [100] * 3, data.signal["extent"])
    assert np.abs(np.linalg.norm(surface.vertices, axis=1) - 0.9).mean() < 1e-3
