"""Batches of dense tasks: a function of seed, epoch and position; padded, which says nothing; to judge, one picture each."""

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.data.batches.dense import CPU, class_counts, fill_of
from resnets.data.geometry import DenseAugment
from resnets.data.preprocess import Preprocess
from resnets.data.sources import open_source
from resnets.data.targets import IGNORE, Boxes
from resnets.data.transforms import to_input
from resnets.data.workers import BadImages
from resnets.engine.distributed import Processes
from resnets.errors import InputError
from tests.data.made import dense_loader
from tests.data.made_dense import boxed, objects, segments

KEEP = Preprocess(size=(32, 40), resize="keep", mean=(0.25, 0.5, 0.75), std=(0.5,) * 3)


def loader(split, **settings):
    given = {"preprocess": KEEP, "batch_size": 3, "bad": BadImages(9), "seed": 1} | settings
    return dense_loader(split, **given)


def training(split, **settings):
    changes = {name: settings.pop(name) for name in ("scales", "jitter") if name in settings}
    augment = DenseAugment(preprocess=KEEP, **{"scales": (0.5, 1.0)} | changes, fill=fill_of(KEEP))
    return loader(split, augment=augment, **settings)


def content(batch):
    targets = batch.targets
    if isinstance(targets, list):
        targets = torch.cat([value.double().reshape(-1) for target in targets for value in target.values()])
    return batch.images.numpy().tobytes() + targets.numpy().tobytes() + batch.indices.numpy().tobytes()


@pytest.fixture
def classes(tmp_path):
    return open_source(segments(tmp_path / "s", train=7, val=2), "masks").splits


@pytest.fixture
def found(tmp_path):
    return open_source(objects(tmp_path / "o", train=5, val=2), "boxes", masks=True).splits


# --- training ------------------------------------------------------------------------------------------------------------


def test_every_picture_comes_once_an_epoch_in_an_order_of_its_own(classes):
    batches = training(classes["train"])
    orders = [torch.cat([batch.indices for batch in batches.epoch(epoch)]).tolist() for epoch in (0, 1, 0)]
    assert len(batches) == 2 and len(orders[0]) == 6, "a last batch of one is left out"
    assert orders[0] == orders[2] != orders[1] and sorted(batches.samples.order(0).tolist()) == list(range(7))


@pytest.mark.parametrize("kind", ["classes", "found"])
@pytest.mark.parametrize("workers", [0, 1])
def test_the_rest_of_an_epoch_is_the_same_wherever_it_is_taken_up(workers, kind, request):
    split = request.getfixturevalue(kind)["train"]
    whole = [content(batch) for batch in training(split, batch_size=2, repeats=2).epoch(3)]
    rest = [content(batch) for batch in training(split, batch_size=2, repeats=2, workers=workers).epoch(3, start=2)]
    assert len(whole) == len(split) and rest == whole[2:]
    assert whole != [content(batch) for batch in training(split, batch_size=2, repeats=2, seed=2).epoch(3)]


def test_a_picture_that_is_repeated_is_changed_in_two_ways(classes):
    one = classes["train"].subset(np.array([0]))
    (batch,) = training(one, batch_size=4, repeats=4, jitter=0.4).epoch(0)
    assert batch.indices.tolist() == [0] * 4
    assert len({(image.numpy().tobytes()) for image in batch.images}) == 4


def test_whole_pictures_of_a_batch_have_one_scale(classes):
    """So that a batch is not mostly what is around the smaller ones; batches differ, and epochs do."""
    batches = training(classes["train"], scales=(0.25, 0.5, 0.75, 1.0), batch_size=2, repeats=4)
    shapes = [[tuple(batch.images.shape[2:]) for batch in batches.epoch(epoch)] for epoch in (0, 1)]
    assert {shape for epoch in shapes for shape in epoch} > {(8, 10), (32, 40)} and shapes[0] != shapes[1]
    assert all((batch.targets != IGNORE).any((0, 1)).all() for batch in batches.epoch(0)), "no column is padding"


def test_smaller_pictures_lie_in_the_mean_which_is_zero_and_says_nothing(tmp_path):
    segments(tmp_path, train=6)
    for number in range(3):
        for kind in ("images", "masks"):
            path = tmp_path / "train" / kind / f"{number}.png"
            Image.open(path).resize((20, 16), Image.Resampling.NEAREST).save(path)
    for batch in training(open_source(tmp_path, "masks").splits["train"], batch_size=6, scales=(1.0,)).epoch(0):
        assert (
            batch.images.shape == (6, 3, 32, 40) and batch.targets.shape == (6, 32, 40) and batch.targets.dtype == torch.int64
        )
        half = [n for n in range(6) if (batch.targets[n, 16:] == IGNORE).all()]
        assert len(half) == 3
        assert (batch.images[half, :, 16:].abs() < 0.01).all() and (batch.images[half, :, :, 20:].abs() < 0.01).all()
        assert (batch.targets[half, 1:16, :20] != IGNORE).all() and (batch.targets[half, :, 20:] == IGNORE).all()


def test_boxes_come_with_their_sizes_and_masks_of_them(found):
    for batch in training(found["train"], batch_size=5, repeats=4).epoch(0):
        for image, target in zip(batch.images, batch.targets, strict=True):
            height, width = target["size"].tolist()
            assert (height, width) in ((32, 40), (16, 20)) and target["masks"].shape == (len(target["labels"]), height, width)
            assert (target["xyxy"] <= torch.tensor([width, height] * 2)).all() and target["xyxy"].dtype == torch.float32
            assert target["ignore"].dtype == torch.bool and (image[:, height:].abs() < 0.01).all()
        assert sorted(len(target["labels"]) for target in batch.targets) == [0, 2, 2, 2, 2]


def test_the_parts_of_processes_are_the_batch(classes):
    whole = list(training(classes["train"], batch_size=3, scales=(1.0,)).epoch(0))
    parts = [
        list(training(classes["train"], batch_size=3, scales=(1.0,), part=Processes(rank, 2).part).epoch(0)) for rank in (0, 1)
    ]
    for together, *apart in zip(whole, *parts, strict=True):
        assert torch.equal(together.images, torch.cat([batch.images for batch in apart]))
        assert torch.equal(together.targets, torch.cat([batch.targets for batch in apart]))


def test_what_cannot_be_read_is_counted_and_a_batch_of_nothing_still_comes(classes):
    """Several processes take every step together."""
    split = classes["train"].subset(np.array([0, 1, 2, 3]))
    for index in range(3):
        (split.images.path(index)).write_bytes(b"no picture")
    batches = training(split, batch_size=2)
    found = sorted(batches.epoch(0), key=lambda batch: len(batch.images))
    assert [len(batch.images) for batch in found] == [0, 1] and len(batches.bad.reasons) == 3
    assert found[0].images.dtype == torch.float32 and found[0].targets.dtype == torch.int64
    with pytest.raises(InputError):
        list(training(split, batch_size=2, bad=BadImages(1)).epoch(0))


# --- evaluation ------------------------------------------------------------------------------------------------------------


def test_pictures_to_judge_come_one_by_one_with_all_that_is_known_of_them(classes, found):
    for split in (classes["val"], found["val"]):
        batches = list(loader(split, batch_size=1).epoch(0))
        assert [batch.indices.tolist() for batch in batches] == [[0], [1]]
        for index, batch in enumerate(batches):
            (truth,), (pixels, target) = batch.targets, split[index]
            assert (truth.index, truth.size) == (index, (32, 40))
            if isinstance(target, Boxes):
                assert np.array_equal(truth.target.xyxy, target.xyxy) and np.array_equal(truth.target.masks, target.masks)
            else:
                assert np.array_equal(truth.target, target)
            assert batch.images.dtype == torch.uint8 and batch.sizes == [(32, 40)]
            expected, x = (pixels / 255 - np.array(KEEP.mean)) / 0.5, to_input(batch.images, KEEP, CPU)
            assert np.abs(x[0].numpy() - expected.transpose(2, 0, 1)).max() < 1e-5


def test_an_input_of_another_size_leaves_the_truth_as_it_is(classes):
    shorter = Preprocess(size=(16, 64), resize="shorter", mean=KEEP.mean, std=KEEP.std)
    (batch, _) = loader(classes["val"], batch_size=1, preprocess=shorter).epoch(0)
    assert batch.images.shape == (1, 3, 16, 20) and batch.targets[0].target.shape == batch.targets[0].size == (32, 40)


def test_classes_are_counted_in_pixels_and_in_objects(classes, tmp_path):
    targets = [target for _, target in classes["train"]]
    assert class_counts(classes["train"], 3).tolist() == [int(sum((t == n).sum() for t in targets)) for n in range(3)]
    source = open_source(boxed(tmp_path / "voc", train=4, val=2), "boxes")
    assert class_counts(source.splits["train"], 2).tolist() == [3, 3]
