"""The device that a run uses, and the settings that are fast on it."""

from __future__ import annotations

import math
import platform
import time
from dataclasses import dataclass
from typing import TypedDict

import torch

from resnets.data.machine import cpu_flags, cpu_name, find_mallopt
from resnets.engine.distributed import ALONE, Processes
from resnets.engine.recipe import Recipe
from resnets.errors import InputError
from resnets.models.nn import fused
from resnets.models.records import DeviceRecord

WORTH_COMPILING = 2e12  # forward multiply-adds of a run, about a minute on two cores; shorter runs do not gain by compiling


class Settled(TypedDict):
    """Settings of the recipe that depend on the machine, as `settle` chooses them."""

    precision: str
    channels_last: bool
    compile: bool
    fused: bool
    allocator: str


@dataclass(frozen=True)
class Device:
    """The device of a run, and how the network computes on it.

    Args:
        torch_device: where it computes.
        autocast: dtype of autocast; None: none, float32.
        channels_last: whether activations are channels last in memory.
        fused: whether norm, addition and ReLU are one operation (`resnets.models.nn.fused`).
        compile: whether `torch.compile` is used.
        allocator: "keep" (freed memory stays with the process) or "system".
    """

    torch_device: torch.device
    autocast: torch.dtype | None
    channels_last: bool
    fused: bool
    compile: bool
    allocator: str

    @property
    def name(self) -> str:
        return name_of(self.torch_device)

    def describe(self) -> DeviceRecord:
        """The device and its settings, for provenance.json."""
        return {
            "type": str(self.torch_device),
            "name": self.name,
            "threads": torch.get_num_threads(),
            "autocast": str(self.autocast).removeprefix("torch.") if self.autocast else None,
            "channels_last": self.channels_last,
            "fused": self.fused,
            "compile": self.compile,
            "allocator": self.allocator,
        }


def settle(recipe: Recipe, num_macs: float) -> Settled:
    """The settings that depend on the machine: the recipe's, and where it leaves them open, those that are fast there.

    Args:
        num_macs: multiply-adds of all forward passes of the run; infinite if not known.

    Raises:
        InputError: if the machine does not have the recipe's device.
    """
    device = find(recipe.device)
    on_cpu, is_long = device.type == "cpu", num_macs >= WORTH_COMPILING
    precision = recipe.precision
    if precision == "auto":
        precision = "bfloat16" if supports_bf16(device) else "float32"
    channels_last = on_cpu or precision != "float32" if recipe.channels_last is None else recipe.channels_last
    worth = device.type == "cuda" and is_long and recipe.compiles
    compile = worth if recipe.compile is None else recipe.compile
    # In float32 it gains with the norms of volumes, whose recipe asks for this order, and with no others.
    gains = precision == "bfloat16" or (precision == "float32" and bool(recipe.channels_last))
    can_fuse = on_cpu and is_long and channels_last and not compile and gains
    keeps = device.type == "cpu" and find_mallopt() is not None
    return {
        "precision": precision,
        "channels_last": channels_last,
        "compile": compile,
        # `kernels` is called last, so that short runs do not wait for the import of Numba.
        "fused": (can_fuse and fused.kernels() is not None) if recipe.fused is None else recipe.fused,
        "allocator": ("keep" if keeps else "system") if recipe.allocator == "auto" else recipe.allocator,
    }


def choose(recipe: Recipe, processes: Processes = ALONE) -> Device:
    """The device of the recipe (in distributed training this process's GPU), open settings chosen as for a long run.

    Raises:
        InputError: if the machine does not have that device, or a GPU for each process.
    """
    found, device = settle(recipe, math.inf), find(recipe.device)
    if device.type == "cuda" and not processes.alone:
        if device.index is not None or processes.local_world > torch.cuda.device_count():
            raise InputError(
                f"device={recipe.device!r}: {processes.local_world} processes need a GPU each, of {torch.cuda.device_count()}; "
                "give --device cuda, and at most as many processes as GPUs"
            )
        device = torch.device("cuda", processes.local_rank)
        torch.cuda.set_device(device)
    autocast = None if found["precision"] == "float32" else getattr(torch, found["precision"])
    return Device(device, autocast, found["channels_last"], found["fused"], found["compile"], found["allocator"])


def peak_flops(device: Device, seconds: float = 0.3) -> float:
    """The highest measured rate of matrix products in the device's precision, in floating-point operations per second.

    They grow up to the largest size, unless one takes long: a processor may have no instructions for float16.

    Args:
        seconds: how long to measure, about.
    """
    size, largest = 128, 2048 if device.torch_device.type == "cpu" else 8192
    best, took, until = 0.0, 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        if took < seconds / 10 and size < largest:
            size *= 2
            square = torch.ones(size, size, device=device.torch_device, dtype=device.autocast or torch.float32)
        wait_for(device.torch_device)
        began = time.perf_counter()
        square @ square
        wait_for(device.torch_device)
        took = time.perf_counter() - began
        best = max(best, 2 * size**3 / took)
    return best


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished all work submitted to it."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def find(name: str) -> torch.device:
    """The device called `name`; "auto" is the first available of cuda, mps and cpu.

    Raises:
        InputError: if the machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, found in available.items() if found)
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    num = torch.cuda.device_count() if device is not None and device.type == "cuda" else 1
    if device is None or not available.get(device.type) or (device.type == "cuda" and (device.index or 0) >= num):
        raise InputError(
            f"device={name!r} is not available; this machine has: {', '.join(k for k, found in available.items() if found)}"
        )
    return device


def name_of(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name() if device.type == "cpu" else platform.processor() or device.type


def supports_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is faster: on GPUs from compute capability 8 on, and on CPUs with instructions for it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and any(flag in cpu_flags() for flag in ("avx512_bf16", "amx_bf16"))
