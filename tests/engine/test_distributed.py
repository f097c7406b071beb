"""Several processes: the run of one with their batches together; exact when resumed; and ended together, with the reason.

Most of the time here is spent starting processes, so that few runs are asked many things.
"""

import csv
import json
import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image

from resnets.data import machine
from resnets.data.batches.image_level import PictureSamples
from resnets.data.preprocess import Preprocess
from resnets.data.sources import open_source
from resnets.data.transforms import Augment
from resnets.data.workers import BadImages
from resnets.engine import device, distributed, plan
from resnets.engine.distributed import ALONE, Processes, said, share_cores
from resnets.engine.recipe import Recipe
from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.verbs import train as training
from tests.data.made import picture_loader
from tests.engine.running import flags, largest_difference, torchrun

HERE = Path(__file__).parent
# 38 pictures in batches of 12: 4 steps an epoch, the last with 2 pictures, of which one of three processes gets none; and 2
# pictures to validate, likewise.
SIZES = {"train": 38, "val": 2, "test": 4}
SETTINGS = {
    "model": "resnet20_cifar", "depths": "1,1,1", "width": 4, "epochs": 3, "lr": 0.05, "workers": 0, "device": "cpu",
    "precision": "float32", "save_every": 1e9, "hflip": 0.5, "random_erase": 0.5, "auto_augment": "randaugment",
    "clip_grad": 1.0,
}  # fmt: skip


def rows(run):
    clocks = ("images_per_second", "data_wait", "seconds")
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if name not in clocks} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    found = {f"{split}_images": random.integers(0, 256, (num, 8, 8, 3), dtype=np.uint8) for split, num in SIZES.items()}
    np.savez(folder / "d.npz", **found, **{f"{split}_labels": np.arange(num) % 2 for split, num in SIZES.items()})
    for index in range(20):
        path = folder / "pictures" / ("train" if index < 16 else "val") / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def three(folder):
    """A whole run of three processes, and how it ended."""
    words = ["-m", "resnets", "train", "d.npz", "--out", "three", "--json", "--batch-size", 4, *flags(SETTINGS)]
    return torchrun(3, *words, cwd=folder)


@pytest.fixture(scope="module")
def one(folder):
    """The same with all their pictures in one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "finish", lambda job, source, best_epoch: job)
        return training.train(str(folder / "d.npz"), out=folder / "one", batch_size=12, **SETTINGS).run.path


# --- equal to one process ----------------------------------------------------------------------------------------------


def test_the_run_is_that_of_one_process_with_all_pictures(three, one, folder):
    assert three.returncode == 0, three.stderr
    assert all(
        found == pytest.approx(wanted, abs=2e-6) for found, wanted in zip(rows(folder / "three"), rows(one), strict=True)
    )
    for name in ("best.safetensors", "last.safetensors"):
        assert largest_difference(folder / "three", one, name) < 1e-5


def test_one_process_prints_and_writes(three, folder):
    assert json.loads(three.stdout)["num_images"] == SIZES["test"]
    assert "batch    4 pictures per process, 12 in all (3 processes)" in three.stderr
    assert len(re.findall(r"^epoch 1 ", three.stderr, re.M)) == 1
    assert json.loads((folder / "three/provenance.json").read_text())["device"]["processes"] == 3


@pytest.mark.slow  # seven processes; in one process it is quick in tests/engine/test_resume.py
def test_resumed_is_exact(three, folder):
    """Stopped by a signal to one of them alone, which all of them obey at the same step."""
    words = ["train", "d.npz", "--out", "stopped", "--batch-size", 4, *flags(SETTINGS)]
    stopped = torchrun(3, HERE / "launched.py", *words, cwd=folder, TROUBLE="1:6:15")
    assert stopped.stderr.count("stopped, and saved; to go on: resnets train --resume --out stopped") == 1
    position = json.loads((folder / "stopped/resume.json").read_text())
    assert (position["step"], position["epoch"], position["batch"]) == (6, 1, 2) and 12 < position["num_images"] <= 24
    resumed = torchrun(3, HERE / "launched.py", "train", "--resume", "--out", "stopped", cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    assert rows(folder / "stopped") == rows(folder / "three")
    for name in ("best.safetensors", "last.safetensors"):
        assert largest_difference(folder / "stopped", folder / "three", name) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"accumulate": 2, "ema": 0.9},
        {"checkpoint_activations": True},
        {"sync_bn": False, "ema": 0.5},
        {"mixup": 0.2, "cutmix": 1.0, "loss": "bce"},
        {"weights": "one", "recipe": "fast", "unfreeze_epochs": 1, "norm_stats": "batch", "layer_decay": 0.5},
        {"weights": "one", "recipe": "fast", "freeze": "1", "norm_stats": "frozen"},
    ],
)
def test_settings(more, one, folder, tmp_path):
    """Equal to one process where they can be, and exact when resumed where they cannot."""
    settings = SETTINGS | more | ({"weights": str(one)} if "weights" in more else {})
    words = ["train", folder / "d.npz", "--batch-size", 4, *flags(settings)]
    assert torchrun(3, HERE / "launched.py", *words, "--out", "whole", cwd=tmp_path).returncode == 0
    torchrun(3, HERE / "launched.py", *words, "--out", "cut", cwd=tmp_path, TROUBLE="0:2:2")
    assert torchrun(3, HERE / "launched.py", "train", "--resume", "--out", "cut", cwd=tmp_path).returncode == 0
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert largest_difference(tmp_path / "cut", tmp_path / "whole", "last.safetensors") == 0
    if not {"sync_bn", "mixup"} & set(more):
        training.train(str(folder / "d.npz"), out=tmp_path / "one", batch_size=12, **settings)
        assert largest_difference(tmp_path / "one", tmp_path / "whole", "last.safetensors") < 1e-5


@pytest.mark.slow
def test_a_length_in_time(folder, tmp_path):
    """The first process's clock counts, and all of them end with its last step."""
    words = ["train", folder / "d.npz", "--batch-size", 4, *flags({**SETTINGS, "epochs": None})]
    words = [word for word in words if word not in ("--epochs", "None")]
    done = torchrun(2, HERE / "launched.py", *words, "--time", "20s", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run/resume.json").read_text())["finished"]


@pytest.mark.slow
def test_batch_norm_over_processes(tmp_path):
    done = torchrun(2, HERE / "norms.py", cwd=tmp_path, RESULT=str(tmp_path / "found"))
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"found.{rank}").read_text() for rank in range(2)] == ["", ""]


# --- the end -----------------------------------------------------------------------------------------------------------


ENDED = r"Signal 15 \(SIGTERM\) received by PID"  # by the launcher


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "said", "status"),
    [
        # Whoever sees first that one has gone: the other process, or the launcher, which then ends it.
        ("1:2:9", rf"rank 0: another process ended; |{ENDED}", "Signal 9 \\(SIGKILL\\) received by PID"),
        ("1:2:input", r"error: rank 1: a made input", "traceback : rank 1: a made input"),
        pytest.param("1:2:bug", r"\[rank1\]: LookupError: a made bug", "traceback : Traceback", marks=pytest.mark.slow),
    ],
)
def test_one_ends_and_all_do(trouble, said, status, folder, tmp_path):
    words = ["train", folder / "d.npz", "--out", "run", "--batch-size", 4, *flags(SETTINGS)]
    done = torchrun(2, HERE / "launched.py", *words, cwd=tmp_path, TROUBLE=trouble)
    assert done.returncode != 0
    ours, _, torchruns = done.stderr.partition("Root Cause")
    assert re.search(said, ours) and re.search(status, torchruns) and re.search(r"rank +: 1 ", torchruns)
    told = ours.count("another process ended")
    assert (told == 1 or (told == 0 and re.search(ENDED, ours))) and "gloo" not in ours


@pytest.mark.slow
def test_what_all_meet_is_said_once(tmp_path):
    done = torchrun(2, "-m", "resnets", "train", "no-such-folder", cwd=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("error: rank 0: no file or folder 'no-such-folder'") == 1
    assert "rank 1:" not in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_unreadable_pictures_of_all_processes_count(folder, tmp_path):
    """Each reads one of the two, which together are too many."""
    pictures = open_source(str(folder / "pictures"))
    samples = PictureSamples(split=pictures.splits["train"], preprocess=Preprocess(), num_classes=2, augment=Augment())
    order = samples.order(0).tolist()
    paths = [folder / "pictures" / pictures.splits["train"].images.name(place).split("pictures/")[-1] for place in order]
    whole = {path: path.read_bytes() for path in (paths[0], paths[7])}
    for path in whole:
        path.write_bytes(b"nothing")
    settings = SETTINGS | {"max_bad": 1, "img_size": 8, "crop": "resized", "normalise": "imagenet"}
    try:
        done = torchrun(
            2,
            HERE / "launched.py",
            "train",
            folder / "pictures",
            "--batch-size",
            4,
            *flags(settings),
            "--out",
            "run",
            cwd=tmp_path,
        )
    finally:
        for path, content in whole.items():
            path.write_bytes(content)
    assert done.returncode != 0
    assert done.stderr.count("error: rank 0: 2 pictures cannot be read, and --max-bad allows 1") == 1, done.stderr
    assert "error: rank 1" not in done.stderr


# --- in one process ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("num", [0, 1, 4, 7, 10])
def test_parts_are_the_whole_and_as_even_as_can_be(world, num):
    parts = [Processes(rank, world).part(num) for rank in range(world)]
    assert [index for part in parts for index in range(num)[part]] == list(range(num))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("kind", ["d.npz", "pictures"])
def test_the_parts_of_a_batch_are_the_batch(kind, folder):
    """To the bit: windows, mirrors, rectangles and policies are drawn for the whole batch, whoever makes a picture."""
    split = open_source(str(folder / kind)).splits["train"]
    augment = Augment(crop="pad", hflip=0.5, random_erase=0.7, auto_augment="trivialaugment")
    preprocess = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.3,) * 3)

    def batches(part):
        settings = {"preprocess": preprocess, "batch_size": 6, "num_classes": 2, "bad": BadImages(0)}
        return list(picture_loader(split, augment=augment, seed=4, part=part, **settings).epoch(1, start=1))

    parts = [batches(Processes(rank, 4).part) for rank in range(4)]
    for number, whole in enumerate(batches(None)):
        for name in ("images", "targets", "indices"):
            joined = torch.cat([getattr(part[number], name) for part in parts])
            assert torch.equal(joined, getattr(whole, name)), (number, name)
    assert min(len(batch.images) for part in parts for batch in part) <= 1


def test_validation_sees_every_picture_once(folder):
    split = open_source(str(folder / "d.npz")).splits["val"]
    preprocess = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.3,) * 3)
    seen = [
        index
        for rank in range(3)
        for batch in picture_loader(
            split, preprocess=preprocess, batch_size=750, num_classes=2, bad=BadImages(0), part=Processes(rank, 3).part
        ).epoch(0)
        for index in batch.indices.tolist()
    ]
    assert seen == [0, 1]


def test_alone_nothing_is_sent():
    assert ALONE.gather("a") == ["a"] and ALONE.gather_numbers([1, 2]) == [[1, 2]] and ALONE.first(lambda: 3) == 3
    model = torch.nn.Linear(2, 1)
    assert ALONE.wrap(model, torch.empty(0, 2), sync_bn=True) is model


def test_the_environment_says_who_we_are(monkeypatch):
    assert Processes.from_environment() == ALONE
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match=r"WORLD_SIZE=4 without RANK.*torchrun"):
        Processes.from_environment()
    for name, value in {
        "RANK": "3",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "a",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert Processes.from_environment() == Processes(3, 4, 1, 2)


@pytest.mark.parametrize(("asked", "threads"), [("1", 4), ("3", None)])
def test_processes_share_the_cores(asked, threads, monkeypatch):
    """torchrun says one thread where nobody says anything; what somebody says stays."""
    set_to = []
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(distributed, "num_processors", lambda: 9)
    monkeypatch.setattr(distributed, "Path", lambda path: SimpleNamespace(exists=lambda: True, read_bytes=lambda: b"HOME=/"))
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    share_cores(Processes(0, 2, 0, 2))
    assert set_to == ([] if threads is None else [threads])


def test_one_thread_that_was_asked_for_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    launcher = SimpleNamespace(exists=lambda: True, read_bytes=lambda: b"HOME=/\0OMP_NUM_THREADS=1")
    monkeypatch.setattr(distributed, "Path", lambda path: launcher)
    monkeypatch.setattr(torch, "set_num_threads", lambda num: pytest.fail("changed"))
    share_cores(Processes(0, 2, 0, 2))


def test_processes_share_the_cores_for_decoding(monkeypatch):
    monkeypatch.setattr(machine, "num_processors", lambda: 6)
    assert machine.default_workers() == 6
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert machine.default_workers() == 1


def test_the_first_process_speaks_for_all(monkeypatch):
    monkeypatch.setattr(distributed, "PATIENCE", 0.05)
    store = dist.HashStore()
    store.set_timeout(timedelta(seconds=1))
    assert not said(Processes(1, 2), store, "wrong")  # the first one has said nothing
    assert not said(Processes(0, 2), store, "wrong")
    assert said(Processes(1, 2), store, "wrong") and not said(Processes(1, 2), store, "another")


def test_as_many_processes_as_the_run_began_with(tmp_path):
    run = RunDir(tmp_path)
    run.update_provenance(device={"processes": 2})
    plan.check_same_processes(run, 2)
    with pytest.raises(InputError, match="began with 2 processes, and now it is 3; go on with as many"):
        plan.check_same_processes(run, 3)
    run.update_provenance(device={})
    plan.check_same_processes(run, 1)
    with pytest.raises(InputError, match="began with 1 process, and now it is 2"):
        plan.check_same_processes(run, 2)


def test_every_process_takes_its_gpu(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    found = device.choose(Recipe(device="cuda", precision="float32"), Processes(3, 4, 1, 2))
    assert found.torch_device == torch.device("cuda", 1) and chosen == [found.torch_device]
    for name, processes in (("cuda", Processes(0, 4, 0, 4)), ("cuda:1", Processes(0, 2, 0, 2))):
        with pytest.raises(InputError, match=r"processes need a GPU each, of 2; give --device cuda"):
            device.choose(Recipe(device=name, precision="float32"), processes)
