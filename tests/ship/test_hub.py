"""Names, files and run directories to models; transfer of what fits."""

import subprocess
import sys

import pytest
import torch

import resnets
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.spec import ResNetSpec
from resnets.ship.hub import create_model, save, transfer

SMALL = ResNetSpec(name="small", depths=(1, 1), width=8, stem="small", num_classes=3)


def test_create_model_takes_names_specs_and_changes():
    with torch.device("meta"):
        model = create_model("resnet50", num_classes=10, in_chans=1, stem="small")
    assert model.spec == zoo.get("resnet50", num_classes=10, in_chans=1, stem="small")
    assert create_model(SMALL, in_chans=2).spec == zoo.change(SMALL, in_chans=2)


def test_preprocessing_says_how_many_channels_a_network_takes():
    """As `resnets.loaders` gives it; a spec says so itself."""
    grey = Preprocess(size=(8, 8), mean=(0.5,), std=(0.2,))
    model = create_model("resnet20_cifar", preprocess=grey, num_classes=2)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 2)
    assert create_model("resnet20_cifar", preprocess=grey, in_chans=3).spec.in_chans == 3
    assert create_model(SMALL, preprocess=grey).spec.in_chans == 3
    adapted = create_model("resnet20_cifar", pretrained=True, preprocess=grey)
    assert adapted.spec.in_chans == 1 and adapted.conv1.weight.shape[1] == 1


@pytest.mark.parametrize(
    "name, changes, said",
    [
        ("resnet51", {}, "resnet50"),
        ("resnet18", {"classes": 3}, "'classes'"),
        ("resnet18", {"dims": 4}, "dims"),
        ("resnet18", {"task": "juggle"}, "no task 'juggle'"),
    ],
)
def test_create_model_refuses_what_does_not_exist(name, changes, said):
    with pytest.raises(InputError, match=said):
        create_model(name, **changes)


def test_transfer_keeps_everything_for_the_same_labels(tmp_path):
    torch.manual_seed(0)
    source, model = create_model(SMALL), create_model(SMALL)
    model(torch.randn(4, 3, 9, 9))
    report = transfer(model, save(source, tmp_path / "source.safetensors"))
    assert sorted(report["loaded"]) == sorted(model.state_dict())
    assert report["re-initialised"] == report["ignored"] == []
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("labels", [["a", "b", "c"], ["a", "b"]], ids=["as many", "fewer"])
def test_transfer_leaves_the_head_for_other_labels(labels, tmp_path):
    torch.manual_seed(0)
    source, model = create_model(SMALL), create_model(SMALL, labels=labels)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = transfer(model, save(source, tmp_path / "source.safetensors"))
    assert sorted(report["re-initialised"]) == sorted(report["ignored"]) == ["fc.bias", "fc.weight"]
    assert set(report["loaded"]) == {name for name in before if not name.startswith("fc.")}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name] if name.startswith("fc.") else source.state_dict()[name]), name


def test_transfer_to_another_depth_takes_what_fits(tmp_path):
    path = save(create_model(SMALL), tmp_path / "source.safetensors")
    report = transfer(create_model(SMALL, depths=(2, 1)), path)
    assert report["ignored"] == []
    assert {name.rsplit(".", 2)[0] for name in report["re-initialised"]} == {"layer1.1"}


@pytest.mark.parametrize("changes", [{"width": 16, "in_chans": 1}, {"width": 12}])
def test_transfer_of_nothing_is_an_error(changes, tmp_path):
    path = save(create_model(SMALL), tmp_path / "source.safetensors")
    with pytest.raises(InputError, match=r"no tensor of its small fits into small"):
        transfer(create_model(SMALL, **changes), path)


@pytest.mark.parametrize(("in_chans", "how"), [(1, "by their sum"), (5, "repeated, and scaled")])
def test_transfer_brings_the_stem_to_other_channels(in_chans, how, tmp_path):
    """A picture whose channels are all alike gives the same output, however many there are."""
    torch.manual_seed(0)
    source, model = create_model(SMALL).eval(), create_model(SMALL, in_chans=in_chans).eval()
    report = transfer(model, save(source, tmp_path / "source.safetensors"))
    assert report["adapted"] == [f"conv1.weight (3 channels to {in_chans} {how})"]
    assert report["re-initialised"] == report["ignored"] == []
    grey = torch.rand(2, 1, 9, 9)
    with torch.no_grad():
        assert torch.allclose(source(grey.repeat(1, 3, 1, 1)), model(grey.repeat(1, in_chans, 1, 1)), atol=1e-5)


@pytest.mark.parametrize("dims", [1, 3])
def test_transfer_inflates_to_other_axes(dims, tmp_path):
    """What does not change along an axis gives the same output with and without it, far from the borders."""
    torch.manual_seed(0)
    source, model = create_model(SMALL, num_classes=0).eval(), create_model(SMALL, num_classes=0, dims=dims).eval()
    report = transfer(model, save(source, tmp_path / "source.safetensors"))
    assert len(report["adapted"]) == sum(tensor.ndim == 4 for tensor in source.state_dict().values())
    assert report["re-initialised"] == report["ignored"] == []
    line, size = torch.rand(1, 3, 40), 20
    flat = line[:, :, None].repeat(1, 1, size, 1)  # every row the same
    with torch.no_grad():
        middle = source.features(flat)["c3"][:, :, 5]
        if dims == 1:
            found = model.features(line)["c3"]
        else:
            found = model.features(flat[:, :, None].repeat(1, 1, size, 1, 1))["c3"][:, :, 5, 5]
    assert middle.std() > 0.01 and torch.allclose(found, middle, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "preresnet18"])
def test_an_inflated_network_sees_of_a_deep_picture_what_the_flat_one_sees(name, tmp_path):
    """Every level, in the middle of a picture repeated along depth, from where no convolution reaches the ends (I3D, section 2:
    kernels repeated along depth and divided by its length)."""
    torch.manual_seed(0)
    small = {"width": 8, "num_classes": 0, "depths": (1, 1, 1)}
    source, model = create_model(name, **small).eval(), create_model(name, **small, dims=3, in_chans=1).eval()
    transfer(model, save(source, tmp_path / "source.safetensors"))
    picture, depth = torch.rand(1, 1, 24, 20), 160
    with torch.no_grad():
        flat = source.features(picture.repeat(1, 3, 1, 1))
        deep = model.features(picture[:, :, None].repeat(1, 1, depth, 1, 1))
    for level, found in deep.items():
        assert flat[level].std() > 1e-3 and torch.allclose(found[:, :, found.shape[2] // 2], flat[level], atol=1e-5), level


def test_transfer_from_volumes_to_pictures_is_an_error(tmp_path):
    path = save(create_model(SMALL, dims=3), tmp_path / "source.safetensors")
    with pytest.raises(InputError, match="weights with 3 spatial axes"):
        transfer(create_model(SMALL), path)


def test_loading_and_running_needs_neither_torchvision_nor_the_loop(tmp_path):
    """Of the engine the types alone: settings and the contract."""
    path = save(create_model(SMALL), tmp_path / "model.safetensors")
    code = f"""
import sys, torch
from resnets.ship.hub import load
assert load({str(path)!r})(torch.zeros(2, 3, 9, 9)).shape == (2, 3)
unneeded = ("torchvision", "timm", "sklearn", "resnets.engine", "resnets.verbs")
types = {{"resnets.engine", *(f"resnets.engine.{{name}}" for name in ("recipe", "settings", "contract", "values"))}}
loaded = [module for module in sys.modules if any(f"{{module}}.".startswith(f"{{name}}.") for name in unneeded)]
print(sorted({{*loaded}} - types))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- with trained weights ---


def test_bundled_weights_and_a_new_head():
    whole = resnets.load("resnet20_cifar10")
    model = create_model("resnet20_cifar", pretrained=True)
    assert model.header == whole.header and model.training
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in model.state_dict().items())
    for classes in ({"labels": ["ant", "bee"]}, {"num_classes": 5}, {"labels": [f"class {n}" for n in range(10)]}):
        torch.manual_seed(0)
        other = create_model("resnet20_cifar", pretrained="resnet20_cifar10", **classes)
        same = {name for name, tensor in other.state_dict().items() if torch.equal(tensor, whole.state_dict()[name])}
        assert set(whole.state_dict()) - same == {"fc.weight", "fc.bias"}
        assert other.preprocess == whole.preprocess and other.decision == {} and "weights" in other.metadata["provenance"]
    assert create_model("resnet20_cifar", pretrained=True, num_classes=10).labels == whole.labels
    grey = create_model("resnet20_cifar", pretrained=True, in_chans=1)
    assert torch.equal(grey.conv1.weight, whole.conv1.weight.sum(1, keepdim=True)) and grey.preprocess.in_chans == 1


def test_weights_by_file_run_and_spec(tmp_path):
    torch.manual_seed(0)
    model = create_model(SMALL, labels=["a", "b", "c"])
    path = save(model, tmp_path / "model.safetensors")
    (tmp_path / "run").mkdir()
    save(model, tmp_path / "run/best.safetensors")
    for what in (path, str(path), tmp_path / "run"):
        found = create_model(SMALL, pretrained=what)
        assert found.labels == ("a", "b", "c") and torch.equal(found.fc.weight, model.fc.weight)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("resnet50", {"pretrained": True}, "no weights of resnet50 come with this package, only of resnet20_cifar, resnet"),
        ("resnet50", {"pretrained": "resnet20_cifar10"}, "the weights are a resnet20_cifar's, not a resnet50's"),
        ("resnet20_cifar", {"pretrained": "nowhere.pth"}, "no such file"),
        ("resnet20_cifar", {"pretrained": True, "task": "tag"}, "weights for the task classify, not tag; give task='classify'"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_told(name, settings, words):
    with pytest.raises(InputError, match=words):
        create_model(name, **settings)
