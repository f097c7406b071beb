"""Tables and records of a run that are damaged, and run directories that another process writes to."""

import json
import subprocess
import sys

import pytest

from resnets.engine.resume import position_of
from resnets.engine.run import RunDir, claiming
from resnets.engine.settings import parse
from resnets.errors import InputError
from resnets.tasks.classify.settings import ClassifySettings

HEAD = "epoch,step,val_loss\n"


@pytest.mark.parametrize(
    "text", [HEAD + "1,2\n", HEAD + "1,2,3,4\n", HEAD + "1,\u00b2,3\n", HEAD + '1,"2,3\n', "a,b\n1,2\n",
             HEAD + "1,x,2\n", HEAD + "\udce9"]
)  # fmt: skip
def test_damaged_metrics(text, tmp_path):
    run = RunDir(tmp_path)
    run.metrics.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match=r"metrics\.csv, line \d"):
        run.read_metrics()


@pytest.mark.parametrize(
    "text", ["[]", "", '{"data": 3}', '{"device": {"processes": "x"}}', '{"resumed": {}}', "{" * 5000, "\x00",
             '{"data": {"dir": []}}', '{"data": null}', '{"device": null}']
)  # fmt: skip
def test_damaged_provenance(text, tmp_path):
    run = RunDir(tmp_path)
    run.provenance.write_text(text)
    with pytest.raises(InputError, match=r"provenance\.json: "):
        run.read_provenance()


def test_records_of_losses_that_diverged_and_names_that_are_no_utf8_are_read(tmp_path):
    run = RunDir(tmp_path)
    run.provenance.write_text(json.dumps({"seconds": float("inf"), "command": "caf\udce9"}))
    assert run.read_provenance()["command"] == "caf\udce9"


@pytest.mark.parametrize(
    "changes",
    [{"step": -1}, {"step": "3"}, {"step": 1.5}, {"best": float("nan")}, {"finished": 1}, {"scaler": {"scale": "x"}},
     {"bad_images": {"a": 1}}, {"best_epoch": 9}, {"seconds": float("inf")}, {"other": 1}],
)  # fmt: skip
def test_a_position_that_is_none(changes):
    assert position_of({"step": 3, "best": -1.0}).step == 3
    assert position_of({"best": -7.5, "best_epoch": 1}).best == -7.5  # R2 of a bad start
    with pytest.raises((TypeError, ValueError)):
        position_of({"step": 3} | changes)


HOLD = """
import sys
from resnets.engine.run import RunDir
RunDir({path!r}).claim()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no locks on folders")
def test_a_run_directory_has_one_writer(tmp_path):
    words = [sys.executable, "-c", HOLD.format(path=str(tmp_path))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process trains in it now"):
            RunDir.create(tmp_path, "classify")
        other.kill()
    with claiming():
        RunDir.create(tmp_path, "classify").claim()  # the lock has gone with the process; twice in one process is no matter
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value", ["9" * 5000, "9" * 5000 + "m", "\u00b2h", None], ids=["digits", "minutes", "no digit", "a number"]
)
def test_times_of_thousands_of_digits(value):
    value = 10**5000 if value is None else value
    with pytest.raises(InputError) as error:
        parse(ClassifySettings, "time", value)
    assert len(str(error.value)) < 400
