"""Whatever a clumsy or hostile user does ends with exit status 2 and a line that says what is wrong and what to do; nothing is
lost, and nothing half made is left behind.

`CASES` is the table: what lies in the folder, the words of the command, what the message must name,
and the remedy it must give.
"""

import csv
import dataclasses
import errno
import hashlib
import json
import os
import pickle
import shlex
import shutil
import signal
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from resnets.cli.main import main
from resnets.data.preprocess import Preprocess
from resnets.models import zoo
from resnets.ship import hub

SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=4)
NET = "--model resnet20_cifar --depths 1,1,1 --width 4 --img-size 8"
FAST = f"{NET} --epochs 1 --batch-size 4 -j 0 --device cpu"
TRAIN = f"train pets --out run {FAST}"
PATIENCE_SECONDS = 30  # for one case; a command that waits for a pipe would wait for ever


# --- what lies in the folder -----------------------------------------------------------------------------------------


def picture(path, value=0, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value % 256, 255 - value % 256, 7 * value % 256)).save(path)
    return path


def text(path, content="this is no picture"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def folder(root, **classes):
    """folder(root, train__cat=3) makes root/train/cat/{0,1,2}.png."""
    root.mkdir(parents=True, exist_ok=True)
    for index, (name, num) in enumerate(classes.items()):
        for n in range(num):
            picture(root / name.replace("__", "/") / f"{n}.png", value=40 * index + n)
    return root


def pets(here):
    return folder(here / "pets", cat=5, dog=5)


def model(here, name="model.safetensors", **changes):
    """An untrained model of cats and dogs."""
    torch.manual_seed(0)
    rule = Preprocess(size=(8, 8), crop_pct=1.0)
    labels = changes.pop("labels", ("cat", "dog"))
    spec = zoo.change(SPEC, num_classes=len(labels), **changes)
    return hub.save(hub.create_model(spec, labels=labels, preprocess=rule if spec.in_chans == 3 else None), here / name)


def both(here):
    pets(here)
    return model(here)


def rewritten(path, **parts):
    """The header of a model with other values for some of its parts."""
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + struct.unpack("<Q", raw[:8])[0]])["__metadata__"]
    save_file(load_file(path), path, header | {key: json.dumps(value) for key, value in parts.items()})


class Evil:
    """A pickle of it leaves a mark when it is opened."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


def pickled(here, name="model.safetensors"):
    pets(here)
    (here / name).write_bytes(pickle.dumps(Evil()))


def torch_saved(here):
    pets(here)
    torch.save({"state_dict": Evil()}, here / "model.pth")


def bomb(path):
    """A small PNG whose header promises 50,000 x 50,000 pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    content = chunk(b"IDAT", zlib.compress(bytes(10_000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + content + chunk(b"IEND", b""))


def truncated(path):
    """A JPEG of which a third is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def nan_tiff(path):
    Image.fromarray(np.full((8, 8), np.nan, dtype=np.float32)).save(path)


def all_text(here):
    for label in ("cat", "dog"):
        for n in range(4):
            text(here / f"pets/{label}/{n}.jpg")


def many_bad(here, num=4):
    pets(here)
    for n in range(num):
        text(here / f"pets/cat/bad{n}.jpg")


def list_of(*lines):
    def make(here):
        pets(here)
        text(here / "list.csv", "\n".join(lines) + "\n")

    return make


def huge_field(here):
    list_of("path,label", "pets/cat/0.png," + "x" * 200_000)(here)


def recipe(content):
    def make(here):
        pets(here)
        text(here / "mine.yaml", content)

    return make


def with_file(name, content="precious"):
    def make(here):
        both(here)
        text(here / name, content)

    return make


def pipe(name):
    def make(here):
        both(here)
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(here / name)

    return make


def looped(here):
    both(here)
    (here / "loop").symlink_to("loop")


def cut_short(here):
    path = both(here)
    path.write_bytes(path.read_bytes()[:-100])


def cut_in_header(here):
    path = both(here)
    path.write_bytes(path.read_bytes()[:200])


def other_format(here):
    rewritten(both(here), format="resnets/7")


def other_task(here):
    rewritten(both(here), task="juggle")


def foreign(here):
    pets(here)
    save_file({"weight": torch.zeros(3)}, here / "model.safetensors")


def larger_than_it_is(here):
    rewritten(both(here), spec=dataclasses.asdict(SPEC) | {"depths": [10_000, 1, 1], "num_classes": 2})


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


def all_broken(here):
    both(here)
    text(here / "photos/a.jpg")
    truncated(here / "photos/b.jpg")


# --- the table -------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    make: object  # callable: what lies in the folder
    words: str
    wrong: str
    remedy: str


def nothing(here):
    pass


CASES = {
    # --- data
    "empty folder": Case(
        lambda d: (d / "pets").mkdir(), TRAIN, "pets: holds no class folders", "one folder a class, as pets/cat"
    ),
    "no such folder": Case(nothing, TRAIN, "no file or folder 'pets'", "the known sets are digits, cifar10"),
    "nearly a known set": Case(nothing, f"train cifar-10 {FAST}", "no file or folder 'cifar-10'", "did you mean cifar10?"),
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
        "no pictures in 'emu'",
        "add some, or remove the empty class folders",
    ),
    "two validation splits": Case(
        lambda d: folder(d / "pets", train__a=2, train__b=2, val__a=1, valid__a=1),
        TRAIN,
        "more than one folder holds the val",
        "keep one",
    ),
    "one picture a class": Case(
        lambda d: folder(d / "pets", a=1, b=1), TRAIN, "none to spare for validation", "add pictures or a val folder"
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
        "boxes or masks; add --task detect or --task segment",
        "one folder a class",
    ),
    "masks": Case(
        lambda d: folder(d / "pets", images=2, masks=2),
        TRAIN,
        "boxes or masks; add --task detect or --task segment",
        "one folder a class",
    ),
    "COCO": Case(
        lambda d: (folder(d / "pets", train2017=2), text(d / "pets/annotations/instances.json", "{}")),
        TRAIN,
        "boxes or masks; add --task detect or --task segment",
        "one folder a class",
    ),
    "a picture as DATA": Case(
        lambda d: picture(d / "pets" / "x.png"), f"train pets/x.png {FAST}", "not a layout that is known", "give one of"
    ),
    "a model as DATA": Case(model, f"train model.safetensors {FAST}", "not a layout that is known", "folder/<class>/"),
    "a pipe as DATA": Case(pipe("pets.csv"), f"train pets.csv {FAST}", "not a layout that is known", "a list: .csv"),
    "a device as DATA": Case(nothing, f"train /dev/zero {FAST}", "/dev/zero: not a layout that is known", "give one of"),
    "a link to itself as DATA": Case(looped, f"train loop {FAST}", "no file or folder 'loop'", "the known sets are"),
    "a name longer than any": Case(pets, f"train {'x' * 300} {FAST}", "File name too long", "check the path"),
    "a model's name longer than any": Case(pets, f"predict {'x' * 300} pets", "File name too long", "check the path"),
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
        "give each picture one label",
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
        list_of("path,label"), f"train list.csv {FAST}", "the list holds no pictures", "write one line for each"
    ),
    "CSV, empty": Case(lambda d: (d / "list.csv").touch(), f"train list.csv {FAST}", "the first line", "path,label"),
    "CSV in Latin-1": Case(
        lambda d: (d / "list.csv").write_bytes(b"path,label\nx\xe9.png,caf\xe9\n"),
        f"train list.csv {FAST}",
        "not UTF-8 text",
        "save it as UTF-8",
    ),
    "CSV with a huge field": Case(
        huge_field, f"train list.csv {FAST}", "list.csv: cannot be read as CSV", "field larger than field limit"
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
        "data_batch_1.bin is cut short",
        "then run `resnets data get cifar10`",
    ),
    "CIFAR with code in it": Case(evil_cifar, f"train cifar-10-batches-py {FAST}", "which CIFAR never does", "do not trust it"),
    "CIFAR archive that is none": Case(
        lambda d: text(d / "sets/cifar-10-binary.tar.gz"),
        f"train cifar10 {FAST}",
        "not the official file, or cut short",
        "delete it, run `resnets data get cifar10`",
    ),
    "data get of nonsense": Case(
        nothing, "data get cifar11", "'cifar11' is no set that is fetched", "these are: cifar10, cifar100"
    ),
    "data get, place not writable": Case(
        with_file("sets"), "data get cifar10 --data-dir sets/here", "cannot write sets/here", "choose another --data-dir"
    ),
    "data check of nothing": Case(nothing, "data check pets", "no file or folder 'pets'", "the known sets are"),
    "data preview of an empty folder": Case(
        lambda d: (d / "pets").mkdir(), "data preview pets", "holds no class folders", "sort the pictures"
    ),
    "data preview below a file": Case(
        with_file("taken"),
        f"data preview pets --out taken/p.png {NET}",
        "taken/p.png: cannot be written",
        "choose another place with --out",
    ),
    # --- settings
    "unknown flag": Case(pets, f"{TRAIN} --epoch 3", "No such option", "--epochs"),
    "unknown verb": Case(nothing, "trian", "No such command 'trian'", "resnets"),
    "no verb takes this": Case(both, "predict model.safetensors pets --epochs 3", "No such option", "--epochs"),
    "too many words": Case(pets, "train pets cats", "unexpected extra argument", "cats"),
    "a flag without its value": Case(pets, "train pets --lr", "Option '--lr'", "requires an argument"),
    "unknown network": Case(pets, "train pets --model resnet51", "no network is called 'resnet51'", "did you mean resnet50"),
    "unknown task": Case(pets, f"{TRAIN} --task embed", "no task 'embed'", "this version has: classify"),
    "unknown recipe": Case(pets, f"{TRAIN} --recipe quick", "there is no recipe 'quick'", "use one of fast, finetune, he2015"),
    "recipe that does not exist": Case(
        pets, f"{TRAIN} --recipe mine.yaml", "mine.yaml: cannot be read as a recipe", "give a YAML file"
    ),
    "recipe with an unknown key": Case(
        recipe("weight_decoy: 0.1\n"),
        f"{TRAIN} --recipe mine.yaml",
        "there is no setting 'weight_decoy'",
        "did you mean weight_decay?",
    ),
    "recipe that is a list": Case(
        recipe("- lr\n- 0.1\n"), f"{TRAIN} --recipe mine.yaml", "mine.yaml: is not a recipe", "such as `lr: 0.1`"
    ),
    "recipe that is empty": Case(recipe(""), f"{TRAIN} --recipe mine.yaml", "mine.yaml: is not a recipe", "such as `lr: 0.1`"),
    "recipe that is no YAML": Case(
        recipe("lr: [0.1\n"), f"{TRAIN} --recipe mine.yaml", "mine.yaml: cannot be read", "give a YAML file"
    ),
    "recipe with code in it": Case(
        recipe("lr: !!python/object/apply:os.mkdir [pwned]\n"),
        f"{TRAIN} --recipe mine.yaml",
        "mine.yaml: cannot be read",
        "give a YAML file",
    ),
    "recipe with a value of another kind": Case(
        recipe("lr: {a: 1}\n"), f"{TRAIN} --recipe mine.yaml", "lr={'a': 1}", "give a number"
    ),
    "recipe without a value": Case(recipe("lr:\n"), f"{TRAIN} --recipe mine.yaml", "lr=None", "give a number"),
    "recipe of two lengths": Case(
        recipe("epochs: 3\nsteps: 4\n"),
        "train pets --recipe mine.yaml",
        "epochs and steps exclude each other",
        "give one of them",
    ),
    "a picture as recipe": Case(
        pets, f"{TRAIN} --recipe pets/cat/0.png", "pets/cat/0.png: cannot be read as a recipe", "give a YAML file"
    ),
    "a folder as recipe": Case(
        lambda d: (pets(d), (d / "x.yaml").mkdir()), f"{TRAIN} --recipe x.yaml", "x.yaml: cannot be read", "give a YAML file"
    ),
    "epochs and steps": Case(pets, f"{TRAIN} --steps 3", "epochs and steps exclude each other", "give one of them"),
    "time of nonsense": Case(pets, f"train pets {NET} --time soon", "time='soon'", "such as 90s, 10m or 1h30m"),
    "time of nothing": Case(pets, f"train pets {NET} --time 0m", "time='0m'", "such as 90s, 10m or 1h30m"),
    "lr nan": Case(pets, f"{TRAIN} --lr nan", "lr='nan'", "give a number"),
    "lr negative": Case(pets, f"{TRAIN} --lr -1", "lr=-1.0", "give at least 0"),
    "lr in words": Case(pets, f"{TRAIN} --lr high", "lr='high'", "give a number"),
    "epochs 0": Case(pets, f"train pets {NET} --epochs 0", "epochs=0", "give at least 1"),
    "epochs and a half": Case(pets, f"train pets {NET} --epochs 1.5", "epochs='1.5'", "give a whole number"),
    "batch size 1": Case(
        pets, f"{TRAIN} --batch-size 1", "batch_size=1: batch norm cannot learn", "use at least 2, and --accumulate"
    ),
    "batch size 0": Case(pets, f"{TRAIN} --batch-size 0", "batch_size=0", "give at least 1"),
    "device that is not there": Case(pets, f"{TRAIN} --device mps:7", "device='mps:7' is not here", "this machine has:"),
    "device of nonsense": Case(pets, f"{TRAIN} --device toaster", "device='toaster' is not here", "this machine has:"),
    "two channels": Case(
        pets, f"{TRAIN} --in-chans 2", "in_chans=2", "1 (grey), 3 (RGB) or 4 (RGBA) channels; use one of these"
    ),
    "three axes": Case(pets, f"{TRAIN} --dims 3", "dims=3: pictures have 2 spatial axes", "through Python only"),
    "no blocks": Case(pets, f"{TRAIN} --depths 0", "depths=(0,)", "such as (3, 4, 6, 3)"),
    "blocks in words": Case(pets, f"{TRAIN} --depths many", "depths='many'", "give a list, such as 1,2,3"),
    "no width": Case(pets, f"{TRAIN} --width 0", "width=0", "at least 1"),
    "groups of a basic network": Case(pets, f"{TRAIN} --groups 4", "this network has basic ones", "bottleneck"),
    "no pixels": Case(pets, f"{TRAIN} --img-size 0", "img_size=0", "give at least 1"),
    "unknown choice": Case(pets, f"{TRAIN} --opt adam", "opt='adam'", "use one of sgd, adamw, lamb"),
    "epochs without end": Case(pets, f"train pets {NET} --epochs inf", "epochs='inf'", "give a whole number"),
    "lr without end": Case(pets, f"{TRAIN} --lr inf", "lr='inf'", "give a number"),
    "a seed too large": Case(pets, f"{TRAIN} --seed 5000000000", "seed=5000000000", "give at most"),
    "a pipe as recipe": Case(
        lambda d: (pets(d), os.mkfifo(d / "pipe.yaml")), f"{TRAIN} --recipe pipe.yaml", "pipe.yaml", "give a YAML file"
    ),
    "a recipe that is too deep": Case(
        recipe("[" * 5000), f"{TRAIN} --recipe mine.yaml", "mine.yaml: cannot be read", "give a YAML file"
    ),
    "a recipe that recipes": Case(
        recipe("recipe: mine.yaml\n"), f"{TRAIN} --recipe mine.yaml", "there is no recipe 'mine.yaml'", "use one of"
    ),
    "normalising by pixel and another size": Case(
        both, "train pets --out run --weights model.safetensors --img-size 8000 --depths x", "depths='x'", "give a list"
    ),
    "preview in no size": Case(pets, "data preview pets --img-size 0", "img_size=0", "give at least 1"),
    "check in two channels": Case(pets, "data check pets --in-chans 2", "in_chans=2", "use one of these"),
    "mixup negative": Case(pets, f"{TRAIN} --mixup -1", "mixup=-1.0", "give at least 0"),
    "crop scale the wrong way round": Case(pets, f"{TRAIN} --crop-scale 2,1", "crop_scale=[2.0, 1.0]", "such as 0.08,1"),
    "milestones that fall": Case(pets, f"{TRAIN} --milestones 0.9,0.1", "milestones=[0.9, 0.1]", "give rising shares"),
    "smoothing above 1": Case(pets, f"{TRAIN} --smoothing 2", "smoothing=2.0", "give at most 1"),
    "val fraction 0": Case(pets, f"{TRAIN} --val-fraction 0", "val_fraction=0.0", "give at least 0.001"),
    "workers negative": Case(pets, f"{TRAIN} -j -1", "workers=-1", "give at least 0"),
    "nesterov without momentum": Case(pets, f"{TRAIN} --momentum 0", "nesterov needs a momentum", "add --no-nesterov"),
    "fewer outputs than classes": Case(
        pets, f"{TRAIN} --num-classes 1", "num_classes=1, and the data has 2 classes", "leave it out, or give at least 2"
    ),
    # --- weights to start from
    "weights of another format": Case(
        other_format,
        f"{TRAIN} --weights model.safetensors",
        "its format is resnets/7",
        "this version reads resnets/1; update resnets",
    ),
    "weights cut short": Case(cut_short, f"{TRAIN} --weights model.safetensors", "cut short or damaged", "copy it again"),
    "weights of another network": Case(
        both,
        "train pets --model resnet18 --weights model.safetensors",
        "the weights are a resnet20_cifar's, not a resnet18's",
        "leave out --model",
    ),
    "weights of another width": Case(
        both, f"{TRAIN} --width 6 --weights model.safetensors", "no tensor of its resnet20_cifar fits", "use --model"
    ),
    "a pickle as weights": Case(
        pickled, f"{TRAIN} --weights model.safetensors", "a pickle that is more than tensors", "save the tensors alone"
    ),
    "a torch.save as weights": Case(
        torch_saved, f"{TRAIN} --weights model.pth", "a pickle that asks for posix.mkdir", "save the tensors alone"
    ),
    "no such weights": Case(pets, f"{TRAIN} --weights model.safetensors", "model.safetensors", "no such file or run directory"),
    "a network's name as weights": Case(
        pets, f"{TRAIN} --weights resnet18", "resnet18 names a network without weights", "`resnets train --model resnet18`"
    ),
    # --- models
    "a pickle as MODEL": Case(
        pickled, "predict model.safetensors pets", "a pickle that is more than tensors", "save the tensors alone"
    ),
    "a torch.save as MODEL": Case(
        torch_saved, "predict model.pth pets", "a pickle that asks for posix.mkdir", "save the tensors alone"
    ),
    "an old pickle as MODEL": Case(
        lambda d: (pets(d), (d / "m.pt").write_bytes(pickle.dumps(Evil(), 0))),
        "predict m.pt pets",
        "m.pt: no weights that can be read",
        "give .safetensors",
    ),
    "text as MODEL": Case(
        with_file("notes.txt"), "predict notes.txt pets", "notes.txt: no weights that can be read", "give .safetensors"
    ),
    "nothing in MODEL": Case(with_file("empty", ""), "info empty", "empty: no weights that can be read", "give .safetensors"),
    "a picture as MODEL": Case(
        pets, "predict pets/cat/0.png pets", "pets/cat/0.png: no weights that can be read", "give .safetensors"
    ),
    "a folder as MODEL": Case(
        both, "predict pets pets", "pets: no best.safetensors here", "give a run directory of `resnets train`"
    ),
    "MODEL and DATA swapped": Case(
        both, "eval pets model.safetensors", "pets: no best.safetensors here", "give a run directory"
    ),
    "a name as MODEL": Case(
        both, "eval resnet18 pets", "resnet18 names a network without weights", "`resnets train --model resnet18`"
    ),
    "a pipe as MODEL": Case(pipe("pipe"), "predict pipe pets", "pipe: no such file", ""),
    "a device as MODEL": Case(both, "info /dev/zero", "/dev/zero: no such file", ""),
    "a link to itself as MODEL": Case(looped, "predict loop pets", "loop: no such file or run directory", ""),
    "MODEL cut short": Case(cut_short, "eval model.safetensors pets", "cut short or damaged", "copy it again"),
    "MODEL cut in its header": Case(cut_in_header, "info model.safetensors", "cut short or damaged", "copy it again"),
    "MODEL of another format": Case(other_format, "info model.safetensors", "its format is resnets/7", "update resnets"),
    "MODEL of an unknown task": Case(
        other_task, "predict model.safetensors pets", "no task 'juggle'", "this version has: classify"
    ),
    "MODEL of another program": Case(
        foreign, "info model.safetensors", "tensors of no library that is known here", "known are"
    ),
    "MODEL that promises too much": Case(
        larger_than_it_is, "predict model.safetensors pets", "describes a larger network", "the file is damaged"
    ),
    "MODEL for volumes": Case(
        lambda d: (pets(d), model(d, dims=3)),
        "predict model.safetensors pets",
        "takes inputs with 3 spatial axes",
        "use it from Python",
    ),
    "MODEL for signals": Case(
        lambda d: (pets(d), model(d, dims=1)),
        "eval model.safetensors pets",
        "takes inputs with 1 spatial axes",
        "use it from Python",
    ),
    "MODEL without classes": Case(
        lambda d: (pets(d), model(d, labels=())),
        "predict model.safetensors pets",
        "has no classes",
        "`resnets train --weights`",
    ),
    "info of nonsense": Case(nothing, "info resnet5O", "no network is called 'resnet5O'", "did you mean resnet50"),
    "info of a changed nonsense": Case(nothing, "info resnet50 --stem huge", "stem='huge'", "use one of imagenet, small, deep"),
    "info without pixels": Case(nothing, "info resnet50 --img-size 0", "img_size=0", "give at least 1"),
    "info with classes in words": Case(nothing, "info resnet50 --num-classes ten", "num_classes='ten'", "give a whole number"),
    "models that nothing matches": Case(nothing, "models vgg", "no network matches 'vgg'", "`resnets models` lists them all"),
    # --- evaluate
    "eval of an unknown class": Case(
        lambda d: (both(d), folder(d / "pets", emu=1)),
        "eval model.safetensors pets",
        "the model does not know 'emu'",
        "its classes are 'cat', 'dog'",
    ),
    "eval of a split that is not there": Case(
        both, "eval model.safetensors pets --split test", "pets has no test split", "it has: train"
    ),
    "eval of a split that cannot be": Case(
        both, "eval model.safetensors pets --split dev", "'dev' is not one of", "'val', 'test', 'train'"
    ),
    "eval of unreadable pictures": Case(
        lambda d: (model(d), all_text(d)),
        "eval model.safetensors pets -j 0",
        "no picture of the split can be read",
        "`resnets data check`",
    ),
    "eval below a file": Case(
        with_file("taken"),
        "eval model.safetensors pets -j 0 --out taken/here",
        "cannot be written",
        "choose another place with --out",
    ),
    "eval in batches of 0": Case(both, "eval model.safetensors pets -b 0", "'--batch-size'", "x>=1"),
    "eval without DATA": Case(both, "eval model.safetensors", "Missing argument 'DATA'", "resnets eval"),
    # --- predict
    "predict of a missing file": Case(
        both, "predict model.safetensors pets/cat/0.png photo.jpg", "photo.jpg", "no such file or folder"
    ),
    "predict of an empty folder": Case(
        lambda d: (both(d), (d / "photos").mkdir()),
        "predict model.safetensors photos",
        "photos: no pictures here",
        ".jpeg, .jpg",
    ),
    "predict, all broken": Case(
        all_broken, "predict model.safetensors photos", "no picture could be read", "`resnets data check`"
    ),
    "predict with no answers": Case(both, "predict model.safetensors pets --topk 0", "'--topk'", "x>=1"),
    "predict in no format": Case(
        both, "predict model.safetensors pets --format xml", "'xml' is not one of", "'table', 'json', 'csv'"
    ),
    "predict nothing": Case(both, "predict model.safetensors", "Missing argument 'PICTURES...'", "resnets predict"),
    "predict of a pipe": Case(
        pipe("pipe.jpg"), "predict model.safetensors pipe.jpg", "pipe.jpg: a pipe or a device", "give a file"
    ),
    "predict of a device": Case(both, "predict model.safetensors /dev/zero", "/dev/zero: a pipe or a device", "give a file"),
    "predict of a folder of pipes": Case(
        pipe("photos/pipe.jpg"), "predict model.safetensors photos", "photos: no pictures here", ".jpg"
    ),
    "predict of a link to itself": Case(looped, "predict model.safetensors loop", "loop", "no such file or folder"),
    "predict on a device that is not there": Case(
        both, "predict model.safetensors pets --device cuda:99", "device='cuda:99'", "this machine has:"
    ),
    "predict in a runtime that does not exist": Case(
        both, "predict model.safetensors pets --runtime tvm", "'tvm' is not one of", "'openvino'"
    ),
    "predict over a file": Case(
        with_file("all.csv"),
        "predict model.safetensors pets --out all.csv",
        "all.csv: exists already",
        "add --resume to go on with it, remove it, or",
    ),
    "predict of a table over a file": Case(
        with_file("all.txt"), "predict model.safetensors pets --out all.txt", "all.txt: exists already; remove it", "with --out"
    ),
    "predict into a folder": Case(
        both, "predict model.safetensors pets --out pets --format csv --resume", "pets: not a file", "choose another place"
    ),
    "predict below a file": Case(
        with_file("taken"),
        "predict model.safetensors pets --out taken/all.csv",
        "taken/all.csv: cannot be written",
        "with --out",
    ),
    "predict on from nowhere": Case(both, "predict model.safetensors pets --resume", "--resume needs the file", "with --out"),
    "predict on from a table": Case(
        both, "predict model.safetensors pets --out all.txt --resume", "cannot read this back", "use --format json"
    ),
    "predict on from a thesis": Case(
        with_file("all.csv"),
        "predict model.safetensors pets --out all.csv --resume",
        "all.csv: from byte 0 on it holds no rows of `resnets predict`",
        "choose another place with --out",
    ),
    "predict on with another topk": Case(
        lambda d: (both(d), text(d / "all.csv", "path,label,probability,error\npets/cat/0.png,cat,0.500000,\n")),
        "predict model.safetensors pets --out all.csv --resume",
        "its rows name 1 classes each, and now they would name 2",
        "use the --topk and the model",
    ),
    "predict into a file, of a missing one": Case(
        both, "predict model.safetensors pets photo.jpg --out all.csv", "photo.jpg", "no such file or folder"
    ),
    # --- where to
    "out below a file": Case(
        with_file("taken"), f"train pets {FAST} --out taken/run", "taken/run: cannot be made", "choose another place with --out"
    ),
    "out is a file": Case(
        with_file("taken"), f"train pets {FAST} --out taken", "taken: cannot be made", "choose another place with --out"
    ),
    "out is taken": Case(
        with_file("home/thesis.txt"), f"train pets {FAST} --out home", "home: exists and is not empty", "choose another --out"
    ),
    "out is nowhere": Case(
        pets, f"train pets {FAST} --out /proc/run", "/proc/run: cannot be made", "choose another place with --out"
    ),
    "resume where there is no run": Case(
        pets, f"{TRAIN} --resume", "run: no recipe.yaml here", "leave out --resume to start one"
    ),
    "resume where there are no runs": Case(
        pets, "train --resume", "there is no run in runs to go on with", "name its folder with --out"
    ),
}

SKIPPED = {
    "a device as DATA": not Path("/dev/zero").exists(),
    "a device as MODEL": not Path("/dev/zero").exists(),
    "predict of a device": not Path("/dev/zero").exists(),
    "out is nowhere": not Path("/proc/self").exists(),
}


# --- running them ----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder to work in, no way to known sets elsewhere, and an end to waiting."""

    def late(number, frame):
        raise AssertionError(f"the command still waits after {PATIENCE_SECONDS} seconds")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNETS_DATA", str(tmp_path / "sets"))
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def command(words, capsys):
    """Exit status, stdout and stderr of `resnets WORDS`, run in this process."""
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(words) if isinstance(words, str) else words)
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def snapshot(root):
    """Everything below `root`, with the content of files."""
    found = {}
    for path in sorted(Path(root).rglob("*")):
        mode = path.lstat().st_mode
        content = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else stat.S_IFMT(mode)
        found[os.fsencode(path.relative_to(root))] = content
    return found


def told(err):
    """The message: what stands on stderr, which is nothing else than one or two lines, or click's usage and its error."""
    lines = err.strip().splitlines()
    assert "Traceback" not in err and lines, err
    if lines[0].startswith("Usage: resnets"):
        assert len(lines) <= 4 and lines[-1].startswith("Error: "), err
    else:
        assert len(lines) <= 2 and lines[-1].lower().startswith("error: "), err
    return " ".join(err.split())


@pytest.mark.parametrize("name", CASES)
def test_refused(name, tmp_path, capsys):
    if SKIPPED.get(name):
        pytest.skip("not on this system")
    case = CASES[name]
    case.make(tmp_path)
    before = snapshot(tmp_path)
    code, _, err = command(case.words, capsys)
    assert code == 2, err
    message = told(err)
    assert case.wrong in message, message
    assert case.remedy in message, message
    assert snapshot(tmp_path) == before, "something was lost, or left behind"


# --- runs that are stopped on the way --------------------------------------------------------------------------------


MIDWAY = {
    "more bad than --max-bad": Case(
        lambda d: many_bad(d, 4),
        "--normalise imagenet --max-bad 2",
        "3 pictures cannot be read, and --max-bad allows 2",
        "raise --max-bad",
    ),
    "every validation picture broken": Case(
        lambda d: (
            folder(d / "pets", train__cat=4, train__dog=4),
            text(d / "pets/val/cat/1.jpg"),
            text(d / "pets/val/dog/1.jpg"),
        ),
        "",
        "no picture of the validation split can be read",
        "`resnets data check` says why",
    ),
    "every training picture broken": Case(
        all_text, "--normalise imagenet", "no picture of the training split can be read", "`resnets data check` says why"
    ),
    "a rate that is far too high": Case(pets, "--lr 1e30", "the run has diverged", "start again with a lower --lr"),
}


@pytest.mark.parametrize("name", MIDWAY)
def test_stopped_on_the_way(name, tmp_path, capsys):
    """What was there is untouched, and the message is the last line after those of the run."""
    case = MIDWAY[name]
    case.make(tmp_path)
    before = snapshot(tmp_path)
    code, out, err = command(f"{TRAIN} {case.words}", capsys)
    assert (code, out) == (2, "") and "Traceback" not in err, err
    message = err.splitlines()[-1]
    assert message.startswith("error: ") and case.wrong in message and case.remedy in message, err
    assert snapshot(tmp_path).items() >= before.items()


def test_a_run_that_met_too_many_bad_pictures_goes_on_as_its_message_says(tmp_path, capsys):
    many_bad(tmp_path, 4)
    assert command(f"{TRAIN} --normalise imagenet --max-bad 2", capsys)[0] == 2
    code, _, err = command("train --resume --out run --max-bad 4", capsys)
    assert code == 0, err
    with (tmp_path / "run/bad_images.csv").open(newline="") as file:
        assert {row["path"] for row in csv.DictReader(file)} == {f"pets/cat/bad{n}.jpg" for n in range(4)}


# --- going on with a run ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished run in run/, on pets/."""
    here = tmp_path_factory.mktemp("finished")
    pets(here)
    before = Path.cwd()
    os.chdir(here)
    try:
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(TRAIN))
    finally:
        os.chdir(before)
    assert stopped.value.code == 0
    return here


def append(path, content):
    path.write_text(path.read_text(encoding="utf-8") + content, encoding="utf-8")


RESUMED = {
    "other settings": Case(
        nothing,
        "--lr 0.3 --batch-size 5 --resume",
        "lr was 0.025, not 0.3; batch_size was 4, not 5",
        "leave that out to go on as it was",
    ),
    "another network": Case(
        nothing, "--model resnet18 --resume", "model was resnet20_cifar, not resnet18", "start a new run without --resume"
    ),
    "another length": Case(nothing, "--epochs 9 --resume", "epochs was 1, not 9", "start a new run without --resume"),
    "other data by name": Case(nothing, "digits --resume", "data was pets, not digits", "start a new run without --resume"),
    "other data by content": Case(
        lambda d: (d / "pets/cat/0.png").unlink(), "--resume", "the data has changed since the run began", "or start a new run"
    ),
    "data that is gone": Case(
        lambda d: shutil.rmtree(d / "pets"), "--resume", "no file or folder 'pets'", "the known sets are"
    ),
    "a recipe with an unknown key": Case(
        lambda d: append(d / "run/recipe.yaml", "epoch: 3\n"), "--resume", "there is no setting 'epoch'", "did you mean epochs?"
    ),
    "a recipe that is damaged": Case(
        lambda d: append(d / "run/recipe.yaml", "]\n"),
        "--resume",
        "run/recipe.yaml: cannot be read as a recipe",
        "give a YAML file",
    ),
    "no --resume": Case(nothing, FAST, "run: exists and is not empty", "go on with it by --resume, or choose another --out"),
}


@pytest.mark.parametrize("name", RESUMED)
def test_going_on_is_refused(name, finished, tmp_path, capsys):
    case = RESUMED[name]
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    case.make(tmp_path)
    before = snapshot(tmp_path)
    words = case.words if case.words.startswith("digits") or "--resume" in case.words else f"pets {case.words}"
    code, _, err = command(f"train {words} --out run", capsys)
    assert code == 2, err
    message = told(err)
    assert case.wrong in message and case.remedy in message, message
    assert snapshot(tmp_path) == before


DAMAGED = {
    "cut short": Case(
        lambda run: (run / "resume.safetensors").write_bytes((run / "resume.safetensors").read_bytes()[:-50]),
        "",
        "resume.safetensors: cut short or damaged",
        "copy it again",
    ),
    "another file": Case(
        lambda run: shutil.copy(run / "best.safetensors", run / "resume.safetensors"),
        "",
        "its format is resnets/1, and this version reads resnets-resume/1",
        "start a new run",
    ),
    "a pickle": Case(
        lambda run: (run / "resume.safetensors").write_bytes(pickle.dumps(Evil())),
        "",
        "this is a pickle",
        "only .safetensors files are read",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_state_is_refused(name, finished, tmp_path, capsys):
    case = DAMAGED[name]
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    case.make(tmp_path / "run")
    kept = {name: (tmp_path / "run" / name).read_bytes() for name in ("best.safetensors", "last.safetensors", "metrics.csv")}
    code, _, err = command("train --resume --out run", capsys)
    assert code == 2 and "Traceback" not in err, err
    message = err.splitlines()[-1]
    assert message.startswith("error: run/") and case.wrong in message and case.remedy in message, err
    assert all((tmp_path / "run" / name).read_bytes() == content for name, content in kept.items())
    assert not (tmp_path / "pwned").exists()


# --- the disk --------------------------------------------------------------------------------------------------------


def test_a_full_disk_stops_a_run_and_space_lets_it_go_on(tmp_path, capsys, monkeypatch):
    """Every write from the sixth on meets a full disk: the files of before stay whole, and the run goes on where it stood."""
    pets(tmp_path)
    sync, count = os.fsync, []

    def full(file):
        count.append(file)
        if len(count) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = command(TRAIN.replace("--epochs 1", "--epochs 3"), capsys)
    assert code == 2 and "Traceback" not in err, err
    assert "cannot be written (No space left on device); free some space, then go on with --resume" in err.splitlines()[-1]
    assert not list((tmp_path / "run").glob(".*")), "a half-written file was left behind"
    monkeypatch.setattr(os, "fsync", sync)
    code, _, err = command("train --resume --out run", capsys)
    assert code == 0, err
    assert len((tmp_path / "run/metrics.csv").read_text().splitlines()) == 4


def test_a_disk_that_is_full_from_the_start_leaves_nothing_in_the_way(tmp_path, capsys, monkeypatch):
    pets(tmp_path)

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        code, _, err = command(TRAIN, capsys)
    assert code == 2 and "free some space" in err.splitlines()[-1], err
    assert command(TRAIN, capsys)[0] == 0


def test_a_really_full_disk(tmp_path, capsys):
    """A file system of its own, of 100 kB, where this user may mount one."""
    pets(tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)], capture_output=True, check=False
        )
    except OSError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    try:
        code, _, err = command(TRAIN.replace("--out run", "--out disk/run"), capsys)
        assert code == 2 and "Traceback" not in err, err
        message = err.splitlines()[-1]
        assert message.startswith("error: disk/run/") and "No space left on device" in message and "free some space" in message
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("kind", [MemoryError, torch.OutOfMemoryError])
def test_memory_that_runs_out_is_the_inputs_fault(kind, tmp_path, capsys, monkeypatch):
    pets(tmp_path)

    def exhausted(*args, **kwargs):
        raise kind("Unable to allocate 224. GiB")

    monkeypatch.setattr("resnets.data.sources.open_source", exhausted)
    code, _, err = command(TRAIN, capsys)
    assert code == 2, err
    message = told(err)
    assert "memory" in message and "--batch-size" in message and "--img-size" in message


@pytest.mark.parametrize("words", ["info locked/m.safetensors", f"train locked {FAST}", f"train pets --out locked/run {FAST}"])
def test_what_may_not_be_read_or_written(words, tmp_path, capsys):
    pets(tmp_path)
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(0)
    try:
        if os.access(tmp_path / "locked", os.R_OK):
            pytest.skip("this user may read and write everything")
        code, _, err = command(words, capsys)
        assert code == 2 and "locked" in told(err)
    finally:
        (tmp_path / "locked").chmod(0o700)


# --- names -----------------------------------------------------------------------------------------------------------

LABELS = ('naïve, "x"', "two\nlines", "<script>alert(1)<b>", "$\\bad{$", "日本語", "=1+1", "\x1b[31mred")


def test_bad_pictures_and_odd_names_are_skipped_counted_and_named(tmp_path, capsys):
    root = tmp_path / "odd pets"
    for index, label in enumerate(LABELS):
        for n in range(3):
            picture(root / label / f'{n}, "{n}"\n<b>.png', value=30 * index + n)
    cat = root / LABELS[0]
    text(cat / "text.jpg")
    (cat / "zero.jpg").touch()
    truncated(cat / "cut.jpg")
    bomb(cat / "bomb.png")
    nan_tiff(cat / "nan.tif")
    os.mkfifo(cat / "pipe.jpg")
    (cat / "again").symlink_to(root, target_is_directory=True)
    (cat / "broken.png").symlink_to("nowhere.png")
    picture(cat / "good.png").rename(cat / os.fsdecode(b"caf\xe9.png"))
    code, out, err = command(f"train 'odd pets' --out 'my run' {FAST}", capsys)
    assert code == 0, err
    with (tmp_path / "my run/bad_images.csv").open(newline="", encoding="utf-8") as file:
        bad = {Path(row["path"]).name: row["reason"] for row in csv.DictReader(file)}
    assert set(bad) == {"text.jpg", "zero.jpg", "cut.jpg", "bomb.png", "nan.tif", "broken.png"}
    assert "truncated" in bad["cut.jpg"] and "pixels" in bad["bomb.png"] and "NaN" in bad["nan.tif"]
    assert hub.load(tmp_path / "my run").labels == tuple(sorted(LABELS))
    assert err.splitlines()[-1] == "6 pictures could not be read and were skipped; my run/bad_images.csv names them"
    page = (tmp_path / "my run/report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page

    code, out, err = command("eval 'my run' 'odd pets' -j 0 --split train", capsys)
    assert code == 0, err
    assert "\x1b" not in out + err, "the name of a class reaches the terminal as it is"
    code, out, err = command("predict 'my run' 'odd pets' -j 0 --topk 1", capsys)
    assert code == 0 and "\x1b" not in out
    assert len(out.splitlines()) == 3 * len(LABELS) + 1 + 5 + 1, (
        "one line a picture"
    )  # pictures, café, bad ones, the broken link


def test_names_that_are_no_utf8(tmp_path, capsys, monkeypatch):
    """Data may be called so; a run and a model may not, for safetensors opens no such file."""
    name = os.fsdecode(b"caf\xe9")
    try:
        folder(tmp_path / name, cat=3, dog=3)
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    words = ["train", name, "--out", "run", *shlex.split(FAST)]
    monkeypatch.setattr(sys, "argv", ["resnets", *words])  # it is recorded
    code, _, err = command(words, capsys)
    assert code == 0, err
    code, out, err = command(["eval", "run", name, "-j", "0", "--json", "--split", "val"], capsys)
    assert code == 0 and json.loads(out)["num_images"] == 2, err
    code, out, err = command(["predict", "run", name, "-j", "0", "--format", "csv"], capsys)
    assert code == 0 and len(out.splitlines()) == 7 and r"caf\udce9" in out, err
    code, _, err = command(["train", "--resume", "--out", "run"], capsys)
    assert code == 0, err
    shutil.copy("run/best.safetensors", f"{name}.safetensors")
    for words, said in ((["info", f"{name}.safetensors"], "not UTF-8"), (["predict", "run", f"{name}.jpg"], "no such file")):
        code, _, err = command(words, capsys)
        assert code == 2 and r"caf\udce9" in told(err) and said in err, err


# --- exit codes, as a shell sees them --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, code",
    [("info resnet51", 2), ("models vgg", 2), ("train --lr high", 2), ("nonsense", 2), ("info resnet18", 0), ("--help", 0)],
)
def test_exit_codes_of_the_command_itself(words, code, tmp_path):
    done = subprocess.run([sys.executable, "-m", "resnets", *shlex.split(words)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == bool(code)


def test_an_output_that_knows_ascii_only(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "resnets", "info", "resnet18"], capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr


def test_our_own_fault_is_a_traceback_and_1(tmp_path):
    code = "from resnets.cli import main\nmain.tables.model_rows = lambda pattern: 1 / 0\nmain.main(['models'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr


def test_debug_shows_where_it_was_found(capsys):
    code, _, err = command("info resnet51 --debug", capsys)
    assert code == 2 and "Traceback" in err and err.splitlines()[-1].startswith("error: no network is called")
    code, _, err = command("--debug info resnet51", capsys)
    assert code == 2 and "Traceback" in err
