"""MONAI's networks with random weights, saved and opened here, give the same outputs."""

import pytest
import torch

from resnets.errors import InputError
from resnets.models.pretrained.opening import open_weights
from resnets.ship import hub
from tests.models.pretrained.theirs import difference, randomise

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def resnet():
    pytest.importorskip("monai")
    from monai.networks.nets import resnet

    return resnet


def opened(theirs, path, prefix="", **given):
    torch.save({"state_dict": {prefix + name: tensor for name, tensor in theirs.state_dict().items()}}, path)
    rule = {"mean": [0.5] * theirs.conv1.in_channels, "std": [1.0] * theirs.conv1.in_channels}
    return hub.built(open_weights(path, **rule, **given))


SETTINGS = {
    "as it comes": {"block": "basic", "layers": [1, 1, 1, 1]},
    "A": {"block": "basic", "layers": [2, 1, 2, 1], "shortcut_type": "A"},
    "A, bottlenecks": {"block": "bottleneck", "layers": [1, 2, 1, 1], "shortcut_type": "A"},
    "bottlenecks": {"block": "bottleneck", "layers": [1, 1, 2, 1], "bias_downsample": False},
    "narrow": {"block": "basic", "layers": [1, 1, 1, 1], "widen_factor": 0.25},
    "pictures": {"block": "basic", "layers": [1, 1, 1, 1], "spatial_dims": 2},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_networks_with_a_classifier(kind, resnet, tmp_path):
    common = {"block_inplanes": [16, 32, 64, 128], "n_input_channels": 2, "num_classes": 5}
    theirs = randomise(resnet.ResNet(**common, **SETTINGS[kind]))
    model = opened(theirs, tmp_path / "theirs.pth")
    dims = SETTINGS[kind].get("spatial_dims", 3)
    assert difference(theirs, model, 24, 33, chans=2, dims=dims) < 1e-4
    assert model.header.provenance["family"] == "MONAI or MedicalNet" and model.spec.dims == dims


@pytest.mark.parametrize("settings", [{"shortcut_type": "A"}, {"shortcut_type": "B", "bias_downsample": False}], ids=["A", "B"])
def test_medicalnets_weights_have_no_classifier_and_stride_in_the_stem(settings, resnet, tmp_path):
    """As its authors keep them, and as MONAI's own loader wants them (`conv1_t_stride=2, feed_forward=False`).

    Channels of zeros lie behind theirs and around ours, so that option A gives the same features in another order.
    """
    common = {"block_inplanes": [16, 32, 64, 128], "n_input_channels": 1, "feed_forward": False}
    net = resnet.ResNet("basic", [1, 1, 1, 1], conv1_t_stride=2, **common, **settings)
    theirs = randomise(net)
    model = opened(theirs, tmp_path / "theirs.pth", "module.")
    one, two = (lambda x, net=net: net(x).sort(1).values for net in (theirs, model))
    assert difference(one, two, 48, 65, chans=1, dims=3) < 1e-4
    unstrided = opened(theirs, tmp_path / "theirs.pth", hidden={"stem_stride": 1})
    assert unstrided.spec.stem_stride == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet10", "resnet18", "resnet34", "resnet50"])
def test_whole_networks(name, resnet, tmp_path):
    theirs = randomise(getattr(resnet, name)(spatial_dims=3, n_input_channels=1, num_classes=4))
    model = opened(theirs, tmp_path / "theirs.pth")
    assert difference(theirs, model, 32, 33, chans=1, dims=3) < 1e-4
    assert model.spec.name == (name if name != "resnet10" else "resnet")


def test_volumes_need_a_mean(resnet, tmp_path):
    theirs = resnet.ResNet("basic", [1, 1, 1, 1], [8, 16, 32, 64], n_input_channels=1)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(InputError, match="nothing says how its inputs are normalised"):
        open_weights(tmp_path / "theirs.pth")


def test_a_narrow_stem_leaves_too_much_open(resnet, tmp_path):
    theirs = resnet.ResNet("basic", [1, 1, 1, 1], [8, 16, 32, 64], n_input_channels=1, conv1_t_size=3, no_max_pool=True)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(InputError, match="not 7 wide"):
        open_weights(tmp_path / "theirs.pth", mean=[0.5], std=[1])
