"""The server answers exactly what `resnets predict` does: pictures, forms, CSV, drawings, all kinds of tasks."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.errors import InputError
from resnets.models.answering import Wanted
from resnets.ship.sessions import open_session
from resnets.verbs import explain
from resnets.verbs import rows as lines
from resnets.verbs.embed import embed
from resnets.verbs.predict import find_files, predict, stream
from resnets.verbs.serve.served import Opening, Served, indexes_of
from tests.verbs.serve.made import Rows, encoded, form, model_file, serving

FIXTURES = Path(__file__).parents[2] / "fixtures/v0_1_0"


def turned(**options):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    return encoded(3, exif=exif, **options)


PICTURES = {
    "a.jpg": encoded(1), "b.png": encoded(2, form="PNG"), "c.jpg": turned(), "d.webp": encoded(4, form="WEBP"),
    "broken.jpg": encoded(5)[:150], "none.txt": b"hello",
}  # fmt: skip


def predicted(model, folder, pictures, **options):
    """The rows of `resnets predict` on files with these contents, with their names alone."""
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    found = predict(model, [folder / name for name in pictures], device="cpu", **options)
    return [{**row, "path": Path(row["path"]).name} for row in found]


def test_a_form_of_many(server, saved, tmp_path):
    body, headers = form(*PICTURES.items())
    answer = server.ask("POST", "/predict?topk=2", body, headers)
    assert answer.status == 200 and answer.json["model"] == "tiny"
    assert answer.json["rows"] == Rows(predicted(saved, tmp_path, PICTURES, topk=2))


def test_the_bytes_of_one(server, saved, tmp_path):
    for kind in ({}, {"Content-Type": "image/jpeg"}, {"Content-Type": "application/x-www-form-urlencoded"}):  # curl's default
        answer = server.ask("POST", "/predict", PICTURES["c.jpg"], kind)
        assert answer.status == 200
        (row,) = answer.json["rows"]
        (expected,) = predicted(saved, tmp_path, {"c.jpg": PICTURES["c.jpg"]})
        assert [row | {"path": "c.jpg"}] == Rows([expected])


def test_csv(server, saved, tmp_path):
    body, headers = form(*PICTURES.items())
    told = server.ask("POST", "/predict?format=csv", body, headers)
    assert told.headers["Content-Type"].startswith("text/csv")
    assert told.body == server.ask("POST", "/predict", body, headers | {"Accept": "text/csv"}).body
    predicted(saved, tmp_path, PICTURES)
    written, session = [], open_session(saved, device="cpu")
    found = stream(session, find_files(session.header, [tmp_path / name for name in PICTURES]), wanted=Wanted(3))
    lines.write_all((each.row for each in found), lines.FORMS["csv"](tasks_rows(session)), 3, written.append)
    names = "\n".join(written).replace(f"{tmp_path}/", "")
    assert told.body.decode().split("\n")[0] == names.split("\n")[0]
    assert [line.split(",")[:2] for line in told.body.decode().split("\n")[:-1]] == [
        line.split(",")[:2] for line in names.split("\n")
    ]


def tasks_rows(session):
    from resnets.ship.sessions import answering

    return answering(session.header).rows


def test_none_that_can_be_read(server):
    answer = server.ask("POST", "/predict", b"hello")
    assert answer.status == 422 and "not an image" in answer.json["rows"][0]["error"]


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_boxes_and_masks_with_drawings(task, tmp_path):
    pictures = {"one.png": encoded(1, (40, 30), "PNG"), "two.png": encoded(2, (32, 32), "PNG")}
    path = FIXTURES / task / "best.safetensors"
    with serving({task: path}) as server:
        body, headers = form(*pictures.items())
        draw, wanted = {"detect": ("drawn", {"threshold": 0.1}), "segment": ("drawn,mask", {})}[task]
        asked = "".join(f"&{name}={value}" for name, value in wanted.items())
        found = server.ask("POST", f"/predict?draw={draw}{asked}", body, headers).json["rows"]
        refused = server.ask("POST", "/predict?draw=whole", pictures["one.png"])
        told = server.ask("GET", "/models").json["models"][0]
    drawings = [row.pop("drawings") for row in found]
    assert found == Rows(predicted(path, tmp_path, pictures, **wanted))
    for drawing, row in zip(drawings, found, strict=True):
        assert set(drawing) == set(draw.split(","))
        shown = Image.open(io.BytesIO(base64.b64decode(drawing["drawn"])))
        assert shown.format == "PNG"
        if "mask" in drawing:
            mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(drawing["mask"]))))
            assert mask.shape == (row["height"], row["width"])
            shares = {entry["index"]: entry["share"] for entry in row["classes"]}
            assert shares == {i: pytest.approx((mask == i).mean(), abs=1e-6) for i in np.unique(mask).tolist()}
    assert refused.status == 400 and "draw=whole" in refused.json["error"]
    assert told["drawings"] == {"drawn": "answer"}


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_a_map_of_why(runtime, saved, tmp_path):
    """With gradients where torch computes, else by occlusion; answers beside it stay the same, and one picture is enough."""
    pytest.importorskip("torchcam")
    pytest.importorskip(runtime)
    model = saved if runtime == "torch" else FIXTURES / "exported/onnx/classify.onnx"
    with serving({"tiny": model}, opening=Opening(runtime=runtime, device="cpu")) as server:
        plain = server.ask("POST", "/predict", PICTURES["b.png"]).json["rows"]
        (row,) = server.ask("POST", "/predict?draw=why", PICTURES["b.png"]).json["rows"]
        again = server.ask("POST", "/predict", PICTURES["b.png"]).json["rows"]
        refused = server.ask("POST", "/predict?draw=why", *form(*PICTURES.items()))
        told = server.ask("GET", "/models").json["models"][0]
    shown = Image.open(io.BytesIO(base64.b64decode(row.pop("drawings")["why"])))
    assert shown.format == "PNG" and shown.width > shown.height
    assert [row] == plain == again
    assert refused.status == 400 and "one picture at a time" in refused.json["error"]
    assert told["slow_drawings"] == {"why": "why"} and not told["drawings"]


def test_the_nearest_images_of_an_index(saved, tmp_path):
    for name, content in (("a.png", encoded(1)), ("b.png", encoded(2)), ("c.png", encoded(3))):
        (tmp_path / name).write_bytes(content)
    embed(saved, tmp_path, tmp_path / "index.npz", device="cpu")
    opening = Opening(runtime="torch", device="cpu", index=str(tmp_path / "index.npz"))
    with serving({"tiny": saved}, opening=opening) as server:
        (row,) = server.ask("POST", "/predict?draw=nearest", encoded(2)).json["rows"]
        told = server.ask("GET", "/models").json["models"][0]
    assert Image.open(io.BytesIO(base64.b64decode(row["drawings"]["nearest"]))).format == "PNG"
    first, *others = row["nearest"]
    assert (first["name"], len(others)) == ("b.png", 2) and first["distance"] < 1e-5
    assert str(tmp_path) not in json.dumps(row["nearest"])
    assert told["drawings"] == {"nearest": "nearest"}
    other = model_file(tmp_path / "other.safetensors", size=(12, 12))
    with pytest.raises(InputError, match="made with another preprocessing than the model's"):
        Served("other", str(other), opening)


def test_indexes_by_the_names_of_models():
    assert indexes_of(["a.npz"], ["m", "n"]) == {"m": "a.npz"}
    assert indexes_of(["n=a.npz", "x/y=b.npz"], ["m", "n"]) == {"n": "a.npz", "m": "x/y=b.npz"}
    with pytest.raises(InputError, match="no model is named o; there is: m, n"):
        indexes_of(["o=a.npz"], ["m", "n"])


def test_an_image_too_large_to_explain_is_answered_all_the_same(tmp_path, monkeypatch):
    pytest.importorskip("torchcam")
    monkeypatch.setattr(explain, "AT_ONCE", 500)
    path = FIXTURES / "segment/best.safetensors"
    with serving({"segment": path}) as server:
        answer = server.ask("POST", "/predict?draw=why", encoded(1, (40, 30)))
    (row,) = answer.json["rows"]
    assert answer.status == 200 and row["classes"] and "cut out a part" in row["not_drawn"]["why"] and "drawings" not in row


def test_volumes(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    values = np.random.default_rng(0).normal(size=(14, 12, 10)).astype(np.float32)
    volume = nibabel.Nifti1Image(values, np.diag([1.0, 1, 2, 1]))
    nibabel.save(volume, tmp_path / "v.nii.gz")
    contents = {"v.nii.gz": (tmp_path / "v.nii.gz").read_bytes(), "plain.nii": volume.to_bytes(), "bad.nii.gz": b"\x1f\x8b bad"}
    path = FIXTURES / "volumes/best.safetensors"
    with serving({"volumes": path}) as server:
        body, headers = form(*contents.items())
        found = server.ask("POST", "/predict?draw=mask", body, headers).json["rows"]
    mask = nibabel.Nifti1Image.from_bytes(__import__("gzip").decompress(base64.b64decode(found[0].pop("drawings")["mask"])))
    assert mask.shape == (14, 12, 10)
    found[1].pop("drawings")
    expected = predicted(path, tmp_path, contents)
    assert found[:2] == Rows(expected[:2])
    assert found[2]["path"] == "bad.nii.gz" and "NIfTI" in found[2]["error"] and "/" not in found[2]["error"]


def test_the_decision_of_the_command_line(saved, tmp_path):
    """Without a calibration there is nothing to revise, and it is said before anything is served."""
    with pytest.raises(InputError, match="abstain"), serving({"tiny": saved}, opening=Opening(asked={"abstain_at": "1%"})):
        pass


def test_grey_and_transparent_networks(tmp_path):
    for channels in (1, 4):
        path = model_file(tmp_path / f"{channels}.safetensors", mean=(0.5,) * channels, std=(0.2,) * channels)
        with serving({"m": path}) as server:
            (row,) = server.ask("POST", "/predict", PICTURES["a.jpg"]).json["rows"]
        (expected,) = predicted(path, tmp_path, {"a.jpg": PICTURES["a.jpg"]})
        assert [row | {"path": "a.jpg"}] == Rows([expected])


def test_several_models_by_their_names(saved, tmp_path):
    other = model_file(tmp_path / "other.safetensors", seed=1)
    with serving({"one": saved, "two": other}) as server:
        first = server.ask("POST", "/predict", PICTURES["a.jpg"]).json
        assert first == server.ask("POST", "/predict?model=one", PICTURES["a.jpg"]).json
        second = server.ask("POST", "/predict?model=two", PICTURES["a.jpg"]).json
        assert second["model"] == "two" and second["rows"] != first["rows"]
        missing = server.ask("POST", "/predict?model=three", PICTURES["a.jpg"])
    assert missing.status == 404 and "one, two" in missing.json["error"]


def test_a_name_is_told_back_in_printable_characters_and_nothing_is_opened(server, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded(form="PNG"))
    body, headers = form((f"../..{secret}\x1b[2J", b"not a picture"))
    (row,) = server.ask("POST", "/predict", body, headers).json["rows"]
    assert "error" in row and row["path"].startswith("../..") and "\x1b" not in row["path"]
    assert json.dumps(row).isprintable()
