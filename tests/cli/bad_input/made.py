"""What lies in the folder of a case, and how its command is run.

Whatever a clumsy or hostile user does ends with exit status 2 and a line that says what is wrong and what to do; nothing is
lost, and nothing half made is left behind. A `Case` is what lies in the folder, the words of the command, what the message
must name, and the remedy it must give.
"""

import hashlib
import json
import os
import pickle
import shlex
import stat
import struct
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


def truncated(path):
    """A JPEG of which a third is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def all_text(here):
    for label in ("cat", "dog"):
        for n in range(4):
            text(here / f"pets/{label}/{n}.jpg")


def many_bad(here, num=4):
    pets(here)
    for n in range(num):
        text(here / f"pets/cat/bad{n}.jpg")


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


def other_format(here):
    rewritten(both(here), format="resnets/7")


class Case(NamedTuple):
    make: object  # callable: what lies in the folder
    words: str
    wrong: str
    remedy: str


def nothing(here):
    pass


SKIPPED = {
    "a device as DATA": not Path("/dev/zero").exists(),
    "a device as MODEL": not Path("/dev/zero").exists(),
    "predict of a device": not Path("/dev/zero").exists(),
    "out is nowhere": not Path("/proc/self").exists(),
}


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
    """The message: what stands on stderr, which is nothing else than one or two lines, or click's usage and its error; below
    it, at most, where the page of errors says more."""
    *lines, last = err.strip().splitlines() or [""]
    lines += [last] * (not last.startswith("more: docs/errors.md#"))
    assert "Traceback" not in err and lines, err
    if lines[0].startswith("Usage: resnets"):
        assert len(lines) <= 4 and lines[-1].startswith("Error: "), err
    else:
        assert len(lines) <= 2 and lines[-1].lower().startswith("error: "), err
    return " ".join(err.split())


def refused(name, case, tmp_path, capsys):
    """The command ends with 2 and says what the case wants; the folder is as it was."""
    if SKIPPED.get(name):
        pytest.skip("not on this system")
    case.make(tmp_path)
    before = snapshot(tmp_path)
    code, _, err = command(case.words, capsys)
    assert code == 2, err
    message = told(err)
    assert case.wrong in message, message
    assert case.remedy in message, message
    assert snapshot(tmp_path) == before, "something was lost, or left behind"
