"""Pictures in memory and as files come out alike, and are drawn as often as is asked for."""

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.data.batches.image_level import CPU
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.stored import ArrayImages, FileImages
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import Augment, normalise, to_input
from resnets.data.types import Split
from tests.data.made import same_batches
from tests.data.made_splits import RULE, arrays, loader

# --- in memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 10])
@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_pictures_in_memory_are_evaluated_as_single_ones_are(resize, size):
    preprocess = Preprocess(size=(8, 8), resize=resize, crop_pct=1.0, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1))
    split = arrays(size=size, chans=3)
    whole = loader(split, preprocess=preprocess, augment=None)
    assert whole.samples.in_memory == (size == 8)
    single = torch.from_numpy(np.stack([fit_picture(picture, preprocess) for picture in split.images.array]))
    assert torch.equal(torch.cat([batch.images for batch in whole.epoch(0)]), single)


def test_a_crop_below_one_is_not_taken_from_memory():
    preprocess = Preprocess(size=(8, 8), crop_pct=0.5, mean=(0.4,), std=(0.2,))
    found = next(loader(arrays(), preprocess=preprocess, augment=None).epoch(0)).images
    assert torch.equal(found[0], torch.from_numpy(fit_picture(arrays().images[0], preprocess)))


@pytest.mark.parametrize("policy", ["none", "randaugment"])
def test_training_from_memory_is_training_from_files(policy, tmp_path):
    split, augment = arrays(), Augment(crop="pad", hflip=0.5, auto_augment=policy)
    paths = [tmp_path / f"{index}.png" for index in range(20)]
    for path, picture in zip(paths, split.images.array, strict=True):
        Image.fromarray(picture[..., 0]).save(path)
    on_disk = Split(FileImages(paths, 1), split.targets)
    assert same_batches(loader(split, augment=augment).epoch(1), loader(on_disk, augment=augment).epoch(1))


@pytest.mark.parametrize("where", ["memory", "here", "workers"])
def test_batches_of_evaluation_are_normalised_by_who_takes_them(where, files):
    split, workers = (arrays() if where == "memory" else files), 2 * (where == "workers")
    batches = list(loader(split, augment=None, workers=workers).epoch(0))
    single = torch.from_numpy(np.stack([fit_picture(split.images[index], RULE) for index in range(20)]))
    assert {batch.images.dtype for batch in batches} == {torch.uint8} and {batch.sizes for batch in batches} == {()}
    assert torch.equal(torch.cat([batch.images for batch in batches]), single)
    assert torch.equal(torch.cat([to_input(batch.images, RULE, CPU) for batch in batches]), normalise(single, RULE))
    assert torch.cat([batch.targets for batch in batches]).tolist() == [index % 3 for index in range(20)]


# --- sampling ------------------------------------------------------------------------------------------------------------


def test_balance_shows_every_class_equally_often():
    targets = np.array([0] * 900 + [1] * 90 + [2] * 10)
    each = loader(Split(ArrayImages(np.zeros((1000, 8, 8, 1), np.uint8), "train"), targets), balance=True, num_classes=5)
    shown = np.concatenate([each.samples.order(epoch) for epoch in range(5)])
    assert len(shown) == 5000
    assert np.bincount(targets[shown]) / 5000 == pytest.approx([1 / 3] * 3, abs=0.03)
    assert np.array_equal(each.samples.order(0), each.samples.order(0)) and not np.array_equal(
        each.samples.order(0), each.samples.order(1)
    )


@pytest.mark.parametrize(("num", "repeats"), [(20, 1), (20, 2), (20, 3), (7, 4), (3, 8)])
def test_repeats_show_fewer_pictures_several_times_in_a_row(num, repeats):
    order = loader(arrays(num), repeats=repeats).samples.order(0)
    assert len(order) == num
    counts = np.bincount(order, minlength=num)
    assert (counts > 0).sum() == -(-num // repeats) and counts.max() == min(repeats, num)
    assert 1 + (np.diff(order) != 0).sum() == -(-num // repeats), "in a row"


@pytest.mark.parametrize("crop", ["resized", "pad"])
@pytest.mark.parametrize("how", [{"repeats": 3}, {"balance": True}], ids=str)
def test_a_picture_that_is_shown_again_is_augmented_differently(how, crop):
    augment = Augment(crop=crop, auto_augment="randaugment")
    views = {}
    for batch in loader(arrays(20), augment=augment, **how).epoch(0):
        for index, image in zip(batch.indices.tolist(), batch.images, strict=True):
            views.setdefault(index, []).append(image)
    again = [images for images in views.values() if len(images) > 1]
    assert again
    equal = sum(torch.equal(images[0], other) for images in again for other in images[1:])
    assert equal <= sum(len(images) - 1 for images in again) / 3
