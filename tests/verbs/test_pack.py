"""What is packed is what was there: the same pictures, labels, groups and order; in any number of threads, after any stop."""

import csv
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.data.groups import crossing
from resnets.data.sources import open_source
from resnets.data.splits import cut_val
from resnets.engine.plan import settle
from resnets.errors import InputError, Interrupted
from resnets.verbs import pack as verb
from resnets.verbs import train as training
from resnets.verbs.pack import pack
from resnets.verbs.train import layers_of
from tests.cli.made import said
from tests.data.made import noise
from tests.data.made_folders import csv as list_file
from tests.engine.made import TINY
from tests.engine.running import assert_same, rows

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNETS_DATA", str(tmp_path / "home/datasets"))


def picture(path, n):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(20 + n % 5, 16 + n % 3, seed=n)).save(path)


@pytest.fixture
def folder(tmp_path):
    """30 pictures for training of three classes and six patients, and 6 to test on."""
    for n in range(36):
        split = "train" if n < 30 else "test"
        picture(tmp_path / "set" / split / ("ant", "bee", "cat")[n % 3] / f"p{n // 6}_{n}.{'png' if n % 4 else 'jpg'}", n)
    return tmp_path / "set"


def files(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def same(one, two, *splits):
    """Whether two sources have the same pictures with the same targets, in the same order."""
    assert one.labels == two.labels and list(one.splits) == list(two.splits)
    for name in splits or one.splits:
        a, b = one.splits[name], two.splits[name]
        assert np.array_equal(a.targets.values, b.targets.values)
        assert [a.images.relative(n) for n in range(len(a))] == [b.images.relative(n) for n in range(len(b))]
        assert all(np.array_equal(a.images[n], b.images[n]) for n in range(len(a)))
    return True


def test_shards_that_keep_all_bytes_are_the_folder_in_its_order(folder, tmp_path):
    found = pack(folder, out=tmp_path / "packed", size=0, format="keep", shard_size="8KB", workers=2)
    source = open_source(folder)
    assert same(source, open_source(tmp_path / "packed"))
    assert [split["num_kept"] for split in found["found"].values()] == [30, 6] and found["splits"]["train"]["num_shards"] > 3
    order = []
    for path in sorted((tmp_path / "packed").glob("train-*.tar")):
        with tarfile.open(path) as tar:
            order += [int(name.partition(".")[0]) for name in tar.getnames() if not name.endswith("json")]
    assert order != sorted(order) == list(range(30)), "the tars are not sorted by class"


def test_training_on_them_is_training_on_the_folder_bit_for_bit(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)
    pack(folder, out=tmp_path / "packed", size=0, format="keep", shard_size="8KB")
    for data, out in ((folder, "one"), (tmp_path / "packed", "two")):
        training.train(str(data), out=tmp_path / out, **TINY | {"img_size": 16, "crop": "resized", "cache": "none"})
    assert len(rows(tmp_path / "one")) == 3
    assert_same(tmp_path / "one", tmp_path / "two")


def test_any_number_of_threads_and_any_stop_give_the_same_bytes(folder, tmp_path, monkeypatch):
    options = {"size": 12, "shard_size": "4KB"}
    pack(folder, out=tmp_path / "one", workers=1, **options)
    pack(folder, out=tmp_path / "four", workers=4, **options)
    assert files(tmp_path / "one") == files(tmp_path / "four") and len(files(tmp_path / "one")) > 6
    real, written = verb.write_tar, []

    def stopped(path, entries):
        written.append(path.name)
        if len(written) == 4:
            next(iter(entries))
            raise KeyboardInterrupt
        return real(path, entries)

    monkeypatch.setattr(verb, "write_tar", stopped)
    with pytest.raises(Interrupted, match=r"the shards that are complete stay in .*; to go on: the same command with --resume"):
        pack(folder, out=tmp_path / "again", **options)
    assert sorted(path.name for path in (tmp_path / "again").glob("*.tar")) == written[:3]
    (tmp_path / "again/.train-00003.999.tar").write_bytes(b"half")  # as a kill leaves it
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "again").glob("t*.tar")}
    monkeypatch.setattr(verb, "write_tar", real)
    with pytest.raises(InputError, match="an earlier call has left this; go on with it by --resume, or choose another"):
        pack(folder, out=tmp_path / "again", **options)
    pack(folder, out=tmp_path / "again", resume=True, **options)
    assert files(tmp_path / "again") == files(tmp_path / "one")
    assert all(path.stat().st_mtime_ns == when for path, when in before.items()), "what was complete is not written again"
    pack(folder, out=tmp_path / "again", resume=True, **options)
    assert files(tmp_path / "again") == files(tmp_path / "one")


@pytest.mark.slow
def test_a_kill_leaves_no_half_shard_and_resume_ends_with_the_same_bytes(folder, tmp_path):
    for n in range(100, 220):
        picture(folder / "train/dog" / f"p{n}_{n}.png", n)
    words = [sys.executable, "-m", "resnets", "data", "pack", str(folder), "--size", "12", "--shard-size", "8KB", "-o"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*words, str(tmp_path / "killed")], env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(list((tmp_path / "killed").glob("train-*.tar"))) < 3 and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = list((tmp_path / "killed").glob("[tv]*.tar"))
    for path in there:
        with tarfile.open(path) as tar:
            assert len(tar.getnames()) > 1
    pack(folder, out=tmp_path / "killed", size=12, shard_size="8KB", resume=True)
    pack(folder, out=tmp_path / "whole", size=12, shard_size="8KB")
    assert 3 <= len(there) < len(list((tmp_path / "whole").glob("*.tar")))
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_groups_are_packed_and_a_training_goes_by_them_unasked(folder, tmp_path):
    found = pack(folder / "train", out=tmp_path / "packed", size=12, group_by="{patient}_*.*")
    assert found["found"]["train"]["num_groups"] == 5 and found["group_by"] == "{patient}_*.*"
    _, layers, task = layers_of(str(tmp_path / "packed"), TINY | {"img_size": 16})
    plan = settle(task, layers, None)
    assert plan.recipe.group_by == "pack_group" and set(plan.source.splits) == {"train", "val"}
    assert crossing(plan.source) == {} and len(set(plan.source.splits["val"].groups)) >= 1
    _, layers, task = layers_of(str(tmp_path / "packed"), TINY | {"img_size": 16, "group_by": "none"})
    assert settle(task, layers, None).source.splits["train"].groups is None
    # By a pattern of the path, which the shards keep, as in the folder.
    _, layers, task = layers_of(str(tmp_path / "packed"), TINY | {"img_size": 16, "group_by": "{patient}_*.*"})
    again = settle(task, layers, None).source.splits
    assert all(again[name].groups.tolist() == plan.source.splits[name].groups.tolist() for name in again)


def test_a_list_keeps_its_splits_columns_and_validation_cut(tmp_path):
    for n in range(24):
        picture(tmp_path / f"{n}.png", n)
    lines = [f"{n}.png,{'ab'[n % 2]},{'test' if n % 4 == 3 else 'train'},P{n // 3}" for n in range(24)]
    data = list_file(tmp_path / "list.csv", "path,label,split,patient", *lines)
    pack(data, out=tmp_path / "packed", size=0, format="keep")
    one, two = open_source(data), open_source(tmp_path / "packed")
    assert same(one, two) and two.splits["train"].columns["patient"].tolist() == one.splits["train"].columns["patient"].tolist()
    assert same(cut_val(one), cut_val(two))


def test_grey_pictures_of_one_size_stay_that(tmp_path):
    """And so a training on them has the same network, input and settings, unasked."""
    plans = []
    pack("digits", out=tmp_path / "packed")
    for data in ("digits", str(tmp_path / "packed"), f"{tmp_path}/packed/*-*.tar"):
        _, layers, task = layers_of(data, {"epochs": 1, "device": "cpu"})
        plans.append(settle(task, layers, None))
    one, *others = plans
    assert one.spec.in_chans == 1 and one.preprocess.size == (8, 8) and one.recipe.hflip == 0
    for plan in others:
        assert (plan.spec, plan.preprocess, plan.source.size) == (one.spec, one.preprocess, (8, 8))
        assert dataclasses.replace(plan.recipe, data="digits") == one.recipe
        for name, split in one.source.splits.items():
            again = plan.source.splits[name]
            assert np.array_equal(split.targets.values, again.targets.values)
            assert all(np.array_equal(split.images[n], again.images[n]) for n in range(len(split)))
    pack("digits", out=tmp_path / "small", size=6)
    assert (small := open_source(tmp_path / "small")).size == (6, 6) and small.splits["test"].images[0].shape == (6, 6, 1)
    assert open_source(tmp_path / "packed", in_chans=3).splits["test"].images[0].shape == (8, 8, 3)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"pictures": 3}', '{"pictures": {"in_chans": 2}}', '{"pictures": {"in_chans": 1, "size": [0, 8]}}', "{" * 99,
     '{"pictures": {"in_chans": 1, "size": [8, 8], "hflip": false, "more": 1}}', '{"pictures": {"in_chans": 1, "hflip": 3}}'],
)  # fmt: skip
def test_a_manifest_of_others_says_nothing(folder, tmp_path, text):
    pack(folder, out=tmp_path / "packed", size=12)
    (tmp_path / "packed/manifest.json").write_text(text)
    source = open_source(tmp_path / "packed")
    assert (source.in_chans, source.size, source.hflip) == (3, None, True)


def test_arrays_of_one_pixel_in_height(tmp_path):
    images = noise(5, 8).reshape(8, 1, 5, 3)
    np.savez(tmp_path / "d.npz", train_images=images, train_labels=np.arange(8) % 2)
    pack(tmp_path / "d.npz", out=tmp_path / "packed")
    one, two = (open_source(tmp_path / name).splits["train"].images for name in ("d.npz", "packed"))
    assert all(np.array_equal(one[n], two[n]) for n in range(8))


def test_several_labels_and_numbers(tmp_path):
    for n in range(12):
        picture(tmp_path / f"{n}.png", n)
    tags = list_file(
        tmp_path / "tags.csv", "path,labels", *[f"{n}.png,{('', 'cat', 'cat|dog', 'dog')[n % 4]}" for n in range(12)]
    )
    pack(tags, out=tmp_path / "tagged", task="tag", size=0, format="keep")
    assert same(open_source(tags, "tags"), open_source(tmp_path / "tagged", "tags"))
    assert open_source(str(tmp_path / "tagged/train-*.tar"), "tags").labels == ("cat", "dog")
    with pytest.raises(InputError, match="several labels for an image, which are for --task tag"):
        open_source(tmp_path / "tagged")
    ages = list_file(tmp_path / "ages.csv", "path,age,sex", *[f"{n}.png,{n * 1.1},{'mf'[n % 2]}" for n in range(12)])
    pack(ages, out=tmp_path / "aged", task="grade", target="age", size=0, format="keep")
    asked = TINY | {"task": "grade", "target": "age", "img_size": 16}
    for data in (ages, tmp_path / "aged", f"{tmp_path}/aged/train-*.tar"):
        _, layers, task = layers_of(str(data), asked)
        source = settle(task, layers, None).source
        assert source.labels == ("age",) and sorted(source.splits["train"].columns) == ["sex"]
        values = np.concatenate([split.targets.values for split in source.splits.values()])
        assert sorted(values.tolist()) == [float(np.float32(n * 1.1)) for n in range(12)]
    with pytest.raises(InputError, match="a number with a point, for --task grade"):
        open_source(tmp_path / "aged")


def test_unreadable_pictures_are_left_out_counted_and_listed_up_to_a_limit(folder, tmp_path):
    for n in (1, 5):
        next((folder / "train").glob(f"*/p*_{n}.*")).write_bytes(b"no picture")
    found = pack(folder, out=tmp_path / "packed", size=12, shard_size="4KB")
    assert found["found"]["train"] | {"num_bytes": 0} == {
        "num_images": 28, "num_kept": 0, "num_unreadable": 2, "num_bytes": 0, "counts": {"ant": 10, "bee": 9, "cat": 9},
    }  # fmt: skip
    with (tmp_path / "packed/bad_images.csv").open() as file:
        assert {Path(row["path"]).name for row in csv.DictReader(file)} == {"p0_1.png", "p0_5.png"}
    assert len(open_source(tmp_path / "packed").splits["train"]) == 28
    pack(folder, out=tmp_path / "packed", size=12, shard_size="4KB", resume=True)
    with pytest.raises(InputError, match="2 pictures cannot be read, and --max-bad allows 1"):
        pack(folder, out=tmp_path / "other", size=12, max_bad=1)


def test_what_is_refused(folder, tmp_path, capsys):
    pack(folder, out=tmp_path / "packed", size=12)
    wrong = {
        "size was 12, not 14": {"size": 14},
        "format was 'jpeg', not 'png'": {"size": 12, "format": "png"},
        "group_by was None, not 'folder'": {"size": 12, "group_by": "folder"},
    }
    for words, options in wrong.items():
        with pytest.raises(InputError, match=words):
            pack(folder, out=tmp_path / "packed", resume=True, **options)
    picture(folder / "train/ant/new.png", 7)
    with pytest.raises(InputError, match="fingerprint was"):
        pack(folder, out=tmp_path / "packed", size=12, resume=True)
    with pytest.raises(InputError, match="exists and is not empty"):
        pack(folder, out=folder)
    with pytest.raises(InputError, match=r"packed: is in .*/set, the data itself; choose a folder beside it with -o"):
        pack(str(folder), out=folder / "train/packed")
    assert not (folder / "train/packed").exists()
    for options in ({"shard_size": "much"}, {"format": "gif"}, {"quality": 0}, {"size": -1}):
        with pytest.raises(InputError, match=next(iter(options))):
            pack(folder, out=tmp_path / "new", **options)
    for name in ("JPEGImages", "Annotations"):
        (tmp_path / "boxes" / name).mkdir(parents=True)
    np.savez(tmp_path / "series.npz", X=np.zeros((6, 1, 16)), y=np.arange(6) % 2)
    for data, words in (("boxes", "boxes or masks"), ("series.npz", "series, and only pictures with labels of the whole")):
        with pytest.raises(InputError, match=words):
            pack(tmp_path / data, out=tmp_path / "new")
    whole = json.loads((tmp_path / "packed/manifest.json").read_text())
    for damaged in ({"version": 2}, whole | {"splits": 3}, whole | {"source": {}}, whole | {"rule": None}):
        (tmp_path / "packed/manifest.json").write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=r"manifest\.json: cannot be read as a manifest .*; remove it and the shards"):
            pack(folder, out=tmp_path / "packed", size=12, resume=True)
    (tmp_path / "packed/manifest.json").write_text("{}")
    with pytest.raises(InputError, match="not what `data pack` of this version writes"):
        pack(folder, out=tmp_path / "packed", resume=True)


def test_a_full_disk_is_said_before_and_while_writing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(verb.shutil, "disk_usage", lambda path: verb.shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(InputError, match="about 0 MB are needed, and 0 MB are free"):
        pack(folder, out=tmp_path / "packed")


def test_the_command_says_what_it_packed_and_the_shards_are_data(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, err = said(capsys, "data pack set -o packed --size 12 --quality 80 --resume")
    assert out.splitlines() == [
        "train: 30 pictures; 0 MB in 1 shards", "test: 6 pictures; 0 MB in 1 shards",
        "shorter side at most 12 pixels, jpeg of quality 80; read back and compared: packed",
    ]  # fmt: skip
    assert "train-00000.tar: 30 pictures" in err
    out, err = said(capsys, "data pack packed -o again --size 0 --format keep --json")
    assert err == "" or "pictures" in err
    assert json.loads(out)["found"]["train"]["num_kept"] == 30 and same(open_source("packed"), open_source("again"))
    out, _ = said(capsys, "data check packed")
    assert out.splitlines()[-1].startswith("packed: 36 pictures")
