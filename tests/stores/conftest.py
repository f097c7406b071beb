"""Stores to test with: fsspec's in memory, and a real S3 interface on this machine."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import fsspec
import pytest

from resnets.stores import addresses, claims, mirror, publish


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    """A cache of the test's own, and no waiting."""
    monkeypatch.setenv("RESNETS_DATA", str(tmp_path / "cache/datasets"))
    monkeypatch.setattr(addresses, "BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr(claims, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(publish, "EVERY_SECONDS", 0.02)
    monkeypatch.setattr(mirror, "FRESH_SECONDS", 0.0)
    addresses.SHOWN.clear()


@pytest.fixture
def store(monkeypatch):
    """A store in memory, memory://..., with the interface of all others."""
    monkeypatch.setattr(addresses, "PROTOCOLS", (*addresses.PROTOCOLS, "memory"))
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="session")
def s3_server():
    """The address of moto's server, an S3 interface over HTTP that keeps its content in memory."""
    pytest.importorskip("moto.server", reason="needs moto[server]")
    pytest.importorskip("s3fs", reason="needs s3fs")
    port = free_port()
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
            break
        except OSError:
            assert server.poll() is None, "moto's server has ended"
            time.sleep(0.1)
    yield address
    server.kill()
    server.wait()


SAID = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def s3(s3_server, monkeypatch):
    """An empty bucket `runs` on the server, as fsspec's file system; the environment says where it is."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**SAID, "AWS_ENDPOINT_URL": s3_server, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    system = fsspec.filesystem("s3")
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/moto-api/reset", method="POST")).close()
    system.mkdir("runs")
    return system
