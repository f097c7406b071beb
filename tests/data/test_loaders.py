"""Every batch is a function of seed, epoch and position, whoever decodes it; what cannot be read is skipped, counted, named."""

import gc
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.data.loaders import BadImages, Loader, statistics
from resnets.data.pictures.images import ArrayImages, FileImages
from resnets.data.pictures.resize import fit_picture
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import Augment, normalise
from resnets.data.types import Split
from resnets.errors import InputError

RULE = Preprocess(size=(8, 8), crop_pct=1.0, mean=(0.4,), std=(0.2,))
TRAIN = Augment(crop="pad", hflip=0.5)
HEAVY = Augment(crop="resized", hflip=0.5, auto_augment="trivialaugment", random_erase=0.5, mixup=0.2, cutmix=1.0)


def pixels(num, size=8, chans=1):
    return np.random.default_rng(0).integers(0, 256, (num, size, size, chans), dtype=np.uint8)


def arrays(num=20, classes=3, **shape):
    return Split(ArrayImages(pixels(num, **shape), "train"), np.arange(num) % classes)


@pytest.fixture
def files(tmp_path):
    """Pictures of different sizes, as files."""
    paths = []
    for index in range(20):
        paths.append(tmp_path / f"{index}.png")
        height, width = 9 + index % 4, 12 - index % 3
        random = np.random.default_rng(index)
        Image.fromarray(random.integers(0, 256, (height, width), dtype=np.uint8)).save(paths[-1])
    return Split(FileImages(paths, 1), np.arange(20) % 3)


def loader(split, **settings):
    settings = {"preprocess": RULE, "batch_size": 6, "num_classes": 3, "bad": BadImages(10), "augment": TRAIN} | settings
    return Loader(split=split, **settings)


def same(one, two):
    one, two = list(one), list(two)
    assert len(one) == len(two)
    return all(torch.equal(x, y) for a, b in zip(one, two, strict=True) for x, y in zip(a, b, strict=True))


# --- order -------------------------------------------------------------------------------------------------------------


def test_an_epoch_shows_every_picture_once_in_an_order_of_its_own():
    orders = [loader(arrays(), seed=seed).order(epoch) for seed in range(3) for epoch in range(3)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 9
    assert np.array_equal(loader(arrays(), seed=1).order(2), orders[5])


def test_evaluation_is_in_order():
    batches = list(loader(arrays(), augment=None).epoch(3))
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(20))
    assert torch.cat([batch.targets for batch in batches]).tolist() == [index % 3 for index in range(20)]


def test_batches_follow_the_order():
    each = loader(arrays(), seed=4)
    assert torch.cat([batch.indices for batch in each.epoch(7)]).tolist() == each.order(7).tolist()
    assert all((batch.targets == batch.indices % 3).all() for batch in each.epoch(7))


@pytest.mark.parametrize("augment", [TRAIN, HEAVY], ids=["memory", "decoded"])
@pytest.mark.parametrize("start", [0, 1, 3, 4, 9])
def test_a_start_yields_exactly_the_rest(start, augment):
    whole = list(loader(arrays(), augment=augment).epoch(2))
    assert same(loader(arrays(), augment=augment).epoch(2, start), whole[start:])


@pytest.mark.parametrize(("num", "batches"), [(12, 2), (13, 2), (14, 3), (1, 1), (2, 1), (7, 1)])
def test_a_last_batch_of_one_is_left_out_in_training_only(num, batches):
    training, evaluation = loader(arrays(num)), loader(arrays(num), augment=None)
    assert len(training) == batches == len(list(training.epoch(0)))
    assert len(evaluation) == -(-num // 6) == len(list(evaluation.epoch(0)))
    assert sum(len(batch.images) for batch in evaluation.epoch(0)) == num


def test_epochs_are_augmented_differently_and_seeds_too():
    first = [next(loader(arrays(6), seed=seed).epoch(epoch)) for seed in range(2) for epoch in range(2)]
    sorted_images = [batch.images[batch.indices.argsort()] for batch in first]
    assert not any(torch.equal(sorted_images[0], other) for other in sorted_images[1:])


def test_an_empty_split_is_refused():
    with pytest.raises(InputError, match="no picture"):
        loader(arrays(0))


# --- who decodes changes nothing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"augment": None},
        {"augment": TRAIN},
        {"augment": HEAVY},
        {"augment": HEAVY, "train_size": (6, 6)},
        {"augment": HEAVY, "repeats": 2},
    ],
    ids=["evaluation", "training", "heavy", "smaller", "repeated"],
)
def test_workers_change_nothing(files, settings):
    alone, helped = loader(files, **settings), loader(files, workers=2, **settings)
    state = torch.get_rng_state()
    for epoch, start in [(0, 0), (1, 2), (0, 0)]:
        assert same(alone.epoch(epoch, start), helped.epoch(epoch, start))
    assert torch.equal(torch.get_rng_state(), state), "the network's generator is left alone"


def test_an_epoch_that_was_left_early_leaves_nothing_behind(files):
    helped = loader(files, workers=2)
    next(helped.epoch(0))
    assert same(helped.epoch(1), loader(files).epoch(1))


def test_a_loader_is_freed_without_the_garbage_collector(files):
    """Which would close the queues before the workers are told to end, and wait for each of them."""
    gc.disable()
    try:
        helped = loader(files, workers=2, batch_size=1)  # more batches than are decoded ahead
        batches = helped.epoch(0)
        next(batches)
        gone = weakref.ref(helped)
        del helped, batches
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("size", [8, 10])
@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_pictures_in_memory_are_evaluated_as_single_ones_are(resize, size):
    preprocess = Preprocess(size=(8, 8), resize=resize, crop_pct=1.0, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1))
    split = arrays(size=size, chans=3)
    whole = loader(split, preprocess=preprocess, augment=None)
    assert (whole._pixels is not None) == (size == 8)
    single = torch.from_numpy(np.stack([fit_picture(picture, preprocess) for picture in split.images.array]))
    assert torch.equal(torch.cat([batch.images for batch in whole.epoch(0)]), normalise(single, preprocess))


def test_a_crop_below_one_is_not_taken_from_memory():
    preprocess = Preprocess(size=(8, 8), crop_pct=0.5, mean=(0.4,), std=(0.2,))
    found = next(loader(arrays(), preprocess=preprocess, augment=None).epoch(0)).images
    assert torch.equal(found[0], normalise(torch.from_numpy(fit_picture(arrays().images[0], preprocess))[None], preprocess)[0])


@pytest.mark.parametrize("policy", ["none", "randaugment"])
def test_training_from_memory_is_training_from_files(policy, tmp_path):
    split, augment = arrays(), Augment(crop="pad", hflip=0.5, auto_augment=policy)
    paths = [tmp_path / f"{index}.png" for index in range(20)]
    for path, picture in zip(paths, split.images.array, strict=True):
        Image.fromarray(picture[..., 0]).save(path)
    on_disk = Split(FileImages(paths, 1), split.targets)
    assert same(loader(split, augment=augment).epoch(1), loader(on_disk, augment=augment).epoch(1))


@pytest.mark.parametrize("where", ["memory", "here", "workers"])
def test_raw_batches_are_normalised_by_who_takes_them(where, files):
    split, workers = (arrays() if where == "memory" else files), 2 * (where == "workers")
    ready, raw = (loader(split, augment=None, workers=workers, raw=raw) for raw in (False, True))
    for one, two in zip(ready.epoch(0), raw.epoch(0), strict=True):
        assert two.images.dtype == torch.uint8 and torch.equal(one.images, normalise(two.images, RULE))
        assert torch.equal(one.targets, two.targets) and torch.equal(one.indices, two.indices)


# --- sampling ------------------------------------------------------------------------------------------------------------


def test_balance_shows_every_class_equally_often():
    targets = np.array([0] * 900 + [1] * 90 + [2] * 10)
    each = loader(Split(ArrayImages(np.zeros((1000, 8, 8, 1), np.uint8), "train"), targets), balance=True, num_classes=5)
    shown = np.concatenate([each.order(epoch) for epoch in range(5)])
    assert len(shown) == 5000
    assert np.bincount(targets[shown]) / 5000 == pytest.approx([1 / 3] * 3, abs=0.03)
    assert np.array_equal(each.order(0), each.order(0)) and not np.array_equal(each.order(0), each.order(1))


@pytest.mark.parametrize(("num", "repeats"), [(20, 1), (20, 2), (20, 3), (7, 4), (3, 8)])
def test_repeats_show_fewer_pictures_several_times_in_a_row(num, repeats):
    order = loader(arrays(num), repeats=repeats).order(0)
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


# --- what cannot be read ---------------------------------------------------------------------------------------------------


def spoil(split, *indices):
    for index in indices:
        split.images.path(index).write_bytes(b"no picture")


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_pictures_are_skipped_counted_and_named(files, workers):
    spoil(files, 3, 7)
    each = loader(files, workers=workers, augment=None)
    batches = list(each.epoch(0))
    assert [len(batch.images) for batch in batches] == [5, 5, 6, 2]
    assert not {3, 7} & set(torch.cat([batch.indices for batch in batches]).tolist())
    assert {name.rsplit("/", 1)[-1] for name in each.bad.reasons} == {"3.png", "7.png"}
    assert all("not a picture" in reason for reason in each.bad.reasons.values())
    list(each.epoch(0))
    assert len(each.bad.reasons) == 2, "again is not more"


@pytest.mark.parametrize("workers", [0, 2])
def test_more_bad_pictures_than_allowed_end_the_run(files, workers):
    spoil(files, 3, 7, 8)
    with pytest.raises(InputError, match=r"3 pictures cannot be read, and --max-bad allows 2 .*3\.png: .*7\.png"):
        list(loader(files, workers=workers, augment=None, bad=BadImages(2)).epoch(0))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("augment", [None, HEAVY], ids=["evaluation", "training"])
def test_a_batch_of_bad_pictures_only_still_counts(files, workers, augment):
    each = loader(files, workers=workers, augment=augment)
    spoil(files, *each.order(1)[6:12].tolist())
    sizes = [len(batch.images) for batch in each.epoch(1)]
    assert sizes == [6, 0, 6, 2]
    assert [len(batch.images) for batch in each.epoch(1, 2)] == [6, 2]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_picture_changes_no_other(files, workers):
    each = loader(files, workers=workers, augment=Augment(crop="resized", auto_augment="randaugment"))
    before = list(each.epoch(0))
    gone = int(before[0].indices[2])
    spoil(files, gone)
    after = list(each.epoch(0))
    kept = before[0].indices != gone
    assert torch.equal(after[0].indices, before[0].indices[kept]) and torch.equal(after[0].images, before[0].images[kept])
    assert same(after[1:], before[1:])


# --- statistics --------------------------------------------------------------------------------------------------------------


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
    whole = statistics(Split(files.images.subset(range(1, 20)), files.targets[1:]), RULE, BadImages(0))
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


def test_waiting_for_data_is_counted():
    each = loader(arrays())
    list(each.epoch(0))
    assert each.data_wait > 0
