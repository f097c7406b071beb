"""What torch says of itself, as a program that imports nothing else: a broken one may end its process. Prints JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

SIDE = 1024  # of the matrices


def told(seconds: float) -> dict[str, Any]:
    """Versions, devices and speed.

    Returns:
        "version", "threads", "cuda" (version or None), "devices" (name, memory in bytes, compute capability), "mps", and
        "gflops": 10**9 floating-point operations per second of a float32 matrix product on the processor.
    """
    import torch

    cuda = torch.cuda.is_available()
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count() if cuda else 0)]
    devices = [{"name": one.name, "memory": one.total_memory, "capability": f"{one.major}.{one.minor}"} for one in found]
    matrix = torch.rand(SIDE, SIDE)
    matrix @ matrix  # the first call sets things up
    num, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds or not num:
        matrix @ matrix
        num += 1
    return {
        "version": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "devices": devices,
        "mps": bool(torch.backends.mps.is_available()),
        "gflops": 2 * SIDE**3 * num / max(passed, 1e-9) / 1e9,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(told(float(sys.argv[1]))))
