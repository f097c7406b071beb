"""Data, models and results in an object store, with the work on a Ray cluster of this machine."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnets.errors import InputError
from resnets.fleet.worker import Driver
from resnets.stores import addresses
from tests.engine.running import flags
from tests.stores.conftest import quick, s3, s3_server  # noqa: F401 (fixtures)
from tests.stores.test_s3 import ROOT, TINY, pictures  # noqa: F401 (a fixture)

COMMANDS = """
import json, sys
import ray
from resnets.cli.main import main
ray.init(address="local", num_cpus=2, object_store_memory=100 << 20, include_dashboard=False, log_to_driver=False)
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as done:
        print("exit", done.code)
"""


@pytest.mark.slow
def test_what_is_in_a_bucket_is_read_and_written_as_on_one_machine(s3, pictures, tmp_path):  # noqa: F811
    pytest.importorskip("ray", reason="needs ray: pip install 'resnets[ray]'")
    parquet = pytest.importorskip("pyarrow.parquet")
    ray = ["--engine", "ray", "--num-workers", "2"]
    run, val = "s3://runs/run", f"{pictures}/val"
    predict = ["predict", run, val, "--batch-size", "8", "-o"]
    commands = [
        ["train", pictures, "--out", run, *ray, *flags(TINY | {"epochs": 2, "batch_size": 4})],
        [*predict, "s3://runs/one.csv"],
        [*predict, "s3://runs/two.csv", *ray, "--block-size", "8"],
        [*predict, "s3://runs/rows", *ray, "--block-size", "8"],
        [*predict, "s3://runs/rows", *ray, "--block-size", "8"],
    ]
    clean = dict(os.environ) | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    words = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    done = subprocess.run(words, env=clean, cwd=tmp_path, capture_output=True, text=True, check=False)
    ends = [line for line in done.stdout.splitlines() if line.startswith("exit")]
    assert ends == ["exit 0"] * 4 + ["exit 2"], done.stdout + done.stderr
    assert "error: s3://runs/rows: has parts already; go on with them by --resume" in done.stderr
    assert str(tmp_path) not in done.stdout, "the addresses are named, not the copies"
    s3.invalidate_cache()
    there = {name.removeprefix("runs/") for name in s3.find("runs") if not name.startswith("runs/pictures/")}
    assert {"run/last.safetensors", "run/report.html", "one.csv", "two.csv"} <= there
    assert {name for name in there if not name.startswith("run/")} == {
        "one.csv", "two.csv", "rows/manifest.json", "rows/part-00000.parquet", "rows/part-00001.parquet",
    }  # fmt: skip
    one = s3.cat("runs/one.csv")
    assert one == s3.cat("runs/two.csv") and one.splitlines()[1].startswith(f"{val}/a/".encode())
    table = parquet.read_table(io.BytesIO(s3.cat("runs/rows/part-00000.parquet")))
    assert all(path.startswith(f"{val}/") for path in table["path"].to_pylist())


def test_copies_that_a_worker_lacks_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(addresses, "SHOWN", addresses.SHOWN)
    addresses.SHOWN.clear()
    with pytest.raises(
        InputError, match=r"has no /nowhere/files/, the copy of what is at s3://b/; set RESNETS_DATA to a folder"
    ):
        Driver(copies={"/nowhere/files/": "s3://b/"}).prepare()
    Driver(copies={f"{tmp_path}/": "s3://b/"}, folder=str(Path.cwd())).prepare()
    assert addresses.told(f"{tmp_path}/x.png") == "s3://b/x.png"
    addresses.SHOWN.clear()
