"""Memory and time of a training step of a 1202-layer network, with and without `checkpoint_activations`.

    python benchmarks/checkpointing.py [--model resnet1202_cifar] [--batch-size 16]

Each case runs in a process of its own. Memory is the largest resident set during the step, less that before it (model, batch
and libraries); it includes gradients, which are the same in both.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time


def step(name: str, batch_size: int, checkpoint_activations: bool) -> tuple[float, float]:
    """One forward and backward pass: MiB above what was there before, and seconds."""
    import torch

    from resnets.ship.hub import create_model

    torch.manual_seed(0)
    model = create_model(name)
    model.checkpoint_activations = checkpoint_activations
    size = model.spec.img_size
    x = torch.randn(batch_size, model.spec.in_chans, size, size)
    targets = torch.arange(batch_size) % model.spec.num_classes
    baseline, start = peak_mib(), time.perf_counter()
    torch.nn.functional.cross_entropy(model(x), targets).backward()
    return peak_mib() - baseline, time.perf_counter() - start


def peak_mib() -> float:
    """The largest resident set so far. Linux counts it in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet1202_cifar")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--checkpoint-activations", action=argparse.BooleanOptionalAction, help="run this case alone, and here")
    args = parser.parse_args()
    if args.checkpoint_activations is not None:
        print(*step(args.model, args.batch_size, args.checkpoint_activations))
        return
    # Not from torch: on Linux a process starts with the memory mark of the one that started it.
    place = f"torch {importlib.metadata.version('torch')}, {os.cpu_count()} CPUs, {platform.machine()}"
    print(f"{args.model}, batch {args.batch_size}, {place}")
    print(f"{'checkpoint_activations':24}{'peak memory':>14}{'step':>10}")
    for flag in ("--no-checkpoint-activations", "--checkpoint-activations"):
        command = [sys.executable, __file__, "--model", args.model, "--batch-size", str(args.batch_size), flag]
        mib, seconds = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        print(f"{'off' if flag.startswith('--no') else 'on':24}{mib:>10.0f} MiB{seconds:>8.1f} s")


if __name__ == "__main__":
    main()
