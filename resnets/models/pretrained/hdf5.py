"""The tensors of an HDF5 file of Keras, read in a process of its own with limits on memory and time.

The HDF5 library is C that malformed files can crash: here that ends a child, and the caller gets an error. Started as
`python -P hdf5.py SOURCE TARGET`; it imports nothing of this package, writes a safetensors file, and says on stdout what is
wrong.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

MAX_DEPTH = 24  # of nested groups
MEMORY, SECONDS = 2 << 30, 60  # for a file of no size
MEMORY_PER_BYTE, BYTES_PER_SECOND = 4, 1 << 20


def to_safetensors(source: Path, target: Path) -> str:
    """Write the tensors of `source` to `target`, by "layer/variable"; what is wrong with the file, or ""."""
    seconds = SECONDS + source.stat().st_size // BYTES_PER_SECOND
    command = [sys.executable, "-P", str(Path(__file__).resolve()), str(source), str(target), str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"not read after {seconds} seconds"
    if done.returncode < 0:
        return f"the HDF5 library ended with signal {-done.returncode}"
    return done.stdout.strip() or ("" if done.returncode == 0 else done.stderr.strip()[-200:] or "the HDF5 library failed")


def main(source: str, target: str, seconds: str) -> str:
    """The child: write `target`; what is wrong with the file, or ""."""
    import numpy as np
    from safetensors.numpy import save_file

    size = Path(source).stat().st_size
    with suppress(ImportError, ValueError, OSError):  # no such limits on this system
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY + MEMORY_PER_BYTE * size,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds),) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import h5py

    tensors: dict[str, Any] = {}
    left = size
    try:
        with h5py.File(source, "r") as file:
            for name, dataset in _datasets(file, h5py, set()):
                left -= dataset.nbytes
                if left < 0 or dataset.external or dataset.is_virtual:
                    return f"{name[:80]} claims to be larger than the file, or is in another file"
                if dataset.dtype.kind != "f":
                    continue
                *groups, variable = name.removesuffix(":0").split("/")
                group = dataset.parent.attrs.get("name")
                numbered = groups[-1:] == ["vars"]
                layer = group if isinstance(group, str) else groups[-1 - numbered] if len(groups) > numbered else ""
                tensors[f"{layer}/{variable}"] = np.ascontiguousarray(dataset[()], np.float32)
        save_file(tensors, target)
    except Exception as error:  # a malformed file can raise any exception
        return " ".join(f"truncated or damaged ({error})".split())[:300]
    return ""


def _datasets(group: Any, h5py: Any, seen: set[Any], prefix: str = "", depth: int = MAX_DEPTH) -> Iterator[tuple[str, Any]]:
    """Path and dataset of each dataset below `group`, each once, without the optimiser's. Links are not followed."""
    seen.add(h5py.h5o.get_info(group.id).addr)
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink) or (not prefix and name.startswith("optimizer")):
            continue
        below = group[name]
        if isinstance(below, h5py.Dataset):
            yield f"{prefix}{name}", below
        elif depth and h5py.h5o.get_info(below.id).addr not in seen:
            yield from _datasets(below, h5py, seen, f"{prefix}{name}/", depth - 1)


if __name__ == "__main__":
    wrong = main(*sys.argv[1:])
    sys.stdout.write(wrong)
    sys.exit(1 if wrong else 0)
