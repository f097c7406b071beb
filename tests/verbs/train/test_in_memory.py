"""The same pictures as arrays, Dataset, DataLoader, DataFrame and folder: the same bits. And a module of one's own."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, WeightedRandomSampler

import resnets
from resnets import tasks
from resnets.data.pictures.images import BadPicture
from resnets.data.sources import open_source
from resnets.errors import InputError
from resnets.verbs import train as training
from tests.engine.made import TINY
from tests.engine.running import assert_same, stopping

pandas = pytest.importorskip("pandas", reason="needs pandas: pip install pandas")

X = np.random.default_rng(0).integers(0, 256, (36, 8, 8, 3), dtype=np.uint8)
Y = np.repeat(["a", "b", "c"], 12)
SHORT = TINY | {"epochs": 1}


class Pictures(Dataset):
    """Items of `picture(pixels)` and their class."""

    classes = ("a", "b", "c")

    def __init__(self, picture=Image.fromarray, named=False):
        self.picture, self.named = picture, named

    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return self.picture(X[index]), str(Y[index]) if self.named else self.classes.index(Y[index])


def to_tensor(pixels):
    """As torchvision's ToTensor."""
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for index, (pixels, label) in enumerate(zip(X, Y, strict=True)):
        path = root / label / f"{index:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    return root


def frame(root):
    paths = [str(root / label / f"{index:02}.png") for index, label in enumerate(Y)]
    return pandas.DataFrame({"path": paths, "label": Y, "patient": np.arange(36) // 2})


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Without scoring and drawing, which are the same for all and take the most time here."""
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)


@pytest.fixture(scope="module")
def from_folder(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "folder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "finish", lambda job, source, best_epoch: job)
        training.train(folder, out=out, **SHORT)
    return out


FORMS = {
    "arrays": lambda root: (X, Y),
    "tensors": lambda root: (torch.from_numpy(X), torch.arange(36) // 12),
    "Dataset of PIL": lambda root: Pictures(),
    "Dataset of arrays": lambda root: Pictures(np.asarray, named=True),
    "Dataset of tensors": lambda root: Pictures(lambda pixels: torch.from_numpy(pixels).permute(2, 0, 1)),
    "Dataset of ToTensor": lambda root: Pictures(to_tensor),
    "Subset": lambda root: Subset(Pictures(), range(36)),
    "DataLoader": lambda root: DataLoader(Pictures(), batch_size=8, shuffle=True),
    "DataFrame": frame,
    "splits": lambda root: {"train": Pictures()},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_pictures_give_the_same_bits(form, folder, from_folder, tmp_path):
    settings = {name: value for name, value in SHORT.items() if (form, name) != ("DataLoader", "batch_size")}
    job = training.train(FORMS[form](folder), out=tmp_path / "run", **settings)
    assert_same(from_folder, tmp_path / "run")
    assert job.recipe.data == {"tensors": "arrays", "splits": "Dataset"}.get(form, form.split()[0].replace("Subset", "Dataset"))


def test_a_dataset_is_read_by_workers_and_taken_up_again(from_folder, tmp_path):
    with stopping(step=3):
        training.train(DataLoader(Pictures(), batch_size=8, num_workers=2), out=tmp_path / "run", **SHORT | {"workers": None})
    with pytest.raises(InputError, match=r"the data were in memory \(DataLoader\); give them again"):
        training.train(out=tmp_path / "run", resume=True)
    job = training.train(DataLoader(Pictures(), batch_size=8), out=tmp_path / "run", resume=True)
    assert job.recipe.workers == 2
    assert_same(from_folder, tmp_path / "run")


def test_columns_of_a_frame_are_those_of_a_list(folder):
    table = frame(folder).assign(split=["train"] * 30 + ["test"] * 6)
    source = open_source(table)
    assert {name: len(split) for name, split in source.splits.items()} == {"train": 30, "test": 6}
    assert source.unused == ("patient",) and source.name == "DataFrame"
    both = open_source({"train": table[:30], "val": (X[30:], Y[30:])})
    assert {name: len(split) for name, split in both.splits.items()} == {"train": 30, "val": 6}
    tags = table[["path"]].assign(labels=["a|b", "a", ""] * 12)
    assert open_source(tags, "tags").labels == ("a", "b")
    grades = tasks.get("grade").open(table.drop(columns="label"), {"target": "patient"}, in_chans=None, data_dir=None)
    assert grades.splits["test"].targets.values.tolist() == [15, 15, 16, 16, 17, 17] and grades.labels == ("patient",)
    with pytest.raises(InputError, match="the DataFrame, row 1: the path or the label is missing"):
        open_source(table.assign(label=["a", None] * 18))
    with pytest.raises(InputError, match="a list of pictures has no boxes"):
        open_source(table, "boxes")


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(X[0], 0)])


class Random(Pictures):
    def __getitem__(self, index):
        return np.random.permutation(X[index]), 0


def normalised(pixels):
    return (to_tensor(pixels) - 0.45) / 0.22


REFUSED = {
    "a stream": (Stream, "Stream has no length or positions.*give a map-style Dataset"),
    "a stream's loader": (lambda: DataLoader(Stream(), batch_size=2), "Stream has no length"),
    "what is random": (Random, "another picture when it is read again; take what is random out"),
    "three values": (lambda: [(X[0], 0, 1)] * 9, r"item 0 is 3 values; give a map-style Dataset whose items are"),
    "no class": (lambda: [(X[0], {"boxes": []})] * 9, "a class is dict"),
    "nothing": (lambda: [], "list has no items"),
    "a sampler": (
        lambda: DataLoader(Pictures(), sampler=WeightedRandomSampler([1.0] * 36, 36)),
        "a WeightedRandomSampler of its own.*balance=\"sampler\"",
    ),
    "a collate_fn": (lambda: DataLoader(Pictures(), batch_size=8, collate_fn=list), "a collate_fn of its own"),
    "a part": (
        lambda: DataLoader(Pictures(), sampler=torch.utils.data.RandomSampler(range(9))),
        "a RandomSampler of its own",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_run_could_not_repeat_is_refused(what):
    make, words = REFUSED[what]
    with pytest.raises(InputError, match=words):
        open_source(make())


def test_pictures_that_were_normalised_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"Pictures: item 0: a tensor of floats that are no multiples of 1/255.*give uint8"):
        open_source(Pictures(normalised))
    later = Pictures(lambda pixels: normalised(pixels) if (pixels == X[8]).all() else to_tensor(pixels))  # not looked at
    images = open_source(later).splits["train"].images
    with pytest.raises(BadPicture, match=r"train\[8\]: a tensor of floats that are no multiples"):
        images[8]


class Broken(Pictures):
    targets = (np.arange(36) // 12).tolist()

    def __getitem__(self, index):
        return (1 / 0 if index == 3 else super().__getitem__(index)[0]), self.targets[index]


def test_an_item_that_cannot_be_read_is_left_out_and_counted(tmp_path):
    job = training.train(Broken(), out=tmp_path / "run", **SHORT)
    assert list(job.bad.reasons) == ["train[3]"] and "division by zero" in job.bad.reasons["train[3]"]
    assert open_source([X, Y]).fingerprint() == open_source((X, Y)).fingerprint()


# --- a module of one's own ---


class Net(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, num_classes)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))


OWN = {name: value for name, value in SHORT.items() if name not in ("model", "depths", "width")} | {"ema": 0.9}
NAME = f"{Net.__module__}.Net"


def made(num_classes=3):
    torch.manual_seed(0)
    return Net(num_classes)


@pytest.mark.slow
def test_a_module_is_trained_resumed_saved_and_loaded(tmp_path, monkeypatch):
    monkeypatch.undo()
    net = made()
    before = copy.deepcopy(net.state_dict())
    run = resnets.train((X, Y), model=net, out=tmp_path / "whole", **OWN)
    with stopping(step=2):
        resnets.train((X, Y), model=made(), out=tmp_path / "parts", **OWN)
    with pytest.raises(
        InputError, match="Net is a class of its author's own, which no file holds; from Python, give a module of it: model="
    ):
        resnets.train((X, Y), out=tmp_path / "parts", resume=True)
    resnets.train((X, Y), model=Net(), out=tmp_path / "parts", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items()), "a copy is trained"
    assert {path.name for path in Path(run.path).iterdir()} >= {"report.html", "metrics.csv", "plots", "best.safetensors"}
    found = resnets.load(run.path, module=Net())
    weights = load_file(run.path / "best.safetensors")
    assert isinstance(found.net, Net) and not found.training and torch.equal(found.net.fc.weight, weights["net.fc.weight"])
    assert resnets.evaluate(found, (X, Y))["top1"] == resnets.evaluate(run.model, (X, Y))["top1"]
    assert found.predict(X[0])[0]["label"] in found.labels


def test_a_file_says_which_class_it_needs(tmp_path, monkeypatch):
    monkeypatch.undo()
    path = resnets.train((X, Y), model=made(), out=tmp_path / "run", **OWN).path / "last.safetensors"
    with pytest.raises(InputError, match=rf"needs the class {NAME}, which no file holds; give a module .*module=Net\(\.\.\.\)"):
        resnets.load(path)
    with pytest.raises(InputError, match=rf"net.fc.weight is \(3, 8\), expected \(4, 8\).*it needs {NAME} as it was trained"):
        resnets.load(path, module=Net(4))
    with pytest.raises(InputError, match=f"holds 'own/{NAME}', which is not built here.*given a module of its class"):
        resnets.evaluate(path, (X, Y))
    with pytest.raises(InputError, match="a network of this package, which needs no module"):
        resnets.load("resnet20_cifar10", module=Net())


class Two(Net):
    def forward(self, x):
        return super().forward(x), x


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (Net(5), "gives 5 scores for 3 classes"), (Two(), "answers in training with more than one score"),
        (nn.Flatten(), "has no parameters"), (nn.Conv2d(1, 3, 3), "does not take 8 x 8 pixels of 3 channels.*in_chans"),
        (nn.LazyLinear(3), "a lazy module without shapes"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_module_that_does_not_fit_is_refused_before_there_is_a_run(net, words, tmp_path):
    with pytest.raises(InputError, match=words):
        training.train((X, Y), model=net, out=tmp_path / "run", **OWN)
    assert not (tmp_path / "run").exists()


def test_a_model_of_this_package_goes_by_its_weights_unless_parts_were_replaced(tmp_path):
    spec = resnets.get_spec("resnet20_cifar", depths=(1, 1, 1), width=4)
    model = resnets.create_model(spec, labels=["a", "b", "c"])
    with pytest.raises(
        InputError, match=r"a model of this package: give its name; .* resnets\.save\(model, FILE\) and weights=FILE"
    ):
        training.train((X, Y), model=model, out=tmp_path / "run", **OWN)
    model.fc = nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 3))
    training.train((X, Y), model=model, out=tmp_path / "run", **OWN)
    found = resnets.load(tmp_path / "run", module=model)
    assert isinstance(found.net.fc, nn.Sequential) and found.predict(X[:2])[1]["label"] in "abc"
