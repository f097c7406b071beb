"""Where ONNX Runtime Web comes from: what is given, the cache, npm; and what each refusal says."""

import hashlib
import tarfile

import pytest

from resnets.errors import InputError
from resnets.ship.page import runtime

FILES = {runtime.SCRIPT: b"export{a as b};", runtime.WASM: b"\0asm"}


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Small files in place of the real ones, an empty cache, and no npm."""
    monkeypatch.setattr(runtime, "DIGESTS", {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()})
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def folder(path, files=FILES):
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def archive(path, source):
    with tarfile.open(path, "w:gz") as packed:
        packed.add(source, "package/dist")
    return path


def npm(tmp_path, script):
    """A program of that name that does what a shell script says."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "npm").write_text(f"#!/bin/sh\nPATH=/bin:/usr/bin\n{script}\n")
    (tmp_path / "bin" / "npm").chmod(0o755)


def test_a_package_that_is_given_is_kept(tmp_path):
    unpacked = folder(tmp_path / "package" / "dist")
    for given in (archive(tmp_path / "web.tgz", unpacked), unpacked, unpacked.parent, tmp_path):
        assert runtime.find(given) == (FILES[runtime.SCRIPT].decode(), FILES[runtime.WASM])
    assert sorted(path.name for path in runtime.cache().iterdir()) == sorted(FILES)
    unpacked.rename(tmp_path / "gone")
    assert runtime.find().wasm == FILES[runtime.WASM]


def test_without_any_the_error_says_how_to_get_it():
    with pytest.raises(InputError, match=r"no npm here; `pip install 'resnets\[html\]'` .*--web-runtime FILE.tgz"):
        runtime.find()


def test_npm_is_asked_for_one_version_once(tmp_path):
    packed = archive(tmp_path / "web.tgz", folder(tmp_path / "dist"))
    npm(tmp_path, f'echo "$@" >> {tmp_path}/asked; cp {packed} .')
    assert runtime.find() == runtime.find()
    assert (tmp_path / "asked").read_text() == f"pack onnxruntime-web@{runtime.VERSION} --silent\n"


@pytest.mark.parametrize("script", ["echo no network >&2; exit 1", "exit 3", "true", "echo >  x.tgz"])
def test_npm_that_fails(script, tmp_path):
    npm(tmp_path, script)
    with pytest.raises(InputError, match=r"did not bring|cannot be read|is missing"):
        runtime.find()
    assert not runtime.cache().exists()


def test_another_version_is_refused(tmp_path):
    other = folder(tmp_path / "other", FILES | {runtime.WASM: b"another"})
    with pytest.raises(InputError, match=f"{runtime.WASM} of onnxruntime-web {runtime.VERSION} is another one"):
        runtime.find(other)
    few = folder(tmp_path / "few", {runtime.SCRIPT: FILES[runtime.SCRIPT]})
    with pytest.raises(InputError, match=f"{runtime.WASM} of onnxruntime-web {runtime.VERSION} is missing"):
        runtime.find(archive(tmp_path / "few.tgz", few))
    (tmp_path / "no.tgz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"no.tgz.*npm pack"):
        runtime.find(tmp_path / "no.tgz")


def test_a_damaged_cache_is_asked_for_again(tmp_path):
    kept = folder(runtime.cache(), FILES | {runtime.WASM: b"damaged"})
    with pytest.raises(InputError, match="is another one"):
        runtime.find()
    assert not kept.exists() and not list((tmp_path / "cache").iterdir())
    assert runtime.find(folder(tmp_path / "dist")).wasm == FILES[runtime.WASM]
