"""What is planned for volumes: patches, halvings, widths and batches, by nnU-Net's rules, and around what was asked for."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from resnets.models import zoo
from resnets.tasks.segment.head import Segmenter
from resnets.tasks.segment.planning import NETWORK, Budget, fitting, halvings, num_macs, plan

TWO_CORES, GPU = Budget.of("cpu", 2, 0), Budget.of("cuda", 8, 10_000_000_000)


@pytest.mark.parametrize(
    ("shape", "spacing", "budget", "size", "strides", "width", "batch"),
    [
        ((36, 49.5, 35), (1, 1, 1), TWO_CORES, (36, 50, 35), "111 222 222 222", 16, 2),
        ((36, 49.5, 35), (1, 1, 1), GPU, (36, 50, 35), "111 222 222 222", 32, 16),
        ((155, 240, 240), (1, 1, 1), TWO_CORES, (64, 64, 64), "111 222 222 222 222", 8, 2),
        ((155, 240, 240), (1, 1, 1), GPU, (128, 128, 128), "111 222 222 222 222 222", 32, 2),
        # Slices of 5 mm are kept until the others are as coarse; and an axis of few voxels is halved less often.
        ((115, 320, 232), (5, 1.5, 1.5), GPU, (56, 184, 184), "111 122 222 222 222 122", 32, 2),
        ((20, 320, 320), (3.6, 0.6, 0.6), GPU, (20, 320, 320), "111 122 122 222 222 122 122", 32, 2),
        ((20, 320, 320), (3.6, 0.6, 0.6), TWO_CORES, (16, 104, 104), "111 122 122 222 222", 8, 2),  # for its multiply-adds
        ((5, 4, 3), (1, 1, 1), TWO_CORES, (5, 4, 3), "111", 32, 16),
    ],
)
def test_known_kinds_of_data(shape, spacing, budget, size, strides, width, batch):
    found = plan(shape, spacing, budget, {})
    assert (found.size, " ".join(found.strides), found.width, found.batch) == (size, strides, width, batch)
    assert found.depths == (1, 3, 4, 6, 6, 6, 6)[: len(found.strides)]
    assert num_macs(zoo.get(NETWORK, **found.changes), size) <= budget.num_macs


def test_the_plan_goes_around_what_was_asked_for():
    asked = {"train_size": (24, 30, 20), "depths": (1, 2, 2), "width": 20, "batch_size": 3}
    found = plan((36, 50, 35), (1, 1, 1), TWO_CORES, asked)
    assert (found.size, found.depths, found.width, found.batch) == ((24, 30, 20), (1, 2, 2), 20, 3)
    assert found.strides == ("111", "222", "222")
    assert plan((36, 50, 35), (1, 1, 1), TWO_CORES, {"train_size": (40,)}).size == (36, 40, 35)
    assert plan((36, 50, 35), (1, 1, 1), TWO_CORES, {"strides": ("111", "122")}).depths == (1, 3)
    assert plan((36, 50, 35), (1, 1, 1), TWO_CORES, {"strides": ("111", "122")}).size == (36, 50, 35)
    assert len(halvings((8, 8, 8), (1, 1, 1), 5)) == 5


def test_what_a_plan_says_is_what_it_said_again():
    """As a run that is taken up again has all of it among its settings."""
    first = plan((36, 50, 35), (1, 1, 1), TWO_CORES, {})
    settings = {"train_size": first.size, "batch_size": first.batch, **first.changes}
    assert plan((99, 99, 99), (1, 2, 3), GPU, settings) == first


def test_patches_are_as_near_to_a_cube_in_mm_as_volumes_allow():
    assert fitting((10, 20, 30), (1, 1, 1), 6000) == (10, 20, 30)
    assert fitting((100, 100, 100), (1, 1, 1), 8000) == (16, 16, 16)  # of 20, a multiple of 8
    assert fitting((100, 200, 200), (4, 1, 1), 16_000) == (8, 40, 40)
    assert fitting((4, 500, 500), (1, 1, 1), 4 * 50 * 50) == (4, 48, 48)


def test_multiply_adds_are_the_networks():
    spec = zoo.get(NETWORK, depths=(1, 2, 1), width=4, strides=("111", "122", "222"), num_classes=2)
    with torch.device("meta"):
        model = Segmenter(spec, "deep_unet").eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 1, 8, 16, 16))
    logits = 4 * 2 * 8 * 16 * 16
    assert num_macs(spec, (8, 16, 16)) == counter.get_total_flops() // 2 - logits
