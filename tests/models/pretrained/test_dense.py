"""torchvision's detectors and segmenters under our names: the same outputs, and back again."""

import re
from pathlib import Path

import pytest
import torch
import torchvision
from torchvision.models import detection, segmentation
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import FrozenBatchNorm2d

from resnets.errors import InputError
from resnets.models.pretrained.dense import Dense, from_torchvision, to_torchvision
from resnets.models.spec import ResNetSpec
from resnets.ship import hub
from resnets.tasks.detect.head import Detecting, Detector
from resnets.tasks.segment.head import Segmenter
from tests.models.pretrained.theirs import randomise

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for")

FILE = Path("theirs.pth")
NEW = {"weights": None, "weights_backbone": None}
LEAST = 0.02
FEW = {"rpn_pre_nms_top_n_test": 100, "rpn_post_nms_top_n_test": 100, "box_score_thresh": LEAST}


def segmenter(dense):
    with torch.device("meta"):
        model = Segmenter(dense.spec, dense.kind, auxiliary=dense.auxiliary).eval()
    model.load_state_dict(dense.tensors, assign=True)
    return model


def detector(dense):
    detecting = Detecting(masks=dense.kind == "maskrcnn", proposals=(2000, 100), least_score=LEAST)
    model = Detector(dense.spec, detecting).eval()
    model.load_state_dict(dense.tensors)
    return model


@torch.inference_mode()
def assert_same_logits(theirs, model, *sizes):
    for size in sizes:
        x = torch.randn(2, 3, *size)
        expected, found = theirs(x), model(x)
        assert list(found) == list(expected)
        for name, logits in expected.items():
            assert logits.shape == (2, 21, *size) and logits.std() > 0.01
            torch.testing.assert_close(found[name] / logits.std(), logits / logits.std(), rtol=0, atol=1e-4)


@torch.inference_mode()
def their_detections(theirs, x, sizes):
    """What torchvision's parts say of a padded batch, before pictures are brought back to another size."""
    features, images = theirs.backbone(x), ImageList(x, sizes)
    # Its guess of the levels' scales, from the first batch alone, takes the padding for part of the picture.
    for pool in (theirs.roi_heads.box_roi_pool, theirs.roi_heads.mask_roi_pool):
        if pool is not None:
            pool.scales = None
    regions, _ = theirs.rpn(images, features)
    found, _ = theirs.roi_heads(features, regions, sizes)
    for one, size in zip(found, sizes, strict=True):
        if "masks" in one:
            one["masks"] = paste_masks_in_image(one["masks"], one["boxes"], size)[:, 0] >= 0.5
    return found


def assert_same_detections(theirs, model, *sizes, num_classes):
    for size in sizes:
        torch.manual_seed(size[0])
        x = torch.randn(2, 3, *[-(-n // 32) * 32 for n in size])
        several = [size, (size[0] - 3, size[1] - 8)]
        with torch.inference_mode():
            found = model(x, several)
        for one, expected in zip(found, their_detections(theirs, x, several), strict=True):
            assert len(one["xyxy"]) >= 5 and one["labels"].max() < num_classes
            clear = one["scores"] > LEAST + 1e-3  # at the threshold rounding decides
            pairs = partners(one, expected)[clear]
            assert clear.sum() == (expected["scores"] > LEAST + 1e-3).sum() == len(set(pairs.tolist()))
            torch.testing.assert_close(one["xyxy"][clear], expected["boxes"][pairs], rtol=0, atol=1e-2)
            assert torch.equal(one["labels"][clear] + 1, expected["labels"][pairs])
            torch.testing.assert_close(one["scores"][clear], expected["scores"][pairs], rtol=0, atol=1e-4)
            if "masks" in expected:
                assert 0 < expected["masks"].float().mean() < 1
                assert (one["masks"][clear] != expected["masks"][pairs]).float().mean() < 1e-3


def partners(one, expected):
    """For each of our detections the nearest of theirs, for equal scores may change places."""
    ours, theirs = (torch.cat([boxes.double(), 1e3 * labels[:, None]], 1) for boxes, labels in (
        (one["xyxy"], one["labels"] + 1), (expected["boxes"], expected["labels"])
    ))  # fmt: skip
    return torch.cdist(ours, theirs).argmin(1)


def assert_comes_back(dense, theirs):
    state = theirs.state_dict()
    back = to_torchvision(dense)
    assert {name for name in back if "num_batches_tracked" not in name} == {n for n in state if "num_batches_tracked" not in n}
    assert all(torch.equal(tensor, state[name]) for name, tensor in back.items() if name in state)
    theirs.load_state_dict(back)


@pytest.mark.parametrize(
    "kind, auxiliary",
    [
        ("fcn", True),
        pytest.param("fcn", False, marks=pytest.mark.slow),
        pytest.param("deeplabv3", True, marks=pytest.mark.slow),
    ],
)
def test_segmenters(kind, auxiliary):
    make = getattr(segmentation, f"{kind}_resnet50")
    with torch.device("meta"):
        theirs = make(**NEW, num_classes=21, aux_loss=auxiliary)
    theirs = randomise(theirs.to_empty(device="cpu"))
    dense = from_torchvision(theirs.state_dict(), FILE)
    assert (dense.kind, dense.auxiliary) == (kind, auxiliary)
    assert (dense.spec.name, dense.spec.output_stride, dense.spec.num_classes) == ("resnet50", 8, 21)
    assert_same_logits(theirs, segmenter(dense), (64, 64), (75, 53))
    assert_comes_back(dense, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("kind, num_classes", [("fasterrcnn", 91), ("fasterrcnn", 21), ("maskrcnn", 91)])
def test_detectors(kind, num_classes):
    theirs = randomise(getattr(detection, f"{kind}_resnet50_fpn")(**NEW, num_classes=num_classes, **FEW))
    spread_scores(theirs)
    dense = from_torchvision(theirs.state_dict(), FILE)
    assert (dense.kind, dense.spec.name, dense.spec.num_classes) == (kind, "resnet50", num_classes - 1)
    assert_same_detections(theirs, detector(dense), (96, 128), (93, 125), num_classes=num_classes - 1)
    assert_comes_back(dense, theirs)


def spread_scores(theirs):
    """Random scores of 90 classes are all alike: let some objects stand out."""
    with torch.no_grad():
        theirs.roi_heads.box_predictor.cls_score.weight.mul_(8)
        theirs.rpn.head.bbox_pred.weight.mul_(0.2)
        theirs.roi_heads.box_predictor.bbox_pred.weight.mul_(0.2)


def frozen(eps):
    """A Faster R-CNN over resnet18 with torchvision's frozen norms, one of whose variances is nearly zero."""
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, norm_layer=FrozenBatchNorm2d)
    theirs = randomise(detection.FasterRCNN(backbone, 5, **FEW))
    torch.manual_seed(1)
    for norm in (module for module in theirs.modules() if isinstance(module, FrozenBatchNorm2d)):
        for name, least, most in (
            ("weight", 0.5, 1),
            ("running_var", 0.5, 1.5),
            ("bias", -0.5, 0.5),
            ("running_mean", -0.5, 0.5),
        ):
            getattr(norm, name).uniform_(least, most)
        norm.weight[0], norm.running_var[0] = 1e-6, 1e-10
    overwrite_eps(theirs, eps)
    spread_scores(theirs)
    return theirs.eval()


@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_frozen_norms(eps):
    theirs = frozen(eps)
    dense = from_torchvision(theirs.state_dict(), FILE, norm_eps=eps)
    assert dense.spec.name == "resnet18"
    assert_same_detections(theirs, detector(dense), (96, 128), (93, 125), num_classes=4)


def filled(dense, task, **head_config):
    """A model of a task with these weights."""
    net = hub.create_model(dense.spec, task=task, head_config=head_config).eval()
    net.load_state_dict(dense.tensors)
    return net


def test_detectors_as_models_of_the_task(tmp_path):
    theirs = frozen(1e-5)
    net = filled(from_torchvision(theirs.state_dict(), FILE), "detect", proposals=(2000, 100), least_score=LEAST)
    again = hub.load(hub.save(net, tmp_path / "m.safetensors"))

    def model(x, sizes):
        return again(x, [{"size": torch.tensor(size)} for size in sizes])

    assert_same_detections(theirs, model, (96, 128), (93, 125), num_classes=4)


@pytest.mark.parametrize("kind", ["fcn", "deeplabv3"])
def test_segmenters_as_models_of_the_task(kind, tmp_path):
    """Over a trunk of four blocks."""
    trunk = torchvision.models.resnet.ResNet(
        torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], replace_stride_with_dilation=[False, True, True]
    )
    make = {"fcn": segmentation.fcn._fcn_resnet, "deeplabv3": segmentation.deeplabv3._deeplabv3_resnet}[kind]
    theirs = randomise(make(trunk, 21, True)).eval()
    dense = from_torchvision(theirs.state_dict(), FILE)
    net = filled(dense, "segment", head=dense.kind, auxiliary=dense.auxiliary)
    again = hub.load(hub.save(net, tmp_path / "m.safetensors"))
    assert dense.kind == kind and dense.auxiliary
    assert_same_logits(
        theirs, lambda x: {"out": again(x), "aux": again.aux(again.features(x), x.shape[2:])}, (64, 64), (75, 53)
    )


def old_name(name):
    """As torchvision wrote it before layers had norms beside them."""
    name = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", name).replace("head.conv.0.0.", "head.conv.")
    return re.sub(r"mask_head\.(\d)\.0\.", lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}.", name)


def test_old_names_and_wrappers():
    with torch.device("meta"):
        state = detection.maskrcnn_resnet50_fpn(**NEW).state_dict()
    old = {f"module.{old_name(name)}": tensor for name, tensor in state.items() if "num_batches" not in name}
    assert "module.roi_heads.mask_head.mask_fcn4.bias" in old and "module.rpn.head.conv.weight" in old
    dense, again = from_torchvision(state, FILE), from_torchvision(old, FILE)
    assert dense.kind == again.kind == "maskrcnn" and dense.spec == again.spec
    assert dense.tensors.keys() == again.tensors.keys()


@pytest.mark.parametrize(
    "make, said",
    [
        (torchvision.models.resnet18, "not a detection or segmentation network"),
        (lambda: segmentation.lraspp_mobilenet_v3_large(**NEW), "not a detection or segmentation network"),
        (lambda: detection.retinanet_resnet50_fpn(**NEW), "not a detection or segmentation network"),
    ],
    ids=["classifier", "mobilenet", "retinanet"],
)
def test_others_are_refused(make, said):
    with torch.device("meta"):
        state = make().state_dict()
    with pytest.raises(InputError, match=said):
        from_torchvision(state, FILE)


def test_what_torchvision_does_not_have_does_not_go_back():
    spec = ResNetSpec(block="bottleneck", depths=(3, 4, 6, 3), num_classes=4)
    with torch.device("meta"):
        c4 = Detector(spec, Detecting(form="c4")).state_dict()
        unet = Segmenter(ResNetSpec(output_stride=8), "unet").state_dict()
        fcn = Segmenter(spec, "fcn").state_dict()
    for kind, own, tensors, said in (
        ("fasterrcnn", spec, c4, "not a fasterrcnn"),
        ("fcn", ResNetSpec(output_stride=8), unet, "not a fcn"),
        ("fcn", spec, fcn, "output_stride is 32"),
    ):
        with pytest.raises(InputError, match=said):
            to_torchvision(Dense(kind, own, tensors))


@pytest.mark.parametrize("kind", ["fasterrcnn", "fcn"])
def test_a_file_of_torchvision_is_a_model(tmp_path, kind):
    theirs = (
        detection.fasterrcnn_resnet50_fpn(**NEW, num_classes=4) if kind == "fasterrcnn" else segmentation.fcn_resnet50(**NEW)
    )
    path = tmp_path / "theirs.pth"
    torch.save(randomise(theirs).state_dict(), path)
    model = hub.load(path)
    ours = hub.load(hub.save(model, tmp_path / "ours.safetensors"))
    assert ours.header == model.header
    x = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        if kind == "fcn":
            assert (model.task.name, model.head_config) == ("segment", {"head": "fcn", "auxiliary": False})
            torch.testing.assert_close(ours(x), theirs.eval()(x)["out"], rtol=0, atol=1e-3)
        else:
            assert (model.task.name, model.labels) == ("detect", ("0", "1", "2"))
            (expected,) = their_detections(theirs.eval(), x, [(64, 96)])
            (found,) = ours(x)
            assert len(expected["scores"]) and torch.equal(found["labels"] + 1, expected["labels"])
            torch.testing.assert_close(found["xyxy"], expected["boxes"], rtol=0, atol=1e-2)
