"""Bad data given to `resnets train`: exit status 2, a message that names the fault and the remedy, and nothing lost."""

import os
import pickle

import numpy as np
import pytest

from tests.cli.bad_input.made import (
    FAST,
    TRAIN,
    Case,
    Evil,
    all_text,
    folder,
    looped,
    many_bad,
    model,
    nothing,
    pets,
    picture,
    pipe,
    refused,
    text,
)


def list_of(*lines):
    def make(here):
        pets(here)
        text(here / "list.csv", "\n".join(lines) + "\n")

    return make


def huge_field(here):
    list_of("path,label", "pets/cat/0.png," + "x" * 200_000)(here)


def evil_npz(here):
    np.savez(here / "pets.npz", train_images=np.array([Evil()] * 4, dtype=object), train_labels=np.arange(4))


def cifar_cut_short(here):
    root = here / "cifar-10-batches-bin"
    text(root / "batches.meta.txt", "\n".join(f"class{n}" for n in range(10)))
    (root / "data_batch_1.bin").write_bytes(bytes(3073 * 2 - 5))


def evil_cifar(here):
    root = here / "cifar-10-batches-py"
    root.mkdir()
    (root / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"a", b"b"]}))
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        (root / name).write_bytes(pickle.dumps(Evil()))


CASES = {
    "empty folder": Case(
        lambda d: (d / "pets").mkdir(), TRAIN, "pets: holds no class folders", "one folder per class, as pets/cat"
    ),
    "no such folder": Case(nothing, TRAIN, "no file or folder 'pets'", "the built-in datasets are digits, cifar10"),
    "nearly a built-in dataset": Case(
        nothing, f"train cifar-10 {FAST}", "no file or folder 'cifar-10'", "did you mean cifar10?"
    ),
    "no data but a typo": Case(nothing, f"train digit {FAST}", "'digit'", "did you mean digits?"),
    "one class": Case(lambda d: folder(d / "pets", cat=4), TRAIN, "one class only, 'cat'", "add pictures of another"),
    "class only in val": Case(
        lambda d: folder(d / "pets", train__a=2, train__b=2, val__c=1),
        TRAIN,
        "'c' in val but not in train",
        "add training pictures",
    ),
    "class only in test": Case(
        lambda d: folder(d / "pets", train__a=2, train__b=2, test__c=1),
        TRAIN,
        "'c' in test but not in train",
        "take it out of test",
    ),
    "no training split": Case(
        lambda d: folder(d / "pets", test__a=1, test__b=1), TRAIN, "no training split, only test", "add a train folder"
    ),
    "an empty class": Case(
        lambda d: (pets(d), (d / "pets/emu").mkdir()),
        TRAIN,
        "no images in 'emu'",
        "add some, or remove the empty class folders",
    ),
    "two validation splits": Case(
        lambda d: folder(d / "pets", train__a=2, train__b=2, val__a=1, valid__a=1),
        TRAIN,
        "more than one folder holds the val",
        "keep one",
    ),
    "one picture a class": Case(
        lambda d: folder(d / "pets", a=1, b=1),
        TRAIN,
        "none of 2 training images can be spared for validation",
        "add images or a val split",
    ),
    "text called .jpg, all of it": Case(
        all_text, TRAIN, "no picture of the training split can be read", "`resnets data check` says why"
    ),
    "more bad than --max-bad": Case(
        lambda d: many_bad(d, 6),
        f"{TRAIN} --max-bad 3",
        "4 pictures cannot be read, and --max-bad allows 3",
        "mend or remove them, or raise --max-bad",
    ),
    "VOC": Case(
        lambda d: folder(d / "pets", JPEGImages=2, Annotations=1),
        TRAIN,
        "boxes or masks, which are for --task detect or --task segment",
        "one folder per class",
    ),
    "masks": Case(
        lambda d: folder(d / "pets", images=2, masks=2),
        TRAIN,
        "boxes or masks, which are for --task detect or --task segment",
        "one folder per class",
    ),
    "COCO": Case(
        lambda d: (folder(d / "pets", train2017=2), text(d / "pets/annotations/instances.json", "{}")),
        TRAIN,
        "boxes or masks, which are for --task detect or --task segment",
        "one folder per class",
    ),
    "a picture as DATA": Case(
        lambda d: picture(d / "pets" / "x.png"), f"train pets/x.png {FAST}", "not a layout that is known", "give one of"
    ),
    "a model as DATA": Case(model, f"train model.safetensors {FAST}", "not a layout that is known", "folder/<class>/"),
    "a pipe as DATA": Case(pipe("pets.csv"), f"train pets.csv {FAST}", "not a layout that is known", "a list: .csv"),
    "a device as DATA": Case(nothing, f"train /dev/zero {FAST}", "/dev/zero: not a layout that is known", "give one of"),
    "a link to itself as DATA": Case(looped, f"train loop {FAST}", "no file or folder 'loop'", "the built-in datasets are"),
    "a name longer than any": Case(pets, f"train {'x' * 300} {FAST}", "File name too long", "check the path"),
    "CSV with missing files": Case(
        list_of("path,label", "pets/cat/0.png,cat", "nowhere.png,dog"),
        f"train list.csv {FAST}",
        "1 files of the list do not exist: 'nowhere.png'",
        "paths count from",
    ),
    "CSV that lists a pipe": Case(
        lambda d: (list_of("path,label", "pets/cat/0.png,cat", "pipe.png,dog")(d), os.mkfifo(d / "pipe.png")),
        f"train list.csv {FAST}",
        "do not exist: 'pipe.png'",
        "paths count from",
    ),
    "CSV without the header": Case(
        list_of("pets/cat/0.png,cat", "pets/dog/0.png,dog"),
        f"train list.csv {FAST}",
        "list.csv: the first line",
        "must name the columns path,label",
    ),
    "CSV, one path, two labels": Case(
        list_of("path,label", "pets/cat/0.png,cat", "pets/dog/0.png,dog", "pets/cat/../cat/0.png,dog"),
        f"train list.csv {FAST}",
        "list.csv line 4",
        "give each image one label",
    ),
    "CSV with an unknown split": Case(
        list_of("path,label,split", "pets/cat/0.png,cat,trian"),
        f"train list.csv {FAST}",
        "split 'trian' is not known",
        "write train, val or test",
    ),
    "CSV without a label": Case(
        list_of("path,label", "pets/cat/0.png"), f"train list.csv {FAST}", "list.csv line 2", "the label is missing"
    ),
    "CSV of a header": Case(
        list_of("path,label"), f"train list.csv {FAST}", "the list holds no images", "write one line for each"
    ),
    "CSV, empty": Case(lambda d: (d / "list.csv").touch(), f"train list.csv {FAST}", "the first line", "path,label"),
    "CSV in Latin-1": Case(
        lambda d: (d / "list.csv").write_bytes(b"path,label\nx\xe9.png,caf\xe9\n"),
        f"train list.csv {FAST}",
        "not UTF-8 text",
        "save it as UTF-8",
    ),
    "CSV with a huge field": Case(
        huge_field, f"train list.csv {FAST}", "list.csv line 2: cannot be read as CSV", "field larger than field limit"
    ),
    "npz of objects": Case(
        evil_npz, f"train pets.npz {FAST}", "pets.npz: cannot be read as arrays", "save it with numpy.savez, without objects"
    ),
    "npz of floats": Case(
        lambda d: np.savez(d / "pets.npz", train_images=np.zeros((4, 8, 8)), train_labels=np.arange(4)),
        f"train pets.npz {FAST}",
        "train_images float64 (4, 8, 8)",
        "give uint8",
    ),
    "npz that is none": Case(
        lambda d: text(d / "pets.npz"), f"train pets.npz {FAST}", "cannot be read as arrays", "numpy.savez"
    ),
    "CIFAR cut short": Case(
        cifar_cut_short,
        f"train cifar-10-batches-bin {FAST}",
        "data_batch_1.bin is truncated",
        "then run `resnets data get cifar10`",
    ),
    "CIFAR with code in it": Case(evil_cifar, f"train cifar-10-batches-py {FAST}", "which CIFAR never does", "do not trust it"),
    "CIFAR archive that is none": Case(
        lambda d: text(d / "sets/cifar-10-binary.tar.gz"),
        f"train cifar10 {FAST}",
        "not the official file, or truncated",
        "delete it, run `resnets data get cifar10`",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name, tmp_path, capsys):
    refused(name, CASES[name], tmp_path, capsys)
