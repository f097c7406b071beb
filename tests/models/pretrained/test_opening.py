"""What is said of weights and by whom; and misfits and hostile files, each with its reason."""

import io
import json
import zipfile

import pytest
import torch
import torchvision

from resnets.errors import InputError
from resnets.models import weights
from resnets.models.pretrained import facts, files
from resnets.models.pretrained.opening import open_weights
from resnets.models.spec import ResNetSpec
from resnets.ship import hub
from tests.models.pretrained.theirs import CifarNet, difference, randomise

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for")


def net(**settings):
    basic = torchvision.models.resnet.BasicBlock
    return randomise(torchvision.models.ResNet(basic, [1, 1, 1, 1], **{"num_classes": 4} | settings))


@pytest.fixture
def file(tmp_path):
    torch.save(net().state_dict(), tmp_path / "theirs.pth")
    return tmp_path / "theirs.pth"


# --- who says what ----------------------------------------------------------------------------------------------------------


def test_torchvisions_own_files_are_known_by_their_checksum(file, monkeypatch):
    """Whatever they are called: preprocessing, names, licence are those of its table."""
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    torch.save(net(num_classes=1000).state_dict(), file)
    monkeypatch.setattr(facts, "published", lambda: {facts.sha256(file)[:8]: ("resnet18", entry)})
    header = open_weights(file).header
    assert header.labels[0] == "tench" and header.preprocess.crop_pct == 0.875
    assert header.provenance["preprocess"] == "torchvision's table (ResNet18_Weights.IMAGENET1K_V1)"
    assert header.provenance["licence"].startswith("BSD-3-Clause") and header.provenance["training_data"] == "ImageNet-1K"


def test_torchvisions_table_has_both_generations():
    rows = {f"{name}.{entry.name}": start for start, (name, entry) in facts.published().items()}
    assert len(rows["resnet50.IMAGENET1K_V1"]) == 8 and "resnet50.IMAGENET1K_V2" in rows
    second = facts.of_torchvision(rows["resnet50.IMAGENET1K_V2"] + "0" * 56)
    assert second.preprocess.crop_pct == pytest.approx(224 / 232) and len(second.labels) == 1000


def test_a_file_that_nobody_knows_says_so(file):
    told = open_weights(file).header.provenance
    assert told["licence"].startswith("not stated") and told["training_data"] == "not stated"
    assert told["preprocess"] == "the defaults of torchvision" and told["labels"].startswith("numbers")
    assert told["sha256"] == facts.sha256(file) and told["source"] == str(file)


@pytest.mark.parametrize(
    "content",
    [
        "cat\ndog\nemu\nfox\n",
        '["cat", "dog", "emu", "fox"]',
        '{"1": "dog", "0": "cat", "2": "emu", "3": ["n1", "fox"]}',
    ],
)
def test_the_user_knows_best(content, file, tmp_path):
    names = tmp_path / ("names.txt" if content[0] == "c" else "names.json")
    names.write_text(content)
    header = open_weights(file, mean=(0.1, 0.2, 0.3), std=(1, 1, 1), labels=names).header
    assert header.labels == ("cat", "dog", "emu", "fox") and header.preprocess.mean == (0.1, 0.2, 0.3)
    assert header.provenance["preprocess"] == header.provenance["labels"] == "you"


def test_what_was_opened_is_saved_and_converted_with_its_terms(file, tmp_path):
    opened = hub.convert(file, tmp_path / "ours.safetensors", mean=(0.5,) * 3, std=(0.5,) * 3)
    model = hub.load(tmp_path / "ours.safetensors")
    assert model.header == opened.header and model.metadata["provenance"]["family"] == "torchvision"
    hub.convert(tmp_path / "ours.safetensors", tmp_path / "back.safetensors", to="timm")
    with weights._opened(tmp_path / "back.safetensors") as back:
        metadata = back.metadata()
    assert metadata["format"] == "pt" and metadata["sha256"] == opened.header.provenance["sha256"]
    assert hub.built(open_weights(tmp_path / "back.safetensors")).spec == model.spec


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_convert_to_torchvision_is_a_file_of_torchvisions(suffix, file, tmp_path):
    hub.convert(file, tmp_path / f"back{suffix}", to="torchvision")
    state = files.read(tmp_path / f"back{suffix}").tensors
    again = net()
    randomise(again, seed=3).load_state_dict(state)
    assert difference(hub.load(file), again, 65) < 1e-6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mean": (0.5,) * 3}, "--mean and --std belong together"),
        ({"mean": (0.5,), "std": (0.5,)}, "mean and std for 1 channels, and the network takes 3"),
        ({"labels": ("a", "b")}, "2 class names for 4 outputs"),
        ({"labels": "nowhere.txt"}, r"nowhere\.txt: no such file"),
        ({"model": "resnet50"}, "not a resnet50's"),
        ({"model": "resnet51"}, "no network is called 'resnet51'"),
    ],
)
def test_misfits_are_named(given, said, file):
    with pytest.raises(InputError, match=said):
        open_weights(file, **given)


@pytest.mark.parametrize(
    ("out", "given", "said"),
    [
        ("x.pth", {}, r"name the file to write x\.safetensors"),
        ("x.onnx", {"to": "timm"}, r"x\.safetensors or x\.pth"),
        ("x.safetensors", {"to": "keras"}, "cannot convert to 'keras'"),
    ],
)
def test_convert_refuses_what_it_cannot_write(out, given, said, file, tmp_path):
    with pytest.raises(InputError, match=said):
        hub.convert(file, tmp_path / out, **given)


def test_unknown_channels_need_a_mean(tmp_path):
    theirs = net()
    theirs.conv1 = torch.nn.Conv2d(5, 64, 7, 2, 3, bias=False)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(InputError, match=r"5 input channels, and nothing says.*--mean and --std"):
        open_weights(tmp_path / "theirs.pth")
    assert open_weights(tmp_path / "theirs.pth", mean=[0.5] * 5, std=[1] * 5).header.preprocess.size == (224, 224)


# --- files that are none ----------------------------------------------------------------------------------------------------


def saved_by_torch(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def zip_bomb():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    return stream.getvalue()


HOSTILE = {
    "a whole module": (lambda: saved_by_torch(net()), "a pickle that asks for torchvision.models.resnet.ResNet"),
    "a list": (lambda: saved_by_torch([torch.zeros(3)]), "no dictionary of tensors"),
    "numbers": (lambda: saved_by_torch({"epoch": 3}), "no dictionary of tensors"),
    "a transformer": (
        lambda: saved_by_torch({"encoder.attn.weight": torch.zeros(3, 3)}),
        "not the tensors of a supported library",
    ),
    "one tensor spread over much": (
        lambda: saved_by_torch({"conv1.weight": torch.zeros(1).expand(100_000, 100_000)}),
        "claim to be larger than the file",
    ),
    "a compressed archive": (zip_bomb, "a compressed archive"),
    "a sparse tensor": (lambda: saved_by_torch({"conv1.weight": torch.eye(3).to_sparse()}), "sparse or quantised|asks for"),
    "half a file": (lambda: saved_by_torch(net().state_dict())[:5000], "truncated or damaged"),
    "names that recurse": (
        lambda: saved_by_torch({"net": {"net": {"net": {"net": {"a": torch.zeros(2)}}}}}),
        "no dictionary",
    ),
    "a stage of a billion": (
        lambda: saved_by_torch({n.replace("layer2.0", "layer2.9999"): t for n, t in net().state_dict().items()}),
        "not part of|missing",
    ),
    "another kernel": (
        lambda: saved_by_torch(net().state_dict() | {"layer1.0.conv1.weight": torch.zeros(64, 64, 5, 5)}),
        r"layer1\.0\.conv1\.weight is \(64, 64, 5, 5\), expected \(64, 64, 3, 3\)",
    ),
    "a stem of 5": (lambda: saved_by_torch(net().state_dict() | {"conv1.weight": torch.zeros(64, 3, 5, 5)}), "5 wide"),
    "no width": (lambda: saved_by_torch(net().state_dict() | {"layer1.0.conv1.weight": torch.zeros(0, 64, 3, 3)}), "width=0"),
    "vectors for kernels": (
        lambda: saved_by_torch(net().state_dict() | {"conv1.weight": torch.zeros(64)}),
        "can be built here",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_with_the_reason(kind, tmp_path):
    make, said = HOSTILE[kind]
    path = tmp_path / "odd.pth"
    path.write_bytes(make())
    with pytest.raises(InputError, match=rf"odd\.pth: .*({said})"):
        open_weights(path)


def test_configs_that_are_no_json_are_as_good_as_none(tmp_path):
    torch.save(net().state_dict(), tmp_path / "pytorch_model.bin")
    for content in ("{", "[1, 2]", '{"architecture": "resnet10", "pretrained_cfg": {"mean": "x", "std": []}}', "[" * 100_000):
        (tmp_path / "config.json").write_text(content)
        assert open_weights(tmp_path).header.preprocess.mean == (0.485, 0.456, 0.406)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(InputError, match="model_type vit"):
        open_weights(tmp_path)


def test_the_tensors_of_a_small_network_keep_their_width(tmp_path):
    torch.save(randomise(CifarNet(2, "shortcut", "linear", widths=(8, 16))).state_dict(), tmp_path / "theirs.pth")
    spec = open_weights(tmp_path / "theirs.pth").header.spec
    assert spec == ResNetSpec(depths=(2, 2), width=8, stem="small", num_classes=10)
