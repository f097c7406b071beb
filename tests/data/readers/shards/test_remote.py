"""Shards over a network: fetched once, kept as long as there is room, and named when they cannot be read."""

import functools
import http.server
import threading

import fsspec
import numpy as np
import pytest

from resnets.data.readers import remote
from resnets.data.sources import open_source
from resnets.data.transforms import Augment
from resnets.data.workers import BadImages
from resnets.errors import InputError
from tests.data.made import picture_loader
from tests.data.readers.shards.made import RULE, expected, pixels, samples, shard_folder, tar


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def far_set(system, num=3, per=4):
    for number in range(num):
        system.pipe(f"/set/train-{number:03}.tar", tar(samples(number * per, per)))


def fetched(monkeypatch):
    """The shards that are fetched, in order."""
    found, real = [], remote._fetch
    monkeypatch.setattr(remote, "_fetch", lambda shard, path: found.append(shard.url) or real(shard, path))
    return found


@pytest.mark.parametrize("pattern", ["memory://set/train-{000..002}.tar", "memory://set/train-*.tar"])
def test_remote_shards_are_fetched_once(memory, pattern, monkeypatch):
    far_set(memory)
    memory.pipe("/set/classes.txt", b"a\nb\nc\n")
    got = fetched(monkeypatch)
    source = open_source(pattern)
    assert source.labels == ("a", "b", "c") and pixels(source) == expected(0, 12)
    assert pixels(open_source(pattern)) == expected(0, 12) and len(got) == 3


def test_a_far_shard_that_changed_is_fetched_again(memory):
    far_set(memory, num=1)
    before = open_source("memory://set/train-000.tar")
    assert pixels(before) == expected(0, 4)
    memory.pipe("/set/train-000.tar", tar(samples(50, 4)))
    assert pixels(open_source("memory://set/train-000.tar")) == expected(50, 4)


def test_room_is_made_by_what_was_used_longest_ago(memory, monkeypatch, tmp_path):
    far_set(memory, num=4)
    size = memory.size("/set/train-000.tar")
    monkeypatch.setenv("RESNETS_SHARD_BYTES", str(2 * size))
    got = fetched(monkeypatch)
    images = open_source("memory://set/train-{000..003}.tar").splits["train"].images
    assert sum(path.stat().st_size for path in (tmp_path / "home/shards/fetched").glob("*.tar")) == 2 * size and len(got) == 4
    assert np.array_equal(images[14], images[15]) is False and len(got) == 4
    assert images[0].tobytes() == expected(0, 1)[0] and len(got) == 5


def test_an_epoch_of_remote_shards_goes_through_windows(memory, monkeypatch):
    far_set(memory, num=20, per=3)
    size = memory.size("/set/train-000.tar")
    split = open_source("memory://set/train-{000..019}.tar").splits["train"]
    each = picture_loader(split, preprocess=RULE, batch_size=6, bad=BadImages(0), augment=Augment(crop="resized"), workers=0)
    orders = [each.samples.order(epoch) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(60))
        windows = [set(split.images.groups[part]) for part in (order[:24], order[24:48], order[48:])]
        assert [len(window) for window in windows] == [8, 8, 4] and len(set().union(*windows)) == 20
        assert (np.diff(split.images.groups[order[:24]]) != 0).sum() > 12, "shuffled within a window"
    assert not np.array_equal(orders[0], orders[1]) and np.array_equal(each.samples.order(1), orders[1])
    monkeypatch.setenv("RESNETS_SHARD_BYTES", str(9 * size))
    for path in (remote.cache_folder() / "fetched").glob("*.tar"):
        path.unlink()
    got = fetched(monkeypatch)
    assert sum(len(batch.indices) for batch in each.epoch(0)) == 60 and len(got) == len(set(got)) == 20
    assert len(set(split.images.groups[split.images.sample(30)])) == 8, "for a sample no more than a window is fetched"


@pytest.fixture
def server(tmp_path):
    """A web server on loopback: its address, and the folder it serves."""
    folder = tmp_path / "www"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *of):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}", folder
        serving.shutdown()


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_by_http(server, workers):
    pytest.importorskip("aiohttp")
    address, folder = server
    shard_folder(folder / "set")
    source = open_source(f"{address}/set/{{train,val}}-{{000..000}}.tar")
    assert list(source.splits) == ["train", "val"] and pixels(source) == expected(0, 4)
    for path in (remote.cache_folder() / "fetched").glob("*.tar"):
        path.unlink()  # so that the workers fetch them
    loader = picture_loader(source.splits["train"], preprocess=RULE, batch_size=4, bad=BadImages(0), workers=workers)
    assert [batch.indices.tolist() for batch in loader.epoch(0)] == [[0, 1, 2, 3]]


def test_what_is_not_there_is_named(server, memory):
    address, _ = server
    with pytest.raises(InputError, match=r"memory://set/train-000\.tar: there is no such file"):
        open_source("memory://set/train-000.tar")
    with pytest.raises(InputError, match=r"no shard matches"):
        open_source("memory://set/train-*.tar")
    with pytest.raises(InputError, match=r"nonsense://x/a\.tar: cannot be read|nonsense://x/a\.tar: .*pip install"):
        open_source("nonsense://x/a.tar")
    pytest.importorskip("aiohttp")
    with pytest.raises(InputError, match=r"train-000\.tar: there is no such file"):
        open_source(f"{address}/train-000.tar")


def test_a_library_that_is_missing_is_named(monkeypatch):
    def without(url):
        raise ImportError('HTTPFileSystem requires "requests" and "aiohttp" to be installed')

    monkeypatch.setattr(remote, "file_system", without)
    with pytest.raises(InputError, match=r"pip install 'resnets\[remote\]'"):
        open_source("https://localhost/train-000.tar")


def test_a_line_that_breaks_is_tried_again(memory, monkeypatch):
    far_set(memory, num=1)
    tries, real = [], remote.file_system

    def breaking(url):
        system, path = real(url)
        if url.endswith(".tar"):
            tries.append(url)
            if len(tries) == 2:  # the first asks for its size
                raise ConnectionError("broken pipe")
        return system, path

    monkeypatch.setattr(remote, "file_system", breaking)
    assert pixels(open_source("memory://set/train-000.tar")) == expected(0, 4) and len(tries) == 3
    assert not list((remote.cache_folder() / "fetched").glob("*.part"))
