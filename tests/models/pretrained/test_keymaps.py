"""Names to timm's and back; that the numbers agree too is in tests/nn/test_parity.py."""

import pytest
import timm
import torch

from resnets.errors import InputError
from resnets.models.pretrained import keymaps
from resnets.ship.hub import create_model


def state(name, **changes):
    with torch.device("meta"):
        model = create_model(name, **changes)
    return model.state_dict(), model.spec


def shapes(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_pre_activation_names_are_timms_and_come_back(depth):
    tensors, spec = state(f"preresnet{depth}", num_classes=7)
    with torch.device("meta"):
        theirs = timm.create_model(f"resnetv2_{depth}", num_classes=7).state_dict()
    assert shapes(keymaps.to_timm(tensors, spec)) == shapes(theirs)
    again = keymaps.from_timm(theirs)
    assert shapes(again) == shapes(tensors)
    assert again["fc.weight"].shape == (7, spec.num_features)


def test_the_last_norm_and_the_norms_of_blocks_keep_apart():
    tensors, spec = state("preresnet18")
    theirs = keymaps.to_timm(tensors, spec)
    assert "norm.weight" in theirs and "stages.3.blocks.1.norm2.running_var" in theirs
    assert "stages.1.blocks.0.downsample.conv.weight" in theirs
    assert "stages.0.blocks.0.conv1.weight" in theirs  # "conv1." begins a name of ours only in the stem


def test_without_a_classifier_there_is_none_to_reshape():
    tensors, spec = state("preresnet18", num_classes=0)
    assert shapes(keymaps.from_timm(keymaps.to_timm(tensors, spec))) == shapes(tensors)


@pytest.mark.parametrize("name", ["resnet50", "resnet18d", "seresnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_names_that_are_the_same_stay(name):
    tensors, spec = state(name)
    assert keymaps.from_timm(tensors) == keymaps.to_timm(tensors, spec) == dict(tensors)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("name", ["resnet18", "preresnet18"])
def test_prefixes_of_wrappers_are_taken_off(name, prefix):
    tensors, spec = state(name)
    theirs = {prefix + key: tensor for key, tensor in keymaps.to_timm(tensors, spec).items()}
    assert shapes(keymaps.from_timm(theirs)) == shapes(tensors)


@pytest.mark.parametrize(
    "name, changes, said",
    [
        ("resnet20_cifar", {}, "stem is small"),
        ("resnet50_v1", {}, "stride_in is 1x1"),
        ("plain18", {}, "shortcut is none"),
        ("resnet18", {"shortcut": "C"}, "shortcut is C"),
        ("resnet18", {"dims": 3}, "dims is 3"),
        ("preresnet18", {"stem": "deep"}, "stem is deep"),
        ("preresnet18", {"attention": "se"}, "attention is se"),
        ("resnet18", {"norm": "none"}, "norm is none"),
        ("resnet18", {"output_stride": 16}, "output_stride is 16"),
    ],
)
def test_networks_that_timm_does_not_have_are_refused(name, changes, said):
    tensors, spec = state(name, **changes)
    with pytest.raises(InputError, match=f"{name}.*{said}"):
        keymaps.to_timm(tensors, spec)


@pytest.mark.parametrize("name", ["resnet18", "resnet50_v1"])
def test_names_of_transformers_come_back(name):
    model = create_model(name, depths=(2, 1, 1, 1))
    theirs = keymaps.to_transformers(model.state_dict(), model.spec)
    assert {"resnet.embedder.embedder.convolution.weight", "resnet.encoder.stages.0.layers.1.layer.0.normalization.bias",
            "resnet.encoder.stages.1.layers.0.shortcut.convolution.weight", "classifier.1.bias"} <= theirs.keys()  # fmt: skip
    assert list(keymaps.renamed(keymaps.unwrapped(theirs), keymaps.TRANSFORMERS)) == list(model.state_dict())


@pytest.mark.parametrize("library", keymaps.BACK)
def test_blocks_that_no_library_has_are_refused(library):
    model = create_model("resnet10_wang", dims=1)
    with pytest.raises(InputError, match=f"{library} has no network like resnet10_wang"):
        keymaps.BACK[library](model.state_dict(), model.spec)
