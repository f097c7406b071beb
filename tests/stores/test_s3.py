"""A real S3 interface (moto's server): data, models and runs by their addresses; a kill; a bucket without rights."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.cli.main import main
from resnets.errors import InputError
from resnets.stores import claims, local, mirror
from resnets.verbs import train as training
from resnets.verbs.train import train
from tests.engine.running import assert_same, flags

ROOT = Path(__file__).parents[2]
TINY = {
    "model": "resnet20_cifar", "depths": "1,1,1", "width": 4, "epochs": 12, "batch_size": 8, "lr": 0.05, "workers": 0,
    "device": "cpu", "precision": "float32", "save_every": 0.1,
}  # fmt: skip


@pytest.fixture
def pictures(s3):
    """Class folders of 36 pictures in the bucket; their address."""
    for split, num in (("train", 24), ("val", 12)):
        for index in range(num):
            content = io.BytesIO()
            Image.fromarray(np.random.default_rng(index).integers(0, 256, (9, 12), dtype=np.uint8)).save(content, "png")
            s3.pipe(f"runs/pictures/{split}/{'ab'[index % 2]}/{index}.png", content.getvalue())
    return "s3://runs/pictures"


def command(*words, cache):
    """`resnets`, as a process with a cache of its own."""
    clean = dict(os.environ) | {"PYTHONPATH": str(ROOT), "RESNETS_DATA": str(cache / "datasets")}
    code = "from resnets.stores import publish; publish.EVERY_SECONDS = 0.05; from resnets.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], env=clean, stderr=subprocess.PIPE, text=True, cwd=cache.parent
    )


def test_a_run_that_is_killed_goes_on_on_a_machine_that_has_nothing(s3, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job.run)  # without the report
    whole = train(pictures, out=tmp_path / "whole", **TINY)
    words = ["train", pictures, "--out", "s3://runs/a/run", *flags(TINY)]
    first = command(*words, cache=tmp_path / "first")
    until = time.monotonic() + 300
    while not (s3.exists("runs/a/run/resume.safetensors") and s3.exists("runs/a/run/best.safetensors")):
        assert first.poll() is None and time.monotonic() < until, first.stderr.read()
        time.sleep(0.05)
        s3.invalidate_cache()
    first.send_signal(signal.SIGKILL)
    first.wait()
    first.stderr.close()
    s3.invalidate_cache()
    left = {name.rpartition("/")[2] for name in s3.find("runs/a/run")}
    assert {"recipe.yaml", "provenance.json", "metrics.csv", "best.safetensors", "resume.safetensors", claims.NAME} <= left
    assert "last.safetensors" not in left
    copy = local("s3://runs/a/run")  # readable as it is
    with (copy / "metrics.csv").open() as file:
        assert 1 <= len(list(csv.DictReader(file))) < 12
    shutil.rmtree(mirror.cache_folder())
    run = train(out="s3://runs/a/run", resume=True)
    assert_same(run.path, whole.path)
    shutil.rmtree(mirror.cache_folder())
    assert_same(local("s3://runs/a/run"), whole.path)
    s3.invalidate_cache()
    assert not s3.exists(f"runs/a/run/{claims.NAME}")


def says(capsys, *words):
    """What a command prints, and its exit code."""
    with pytest.raises(SystemExit) as done:
        main(words)
    said = capsys.readouterr()
    return done.value.code, said.out, said.err


def test_verbs_take_addresses(s3, pictures, tmp_path, capsys):
    run = "s3://runs/run"
    assert says(capsys, "train", pictures, "--out", run, *flags(TINY | {"epochs": 1}))[0] == 0
    code, out, err = says(capsys, "predict", run, f"{pictures}/val", "--out", "s3://runs/rows.csv")
    s3.invalidate_cache()
    rows = s3.cat("runs/rows.csv").decode().splitlines()
    assert code == 0 and len(rows) == 13 and rows[1].startswith(f"{pictures}/val/a/")
    code, out, err = says(capsys, "predict", run, f"{pictures}/val", "--out", "s3://runs/rows.csv")
    assert code == 2 and "error: s3://runs/rows.csv: exists already; add --resume to go on with it" in err
    code, out, err = says(capsys, "predict", run, f"{pictures}/val", "--out", "s3://runs/rows.csv", "--resume")
    assert code == 0 and "nothing left to do" in out
    rows = (f"{pictures}/val", "--engine", "local", "--block-size", "8", "--batch-size", "8", "-o", "s3://runs/parts")
    code, out, err = says(capsys, "predict", run, *rows)
    s3.invalidate_cache()
    names = [name.rpartition("/")[2] for name in s3.find("runs/parts")]
    assert code == 0 and out == "rows of 12 pictures written to s3://runs/parts\n", err
    assert names == ["manifest.json", "part-00000.parquet", "part-00001.parquet"]
    code, out, err = says(capsys, "predict", run, *rows)
    assert code == 2 and "error: s3://runs/parts: has parts already; go on with them by --resume" in err
    shutil.rmtree(mirror.cache_folder())
    s3.rm("runs/parts/part-00001.parquet")
    assert says(capsys, "predict", run, *rows, "--resume")[0] == 0  # as on another machine
    s3.invalidate_cache()
    assert [name.rpartition("/")[2] for name in s3.find("runs/parts")] == names
    assert says(capsys, "eval", f"{run}/best.safetensors", pictures, "--out", "s3://runs/scores")[0] == 0
    assert says(capsys, "embed", run, pictures, "-o", "s3://runs/vectors.npz")[0] == 0
    assert says(capsys, "convert", run, "-o", "s3://runs/model.safetensors")[0] == 0
    s3.invalidate_cache()
    s3.rm("runs/run/report.html")
    code, _, err = says(capsys, "report", run)
    assert code == 0 and "written: s3://runs/run/report.html" in err
    s3.invalidate_cache()
    for name in ("run/report.html", "scores/evaluation.json", "vectors.npz", "model.safetensors"):
        assert s3.size(f"runs/{name}") > 100
    code, _, err = says(capsys, "train", pictures, "--out", run, *flags(TINY))
    assert code == 2 and f"{run}: exists and is not empty; go on with it by --resume" in err


def test_shards_in_a_folder_of_a_bucket(s3, monkeypatch):
    """Which is listed once, and what that says of a shard is not asked for again."""
    from resnets.data.sources import in_words, open_source
    from tests.data.readers.shards.made import expected, pixels, samples, tar

    for number in range(2):
        s3.pipe(f"runs/set/train-{number}.tar", tar(samples(4 * number, 4)))
    asked, listing, info = [], type(s3)._lsdir, type(s3)._info
    monkeypatch.setattr(
        type(s3), "_lsdir", lambda self, path, *words, **more: (asked.append(path), listing(self, path, *words, **more))[1]
    )
    monkeypatch.setattr(
        type(s3), "_info", lambda self, path, *words, **more: (asked.append(path), info(self, path, *words, **more))[1]
    )
    source = open_source("s3://runs/set")
    assert [path for path in asked if path == "runs/set" or path.endswith(".tar")] == ["runs/set"] and pixels(
        source
    ) == expected(0, 8)
    for open_it in (in_words, lambda data: open_source(data, "tags")):
        asked.clear()
        with suppress(InputError):  # they have one label each
            open_it("s3://runs/set")
        assert [path for path in asked if path == "runs/set" or path.endswith(".tar")] == ["runs/set"]
    asked.clear()
    assert pixels(open_source("s3://runs/set/train-{0..1}.tar")) == expected(0, 8)
    assert source.fingerprint() == open_source("s3://runs/set/train-*.tar").fingerprint()
    s3.pipe("runs/a [b] ü%20#?&/train-0.tar", tar(samples(0, 4)))
    assert pixels(open_source("s3://runs/a [b] ü%20#?&")) == expected(0, 4)
    s3.pipe("runs/set/train-2.tar", tar(samples(8, 4)))  # of which this process has a listing
    assert len(open_source("s3://runs/set").splits["train"]) == 12


def test_names_that_are_no_paths(s3, tmp_path):
    import boto3

    client = boto3.client("s3")
    for name in ("set/a.png", "set/", "set/sub/"):
        client.put_object(Bucket="runs", Key=name, Body=b"x" * (not name.endswith("/")))
    assert [path.name for path in local("s3://runs/set").iterdir()] == ["a.png"]
    for name in ("bad/../../escaped.png", "bad2/a\\..\\b/../c"):
        client.put_object(Bucket="runs", Key=name, Body=b"x")
        with pytest.raises(InputError, match=r"'\.\.'|can be no file's name|there is no such file"):
            local(f"s3://runs/{name.partition('/')[0]}")
    assert not list(tmp_path.rglob("escaped.png"))


def test_what_is_not_there_or_not_allowed(s3, monkeypatch, tmp_path, capsys):
    assert says(capsys, "info", "s3://nobucket/best.safetensors")[::2] == (
        2, "error: s3://nobucket/best.safetensors: there is no such file or folder; check the name\n"
    )  # fmt: skip
    code, _, err = says(capsys, "train", "digits", "--out", "s3://nobucket/run", *flags(TINY))
    assert code == 2 and "s3://nobucket/run: " in err


def asks_for_rights(server, after):
    """From so many requests on the server wants to know who asks."""
    words = {"data": str(after).encode(), "headers": {"Content-Type": "text/plain"}}
    urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/reset-auth", **words)).close()


def test_a_bucket_without_rights(s3, s3_server, capsys):
    s3.pipe("runs/model.safetensors", b"x")
    asks_for_rights(s3_server, 0)
    try:
        for words in (["info", "s3://runs/model.safetensors"], ["train", "digits", "--out", "s3://runs/run", *flags(TINY)]):
            code, _, err = says(capsys, *words)
            assert code == 2 and "; check the address, and the credentials and rights that the environment gives" in err
    finally:
        asks_for_rights(s3_server, 10**9)
