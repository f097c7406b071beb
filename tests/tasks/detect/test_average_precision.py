"""Detection measured: cases worked by hand, and pycocotools on pictures of all kinds."""

import contextlib
import io
import json

import numpy as np
import pytest

from resnets.data.targets import Boxes, Detections
from resnets.errors import InputError
from resnets.tasks.detect import coco
from resnets.tasks.detect.average_precision import Collected

LABELS = ["cat", "dog"]
A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)
HALF_A = (0, 0, 10, 5)  # IoU .5 with A


def truth(*objects, masks=None):
    """Each object is a box and a class, and True where it is to be ignored."""
    rows = [(*row, False)[:3] for row in objects]
    xyxy = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    return Boxes(xyxy, np.array([row[1] for row in rows], np.int64), np.array([row[2] for row in rows], bool), masks)


def found(*objects, masks=None):
    """Each object is a box, a class and a score."""
    xyxy = np.array([row[0] for row in objects], np.float32).reshape(-1, 4)
    labels, scores = np.array([row[1] for row in objects], np.int64), np.array([row[2] for row in objects], np.float32)
    return Detections(xyxy, labels, scores, masks)


def measured(*pictures, **settings):
    collected = Collected(LABELS, **settings)
    for place, (ours, theirs) in enumerate(pictures):
        collected.add(place, ours, theirs)
    return collected.result()


def test_all_is_found():
    result = measured((found((A, 0, 0.9), (B, 1, 0.8)), truth((A, 0), (B, 1))))
    for name in ("map", "map50", "map75", "map_small", "ar1", "ar10", "ar100", "ar_small", "voc07", "voc12"):
        assert result[name] == pytest.approx(1), name
    assert result["map_medium"] is None and result["ar_large"] is None  # there are none of that size
    assert [(row["label"], row["objects"], row["ap"], row["f1"]) for row in result["per_class"]] == [
        ("cat", 1, 1, 1), ("dog", 1, 1, 1),
    ]  # fmt: skip
    assert json.loads(json.dumps(result)) == result


def test_half_of_an_object_is_found_at_iou_50_alone():
    result = measured((found((HALF_A, 0, 0.9)), truth((A, 0))))
    assert result["map50"] == result["voc12"] == 1
    assert result["map75"] == 0 and result["map"] == pytest.approx(1 / 10)


def test_a_miss_between_hits():
    """Of A, B: hit, miss, hit. Precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1."""
    result = measured((found((A, 0, 0.9), (C, 0, 0.8), (B, 0, 0.7)), truth((A, 0), (B, 0))))
    assert result["voc12"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert result["voc07"] == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)  # recalls 0 to .5, and .6 to 1
    assert result["map50"] == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)  # recalls 0 to .50, and .51 to 1
    cat = result["per_class"][0]
    assert (cat["f1"], cat["threshold"]) == (pytest.approx(0.8), pytest.approx(0.7))
    assert (cat["precision"], cat["recall"]) == (pytest.approx(2 / 3), 1)


def test_of_two_detections_of_an_object_the_less_sure_one_is_a_miss():
    twice = found((HALF_A, 0, 0.9), (A, 0, 0.6))
    result = measured((twice, truth((A, 0), (B, 0))))
    assert result["voc12"] == pytest.approx(0.5)
    cat = result["per_class"][0]
    assert (cat["found"], cat["objects"], cat["precision"], cat["recall"]) == (2, 2, 1, 0.5)


def test_the_wrong_class_is_a_miss_in_both():
    result = measured((found((A, 1, 0.9)), truth((A, 0), (B, 1))))
    assert [row["ap50"] for row in result["per_class"]] == [0, 0]
    assert [row["voc12"] for row in result["per_class"]] == [0, 0]
    assert [row["found"] for row in result["per_class"]] == [0, 1]


def test_a_detection_that_is_in_another_picture_is_a_miss():
    result = measured((found(), truth((A, 0))), (found((A, 0, 0.9)), truth()))
    assert (result["map50"], result["voc07"], result["num_images"]) == (0, 0, 2)


def test_what_is_ignored_is_neither_hit_nor_miss():
    """B is ignored: however many find it, and whoever does not, only A counts."""
    for ours in ([(B, 0, 0.95), (B, 0, 0.9), (A, 0, 0.8)], [(A, 0, 0.8)]):
        result = measured((found(*ours), truth((A, 0), (B, 0, True))))
        cat = result["per_class"][0]
        assert (cat["ap"], cat["voc07"], cat["voc12"], cat["objects"], cat["ignored"]) == (1, 1, 1, 1, 1)
    crowd = measured((found((HALF_A, 0, 0.9), (C, 0, 0.8)), truth((A, 0, True), (C, 0))))
    assert crowd["map50"] == 1  # half of a crowd's box lies in the crowd with all of itself


def test_nothing_found_is_0_and_nothing_to_find_is_none():
    missed = measured((found(), truth((A, 0))))
    assert (missed["map"], missed["map50"], missed["ar100"], missed["voc07"], missed["voc12"]) == (0, 0, 0, 0, 0)
    dog = missed["per_class"][1]
    assert (dog["ap"], dog["voc12"], dog["f1"], dog["objects"]) == (None, None, None, 0)
    for ours in (found(), found((A, 0, 0.9))):
        nothing = measured((ours, truth()))
        assert (nothing["map"], nothing["ar1"], nothing["voc07"], nothing["num_objects"]) == (None, None, None, 0)
    assert measured()["map"] is None


def test_false_alarms_in_empty_pictures_cost():
    """A miss at .95 in a picture without objects comes first: precision 1/2 at every recall."""
    result = measured((found((A, 0, 0.9)), truth((A, 0))), (found((A, 0, 0.95)), truth()))
    assert result["map50"] == result["voc12"] == result["voc07"] == 0.5


def test_recalls_of_voc_2007_are_whole_tenths():
    """3 of 10 found is a recall of .3, which no sum of binary fractions is."""
    many = [((20 * i, 0, 20 * i + 10, 10), 0) for i in range(10)]
    result = measured((found(*((*row, 0.9 - 0.01 * i) for i, row in enumerate(many[:3]))), truth(*many)))
    assert result["voc07"] == pytest.approx(4 / 11) and result["voc12"] == pytest.approx(3 / 10)


def test_sizes_and_limits():
    large, small = (0, 0, 100, 100), (200, 0, 210, 10)
    ours = found((large, 0, 0.9), (small, 0, 0.8))
    result = measured((ours, truth((large, 0), (small, 0))))
    assert (result["map_small"], result["map_medium"], result["map_large"]) == (pytest.approx(1), None, pytest.approx(1))
    assert (result["ar1"], result["ar10"]) == (0.5, 1)
    capped = measured((ours, truth((large, 0), (small, 0))), most=1)
    assert capped["map_small"] == 0 and "ar10" not in capped


def test_the_order_and_the_processes_do_not_matter():
    random = np.random.default_rng(3)
    pictures = [made(random) for _ in range(8)]
    one, first, second = (Collected(LABELS) for _ in range(3))
    for place, pair in enumerate(pictures):
        one.add(place, *pair)
    for place in (7, 3, 1, 5):
        first.add(place, *pictures[place])
    for place in (6, 4, 2, 0, 7):  # the last is padding
        second.add(place, *pictures[place])
    assert (first + second).result() == one.result()


def test_what_cannot_be_is_said():
    collected = Collected(LABELS)
    for ours, words in (
        (found((A, 2, 0.9)), "picture 4: classes 2 to 2 of 2"),
        (found((A, 0, float("nan"))), "not finite"),
        (Detections(np.zeros((2, 4)), np.zeros(1, np.int64), np.zeros(1)), r"boxes \(2, 4\)"),
    ):
        with pytest.raises(InputError, match=words):
            collected.add(4, ours, truth((A, 0)))
    with pytest.raises(InputError, match="not every object has one"):
        Collected(LABELS, masks=True).add(0, found((A, 0, 0.9)), truth())
    collected.add(0, found(((10, 10, 0, 0), 0, 0.9)), truth((A, 0)))  # an inverted box is a miss
    assert collected.result()["per_class"][0]["precision"] is None
    assert collected.result()["map50"] == 0


# --- masks, and the reference ---


def filled(boxes, shape=(120, 130)):
    masks = np.zeros((len(boxes), *shape), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, np.asarray(boxes, int), strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def test_masks_are_measured_beside_boxes():
    """A box that fits has a mask of which a half is missing."""
    ours = found((A, 0, 0.9), masks=filled([HALF_A]))
    result = measured((ours, truth((A, 0), masks=filled([A]))), masks=True)
    assert result["map"] == pytest.approx(1)
    assert result["masks"]["map50"] == 1 and result["masks"]["map75"] == 0
    assert result["per_class"][0]["mask_ap"] == pytest.approx(1 / 10)


def made(random, num_classes=2):
    """A picture of up to 12 objects, and finds near them, far from them, twice and of another class."""
    num = random.integers(0, 13)
    corner, size = random.integers(0, 80, (num, 2)), random.choice([6, 20, 40], (num, 2))
    xyxy, labels = np.concatenate([corner, corner + size], 1), random.integers(0, num_classes, num)
    keep = random.permutation(np.concatenate([np.arange(num), random.integers(0, max(num, 1), num // 2)]))
    moved = np.maximum(xyxy[keep] + random.integers(-4, 5, (len(keep), 4)), 0)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    named = np.where(random.random(len(keep)) < 0.8, labels[keep], random.integers(0, num_classes, len(keep)))
    scores = np.round(random.random(len(keep)), 1)  # some are equal
    ours = Detections(moved.astype(np.float32), named, scores.astype(np.float32), filled(moved))
    return ours, Boxes(xyxy.astype(np.float32), labels, random.random(num) < 0.15, filled(xyxy))


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_all_measures_are_those_of_pycocotools(kind):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    random = np.random.default_rng(7)
    collected = Collected(LABELS, masks=kind == "segm")
    for place in range(30):
        collected.add(place, *made(random))
    pictures = list(collected.pictures.values())
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for side in (1, 0):
            sides.append(COCO())
            sides[-1].dataset = coco._dataset([pair[side] for pair in pictures], len(LABELS), kind)
            sides[-1].createIndex()
        reference = COCOeval(*sides, kind)
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    result = collected.result()
    ours = result["masks"] if kind == "segm" else result
    names = ["map", "map50", "map75", "map_small", "map_medium", "map_large"]
    names += ["ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"]
    for name, value in zip(names, reference.stats, strict=True):
        expected = None if value == -1 else pytest.approx(value, abs=1e-12)
        assert ours[name] == expected, name
