"""Figures of detection: what they say, and input of any size."""

import itertools

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from resnets.data.targets import Boxes, Detections
from resnets.draw.panels import draw_worst
from resnets.tasks.detect.draw import (
    boxes,
    draw_boxes,
    draw_instances,
    draw_precision_recall,
    framed,
    instances,
    precision_recall,
)
from resnets.tasks.detect.voc import Curve
from tests.draw.drawn import words

LABELS = ["cat", "dog", "$5 mouse"]
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def detections(num, shape=(60, 80)):
    random = np.random.default_rng(num)
    corner = random.integers(0, shape[0] - 20, (num, 2))
    xyxy = np.concatenate([corner, corner + random.integers(5, 20, (num, 2))], axis=1).astype(np.float32)
    return Detections(xyxy, random.integers(0, 3, num), random.random(num).astype(np.float32))


def truths(found):
    return Boxes(found.xyxy, found.labels, np.arange(len(found.labels)) % 3 == 0)


def frames(axes):
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


# --- boxes ---


def test_boxes_are_framed_named_and_counted():
    found = Detections(
        np.array([[2, 10, 20, 30], [40, 20, 70, 50], [5, 40, 25, 55]], np.float32),
        np.array([0, 2, 0]),
        np.array([0.9, 0.8, 0.2]),
    )
    figure = draw_boxes(PICTURE, found, LABELS, threshold=0.5)
    assert words(*figure.axes) == ["cat 0.90", "$5 mouse 0.80", "cat: 1", "$5 mouse: 1"]
    assert [patch.get_bbox().extents.tolist() for patch in frames(figure.axes[0])] == [[40, 20, 70, 50], [2, 10, 20, 30]]


def test_truth_stands_beside_with_dashes_for_what_is_ignored():
    found = detections(4)
    figure = draw_boxes(PICTURE, found, LABELS, truth=truths(found))
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["predicted", "truth"]
    dashed = [patch.get_linestyle() != "-" and patch.get_linestyle() != "solid" for patch in frames(figure.axes[1])]
    assert dashed == [True, False, False, True]
    counts = np.bincount(found.labels, minlength=3)
    assert f"dog: {counts[1]}, truth {counts[1]}" in words(*figure.axes)


def test_frames_end_with_the_picture_and_names_stay_in_it():
    found = Detections(np.array([[-30, -5, 200, 90]], np.float32), np.array([1]), np.array([0.5]))
    figure = draw_boxes(PICTURE, found, LABELS)
    assert frames(figure.axes[0])[0].get_bbox().extents.tolist() == [0, 0, 80, 60]
    (tag,) = [text for text in figure.axes[0].texts if text.get_text() == "dog 0.50"]
    assert 0 <= tag.get_position()[0] < 80 and 0 <= tag.get_position()[1] <= 60


def test_names_do_not_cover_each_other():
    figure = draw_boxes(PICTURE, detections(50), LABELS)
    tags = [patch.get_xy() for patch in figure.axes[0].patches if not isinstance(patch, Rectangle)]
    places = [(xy[:, 0].min(), xy[:, 1].min(), xy[:, 0].max(), xy[:, 1].max()) for xy in tags]
    assert 3 < len(places) < 50
    for (a0, b0, a1, b1), (c0, d0, c1, d1) in itertools.combinations(places, 2):
        assert a1 <= c0 or c1 <= a0 or b1 <= d0 or d1 <= b0


@pytest.mark.parametrize("num", [0, 100])
@pytest.mark.parametrize("shape", [(60, 80, 3), (5, 7), (900, 40, 1), (30, 500, 4)])
def test_none_and_many_on_pictures_of_any_shape(tmp_path, num, shape):
    picture = np.zeros(shape, np.uint8)
    path = boxes(picture, detections(num), LABELS, tmp_path / "boxes.png", title="all")
    assert max(Image.open(path).size) < 1500
    assert path.stat().st_size < 300_000


def test_framed_panels_have_boxes_without_names():
    found = detections(5)
    rows = [[framed(PICTURE, truths(found), LABELS), framed(PICTURE, found, LABELS)]] * 3
    figure = draw_worst(rows, ["truth", "predicted"], ["one", "two", "three"], LABELS)
    assert [len(frames(axes)) for axes in figure.axes] == [5] * 6 + [0]
    assert words(*figure.axes) == LABELS


# --- object masks ---


def test_instances_are_counted(tmp_path):
    masks = np.zeros((2, 60, 80), bool)
    masks[0, 10:20, 10:20], masks[1, 5:50, 5:50] = True, True
    figure = draw_instances(PICTURE, masks, truth=np.zeros((60, 80), np.uint16))
    assert [axes.get_title("left") for axes in figure.axes] == ["picture", "predicted: 2", "truth: 0"]
    assert instances(PICTURE, masks[:0], tmp_path / "none.png").exists()


# --- precision over recall ---


def test_precision_over_recall():
    curves = [
        Curve(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2, 0, 3),
        Curve(np.zeros(0), np.zeros(0, bool), 4, 0, 0),
        Curve(np.array([0.5]), np.array([False]), 0, 0, 1),
    ]
    figure = draw_precision_recall(curves, LABELS)
    lines = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
    np.testing.assert_allclose(lines["cat"], [[0, 1], [0.5, 1], [0.5, 0.5], [1, 2 / 3]])
    np.testing.assert_allclose(lines["dog"], [[0, 0]])
    assert "$5 mouse" not in lines  # nothing to find
    assert [word for word in words(*figure.axes) if word != "■"] == ["cat  0.833", "dog  0.000"]
    assert figure.axes[0].get_title("left").endswith("mean area 0.417")


def test_of_many_classes_the_twelve_worst_have_names(tmp_path):
    random = np.random.default_rng(2)
    curves = [Curve(np.linspace(1, 0, 9), random.random(9) < i / 30, 9, 0, 9) for i in range(30)]
    names = [f"class {i}" for i in range(30)]
    figure = draw_precision_recall(curves, names)
    shown = {word.split("  ")[0] for word in words(*figure.axes) if word != "■"}
    assert shown == {names[i] for i in sorted(range(30), key=lambda i: curves[i].voc12)[:12]}
    assert precision_recall([], [], tmp_path / "none.png").exists()
