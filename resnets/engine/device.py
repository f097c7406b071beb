"""Which machine, and what is fast on it."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnets.engine.distributed import ALONE, Processes
from resnets.engine.recipe import Recipe
from resnets.errors import InputError
from resnets.models.nn import fused
from resnets.models.records import DeviceRecord

WORTH_COMPILING = 2e12  # multiply-adds of a run (forward), about a minute on two cores; below, compiling costs what it gains
KEPT_BYTES = 2**30


@dataclass(frozen=True)
class Device:
    """Where tensors live, and how the network computes there."""

    place: torch.device
    autocast: torch.dtype | None
    channels_last: bool
    fused: bool
    compile: bool
    allocator: str

    @property
    def name(self) -> str:
        return name_of(self.place)

    def describe(self) -> DeviceRecord:
        """For the provenance of a run."""
        return {
            "type": str(self.place),
            "name": self.name,
            "threads": torch.get_num_threads(),
            "autocast": str(self.autocast).removeprefix("torch.") if self.autocast else None,
            "channels_last": self.channels_last,
            "fused": self.fused,
            "compile": self.compile,
            "allocator": self.allocator,
        }


def settle(recipe: Recipe, num_macs: float) -> dict[str, Any]:
    """What the recipe leaves to the machine, by what is fast on it: {setting: value}.

    Args:
        num_macs: multiply-adds of all forward passes of the run; infinite where that is not known.
    """
    place = find(recipe.device)
    on_cpu, is_long = place.type == "cpu", num_macs >= WORTH_COMPILING
    precision = recipe.precision
    if precision == "auto":
        precision = "bfloat16" if supports_bf16(place) else "float32"
    channels_last = precision != "float32" if recipe.channels_last is None else recipe.channels_last
    worth = place.type == "cuda" and is_long and recipe.compiles
    compile = worth if recipe.compile is None else recipe.compile
    can_fuse = on_cpu and is_long and channels_last and not compile and precision != "float16"
    keeps = place.type == "cpu" and find_mallopt() is not None
    return {
        "precision": precision,
        "channels_last": channels_last,
        "compile": compile,
        # The loops come last: a run that is too short for them need not wait for Numba's import.
        "fused": (can_fuse and fused.kernels() is not None) if recipe.fused is None else recipe.fused,
        "allocator": ("keep" if keeps else "system") if recipe.allocator == "auto" else recipe.allocator,
    }


def choose(recipe: Recipe, processes: Processes = ALONE) -> Device:
    """The device of the recipe, of several GPUs this process's; what is still left open is chosen as for a long run."""
    found, place = settle(recipe, math.inf), find(recipe.device)
    if place.type == "cuda" and not processes.alone:
        if place.index is not None or processes.local_world > torch.cuda.device_count():
            raise InputError(
                f"device={recipe.device!r}: {processes.local_world} processes take a GPU each, of {torch.cuda.device_count()}; "
                "give --device cuda, and at most as many processes as GPUs"
            )
        place = torch.device("cuda", processes.local_rank)
        torch.cuda.set_device(place)
    autocast = None if found["precision"] == "float32" else getattr(torch, found["precision"])
    return Device(place, autocast, found["channels_last"], found["fused"], found["compile"], found["allocator"])


def peak_flops(device: Device, seconds: float = 0.3) -> float:
    """Operations a second of the best of some large matrix products in the precision of `device`: what it can reach at all."""
    size = 2048 if device.place.type == "cpu" else 8192
    a, b = (torch.ones(size, size, device=device.place, dtype=device.autocast or torch.float32) for _ in range(2))
    best, until = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < until or best == math.inf:
        wait_for(device.place)
        began = time.perf_counter()
        a @ b
        wait_for(device.place)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def wait_for(place: torch.device) -> None:
    """Until all that it was given is done."""
    if place.type != "cpu":
        torch.accelerator.synchronize(place)


def keep_memory() -> None:
    """Let the process keep what it frees, up to `KEPT_BYTES`, and take large blocks from there too.

    By itself glibc gives large blocks back to the system, which clears each page anew when it is next touched: a training step
    allots and frees the same activations every time.
    """
    if (mallopt := find_mallopt()) is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def find_mallopt() -> Any:
    """glibc's function; None where memory comes from another allocator."""
    preloaded = os.environ.get("LD_PRELOAD", "")
    if platform.libc_ver()[0] != "glibc" or any(name in preloaded for name in ("tcmalloc", "jemalloc", "mimalloc")):
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)


def find(name: str) -> torch.device:
    """The device called `name`; "auto" is the first of cuda, mps and cpu that is there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, found in there.items() if found)
    try:
        place = torch.device(name)
    except RuntimeError:
        place = None
    if place is None or not there.get(place.type) or (place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count()):
        raise InputError(
            f"device={name!r} is not here; this machine has: {', '.join(kind for kind, found in there.items() if found)}"
        )
    return place


def name_of(place: torch.device) -> str:
    if place.type == "cuda":
        return torch.cuda.get_device_name(place)
    return cpu_name() if place.type == "cpu" else platform.processor() or place.type


def supports_bf16(place: torch.device) -> bool:
    """Whether autocast to bfloat16 pays: on GPUs of compute capability 8 on, on processors with instructions for it."""
    if place.type == "cuda":
        return torch.cuda.get_device_capability(place)[0] >= 8
    return place.type == "cpu" and any(flag in cpu_flags() for flag in ("avx512_bf16", "amx_bf16"))


def cpu_flags() -> set[str]:
    return set(_cpuinfo("flags").split())


def cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    """A line of Linux' /proc/cpuinfo; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
