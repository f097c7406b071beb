"""Networks among other tensors, which are taken out by name, and networks that only look like ours."""

import pytest
import torch
import torchvision
from torchvision.models import detection

from resnets.errors import InputError
from resnets.models.pretrained.opening import open_weights
from resnets.models.weights import read_header
from tests.cli.made import said
from tests.models.pretrained.theirs import randomise

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for")
NET = randomise(torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=3))
NET.fc = torch.nn.Identity()
TRUNK = NET.state_dict()
SEQUENTIAL = torch.nn.Sequential(*list(NET.children())[:-1]).state_dict()


def under(prefix, tensors=TRUNK):
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def head(*names):
    return {name: torch.zeros(2, 2) for name in names}


# What is saved; the prefix that the error tells; what the provenance says was left out.
KEPT = {
    "an encoder and a projector": (under("encoder") | head("projector.0.weight"), "encoder", "projector (1)"),
    "two encoders": (
        {
            "state_dict": under("module.encoder_q")
            | under("module.encoder_k")
            | head("module.queue", "module.encoder_q.fc.0.weight")
        },
        "module.encoder_q",
        f"module.encoder_k ({len(TRUNK)}), module.queue (1), module.encoder_q.fc (1)",
    ),
    "student and teacher": (
        {"teacher": under("backbone") | head("head.mlp.weight"), "student": under("module.backbone"), "epoch": 3},
        "teacher.backbone",
        f"teacher.head (1), student ({len(TRUNK)})",
    ),
    "heads beside a network": ({"model_state": TRUNK | head("projector.0.weight")}, "''", "projector (1)"),
    "heads and a wrapper": (under("module") | head("module.prototypes.weight"), "module", "module.prototypes (1)"),
    "modules in a row": (under("net", SEQUENTIAL) | head("loss.centers"), "net", "loss (1)"),
}


@pytest.mark.parametrize("kind", KEPT)
def test_a_network_is_taken_out_by_the_prefix_that_the_error_tells(kind, tmp_path):
    tensors, prefix, left = KEPT[kind]
    torch.save(tensors, path := tmp_path / "theirs.pth")
    with pytest.raises(InputError, match=rf"theirs\.pth.*take one out by .*--prefix {prefix}`"):
        open_weights(path)
    opened = open_weights(path, prefix=prefix.strip("'"))
    assert (opened.header.provenance["prefix"], opened.header.provenance["left_out"]) == (prefix.strip("'"), left)
    assert opened.tensors.keys() == TRUNK.keys() and all(torch.equal(opened.tensors[name], TRUNK[name]) for name in TRUNK)


def test_a_prefix_above_the_only_network_and_one_of_nothing(tmp_path):
    torch.save(KEPT["student and teacher"][0], path := tmp_path / "theirs.pth")
    assert open_weights(path, prefix="student").header.provenance["prefix"] == "student.module.backbone"
    with pytest.raises(InputError, match=r"no tensor below 'encoder'; .* can be taken out: teacher\.backbone, student\.module"):
        open_weights(path, prefix="encoder")


def test_one_of_several_state_dicts_is_named_by_its_key(tmp_path):
    other = {name: torch.zeros_like(tensor) for name, tensor in TRUNK.items()}
    torch.save({"state_dict": TRUNK, "ema": other}, path := tmp_path / "theirs.pth")
    assert open_weights(path).tensors["conv1.weight"].any()
    assert not open_weights(path, prefix="ema").tensors["conv1.weight"].any()


def test_the_command_says_what_it_left_out_and_what_is_in_the_trunk_cannot_be(tmp_path, capsys):
    torch.save(KEPT["an encoder and a projector"][0], tmp_path / "theirs.pth")
    out, _ = said(capsys, f"convert {tmp_path / 'theirs.pth'} -o {tmp_path / 'ours.safetensors'} --prefix encoder")
    assert "left out    projector (1)" in out and "taken from  encoder" in out
    assert read_header(tmp_path / "ours.safetensors").spec.num_classes == 0
    torch.save(under("visual") | head("visual.conv2.weight", "text.weight"), tmp_path / "theirs.pth")
    with pytest.raises(InputError, match=r"conv2\.weight is not part of the network"):
        open_weights(tmp_path / "theirs.pth", prefix="visual")


def test_tensors_that_share_memory_are_counted_once(tmp_path):
    torch.save({"student": TRUNK, "teacher": dict(TRUNK)}, path := tmp_path / "theirs.pth")
    assert path.stat().st_size < 2 * sum(tensor.numel() * tensor.element_size() for tensor in TRUNK.values())
    assert open_weights(path, prefix="teacher").header.spec.depths == (1, 1, 1, 1)


# --- networks that do not exist here ----------------------------------------------------------------------------------------

DETECTORS = {
    "fasterrcnn_resnet50_fpn_v2": "fasterrcnn_resnet50_fpn_v2 or",
    "maskrcnn_resnet50_fpn_v2": "or maskrcnn_resnet50_fpn_v2",
    "keypointrcnn_resnet50_fpn": "Keypoint R-CNN",
    "retinanet_resnet50_fpn": "RetinaNet",
    "retinanet_resnet50_fpn_v2": "RetinaNet",
    "fcos_resnet50_fpn": "FCOS",
}


@pytest.mark.parametrize("name", DETECTORS)
def test_torchvisions_other_detectors_are_refused_by_their_names(name, tmp_path):
    with torch.device("meta"):
        names = getattr(detection, name)(weights=None, weights_backbone=None).state_dict()
    torch.save(dict.fromkeys(names, torch.zeros(1)), path := tmp_path / "theirs.pth")
    with pytest.raises(InputError, match=rf"{DETECTORS[name]}.* does not exist here; its trunk .*--prefix backbone\.body"):
        open_weights(path)


def test_the_trunk_of_a_detector(tmp_path):
    frozen = {name: tensor for name, tensor in TRUNK.items() if not name.endswith("num_batches_tracked")}
    torch.save(under("backbone.body", frozen) | head("head.classification_head.cls_logits.weight"), path := tmp_path / "a.pth")
    assert open_weights(path, prefix="backbone.body").header.provenance["left_out"] == "head (1)"


def inflated(depth):
    """TRUNK with kernels repeated over `depth` for the stem and over 1 for all others, as in SlowFast."""
    return {
        name: tensor[:, :, None].repeat(1, 1, depth if name == "conv1.weight" else 1, 1, 1) if tensor.ndim == 4 else tensor
        for name, tensor in TRUNK.items()
    }


VIDEO = {
    "a stem of another depth": (lambda: inflated(5), r"conv1\.weight is a kernel of 5 x 7 x 7, as in 3-D networks inflated"),
    "flat blocks": (lambda: inflated(7), r"layer1\.0\.conv1\.weight is a kernel of 1 x 3 x 3, as in 3-D networks inflated"),
    "torchvision's": (lambda: head("stem.0.weight", "layer1.0.conv1.0.weight"), "networks for videos"),
    "CLIP": (lambda: under("visual") | head("visual.attnpool.q_proj.weight"), "CLIP's ResNet"),
}


@pytest.mark.parametrize("kind", VIDEO)
def test_networks_that_only_look_like_ours(kind, tmp_path):
    make, words = VIDEO[kind]
    torch.save(make(), path := tmp_path / "theirs.pth")
    with pytest.raises(InputError, match=words):
        open_weights(path)
