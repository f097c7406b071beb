"""What every format keeps: a file of it opens in each runtime that takes such files, answers as the model, carries its header
whole, and is refused when it is damaged. A new format joins by its row in `ship.formats.FORMATS`."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import resnets
from resnets.data.transforms import normalise
from resnets.errors import InputError
from resnets.models import header as saved
from resnets.ship import formats
from resnets.ship.formats import FORMATS
from resnets.ship.graph import program
from resnets.ship.sessions import RUNTIMES, open_session, read_header
from tests.ship.standing_in import standing_in


@pytest.fixture(autouse=True)
def no_runtime():
    with standing_in():
        yield


FORM = pytest.mark.parametrize("form", FORMATS)
# Runtimes in the order of their table: what opens a file first, unless another is named.
OPENED = [(form, name) for form, row in FORMATS.items() for name, runtime in RUNTIMES.items() if row.suffix in runtime.open]


def runtimes(form):
    """Those that open files of a format, the one that is taken first."""
    return [name for opened, name in OPENED if opened == form]


def copied(exported, form, folder):
    """A copy of the exported file in `folder`, with the files that belong to it."""
    for suffix in (FORMATS[form].suffix, *FORMATS[form].beside):
        folder.joinpath(f"model{suffix}").write_bytes(exported[form].with_suffix(suffix).read_bytes())
    return folder / f"model{FORMATS[form].suffix}"


@FORM
def test_the_table_is_whole(form):
    row = FORMATS[form]
    assert formats.get(form) is row and runtimes(form), "no runtime opens its files"
    assert [other for other, each in FORMATS.items() if each.suffix == row.suffix] == [form]
    with pytest.raises(InputError, match=f"no format 'tflite'; use one of: {', '.join(FORMATS)}"):
        formats.get("tflite")


@FORM
def test_it_writes_its_files_and_no_others(form, exported):
    folder, row = exported[form].parent, FORMATS[form]
    assert {path.name for path in folder.iterdir()} == {f"model{suffix}" for suffix in (row.suffix, *row.beside)}
    here = str(Path(resnets.__file__).parents[1]).encode()
    assert not any(here in path.read_bytes() for path in folder.iterdir()), "names of files of this machine"


@pytest.mark.parametrize(("form", "runtime"), OPENED)
def test_it_answers_as_the_model(form, runtime, exported, pixels, logits):
    session = open_session(exported[form], runtime=runtime)
    for size in (1, 7):
        found = session.run(pixels[:size])
        assert found.dtype == np.float32 and found.shape == (size, 3)
        np.testing.assert_allclose(found, logits[:size], rtol=1e-3, atol=1e-4)
    assert session.runtime == runtime and session.streams >= 1


@pytest.mark.parametrize(("form", "runtime"), OPENED)
def test_it_answers_at_another_size(form, runtime, exported, saved_model):
    model, random = resnets.load(saved_model), np.random.default_rng(1)
    larger = random.integers(0, 256, (2, 3, 40, 48), dtype=np.uint8)
    with torch.no_grad():
        expected = model(normalise(torch.from_numpy(larger), model.preprocess)).numpy()
    np.testing.assert_allclose(open_session(exported[form], runtime=runtime).run(larger), expected, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def of_volumes():
    """Instance norm, leaky ReLU, and strides along one axis, as encoders of U-Nets have them; and its program."""
    torch.manual_seed(0)
    changes = {"norm": "instance", "activation": "leaky", "shortcut": "D", "strides": ("11", "12", "22"), "depths": (1, 1, 1)}
    model = resnets.create_model("resnet20_cifar", width=4, num_classes=3, **changes).eval()
    return model, program(model)


# To write it for OpenVINO takes long; OpenVINO itself also runs what is written as ONNX.
LONG_TO_WRITE = [form for form in FORMATS if form == "openvino"]


@pytest.mark.parametrize(
    ("form", "runtime"),
    [pytest.param(*opened, marks=[pytest.mark.slow] * (opened[0] in LONG_TO_WRITE)) for opened in OPENED],
)
def test_other_norms_and_activations_answer_too(form, runtime, of_volumes, pixels, tmp_path):
    (model, graph), row = of_volumes, FORMATS[form]
    row.write(graph, path := tmp_path / f"model{row.suffix}", model.header, None)
    with torch.no_grad():
        expected = model(normalise(torch.from_numpy(pixels[:2]), model.preprocess)).numpy()
    found = open_session(path, runtime=runtime).run(pixels[:2])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("form", "runtime"), OPENED)
def test_the_header_comes_back(form, runtime, exported, saved_model):
    header = resnets.load(saved_model).header
    assert open_session(exported[form], runtime=runtime).header == header == read_header(exported[form])
    assert saved.parse(json.loads(json.dumps(header.to_json())), "again") == header


@FORM
def test_the_first_runtime_that_opens_it_does(form, exported):
    assert open_session(exported[form]).runtime == runtimes(form)[0]


@FORM
def test_another_runtime_says_which_is_right(form, exported):
    for runtime in RUNTIMES.keys() - set(runtimes(form)):
        with pytest.raises(InputError, match=f"{runtime} does not open {FORMATS[form].suffix} files; use --runtime"):
            open_session(exported[form], runtime=runtime)


def test_it_needs_torch_only_where_torch_runs_it(exported):
    """In one process, in which those that need it come last."""
    forms = sorted(FORMATS, key=lambda form: runtimes(form)[0] == "torch")
    code = f"""
import sys, numpy
from resnets.ship.sessions import open_session
for path in {[str(exported[form]) for form in forms]!r}:
    open_session(path).run(numpy.zeros((1, 3, 32, 32), numpy.uint8))
    print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(runtimes(form)[0] == "torch") for form in forms]


# --- what is refused ---


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04pickle", b"PK\x03\x04"])
@FORM
def test_what_is_no_such_file_is_refused(form, content, tmp_path):
    path = tmp_path / f"model{FORMATS[form].suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="model"):
        open_session(path)


@FORM
def test_a_file_cut_short_is_refused(form, exported, tmp_path):
    path = copied(exported, form, tmp_path)
    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match="model"):
            open_session(path)
        file.write_bytes(whole)
    assert open_session(path)


@FORM
def test_a_file_without_one_that_belongs_to_it_is_refused(form, exported, tmp_path):
    path = copied(exported, form, tmp_path)
    for suffix in FORMATS[form].beside:
        path.with_suffix(suffix).unlink()
        with pytest.raises(InputError, match="model"):
            open_session(path)


@pytest.mark.parametrize("form", [pytest.param(form, marks=[pytest.mark.slow] * (form in LONG_TO_WRITE)) for form in FORMATS])
def test_a_header_with_other_classes_than_the_network_has_is_refused(form, saved_model, graph, pixels, tmp_path):
    model, row = resnets.load(saved_model), FORMATS[form]
    path = tmp_path / f"model{row.suffix}"
    row.write(graph, path, dataclasses.replace(model.header, labels=("cat", "dog")), None)
    with pytest.raises(InputError, match=r"answers of shape \(7, 3\) do not fit its 2 labels; export it again"):
        open_session(path).run(pixels[:7])
