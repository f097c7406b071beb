"""Whatever is kept, wherever: the same batches, and a file that is written once and never half."""

import os

import numpy as np
import pytest
from PIL import Image

from resnets.data import cache
from resnets.data.cache import Kept, Packed, decoded_bytes, gigabytes, keep
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.stored import ArrayImages, FileImages
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import Augment
from resnets.data.types import Split
from resnets.data.workers import BadImages
from resnets.errors import InputError
from tests.data.made import noise, picture_loader, same_batches

RULE = Preprocess(size=(8, 8), mean=(0.4,) * 3, std=(0.2,) * 3)


@pytest.fixture
def splits(tmp_path):
    """Pictures of different sizes, JPEGs and PNGs; one in each split is none."""
    made = {}
    for name, num in {"train": 20, "val": 7}.items():
        paths = [tmp_path / f"{name}{n}.{'png' if n % 3 else 'jpg'}" for n in range(num)]
        for n, path in enumerate(paths):
            Image.fromarray(noise(20 - n % 4, 14 + n % 5, seed=n)).save(path)
        paths[3].write_bytes(b"none")
        made[name] = Split(FileImages(paths, 3), np.arange(num) % 2)
    return made


def kept(kind, splits, folder, say=lambda text: None, **settings):
    return keep(kind, splits, folder=folder, say=say, **({"again": True, "workers": 0} | settings))


def batches(splits, workers=0, epochs=3):
    augment = Augment(crop="resized", hflip=0.5)
    loaders = [
        picture_loader(split, preprocess=RULE, batch_size=6, num_classes=2, bad=BadImages(2), augment=each, workers=workers)
        for split, each in ((splits["train"], augment), (splits["val"], None))
    ]
    found = [[batch for epoch in range(epochs) for batch in loader.epoch(epoch)] for loader in loaders]
    return found, [loader.bad.reasons for loader in loaders]


def same(one, two):
    assert one[1] == two[1], "the same pictures cannot be read"
    return all(same_batches(a, b) for a, b in zip(one[0], two[0], strict=True))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["auto", "memory", "disk"])
def test_a_cache_changes_nothing(splits, kind, workers, tmp_path, monkeypatch):
    plain = batches(splits, workers)
    monkeypatch.setattr(cache, "free_memory", lambda: 10**9)
    held, line = kept(kind, splits, tmp_path / "packed", workers=workers)
    assert {type(split.images) for split in held.values()} == {Packed if kind == "disk" else Kept} and "of decoded" in line
    assert same(batches(held, workers), plain) and same(batches(held), plain)


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_is_filled_once_and_by_every_worker(splits, workers, tmp_path):
    held, _ = kept("memory", splits, tmp_path, workers=workers)
    before = batches(held, workers, epochs=1)
    for split in splits.values():
        for index in range(len(split.targets)):
            if index != 3:
                split.images.path(index).unlink()
    assert same(batches(held, workers, epochs=1), before)


def test_what_does_not_fit_is_read_each_time(splits, tmp_path):
    images = splits["train"].images
    few = Kept(images, 3000)
    expected = [images[n] for n in range(20) if n != 3]
    for _ in range(2):
        assert all(np.array_equal(few[n], want) for n, want in zip([n for n in range(20) if n != 3], expected, strict=True))
    images.path(0).unlink()
    assert np.array_equal(few[0], expected[0])
    with pytest.raises(BadPicture):
        few[3]
    images.path(19).unlink()
    with pytest.raises(BadPicture, match=r"train19\.png: no such file"):
        few[19]


@pytest.mark.parametrize(
    ("free", "again", "line"),
    [
        (10**9, True, "0 MB of decoded images in memory (of 1.0 GB free)"),
        (10**9, False, "none: 0 MB decoded, 1.0 GB of memory free"),
        (60_000, True, "none: 0 MB decoded, 0 MB of memory free"),
    ],
    ids=["fits", "seen once", "too large"],
)
def test_auto_keeps_what_fits_and_is_seen_again(splits, free, again, line, monkeypatch):
    monkeypatch.setattr(cache, "free_memory", lambda: free)
    held, found = kept("auto", splits, None, again=again)
    assert found == line
    assert isinstance(held["val"].images, FileImages if "none" in line else Kept)


def test_memory_takes_a_part_where_not_all_fits(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "free_memory", lambda: 15_000)
    held, line = kept("memory", splits, tmp_path)
    assert "of which 0 MB are kept" in line
    assert same(batches(held), batches(splits))


def test_where_processes_are_not_forked_memory_is_not_shared(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(cache.multiprocessing, "get_start_method", lambda: "spawn")
    held, line = kept("memory", splits, tmp_path, workers=2)
    assert held == splits and line.startswith("none") and "use --cache disk, or --workers 0" in line
    assert isinstance(kept("memory", splits, tmp_path, workers=0)[0]["train"].images, Kept)


def test_pictures_in_memory_need_no_cache(tmp_path):
    split = Split(ArrayImages(np.zeros((4, 8, 8, 3), np.uint8), "train"), np.zeros(4, int))
    assert kept("memory", {"train": split, "val": split}, tmp_path) == ({"train": split, "val": split}, None)


def test_a_file_is_written_once_and_again_for_other_pictures(splits, tmp_path):
    folder, said = tmp_path / "packed", []
    held = kept("disk", splits, folder, said.append)[0]["train"].images
    files = sorted(folder.iterdir())
    assert len(files) == 2 and all(file.suffix == ".pixels" for file in files) and len(said) == 2
    kept("disk", splits, folder, said.append)
    assert len(said) == 2 and sorted(folder.iterdir()) == files
    again = Packed(*held.__reduce__()[1])
    assert np.array_equal(again[5], held[5])
    path = splits["train"].images.path(5)
    old = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns + 1))
    kept("disk", splits, folder, said.append)
    assert len(said) == 3, "a picture may be another without being larger"


def test_a_writer_that_was_killed_leaves_nothing(splits, tmp_path):
    folder = tmp_path / "packed"
    name = next(iter(kept("disk", splits, folder)[0].values())).images.path
    name.unlink()
    dead, alive = (name.with_name(f"{name.name}.{pid}.part") for pid in (2**22 + 5, os.getppid()))
    for half in (dead, alive):
        half.touch()
    kept("disk", splits, folder)
    assert name.exists() and not dead.exists() and alive.exists()


@pytest.mark.parametrize("fault", ["full", "breaks"])
def test_a_disk_without_room_is_an_error_with_a_remedy(splits, fault, tmp_path, monkeypatch):
    def breaks(*of):
        raise OSError(28, "No space left on device")

    if fault == "full":
        monkeypatch.setattr(cache.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 5}))
    else:
        monkeypatch.setattr(cache.os, "fsync", breaks)
    with pytest.raises(InputError, match="use --cache none"):
        kept("disk", splits, tmp_path / "packed")
    assert not list((tmp_path / "packed").iterdir())


def test_sizes_are_estimated_from_headers(splits):
    images = splits["train"].images
    exact = sum(images[n].size for n in range(20) if n != 3) / 19 * 20
    assert decoded_bytes(images) == pytest.approx(exact * cache.MARGIN, rel=1e-3)
    assert (gigabytes(190_400_000), gigabytes(310_040_000_000)) == ("190 MB", "310.0 GB")


def test_a_damaged_file_changes_nothing(splits, tmp_path):
    """Wherever a byte is another or missing: those pixels are read anew, or the file is written anew."""
    images, folder = splits["train"].images, tmp_path / "packed"
    expected = [images[n] for n in range(20) if n != 3]
    made = cache.packed(images, 0, folder, 0, lambda text: None)
    whole = made.path.read_bytes()
    damages = [whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :] for at in (0, 5000, len(whole) - 300, len(whole) - 1)]
    for damaged in (*damages, whole[:-1], whole[8:], whole[:40], b""):
        made.path.unlink()
        made.path.write_bytes(damaged)
        found = cache.packed(images, 0, folder, 0, lambda text: None)
        assert all(np.array_equal(found[n], want) for n, want in zip([n for n in range(20) if n != 3], expected, strict=True))
