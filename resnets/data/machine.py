"""The machine that this process runs on: its processor, and how much of it may be used. No torch."""

from __future__ import annotations

import ctypes
import math
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

# Instructions that matter here, by what people call them: flags of /proc/cpuinfo, any of which is enough.
INSTRUCTIONS = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "VNNI": ("avx512_vnni", "avx_vnni"),
    "bf16": ("avx512_bf16", "amx_bf16", "bf16"),
    "AMX": ("amx_tile",),
}
CGROUP = Path("/sys/fs/cgroup")


def cpu_flags() -> set[str]:
    """The processor's flags, on Linux; elsewhere none are known."""
    return set((_cpuinfo("flags") or _cpuinfo("Features")).split())


def cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    """The value of `key` in /proc/cpuinfo (Linux); "" elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def instructions() -> dict[str, bool] | None:
    """Which of `INSTRUCTIONS` the processor has; None where that is not known."""
    flags = cpu_flags()
    return {name: any(flag in flags for flag in any_of) for name, any_of in INSTRUCTIONS.items()} if flags else None


def num_usable() -> float:
    """Processors that this process may use: by its affinity and, in parts of one, by the container's limit (cgroup)."""
    return min(float(num_processors()), _quota())


def _quota() -> float:
    """Processors by the limit of the container; infinite without one."""
    with suppress(OSError, ValueError):  # version 2, then 1
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = ((CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return math.inf if int(quota) <= 0 else int(quota) / int(period)
    return math.inf


def num_processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Default number of loader processes: the number of usable processors, divided among torchrun's processes, 1 to 8."""
    return max(1, min(8, num_processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def load() -> float | None:
    """How many processes wanted to compute in the last minute, on average; None where that is not known."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


KEPT_BYTES = 2**30  # of freed memory that the process keeps
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


def keep_memory() -> None:
    """Let glibc keep freed memory in the process, up to `KEPT_BYTES`, and allocate large blocks from it.

    By default glibc returns large blocks to the system, which must clear each page when it is used again; and every batch
    allocates and frees the same activations, in training as in answers. Does nothing with another allocator.
    """
    if (mallopt := find_mallopt()) is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def find_mallopt() -> Any:
    """glibc's function `mallopt`; None if the process uses another allocator."""
    preloaded = os.environ.get("LD_PRELOAD", "")
    if platform.libc_ver()[0] != "glibc" or any(name in preloaded for name in ("tcmalloc", "jemalloc", "mimalloc")):
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)
