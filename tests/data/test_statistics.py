"""Mean and standard deviation are those of what the network will see."""

import numpy as np
import pytest

from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.stored import ArrayImages, FileImages
from resnets.data.preprocess import Preprocess
from resnets.data.statistics import statistics
from resnets.data.types import Split
from resnets.data.workers import BadImages
from resnets.errors import InputError
from tests.data.made_splits import RULE, arrays, pixels, spoil


@pytest.mark.parametrize("chans", [1, 3])
def test_statistics_of_arrays_are_numpys(chans):
    images = pixels(30, chans=chans)
    images[..., 0] //= 3
    blank = Preprocess(size=(8, 8), crop_pct=1.0, mean=(0.5,) * chans, std=(0.5,) * chans)
    found = statistics(Split(ArrayImages(images, "train"), np.zeros(30, int)), blank, BadImages(0))
    assert found.mean == pytest.approx((images / 255).mean((0, 1, 2)), abs=1e-6)
    assert found.std == pytest.approx((images / 255).std((0, 1, 2)), abs=1e-6)
    assert (found.size, found.resize, found.crop_pct) == (blank.size, blank.resize, blank.crop_pct)


def test_statistics_of_each_pixel_divide_by_nothing():
    split = arrays(30)
    found = statistics(split, RULE, BadImages(0), per_pixel=True)
    assert np.reshape(found.mean, (8, 8)) == pytest.approx((split.images.array[..., 0] / 255).mean(0), abs=1e-6)
    assert found.std == (1.0,)


def test_statistics_of_files_are_of_what_the_network_sees(files):
    fitted = np.stack([fit_picture(files.images[index], RULE) for index in range(20)]) / 255
    found = statistics(files, RULE, BadImages(0))
    assert found.mean == pytest.approx((float(fitted.mean()),), abs=1e-6)
    assert found.std == pytest.approx((float(fitted.std()),), abs=1e-6)


def test_of_many_files_a_part_spread_evenly_is_enough(files, monkeypatch):
    read = []
    getitem = FileImages.__getitem__
    monkeypatch.setattr(FileImages, "__getitem__", lambda self, index: read.append(index) or getitem(self, index))
    statistics(files, RULE, BadImages(0), most=5)
    assert read == [0, 4, 9, 14, 19]


def test_statistics_leave_out_and_name_what_cannot_be_read(files):
    whole = statistics(Split(files.images.subset(range(1, 20)), files.targets.subset(range(1, 20))), RULE, BadImages(0))
    spoil(files, 0)
    bad = BadImages(1)
    assert statistics(files, RULE, bad) == whole
    assert [name.rsplit("/", 1)[-1] for name in bad.reasons] == ["0.png"]
    spoil(files, *range(20))
    with pytest.raises(InputError, match="no picture of the training split can be read"):
        statistics(files, RULE, BadImages(100))


def test_a_channel_without_contrast_is_not_divided_by_zero():
    split = Split(ArrayImages(np.full((4, 8, 8, 1), 51, np.uint8), "train"), np.zeros(4, int))
    assert statistics(split, RULE, BadImages(0)).mean == pytest.approx((0.2,))
    assert statistics(split, RULE, BadImages(0)).std == (1.0,)
