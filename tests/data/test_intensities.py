"""CT: values by those of the foreground of training, worked by hand."""

import json

import numpy as np
import pytest

from resnets.data.intensities import is_ct, ranges
from resnets.data.pictures.volumes import open_volume
from resnets.data.sources import open_source
from resnets.data.workers import BadImages
from tests.data.made_volumes import phantom, save


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        values, classes = phantom(number)
        save(tmp_path / f"imagesTr/{number}.nii.gz", values)
        save(tmp_path / f"labelsTr/{number}.nii.gz", classes)
    content = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "ball", "2": "box"}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    return tmp_path


def found(source, wanted=(True,)):
    return ranges(source.splits["train"], wanted, source.background, BadImages(0))


def test_ranges_are_those_of_the_foreground(folder):
    source = open_source(folder, None)
    values = np.concatenate([values[classes > 0] for values, classes in map(phantom, range(3))]).astype(float)
    expected = (*np.percentile(values, (0.5, 99.5)), values.mean(), values.std())
    assert found(source) == (pytest.approx(expected, abs=1e-3),)
    assert is_ct(source) == [True] and found(source, [False]) == (None,)


def test_values_are_clipped_and_scaled_by_them(folder):
    images = open_source(folder, None).splits["train"].images
    volume = images[0]
    volume.ranges = ((0.0, 150.0, 100.0, 50.0),)
    expected = (volume[...].clip(0, 150) - 100) / 50
    assert np.allclose(volume.normalised()[0], expected, atol=1e-6)
    assert volume[...].max() > 150, "what is stored stays as it is"


def test_of_several_channels_each_has_its_own(tmp_path):
    values = np.stack([phantom(0)[0]] * 2, -1)
    save(tmp_path / "images/0.nii.gz", values)
    save(tmp_path / "labels/0.nii.gz", phantom(0)[1])
    source = open_source(tmp_path, None)
    own, other = found(source, [True, False])
    assert own is not None and other is None and is_ct(source) == [False, False]
    volume = source.splits["train"].images[0]
    by_itself = volume.normalised()[1]
    volume = source.splits["train"].images[0]
    volume.ranges = (own, None)
    first, second = volume.normalised()
    assert np.allclose(second, by_itself, atol=1e-6) and first.max() == pytest.approx((own[1] - own[2]) / own[3], abs=1e-4)


def test_without_a_foreground_there_are_none(tmp_path):
    save(tmp_path / "images/0.nii", phantom(0)[0])
    save(tmp_path / "labels/0.nii", np.zeros((20, 18, 16), np.uint8))
    (tmp_path / "classes.txt").write_text("background\nball\nbox\n")
    assert found(open_source(tmp_path, None)) is None


def test_a_series_says_that_it_is_ct(tmp_path):
    made = pytest.importorskip("tests.data.made_dicom")
    made.series(tmp_path / "images/case0")
    volume = open_volume(tmp_path / "images/case0")
    classes = np.zeros(volume.shape, np.uint8)
    classes[2:4, 2:4] = 1
    (tmp_path / "labels").mkdir()
    volume.save_like(classes, tmp_path / "labels/case0.nii.gz")
    source = open_source(tmp_path, None)
    assert is_ct(source) == [True] and found(source)[0][2] == pytest.approx(volume[...][classes > 0].mean(), rel=1e-4)
