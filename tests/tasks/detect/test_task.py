"""Detection: what the network is trained on, pictures with no object and with a hundred, what is found, and its file."""

import numpy as np
import pytest
import torch

from resnets.data.batches.dense import as_tensors
from resnets.data.transforms import to_input
from resnets.engine.values import Question
from resnets.errors import InputError
from resnets.models.answering import run_model
from resnets.ship import hub
from resnets.tasks.detect.head import FORMS, Detecting
from resnets.tasks.detect.settings import HEADS, DetectSettings
from resnets.tasks.detect.task import MOST, Detect
from tests.tasks.detect.made import KINDS, LABELS, SPEC, boxes, grid, model

TASK = Detect()


def step(net, x, targets):
    """The losses of a batch, and of each parameter that learns the gradient."""
    net.train()
    sizes = torch.tensor([x.shape[2:]] * len(x))
    outputs = net(x, [as_tensors(target, size) for target, size in zip(targets, sizes, strict=True)])
    losses = TASK.criterion(DetectSettings(), np.ones(2))(outputs, targets)
    losses["loss"].backward()
    return {name: float(value.detach()) for name, value in losses.items()}


def test_every_head_that_may_be_asked_for_is_there():
    assert tuple(FORMS) == HEADS


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


def test_what_has_no_area_is_no_object():
    one, net = boxes((2, 3, 20, 25)), model()
    x = torch.randn(1, 3, 32, 48)
    plain = step(net, x, [one])
    more = boxes((2, 3, 20, 25), (9, 9, 9, 20))
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
    here, twice = (TASK.infer(net, x, [size], net.header)[0] for size in ((32, 48), (64, 144)))
    assert len(here.labels) > 3 and here.labels.dtype == np.int64 and here.scores.dtype == here.xyxy.dtype == np.float32
    assert np.array_equal(here.scores, twice.scores) and (np.diff(here.scores) <= 0).all()
    assert np.abs(here.xyxy * [3, 2, 3, 2] - twice.xyxy).max() < 1e-3
    if masks:
        assert twice.masks.shape == (len(twice.labels), 64, 144) and twice.masks.dtype == bool
        assert np.array_equal(twice.masks[:, ::2, ::3], here.masks)
    else:
        assert here.masks is None


@torch.inference_mode()
def test_no_more_are_told_than_the_settings_of_the_head_say():
    assert TASK.head_config(SPEC, DetectSettings(), {})["most_objects"] == MOST == 300
    net = model(most_objects=3).eval()
    (few,) = TASK.infer(net, torch.randn(1, 3, 32, 48), [(32, 48)], net.header)
    assert len(few.labels) == 3


# --- heads and files -----------------------------------------------------------------------------------------------------


@torch.inference_mode()
@pytest.mark.parametrize(("form", "masks"), KINDS, ids=str)
def test_the_settings_of_the_head_come_back_from_the_file(form, masks, tmp_path):
    net = model(form, masks).eval()
    again = hub.load(hub.save(net, tmp_path / "m.safetensors"))
    assert again.head_config == net.head_config and (again.task.name, again.labels) == ("detect", LABELS)
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
    config = TASK.head_config(SPEC, DetectSettings(**asked), before)
    assert {name: config.get(name) for name in kept} == kept


@pytest.mark.parametrize(
    ("config", "said"),
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
def test_what_no_head_has_is_refused(config, said):
    """Files of others say these things."""
    with pytest.raises(InputError, match=said):
        hub.create_model(SPEC, task="detect", labels=LABELS, head_config=config)


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


@pytest.mark.parametrize("head", ["pyramid", "c4"])
def test_a_detector_in_training_mode_predicts_as_in_evaluation_mode(head):
    """The last stage of "c4", which head and trunk share, too."""
    net = hub.create_model("resnet18", task="detect", labels=LABELS, width=8, head_config={"form": head, "width": 16})
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
    (expected,), (found,) = run_model(net.eval(), pixels), run_model(net.train(), pixels)
    assert all(np.array_equal(found[name], expected[name]) for name in expected) and net.training


def test_why_a_box_has_its_class_and_not_another():
    net = model().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 48), dtype=np.uint8)
    output, x = run_model(net, pixels)[0], to_input(pixels, net.preprocess, torch.device("cpu"))
    (alone,) = TASK.explained(output, net.header, Question("dog", threshold=0.0, most=1))
    (other,) = TASK.explained(output, net.header, Question("dog", "cat", threshold=0.0, most=1))
    assert other.name == "dog rather than cat" and other.place == alone.place
    with torch.no_grad():
        odds, against = float(alone.evidence(net, x)), float(other.evidence(net, x))
        box = [torch.from_numpy(output["xyxy"][output["labels"] == 1][:1])]
        background, cat, dog = net.head.class_logits(net.features(x, last=net.head.last_level), box, (32, 48))[0].tolist()
    assert odds == pytest.approx(dog - np.logaddexp(background, cat), abs=1e-5) and against == pytest.approx(
        dog - cat, abs=1e-5
    )
    own = {"xyxy": output["xyxy"][:1], "labels": np.array([1]), "scores": np.array([0.6], np.float32)}
    both = {"xyxy": own["xyxy"].repeat(2, 0), "labels": np.array([1, 0]), "scores": np.array([0.6, 0.2], np.float32)}
    nothing = {name: values[:0] for name, values in own.items()}
    (first,) = TASK.explained(own, net.header, Question(None, "cat"))
    assert (first.chance(own), first.chance(both), first.chance(nothing)) == (1, pytest.approx(0.75), 0.5)
    assert TASK.explained(own, net.header, Question(None, "dog")) == []
    with pytest.raises(InputError, match="'dog' against itself"):
        TASK.explained(own, net.header, Question("dog", "dog"))
