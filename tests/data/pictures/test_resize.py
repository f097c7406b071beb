"""Pictures are fitted in one way, equal to Pillow's and torchvision's."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from resnets.data.pictures.resize import fit_picture, fitted_size, mean_array
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from tests.data.made import FILTERS, image_of, noise, planes, rule

SIZES = [(40, 30), (30, 40), (33, 17), (16, 16), (7, 5), (100, 3), (3, 100), (1, 1)]  # width, height


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [(16, 16), (15, 15), (12, 20)], ids=str)
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_squash_is_pillows_resize(shape, size, interpolation):
    picture = noise(*shape)
    expected = planes(image_of(picture).resize(size[::-1], FILTERS[interpolation]))
    assert np.array_equal(fit_picture(picture, rule(size, resize="squash", interpolation=interpolation)), expected)


@pytest.mark.parametrize("crop_pct", [1.0, 0.875])
@pytest.mark.parametrize("chans", [1, 3])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_crop_is_torchvisions_resize_and_centre_crop(shape, chans, crop_pct):
    """Of a picture more than four times as long as wide, only the middle of that shape is resized."""
    picture, (width, height) = noise(*shape, chans), shape
    longest = 4 * min(shape)
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    image = image_of(picture).crop((left, top, left + min(width, longest), top + min(height, longest)))
    resized = v2.functional.resize(image, [int(14 / crop_pct)], interpolation=v2.InterpolationMode.BILINEAR)
    expected = planes(v2.functional.center_crop(resized, [14, 14]))
    assert np.array_equal(fit_picture(picture, rule((14, 14), chans, resize="crop", crop_pct=crop_pct)), expected)


def test_crop_to_another_shape_keeps_the_middle():
    """To 10 x 20 the picture is resized by its longer need, and what is too long is cut off evenly."""
    picture = noise(40, 40)
    expected = planes(image_of(picture).resize((20, 20), FILTERS["bilinear"]).crop((0, 5, 20, 15)))
    assert np.array_equal(fit_picture(picture, rule((10, 20), crop_pct=1.0)), expected)


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_pad_keeps_the_whole_picture_in_the_middle_of_the_mean_colour(shape):
    preprocess = Preprocess(size=(16, 20), resize="pad", mean=(0.2, 0.4, 0.6), std=(1.0, 1.0, 1.0))
    picture, (width, height) = noise(*shape), shape
    scale = min(20 / width, 16 / height)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (20 - wide) // 2, (16 - high) // 2
    expected = np.tile(np.array([51, 102, 153], np.uint8)[:, None, None], (1, 16, 20))
    expected[:, top : top + high, left : left + wide] = planes(image_of(picture).resize((wide, high), FILTERS["bilinear"]))
    assert np.array_equal(fit_picture(picture, preprocess), expected)


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_a_picture_of_the_right_size_stays_as_it_is(resize):
    picture = noise(16, 16)
    fitted = fit_picture(picture, rule(resize=resize, crop_pct=1.0))
    assert (
        np.array_equal(fitted, planes(image_of(picture)))
        and fitted.transpose(1, 2, 0).flags.c_contiguous
        and fitted.dtype == np.uint8
    )


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
@pytest.mark.parametrize("chans", [1, 3, 4])
def test_path_image_and_array_are_the_same_picture(chans, resize, tmp_path):
    picture = noise(21, 13, chans)
    image_of(picture).save(tmp_path / "p.png")
    ways = [tmp_path / "p.png", str(tmp_path / "p.png"), image_of(picture), picture]
    ways += [picture[..., 0]] if chans == 1 else []
    one, *others = [fit_picture(way, rule(chans=chans, resize=resize)) for way in ways]
    assert one.shape == (chans, 16, 16) and all(np.array_equal(one, other) for other in others)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4, 3)), np.zeros((4, 4, 3), "i8"), np.zeros((4,), "u1"), np.zeros((4, 4, 2), "u1"),
        np.zeros((4, 4, 5), "u1"), np.zeros((1, 4, 4, 3), "u1"), np.zeros((0, 4, 3), "u1"), 3, None,
    ],
    ids=lambda p: str(getattr(p, "shape", p)),
)  # fmt: skip
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(InputError, match=r"is not an image"):
        fit_picture(picture, rule())


@pytest.mark.parametrize("one_a_pixel", [False, True])
@pytest.mark.parametrize("chans", [1, 3])
def test_the_colour_of_the_margin_is_the_mean_as_torch_rounds_it(chans, one_a_pixel):
    size = (16, 256)
    num = 16 * 256 if one_a_pixel else 1
    halves = (np.arange(chans * num) % 255 + 0.5) / 255  # a half is rounded to the even number
    preprocess = Preprocess(size=size, resize="pad", mean=tuple(halves.tolist()), std=(1.0,) * chans)
    fitted = fit_picture(noise(16, 16, chans), preprocess)
    mean = torch.tensor(preprocess.mean).reshape(chans, -1)
    expected = (mean * 255).round().to(torch.uint8).reshape(chans, *(size if one_a_pixel else (1, 1))).expand(-1, *size)
    assert fitted.transpose(1, 2, 0).flags.c_contiguous and np.array_equal(fitted[..., :120], expected[..., :120])


def test_the_mean_is_shared_and_cannot_be_changed():
    mean = mean_array(rule())
    assert mean.dtype == np.float32 and mean.shape == (3, 1, 1) and mean_array(rule()) is mean
    with pytest.raises(ValueError, match="read-only"):
        mean *= 255


# --- for tasks that say where things are: inputs of any size -------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "shorter", "longest", "expected"),
    [
        ((480, 640), 800, 1333, (800, 1067)),
        ((480, 1600), 800, 1333, (400, 1333)),
        ((100, 50), 50, 60, (60, 30)),
        ((1, 900), 10, 90, (1, 90)),
    ],
    ids=str,
)
def test_the_shorter_side_and_the_longest(size, shorter, longest, expected):
    preprocess = rule((shorter, longest), resize="shorter")
    assert fitted_size(size, preprocess) == expected
    assert fit_picture(np.zeros((*size, 3), np.uint8), preprocess).shape == (3, *expected)


def test_keep_changes_nothing():
    picture = noise(21, 13)
    assert np.array_equal(fit_picture(picture, rule((64, 64), resize="keep")), planes(image_of(picture)))
