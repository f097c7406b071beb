"""What happens to a picture happens to its boxes and masks: checked on objects that are drawn into the picture."""

import numpy as np
import pytest
import torch

from resnets.data.geometry import (
    DenseAugment,
    crop_both,
    mirror,
    pad_batch,
    pad_indices,
    resize_boxes,
    resize_indices,
    resize_picture,
    resize_target,
)
from resnets.data.pictures.resize import fit_picture
from resnets.data.targets import IGNORE, Boxes
from tests.data.made import noise, rule

SIZE = (60, 80)
KEEP = rule(SIZE, resize="keep")


def scene(*corners, masks=False, size=SIZE):
    """A black picture with a white rectangle at each of the corners, as pixels (H, W, 3), `Boxes`, and classes (H, W)."""
    pixels, classes, own = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), np.zeros((len(corners), *size), bool)
    for number, (x0, y0, x1, y1) in enumerate(corners):
        pixels[y0:y1, x0:x1] = 255
        classes[y0:y1, x0:x1] = number + 1
        own[number, y0:y1, x0:x1] = True
    num = len(corners)
    xyxy = np.array(corners, np.float32).reshape(-1, 4)
    return pixels, Boxes(xyxy, np.arange(num), np.arange(num) % 2 == 1, own if masks else None), classes


def tensor(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)


def white_box(picture):
    """The box of what is white in a picture (C, H, W)."""
    y, x = np.nonzero(picture[0].numpy() > 127)
    return [x.min(), y.min(), x.max() + 1, y.max() + 1]


# --- all of it -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crop", [None, (64, 64), (200, 150)])
@pytest.mark.parametrize("index", range(6))
def test_boxes_masks_and_classes_follow_the_picture(index, crop):
    augment = DenseAugment(preprocess=KEEP, scales=(0.75, 1.5, 2.0), crop=crop, fill=(0, 0, 0))
    given = scene((30, 20, 60, 44), masks=True)
    picture, boxes = augment(given[0], given[1], seed=1, epoch=2, index=index)
    other, classes = augment(given[0], given[2], seed=1, epoch=2, index=index)
    assert picture.dtype == torch.uint8 and (picture == other).all()  # the target draws nothing
    if crop:
        assert tuple(picture.shape[-2:]) == crop
    assert classes.shape == picture.shape[-2:] and classes.dtype == np.uint8
    white = picture[0].numpy() > 127
    assert (white != (classes == 1)).mean() < 0.02
    if len(boxes.labels):
        assert np.abs(boxes.xyxy[0] - white_box(picture)).max() <= 1.5
        assert (boxes.masks[0] == (classes == 1)).all()


def test_it_is_a_function_of_seed_epoch_and_index():
    augment = DenseAugment(preprocess=KEEP, scales=tuple(np.linspace(0.7, 1.5, 50)), crop=(48, 48), jitter=0.4)
    pixels, boxes, _ = scene((30, 20, 60, 44))
    pixels = noise(80, 60)

    def drawn(**given):
        torch.manual_seed(torch.seed() % 1000)  # nor does anyone else's generator count
        before = torch.get_rng_state()
        picture, target = augment(pixels, boxes, **{"seed": 0, "epoch": 1, "index": 2} | given)
        assert (torch.get_rng_state() == before).all()
        return picture.numpy().tobytes() + target.xyxy.tobytes()

    same = drawn()
    assert drawn() == same
    assert len({same, drawn(seed=1), drawn(epoch=2), drawn(index=3)}) == 4


def test_it_does_not_change_what_it_is_given():
    pixels, boxes, classes = scene((30, 20, 60, 44), masks=True)
    copies = pixels.copy(), boxes.xyxy.copy(), boxes.masks.copy(), classes.copy()
    for index in range(4):
        for target in (boxes, classes):
            DenseAugment(preprocess=KEEP, crop=(50, 50), jitter=0.3)(pixels, target, seed=0, epoch=0, index=index)
    assert all((a == b).all() for a, b in zip(copies, (pixels, boxes.xyxy, boxes.masks, classes), strict=True))


def test_pictures_without_objects_and_with_a_hundred():
    augment = DenseAugment(preprocess=KEEP, scales=(1.0, 1.5), crop=(50, 70))
    none, many = scene(masks=True), scene(*[(x, y, x + 5, y + 5) for x in range(0, 80, 8) for y in range(0, 60, 6)], masks=True)
    for index in range(4):
        _, boxes = augment(none[0], none[1], seed=0, epoch=0, index=index)
        assert boxes.xyxy.shape == (0, 4) and boxes.masks.shape == (0, 50, 70)
        _, boxes = augment(many[0], many[1], seed=0, epoch=0, index=index)
        num = len(boxes.labels)
        assert 0 < num <= 100 and len(boxes.xyxy) == len(boxes.ignore) == len(boxes.masks) == num
        assert (boxes.ignore == (boxes.labels % 2 == 1)).all()  # each keeps its own
        assert (boxes.xyxy >= 0).all() and (boxes.xyxy <= [70, 50, 70, 50]).all()


def test_colours_change_the_picture_alone():
    pixels, target = noise(80, 60), np.zeros(SIZE, np.uint8)
    plain, _ = DenseAugment(preprocess=KEEP, hflip=0)(pixels, target, seed=0, epoch=0, index=0)
    assert (plain == tensor(pixels)).all()
    changed, _ = DenseAugment(preprocess=KEEP, hflip=0, jitter=0.5)(pixels, target, seed=0, epoch=0, index=0)
    assert changed.shape == plain.shape and (changed != plain).any()
    around, _ = DenseAugment(preprocess=KEEP, crop=(60, 90), fill=(1, 2, 3), jitter=0.5)(
        pixels, target, seed=0, epoch=0, index=0
    )
    assert [1, 2, 3] in (around[:, 0, 0].tolist(), around[:, 0, -1].tolist())  # it is no part of the picture


def test_grey_pictures():
    picture, _ = DenseAugment(preprocess=rule(SIZE, 1, resize="keep"), scales=(0.66,), crop=(64, 64), jitter=0.5)(
        noise(80, 60, 1), np.zeros(SIZE, np.uint8), seed=0, epoch=0, index=0
    )
    assert picture.shape == (1, 64, 64)


# --- crops and mirrors -----------------------------------------------------------------------------------------------


def test_a_mirrored_box():
    pixels, boxes, classes = scene((10, 20, 30, 44), masks=True)
    picture, found = mirror(tensor(pixels), boxes)
    assert found.xyxy.tolist() == [[50, 20, 70, 44]] == [white_box(picture)]
    assert (found.masks[0] == (mirror(tensor(pixels), classes)[1] == 1)).all()
    again = mirror(picture, found)[1]
    assert (again.xyxy == boxes.xyxy).all() and (again.masks == boxes.masks).all()


CROPS = {
    "whole box": ((15, 5), [[5, 5, 25, 29]]),
    "a half": ((15, 20), [[0, 5, 10, 29]]),
    "less than a quarter": ((15, 26), []),
    "none of it": ((0, 40), []),
    "past the picture": ((-10, -10), [[20, 30, 40, 40]]),
}


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("case", CROPS)
def test_a_crop_keeps_what_is_left_of_a_box(case, masks):
    corner, expected = CROPS[case]
    pixels, boxes, _ = scene((10, 20, 30, 44), masks=masks)
    picture, found = crop_both(tensor(pixels), boxes, corner, (40, 50))
    assert found.xyxy.tolist() == expected and found.xyxy.dtype == np.float32
    assert picture.shape == (3, 40, 50)
    if expected:
        assert white_box(picture) == expected[0]
    if masks:
        assert found.masks.shape == (len(expected), 40, 50)


def test_a_crop_beyond_the_picture_is_filled_and_ignored():
    pixels, _, classes = scene()
    picture, found = crop_both(tensor(pixels), classes, (-4, 70), (8, 20), fill=(1, 2, 3))
    assert picture[:, 0, 0].tolist() == picture[:, 7, 15].tolist() == [1, 2, 3] and picture[:, 7, 5].tolist() == [0, 0, 0]
    expected = np.full((8, 20), IGNORE)
    expected[4:, :10] = 0
    assert (found == expected).all()


def test_a_cut_object_has_the_box_of_what_is_left_of_its_mask():
    mask = np.zeros((1, 40, 40), bool)
    mask[0, 0:30, 20:24] = mask[0, 26:30, 0:24] = True  # a hook; its foot lies left and low
    boxes = Boxes(np.array([[0, 0, 24, 30]], np.float32), np.zeros(1, int), np.zeros(1, bool), mask)
    _, found = crop_both(torch.zeros(3, 40, 40, dtype=torch.uint8), boxes, (0, 0), (20, 40))
    assert found.xyxy.tolist() == [[20, 0, 24, 20]]
    _, found = crop_both(torch.zeros(3, 40, 40, dtype=torch.uint8), boxes, (0, 0), (20, 20))
    assert len(found.labels) == len(found.masks) == 0  # nearly half of the box, and nothing of the object


# --- resizing and undoing --------------------------------------------------------------------------------------------


def test_training_takes_the_size_that_evaluation_does_and_a_share_of_it():
    pixels, _, classes = scene()
    for interpolation in ("bilinear", "bicubic"):
        shorter = rule((30, 50), resize="shorter", interpolation=interpolation)
        plain, found = DenseAugment(preprocess=shorter, hflip=0)(noise(80, 60), classes, seed=0, epoch=0, index=0)
        assert plain.shape == (3, 30, 40) and found.shape == (30, 40)
        evaluated = torch.from_numpy(fit_picture(noise(80, 60), shorter))
        assert (plain.int() - evaluated.int()).abs().max() <= 1
        half, _ = DenseAugment(preprocess=shorter, scales=(0.5,), hflip=0)(pixels, classes, seed=0, epoch=0, index=0)
        assert half.shape == (3, 15, 20)


@pytest.mark.parametrize("size", [(800, 1067), (31, 47), (60, 80)])
def test_boxes_there_and_back(size):
    xyxy = np.random.default_rng(0).uniform(0, 60, (50, 4)).astype(np.float32)
    back = resize_boxes(resize_boxes(xyxy, size, SIZE), SIZE, size)
    assert np.abs(back - xyxy).max() < 1e-4 and back.dtype == np.float32


@pytest.mark.parametrize("size", [(60, 80), (61, 81), (90, 100), (113, 167), (119, 159), (800, 1067)])
def test_masks_there_and_back(size):
    values = np.random.default_rng(0).integers(0, 256, SIZE).astype(np.uint8)
    larger = resize_indices(values, size)
    assert larger.shape == size and larger.dtype == np.uint8
    assert (resize_indices(larger, SIZE) == values).all()


def test_masks_lie_where_their_picture_does():
    pixels, boxes, classes = scene((30, 20, 60, 44), masks=True)
    for size in ((30, 40), (45, 60), (133, 177)):
        white = resize_picture(pixels, size)[0].numpy() > 127
        found = resize_target(classes, size, SIZE) == 1
        assert (white != found).sum() <= 2 * (size[0] + size[1]) / 4  # at borders only
        assert np.abs(np.argwhere(white).mean(0) - np.argwhere(found).mean(0)).max() < 0.5  # not shifted
        target = resize_target(boxes, size, SIZE)
        assert (target.masks[0] == found).all() and np.abs(target.xyxy[0] - white_box(resize_picture(pixels, size))).max() <= 1


def test_nearest_is_torchs_exact_one():
    values = np.random.default_rng(0).integers(0, 256, (1, 1, 37, 53)).astype(np.uint8)
    for size in ((37, 53), (74, 106), (20, 60), (111, 17)):
        expected = torch.nn.functional.interpolate(torch.from_numpy(values), size, mode="nearest-exact").numpy()
        assert (resize_indices(values, size) == expected).all()


# --- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_of_many_sizes():
    pictures = [torch.full((3, *size), value) for size, value in (((50, 70), 1.0), ((64, 20), 2.0))]
    batch, sizes = pad_batch(pictures, fill=(7, 8, 9))
    assert batch.shape == (2, 3, 64, 96) and sizes.tolist() == [[50, 70], [64, 20]]
    assert (batch[0, :, :50, :70] == 1).all() and (batch[1, :, :64, :20] == 2).all()
    assert batch[0, :, 50, 0].tolist() == batch[1, :, 0, 20].tolist() == [7, 8, 9]
    masks = pad_indices([np.ones((50, 70), np.uint8), np.zeros((64, 20), np.uint8)], (64, 96))
    assert masks.dtype == torch.int64 and masks[0, :50, :70].unique().tolist() == [1]
    assert (masks == IGNORE).sum() == 2 * 64 * 96 - 50 * 70 - 64 * 20
