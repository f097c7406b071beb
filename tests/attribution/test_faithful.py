"""Deletion and insertion are torch-cam's, and tell a map that the network goes by from one that it does not."""

import numpy as np
import pytest
import torch

from resnets.attribution.faithful import Curves, curves, faithfulness, points_at
from resnets.attribution.methods import attribute, enlarged
from resnets.attribution.seen import Seen


def test_areas_are_torch_cams(network, photographs, seen):
    """Of the same map and baseline. Theirs is float32, ours has inputs of 8 bits: the mean colour is a whole number."""
    from torchcam.methods import GradCAM
    from torchcam.metrics import DeletionInsertionMetric

    given = seen(photographs[0], 6)
    values = enlarged(attribute("gradcam", given, "layer3"), given.size)
    blank = (torch.tensor(128 / 255) - torch.tensor(network.preprocess.mean)) / torch.tensor(network.preprocess.std)

    class Fixed:
        """A map that is there already."""

        def __init__(self, real):
            self._hooks_off = real._hooks_off

        def __call__(self, class_idx, scores=None, normalized=True, **_):
            return [torch.from_numpy(values)[None]]

        def fuse_cams(self, cams):
            return cams[0]

    with GradCAM(network, "layer3") as real:
        real.__class__ = type(
            "Given", (GradCAM,), {"__call__": Fixed.__call__, "fuse_cams": staticmethod(lambda cams: cams[0])}
        )
        metric = DeletionInsertionMetric(real, lambda logits: logits.softmax(-1), steps=20, baseline=blank.view(1, 3, 1, 1))
        metric.update(given.x, 6)
        theirs = metric.summary()
    deletion, insertion = curves(given, values, steps=20).areas
    found = {key: value for key, value in theirs.items() if "deletion" in key or "insertion" in key}
    assert found == {
        next(key for key in found if "deletion" in key): pytest.approx(deletion, abs=1e-3),
        next(key for key in found if "insertion" in key): pytest.approx(insertion, abs=1e-3),
    }


def bright(where):
    """An input whose answer is the share of `where` that is still white."""
    return Seen(
        pixels=np.full((1, 8, 8), 255, np.uint8),
        blank=np.zeros((1, 1, 1), np.uint8),
        chance=lambda inputs: (inputs[:, 0][:, where] == 255).mean(1),
    )


def test_the_right_map_is_better_than_random_ones_and_the_wrong_one_is_not():
    where = np.zeros((8, 8), bool)
    where[:4, :4] = True
    right = faithfulness(bright(where), where.astype(np.float32))
    assert right.better and right.curves.areas == (pytest.approx(0.125, abs=0.02), pytest.approx(0.875, abs=0.02))
    assert not faithfulness(bright(where), (~where).astype(np.float32)).better


def test_curves_begin_and_end_where_they_must(photographs, seen):
    given = seen(photographs[1], 2)
    found = curves(given, np.random.default_rng(0).random((32, 32)))
    assert (found.shares[0], found.shares[-1]) == (0, 1)
    assert found.deletion[0] == found.insertion[-1] == pytest.approx(given.chance(given.pixels[None])[0])
    assert found.deletion[-1] == found.insertion[0] == pytest.approx(given.chance(np.full_like(given.pixels, 128)[None])[0])


def test_areas_are_trapezoids():
    assert Curves(np.array([0, 0.5, 1]), np.array([1, 0, 0]), np.array([0, 1, 1])).areas == (0.25, 0.75)


def test_a_map_points_where_its_greatest_value_is():
    place = np.zeros((4, 4), bool)
    place[1, 2] = True
    values = np.zeros((4, 4))
    values[1, 2] = 1
    assert points_at(values, place) and not points_at(values, ~place)
    assert not points_at(np.zeros((4, 4)), place)  # nothing speaks for it
    assert not points_at(np.ones((4, 4)), place)  # of equal values, most lie elsewhere
