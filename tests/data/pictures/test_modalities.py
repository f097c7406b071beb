"""Volumes whose channels are in files of their own, or along the fourth axis."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import resnets
from resnets.cli.main import cli
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.modalities import firsts, further, numbered
from resnets.data.pictures.stored import FileImages
from resnets.data.pictures.volumes import Volumes, open_volume
from tests.data.made_volumes import nibabel, phantom, save


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a_0000.nii.gz", ("a", 0, ".nii.gz")), ("a_b_0012.NII", ("a_b", 12, ".NII")), ("a.nii", ("a", -1, ".nii")),
     ("0000.nii", ("0000", -1, ".nii"))],
)  # fmt: skip
def test_names(name, expected):
    assert numbered(Path(name)) == expected


def test_a_file_of_a_further_channel_is_no_case(tmp_path):
    names = ["a_0000.nii", "a_0001.nii", "a_0003.nii", "b_0001.nii", "c.nii"]
    for name in names:
        (tmp_path / name).touch()
    paths = [tmp_path / name for name in names]
    assert [path.name for path in further(paths[0])] == ["a_0001.nii"], "up to the first that is missing"
    assert not any(further(path) for path in paths[1:])
    assert [path.name for path in firsts(paths)] == ["a_0000.nii", "b_0001.nii", "c.nii"]


def test_channels_are_normalised_by_themselves(tmp_path):
    values, _ = phantom(0)
    save(tmp_path / "a_0000.nii.gz", values, order="LPI")
    save(tmp_path / "a_0001.nii.gz", 5 * values.astype(np.int32) + 3000)  # with other axes, in the same place
    joined = Volumes(FileImages([tmp_path / "a_0000.nii.gz"], 1), 2)[0]
    save(tmp_path / "b.nii.gz", np.stack([values, 5 * values.astype(np.int16) + 3000], -1).astype(np.int32))
    whole = Volumes(FileImages([tmp_path / "b.nii.gz"], 1), 2)[0]
    assert joined.shape == whole.shape == (16, 18, 20, 2)
    part = (slice(2, 9), slice(None), slice(3, 4))
    for volume in (joined, whole):
        first, second = volume.normalised(part)
        assert np.allclose(first, second, atol=1e-4) and abs(volume.normalised().mean()) < 1e-4
    assert np.array_equal(joined[part], whole[part])


def test_alone_they_are_volumes_of_one_channel(tmp_path):
    for number in (0, 1):
        save(tmp_path / f"a_{number:04}.nii.gz", phantom(number)[0])
    volumes = Volumes(FileImages([tmp_path / "a_0000.nii.gz", tmp_path / "a_0001.nii.gz"], 1), 1)
    assert [volume.channels for volume in volumes] == [1, 1]


def test_grids_that_differ_and_missing_channels_are_said_by_file(tmp_path):
    save(tmp_path / "a_0000.nii.gz", phantom(0)[0])
    volumes = Volumes(FileImages([tmp_path / "a_0000.nii.gz"], 1), 2)
    with pytest.raises(BadPicture, match="it has 1 channels, where 2 are expected"):
        volumes[0]
    save(tmp_path / "a_0001.nii.gz", phantom(0)[0], spacing=(1.0, 1.5, 2.1))
    with pytest.raises(BadPicture, match=r"a_0001.nii.gz: it lies up to 1.5 mm from a_0000.nii.gz; resample it"):
        volumes[0]
    save(tmp_path / "a_0001.nii.gz", phantom(0)[0][:-1])
    with pytest.raises(BadPicture, match=r"a_0001.nii.gz: it has the shape \(16, 18, 19\), and a_0000.nii.gz has"):
        volumes[0]


def test_a_series_in_time_is_refused(tmp_path):
    nibabel.Nifti1Image(np.zeros((4, 4, 4, 100), np.int16), np.eye(4)).to_filename(tmp_path / "fmri.nii")
    with pytest.raises(BadPicture, match=r"100 values for each voxel, as a series in time has, .* save one frame"):
        open_volume(tmp_path / "fmri.nii")


def test_a_model_of_two_channels_predicts_a_folder_of_files(tmp_path):
    settings = {"dims": 3, "in_chans": 2, "depths": (1, 1), "width": 8, "labels": ["background", "ball"]}
    preprocess = resnets.data.preprocess.Preprocess(size=(8, 8, 8), resize="keep", mean=(0.0,) * 2, std=(1.0,) * 2)
    model = resnets.create_model("resnet20_cifar", task="segment", preprocess=preprocess, **settings)
    resnets.save(model, tmp_path / "model.safetensors")
    for number in (0, 1):
        save(tmp_path / f"scans/a_{number:04}.nii.gz", phantom(number)[0])
    words = ["predict", tmp_path / "model.safetensors", tmp_path / "scans", "--masks", tmp_path / "masks", "--format", "json"]
    (row,) = CliRunner().invoke(cli, list(map(str, words)), catch_exceptions=False).stdout.splitlines()
    assert json.loads(row)["path"].endswith("a_0000.nii.gz") and (tmp_path / "masks/a_0000.nii.gz").is_file()
