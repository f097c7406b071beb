"""Every batch is a function of seed, epoch and position, whoever decodes it; what cannot be read is skipped, counted, named."""

import gc
import weakref

import numpy as np
import pytest
import torch

from resnets.data.transforms import Augment
from resnets.data.workers import BadImages
from resnets.errors import InputError
from tests.data.made import same_batches
from tests.data.made_splits import HEAVY, TRAIN, arrays, loader, spoil

# --- order -------------------------------------------------------------------------------------------------------------


def test_an_epoch_shows_every_picture_once_in_an_order_of_its_own():
    orders = [loader(arrays(), seed=seed).samples.order(epoch) for seed in range(3) for epoch in range(3)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 9
    assert np.array_equal(loader(arrays(), seed=1).samples.order(2), orders[5])


def test_evaluation_is_in_order():
    batches = list(loader(arrays(), augment=None).epoch(3))
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(20))
    assert torch.cat([batch.targets for batch in batches]).tolist() == [index % 3 for index in range(20)]


def test_batches_follow_the_order():
    each = loader(arrays(), seed=4)
    assert torch.cat([batch.indices for batch in each.epoch(7)]).tolist() == each.samples.order(7).tolist()
    assert all((batch.targets == batch.indices % 3).all() for batch in each.epoch(7))


@pytest.mark.parametrize("augment", [TRAIN, HEAVY], ids=["memory", "decoded"])
@pytest.mark.parametrize("start", [0, 1, 3, 4, 9])
def test_a_start_yields_exactly_the_rest(start, augment):
    whole = list(loader(arrays(), augment=augment).epoch(2))
    assert same_batches(loader(arrays(), augment=augment).epoch(2, start), whole[start:])


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
        assert same_batches(alone.epoch(epoch, start), helped.epoch(epoch, start))
    assert torch.equal(torch.get_rng_state(), state), "the network's generator is left alone"


def test_an_epoch_that_was_left_early_leaves_nothing_behind(files):
    helped = loader(files, workers=2)
    next(helped.epoch(0))
    assert same_batches(helped.epoch(1), loader(files).epoch(1))


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


# --- what cannot be read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_pictures_are_skipped_counted_and_named(files, workers):
    spoil(files, 3, 7)
    each = loader(files, workers=workers, augment=None)
    batches = list(each.epoch(0))
    assert [len(batch.images) for batch in batches] == [5, 5, 6, 2]
    assert not {3, 7} & set(torch.cat([batch.indices for batch in batches]).tolist())
    assert {name.rsplit("/", 1)[-1] for name in each.bad.reasons} == {"3.png", "7.png"}
    assert all("not an image" in reason for reason in each.bad.reasons.values())
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
    spoil(files, *each.samples.order(1)[6:12].tolist())
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
    assert same_batches(after[1:], before[1:])


def test_waiting_for_data_is_counted():
    each = loader(arrays())
    list(each.epoch(0))
    assert each.data_wait > 0
