"""Figures of segmentation: what is beside the image, and what the legend says."""

import numpy as np

from resnets.data.targets import IGNORE
from resnets.tasks.segment.draw import draw_segments, segments
from tests.draw.drawn import words

LABELS = ["cat", "dog", "$5 mouse"]
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def test_segments_have_a_legend_of_what_occurs():
    predicted, truth = np.zeros((2, 60, 80), np.uint8)
    predicted[:20], truth[:20], truth[50:] = 2, 2, IGNORE
    figure = draw_segments(PICTURE, predicted, LABELS, truth=truth, background=0)
    assert [axes.get_title("left") for axes in figure.axes[:3]] == ["picture", "predicted", "truth"]
    assert words(*figure.axes) == ["$5 mouse", "ignored"]


def test_without_truth_there_are_two_panels(tmp_path):
    predicted = np.ones((60, 80), np.uint8)
    assert [axes.get_title("left") for axes in draw_segments(PICTURE, predicted, LABELS).axes] == ["picture", "predicted", ""]
    assert segments(PICTURE, predicted, LABELS, tmp_path / "new/segments.png").stat().st_size > 1000
