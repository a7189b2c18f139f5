"""Some pixels are known, exactly those; the rest is what a fit is scored on."""

import numpy as np
import pytest
import torch
from PIL import Image

from fields import InpaintSamples
from fields.image import PictureWarning
from fields.inpaint import inpaint_scores
from fields.score import fit_scores
from overparam.errors import InputError


def loaded(**options):
    data = InpaintSamples(**({"side": 16} | options))
    data.setup()
    return data


def mask(folder, array, name="m.png"):
    Image.fromarray(array).save(folder / name)
    return str(folder / name)


@pytest.mark.parametrize("known", [0.001, 0.1, 0.5, 0.999])
def test_the_fraction_asked_for_is_known_and_the_rest_missing(known):
    data = loaded(known=known)
    count = min(max(round(known * 256), 1), 255)
    assert data.is_known.sum() == count
    x, y = data.training()
    assert len(x) == len(y) == count == data.scalars_fitted
    assert torch.equal(x, data.x[data.is_known])
    assert len(data.scoring()[0]) == 256
    assert data.signal["known"] == count / 256


def test_the_seed_chooses_the_pixels():
    assert torch.equal(loaded().is_known, loaded().is_known)
    assert not torch.equal(loaded().is_known, loaded(seed=1).is_known)


def test_a_mask_from_a_file(tmp_path):
    array = np.zeros((16, 16), np.uint8)
    array[:, :5] = 255
    data = loaded(mask=mask(tmp_path, array))
    assert torch.equal(data.is_known.view(16, 16), torch.from_numpy(array > 0))
    with pytest.warns(PictureWarning, match="stretched from 32x32"):
        data = loaded(mask=mask(tmp_path, np.kron(array, np.ones((2, 2), np.uint8))))
    assert torch.equal(data.is_known.view(16, 16), torch.from_numpy(array > 0))


def test_masks_that_leave_nothing_to_do_are_refused(tmp_path):
    for level in (0, 255):
        with pytest.raises(InputError, match="some pixels known and some missing"):
            loaded(mask=mask(tmp_path, np.full((16, 16), level, np.uint8)))
    with pytest.raises(InputError, match="existing file"):
        loaded(mask=str(tmp_path / "none.png"))
    with pytest.raises(InputError, match="batch_size must be at most the 26"):
        loaded(batch_size=27)


def test_scores_of_the_missing_pixels_ignore_the_known_ones():
    data = loaded()
    fitted = data.y.clone()
    fitted[data.is_known] = 5.0
    scores = inpaint_scores(fitted, data.y, data.is_known, data.signal)
    assert scores["psnr_missing"] > 130
    assert scores["psnr"] < 40
    other = torch.zeros_like(data.y)
    scores = inpaint_scores(other, data.y, data.is_known, data.signal)
    missing = ~data.is_known
    assert scores["psnr_missing"] == fit_scores(other[missing], data.y[missing], {})["psnr"]
    assert next(iter(scores)) == "psnr_missing"


def test_the_nearest_pixel_is_nearest():
    data = loaded(channels=3)
    filled = data.nearest()
    assert torch.equal(filled[data.is_known], data.y[data.is_known])
    places = torch.cartesian_prod(torch.arange(16.0), torch.arange(16.0))
    distance = torch.cdist(places, places[data.is_known])
    for i in range(256):
        equally = distance[i] == distance[i].min()
        assert (data.y[data.is_known][equally] == filled[i]).all(1).any()


def test_baselines_keep_what_is_known_and_smoothness_beats_the_mean():
    data = loaded(known=0.3)
    scores = data.baselines()
    assert list(scores) == ["mean", "nearest", "biharmonic"]
    assert scores["biharmonic"]["psnr_missing"] > scores["mean"]["psnr_missing"]
    assert scores["nearest"]["psnr"] > scores["nearest"]["psnr_missing"]
    filled = data.biharmonic()
    torch.testing.assert_close(filled[data.is_known], data.y[data.is_known])


@pytest.mark.parametrize("known", [0.0, 1.0, -0.1])
def test_rejects_senseless_fractions(known):
    with pytest.raises(ValueError, match="known"):
        InpaintSamples(known=known)
