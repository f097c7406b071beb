"""Segmentation: losses and figures by hand, windows and slabs beside the whole, and a head that comes back from its file."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnets.data.preprocess import Preprocess
from resnets.data.targets import IGNORE, Truth
from resnets.engine.contract import Task
from resnets.engine.recipe import Recipe
from resnets.errors import InputError
from resnets.models import zoo
from resnets.ship import hub
from resnets.tasks import get
from resnets.tasks.segment import task as segment
from resnets.tasks.segment.overlap import Counted
from resnets.tasks.segment.task import Segment

TASK = Segment()
LABELS = ("background", "cell", "wall")
SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=8, num_classes=3)
LOSSES = ("ce", "dice", "ce+dice", "focal")
COUNTS = np.array([700, 250, 50])


def batch(seed=0, ignored=0.3, size=(6, 5)):
    """Logits (2, 3, *size), and targets of which a share is to be ignored."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, *size, generator=generator) * 2
    targets = torch.randint(0, 3, (2, *size), generator=generator)
    targets[torch.rand(targets.shape, generator=generator) < ignored] = IGNORE
    return logits, targets


def loss(logits, targets, **settings):
    return TASK.criterion(Recipe(**settings), COUNTS)(logits, targets)["loss"]


def model(form=None, **changes):
    torch.manual_seed(0)
    preprocess = Preprocess(size=(24, 32), resize="keep", mean=(0.5,) * 3, std=(0.25,) * 3)
    made = hub.create_model(zoo.change(SPEC, **changes), task="segment", labels=LABELS, form=form, preprocess=preprocess)
    return made.eval()


def test_it_is_a_task_of_the_table():
    assert isinstance(get("segment"), Task) and TASK.heads[0] == "unet" and set(TASK.losses) == set(segment.LOSSES)


# --- losses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["none", "loss"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs_mean_over_what_is_known(smoothing, balance):
    """The weights are ENet's, 1 / ln(1.02 + share), brought to a mean of 1 over the pixels of the training split."""
    logits, targets = batch()
    weight = None
    if balance == "loss":
        raw = 1 / np.log(1.02 + COUNTS / 1000)
        weight = torch.tensor(raw / (raw * COUNTS).sum() * 1000, dtype=torch.float32)
        assert float(weight @ torch.tensor(COUNTS).float()) == pytest.approx(1000)
    expected = F.cross_entropy(logits, targets, weight=weight, ignore_index=IGNORE, label_smoothing=smoothing)
    assert float(loss(logits, targets, smoothing=smoothing, balance=balance)) == pytest.approx(float(expected), rel=1e-5)


def test_a_single_pixel_of_a_common_class_weighs_as_much_as_any():
    logits, targets = torch.zeros(1, 3, 2, 2), torch.full((1, 2, 2), IGNORE)
    targets[0, 0, 0] = 0  # the class whose weight is the least, below 1
    assert float(loss(logits, targets, balance="loss")) == pytest.approx(math.log(3), rel=1e-5)


def test_dice_by_hand():
    """Two classes, four pixels, one of them ignored: p of class 1 is .5 .5 1 and the truth 0 1 1."""
    sure = 60.0
    logits = torch.tensor([[[[0.0, 0, -sure, sure]], [[0.0, 0, sure, -sure]]]])
    targets = torch.tensor([[[0, 1, 1, IGNORE]]])
    zero = 1 - (2 * 0.5 + 1) / ((0.5 + 0.5 + 0) + 1 + 1)
    one = 1 - (2 * 1.5 + 1) / ((0.5 + 0.5 + 1) + 2 + 1)
    task_loss = TASK.criterion(Recipe(loss="dice"), np.array([1, 1]))(logits, targets)
    assert float(task_loss["loss"]) == pytest.approx((zero + one) / 2, rel=1e-5)


def test_dice_leaves_out_classes_that_are_nowhere():
    logits, targets = batch(ignored=0)
    targets[targets == 2] = 1
    probabilities = logits.softmax(1)
    each = []
    for index in (0, 1):
        truth, p = (targets == index).float(), probabilities[:, index]
        each.append(1 - (2 * (truth * p).sum() + 1) / (truth.sum() + p.sum() + 1))
    assert float(loss(logits, targets, loss="dice")) == pytest.approx(float(sum(each) / 2), rel=1e-5)


def test_focal_by_hand():
    logits, targets = batch()
    total, num = 0.0, 0
    for scores, truth in zip(logits.movedim(1, -1).reshape(-1, 3), targets.reshape(-1), strict=True):
        if truth != IGNORE:
            p = float(scores.softmax(0)[truth])
            total, num = total - (1 - p) ** 2 * math.log(p), num + 1
    assert float(loss(logits, targets, loss="focal")) == pytest.approx(total / num, rel=1e-5)


def test_a_sum_of_losses_names_its_parts():
    logits, targets = batch()
    found = TASK.criterion(Recipe(loss="ce+dice"), COUNTS)(logits, targets)
    assert set(found) == {"loss", "ce", "dice_loss"}
    assert float(found["loss"]) == pytest.approx(float(found["ce"] + found["dice_loss"]))
    assert set(TASK.criterion(Recipe(), COUNTS)(logits, targets)) == {"loss"}


@pytest.mark.parametrize("balance", ["none", "loss"])
@pytest.mark.parametrize("kind", LOSSES)
def test_what_is_ignored_has_no_gradient_and_nothing_known_is_no_loss(kind, balance):
    logits, targets = batch()
    logits.requires_grad_()
    loss(logits, targets, loss=kind, balance=balance).backward()
    known = (targets != IGNORE).unsqueeze(1).expand_as(logits)
    assert logits.grad.isfinite().all() and (logits.grad[~known] == 0).all() and (logits.grad[known] != 0).any()
    logits.grad = None
    found = loss(logits.to(torch.bfloat16), torch.full_like(targets, IGNORE), loss=kind, balance=balance)
    found.backward()
    assert found.dtype == torch.float32 and float(found.detach()) == 0 and (logits.grad == 0).all()


def test_an_auxiliary_head_has_four_tenths_of_a_cross_entropy():
    (logits, targets), (other, _) = batch(), batch(seed=1)
    both = loss((logits, other), targets)
    assert float(both) == pytest.approx(float(loss(logits, targets) + 0.4 * loss(other, targets)), rel=1e-6)


# --- figures -----------------------------------------------------------------------------------------------------------


def test_counts_of_batches_say_what_the_measures_say():
    meter, sums = Counted(LABELS, background=0), None
    for seed in range(3):
        logits, targets = batch(seed)
        found = TASK.count(logits, targets)["confusion"]
        sums = found if sums is None else sums + found
        for predicted, truth in zip(logits.argmax(1).numpy(), targets.numpy(), strict=True):
            meter.add(predicted, truth)
    expected = meter.result()
    assert sums.tolist() == expected["confusion"]
    found = TASK.summarise({"confusion": sums}, 6, LABELS)
    assert found == {name: pytest.approx(expected[name]) for name in TASK.metrics}
    everything = TASK.summarise({"confusion": sums}, 6, ("a", "b", "c"))  # none is background
    assert everything["dice"] == pytest.approx(np.mean([row["dice"] for row in expected["per_class"]]))


def test_of_nothing_known_the_figures_are_zero():
    assert TASK.summarise({"confusion": torch.zeros(3, 3, dtype=torch.int64)}, 2, LABELS) == dict.fromkeys(TASK.metrics, 0.0)


def test_validation_counts_each_picture_at_its_own_size():
    net = model()
    random = np.random.default_rng(0)
    x = torch.randn(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    target = random.integers(0, 3, (48, 50)).astype(np.uint8)
    target[:9] = IGNORE
    with torch.inference_mode():
        counts = TASK.measure(net, x, [Truth(0, (48, 50), target)], TASK.criterion(Recipe(), COUNTS))["confusion"]
        found = TASK.infer(net, x, (48, 50))
    assert found.shape == (48, 50) and int(counts.sum()) == 39 * 50
    assert counts[1, 2] == ((target == 1) & (found == 2)).sum()
    meter = TASK.meter(LABELS, net.form)
    own = TASK.judge(meter, Truth(0, (48, 50), target), found)
    assert own == pytest.approx(TASK.summarise({"confusion": counts}, 1, LABELS)["miou"]) and meter.background == 0


# --- pictures larger than memory -----------------------------------------------------------------------------------------


def test_infer_gives_the_pictures_own_size():
    net, x = model(), torch.randn(1, 3, 21, 34)
    with torch.inference_mode():
        logits = net(x)
        for whole in ((21, 34), (40, 30), (7, 90)):
            expected = F.interpolate(logits, whole, mode="bilinear").argmax(1)[0].numpy()
            assert np.array_equal(TASK.infer(net, x, whole), expected)


@pytest.mark.parametrize("whole", [(97, 45), (31, 20), (13, 300)], ids=str)
def test_a_large_answer_is_made_a_few_rows_at_a_time_and_is_the_same(whole, monkeypatch):
    logits = torch.randn(1, 3, 12, 17, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(logits, whole, mode="bilinear")[0].numpy()
    monkeypatch.setattr(segment, "WHOLE", 4 * whole[1])
    slabs = list(segment.enlarged(logits, whole))
    assert [part.stop for part, _ in slabs[:-1]] == [part.start for part, _ in slabs[1:]] and slabs[-1][0].stop == whole[0]
    assert max(scores.shape[1] for _, scores in slabs) == 4
    assert np.abs(np.concatenate([scores for _, scores in slabs], 1) - expected).max() < 1e-5


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(segment, "WHOLE", 400)
    monkeypatch.setattr(segment, "WINDOW", {2: 16})


class Local(torch.nn.Module):
    """Scores that depend on 5 x 5 pixels around each, so that a window changes them near its edges only."""

    spec, preprocess = SimpleNamespace(dims=2), SimpleNamespace(size=(64, 40))

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        first, last = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 3, 3, padding=1)
        self.layers = torch.nn.Sequential(first, torch.nn.ReLU(), last)
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape[2:]))
        return self.layers(x)


@torch.inference_mode()
def test_a_window_that_slides_says_what_the_whole_says_away_from_its_edges(small_windows):
    net, x = Local(), torch.randn(1, 3, 64, 40, generator=torch.Generator().manual_seed(1))
    expected = net.layers(x)[0].numpy()
    slabs = list(segment.logits_of(net, x, (64, 40)))
    assert set(net.seen) == {(16, 16)}, "never more than a window"
    assert [part.stop for part, _ in slabs[:-1]] == [part.start for part, _ in slabs[1:]] and slabs[-1][0].stop == 64
    assert max(scores.shape[1] for _, scores in slabs) <= 16
    found = np.concatenate([scores for _, scores in slabs], 1)
    # Each place is in the middle of some window, whose weight is by far the largest; at the edge of the picture all agree.
    assert np.abs(found - expected).mean() < 0.02 * np.abs(expected).mean()
    assert (found.argmax(0) == expected.argmax(0)).mean() > 0.99
    assert np.abs(found[:, :6, :6] - expected[:, :6, :6]).max() < 1e-5, "only one window sees a corner of the picture"


@torch.inference_mode()
@pytest.mark.parametrize("whole", [(128, 80), (32, 20), (65, 39)], ids=str)
def test_what_slides_is_brought_to_its_own_size_row_by_row(whole, small_windows):
    net, x = Local(), torch.randn(1, 3, 64, 40, generator=torch.Generator().manual_seed(1))
    at_input = TASK.infer(net, x, (64, 40))
    expected = F.interpolate(torch.from_numpy(at_input)[None, None], whole, mode="nearest-exact")[0, 0].numpy()
    assert np.array_equal(TASK.infer(net, x, whole), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_the_same_under_autocast(loss):
    """As training computes them: sums over pixels want 32 bits."""
    logits, targets = 8 * torch.randn(2, 3, 40, 50).round(decimals=1), torch.randint(0, 3, (2, 40, 50))
    targets[:, :3] = IGNORE
    criterion = TASK.criterion(Recipe(task="segment", loss=loss), np.ones(3))
    exact = criterion(logits, targets)["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(criterion(logits, targets)["loss"], exact)


# --- heads and files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [{"head": "unet"}, {"head": "fcn", "auxiliary": True}, {"head": "deeplabv3"}], ids=str)
def test_the_form_of_the_head_comes_back_from_the_file(form, tmp_path):
    net = model(form)
    again = hub.load(hub.save(net, tmp_path / "m.safetensors"))
    assert again.form == form and again.task.name == "segment" and again.labels == LABELS
    x = torch.randn(2, 3, 20, 24)
    with torch.inference_mode():
        assert torch.equal(net(x), again(x)) and net(x).shape == (2, 3, 20, 24)
    if form.get("auxiliary"):
        logits, other = net.train()(x)
        assert logits.shape == other.shape and net.head_names == ("head", "aux")


@pytest.mark.parametrize(
    ("before", "asked", "expected"),
    [
        ({}, None, {"head": "unet"}),
        ({}, "fcn", {"head": "fcn"}),
        ({"head": "deeplabv3", "auxiliary": True}, None, {"head": "deeplabv3", "auxiliary": True}),
        ({"head": "deeplabv3", "auxiliary": True}, "fcn", {"head": "fcn", "auxiliary": True}),
    ],
    ids=str,
)
def test_the_head_of_weights_goes_on_unless_another_is_asked_for(before, asked, expected):
    assert TASK.form(SPEC, Recipe(task="segment", head=asked), before) == expected


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"head": "segformer"}, "no segmentation head 'segformer'; use one of: unet, fcn, deeplabv3"),
        ({"head": ["unet"]}, "no segmentation head"),
        ({"heads": "unet"}, "no setting heads; it has head and auxiliary"),
    ],
    ids=str,
)
def test_what_no_head_has_is_refused(form, said):
    with pytest.raises(InputError, match=said):
        model(form)


def test_predict_says_what_is_in_a_picture():
    net = model()
    pixels = np.random.default_rng(0).integers(0, 256, (18, 30, 3), dtype=np.uint8)
    (found,) = net.predict(pixels)
    assert (found["height"], found["width"]) == (18, 30) and not net.training
    assert sum(row["share"] for row in found["classes"]) == pytest.approx(1, abs=1e-5)
    shares = [row["share"] for row in found["classes"]]
    assert shares == sorted(shares, reverse=True) and {row["label"] for row in found["classes"]} <= set(LABELS)
    many = net.predict([pixels, pixels[:9]])
    assert many[0] == found and many[1]["height"] == 9


def test_other_classes_get_a_new_head_of_the_same_form():
    net = model({"head": "fcn"})
    net.reset_classifier(("a", "b"))
    assert net.form == {"head": "fcn"} and net(torch.zeros(1, 3, 16, 16)).shape == (1, 2, 16, 16)
    assert dataclasses.replace(net.spec, num_classes=3) == SPEC
