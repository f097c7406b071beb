"""Is memory flat over epochs? `resnets train` with its workers, watched from outside.

    python benchmarks/memory.py DATA [any flag of resnets train]

Writes the most memory of each epoch (proportional set sizes, so that what processes share counts once; Linux) to memory.md.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil


def held(process: psutil.Process) -> float:
    """MiB of a process and all that it started."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended
    return total / 2**20


def main() -> None:
    peaks: list[float] = []
    most, ended = 0.0, threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "resnets", "train", *sys.argv[1:], "--out", f"{folder}/run"]
        running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

        def watch() -> None:
            nonlocal most
            process = psutil.Process(running.pid)
            while not ended.wait(0.2):
                most = max(most, held(process))

        watching = threading.Thread(target=watch)
        watching.start()
        assert running.stderr is not None
        for line in running.stderr:
            print(line, end="")
            if line.startswith("epoch "):
                peaks.append(most)
                most = 0.0
        ended.set()
        watching.join()
    if running.wait():
        sys.exit(running.returncode)
    each = ", ".join(f"{peak:,.0f}" for peak in peaks)
    text = f"- `resnets train {' '.join(sys.argv[1:])}`: most MiB in each epoch, workers included: {each}\n"
    print(text, end="")
    with Path(__file__).with_suffix(".md").open("a", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
