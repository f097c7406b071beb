"""Prediction of what is no file on this disk: addresses, bytes, arrays, tensors and videos."""

import http.server
import io
import json
import threading

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.cli.main import main
from resnets.data.preprocess import Preprocess
from resnets.data.readers import films, given
from resnets.errors import InputError

PHOTO = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)


def encoded(pixels, kind="png"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    spec = resnets.get_spec("resnet20_cifar", depths=(1, 1, 1), width=4)
    return resnets.create_model(spec, labels=["cat", "dog"], preprocess=Preprocess(size=(8, 8), crop_pct=1.0)).eval()


@pytest.fixture(scope="module")
def site():
    """A server of /photo.png, and of /endless."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path in ("/photo.png", "/endless")
            self.send_response(200 if found else 404)
            self.end_headers()
            if found:
                self.wfile.write(encoded(PHOTO) if self.path == "/photo.png" else bytes(1 << 20))

        def log_message(self, *of): ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_one_picture_in_every_form_has_one_answer(model, site, tmp_path):
    (tmp_path / "photo.png").write_bytes(encoded(PHOTO))
    rows = torch.from_numpy(PHOTO)
    forms = [
        tmp_path / "photo.png", f"{site}/photo.png", encoded(PHOTO), io.BytesIO(encoded(PHOTO)), Image.fromarray(PHOTO), PHOTO,
        PHOTO.transpose(2, 0, 1), rows, rows.permute(2, 0, 1), rows.permute(2, 0, 1) / 255,
    ]  # fmt: skip
    answers = model.predict(forms)
    assert all(answer == answers[0] for answer in answers)
    [alone], [of_rows] = model.predict(PHOTO[None]), model.predict(rows.permute(2, 0, 1)[None])
    near = pytest.approx(answers[0]["probability"], abs=1e-5)  # a batch of one: another order of sums, on some processors
    assert of_rows == alone and (alone["label"], alone["probability"]) == (answers[0]["label"], near)
    forms[3].seek(0)
    found = list(resnets.predict(model, forms, workers=0))
    assert [row["path"] for row in found[:3]] == [str(tmp_path / "photo.png"), f"{site}/photo.png", "image 2"]
    assert all({"path": row["path"]} | answers[0] == row for row in found)


def test_the_order_of_channels_is_said_by_name(model):
    (right,), (wrong,) = model.predict(PHOTO), model.predict(PHOTO[..., ::-1])
    assert right != wrong and model.predict(PHOTO[..., ::-1], channel_order="bgr") == [right]
    bgr = torch.from_numpy(PHOTO[..., ::-1].copy()).permute(2, 0, 1)
    assert model.predict(bgr, channel_order="bgr") == [right]
    assert next(iter(resnets.predict(model, [PHOTO[..., ::-1]], channel_order="bgr")))["probability"] == right["probability"]
    with pytest.raises(InputError, match="channel_order='grb': give one of rgb, bgr"):
        model.predict(PHOTO, channel_order="grb")
    with pytest.raises(InputError, match="channel_order=bgr has no effect on files"):
        model.predict(["photo.png"], channel_order="bgr")
    with pytest.raises(InputError, match=r"no multiples of 1/255.*normalised"):
        model.predict(torch.randn(3, 8, 8))


def test_an_address_is_bounded_and_its_failure_is_a_row(model, site, monkeypatch):
    monkeypatch.setattr(given, "MOST_BYTES", 1 << 16)
    rows = list(resnets.predict(model, [f"{site}/none.png", f"{site}/endless", f"{site}/photo.png"], workers=0))
    assert "404" in rows[0]["error"] and "more than the 65,536 bytes" in rows[1]["error"] and "label" in rows[2]
    with pytest.raises(InputError, match="404"):
        model.predict(f"{site}/none.png")
    with pytest.raises(InputError, match=r"s3://bucket/a\.png: an address, which is not fetched"):
        model.predict("s3://bucket/a.png")


def test_the_command_takes_addresses(model, site, tmp_path, capsys):
    path = resnets.save(model, tmp_path / "model.safetensors")
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(path), f"{site}/photo.png", "--format", "json"])
    row = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and row == {"path": f"{site}/photo.png"} | model.predict(PHOTO)[0]


# --- videos ---


def film(path, num=50, rate=10, size=(64, 48)):
    """A video whose frame n is grey of 5 n."""
    av = pytest.importorskip("av", reason="needs PyAV: pip install av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(num):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 5 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def are(found, numbers):
    """Whether the frames have these numbers, as far as the lossy codec tells."""
    return np.allclose([frame.pixels.mean() / 5 for frame in found], numbers, atol=0.8)


def test_frames_come_at_a_steady_rate(tmp_path):
    path = film(tmp_path / "film.mp4")
    found = list(films.frames(path))
    assert [frame.seconds for frame in found] == [0, 1, 2, 3, 4] and are(found, [0, 10, 20, 30, 40])
    assert found[0].pixels.shape == (48, 64, 3)
    assert are(films.frames(path, 0.5), [0, 20, 40]) and len(list(films.frames(path, 1000))) == 50
    assert are(films.frames(path, 4), [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28, 30, 33, 35, 38, 40, 43, 45, 48])


def test_frames_are_turned_as_a_player_does():
    pixels = np.arange(6).reshape(2, 3, 1)
    assert films.upright(pixels, 0) is pixels and films.upright(pixels, -360) is pixels
    assert films.upright(pixels, 90)[..., 0].tolist() == [[2, 5], [1, 4], [0, 3]]
    assert films.upright(pixels, -90)[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]


def test_a_video_is_rows_with_times(model, tmp_path):
    path = film(tmp_path / "film.mp4")
    rows = list(resnets.predict(model, [PHOTO, path], fps=2, batch_size=1))
    assert [row.get("time_seconds") for row in rows] == [None, *(n / 2 for n in range(10))]
    assert {row["path"] for row in rows[1:]} == {str(path)}
    frames = [frame.pixels for frame in films.frames(path, 2)]
    assert [row["label"] for row in rows[1:]] == [row["label"] for row in model.predict(frames)]
    with pytest.raises(InputError, match=r"film\.mp4: a video; resnets\.predict\(model, .*fps=1\) goes through its frames"):
        model.predict(str(path))
    with pytest.raises(InputError, match=r"fps=0: give frames per second"):
        list(resnets.predict(model, path, fps=0))


def test_a_detector_sees_videos_too(tmp_path):
    torch.manual_seed(0)
    detector = resnets.create_model(
        resnets.get_spec("resnet18", depths=(1, 1, 1, 1), width=8, num_classes=2), task="detect", labels=["ant", "bee"]
    )
    rows = list(resnets.predict(detector.eval(), film(tmp_path / "film.mp4", num=20), threshold=0.0))
    assert [row["time_seconds"] for row in rows] == [0, 1] and all(row["height"] == 48 and "objects" in row for row in rows)


def test_a_damaged_video_ends_with_a_row_that_says_so(model, tmp_path):
    path = film(tmp_path / "film.mkv")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    *rows, last = resnets.predict(model, path)
    assert [row["time_seconds"] for row in rows] == list(range(len(rows))) and 1 < len(rows) < 5
    assert "breaks off at" in last["error"] and "of 5.0 s" in last["error"]
    for content in (b"", b"no video", whole[:40]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"film\.mkv: (cannot be read as a video|not one frame|no pictures)"):
            list(resnets.predict(model, path))
    with pytest.raises(InputError, match=r"gone\.mp4: no such file"):
        list(resnets.predict(model, tmp_path / "gone.mp4"))


def test_a_playlist_leads_nowhere(tmp_path):
    """FFmpeg's playlists name other files and addresses."""
    film(tmp_path / "secret.mp4")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n")
    (tmp_path / "join.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    for name in ("list.mp4", "join.mp4"):
        with pytest.raises(InputError, match="cannot be read as a video"):
            list(films.frames(tmp_path / name))


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_the_command_writes_times(form, model, tmp_path, capsys):
    saved, path = resnets.save(model, tmp_path / "model.safetensors"), film(tmp_path / "a,b.mp4", num=20)
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(saved), str(path), "--fps", "2", "--format", form, "--topk", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    if form == "csv":
        assert lines[0].startswith("path,time_seconds,") and lines[2].startswith(f'"{path}",0.500,')
        lines = lines[1:]
    elif form == "json":
        assert [json.loads(line)["time_seconds"] for line in lines] == [0, 0.5, 1, 1.5]
    else:
        assert f"{path}  0.500 s" in lines[1]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["film.mp4", "--resume", "--out", "rows.json"], "--resume is for pictures"),
        (["photo.png", "--fps", "2"], "--fps is for videos"),
    ],
)
def test_flags_that_mean_nothing_are_refused(words, said, model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    resnets.save(model, tmp_path / "model.safetensors")
    film(tmp_path / "film.mp4", num=2)
    (tmp_path / "photo.png").write_bytes(encoded(PHOTO))
    with pytest.raises(SystemExit) as ended:
        main(["predict", "model.safetensors", *words])
    assert ended.value.code == 2 and said in capsys.readouterr().err
