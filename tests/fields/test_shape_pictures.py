"""A finished fit of a shape leaves its mesh, pictures, and scores, or says why there is no mesh."""

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from pytorch_lightning import Trainer
from torch import nn

from fields import ShapeFit, ShapePictures, ShapeSamples, Siren
from fields.domains import Ball
from fields.meshing import mesh_field
from fields.shape_pictures import draw_shape, shaded

# Lightning 2.6.6 asks torch's pytree in a way that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


class Sphere(nn.Module):
    def __init__(self, radius=0.9):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(radius))

    def forward(self, x):
        return x.norm(dim=-1, keepdim=True) - self.shift


@pytest.fixture(scope="module")
def ball(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ball")
    _, normals = Ball([0.0, 0.0, 0.0], 1.0).boundary(994, dtype=torch.float64)
    normals = np.concatenate([normals.numpy(), np.eye(3), -np.eye(3)])
    np.savez(folder / "ball.npz", points=2 * normals + [5.0, 0.0, -3.0], normals=normals)
    data = ShapeSamples(str(folder / "ball.npz"), guide=500, batch_size=100, epoch_steps=2)
    data.setup()
    return data


def opened(file):
    with Image.open(file) as picture:
        picture.load()
        return picture.size


def test_the_mesh_of_an_exact_field_is_the_ball_at_its_place(ball, tmp_path):
    module = ShapeFit(Sphere())
    module.signal = ball.signal
    files = draw_shape(module, ball, tmp_path, resolution=48, samples=3000)
    assert {file.name for file in files} == {"mesh.ply", "shape.png", "slices.png", "errors.png"}
    assert all(min(opened(file)) > 300 for file in files if file.suffix == ".png")
    mesh = trimesh.load(tmp_path / "mesh.ply")
    assert mesh.is_watertight
    off = np.abs(np.linalg.norm(mesh.vertices - [5.0, 0.0, -3.0], axis=1) - 2)
    assert off.max() < 2 / 48**2 * 4
    scores = module.shape_scores
    assert scores["resolution"] == 48
    assert scores["chamfer_l1"] < scores["floor"]
    assert scores["normal_consistency"] > 0.99


def test_a_run_leaves_them_in_its_folder(ball, tmp_path):
    torch.manual_seed(0)
    module = ShapeFit(Siren(3, 1, width=8, depth=2, omega=5.0), sphere=0.7)
    trainer = Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[ShapePictures(24, 1000)],
    )
    trainer.fit(module, ball)
    for name in ("mesh.ply", "shape.png", "slices.png", "errors.png"):
        assert (tmp_path / name).stat().st_size > 0
    assert module.report_entries()["shape"]["resolution"] == 24


def test_without_a_surface_the_reason_is_kept_and_no_mesh_written(ball, tmp_path):
    module = ShapeFit(Sphere(-5.0))
    module.signal = ball.signal
    assert draw_shape(module, ball, tmp_path, resolution=8) == [tmp_path / "slices.png"]
    assert "no zero level set" in module.shape_scores["mesh"]
    assert [file.name for file in tmp_path.iterdir()] == ["slices.png"]


def test_a_drawn_ball_is_a_disc_lit_from_above():
    surface = mesh_field(Sphere(1.0), [30] * 3, [[-1.2, 1.2]] * 3)
    picture = shaded(surface, 30.0, 20.0, side=101)
    rows, columns = np.mgrid[:101, :101] - 50
    drawn = (picture < 255).any(-1)
    far = np.hypot(rows, columns)
    assert drawn[far < 45].all()
    assert not drawn[far > 50].any()
    disc = far < 40
    assert picture[disc & (rows < -20)].mean() > 1.5 * picture[disc & (rows > 20)].mean()


def test_the_near_side_hides_the_far_side():
    near = mesh_field(Sphere(1.0), [20] * 3, [[-1.2, 1.2]] * 3)
    colour = (near.vertices[:, 2] > 0).astype(float)  # seen along z: yellow before violet
    front = shaded(near, 0.0, 0.0, colour, side=60)[25:35, 25:35].mean((0, 1))
    back = shaded(near, 180.0, 0.0, colour, side=60)[25:35, 25:35].mean((0, 1))
    assert front[0] > front[2]
    assert back[0] < back[2]


@pytest.mark.parametrize("name", ["resolution", "samples"])
def test_rejects_senseless_numbers(name):
    with pytest.raises(ValueError, match=name):
        ShapePictures(**{name: 1})
