"""Each verb of a model beside each kind of images: it answers, or says at once, in words, that it does not."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from resnets.cli.main import cli
from resnets.data.inputs import INPUTS
from resnets.engine.plan import settle
from resnets.errors import InputError
from resnets.ship import hub
from resnets.ship.sessions import open_session
from resnets.tasks import get
from resnets.verbs.predict import find_files, predict
from tests.data import made_scans, made_volumes
from tests.data.series.made import bumps
from tests.tasks.contract.made import classes


class Kind(NamedTuple):
    """A model with random weights of such images; labelled data, and a file with one image."""

    name: str
    model: Path
    data: Path
    file: Path
    suffix: str  # of the file, for a request


def series(root):
    x, y = bumps(12, chans=2)
    root.mkdir(parents=True)
    np.savez(root / "series.npz", X_train=x[:8], y_train=y[:8], X_val=x[8:], y_val=y[8:])
    np.savetxt(root / "one.csv", x[0].T, delimiter=",")
    return root / "series.npz", root / "one.csv"


KINDS = {
    "pictures": ("classify", lambda root: (classes(root, train=6, val=3), root / "val/a/0.png"), {}),
    "series": ("classify", series, {}),
    "volumes": ("classify", lambda root: (made_scans.classes(root, train=6, val=4), root / "val/large/0.nii.gz"), {}),
    "masks of volumes": (
        "segment",
        lambda root: (made_volumes.folder(root, train=2, val=1), root / "val/images/0.nii.gz"),
        {"train_size": 8},
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    task, make, settings = KINDS[request.param]
    root = tmp_path_factory.mktemp("kind")
    data, file = make(root / "data")
    asked = {"data": str(data), "model": "resnet20_cifar", "depths": "1,1", "width": 4, "device": "cpu", **settings}
    plan = settle(get(task), {"flag": asked}, None)
    torch.manual_seed(0)
    given = {"labels": plan.labels, "preprocess": plan.preprocess, "head_config": plan.head_config}
    model = hub.save(hub.create_model(plan.spec, task=task, **given).eval(), root / "model.safetensors")
    return Kind(request.param, model, data, file, "".join(file.suffixes))


# By the verb its words, in which {out} is a folder, and by the kind why it is refused; None: that has a test of its own.
VERBS = {
    "eval": ("eval {model} {data} --device cpu -j 0 --json", {}),
    "eval by mirrors": ("eval {model} {data} --device cpu -j 0 --tta --json", {}),
    "predict": ("predict {model} {file} --device cpu --format json", {}),
    "predict --draw": ("predict {model} {file} --device cpu --draw {out}/drawn", dict.fromkeys(
        ("pictures", "series", "volumes"), "--draw and --masks are for models that find boxes or masks")),
    "calibrate": ("calibrate {model} {data} --device cpu -j 0 -o {out}/calibrated.safetensors", {
        "masks of volumes": "the task segment has nothing to choose"}),
    "explain": ("explain {model} {file} --device cpu --no-trust --out {out}/why", {}),
    "embed": ("embed {model} {data} --device cpu -j 0 -o {out}/e.npz", {}),
    "search": ("search {out}/e.npz {file} --model {model} --json", {}),
    "search --draw": ("search {out}/e.npz {file} --model {model} --draw {out}/found.png", dict.fromkeys(
        ("series", "volumes", "masks of volumes"), "e.npz: an index of .*, and only pictures are drawn")),
    "cluster --draw": ("cluster {out}/e.npz -o {out}/c.csv --threshold 9 --draw {out}/c.png", dict.fromkeys(
        ("series", "volumes", "masks of volumes"), "e.npz: an index of .*, and only pictures are drawn")),
    "verify": ("verify {model} {file} {file} --device cpu", {}),
    "data repair": ("data repair {data} -o {out}/repair --device cpu -j 0", {
        "pictures": None, **dict.fromkeys(("series", "volumes"), "only pictures are searched for errors"),
        "masks of volumes": "boxes or masks, which are for"}),
    "data repair --weights": ("data repair {data} --weights {model} --device cpu -j 0 -o {out}/repair2", dict.fromkeys(
        ("series", "volumes", "masks of volumes"), "spatial axes, and pictures have 2")),
    "export": ("export {model} --format onnx -o {out}/m.onnx", {
        **dict.fromkeys(("pictures", "series", "volumes")), "masks of volumes": "exported as html only"}),
    "export --int8": ("export {model} --format onnx --int8 {data} -o {out}/m8.onnx", {
        "pictures": None, "series": "8 bits are for models of pictures", "volumes": "8 bits are for models of pictures",
        "masks of volumes": "exported as html only"}),
    "export as a page": ("export {model} --format html -o {out}/m.html", {
        "pictures": None, **dict.fromkeys(("series", "volumes", "masks of volumes"), "a page takes pictures")}),
    "convert": ("convert {model} --to timm -o {out}/timm.safetensors", dict.fromkeys(
        KINDS, "timm has no network like|only classifiers can be converted")),
    "bench": ("bench predict --model {model} --num 2 --rounds 1", {"pictures": None, **dict.fromkeys(
        ("series", "volumes", "masks of volumes"), "and what is measured are pictures")}),
    "info": ("info {model}", {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def out(kind, tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_answers_or_says_that_it_does_not(kind, out, verb):
    words, refused = VERBS[verb]
    if refused.get(kind.name, "") is None:
        pytest.skip("has a test of its own")
    asked = words.format(model=kind.model, data=kind.data, file=kind.file, out=out).split()
    done = CliRunner().invoke(cli, asked)
    if kind.name in refused:
        assert isinstance(done.exception, InputError), (done.exception, done.output)
        assert re.search(refused[kind.name], str(done.exception))
        return
    assert done.exit_code == 0, (done.exception, done.output)


def test_it_is_served_with_the_answers_of_predict(kind):
    pytest.importorskip("uvicorn")
    from tests.verbs.serve.made import Rows, form, serving

    name = f"1{kind.suffix}"
    session = open_session(kind.model, device="cpu")
    pixels, preprocess = fitted(session, kind.file), session.header.preprocess
    sent = np.moveaxis(pixels, 0, -1)[None]
    datatype = {np.dtype(np.uint8): "UINT8", np.dtype(np.float32): "FP32"}[pixels.dtype]
    tensor = {"name": "pixels", "datatype": datatype, "shape": list(sent.shape), "data": sent.tolist()}
    with serving({"model": kind.model}) as server:
        body, headers = form((name, kind.file.read_bytes()))
        answer = server.ask("POST", "/predict", body, headers)
        why = server.ask("POST", "/predict?draw=why", body, headers)
        told = server.ask("GET", "/v2/models/model").json["inputs"]
        given, other = (
            server.ask("POST", "/v2/models/model/infer", json.dumps({"inputs": [each], "outputs": [{"name": "outputs"}]}))
            for each in (tensor, tensor | {"datatype": {"UINT8": "FP32", "FP32": "UINT8"}[datatype], "data": [0] * sent.size})
        )
    (expected,) = predict(kind.model, [kind.file], device="cpu")
    assert answer.status == 200 and answer.json["rows"] == Rows([{**expected, "path": name}])
    assert why.status == 200 and why.json["rows"][0]["drawings"]["why"]
    if get(session.header.task).own_size:  # inputs have no one size
        assert [each["name"] for each in told] == ["image"] and given.status == 400
        return
    assert told[1] == {"name": "pixels", "datatype": datatype, "shape": [-1, *preprocess.size, preprocess.in_chans]}
    assert np.allclose(given.json["outputs"][0]["data"], session.run(pixels[None])[0], atol=1e-4)
    assert other.status == 400 and f"pixels has the datatype {datatype}" in other.json["error"]


def fitted(session, file):
    """The input (C, *size) of a file, as `predict` makes it."""
    inputs, header = INPUTS[session.header.spec.dims], session.header
    images = inputs.opened(find_files(header, [file]), header.spec.in_chans)
    return inputs.fitted(images, 0, header.preprocess, False).pixels
