"""One file out and in again, bit for bit; and every file that is none of ours answered by an `InputError`."""

import json
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import resnets.models.model
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models import header as saved
from resnets.models import weights
from resnets.models.nn.sync import synchronise
from resnets.models.spec import ResNetSpec
from resnets.ship.hub import create_model, load, save

SMALL = ResNetSpec(name="small", depths=(1, 1), width=8, stem="small", num_classes=3)
TRAVELS = {
    "post": {},
    "pre": {"order": "pre"},
    "SE": {"attention": "se"},
    "D": {"stem": "deep", "shortcut": "D"},
    "A": {"shortcut": "A", "drop_path": 0.1},
    "volumes": {"dims": 3, "in_chans": 1},
    "signals": {"dims": 1, "in_chans": 4},
    "plain": {"shortcut": "none"},
    "no norms": {"norm": "none"},
    "dilated": {"stem": "imagenet", "depths": (1, 1, 1, 1), "output_stride": 8},
    "v1": {"block": "bottleneck", "stride_in": "1x1"},
    "no classes": {"num_classes": 0},
}


def trained(spec=SMALL, **settings):
    """A model whose batch norms have seen something."""
    torch.manual_seed(0)
    model = create_model(spec, **settings)
    model(torch.randn(4, model.spec.in_chans, *[70] * model.spec.dims if model.spec.has_max_pool else [9] * model.spec.dims))
    return model


@pytest.fixture
def file(tmp_path):
    return save(trained(), tmp_path / "model.safetensors")


def header_of(path):
    raw = Path(path).read_bytes()
    return json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])["__metadata__"]


def rewrite(path, tensors=None, **parts):
    """The file again with other tensors, or with parts of the header changed (None: left out)."""
    header = {**header_of(path), **{key: value if value is None else json.dumps(value) for key, value in parts.items()}}
    save_file(load_file(path) if tensors is None else tensors, path, {k: v for k, v in header.items() if v is not None})
    return path


@pytest.mark.parametrize("kind", TRAVELS)
def test_everything_travels_bit_for_bit(kind, tmp_path):
    model = trained(SMALL, **TRAVELS[kind])
    spec = model.spec
    model.labels = tuple(f"Größe {n}\n\"'" for n in range(spec.num_classes))
    model.preprocess = Preprocess(size=(9, 7), resize="pad", mean=(0.1,) * spec.in_chans, std=(1 / 3,) * spec.in_chans)
    model.metadata = {"metrics": {"top1": 0.1 + 0.2, "epoch": 3}, "provenance": {"command": "resnets train", "seed": None}}
    again = load(save(model, tmp_path / "deep" / "model.safetensors"))
    assert (again.spec, again.task.name, again.labels) == (spec, "classify", model.labels)
    assert (again.preprocess, again.metadata) == (model.preprocess, model.metadata)
    assert not again.training
    one, two = model.state_dict(), again.state_dict()
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) and one[name].dtype == two[name].dtype for name in one)
    x = torch.randn(2, spec.in_chans, *[70 if spec.has_max_pool else 9] * spec.dims)
    with torch.no_grad():
        assert torch.equal(model.eval()(x), again(x))


def test_header_is_json_by_the_names_of_the_format(file):
    header = {key: json.loads(value) for key, value in header_of(file).items()}
    assert set(header) == {"format", "spec", "task", "preprocess", "labels", "metrics", "provenance"}
    assert header["format"] == "resnets/1" == saved.FORMAT
    assert header["spec"]["depths"] == [1, 1] and header["labels"] == ["0", "1", "2"]
    found = weights.read_header(file)
    assert (found.spec, found.task, found.labels, found.metrics) == (SMALL, "classify", ("0", "1", "2"), {})


def test_any_program_reads_the_tensors(file):
    assert set(load_file(file)) == set(create_model(SMALL).state_dict())


def test_saving_replaces_the_file_and_leaves_nothing_else(file):
    save(create_model(SMALL, num_classes=2), file)
    assert [path.name for path in file.parent.iterdir()] == ["model.safetensors"]
    assert load(file).spec.num_classes == 2


def test_saving_where_nothing_can_be_written_is_the_users_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save(create_model(SMALL), tmp_path / "file" / "model.safetensors")


class Own(resnets.models.model.Model):
    """A model with a forward pass of its own."""


def own_norms(model):
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.GroupNorm(1, child.num_features))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda model: setattr(model, "fc", nn.Linear(16, 7)), r"fc is Linear\(.*7.*\), not Linear\(.*3.*reset_classifier"),
        (lambda model: setattr(model, "fc", nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 3))), "fc is Sequential, not Linear;"),
        (lambda model: setattr(model.layer1, "0", nn.Identity()), "layer1.0 is Identity, not ResidualBlock;"),
        (lambda model: setattr(model.layer1[0], "relu", nn.GELU()), "layer1.0.relu is GELU, not ReLU"),  # with the same tensors
        (lambda model: model.layer2.append(nn.Identity()), "layer2.1 is Identity, not nothing"),
        (own_norms, "bn1 is GroupNorm, not BatchNorm; .* and 3 more"),
        (lambda model: setattr(model.bn1, "eps", 1e-3), "eps=0.001"),
        (lambda model: setattr(model.layer1, "forward", lambda x: x), "layer1 is Sequential with another forward"),
        (lambda model: model.register_buffer("mine", torch.zeros(3)), "mine is not part of the network"),
        (lambda model: setattr(model, "__class__", Own), "the model is Own, not Model"),
    ],
)
def test_a_changed_model_is_refused_when_it_is_saved_and_what_was_changed_is_said(change, words, tmp_path):
    model = create_model(SMALL)
    change(model)
    with pytest.raises(InputError, match=words):
        save(model, tmp_path / "model.safetensors")
    assert not any(tmp_path.iterdir())


def test_what_concerns_training_alone_may_be_changed(tmp_path):
    model = create_model(SMALL, drop_path=0.1)
    model.bn1.momentum, model.relu.inplace, model.fc = 0.01, False, nn.Linear(16, 3)
    synchronise(model)
    assert torch.equal(load(save(model, tmp_path / "model.safetensors")).fc.weight, model.fc.weight)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda model: model.fc], ids=["parallel", "compiled", "part"])
def test_what_is_no_model_is_told(wrap, tmp_path):
    with pytest.raises(InputError, match=r"no model of resnets.*model\.module"):
        save(wrap(create_model(SMALL)), tmp_path / "model.safetensors")


# --- what is not ours -------------------------------------------------------------------------------------------------


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def pickled(path, value):
    path.write_bytes(pickle.dumps(value))


def pickled_as_text(path, value):
    path.write_bytes(pickle.dumps(value, protocol=0))


def torch_saved(path, value):
    torch.save({"state_dict": value}, path)


def torch_saved_as_of_old(path, value):
    torch.save({"state_dict": value}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [pickled, pickled_as_text, torch_saved, torch_saved_as_of_old])
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_pickles_are_refused_and_not_run(write, name, tmp_path):
    write(tmp_path / name, Payload(tmp_path / "ran"))
    with pytest.raises(InputError, match=r"model\.\w+: (a pickle .* was not opened|not a weights file that can be read)"):
        load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("These are not the tensors you are looking for.")


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.safetensors", "x")


def picture(path):
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))


def enormous_header(path):
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")


def longer_header_than_file(path):
    path.write_bytes(struct.pack("<Q", 1000) + b"{}")


def broken_json(path):
    path.write_bytes(struct.pack("<Q", 8) + b'{"a": 1,')


def binary_header(path):
    path.write_bytes(struct.pack("<Q", 8) + b"{\xff\xfe\xfd\xff\xff\xff}")


@pytest.mark.parametrize(
    "write", [empty, text, zipped, picture, enormous_header, longer_header_than_file, broken_json, binary_header]
)
def test_other_files_are_refused_by_name(write, tmp_path):
    path = tmp_path / "odd.safetensors"
    write(path)
    with pytest.raises(InputError, match=r"odd\.safetensors: "):
        load(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.9999])
def test_truncated_file_is_refused(file, share):
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(InputError, match="truncated or damaged"):
        load(file)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"gone\.safetensors: no such file"):
        load(tmp_path / "gone.safetensors")
    with pytest.raises(InputError, match=r"gone\.safetensors: no such file"):
        weights.read_header(tmp_path / "gone.safetensors")


def test_another_format_is_refused_by_both_versions(file):
    with pytest.raises(InputError, match=r"resnets/2.*resnets/1"):
        load(rewrite(file, format="resnets/2"))


@pytest.mark.parametrize("metadata", [None, {"pt": '"yes"'}, {"format": "pt"}], ids=str)
def test_another_programs_file_is_refused(metadata, tmp_path):
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors", metadata)
    with pytest.raises(InputError, match=r"not the tensors of a supported library \(conv1\.weight"):
        load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("part", saved.PARTS[1:])
def test_header_without_a_part_is_refused(part, file):
    with pytest.raises(InputError, match=f"lacks {part}"):
        load(rewrite(file, **{part: None}))


@pytest.mark.parametrize(
    "spec",
    [
        [], "resnet18", 18, {"block": "other"}, {"unknown": 1}, {"depths": 5}, {"depths": []}, {"depths": ["2"]},
        {"width": "8"}, {"width": -8}, {"dims": 7}, {"drop_path": "x"}, {"stem_width": []}, {"groups": 0},
    ],
    ids=str,
)  # fmt: skip
def test_header_that_describes_no_network_is_refused(spec, file):
    with pytest.raises(InputError, match=r"model\.safetensors: the header does not describe a network"):
        load(rewrite(file, spec=spec))


def test_network_far_larger_than_the_file_is_refused_before_it_is_built(file):
    """In one process, with an end to waiting."""
    spec, paths = json.loads(header_of(file)["spec"]), []
    for changes in ({"width": 10**12}, {"in_chans": 10**15}, {"depths": [200_000]}):
        paths.append(str(file.with_stem(next(iter(changes)))))
        shutil.copy(file, paths[-1])
        rewrite(Path(paths[-1]), spec={**spec, **changes})
    code = f"""
from resnets.ship.hub import load
from resnets.models.spec import InputError
for path in {paths!r}:
    try: load(path)
    except InputError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr.splitlines()[-1]
    told = done.stdout.splitlines()
    assert len(told) == len(paths) and all("damaged" in line for line in told), told
    assert all(f"{Path(path).name}: " in line for path, line in zip(paths, told, strict=True)), told


@pytest.mark.parametrize(
    "parts",
    [
        {"labels": ["a"]}, {"labels": {}}, {"labels": 3}, {"preprocess": {"size": 5}}, {"preprocess": []},
        {"preprocess": {"mean": ["x"]}}, {"metrics": 3}, {"provenance": "none"}, {"task": "detect"}, {"task": ["classify"]},
    ],
    ids=str,
)  # fmt: skip
def test_other_absurd_parts_of_the_header_are_refused(parts, file):
    with pytest.raises(InputError):
        load(rewrite(file, **parts))


def test_unknown_task_is_named(file):
    with pytest.raises(InputError, match=r"no task 'juggle'.*classify"):
        load(rewrite(file, task="juggle"))


def under_another_name(tensors):
    tensors["module.layer1.0.conv1.weight"] = tensors.pop("layer1.0.conv1.weight")
    return r"layer1\.0\.conv1\.weight is missing"


def with_another(tensors):
    tensors["layer9.weight"] = torch.zeros(1)
    return r"layer9\.weight is not part of the network"


def of_another_shape(tensors):
    tensors["fc.weight"] = torch.zeros(4, 16)
    return r"fc\.weight is \(4, 16\), expected \(3, 16\)"


@pytest.mark.parametrize("tamper", [under_another_name, with_another, of_another_shape])
def test_tensors_of_another_network_are_named(tamper, file):
    tensors = load_file(file)
    said = tamper(tensors)
    with pytest.raises(InputError, match=said):
        load(rewrite(file, tensors))


def test_many_faults_are_counted(file):
    with pytest.raises(InputError, match=r"and \d+ more"):
        load(rewrite(file, {f"module.{name}": tensor for name, tensor in load_file(file).items()}))


@pytest.mark.parametrize(("wanted", "base"), [(0x80, 1 << 8), (0x4B50, 1 << 16)], ids=["pickle", "zip"])
def test_a_header_whose_length_begins_like_a_pickle_is_still_ours(tmp_path, wanted, base):
    path = tmp_path / "model.safetensors"
    model = create_model(SMALL)

    def length(padding):
        model.metadata["provenance"] = {"command": "x" * padding}
        return int.from_bytes(save(model, path).read_bytes()[:8], "little")

    padding = (wanted - length(0)) % base
    assert length(padding) % base == wanted
    assert load(path).metadata == model.metadata | {"metrics": {}}
