"""What each switch of `resnets train` is worth on this machine: pictures a second of ResNet-20 on CIFAR-10, data included.

    python benchmarks/switches.py [--rounds 3] [--steps 120]

Every setting runs in a process of its own, in turn, round after round; a figure is the median over the rounds, a ratio the
median of the ratios to the default setting within a round. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SETTINGS = {
    "default": [],
    "--no-amp": ["--no-amp"],
    "--no-channels-last": ["--no-channels-last"],
}


def images_per_second(flags: list[str], steps: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        words = ["train", "cifar10", "--model", "resnet20_cifar", "--steps", str(steps), "--out", str(out), *flags]
        subprocess.run([sys.executable, "-m", "resnets", *words], check=True, capture_output=True)
        with (out / "metrics.csv").open() as file:
            return float(next(csv.DictReader(file))["images_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=120)
    options = parser.parse_args()
    speeds: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(options.rounds):
        for name, flags in SETTINGS.items():
            speeds[name].append(images_per_second(flags, options.steps))
    print(f"{'setting':<30}{'pictures/s':>12}{'ratio':>8}")
    for name, values in speeds.items():
        ratio = statistics.median(value / base for value, base in zip(values, speeds["default"], strict=True))
        print(f"{name:<30}{statistics.median(values):>12.0f}{ratio:>8.2f}")


if __name__ == "__main__":
    main()
