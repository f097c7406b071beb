"""Does speed cost accuracy? The same short schedule with each switch of `resnets train` on and off, over several seeds.

    python benchmarks/switches.py [--epochs 2] [--seeds 3] [--at-once 2] [--out benchmarks/switches.md]

ResNet-20 on CIFAR-10, accuracy on the official test split of the last weights. Every run is a process of its own, so many
`--at-once` that this measures no speed (`resnets bench train` does). Runs that are in `--runs DIR` are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SWITCHES: dict[str, list[str]] = {
    "everything as chosen": [],
    "--precision float32": ["--precision", "float32", "--channels-last", "--fused"],
    "--no-channels-last --no-fused": ["--no-channels-last", "--no-fused"],
    "--no-fused": ["--no-fused"],
    "--allocator system": ["--allocator", "system"],
    "--grow-from 1": ["--grow-from", "1"],
}


def accuracy(flags: list[str], seed: int, epochs: int, out: Path, threads: int) -> float:
    """Of one run, in per cent."""
    if not (out / "report.html").exists():
        words = ["train", "cifar10", "--model", "resnet20_cifar", "--epochs", str(epochs), "--select", "last", "--fused"]
        words += [*flags, "--seed", str(seed), "--out", str(out)]
        words += ["--resume"] if (out / "recipe.yaml").exists() else []
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(
            [sys.executable, "-m", "resnets", *words], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
    return 100 * json.loads((out / "provenance.json").read_text())["result"]["top1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/switches"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    options = parser.parse_args()
    threads = max(1, (os.cpu_count() or 1) // options.at_once)
    jobs = [(name, seed) for seed in range(options.seeds) for name in SWITCHES]

    def run(job: tuple[str, int]) -> float:
        name, seed = job
        folder = options.runs / f"{list(SWITCHES).index(name)}-{seed}"
        found = accuracy(SWITCHES[name], seed, options.epochs, folder, threads)
        print(f"{name}, seed {seed}: {found:.2f} %", flush=True)
        return found

    with ThreadPoolExecutor(options.at_once) as pool:
        found = dict(zip(jobs, pool.map(run, jobs), strict=True))
    lines = [
        f"ResNet-20, `resnets train cifar10 --epochs {options.epochs}`, {options.seeds} seeds: test accuracy of the last "
        f"weights. `python benchmarks/switches.py --epochs {options.epochs} --seeds {options.seeds}`",
        "",
        "| changed | mean | deviation | each |",
        "|--|--|--|--|",
    ]
    for name in SWITCHES:
        each = [found[name, seed] for seed in range(options.seeds)]
        deviation = statistics.stdev(each) if len(each) > 1 else float("nan")
        lines.append(
            f"| {name} | {statistics.mean(each):.2f} % | {deviation:.2f} | {', '.join(f'{one:.2f}' for one in each)} |"
        )
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
