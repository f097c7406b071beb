"""Values in memory are the targets of a split, and an array stands for them."""

import numpy as np
import pytest

from resnets.data.pictures.stored import FileImages
from resnets.data.pictures.volumes import Volumes
from resnets.data.series.series import ArraySeries, FileSeries
from resnets.data.types import KINDS, Split, Values
from resnets.data.words import FILES_OF, IMAGES_OF, called, worded


def test_an_array_stands_for_values():
    split = Split(["p", "q", "r"], np.array([2, 0, 2]))
    assert isinstance(split.targets, Values) and len(split) == 3 and list(split) == [("p", 2), ("q", 0), ("r", 2)]
    assert split.targets.codes().tolist() == [2, 0, 2] and np.asarray(split.targets).tolist() == [2, 0, 2]
    assert split.targets.joined(Values(np.array([1]))).values.tolist() == [2, 0, 2, 1]
    assert split.targets.subset(np.array([1, 0])).values.tolist() == [0, 2]


def test_several_labels_of_an_image_are_stratified_by_the_rarest():
    codes = Values(np.array([[0, 1], [1, 1], [0, 0], [1, 0], [0, 1]])).codes()
    assert codes.tolist() == [1, 0, 2, 0, 1] and codes.dtype == np.int64
    assert Values(np.eye(3)).codes().tolist() == [0, 0, 0], "none could be spared"
    assert Values(np.array([0.5, 2.0, 3.5])).codes().tolist() == [0, 0, 0], "numbers are no classes"


def test_the_digest_is_of_the_values_whatever_their_width():
    narrow, wide = (Values(np.array([3, 1], dtype)) for dtype in (np.uint8, np.int64))
    assert narrow.digest() == wide.digest() != Values(np.array([1, 3])).digest()
    assert Values(np.array([0.5], np.float32)).digest() == Values(np.array([0.5])).digest()


@pytest.mark.parametrize(
    ("images", "words"),
    [("pictures", "no picture: pixel accuracy of pictures, images and pixels; imagesTr"),
     ("volumes", "no volume: voxel accuracy of volumes, volumes and voxels; imagesTr"),
     ("series", "no series: pixel accuracy of series, series and pixels; imagesTr")],
)  # fmt: skip
def test_words_about_pictures_are_those_about_other_images(images, words):
    assert worded("no picture: pixel accuracy of pictures, images and pixels; imagesTr", images) == words


def test_images_say_what_they_are_called():
    assert called(ArraySeries(np.zeros((1, 1, 4)), "a")) == "series" == called(FileSeries(["a.wav"], 1))
    assert called(Volumes(FileImages(["a.nii"], 1), 1)) == "volumes" and called(FileImages(["a.png"], 3)) == "pictures"
    assert FILES_OF.keys() == set(IMAGES_OF.values())
    assert {kind.images for name, kind in KINDS.items() if name != "scans"} == set(IMAGES_OF.values())
    assert all(kind.images == IMAGES_OF[kind.dims] for name, kind in KINDS.items() if name != "scans")
