"""Keras Applications' networks with random weights, saved as Keras saves them, give the same outputs here."""

import os
import re

import h5py
import numpy as np
import pytest
import torch

from resnets.errors import InputError
from resnets.models.pretrained.keras import present_name
from resnets.models.pretrained.opening import open_weights
from resnets.ship import hub
from tests.models.pretrained.theirs import difference

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for", "ignore::DeprecationWarning")
VERSIONS = {"v1": False, "v2": True}
WRITE = {
    "h5 of a model": lambda net, path: net.save(path / "theirs.h5"),
    "h5 of weights": lambda net, path: net.save_weights(path / "theirs.weights.h5"),
    "keras": lambda net, path: net.save(path / "theirs.keras"),
}


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def randomised(net):
    rng = np.random.default_rng(0)
    for layer in net.layers:
        for value in layer.weights:
            kind = value.path.rsplit("/", 1)[1]
            if kind == "kernel":
                bound = (3 / np.prod(value.shape[:-1])) ** 0.5
                value.assign(rng.uniform(-bound, bound, value.shape))
            else:
                low, high = (0.5, 1.5) if kind in ("gamma", "moving_variance") else (-0.5, 0.5)
                value.assign(rng.uniform(low, high, value.shape))
    return net


@pytest.fixture(scope="module")
def nets(keras):
    """A short network of each version, built by the functions that build the whole ones."""
    from keras.src.applications import resnet

    def stack(block, last):
        def stages(x):
            x = block(x, 12, 2, name="conv2", **last[0])
            x = block(x, 24, 2, name="conv3")
            x = block(x, 48, 3, name="conv4")
            return block(x, 96, 2, name="conv5", **last[1])

        return stages

    one = stack(resnet.stack_residual_blocks_v1, ({"stride1": 1}, {}))
    two = stack(resnet.stack_residual_blocks_v2, ({}, {"stride1": 1}))
    common = {"weights": None, "include_top": False, "pooling": "avg", "input_shape": (None, None, 3)}
    return {
        "v1": with_classifier(keras, resnet.ResNet(one, False, True, **common), 5),
        "v2": with_classifier(keras, resnet.ResNet(two, True, True, **common), 5),
    }


def with_classifier(keras, trunk, num_classes):
    """The applications' own top wants one size of pictures; this one takes any. Logits."""
    return randomised(keras.Model(trunk.input, keras.layers.Dense(num_classes, name="predictions")(trunk.output)))


def outputs(net, version):
    """What `net` says of pictures (N, 3, H, W) in [0, 1], preprocessed as its authors do."""

    def run(x):
        pixels = 255 * x.permute(0, 2, 3, 1)
        if version == "v2":
            return net(pixels / 127.5 - 1)
        return net(pixels.flip(-1) - torch.tensor([103.939, 116.779, 123.68]))

    return run


def ours(model):
    mean, std = (torch.tensor(values)[:, None, None] for values in (model.preprocess.mean, model.preprocess.std))
    return lambda x: model((x - mean) / std)


@pytest.mark.parametrize("form", WRITE)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_of_keras(version, form, nets, tmp_path):
    WRITE[form](nets[version], tmp_path)
    model = hub.built(open_weights(next(tmp_path.iterdir())))
    assert difference(outputs(nets[version], version), ours(model), 64, 97) < 1e-4
    assert (model.spec.stage_stride, model.spec.num_classes) == ("last" if version == "v2" else "first", 5)
    assert model.header.provenance["family"] == "Keras Applications"


@pytest.mark.parametrize("version", VERSIONS)
def test_layers_without_names_go_by_their_order(version, nets, tmp_path):
    """As Keras 3 wrote .weights.h5 before it kept the names of layers."""
    nets[version].save_weights(tmp_path / "theirs.weights.h5")
    with h5py.File(tmp_path / "theirs.weights.h5", "a") as file:
        for group in file["layers"].values():
            group["vars"].attrs.pop("name", None)
    model = hub.built(open_weights(tmp_path / "theirs.weights.h5"))
    assert difference(outputs(nets[version], version), ours(model), 65) < 1e-4


def name_of_2015(layer):
    """The name of a layer of Keras Applications as it was before 2019; blocks are letters."""
    single = {"conv1_conv": "conv1", "conv1_bn": "bn_conv1", "predictions": "fc1000"}
    if layer in single:
        return single[layer]
    stage, block, place, kind = re.fullmatch(r"conv(\d)_block(\d)_(\d)_(conv|bn)", layer).groups()
    branch = {"0": "1", "1": "2a", "2": "2b", "3": "2c"}[place]
    return f"{'res' if kind == 'conv' else 'bn'}{stage}{'_abc'[int(block)]}_branch{branch}"


# By what follows the layer's name: Keras 2's variables, and Keras 1's.
VARIABLES = {
    "keras 2": lambda layer, variable: f"{variable}:0",
    "keras 1": lambda layer, variable: (
        f"{layer}_"
        + {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}.get(variable, variable)
        + ":0"
    ),
}


@pytest.mark.parametrize("names", VARIABLES)
def test_the_names_and_the_epsilon_of_2015(names, nets, tmp_path):
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        for layer in nets["v1"].layers:
            name = name_of_2015(layer.name) if layer.weights else ""
            for weight in layer.weights:
                variable, value = weight.path.rsplit("/", 1)[1], np.asarray(weight.numpy(), np.float32)
                if variable == "moving_variance":
                    value = value - np.float32(1e-3 - 1.001e-5)  # so that outputs are those of the net
                file[f"{name}/{VARIABLES[names](name, variable)}"] = value
    model = hub.built(open_weights(tmp_path / "theirs.h5"))
    assert difference(outputs(nets["v1"], "v1"), ours(model), 64, 97) < 1e-4
    assert model.header.provenance["family"] == "Keras Applications (of 2015)" and model.spec.stride_in == "1x1"


def test_blocks_of_deeper_networks_of_2015():
    assert [present_name(f"res4{block}_branch2c") for block in ("a", "b", "f", "b1", "b22")] == [
        f"conv4_block{number}_3_conv" for number in (1, 2, 6, 2, 23)
    ]


def test_who_says_mean_and_deviation_speaks_of_red_green_blue(nets, tmp_path):
    nets["v1"].save_weights(tmp_path / "theirs.weights.h5")
    half = torch.tensor(0.5)
    model = hub.built(open_weights(tmp_path / "theirs.weights.h5", mean=[0.5] * 3, std=[0.5] * 3))
    assert difference(lambda x: nets["v1"](((x - half) / half).permute(0, 2, 3, 1)), ours(model), 65) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2"])
def test_whole_networks(keras, name, tmp_path):
    trunk = getattr(keras.applications, name)(weights=None, include_top=False, pooling="avg", input_shape=(None, None, 3))
    net = with_classifier(keras, trunk, 1000)
    net.save_weights(tmp_path / "theirs.weights.h5")
    model = hub.built(open_weights(tmp_path / "theirs.weights.h5"))
    version = "v2" if name.endswith("V2") else "v1"
    assert difference(outputs(net, version), ours(model), 96, 129) < 1e-4
    depth = name.removeprefix("ResNet").removesuffix("V2")
    assert model.spec.name == (f"preresnet{depth}" if version == "v2" else f"resnet{depth}_v1")
    assert model.labels[0] == "tench"


@pytest.mark.parametrize("form", WRITE)
def test_mlperf_tinys_resnet_8_is_refused_by_its_padding(keras, form, tmp_path):
    layers = keras.layers
    start = layers.Input((32, 32, 3))
    x = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(start))
    for width, stride in ((16, 1), (32, 2)):
        y = layers.BatchNormalization()(layers.Conv2D(width, 3, strides=stride, padding="same")(x))
        y = layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same")(y))
        x = layers.add([y, x if stride == 1 else layers.Conv2D(width, 1, strides=stride, padding="same")(x)])
    WRITE[form](keras.Model(start, layers.Dense(10)(layers.GlobalAveragePooling2D()(x))), tmp_path)
    with pytest.raises(InputError, match=r"MLPerf Tiny's ResNet-8; TensorFlow pads its strided convolutions on one side"):
        open_weights(next(tmp_path.iterdir()))


# --- hostile files ----------------------------------------------------------------------------------------------------------


def test_links_out_of_the_file_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["kernel"] = np.ones((7, 7, 3, 64), np.float32)
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["conv1_conv/conv1_conv/bias"] = np.ones(64, np.float32)
        file["conv1_conv/conv1_conv/kernel"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "kernel")
        file["round"] = h5py.SoftLink("/")
    with pytest.raises(InputError, match=r"'conv1\.weight' is missing|conv1\.0\.weight"):
        open_weights(tmp_path / "theirs.h5")


def test_tensors_larger_than_the_file_are_refused(tmp_path):
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file.create_dataset("conv1_conv/kernel", (10_000, 10_000, 10), "f4", chunks=True, compression="gzip")
    with pytest.raises(InputError, match="claims to be larger than the file"):
        open_weights(tmp_path / "theirs.h5")


def test_data_in_another_file_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(4 * 100))
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["padding"] = np.zeros(1000, np.float32)
        file.create_dataset("conv1_conv/bias", (100,), "f4", external=[(str(tmp_path / "secret"), 0, 400)])
    with pytest.raises(InputError, match="is in another file"):
        open_weights(tmp_path / "theirs.h5")


def test_a_group_within_itself_ends(tmp_path):
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["again"] = file["/"]
        file["conv1_conv/bias"] = np.zeros(64, np.float32)
    with pytest.raises(InputError):
        open_weights(tmp_path / "theirs.h5")


def test_half_a_file_is_refused(nets, tmp_path):
    nets["v1"].save_weights(tmp_path / "theirs.weights.h5")
    raw = (tmp_path / "theirs.weights.h5").read_bytes()
    (tmp_path / "theirs.weights.h5").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match="truncated or damaged"):
        open_weights(tmp_path / "theirs.weights.h5")
