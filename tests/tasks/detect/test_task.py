"""Detection: what the network is trained on and what is counted, pictures with no object and with a hundred, and its file."""

import dataclasses

import numpy as np
import pytest
import torch
from resnets.data.dense_loader import as_tensors

from resnets.data.preprocess import Preprocess
from resnets.data.targets import Boxes, Detections, Truth
from resnets.engine.contract import Task
from resnets.engine.recipe import Recipe
from resnets.errors import InputError
from resnets.models import zoo
from resnets.ship import hub
from resnets.tasks import get, results
from resnets.tasks.detect.average_precision import Collected
from resnets.tasks.detect.head import FORMS, Detecting
from resnets.tasks.detect.task import MOST, Detect, f1

TASK = Detect()
LABELS = ("cat", "dog")
SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=8, num_classes=2)
CHEAP = {"width": 16, "region_width": 32, "proposals": [60, 30], "samples": 16, "least_score": 0.0}
KINDS = [("pyramid", False), ("pyramid", True), ("c4", False), ("c4", True)]


def model(form="pyramid", masks=False, **more):
    torch.manual_seed(0)
    preprocess = Preprocess(size=(32, 48), resize="keep", mean=(0.5,) * 3, std=(0.25,) * 3)
    settings = {"form": form, "masks": masks} | CHEAP | more
    return hub.create_model(SPEC, task="detect", labels=LABELS, form=settings, preprocess=preprocess)


def boxes(*xyxy, labels=None, ignore=None, size=None):
    corners = np.array(xyxy, np.float32).reshape(-1, 4)
    num = len(corners)
    masks = None
    if size:
        masks = np.zeros((num, *size), bool)
        for mask, (x0, y0, x1, y1) in zip(masks, corners.astype(int), strict=True):
            mask[y0:y1, x0:x1] = True
    classes = np.zeros(num, np.int64) if labels is None else np.array(labels, np.int64)
    return Boxes(corners, classes, np.zeros(num, bool) if ignore is None else np.array(ignore, bool), masks)


def found(*xyxy, labels, scores):
    return Detections(np.array(xyxy, np.float32).reshape(-1, 4), np.array(labels, np.int64), np.array(scores, np.float32))


def grid(num, within, **more):
    """`num` boxes of 4 x 4 pixels, side by side."""
    across = within[1] // 5
    corners = [(5 * (n % across), 5 * (n // across), 5 * (n % across) + 4, 5 * (n // across) + 4) for n in range(num)]
    assert corners[-1][3] <= within[0]
    return boxes(*corners, labels=np.arange(num) % 2, **more)


def step(net, x, targets):
    """The losses of a batch, and of each parameter that learns the gradient."""
    net.train()
    sizes = torch.tensor([x.shape[2:]] * len(x))
    outputs = net(x, [as_tensors(target, size) for target, size in zip(targets, sizes, strict=True)])
    losses = TASK.criterion(Recipe(task="detect"), np.ones(2))(outputs, targets)
    losses["loss"].backward()
    return {name: float(value.detach()) for name, value in losses.items()}


def test_it_is_a_task_of_the_table():
    assert isinstance(get("detect"), Task) and TASK.heads == FORMS and TASK.sees_targets


# --- training ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "masks"), KINDS, ids=str)
def test_the_loss_is_the_sum_of_its_parts_and_all_of_the_network_learns(form, masks):
    net, size = model(form, masks), (32, 48)
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    targets = [
        boxes((2, 3, 20, 25), (25, 5, 44, 28), labels=[0, 1], size=masks and size),
        boxes((8, 8, 30, 30), size=masks and size),
    ]
    losses = step(net, x, targets)
    whole = losses.pop("loss")
    assert whole == pytest.approx(sum(losses.values()), rel=1e-5) and all(value > 0 for value in losses.values())
    assert ("loss_mask" in losses) == masks and len(losses) == 4 + masks
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize(("form", "masks"), KINDS, ids=str)
@pytest.mark.parametrize("num", [0, 100])
def test_a_picture_without_objects_and_one_with_a_hundred_train(num, form, masks):
    net, size = model(form, masks), (60, 60)
    given = size if masks else None
    many = boxes(size=given) if num == 0 else grid(num, size, size=given)
    losses = step(net, torch.randn(2, 3, *size), [many, many])
    assert all(np.isfinite(value) for value in losses.values()) and losses["loss"] > 0
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)
    if num == 0:
        assert losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == losses.get("loss_mask", 0) == 0


def test_what_is_to_be_ignored_and_what_has_no_area_is_no_object():
    one, net = boxes((2, 3, 20, 25)), model()
    x = torch.randn(1, 3, 32, 48)
    plain = step(net, x, [one])
    more = boxes((2, 3, 20, 25), (25, 5, 44, 28), (9, 9, 9, 20), ignore=[False, True, False])
    for seed in (0, 1):  # regions are drawn by chance
        torch.manual_seed(seed)
        plain = step(net, x, [one])
        torch.manual_seed(seed)
        assert step(net, x, [more]) == plain


def test_pictures_in_a_padded_batch_have_their_own_sizes():
    """Proposals end where the picture does: an object found in the padding would lie past it."""
    net = model().eval()
    x = torch.randn(2, 3, 48, 64)
    sizes = [torch.tensor([48, 64]), torch.tensor([20, 30])]
    with torch.inference_mode():
        _, small = net(x, [{"size": size} for size in sizes])
    assert len(small["xyxy"]) and (small["xyxy"] <= torch.tensor([30, 20, 30, 20])).all() and (small["xyxy"] >= 0).all()


def test_training_without_targets_says_what_to_do():
    with pytest.raises(InputError, match=r"needs targets; call eval\(\)"):
        model().train()(torch.zeros(1, 3, 32, 48))


# --- what is found -------------------------------------------------------------------------------------------------------


@torch.inference_mode()
@pytest.mark.parametrize("masks", [False, True])
def test_infer_speaks_of_the_picture_itself(masks):
    net, x = model(masks=masks).eval(), torch.randn(1, 3, 32, 48)
    here, twice = TASK.infer(net, x, (32, 48)), TASK.infer(net, x, (64, 144))
    assert len(here.labels) > 3 and here.labels.dtype == np.int64 and here.scores.dtype == here.xyxy.dtype == np.float32
    assert np.array_equal(here.scores, twice.scores) and (np.diff(here.scores) <= 0).all()
    assert np.abs(here.xyxy * [3, 2, 3, 2] - twice.xyxy).max() < 1e-3
    if masks:
        assert twice.masks.shape == (len(twice.labels), 64, 144) and twice.masks.dtype == bool
        assert np.array_equal(twice.masks[:, ::2, ::3], here.masks)
    else:
        assert here.masks is None


@torch.inference_mode()
def test_no_more_are_told_than_the_form_says():
    assert TASK.form(SPEC, Recipe(task="detect"), {})["most_objects"] == MOST == 300
    few = TASK.infer(model(most_objects=3).eval(), torch.randn(1, 3, 32, 48), (32, 48))
    assert len(few.labels) == 3


@torch.inference_mode()
def test_validation_is_the_measure_of_what_is_inferred():
    net = model(masks=True).eval()
    net.form["most_objects"] = 100
    x = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    truths = [Truth(n, (32, 48), boxes((2, 3, 20, 25), (25, 5, 44, 28), labels=[0, 1], size=(32, 48))) for n in range(2)]
    criterion = TASK.criterion(Recipe(task="detect"), np.ones(2))
    drawn = []
    hook = net.head.roi_heads.mask_predictor.register_forward_hook(lambda *given: drawn.append(1))
    sums = TASK.measure(net, x[:1], truths[:1], criterion)["found"] + TASK.measure(net, x[1:], truths[1:], criterion)["found"]
    hook.remove()
    assert not drawn, "masks, which are not measured here, are not made"
    meter = Collected(LABELS)
    for picture, truth in zip(x, truths, strict=True):
        seen = TASK.infer(net, picture[None], truth.whole)
        meter.add(truth.index, dataclasses.replace(seen, masks=None), dataclasses.replace(truth.target, masks=None))
    expected = meter.result()
    assert TASK.summarise({"found": sums}, 2, LABELS) == {name: expected[name] for name in ("map", "map50")}
    assert TASK.summarise({}, 2, LABELS) == {}, "in training nothing is looked for"


def test_pictures_without_objects_have_a_score_of_zero_and_no_error():
    meter = TASK.meter(LABELS, {})
    TASK.judge(meter, Truth(0, (9, 9), boxes()), found(labels=[], scores=[]))
    assert TASK.summarise({"found": meter}, 1, LABELS) == {"map": 0.0, "map50": 0.0}


TRUTH = boxes((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), labels=[0, 1, 0], ignore=[False, False, True])
PICTURES = {
    "all of it": (found((0, 0, 10, 10), (20, 0, 30, 10), labels=[0, 1], scores=[0.9, 0.8]), 1.0),
    "one of two": (found((0, 0, 10, 10), labels=[0], scores=[0.9]), 2 / 3),
    "twice the same": (found((0, 0, 10, 10), (0, 0, 10, 9), labels=[0, 0], scores=[0.9, 0.8]), 2 / (2 + 1 + 1)),
    "of another class": (found((0, 0, 10, 10), (20, 0, 30, 10), labels=[1, 1], scores=[0.9, 0.8]), 2 / (2 + 1 + 1)),
    "too far off": (found((0, 0, 10, 4), labels=[0], scores=[0.9]), 0.0),
    "the ignored too": (found((0, 0, 10, 10), (40, 0, 50, 10), labels=[0, 0], scores=[0.9, 0.8]), 2 / 3),
    "nothing": (found(labels=[], scores=[]), 0.0),
}


@pytest.mark.parametrize("case", PICTURES)
def test_f1_of_a_picture_by_hand(case):
    seen, expected = PICTURES[case]
    assert f1(seen, TRUTH) == pytest.approx(expected)


def test_what_is_not_sure_does_not_count_for_the_picture():
    meter = TASK.meter(LABELS, {"most_objects": 100})
    unsure = found((0, 0, 10, 10), (20, 0, 30, 10), labels=[0, 1], scores=[0.9, 0.4])
    assert TASK.judge(meter, Truth(0, (60, 60), TRUTH), unsure) == pytest.approx(2 / 3)
    assert f1(found(labels=[], scores=[]), boxes()) == 1.0
    assert meter.result()["per_class"][1]["ap50"] == pytest.approx(1), "the measure takes all"


def test_at_least_keeps_what_belongs_together():
    masks = np.arange(3)[:, None, None] * np.ones((3, 2, 2), int) > 0
    seen = dataclasses.replace(
        found((0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3), labels=[0, 1, 0], scores=[0.9, 0.5, 0.4]), masks=masks
    )
    kept = results.at_least(seen, 0.5)
    assert kept.labels.tolist() == [0, 1] and kept.xyxy[:, 2].tolist() == [1, 2] and np.array_equal(kept.masks, masks[:2])
    assert results.at_least(dataclasses.replace(seen, masks=None), 0.95).masks is None


# --- heads and files -----------------------------------------------------------------------------------------------------


@torch.inference_mode()
@pytest.mark.parametrize(("form", "masks"), KINDS, ids=str)
def test_the_form_of_the_head_comes_back_from_the_file(form, masks, tmp_path):
    net = model(form, masks).eval()
    again = hub.load(hub.save(net, tmp_path / "m.safetensors"))
    assert again.form == net.form and (again.task.name, again.labels) == ("detect", LABELS)
    x = torch.randn(2, 3, 30, 41)
    for one, two in zip(net(x), again(x), strict=True):
        assert one.keys() == two.keys() and ("masks" in one) == masks
        assert all(torch.equal(one[name], two[name]) for name in one) and len(one["labels"])


@pytest.mark.parametrize(
    ("before", "asked", "kept"),
    [
        ({}, {}, {"form": "pyramid", "width": 64, "region_width": 256}),
        ({"form": "c4", "anchor_scales": [1, 2], "masks": True}, {}, {"form": "c4", "anchor_scales": [1, 2], "masks": False}),
        ({"form": "c4", "width": 32}, {"masks": True, "head": "c4"}, {"form": "c4", "width": 32, "masks": True}),
        ({"form": "c4", "anchor_scales": [1, 2]}, {"head": "pyramid"}, {"form": "pyramid", "anchor_scales": None}),
    ],
    ids=str,
)
def test_the_head_of_weights_goes_on_unless_another_is_asked_for(before, asked, kept):
    form = TASK.form(SPEC, Recipe(task="detect", **asked), before)
    assert {name: form.get(name) for name in kept} == kept


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"form": "yolo"}, "form='yolo': use one of: pyramid, c4"),
        ({"forms": "c4"}, "a detector has no setting forms; it has "),
        ({"width": "wide"}, "width='wide': give a whole number"),
        ({"width": 0}, "width=0: give a whole number from 1 to 1024"),
        ({"region_width": 10**9}, "region_width=1000000000: give a whole number from 1 to 4096"),
        ({"proposals": [1]}, r"proposals=\(1,\): give two whole numbers"),
        ({"least_score": "low"}, "least_score='low': give a number from 0 to 1"),
        ({"anchor_scales": ["x"]}, "anchor_scales="),
        ({"anchor_scales": []}, "anchor_scales="),
    ],
    ids=str,
)
def test_what_no_head_has_is_refused(form, said):
    """Files of others say these things."""
    with pytest.raises(InputError, match=said):
        hub.create_model(SPEC, task="detect", labels=LABELS, form=form)


def test_the_defaults_are_torchvisions():
    assert hub.create_model(SPEC, task="detect", labels=LABELS).head.roi_heads.detections_per_img == Detecting().most_objects


def test_predict_says_what_is_where():
    net = model().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (36, 50, 3), dtype=np.uint8)
    everything, surest = net.predict(pixels, threshold=0.0)[0], net.predict([pixels], threshold=0.45)[0]
    assert (everything["height"], everything["width"]) == (36, 50)
    scores = [row["score"] for row in everything["objects"]]
    assert scores == sorted(scores, reverse=True) and len(scores) > len(surest["objects"])
    assert surest["objects"] == [row for row in everything["objects"] if row["score"] >= 0.45]
    for row in everything["objects"]:
        x0, y0, x1, y1 = row["box"]
        assert 0 <= x0 < x1 <= 50 and 0 <= y0 < y1 <= 36 and LABELS[row["index"]] == row["label"]
