"""What version 0.1.0 wrote is still opened, resumed and answered alike, and what it called things is still there.

`tests/fixtures/v0_1_0` has its runs, exported files and answers (README.md there). Last digits hold on one processor only, so
values are compared with a tolerance here.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from resnets.cli.main import cli, main

FIXTURES = Path(__file__).parent / "fixtures" / "v0_1_0"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text(encoding="utf-8"))
NAMES = json.loads((FIXTURES / "names.json").read_text(encoding="utf-8"))
NEEDS = {".onnx": "onnxruntime", ".xml": "openvino"}
CLOCKS = {"images_per_second", "data_wait", "seconds"}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the folder, to work in."""
    shutil.copytree(FIXTURES, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def ran(capsys, words):
    with pytest.raises(SystemExit) as end:
        main(words)
    out, err = capsys.readouterr()
    assert not end.value.code, err
    return out


def assert_close(found, expected, where="", rel=1e-3, least=2e-3):
    """The same keys (the new may have more) and words, and numbers within a tolerance."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert_close(found[key], value, f"{where}.{key}", rel, least)
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_close(one, other, f"{where}[{number}]", rel, least)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=rel, abs=least), where
    else:
        assert found == expected, where


# Of volumes, measured since by the areas of surfaces at a tolerance in mm: CHANGELOG.md, docs/dense_metrics.md.
CHANGED = ("boundary_f", "surface_dice")


def without(figures, names):
    """Figures without those that are called so, in the rows of classes too."""
    rows = [{key: value for key, value in row.items() if key not in names} for row in figures["per_class"]]
    return {key: value for key, value in figures.items() if key not in names} | {"per_class": rows}


@pytest.mark.parametrize("model", EXPECTED["predict"])
def test_a_file_of_0_1_0_answers_as_it_did(model, copied, capsys):
    if package := NEEDS.get(Path(model).suffix):
        pytest.importorskip(package)
    case = EXPECTED["predict"][model]
    rows = [json.loads(line) for line in ran(capsys, case["command"].split()).splitlines()]
    assert_close(rows, case["rows"], model, least=0.05)  # boxes in pixels


@pytest.mark.parametrize("run", EXPECTED["eval"])
def test_a_run_of_0_1_0_is_evaluated_as_it_was(run, copied, capsys):
    case = EXPECTED["eval"][run]
    figures = without(case["figures"], CHANGED) if run == "volumes" else case["figures"]
    assert_close(json.loads(ran(capsys, case["command"].split())), figures, run, rel=0.02, least=5e-3)


LONG = ("detect_interrupted", "segment_interrupted")
INTERRUPTED = [pytest.param(run, marks=[pytest.mark.slow] * (run in LONG)) for run in EXPECTED["resume"]]


@pytest.mark.parametrize("run", INTERRUPTED)
def test_an_interrupted_run_of_0_1_0_goes_on_to_the_end_that_it_had(run, copied):
    """In a process with one thread, as the run began: the order of sums matters."""
    case = EXPECTED["resume"][run]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "resnets", *case["command"].split()]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    with (copied / run / "metrics.csv").open(newline="") as file:
        rows = [{key: cell for key, cell in row.items() if key not in CLOCKS} for row in csv.DictReader(file)]
    assert rows[: case["rows_before"]] == case["rows"][: case["rows_before"]]
    numbers = [[{key: float(cell or "nan") for key, cell in row.items()} for row in some] for some in (rows, case["rows"])]
    for found, expected in zip(*numbers, strict=True):
        assert found == pytest.approx(expected, rel=0.05, abs=0.05, nan_ok=True)
    assert not (copied / run / "recipe.yaml").read_text().count("null\n") > 60  # only the task's own settings are kept


def options(command, words=()):
    """(words, spellings of options) of `command` and all below it."""
    yield " ".join(words) or "resnets", {word for one in command.params for word in (*one.opts, *one.secondary_opts)}
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from options(command.get_command(click.Context(command), name), (*words, name))


def test_every_flag_of_0_1_0_is_still_there():
    now = dict(options(cli))
    for words, before in NAMES["commands"].items():
        lacking = set(before["options"]) - now[words] - {"--help"}
        assert not lacking, f"resnets {words}: {sorted(lacking)}"


def test_every_setting_of_0_1_0_is_one_of_some_task():
    from resnets import tasks

    assert {name for name in NAMES["recipe"] if not tasks.owners(name)} == set()


def test_every_network_of_0_1_0_is_still_there():
    import resnets

    assert set(NAMES["networks"]) <= set(resnets.list_models())
