"""Copies of what is in a store: complete, safe as paths, within limits."""

import errno
import os
from pathlib import Path

import pytest

from resnets.errors import InputError
from resnets.stores import address_of, addresses, local, mirror, told


def test_addresses():
    assert address_of("s3://bucket/a b/c/") == "s3://bucket/a b/c" == address_of(mirror.Path("s3://bucket/a b/c"))
    assert address_of("GS://bucket") == "gs://bucket"
    assert not any(map(address_of, ("s3", "https://host/x", "runs/s3:/x", "/s3://x", "s3://", None, 3)))
    with pytest.raises(InputError, match="an address, which is not fetched"):
        local("https://host/best.safetensors")


def test_a_folder_is_copied_once_and_brought_up_to_date(store, monkeypatch):
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        store.pipe(f"/bucket/set/{name}", name.encode())
    store.pipe("/bucket/set/.hidden", b"x")
    store.pipe("/bucket/settled", b"another with the same beginning")
    got, real = [], mirror.download
    monkeypatch.setattr(mirror, "download", lambda opening, path, *rest: got.append(path.name) or real(opening, path, *rest))
    path = local("memory://bucket/set/")
    assert path.name == "set" and sorted(p.relative_to(path).as_posix() for p in path.rglob("*.*")) == [
        "a/1.png",
        "a/2.png",
        "b/3.png",
    ]
    assert local("memory://bucket/set") == path and len(got) == 3
    store.pipe("/bucket/set/a/2.png", b"changed")
    store.rm("/bucket/set/b/3.png")
    (path / "a/1.png").write_bytes(b"damaged here")
    local("memory://bucket/set")
    assert [(path / f"a/{n}.png").read_bytes() for n in (1, 2)] == [b"a/1.png", b"changed"]
    assert not (path / "b/3.png").exists() and sorted(got[3:]) == ["1.png", "2.png"]
    assert told(f"{path}/a/1.png: x") == "memory://bucket/set/a/1.png: x"


def test_a_file_is_copied_by_itself(store):
    store.pipe("/bucket/best.safetensors", b"weights")
    store.pipe("/bucket/other", b"x" * 100)
    path = local("memory://bucket/best.safetensors")
    assert path.read_bytes() == b"weights" and [p.name for p in path.parent.iterdir()] == [path.name]
    with pytest.raises(InputError, match=r"memory://bucket/none: there is no such file or folder; check the name"):
        local("memory://bucket/none")


@pytest.mark.parametrize(
    "name", ["../x", "../../../etc/passwd", "a/../../x", "a/./x", "x" * 256, "a\0b", "/".join("abcdefgh" * 130)]
)
def test_names_that_leave_the_folder_are_refused(name):
    assert not addresses.is_safe(name) and addresses.is_safe("a/b c/ü.png")


class Hostile:
    """A store that lists what it likes."""

    def __init__(self, names, size=1, kind="file"):
        self.names, self.size, self.kind = names, size, kind

    def invalidate_cache(self):
        pass

    def info(self, root):
        return {"type": "directory"}

    def ls(self, folder, detail):
        rows = [{"name": f"b/set/{name}", "type": self.kind, "size": self.size, "ETag": "1"} for name in self.names]
        return rows if folder == "b/set" else [{"name": f"{folder}/deeper", "type": self.kind, "size": 0}]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["../../x"], r"'\.\./\.\./x', which can be no file's name here; rename it"),
        (["/etc/passwd"], "can be no file's name here"),
        (["a", "a/b"], r"of 'a/b' a part is an object and a folder; rename one"),
        ([f"{n}.png" for n in range(11)], "more than 10 objects; pack pictures to shards"),
    ],
)
def test_hostile_listings_are_refused_before_anything_is_fetched(names, words, monkeypatch):
    monkeypatch.setattr(addresses, "MAX_OBJECTS", 10)
    monkeypatch.setattr(mirror, "file_system", lambda url: (Hostile(names), "b/set"))
    with pytest.raises(InputError, match=words):
        local("s3://b/set")


def test_folders_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(mirror, "file_system", lambda url: (Hostile(["a"], kind="directory"), "b/set"))
    with pytest.raises(InputError, match="can be no file's name here"):
        local("s3://b/set")


def test_more_than_the_cache_or_the_disk_holds_is_refused(monkeypatch):
    monkeypatch.setattr(mirror, "file_system", lambda url: (Hostile(["huge"], size=10**18), "b/set"))
    with pytest.raises(
        InputError, match="1,000,000,000,000,000,000 bytes, more than the 50,000,000,000 of the cache; give a part"
    ):
        local("s3://b/set")
    monkeypatch.setenv("RESNETS_STORE_BYTES", str(10**17 * 9))
    monkeypatch.setattr(mirror, "file_system", lambda url: (Hostile(["huge"], size=10**17), "b/set"))
    with pytest.raises(InputError, match="free some space, or set RESNETS_DATA to another disk"):
        local("s3://b/set")


def test_room_is_made_by_what_was_used_longest_ago(store, monkeypatch):
    for name in "abc":
        store.pipe(f"/bucket/{name}", b"x" * 100)
    homes = [local(f"memory://bucket/{name}").parents[1] for name in "ab"]
    for home in homes:  # as after the process that used them
        os.close(mirror.IN_USE.pop(home))
    os.utime(homes[0], (1, 1))
    monkeypatch.setenv("RESNETS_STORE_BYTES", "400")
    local("memory://bucket/c")
    assert [home.exists() for home in homes] == [False, True]


def test_what_breaks_off_is_tried_again(store, monkeypatch):
    store.pipe("/bucket/x", b"x" * 100)
    store.pipe("/bucket/y", b"y")
    tries, real = [], store.open

    def breaking(path, *words, **more):
        tries.append(path)
        if len(tries) < 3:
            raise ConnectionError("broken pipe")
        return real(path, *words, **more)

    monkeypatch.setattr(type(store), "open", lambda self, *words, **more: breaking(*words, **more))
    assert local("memory://bucket/x").read_bytes() == b"x" * 100 and len(tries) == 3
    monkeypatch.setattr(type(store), "open", lambda self, *words, **more: 1 / 0)
    with pytest.raises(InputError, match=r"memory://bucket/y: cannot be read \(.*\); check the address, and the credentials"):
        local("memory://bucket/y")


def test_a_full_disk_here_is_no_fault_of_the_store(store, monkeypatch):
    store.pipe("/bucket/x", b"x")
    tries = []

    def full(self, *words, **more):
        tries.append(self)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(addresses, "BACKOFF_SECONDS", 1e9)
    with monkeypatch.context() as still:
        still.setattr(type(store), "open", full)
        with pytest.raises(InputError, match=r"files/x: cannot be written \(No space left on device\); free some space"):
            local("memory://bucket/x")
    assert len(tries) == 1
    (folder := mirror.Mirror("memory://bucket/y").root).mkdir(parents=True)
    store.pipe("/bucket/y", b"y")

    def refused(self, to):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(InputError, match=r"cannot be written \(Permission denied\); set RESNETS_DATA to another folder"):
        addresses.download(lambda: (store, "/bucket/y"), folder / "y", 1, 9)


def test_long_names_that_begin_alike(store):
    """As long as file systems take them; several are fetched at once, each to a file of its own."""
    names = ["字" * 70 + "a" * 40 + str(number) for number in range(9)]
    assert all(200 < len(name.encode()) <= 255 for name in names)
    for name in names:
        store.pipe(f"/bucket/set/{name}", name.encode())
    assert {path.name: path.read_text() for path in local("memory://bucket/set").iterdir()} == {name: name for name in names}
