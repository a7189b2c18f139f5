"""A field known up to a constant or a scale is rendered as it was last scored."""

import numpy as np
import torch
from PIL import Image
from pytorch_lightning import Trainer

from fields import DerivativeFit, DerivativeSamples, Siren
from fields.render import main


def test_a_reconstruction_is_rendered_in_its_alignment(tmp_path):
    torch.manual_seed(0)
    data = DerivativeSamples(derivative="laplacian", side=10)
    module = DerivativeFit(Siren(2, 1, width=8, depth=2))
    trainer = Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert main([str(tmp_path / "a.ckpt"), "--out", str(tmp_path / "o.png")]) == 0
    with Image.open(tmp_path / "o.png") as picture:
        shown = np.asarray(picture).astype(float)
    exact = ((module.displayed(data.x) + 1) / 2 * 255).clamp(0, 255).view(10, 10).detach().numpy()
    assert np.abs(shown - exact).max() <= 0.5 + 1e-2
    # aligned by least squares, the picture has the photograph's mean
    assert abs(exact.mean() / 255 - (data.y.mean().item() + 1) / 2) < 0.02
