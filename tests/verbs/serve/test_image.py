"""The Dockerfile's own steps, in fresh virtual environments instead of an image: what it installs serves an exported file."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.verbs.serve.made import encoded
from tests.verbs.serve.test_lifecycle import FIXTURES

ROOT = Path(__file__).parents[3]
FILES = {"openvino": ("openvino", "openvino/classify.xml"), "onnxruntime": ("onnxruntime onnx", "onnx/classify.onnx")}


def steps(text):
    """The instructions of a Dockerfile: (name, argument)."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in "\n".join(lines).replace("\\\n", " ").splitlines()]


def built(folder, runtime):
    """What the first stage makes, with `folder` for the root of its file system; the folder of its virtual environment."""
    source, venv = folder / "source", folder / "venv"
    source.mkdir()
    found = steps((ROOT / "deploy/Dockerfile").read_text(encoding="utf-8"))
    first = found[: next(number for number, (name, _) in enumerate(found) if number and name == "FROM")]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PIP_CONSTRAINT")}
    for name, argument in first:
        if name == "COPY":
            *sources, target = argument.split()
            for each in sources:
                path = ROOT / each
                place = source / target if path.is_dir() else source / path.name
                shutil.copytree(path, place) if path.is_dir() else shutil.copy(path, place)
        elif name == "RUN":
            command = argument.replace("/venv", str(venv)).replace("${RUNTIME}", runtime)
            command = re.sub(r"^python ", f"{sys.executable} ", command)
            done = subprocess.run(
                ["sh", "-c", command], cwd=source, env=environment, capture_output=True, text=True, check=False
            )
            if "No matching distribution" in done.stderr or "Could not fetch" in done.stderr:
                pytest.skip("no package registry can be reached")
            assert done.returncode == 0, done.stderr
    return venv


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_what_the_image_installs_serves_an_exported_file(name, tmp_path):
    runtime, file = FILES[name]
    venv = built(tmp_path, runtime)
    installed = subprocess.run([venv / "bin/pip", "list"], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"^(torch|torchvision|scikit-learn|matplotlib|numba) ", installed, re.M)
    size = sum(path.stat().st_size for path in venv.rglob("*") if path.is_file() and not path.is_symlink())
    assert size < 900e6, installed
    entry = next(argument for word, argument in steps((ROOT / "deploy/Dockerfile").read_text()) if word == "ENTRYPOINT")
    command = [*re.findall(r'"([^"]+)"', entry), str(FIXTURES / "exported" / file), "--port", "0"]
    environment = {"PATH": f"{venv / 'bin'}:/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "HOME": str(tmp_path)}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"serving\s+http://[\d.]+:(\d+)", line):
                break
        assert found, said
        where = f"http://127.0.0.1:{found[1]}"
        assert urlopen(f"{where}/v2/health/ready", timeout=30).status == 200
        assert '"label"' in urlopen(Request(f"{where}/predict", encoded()), timeout=30).read().decode()
    finally:
        process.terminate()
        process.stderr.close()
    assert process.wait(60) == 0


def test_the_steps_of_the_dockerfile_are_understood():
    found = steps((ROOT / "deploy/Dockerfile").read_text(encoding="utf-8"))
    assert [name for name, _ in found].count("FROM") == 2
    assert ("USER", "serve") in found and ("STOPSIGNAL", "SIGTERM") in found
    copied = {each for name, argument in found if name == "COPY" and "--from" not in argument for each in argument.split()[:-1]}
    assert copied and all((ROOT / each).exists() for each in copied)
