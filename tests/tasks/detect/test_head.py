"""Detectors: losses for any number of objects, what is reported, both forms, and that they learn."""

import copy

import pytest
import torch
from torchvision.ops import box_iou

from resnets.engine import freeze
from resnets.engine.recipe import Recipe
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.spec import Level, ResNetSpec
from resnets.tasks.detect.head import Detecting, Detection, Detector, not_background, pooling
from resnets.tasks.detect.pyramid import Pyramid

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for")

SPEC = ResNetSpec(depths=(1, 1, 1, 1), width=8, num_classes=3)
CHEAP = {"width": 16, "region_width": 32, "proposals": (60, 30), "samples": 32}
TRUNKS = {
    "imagenet": {},
    "small stem": {"stem": "small", "depths": (1, 1, 1)},
    "pre, bottleneck": {"order": "pre", "block": "bottleneck"},
    "dilated": {"output_stride": 8},
    "keras": {"stem": "keras", "order": "pre", "stage_stride": "last"},
    "no norms": {"norm": "none"},
}


def detector(form, *, masks=False, trunk="imagenet"):
    torch.manual_seed(0)
    return Detector(zoo.change(SPEC, **TRUNKS[trunk]), Detecting(form=form, masks=masks, **CHEAP))


def target(num_objects, size=(70, 90), *, masks=False):
    corner = torch.rand(num_objects, 2) * torch.tensor([size[1] - 20.0, size[0] - 20.0])
    xyxy = torch.cat([corner, corner + 2 + 18 * torch.rand(num_objects, 2)], 1)
    found = {"xyxy": xyxy, "labels": torch.arange(num_objects) % 3}
    return found | ({"masks": torch.rand(num_objects, *size) > 0.5} if masks else {})


@torch.inference_mode()
@pytest.mark.parametrize("form", [pytest.param("pyramid", marks=pytest.mark.slow), "c4"])
def test_sixteen_bits_do_not_move_boxes(form):
    """Numbers of bfloat16 are 8 pixels apart from 1024 on; features may be such, boxes and scores may not."""
    model = detector(form, masks=True).eval()
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = model(torch.randn(1, 3, 90, 1100))
    for name in ("xyxy", "scores"):
        assert found[name].dtype == torch.float32 and (found[name] != found[name].bfloat16().float()).any()
    inside = found["xyxy"][(found["xyxy"] > 0).all(1) & (found["xyxy"][:, 2] < 1100)]
    assert len(inside) and (inside[:, 2] != inside[:, 2].bfloat16().float()).float().mean() > 0.5


@pytest.mark.parametrize("numbers", [(2, 5), (0, 3), (0, 0), (100, 1)], ids=str)
@pytest.mark.parametrize("form, masks", [("pyramid", True), ("c4", True), ("pyramid", False), ("c4", False)])
def test_losses_are_finite_for_any_number_of_objects(form, masks, numbers):
    model = detector(form, masks=masks)
    sizes = [(70, 90), (64, 75)]
    targets = [target(number, size, masks=masks) for number, size in zip(numbers, sizes, strict=True)]
    losses = model(torch.randn(2, 3, 70, 90), sizes, targets)
    parts = {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"} | ({"loss_mask"} if masks else set())
    assert set(losses) == parts | {"loss"}
    assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
    torch.testing.assert_close(losses["loss"], sum(losses[part] for part in sorted(parts)))
    losses["loss"].backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(torch.isfinite(grad).all() for grad in grads.values())
    assert grads["conv1.weight"].any() and grads["layer4.0.conv1.weight"].any()
    assert all(torch.isfinite(buffer).all() for buffer in model.buffers())
    if any(numbers):
        assert losses["loss_box_reg"] > 0 and losses["loss_rpn_box_reg"] > 0


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("form", ["pyramid", "c4"])
def test_any_trunk_reports_objects_inside_the_picture(form, trunk):
    model = detector(form, masks=True, trunk=trunk).eval()
    model.head.roi_heads.score_thresh = 0.0
    sizes = [(33, 50), (40, 47)]
    with torch.inference_mode():
        found = model(torch.randn(2, 3, 40, 50), sizes)
    for one, (height, width) in zip(found, sizes, strict=True):
        num = len(one["xyxy"])
        assert 0 < num <= 100
        assert one["xyxy"].dtype == one["scores"].dtype == torch.float32 and one["labels"].dtype == torch.int64
        assert one["xyxy"].shape == (num, 4) and one["labels"].shape == one["scores"].shape == (num,)
        assert (one["xyxy"] >= 0).all() and (one["xyxy"] <= torch.tensor([width, height, width, height])).all()
        assert one["labels"].min() >= 0 and one["labels"].max() < 3
        assert (one["scores"].diff() <= 0).all()
        assert one["masks"].shape == (num, height, width) and one["masks"].dtype == torch.bool


def test_regions_of_c4_come_out_at_seven_by_seven():
    for trunk, pooled in (("imagenet", 14), ("dilated", 7), ("small stem", 14), ("keras", 7)):
        model = detector("c4", trunk=trunk)
        level = model.spec.levels[-2]
        regions = torch.zeros(2, level.channels, *model.head.roi_heads.box_roi_pool.output_size)
        assert regions.shape[2:] == (pooled, pooled)
        assert model.head.last_stage(regions).shape == (2, model.spec.num_features, 7, 7)
        assert model.head.last_stage(regions[:0]).shape == (0, model.spec.num_features, 7, 7)


def test_the_last_stage_of_c4_is_the_trunks_own():
    """Its tensors stand once in the state dict, and a copy reads its own."""
    model = detector("c4").eval()
    names = list(model.state_dict())
    assert len({t.data_ptr() for t in model.parameters()}) == len(list(model.parameters()))
    assert not any("layer4" in name for name in names if name.startswith("head."))
    assert {name.split(".")[0] for name in names} == {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "head"}
    twin = copy.deepcopy(model)
    regions = torch.randn(2, 32, 14, 14)
    with torch.no_grad():
        before = twin.head.last_stage(regions)
        for parameter in model.layer4.parameters():
            parameter.zero_()
        assert torch.equal(twin.head.last_stage(regions), before)
        assert not torch.equal(model.head.last_stage(regions), before)


def test_frozen_norms_stay_as_they_are():
    recipe = Recipe(norm_stats="frozen", weights="some.safetensors")
    for form in ("pyramid", "c4"):
        model = detector(form)
        freeze.set_training(model, recipe, 0)
        before = {name: buffer.clone() for name, buffer in model.named_buffers()}
        model(torch.randn(1, 3, 64, 64), targets=[target(3, (64, 64))])["loss"].backward()
        assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
        assert model.bn1.weight.grad is not None


def test_what_has_no_area_does_not_count_and_what_is_to_be_ignored_is_no_background():
    model, x, clean = detector("pyramid"), torch.randn(1, 3, 64, 64), target(2, (64, 64))

    def loss(*boxes, ignore):
        extra = {
            "xyxy": torch.cat([clean["xyxy"], torch.tensor(boxes).reshape(-1, 4)]),
            "labels": torch.cat([clean["labels"], torch.zeros(len(boxes), dtype=torch.long)]),
            "ignore": torch.tensor([False, False, *[ignore] * len(boxes)]),
        }
        torch.manual_seed(1)
        return model(x, targets=[extra])

    plain = loss(ignore=False)
    assert loss((9.0, 9.0, 9.0, 20.0), (30.0, 30.0, 20.0, 40.0), ignore=False) == plain
    assert loss((90.0, 90.0, 99.0, 99.0), ignore=True) == plain  # nowhere near a region
    assert loss((0.0, 0.0, 64.0, 64.0), ignore=True)["loss_classifier"] != plain["loss_classifier"]


def test_background_within_a_place_to_be_ignored_is_not_learnt_from():
    regions = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [6, 0, 16, 10], [30, 30, 40, 40], [5, 5, 5, 5]])
    labels, places = torch.tensor([0, 3, 0, 0, 0]), torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    assert not_background(labels, regions, places).tolist() == [-1, 3, 0, 0, -1]
    assert not_background(labels, regions, places[:0]).tolist() == labels.tolist()


def test_padding_by_hand_is_the_padding_done_within():
    model = detector("pyramid").eval()
    model.head.roi_heads.score_thresh = 0.0
    x = torch.randn(1, 3, 93, 125)
    with torch.inference_mode():
        (one,), (two,) = model(x), model(torch.nn.functional.pad(x, (0, 3, 0, 3)), [(93, 125)])
    assert len(one["xyxy"]) and all(torch.equal(one[name], two[name]) for name in one)


def test_levels_and_anchors_follow_from_strides():
    assert [(level.name, level.stride) for level in Pyramid(zoo.get("resnet50")).levels] == [
        ("p2", 4), ("p3", 8), ("p4", 16), ("p5", 32), ("p6", 64),
    ]  # fmt: skip
    small = zoo.get("resnet20_cifar")
    assert [level.stride for level in Pyramid(small).levels] == [1, 2, 4, 8]

    def sizes(spec, form):
        return Detection(spec, Detecting(form=form), lambda x: x).rpn.anchor_generator.sizes

    assert sizes(zoo.get("resnet18"), "pyramid") == ((32,), (64,), (128,), (256,), (512,))
    assert sizes(small, "pyramid") == ((8,), (16,), (32,), (64,))
    assert sizes(zoo.get("resnet18"), "c4") == ((32, 64, 128, 256, 512),)
    assert sizes(small, "c4") == ((4, 8, 16, 32, 64),)


def test_regions_are_pooled_where_they_are_at_any_size():
    """From maps whose values are the positions themselves. torchvision's own guess would hold for the first batch only."""
    levels = (Level("p2", 1, 4), Level("p3", 1, 8))
    pool = pooling(levels, 7)
    for size in ((33, 50), (640, 480)):
        maps = {}
        for level in levels:
            grid = (torch.arange(640 // level.stride) + 0.0) * level.stride
            maps[level.name] = grid.expand(1, 1, len(grid), -1)
        boxes = torch.tensor([[8.0, 4, 24, 30], [0.0, 0, 400, 300]])
        pooled = pool(maps, [boxes], [size])
        torch.testing.assert_close(pooled.mean((1, 2, 3)), boxes[:, ::2].mean(1), rtol=0, atol=0.01)


def squares(num):
    """Dark pictures with one bright square each, red or green."""
    x, targets = torch.randn(num, 3, 48, 48) * 0.1, []
    for picture in x:
        side, label = int(torch.randint(10, 20, ())), int(torch.randint(2, ()))
        left, top = (int(n) for n in torch.randint(0, 48 - side, (2,)))
        picture[label, top : top + side, left : left + side] += 2
        xyxy = torch.tensor([[left, top, left + side, top + side]], dtype=torch.float32)
        targets.append({"xyxy": xyxy, "labels": torch.tensor([label])})
    return x, targets


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pyramid", "c4"])
def test_it_learns_to_find_squares(form):
    torch.manual_seed(0)
    spec = ResNetSpec(depths=(1, 1, 1), width=16, stem="small", num_classes=2)
    model = Detector(spec, Detecting(form=form, width=32, region_width=64, proposals=(100, 50), samples=32))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(80):
        x, targets = squares(8)
        optimiser.zero_grad()
        model(x, targets=targets)["loss"].backward()
        optimiser.step()
    x, targets = squares(20)
    with torch.inference_mode():
        found = model.eval()(x)
    hits = [
        len(one["xyxy"]) > 0 and one["labels"][0] == wanted["labels"][0] and box_iou(one["xyxy"][:1], wanted["xyxy"]) > 0.5
        for one, wanted in zip(found, targets, strict=True)
    ]
    assert sum(map(bool, hits)) >= 16


@pytest.mark.parametrize(
    "changes, said",
    [({"dims": 3}, "dims=3"), ({"num_classes": 0}, "num_classes=0"), ({"depths": (1,)}, "at least two stages")],
    ids=["volumes", "classes", "stages"],
)
def test_trunks_that_cannot_carry_it_are_refused(changes, said):
    for form in ("pyramid", "c4"):
        with pytest.raises(InputError, match=said):
            Detector(zoo.change(SPEC, **changes), Detecting(form=form))


def test_other_mistakes_are_said():
    with pytest.raises(InputError, match="one of: pyramid, c4"):
        Detecting(form="yolo")
    with pytest.raises(InputError, match="targets"):
        detector("pyramid")(torch.zeros(1, 3, 64, 64))
