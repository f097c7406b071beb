"""Volumes on another grid: torch's interpolation, in parts as whole, and the same place in space."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnets.data.pictures import resampled
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.resampled import on_grid
from resnets.data.pictures.volumes import open_volume
from tests.data.made_volumes import nibabel, phantom, save

SPACING = 3.1, 0.8, 1.7


@pytest.fixture
def volume(tmp_path):
    return open_volume(save(tmp_path / "a.nii.gz", phantom(3)[0], order="LPI"))


def by_torch(values, shape):
    x = torch.from_numpy(values)[None, None]
    return F.interpolate(x, size=shape, mode="trilinear", align_corners=False)[0, 0].numpy()


@pytest.mark.parametrize("slab", [2**22, 200], ids=["at once", "in slabs"])
def test_values_are_interpolated_as_a_whole_and_in_parts(volume, slab, monkeypatch):
    monkeypatch.setattr(resampled, "SLAB", slab)
    grid = on_grid(volume, SPACING)
    expected = by_torch(volume[...], grid.shape)
    assert grid.shape == (10, 34, 12) and np.allclose(grid.spacing, SPACING, rtol=0.05)
    assert np.allclose(grid[...], expected, atol=1e-3)
    for part in ((slice(2, 9), slice(None), slice(5, 6)), slice(3, 4), (slice(0, 1), slice(30, 34), slice(0, 12))):
        assert np.allclose(grid[part], expected[part], atol=1e-3)
    mean, std = volume.statistics
    assert np.allclose(grid.normalised()[0], (expected - mean) / std, atol=1e-4)
    assert grid.original is volume is volume.original


def test_several_channels(tmp_path):
    values = np.stack([phantom(0)[0], phantom(1)[0]], -1)
    whole = open_volume(save(tmp_path / "a.nii.gz", values))
    grid = on_grid(whole, SPACING)
    for channel in (0, 1):
        assert np.allclose(grid[...][..., channel], by_torch(whole[...][..., channel], grid.shape[:3]), atol=1e-3)


def test_the_grid_lies_where_the_volume_lies(volume):
    grid = on_grid(volume, SPACING)
    for corner in np.ndindex(2, 2, 2):  # of the outer voxels' outer edges
        ends = [[(-0.5, length - 0.5)[end] for end, length in zip(corner, shape[::-1], strict=True)]
                for shape in (volume.shape, grid.shape)]  # fmt: skip
        own, other = ((each.affine @ [*end, 1])[:3] for each, end in zip((volume, grid), ends, strict=True))
        assert np.allclose(own, other)


def test_a_map_is_saved_on_the_grid_of_the_file(volume, tmp_path):
    grid = on_grid(volume, SPACING)
    grid.save_like(grid[...], tmp_path / "map.nii.gz")
    found = open_volume(tmp_path / "map.nii.gz")
    assert found.shape == volume.shape and np.allclose(found.affine, volume.affine)
    assert np.corrcoef(found[...].ravel(), volume[...].ravel())[0, 1] > 0.9


def test_where_the_spacing_is_the_same_the_volume_is(volume):
    assert on_grid(volume, volume.spacing) is volume is on_grid(volume, None)
    assert on_grid(volume, [1.001 * length for length in volume.spacing]) is volume


def test_a_grid_of_too_many_voxels_is_refused(tmp_path):
    nibabel.Nifti1Image(np.zeros((9, 9, 9), np.int16), np.diag([1e3, 1e3, 1e3, 1])).to_filename(tmp_path / "a.nii")
    with pytest.raises(BadPicture, match="at this spacing it has 9000 x 9000 x 9000 voxels; give a larger spacing"):
        on_grid(open_volume(tmp_path / "a.nii"), (1, 1, 1))
