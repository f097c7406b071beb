"""Shards are as good as folders: the same pictures and labels, every one once."""

import json

import numpy as np
import pytest

from resnets.data.check import check
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.stored import FileImages
from resnets.data.readers import shards
from resnets.data.readers.shards import expand
from resnets.data.sources import open_source
from resnets.data.splits import cut_val
from resnets.data.transforms import Augment
from resnets.data.types import Split
from resnets.data.workers import BadImages
from resnets.errors import InputError
from tests.data.made import picture_loader, same_batches
from tests.data.readers.shards.made import RULE, encoded, expected, pixels, samples, shard_folder, tar


def test_a_folder_of_shards(tmp_path):
    source = open_source(shard_folder(tmp_path / "set"))
    assert (source.name, source.labels, list(source.splits)) == ("set", ("0", "1", "2"), ["train", "val"])
    assert source.splits["train"].targets.values.tolist() == [n % 3 for n in range(12)]
    assert pixels(source) == expected(0, 12) and pixels(source, "val") == expected(100, 4)
    images = source.splits["train"].images
    assert images.name(5).endswith("train-001.tar: 00005.png") and images.short_side() == 10
    assert images.subset([7, 2]).name(0) == images.name(7) and np.array_equal(images.subset([7, 2])[1], images[2])
    with pytest.raises(IndexError):
        images[12]


@pytest.mark.parametrize("pattern", ["set/train-{000..002}.tar", "set/train-*.tar", "set/train-{000,001,002}.tar"])
def test_patterns(tmp_path, pattern, monkeypatch):
    shard_folder(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    assert pixels(open_source(pattern)) == expected(0, 12)


def test_both_splits_in_a_pattern_and_one_tar_alone(tmp_path):
    root = shard_folder(tmp_path / "set")
    assert list(open_source(f"{root}/{{val,train}}-{{000..000}}.tar").splits) == ["train", "val"]
    assert len(open_source(root / "train-001.tar").splits["train"].targets) == 4


def test_expand():
    assert expand("a{08..11}b{x,y}") == [f"a{n:02}b{c}" for n in range(8, 12) for c in "xy"]
    assert expand("plain") == ["plain"] and expand("{3..2}") == []
    for pattern in ("{0..99999999999}", "{0..999}{0..999}"):
        with pytest.raises(InputError, match="more than 100,000 shards"):
            expand(pattern)


def test_names_of_classes(tmp_path):
    root = shard_folder(tmp_path / "set")
    (root / "classes.txt").write_text("zebra\ncat\ndog\nunused\n")
    assert open_source(root).labels == ("zebra", "cat", "dog")
    (root / "classes.txt").write_text("zebra\ncat\n")
    with pytest.raises(InputError, match=r"train-000\.tar: class 2, and classes\.txt has 2 lines"):
        open_source(root)


def test_labels_in_json_and_numbers_in_their_order(tmp_path):
    labels = [10, 9, "cat", 10]
    members = samples(0, 4, lambda n: {"json": json.dumps({"label": labels[n], "more": 1})})
    (tmp_path / "train.tar").write_bytes(tar(members))
    source = open_source(tmp_path / "train.tar")
    assert source.labels == ("9", "10", "cat") and source.splits["train"].targets.values.tolist() == [1, 0, 2, 1]


def test_a_set_of_shards_is_trained_and_evaluated_as_a_folder_is(tmp_path):
    paths = [tmp_path / f"{n}.png" for n in range(12)]
    for n, path in enumerate(paths):
        path.write_bytes(encoded(n))
    near = open_source(shard_folder(tmp_path / "set")).splits["train"]
    files = Split(FileImages(paths, 3), near.targets)
    for augment in (None, Augment(crop="resized", hflip=0.5)):
        found = [
            list(
                picture_loader(split, preprocess=RULE, batch_size=5, bad=BadImages(0), augment=augment, workers=workers).epoch(
                    1
                )
            )
            for split, workers in ((files, 0), (near, 0), (near, 2))
        ]
        for other in found[1:]:
            assert same_batches(found[0], other)


def test_val_is_cut_and_the_fingerprint_follows_the_content(tmp_path):
    root = shard_folder(tmp_path / "set", val=0)
    source = open_source(root)
    assert {name: len(split.targets) for name, split in cut_val(source).splits.items()} == {"train": 9, "val": 3}
    before = source.fingerprint()
    assert open_source(root).fingerprint() == before
    (root / "train-002.tar").write_bytes(tar(samples(50, 4)))
    assert open_source(root).fingerprint() != before


def test_an_index_is_written_once_and_again_where_it_is_spoilt_or_old(tmp_path, monkeypatch):
    root = shard_folder(tmp_path / "set")
    before, read = open_source(root).fingerprint(), []
    real = shards.read_index
    monkeypatch.setattr(shards, "read_index", lambda *of: read.append(of[1]) or real(*of))
    assert open_source(root).fingerprint() == before and not read
    index = sorted((tmp_path / "home/shards/index").iterdir())
    assert len(index) == 4
    index[0].write_text("[[1")
    index[1].write_text('{"a": 1}')
    assert open_source(root).fingerprint() == before and len(read) == 2
    (root / "val-000.tar").write_bytes(tar(samples(200, 3)))
    assert pixels(open_source(root), "val") == expected(200, 3)


def test_a_picture_that_cannot_be_read_is_named_with_its_shard(tmp_path):
    members = samples(0, 4)
    members[2] = ("00001.png", encoded(1)[:60])
    (tmp_path / "train.tar").write_bytes(tar(members))
    images = open_source(tmp_path / "train.tar").splits["train"].images
    with pytest.raises(BadPicture, match=r"train\.tar: 00001\.png: "):
        images[1]
    assert np.array_equal(images[2], open_source(tmp_path / "train.tar").splits["train"].images[2])


def test_data_check_reads_shards(tmp_path):
    findings = check(open_source(shard_folder(tmp_path / "set")))
    assert findings is not None
