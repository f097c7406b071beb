"""Bad input of `resnets predict`: exit status 2, a message that names the fault and the remedy, and nothing lost."""

import dataclasses
import pickle

import pytest

from tests.cli.bad_input.made import (
    SPEC,
    Case,
    Evil,
    both,
    looped,
    model,
    pets,
    pickled,
    pipe,
    refused,
    rewritten,
    text,
    torch_saved,
    truncated,
    with_file,
)


def other_task(here):
    rewritten(both(here), task="juggle")


def larger_than_it_is(here):
    rewritten(both(here), spec=dataclasses.asdict(SPEC) | {"depths": [10_000, 1, 1], "num_classes": 2})


def all_broken(here):
    both(here)
    text(here / "photos/a.jpg")
    truncated(here / "photos/b.jpg")


CASES = {
    "a model's name longer than any": Case(pets, f"predict {'x' * 300} pets", "File name too long", "check the path"),
    "no verb takes this": Case(both, "predict model.safetensors pets --epochs 3", "No such option", "--epochs"),
    "a pickle as MODEL": Case(
        pickled, "predict model.safetensors pets", "a pickle with more than tensors", "save only the tensors"
    ),
    "a torch.save as MODEL": Case(
        torch_saved, "predict model.pth pets", "a pickle that asks for posix.mkdir", "save only the tensors"
    ),
    "an old pickle as MODEL": Case(
        lambda d: (pets(d), (d / "m.pt").write_bytes(pickle.dumps(Evil(), 0))),
        "predict m.pt pets",
        "m.pt: not a weights file that can be read",
        "give .safetensors",
    ),
    "text as MODEL": Case(
        with_file("notes.txt"), "predict notes.txt pets", "notes.txt: not a weights file that can be read", "give .safetensors"
    ),
    "a picture as MODEL": Case(
        pets, "predict pets/cat/0.png pets", "pets/cat/0.png: not a weights file that can be read", "give .safetensors"
    ),
    "a folder as MODEL": Case(
        both, "predict pets pets", "pets: no best.safetensors here", "give a run directory of `resnets train`"
    ),
    "a pipe as MODEL": Case(pipe("pipe"), "predict pipe pets", "pipe: is a pipe", "give a file"),
    "a link to itself as MODEL": Case(looped, "predict loop pets", "loop: no such file or run directory", ""),
    "MODEL of an unknown task": Case(
        other_task, "predict model.safetensors pets", "no task 'juggle'", "this version has: classify"
    ),
    "MODEL that promises too much": Case(
        larger_than_it_is, "predict model.safetensors pets", "at most 4,096 blocks", "the file is damaged"
    ),
    "MODEL for volumes": Case(
        lambda d: (pets(d), model(d, dims=3)),
        "predict model.safetensors pets",
        "takes inputs with 3 spatial axes",
        "use it from Python",
    ),
    "MODEL without classes": Case(
        lambda d: (pets(d), model(d, labels=())),
        "predict model.safetensors pets",
        "has no classes",
        "`resnets train --weights`",
    ),
    "predict of a missing file": Case(
        both, "predict model.safetensors pets/cat/0.png photo.jpg", "photo.jpg", "no such file or folder"
    ),
    "predict of an empty folder": Case(
        lambda d: (both(d), (d / "photos").mkdir()),
        "predict model.safetensors photos",
        "photos: no images here",
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
        pipe("photos/pipe.jpg"), "predict model.safetensors photos", "photos: no images here", ".jpg"
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
        lambda d: (both(d), text(d / "all.csv", "path,label,probability,answer,error\npets/cat/0.png,cat,0.500000,cat,\n")),
        "predict model.safetensors pets --out all.csv --resume",
        "its rows name 1 classes each, and now they would name 2",
        "use the --topk and the model",
    ),
    "predict with a rule that the model does not keep": Case(
        both, "predict model.safetensors pets --abstain-at 1%", "keeps no rule for --abstain-at or --sets", "resnets calibrate"
    ),
    "predict with a part that is none": Case(
        both, "predict model.safetensors pets --abstain-at few", "abstain_at='few'", "give a number"
    ),
    "predict with sets of no coverage": Case(
        both, "predict model.safetensors pets --sets 101%", "sets=1.01", "give at most 0.9999"
    ),
    "predict into a file, of a missing one": Case(
        both, "predict model.safetensors pets photo.jpg --out all.csv", "photo.jpg", "no such file or folder"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name, tmp_path, capsys):
    refused(name, CASES[name], tmp_path, capsys)
