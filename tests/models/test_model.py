"""A model: its head, its labels, and that it takes the treatment that people give torchvision's networks."""

import copy
import inspect
import io
import os
from pathlib import Path, PurePath

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import resnets.models.model
from resnets.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from resnets.errors import InputError
from resnets.models.model import default_preprocess
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import get
from resnets.ship.hub import create_model
from resnets.verbs.predict import predict

SMALL = ResNetSpec(name="small", depths=(1, 1), width=8, stem="small", num_classes=3)


def picture(size=(40, 50), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_classes_and_channels_are_those_asked_for():
    with torch.device("meta"):
        model = create_model("resnet18", num_classes=10, in_chans=1)
        assert model(torch.empty(2, 1, 96, 96)).shape == (2, 10)
    assert model.fc.out_features == 10 and model.conv1.in_channels == 1
    assert model.labels == tuple("0123456789")


def test_labels_set_the_number_of_classes():
    model = create_model(SMALL, labels=["cat", "dog"])
    assert (model.labels, model.spec.num_classes, model.fc.out_features) == (("cat", "dog"), 2, 2)
    assert SMALL.num_classes == 3


@pytest.mark.parametrize("labels, num_classes", [(["cat"], 2), (["cat", "dog"], 0), ([], 2)])
def test_labels_of_another_number_are_refused(labels, num_classes):
    with pytest.raises(InputError, match=f"{len(labels)} labels .* {num_classes} classes"):
        create_model(SMALL, labels=labels, num_classes=num_classes)


def test_reset_classifier_puts_a_fresh_head_and_leaves_the_trunk():
    model = create_model(SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.reset_classifier(["a", "b", "c"])  # as many as before, and yet other classes
    after = model.state_dict()
    assert list(after) == list(before)
    assert {name for name in after if not torch.equal(after[name], before[name])} == {"fc.weight", "fc.bias"}
    model.reset_classifier(5)
    assert (model.labels, model.spec.num_classes) == (tuple("01234"), 5)
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 5)
    model.reset_classifier(0)
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, model.spec.num_features)
    assert model.spec.num_params == sum(p.numel() for p in model.parameters())
    model.reset_classifier(2)
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 2)


@pytest.mark.parametrize("stem", ["small", "deep"])
def test_reset_classifier_follows_the_device(stem):
    with torch.device("meta"):
        model = create_model(SMALL, stem=stem)
    model.reset_classifier(4)
    assert model.fc.weight.device.type == "meta"


def test_surgery_works_as_on_torchvisions_networks():
    model = create_model(SMALL)
    model.fc = nn.Linear(model.fc.in_features, 7)
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 7)
    model.fc = nn.Identity()
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 16)
    seen = []
    model.layer2.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    model(torch.randn(2, 3, 8, 8))
    assert seen == [(2, 16, 4, 4)]


def test_deepcopy_is_a_model_of_its_own():
    model = create_model(SMALL, labels=["a", "b", "c"]).eval()
    twin = copy.deepcopy(model)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(model(x), twin(x)) and twin.labels == model.labels
    nn.init.zeros_(twin.conv1.weight)
    assert model.conv1.weight.any()


def test_state_dict_is_flat():
    starts = {name.split(".")[0] for name in create_model(SMALL).state_dict()}
    assert starts == {"conv1", "bn1", "layer1", "layer2", "fc"}


def test_default_preprocess_follows_the_spec():
    assert default_preprocess(get("resnet50")) == Preprocess(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    row = default_preprocess(get("resnet20_cifar", in_chans=1))
    assert (row.size, row.crop_pct, row.mean, row.std) == ((32, 32), 1.0, (0.5,), (0.5,))


def test_predict_names_classes_and_leaves_the_mode():
    torch.manual_seed(0)
    model = create_model(SMALL, labels=["a", "b", "c"]).train()
    pictures = [picture(seed=0), Image.fromarray(picture((30, 90), seed=1)), picture((8, 8), seed=2)]
    results = model.predict(pictures, topk=2, batch_size=2)
    assert model.training and len(results) == 3
    for result in results:
        assert [row["label"] for row in result["top"]] == ["abc"[row["index"]] for row in result["top"]]
        assert len(result["top"]) == 2 and result["label"] == result["top"][0]["label"]
        assert result["probability"] == result["top"][0]["probability"] >= result["top"][1]["probability"]
    assert int(model.bn1.num_batches_tracked) == 0  # it ran in evaluation mode
    assert model.predict(pictures[0], topk=2) == results[:1] != results[2:]
    assert model.predict([]) == []


def test_predict_reads_files(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "one.png")
    model = create_model(SMALL)
    expected = model.predict([picture()])
    assert model.predict(tmp_path / "one.png") == model.predict([str(tmp_path / "one.png")]) == expected
    with pytest.raises(InputError, match=r"none\.png"):
        model.predict([tmp_path / "none.png"])
    assert model.training  # even though it failed


def test_predict_takes_what_a_program_has_in_hand(tmp_path):
    """Paths of any kind, bytes, open files, one picture or many, an array of many: all the same answers."""
    path, model = tmp_path / "one.png", create_model(SMALL)
    Image.fromarray(picture()).save(path)
    data, expected = path.read_bytes(), model.predict(picture())
    with path.open("rb") as file, os.scandir(tmp_path) as entries:
        for given in (PurePath(path), list(entries), data, bytearray(data), io.BytesIO(data), file, np.array([str(path)])):
            assert model.predict(given) == expected, type(given)
    assert model.predict(np.stack([picture()] * 2)) == model.predict(iter([data, path])) == expected * 2


@pytest.mark.parametrize(
    "given, words",
    [
        (None, "NoneType is not an image; give a path"), ([None], "NoneType is not"), ({"a": 1}, "dict is not"),
        (torch.full((3, 8, 8), 0.123), "normalised"), (io.StringIO("x"), "mode 'rb'"), (b"", "empty"), (b"GIF", "known format"),
        ("https://127.0.0.1:1/a.jpg", "cannot download.*by hand"), (Path("http://host/a.jpg"), "http://host.*address"),
        ("file:///a.jpg", "without file://"), (np.zeros((2, 5, 8, 8), np.uint8), r"\(5, 8, 8\).*\(N, H, W, C\)"),
    ],
)  # fmt: skip
def test_predict_says_what_it_takes(given, words):
    with pytest.raises(InputError, match=words):
        create_model(SMALL).predict(given)


@pytest.mark.parametrize(
    "options", [{"topk": 0}, {"topk": 1.5}, {"topk": True}, {"batch_size": 0}, {"threshold": 2}, {"threshold": float("nan")}]
)
def test_predict_names_the_argument_that_is_out_of_range(options):
    with pytest.raises(InputError, match=f"^{next(iter(options))}="):
        create_model(SMALL).predict(picture(), **options)


def test_a_threshold_has_no_effect_on_a_classifier(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "one.png")
    for ask in (lambda: create_model(SMALL).predict(picture(), threshold=0.5),
                lambda: list(predict(create_model(SMALL), tmp_path, threshold=0.5))):  # fmt: skip
        with pytest.raises(InputError, match=r"^threshold=0\.5 has no effect .* classify"):
            ask()


def test_without_classes_the_answer_is_features():
    model = create_model(SMALL).eval()
    model.reset_classifier(0)
    with pytest.raises(InputError, match=r"model\(model\.inputs\(pictures\)\)"):
        model.predict(picture())
    x = model.inputs([picture(), picture((60, 70))])
    assert x.shape == (2, 3, 32, 32) and x.dtype == torch.float32 and model(x).shape == (2, 16)
    with pytest.raises(InputError, match="0 pictures"):
        model.inputs([])


@pytest.mark.parametrize("task, keys, asked", [("segment", {"classes"}, {}), ("detect", {"objects"}, {"threshold": 0.0})])
def test_a_dense_model_of_inputs_of_one_size_answers_in_each_pictures_own(task, keys, asked):
    model = create_model("resnet20_cifar", depths=(1, 1, 1), width=8, task=task, labels=["cat", "dog"])
    assert model.preprocess.resize == "crop"
    pictures = [picture((48, 64)), picture((40, 64))]
    rows = model.predict(pictures, **asked)
    assert [(row["height"], row["width"]) for row in rows] == [(48, 64), (40, 64)]
    assert all(row.keys() == {"height", "width"} | keys for row in rows)
    assert model.predict(pictures[1], **asked) == rows[1:]


def test_init_says_what_it_keeps():
    assert "labels" in inspect.getdoc(resnets.models.model.Model)
