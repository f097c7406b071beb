"""The Python interface: the names that `import resnets` promises, from whatever is imported first, with the core alone."""

import json
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import resnets
from resnets.cli.main import main
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.verbs.predict import predict

PACKAGE = Path(resnets.__file__).parent
MODULES = sorted(
    ".".join(("resnets", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)
AT_ROOT = [module for module in MODULES if module.count(".") == 1]
WHERE = sorted({getattr(resnets, name).__module__ for name in resnets.__all__ if hasattr(getattr(resnets, name), "__module__")})
FUNCTIONS = ("create_model", "evaluate", "get_spec", "list_models", "load", "predict", "save", "train")


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def small(labels=("cat", "dog")):
    torch.manual_seed(0)
    spec = resnets.get_spec("resnet20_cifar", depths=(1, 1, 1), width=4)
    return resnets.create_model(spec, labels=labels, preprocess=Preprocess(size=(8, 8), crop_pct=1.0))


def test_every_name_is_there_and_listed():
    assert set(dir(resnets)) == set(resnets.__all__) >= set(FUNCTIONS)
    assert all(callable(getattr(resnets, name)) for name in FUNCTIONS)
    assert resnets.list_models("*20_cifar") == ["resnet20_cifar", "plain20_cifar"]
    with pytest.raises(AttributeError, match="'trian'"):
        _ = resnets.trian


@pytest.mark.slow
def test_names_are_functions_whatever_is_imported_first():
    """Importing a module sets a name in its package; none of those at the root may hide a function."""
    printed = python(f"""
import importlib, sys, types
import torch
for first in {AT_ROOT + WHERE}:
    for name in [name for name in sys.modules if name.split(".")[0] == "resnets"]:
        del sys.modules[name]
    importlib.import_module(first)
    import resnets
    for name in {FUNCTIONS}:
        if not isinstance(getattr(resnets, name), types.FunctionType):
            print(first, name)
from resnets import *
assert train is resnets.train
""")
    assert printed == ""


def test_importing_the_package_imports_no_torch():
    assert python("import resnets, sys; resnets.list_models(); print('torch' in sys.modules)") == "False\n"


def test_from_picture_to_result_no_torch_is_needed():
    """Not where the network itself runs in another runtime."""
    rooms = "resnets.data.pictures.resize, resnets.data.pictures.images, resnets.verbs.predict, resnets.tasks.classify.rows"
    code = f"import {rooms}, sys; print('torch' in sys.modules)"
    assert python(code) == "False\n"


@pytest.mark.slow
def test_every_module_imports_with_the_core_alone():
    """Without timm, psutil and what else comes with an extra only."""
    printed = python(f"""
import importlib, sys
for extra in ("timm", "pytest", "tqdm", "pandas", "onnx", "openvino", "ray", "s3fs", "pyarrow"):
    sys.modules[extra] = None
for module in {MODULES}:
    importlib.import_module(module)
print("done")
""")
    assert printed == "done\n"


def test_a_model_says_in_python_what_the_command_says(tmp_path, capsys):
    path = resnets.save(small(), tmp_path / "model.safetensors")
    photo = tmp_path / "photo.jpg"
    Image.linear_gradient("L").save(photo)
    model = resnets.load(path)
    (said,) = model.predict([str(photo)])
    assert model.predict(str(photo)) == [said] and said["label"] in ("cat", "dog")
    (row,) = predict(model, [photo])
    assert row == {"path": str(photo)} | said
    with pytest.raises(SystemExit):
        main(["predict", str(path), str(photo), "--format", "json"])
    assert json.loads(capsys.readouterr().out) == {"path": str(photo)} | said


def test_train_evaluate_and_load_from_python(tmp_path):
    """And nothing is printed, for nobody asked."""
    settings = {
        "model": "resnet20_cifar",
        "depths": (1, 1, 1),
        "width": 4,
        "epochs": 1,
        "device": "cpu",
        "precision": "float32",
    }
    run = resnets.train(out=tmp_path / "run", **settings)
    result = resnets.evaluate(run.model, "digits")
    assert result["split"] == "test" and result["top1"] == run.result["top1"]
    assert resnets.evaluate(tmp_path / "run", "digits")["top1"] == result["top1"]
    assert resnets.load(run.path).labels == run.model.labels == tuple("0123456789")


@pytest.mark.parametrize(
    "settings, said",
    [({"epoch": 3}, "did you mean epochs"), ({"lr": "high"}, "give a number"), ({"data": "digit"}, "did you mean digits")],
)
def test_train_refuses_what_the_command_refuses(settings, said, tmp_path):
    with pytest.raises(InputError, match=said):
        resnets.train(out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_a_model_is_read_however_long_its_header_is(tmp_path):
    """The file begins with that length: its bytes may look like the beginning of a pickle (0x80) or of a zip archive (PK)."""
    seen = set()
    for wanted in (b"\x80", b"PK"):
        model, length = small(), 0
        for _ in range(3):
            path = resnets.save(model, tmp_path / "model.safetensors")
            length = struct.unpack("<Q", path.read_bytes()[:8])[0]
            start = length.to_bytes(8, "little")
            if start.startswith(wanted):
                break
            unit = 256 ** len(wanted)
            missing = (int.from_bytes(wanted, "little") - length) % unit
            model.metadata["metrics"] = {"x": model.metadata.get("metrics", {}).get("x", "") + "x" * missing}
        seen.add(start[: len(wanted)])
        assert resnets.load(path).labels == ("cat", "dog")
    assert seen == {b"\x80", b"PK"}


def test_python_m_resnets_is_the_command():
    done = subprocess.run([sys.executable, "-m", "resnets", *shlex.split("-V")], capture_output=True, text=True, check=True)
    assert done.stdout == f"resnets {resnets.__version__}\n"
