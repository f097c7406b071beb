"""Whole volumes as inputs of one size: what is cut, filled and resampled."""

import numpy as np
import pytest
import torch

from resnets.data.inputs import INPUTS
from resnets.data.pictures.fit_volume import fit_volume
from resnets.data.pictures.sent import Encoded
from resnets.data.pictures.volumes import open_volume
from resnets.data.preprocess import Preprocess
from tests.data.made_volumes import save

RULE = {"crop_pct": 1.0, "mean": (0.0,), "std": (1.0,)}


@pytest.fixture
def volume(tmp_path):
    values = np.random.default_rng(0).normal(100, 10, (7, 6, 9)).astype(np.float32)  # x, y, z
    return open_volume(save(tmp_path / "a.nii.gz", values, spacing=(1, 1, 1)))


def test_padding_keeps_voxels_and_the_middle(volume):
    whole = volume.normalised()
    assert whole.shape == (1, 9, 6, 7) and abs(whole.mean()) < 1e-5 and abs(whole.std() - 1) < 1e-5
    found = fit_volume(volume, Preprocess(size=(5, 10, 7), resize="pad", **RULE))
    assert np.array_equal(found[:, :, 2:8], whole[:, 2:7]) and not found[:, :, :2].any() and not found[:, :, 8:].any()
    odd = fit_volume(volume, Preprocess(size=(8, 5, 10), resize="pad", **RULE))
    assert np.array_equal(odd[:, :, :, 2:9], whole[:, 0:8, 0:5])
    assert np.array_equal(fit_volume(volume, Preprocess(size=(4, 4, 4), resize="keep", **RULE)), whole)


def test_squashing_resamples_all_three_axes_as_torch_does(volume):
    """torch resamples two axes at a time with antialiasing: height and width of each slice, then depth of each row."""
    whole = torch.from_numpy(volume.normalised())
    found = fit_volume(volume, Preprocess(size=(4, 12, 3), resize="squash", **RULE))
    resize = lambda x, size: torch.nn.functional.interpolate(x, size, mode="bilinear", antialias=True)  # noqa: E731
    slices = resize(whole, (12, 3))  # (1, 9, 12, 3)
    expected = resize(slices.flatten(2)[None], (4, 36))[0].unflatten(2, (12, 3))
    assert np.allclose(found, expected.numpy(), atol=1e-4) and found.dtype == np.float32


def test_a_window_clips_before_the_mean_is_taken(tmp_path):
    values = np.zeros((4, 4, 4), np.int16)
    values[0], values[1] = -1000, 3000
    save(tmp_path / "a.nii.gz", values)
    rule = Preprocess(size=(4, 4, 4), resize="pad", window=(0.0, 200.0), **RULE)
    inputs = INPUTS[3]
    images = inputs.opened(inputs.files([tmp_path / "a.nii.gz"], rule), 1)
    fitted = inputs.fitted(images, 0, rule, False)
    assert np.allclose(np.unique(fitted.pixels), np.array([-1, 0, 1]) * np.sqrt(2), atol=1e-5)
    sent = inputs.sent([Encoded("a", (tmp_path / "a.nii.gz").read_bytes())], rule, 1000)
    assert np.array_equal(inputs.fitted_sent(sent, 0, rule, False).pixels, fitted.pixels)
    assert fitted.size == () and fitted.image is None and inputs.fitted(images, 0, rule, True).size == (4, 4, 4)
