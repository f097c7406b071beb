"""The sdist and the wheel: built, installed into an empty folder, and used from there without extras. `.ci/run` runs this."""

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import resnets
from resnets.verbs.doctor import EXTRAS, REQUIRED

ROOT = Path(__file__).parent.parent


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def install():
    """docs/install.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("install", ROOT / "docs/install.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist and the wheel, which is made from the sdist."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def bare(built, tmp_path_factory):
    """A folder with the wheel alone, and the variables with which Python takes it from there."""
    folder = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", folder, built[1])
    return folder, {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(folder)}}


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package(built):
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "resnets").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(built[1]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == files
    assert {Path(name).suffix for name in held} >= {".py", ".jinja", ".js", ".css", ".html", ".safetensors", ".md"}
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names >= files | {"README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "pyproject.toml", "tests/test_package.py"}


# What an extra's command imports when it runs, after it has looked whether the extra is there.
ROOMS_OF_EXTRAS = ("resnets.verbs.serve.",)

IMPORT = """
import importlib, json, sys

blocked, modules = map(set, json.loads(sys.argv[1]))
sys.modules |= dict.fromkeys(blocked)  # None: Python looks no further
failed = {}
for name in sorted(modules):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        failed[name] = error.name
import resnets
for name in resnets.__all__:
    getattr(resnets, name)
print(json.dumps({"file": resnets.__file__, "failed": failed}))
"""


@pytest.mark.slow
def test_every_module_is_imported_without_an_extra(built, bare):
    """Packages that only an extra brings are as if they were not installed."""
    with zipfile.ZipFile(built[1]) as wheel:
        names = [name.removesuffix(".py").replace("/", ".") for name in wheel.namelist() if name.endswith(".py")]
    modules = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    least = install().brought(REQUIRED)
    own = {package for extra in EXTRAS.values() for package in install().brought(extra.packages)} - least
    places = {
        name: {dist.lower().replace("_", "-") for dist in dists} for name, dists in metadata.packages_distributions().items()
    }
    blocked = [name for name, dists in places.items() if dists <= own]
    assert {"timm", "huggingface_hub", "onnx", "optuna"} & set(places) <= set(blocked) and "numpy" not in blocked
    said = json.loads(run(sys.executable, "-P", "-c", IMPORT, json.dumps([blocked, modules]), **bare[1]).splitlines()[-1])
    assert Path(said["file"]).is_relative_to(bare[0])
    assert {name: what for name, what in said["failed"].items() if not name.startswith(ROOMS_OF_EXTRAS)} == {}


@pytest.mark.slow
def test_the_command_of_the_wheel(bare):
    folder, options = bare
    assert "Commands:" in run(sys.executable, "-P", "-m", "resnets", "--help", **options)
    assert run(folder / "bin/resnets", "--version", **options).strip() == f"resnets {resnets.__version__}"
    header = json.loads(run(folder / "bin/resnets", "info", "resnet20_cifar10", "--json", **options))
    assert "resnet20" in json.dumps(header)


# --- what says of the package -----------------------------------------------------------------------------------------------


def test_the_page_names_every_dependency():
    """`python docs/install.py` writes the tables anew."""
    text = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0].strip("| `") for line in text.splitlines() if line.startswith("| ")]
    assert set(REQUIRED) | EXTRAS.keys() <= set(rows)
    assert install().WHY.keys() == set(REQUIRED)
    assert all(extra.use in text for extra in EXTRAS.values())


def test_the_citation_is_of_this_version():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert told["version"] == resnets.__version__ and told["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= told.keys()


def test_forms_of_issues_are_whole():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert path.name == "config.yml" or all(part["attributes"]["label"] for part in form["body"])
