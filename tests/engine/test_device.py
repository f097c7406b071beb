"""Which machine, and what is left to it."""

import itertools
import json
from types import SimpleNamespace

import pytest
import torch

from resnets.data import machine
from resnets.data.machine import default_workers
from resnets.engine import device as devices
from resnets.engine.recipe import Recipe
from resnets.errors import InputError


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cuda:99", "tpu"])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(name):
    with pytest.raises(InputError, match=rf"device='{name}' is not available; this machine has: .*cpu"):
        devices.find(name)


def test_auto_is_the_best_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert devices.find("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.find("auto").type == "mps"


def test_auto_takes_the_first_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert devices.find("auto").type == "cuda"
    with pytest.raises(InputError, match="cuda:1"):
        devices.find("cuda:1")


@pytest.mark.parametrize("pays", [True, False])
def test_what_is_left_open_is_what_is_fast(pays, monkeypatch):
    monkeypatch.setattr(devices, "supports_bf16", lambda place: pays)
    found = devices.choose(Recipe(device="cpu"))
    assert (found.autocast, found.channels_last) == (torch.bfloat16 if pays else None, True)


@pytest.mark.parametrize(
    ("settings", "autocast", "channels_last"),
    [
        ({"precision": "bfloat16"}, torch.bfloat16, True),
        ({"precision": "float32"}, None, True),
        ({"precision": "float32", "channels_last": False}, None, False),
        ({"precision": "float16", "channels_last": False}, torch.float16, False),
        ({"precision": "float32", "channels_last": True}, None, True),
    ],
    ids=str,
)
def test_what_was_asked_for_is_done(settings, autocast, channels_last):
    found = devices.choose(Recipe(device="cpu", **settings))
    assert (found.autocast, found.channels_last) == (autocast, channels_last)


@pytest.mark.parametrize(
    ("settings", "num_macs", "is_fused"),
    [
        ({}, 1e15, True),
        ({}, 1e9, False),  # compiling takes longer
        ({"fused": True}, 1e9, True),
        ({"fused": False}, 1e15, False),
        ({"channels_last": False}, 1e15, False),
        ({"compile": True}, 1e15, False),
        ({"precision": "float16"}, 1e15, False),
        ({"precision": "float32"}, 1e15, False),  # memory is not what limits it
        ({"precision": "float32", "channels_last": True}, 1e15, True),
    ],
    ids=str,
)
def test_norms_are_fused_where_that_pays(settings, num_macs, is_fused, monkeypatch):
    monkeypatch.setattr(devices, "supports_bf16", lambda place: True)
    monkeypatch.setattr(devices.fused, "kernels", lambda: "compiled loops")
    assert devices.settle(Recipe(device="cpu", **settings), num_macs)["fused"] == is_fused


def test_without_compiled_loops_nothing_is_fused(monkeypatch):
    monkeypatch.setattr(devices.fused, "kernels", lambda: None)
    assert not devices.settle(Recipe(device="cpu"), 1e15)["fused"]


@pytest.mark.parametrize(("preload", "allocator"), [("", "keep"), ("/usr/lib/libtcmalloc.so.4", "system")])
def test_memory_is_kept_where_glibc_allots_it(preload, allocator, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", preload)
    monkeypatch.setattr(machine.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=print))
    assert devices.settle(Recipe(device="cpu"), 1e15)["allocator"] == allocator
    assert devices.settle(Recipe(device="cpu", allocator="system"), 1e15)["allocator"] == "system"


@pytest.mark.parametrize(
    ("flags", "pays"), [({"avx512_bf16"}, True), ({"amx_bf16", "sse"}, True), ({"avx2"}, False), (set(), False)]
)
def test_bf16_pays_on_processors_with_instructions_for_it(flags, pays, monkeypatch):
    monkeypatch.setattr(devices, "cpu_flags", lambda: flags)
    assert devices.supports_bf16(torch.device("cpu")) == pays


def test_the_record_of_a_device_is_json():
    found = json.loads(json.dumps(devices.choose(Recipe(device="cpu", precision="bfloat16")).describe()))
    assert (found["type"], found["autocast"], found["threads"]) == ("cpu", "bfloat16", torch.get_num_threads())
    assert found["name"]


def test_number_of_processors():
    assert default_workers() >= 1


def test_a_slow_product_is_the_last_and_none_larger_is_tried(monkeypatch):
    """As float16 is where a processor has no instructions for it: a product of the largest size took a minute."""
    clock = itertools.count()
    monkeypatch.setattr(devices.time, "perf_counter", lambda: float(next(clock)))
    device = devices.Device(torch.device("cpu"), None, channels_last=False, fused=False, compile=False, allocator="keep")
    assert devices.peak_flops(device, seconds=4) == 2 * 256**3
