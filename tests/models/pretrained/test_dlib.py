"""dlib's network for faces: the same descriptors as dlib's own, and files that are damaged or hostile."""

import importlib.util
import math
import random
import resource
import sys

import numpy as np
import pytest
import torch

from resnets.errors import InputError
from resnets.files import in_package
from resnets.models import zoo
from resnets.models.pretrained import dlib
from resnets.models.pretrained.names import PACKAGED
from resnets.models.pretrained.opening import open_weights
from resnets.ship.hub import load, save

TINY = zoo.get("resnet29_dlib", norm="none", num_classes=0, width=2, depths=(1, 1, 1, 1, 1))
needs_dlib = pytest.mark.skipif(not importlib.util.find_spec("dlib"), reason="dlib is not installed")
needs_models = pytest.mark.skipif(
    not importlib.util.find_spec("face_recognition_models"), reason="face-recognition-models (100 MB) is not installed"
)


def whole(number):
    size = max(1, (abs(number).bit_length() + 7) // 8)
    return bytes([size | (128 if number < 0 else 0)]) + abs(number).to_bytes(size, "little")


def real(number):
    mantissa, exponent = math.frexp(number)
    return whole(int(mantissa * 2**24)) + whole(exponent - 24)


def text(words):
    return whole(len(words)) + words.encode()


def tensor(values):
    lengths = [len(values), 1, 1, 1] if len(values) else [0] * 4
    return b"".join(map(whole, [2, *lengths])) + np.asarray(values, "<f4").tobytes()


def written(spec, seed=0, mean=(122.782, 117.001, 104.298)):
    """A file of a network `spec` with random weights, as dlib writes it."""
    every, draw = list(dlib.layers(spec)), np.random.default_rng(seed)
    out = [whole(1), text("loss_metric_2"), real(0.04), real(0.6), *(whole(layer.version) for layer in reversed(every))]
    out += [text("input_rgb_image_sized"), *map(real, mean), whole(150), whole(150)]
    for layer in every:
        if not layer.name:
            continue
        values = draw.normal(0, 1 / math.sqrt(layer.num_weights / 64), layer.num_weights) if layer.num_weights else []
        if layer.name == "affine_":
            values = draw.uniform(0.5, 1.5, layer.num_weights)
        out += [text(layer.name), *map(whole, layer.first)]
        out += [tensor(values)] if layer.num_weights else []
        out += [*map(whole, layer.settings), *[real(1.0)] * layer.num_rates, b"110", *[tensor([])] * 3]
        out += [whole(1)] * (layer.version == dlib.FIRST)
    return b"".join(out)


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("dlib") / "random.dat"
    path.write_bytes(written(dlib.SPEC))
    return path


@needs_dlib
def test_descriptors_are_dlibs_own(random_file):
    import dlib as theirs

    chips = np.random.default_rng(1).integers(0, 256, (2, 150, 150, 3), np.uint8)
    own, network = load(random_file), theirs.face_recognition_model_v1(str(random_file))
    with torch.no_grad():
        found = own(own.inputs(list(chips)))
    expected = torch.tensor(np.array([network.compute_face_descriptor(chip) for chip in chips]))
    assert expected.abs().max() > 0.1
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_a_file_of_unknown_origin_says_so(random_file, tmp_path):
    opened = open_weights(random_file)
    assert "licence not stated; trained on not stated" in opened.told
    save(load(random_file), tmp_path / "kept.safetensors")
    assert load(tmp_path / "kept.safetensors").spec == dlib.SPEC
    with pytest.raises(InputError, match="leave out --model"):
        open_weights(random_file, model="resnet18")


@needs_models
def test_the_published_file_has_its_name_licence_and_training_data():
    told = open_weights("dlib/face").told
    assert told.startswith("resnet29_dlib from dlib_face_recognition_resnet_model_v1; licence CC0-1.0")
    assert "VGG Face" in told


def test_without_the_package_the_error_names_the_extra():
    with pytest.raises(InputError, match=r"no_such_package.*pip install 'resnets\[faces\]'"):
        in_package("no_such_package", "models/file.dat", "faces")


def test_a_tiny_network_is_read_whole(tmp_path):
    (tmp_path / "a.dat").write_bytes(written(TINY))
    tensors, mean = dlib.read(tmp_path / "a.dat", TINY)
    assert np.allclose(mean, (122.782, 117.001, 104.298), atol=1e-4)
    assert tensors["layer5.0.conv2.weight"].shape == (16, 16, 3, 3)
    assert all(values.isfinite().all() for values in tensors.values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda good: good[: len(good) // 2], "the end of the file stands where"),
        (lambda good: good + b"\0", "more stands where dlib's network for faces has its end"),
        (lambda good: good.replace(text("con_4"), text("con_5"), 1), "'con_5' stands where .* has 'con_4'"),
        (lambda good: good.replace(whole(150), whole(151), 1), "151 stands where .* has 150"),
        (lambda good: good.replace(tensor([]), whole(2) + whole(1 << 62) * 4), "the end of the file stands where .* a tensor"),
        (lambda good: good.replace(tensor([]), whole(2) + whole(-1) * 4, 1), "a tensor"),
        (lambda good: good.replace(real(0.04), whole(1) + whole(32000), 1), "infinity or NaN"),
        (lambda good: good.replace(b"110", b"11x", 1), "'11x' stands where .* has flags"),
    ],
)
def test_damage_is_named_with_its_place(tmp_path, change, said):
    (tmp_path / "a.dat").write_bytes(change(written(TINY)))
    with pytest.raises(InputError, match=rf"a\.dat, byte [\d,]+: .*{said}"):
        dlib.read(tmp_path / "a.dat", TINY)


def test_weights_that_are_no_numbers_are_refused(tmp_path, random_file):
    content = bytearray(random_file.read_bytes())
    at = content.index(text("con_4")) + 18  # behind the lengths
    content[at : at + 4] = np.float32(np.nan).tobytes()
    (tmp_path / "nan.dat").write_bytes(content)
    with pytest.raises(InputError, match=r"conv1\.weight holds values that are no numbers"):
        open_weights(tmp_path / "nan.dat")


def mutated(good, draw):
    """The content with a byte changed, a piece cut out, doubled or replaced by noise, or the end cut off."""
    content, at, num = bytearray(good), draw.randrange(len(good)), draw.randrange(1, 40)
    kind = draw.randrange(5)
    if kind == 0:
        content[at] ^= 1 << draw.randrange(8)
    elif kind == 1:
        del content[at : at + num]
    elif kind == 2:
        content[at:at] = content[at : at + num]
    elif kind == 3:
        content[at : at + num] = draw.randbytes(num)
    else:
        del content[at:]
    return bytes(content)


def test_mutated_files_are_refused_or_read(tmp_path):
    """Whatever is wrong with a file, it is an `InputError`, or the change was in a weight."""
    good, draw, path = written(TINY), random.Random(0), tmp_path / "a.dat"
    refused = 0
    for _ in range(300):
        path.write_bytes(mutated(good, draw))
        try:
            dlib.read(path, TINY)
        except InputError:
            refused += 1
    assert refused > 150


@needs_models
@pytest.mark.slow
def test_the_published_file_mutated_takes_no_more_memory_than_itself(tmp_path):
    good, draw = in_package(*PACKAGED["dlib/face"]).read_bytes(), random.Random(1)
    (tmp_path / "a.dat").write_bytes(good)
    open_weights(tmp_path / "a.dat")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):
        (tmp_path / "a.dat").write_bytes(mutated(good, draw))
        try:
            open_weights(tmp_path / "a.dat")
        except InputError:
            continue
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 3 * len(good)
