"""The trainings that items share: what is run, once, at once, gone on with. A stand-in takes the place of `resnets train`."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import click
import pytest

from resnets.errors import InputError, Interrupted
from resnets.paper import trainings
from resnets.paper.scales import SCALES
from resnets.paper.trainings import Training, carry_out, is_finished

# Writes down how it was called, then does as its first word says; `--resume` always finishes.
STAND_IN = """
import json, os, pathlib, signal, sys, time
deed, *words = sys.argv[1:]
out = pathlib.Path(words[words.index("--out") + 1])
out.mkdir(exist_ok=True)
with (out.parent / "calls").open("a") as file:
    file.write(json.dumps([out.name, os.environ.get("OMP_NUM_THREADS"), words]) + "\\n")
if "--resume" not in words:
    names = [w[2:].replace("-", "_") for w in words if w.startswith("--")]
    values = {n: words[words.index("--" + n.replace("_", "-")) + 1] for n in names if n not in ("out", "data_dir")}
    (out / "recipe.yaml").write_text("\\n".join(f"{n}: {v}" for n, v in values.items()))
    if deed == "wait":
        def stop(number, frame):
            (out / "saved").write_text(str(number))
            sys.exit(128 + number)
        signal.signal(signal.SIGINT, stop), signal.signal(signal.SIGTERM, stop)
        (out / "ready").touch()
        time.sleep(60)
    if deed == "refuse":
        print("error: it cannot learn; do this"), sys.exit(2)
    if deed == "break":
        print("Traceback"), sys.exit(1)
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
result = {"split": "test", "top1": 0.9}
(out / "evaluation.json").write_text(json.dumps(result))
(out / "provenance.json").write_text(json.dumps({"result": result}))
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "stand_in.py"
    path.write_text(textwrap.dedent(STAND_IN))
    return lambda deed: (sys.executable, str(path), deed)


def some(num=2, **changes):
    scale = SCALES["tiny"]
    return [Training(network="resnet20_cifar", data="digits", scale=scale, seed=seed, **changes) for seed in range(num)]


def calls(out):
    return sorted(line for path in out.rglob("calls") for line in path.read_text().splitlines())


def run(needed, out, words, **options):
    said = []
    found = carry_out(needed, out, say=said.append, program=words, pause=0.02, **options)
    return found, said


def test_the_folder_follows_from_the_training():
    scale, out = SCALES["small"], Path("paper")
    one = Training(network="resnet20_cifar", data="cifar10", scale=scale, seed=0)
    other = Training(network="resnet32_cifar", data="digits", scale=scale, seed=2, changes=(("shortcut", "B"),))
    deep = Training(network="resnet50", data="cifar10", scale=scale, seed=0, changes=(("depths", (4, 4, 4)),))
    assert one.folder(out) == Path("paper/runs/small/resnet20_cifar/seed0")
    assert other.folder(out) == Path("paper/runs/small-digits/resnet32_cifar,shortcut_B/seed2")
    assert deep.folder(out) == Path("paper/runs/small/resnet50,depths_4.4.4/seed0")
    here, there = (trainings.scale_folder("full", f"{folder}/imagenet") for folder in ("/a", "/b"))
    assert here.startswith("full-imagenet-") and here != there and "/" not in here


def test_the_cost_by_hand():
    """ResNet-20 has 40.55 M multiply-adds at 32 pixels, a 16th at 8; a training step costs three passes of 128 pictures."""
    one = some(1)[0]
    assert one.cost == pytest.approx(3 * 120 * 128 * one.spec.num_macs(8)) and one.spec.num_macs(8) == pytest.approx(
        40.55e6 / 16, 0.01
    )


def test_the_command_is_one_that_people_can_type(tmp_path):
    from resnets.cli.main import cli

    training = some(1, changes=(("shortcut", "B"), ("depths", (1, 1, 1))))[0]
    verb, *words = trainings.command(training, tmp_path / "run", data_dir="sets", device="cpu")
    given = cli.get_command(click.Context(cli), verb).make_context(verb, words).params
    assert given["data"] == "digits" and given["shortcut"] == "B" and given["depths"] == "1,1,1"
    assert (given["recipe"], given["steps"], given["seed"], given["img_size"]) == ("he2015", "120", "0", "8")
    assert (given["data_dir"], given["device"], given["out"]) == ("sets", "cpu", str(tmp_path / "run"))


def test_finished_runs_are_not_run_again(tmp_path, program):
    out = tmp_path / "out"
    found, said = run(some(2), out, program("do"), jobs=2)
    assert all(map(is_finished, found.values())) and len(calls(out)) == 2
    assert [line[:5] for line in said] == ["[1/2]", "[2/2]"] and "test error 10.00 %" in said[0] and "left" in said[0]
    assert all('"1"' in line for line in calls(out))  # a thread each
    found, said = run(some(3), out, program("do"))
    assert len(calls(out)) == 3 and said[0] == "2 of 3 runs are finished already"


def test_stopped_runs_save_and_go_on(tmp_path, program):
    out, needed = tmp_path / "out", some(2)
    ready = [training.folder(out) / "ready" for training in needed]

    def press():
        while not all(path.exists() for path in ready):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(Interrupted, match="the same command") as stopped:
        run(needed, out, program("wait"), jobs=2)
    assert stopped.value.signal == signal.SIGINT
    assert [(path.parent / "saved").read_text() for path in ready] == [str(int(signal.SIGINT))] * 2
    found, _ = run(needed, out, program("wait"))
    assert all(map(is_finished, found.values()))
    assert sum("--resume" in line for line in calls(out)) == 2 and len(calls(out)) == 4


@pytest.mark.parametrize(
    ("deed", "error", "words"),
    [("refuse", InputError, "it cannot learn; do this"), ("break", RuntimeError, "seed0.log"), ("die", InputError, "SIGKILL")],
)
def test_a_failing_run_ends_it_and_is_named(tmp_path, program, deed, error, words):
    with pytest.raises(error, match=rf"seed0.*{words}"):
        run(some(2), tmp_path, program(deed))
    assert len(calls(tmp_path)) == 1


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path, program):
    needed = some(1)
    folder = needed[0].folder(tmp_path)
    folder.parent.mkdir(parents=True)
    with trainings.locked(trainings.log_of(folder)) as log:
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=log)
    try:  # the lock stays with whoever trains, although the one that started it has let go
        with pytest.raises(InputError, match="another process is training"):
            run(needed, tmp_path, program("do"))
    finally:
        sleeper.kill()
        sleeper.wait()
    run(needed, tmp_path, program("do"))


def test_runs_of_other_settings_are_not_taken_for_these(tmp_path, program):
    needed = some(1)
    run(needed, tmp_path, program("do"))
    recipe = needed[0].folder(tmp_path) / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("steps: 120", "steps: 60"))
    with pytest.raises(InputError, match=r"steps was 60, not 120.*--out"):
        run(needed, tmp_path, program("do"))
