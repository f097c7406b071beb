"""What `resnets doctor` tells, of whole and of broken installations."""

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from resnets.verbs import doctor

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BRACKETS = {"fsspec[http]": "aiohttp"}  # what an extra of another package brings
TORCH = {"version": "2.15.0", "threads": 2, "cuda": None, "mps": False, "devices": [], "gflops": 100.0}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(doctor, "SECONDS", 0.01)
    monkeypatch.setattr(doctor, "_torch", lambda: dict(TORCH))


def names(lines):
    """The packages of some dependencies that are for every system, those of nested extras too."""
    for line in lines:
        name = re.match(r"[\w-]+", line)[0]
        nested = re.match(r"resnets\[([\w,]+)\]", line)
        if nested:
            for extra in nested[1].split(","):
                yield from names(PROJECT["optional-dependencies"][extra])
        elif ";" not in line:
            yield name
            yield from (brought for asked, brought in BRACKETS.items() if line.startswith(asked))


def test_the_tables_are_those_of_the_project():
    assert list(doctor.REQUIRED) == list(names(PROJECT["dependencies"]))
    extras = {extra: tuple(names(lines)) for extra, lines in PROJECT["optional-dependencies"].items() if extra != "test"}
    assert {name: extra.packages for name, extra in doctor.EXTRAS.items()} == extras


def test_a_whole_installation(quick):
    found = doctor.doctor()
    assert not found["faults"] and found["torch"] == TORCH
    assert found["packages"]["numpy"] == metadata.version("numpy")
    assert {name: extra["use"] for name, extra in found["extras"].items()} == {
        name: extra.use for name, extra in doctor.EXTRAS.items()
    }
    assert found["speed"]["jpegs_per_second"] > 1 and found["machine"]["usable"] > 0
    text = "\n".join(doctor.lines(found))
    for words in (
        "2.15.0, 2 threads, without CUDA",
        "100 GFLOP/s",
        f"numpy {metadata.version('numpy')}",
        "none that torch can use",
    ):
        assert words in text
    json.dumps(found)


def test_what_is_missing_and_how_to_install_it(quick, monkeypatch):
    real = metadata.version

    def version(name):
        if name in ("usearch", "scipy", "onnxscript"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = doctor.doctor()
    assert found["faults"] == ["scipy is not installed: pip install scipy"]
    assert found["extras"]["search"]["install"] == "pip install 'resnets[search]'"
    assert found["extras"]["onnxruntime"]["missing"] == found["extras"]["export"]["missing"] == ["onnxscript"]
    text = "\n".join(doctor.lines(found))
    assert "scipy MISSING" in text and "FAULT" in text
    assert "index --approximate: search by a graph: pip install 'resnets[search]'  (usearch)" in text


def test_what_makes_it_slow(quick, monkeypatch):
    here = {"processor": "x", "instructions": {"AVX2": False}, "processors": 8, "usable": 1.5, "load": 4.0, "memory": 2**33,
            "memory_free": 2**30, "disk_free": {"working folder": 2**29}, "OMP_NUM_THREADS": "1"}  # fmt: skip
    monkeypatch.setattr(doctor, "_machine", lambda: here)
    monkeypatch.setattr(doctor.platform, "machine", lambda: "x86_64")
    notes = " ".join(doctor.doctor()["notes"])
    for words in (
        "load 4.0",
        "1.5 of 8 processors",
        "OMP_NUM_THREADS=1",
        "no AVX2",
        "little memory",
        "disk of the working folder",
    ):
        assert words in notes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ann/venv/lib/libtorch.so: undefined symbol", "libtorch.so: undefined symbol"),
        ("cannot open '/home/ann/x.so'", "cannot open 'x.so'"),
        (r"DLL C:\Users\Ann\torch\c10.dll failed", "DLL c10.dll failed"),
        ("~/sets/a and 18 GFLOP/s, Linux/x86", "a and 18 GFLOP/s, Linux/x86"),
        ("Intel(R) Xeon(R) @ 2.80GHz", "Intel(R) Xeon(R) @ 2.80GHz"),
    ],
)
def test_paths_are_cut_to_their_last_part(text, expected):
    assert doctor.without_paths(text) == expected


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "raise ImportError('/home/ann/lib/libtorch_cpu.so: undefined symbol: x')",
            "ImportError: libtorch_cpu.so: undefined symbol",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "ended by SIGILL: made for another processor"),
        ("import sys; sys.exit(3)", "no reason told"),
    ],
)
def test_a_broken_torch_breaks_nothing_else(code, told, tmp_path):
    """The command itself, in a process whose torch is this one."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text(code)
    root = Path(__file__).parents[2]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    done = subprocess.run([sys.executable, "-m", "resnets", "doctor"], capture_output=True, text=True, timeout=120, check=False,
                          cwd=tmp_path, env=variables)  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith("error: torch cannot be imported"), done.stderr
    assert re.search(rf"^torch +cannot be imported: {told}", done.stdout, re.M), done.stdout
    assert re.search(r"^speed +\? GFLOP/s .* [\d,]+ JPEGs/s", done.stdout, re.M)
    for private in (str(tmp_path), str(root), str(Path.home()) + "/"):
        assert private not in done.stdout


@pytest.mark.slow
def test_torch_as_it_is():
    found = doctor._torch()
    assert found["version"] == metadata.version("torch").partition("+")[0] or "+" in found["version"]
    assert found["gflops"] > 0.1 and found["threads"] >= 1
