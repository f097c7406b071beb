"""What detection and segmentation refuse before a step, and what other commands say to them."""

import pytest
from PIL import Image

import resnets
from resnets.engine.distributed import Processes
from resnets.errors import InputError
from resnets.verbs import train as training
from tests.data.made_dense import boxed, segments
from tests.tasks.dense.made import KINDS, TINY, train

REFUSED = [
    ("unet", {"mixup": 0.2}, "mixup=0.2: the task segment has no such setting, only classify"),
    ("pyramid", {"cutmix": 1.0}, "cutmix=1: the task detect has no such setting, only classify"),
    ("unet", {"random_erase": 0.5}, "random_erase=0.5: the task segment has no such setting"),
    ("pyramid", {"auto_augment": "randaugment"}, "auto_augment=randaugment: the task detect has no such setting"),
    ("unet", {"crop": "resized"}, "crop=resized: the task segment has no such setting"),
    ("pyramid", {"cache": "memory"}, "cache=memory: the task detect has no such setting"),
    ("unet", {"grow_from": 0.5}, "grow_from=0.5: the task segment has no such setting"),
    ("unet", {"normalise": "pixel"}, "normalise='pixel': use one of data, imagenet"),
    ("unet", {"balance": "sampler"}, "balance='sampler': use one of none, loss"),
    ("pyramid", {"balance": "loss"}, "balance=loss: the task detect has no such setting, only classify"),
    ("pyramid", {"smoothing": 0.1}, "smoothing=0.1: the task detect has no such setting"),
    ("pyramid", {"ignore_index": 3}, "ignore_index=3: the task detect has no such setting, only segment"),
    ("unet", {"masks": True}, "masks=True: the task segment has no such setting, only detect"),
    ("unet", {"folds": 3, "fold": 1}, "folds=3: .* has a val split; folds of boxes and masks need all in train"),
    ("unet", {"rotation": 10}, "rotation=10: pictures cannot use it"),
    ("unet", {"train_size": "8,8,8"}, "train_size=8,8,8: give one side, or 2"),
    ("unet", {"loss": "bce"}, r"loss='bce': use one of ce, dice, ce\+dice, focal"),
    ("pyramid", {"loss": "dice"}, "loss=dice: the task detect has no such setting, only classify"),
    ("unet", {"resize": "crop"}, "resize='crop': use one of shorter, keep"),
    ("unet", {"resize": "keep", "img_size": 32}, "resize=shorter and img_size go together"),
    ("unet", {"resize": "shorter"}, "resize=shorter and img_size go together"),
    ("unet", {"head": "pyramid"}, "head='pyramid': use one of unet, fcn, deeplabv3"),
    ("pyramid", {"head": "unet"}, "head='unet': use one of pyramid, c4"),
    ("unet", {"head": "segformer"}, "head='segformer': use one of unet"),
    ("unet", {"model": "torchvision/resnet18"}, "depths, width: torchvision/resnet18 is not this package's and has no such"),
    (
        "unet",
        {"model": "torchvision/resnet18", "depths": None, "width": None},
        "is not this package's and gives one answer per picture; the task segment needs",
    ),
    ("unet", {"ignore_index": 300}, "ignore_index=300: give at most 255"),
    ("unet", {"class_names": "a,b"}, "classes are 'a', 'b'"),
    ("pyramid", {"class_names": "cat"}, "dog"),
    ("pyramid", {"masks": True}, "Pascal VOC's xml holds no masks; for Mask R-CNN give"),
    ("unet", {"num_classes": 2}, "num_classes=2, and the data has 3 classes"),
    ("unet", {"dims": 3}, "dims=3: pictures have 2 spatial axes"),
    ("unet", {"task": "detect"}, "not a layout that is known; give one of: Pascal VOC"),
    ("pyramid", {"task": "segment"}, "not a layout that is known; give one of: .*masks"),
    ("unet", {"task": "sing"}, "there is no task 'sing'"),
    ("unet", {"batch_size": 1}, "batch_size=1: batch norm cannot learn"),
    ("unet", {"freeze": "trunk"}, "random weights would stay; give --weights"),
    ("unet", {"scales": "0.01"}, "give fractions from 0.1 to 10"),
]


def test_data_without_a_training_split_is_refused(tmp_path):
    data = segments(tmp_path / "data", val=2, test=1)
    with pytest.raises(InputError, match="no training split here; it has val, test"):
        train(data, tmp_path / "run", "segment")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folders")
    return {make: make(folder / make.__name__, train=3, val=2) for make in (segments, boxed)}


@pytest.mark.parametrize(("name", "settings", "said"), REFUSED, ids=range(len(REFUSED)))
def test_refused_with_a_reason_and_without_a_folder(name, settings, said, folders, tmp_path):
    task, make, _ = KINDS[name]
    with pytest.raises(InputError, match=said):
        train(folders[make], tmp_path / "run", **{"task": task} | settings)
    assert not (tmp_path / "run").exists()


def test_other_commands_say_that_they_are_for_classifiers(folders, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = ("background", "cell", "wall")
    net = resnets.create_model("resnet20_cifar", depths=(1, 1, 1), width=8, task="segment", labels=labels)
    file = resnets.save(net, tmp_path / "m.safetensors")
    for words, said in (
        (["export", file, "--format", "onnx"], "is for the task segment, which is exported as html only"),
        (["convert", file, "-o", tmp_path / "t.pth", "--to", "torchvision"], "only classifiers can be converted to torchvis"),
        (["predict", file, tmp_path, "--runtime", "onnxruntime"], "the task segment runs in torch only"),
        (["eval", file, folders[segments], "--runtime", "openvino"], "the task segment runs in torch only"),
        (["eval", file, folders[boxed]], "not a layout that is known"),
        (["eval", file, folders[segments], "--split", "test"], "has no test split; it has: train, val"),
        (["train", folders[segments], "--task", "segment", "--folds", 3], "folds=3: "),
        (["train", "digits", "--task", "segment"], "digits: a built-in dataset of classes, without masks"),
        (["train", folders[segments], "--task", "segment", "--model", "torchvision/resnet18"], "gives one answer per picture"),
    ):  # fmt: skip
        code, out, err = command(*words)
        assert (code, out) == (2, "") and said in err and "Traceback" not in err, err
    assert not list(tmp_path.glob("runs*")) and not (tmp_path / "t.pth").exists()


@pytest.mark.parametrize("make", [segments, boxed], ids=lambda make: make.__name__)
def test_preview_shows_training_pictures_with_what_is_known_of_them(folders, command, tmp_path, make):
    task = "segment" if make is segments else "detect"
    code, out, err = command("data", "preview", folders[make], "--task", task, "--out", tmp_path / "seen.png")
    assert code == 0 and out.strip() == str(tmp_path / "seen.png"), err
    with Image.open(tmp_path / "seen.png") as image:
        assert image.width > 300 and len(image.convert("RGB").getcolors(1 << 24) or ()) > 10


def test_several_processes_do_not_detect(folders, tmp_path, monkeypatch):
    """Its losses need targets, and what joins processes begins with a step of no picture."""
    with pytest.raises(InputError, match="the task detect trains in one process, so far; start it without torchrun"):
        training.prepare(str(folders[boxed]), out=tmp_path / "run", processes=Processes(0, 2), task="detect", **TINY)
    assert not (tmp_path / "run").exists()
