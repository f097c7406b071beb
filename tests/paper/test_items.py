"""Items from stored runs, the report of their results, and the command."""

import dataclasses
import json
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from resnets.errors import InputError
from resnets.paper import figures, items, report, scales
from resnets.paper.result import Result
from tests.paper.finished_runs import SMALL, reproduced, said, store

NOISE = (-0.2, 0.0, 0.2)  # of three seeds: standard error of a difference of means 0.16


def as_in_the_paper(training):
    """Plain networks become worse with depth, residual ones better, with noise between seeds."""
    layers, noise = training.spec.num_layers, NOISE[training.seed]
    worth = layers / 4 if training.network.startswith("plain") else -layers / 8
    return {"train": 20 + worth + noise, "val": 25 + worth + noise, "test": 26 + worth + noise}


def test_orderings_of_fig6(tmp_path):
    store(tmp_path, "fig6", errors=as_in_the_paper)
    result = reproduced(tmp_path, "fig6")
    assert [verdict.holds for verdict in result.verdicts] == ["holds"] * 6
    assert len(result.evidence) == 24 and {record["seed"] for record in result.evidence} == {0, 1, 2}
    assert result.evidence[0]["commit"] == "0123456789ab" and result.evidence[0]["seconds"] == 60
    assert (tmp_path / "items/small/fig6" / result.drawings[0].file).stat().st_size > 10_000
    rows = {row[0]: row for row in result.tables[0].rows}
    assert rows["ResNet-20"][1:] == ("17.50 ± 0.20", "22.50 ± 0.20", "23.50 ± 0.20", 3)
    assert result == items.read(tmp_path / "items/small/fig6/result.json")
    # Of the same runs: nothing lacks.
    assert reproduced(tmp_path, "fig1").verdicts[0].holds == "holds"
    assert {verdict.holds for verdict in reproduced(tmp_path, "table6").verdicts} == {
        "inconclusive"
    }  # small is not the paper's


def test_what_does_not_hold_is_said(tmp_path):
    store(
        tmp_path,
        "fig6",
        errors=lambda training: {"train": 20.0, "test": 30 + training.spec.num_layers / 8 + NOISE[training.seed]},
    )
    found = [verdict.holds for verdict in reproduced(tmp_path, "fig6").verdicts]
    assert found == ["inconclusive", "holds", "fails", "inconclusive", "inconclusive", "inconclusive"]


def test_table6_at_full_scale(tmp_path):
    full = scales.get("full", seeds=1, depths=(20, 32, 110))
    store(tmp_path, "fig6", scale=full, errors=lambda training: {"test": 8.5 if "resnet" in training.network else 61.0})
    verdicts = reproduced(tmp_path, "table6", scale=full).verdicts
    assert [verdict.holds for verdict in verdicts] == ["holds", "fails", "fails"]
    verdict = next(verdict for verdict in reproduced(tmp_path, "fig6", scale=full).verdicts if "60" in verdict.claim)
    assert verdict.holds == "holds" and "61.00" in verdict.because


@pytest.mark.parametrize("name", ["table2", "fig4", "table3", "identity"])
def test_the_other_items(tmp_path, name):
    store(tmp_path, name, errors=as_in_the_paper)
    result = reproduced(tmp_path, name)
    assert result.verdicts and result.deviations and (tmp_path / "items/small" / name / f"{name}.png").is_file()
    if name != "identity":
        assert "Not ImageNet" in result.deviations[0]


def test_imagenet_networks_on_a_folder(tmp_path):
    needed = items.get("table3").trainings(SMALL, str(tmp_path / "imagenet"))
    assert {training.label for training in needed} >= {"plain34", "resnet34,shortcut=C", "resnet50_v1", "resnet152_v1"}
    assert all(training.large and training.settings["img_size"] == SMALL.large_size for training in needed)
    store(tmp_path, "table2", data=str(tmp_path / "imagenet"), errors=as_in_the_paper)
    result = reproduced(tmp_path, "table2", data=str(tmp_path / "imagenet"))
    assert "ten crops" in " ".join(result.deviations) and result.tables[0].rows[0][-1] == 27.94


@pytest.mark.slow
def test_report_of_stored_results(tmp_path, capsys):
    store(tmp_path, "fig6", errors=as_in_the_paper)
    reproduced(tmp_path, "fig6")
    reproduced(tmp_path, "table1")
    out, err = said(capsys, f"paper report --out {tmp_path} --to {tmp_path / 'page'} --json")
    told = json.loads(out)
    text, page = ((tmp_path / "page" / name).read_text() for name in ("README.md", "paper.html"))
    assert told == {"markdown": str(tmp_path / "page/README.md"), "html": str(tmp_path / "page/paper.html")} and err == ""
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["README.md", "paper.html", "small-fig6.png"]
    assert "](small-fig6.png)" in text and "269,722" in text and "| **holds** |" in text and "0123456789ab" in text
    assert text.index("## table1") < text.index("## fig6")
    assert "\\<processor\\> \\| of ours" in text  # what a run says of itself is text, not marks
    assert "a &lt;processor&gt; | of ours" in page and "<script" not in page and "data:image/png;base64," in page
    assert set(re.findall(r'(?:src|href)="([^"]{0,5})', page)) <= {"data:", "#smal"}


@pytest.mark.parametrize("file", ["../../secret.png", "/etc/passwd", "none.png", "a.svg"])
def test_pictures_come_from_the_folder_of_the_item(tmp_path, file):
    folder = tmp_path / "items/small/fig6"
    folder.mkdir(parents=True)
    (tmp_path / "items/secret.png").write_bytes(b"secret")
    result = {"item": "fig6", "scale": "small", "tables": [], "verdicts": [], "deviations": [], "evidence": []}
    (folder / "result.json").write_text(json.dumps(result | {"drawings": [{"file": file, "says": "a picture"}]}))
    with pytest.raises(InputError, match="run the item again"):
        report.write(tmp_path)


@pytest.mark.slow
def test_listing(tmp_path, capsys):
    store(tmp_path, "table6", errors=as_in_the_paper)
    reproduced(tmp_path, "table6")
    found = {
        row["name"]: row["scales"]["small"] for row in json.loads(said(capsys, f"paper --out {tmp_path} --json")[0])["items"]
    }
    assert found["table6"] == {
        "runs": 12, "finished": 12, "seconds": 0, "measured": True, "verdicts": {"holds": 0, "fails": 0, "inconclusive": 4},
    }  # fmt: skip
    assert (found["fig6"]["finished"], found["fig6"]["runs"], found["fig6"]["verdicts"]) == (12, 24, None)
    # The plain networks cost what the residual ones do, and those took 60 s each.
    assert found["fig6"]["seconds"] == pytest.approx(12 * 60, rel=1e-3)
    out, _ = said(capsys, f"paper --out {tmp_path}")
    assert all(name in out for name in items.ITEMS) and "?4" in out and "12 min *" in out


@pytest.mark.slow
def test_the_listing_needs_no_torch():
    code = (
        "import sys; from resnets.cli.main import main\ntry: main(['paper'])\nexcept SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False" and "fig6" in done.stdout


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("fig99", "table1"),
        ("fig6 --scale huge", "full, medium, small, tiny"),
        ("fig6 --depths 20,21", "1202"),
        ("fig6 --depths x", "20,56,110"),
        ("fig6 --to page", "paper report"),
        ("report", "run an item first"),
    ],
)
def test_bad_input(words, remedy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, err = said(capsys, f"paper {words} --out {tmp_path / 'out'}", code=2)
    assert out == "" and remedy in err and "Traceback" not in err


def test_a_result_that_an_earlier_version_stored_is_read(tmp_path):
    """Which called a verdict "open" that is inconclusive."""
    path = tmp_path / "items/small/fig6/result.json"
    path.parent.mkdir(parents=True)
    verdicts = [{"claim": "a", "holds": "open", "because": "b"}, {"claim": "c", "holds": "fails", "because": "d"}]
    stored = {"item": "fig6", "scale": "small", "tables": [], "verdicts": verdicts, "drawings": [], "deviations": []}
    path.write_text(json.dumps(stored | {"evidence": []}))
    result = items.read(path)
    assert [verdict.holds for verdict in result.verdicts] == ["inconclusive", "fails"]
    assert items.counted(result) == {"holds": 0, "fails": 1, "inconclusive": 1}
    assert list(report.lines(result)) == ["inconclusive  a b", "fails         c d"]
    text, page = (written.read_text() for written in report.write(tmp_path))
    assert "| **inconclusive** |" in text and 'class="inconclusive"' in page and "open" not in text


def test_a_broken_result_is_named(tmp_path):
    folder = tmp_path / "items/small/fig6"
    folder.mkdir(parents=True)
    for text in ("{", "[]", '{"item": 1}'):
        (folder / "result.json").write_text(text)
        with pytest.raises(InputError, match=r"result\.json"):
            list(items.stored(tmp_path))


@pytest.mark.slow
def test_fig6_from_the_beginning(tmp_path, capsys, monkeypatch):
    """A plain and a residual network, trained for a few steps on digits, by processes of their own."""
    monkeypatch.setitem(scales.SCALES, "tiny", dataclasses.replace(scales.SCALES["tiny"], steps=4))
    words = f"paper fig6 --scale tiny --depths 20 --jobs 2 --data digits --device cpu --out {tmp_path} --json"
    out, err = said(capsys, words)
    result = Result.from_json({key: value for key, value in json.loads(out).items() if key != "folder"})
    assert {verdict.holds for verdict in result.verdicts} == {"inconclusive"}  # one seed decides nothing
    for record in result.evidence:
        assert record["command"].startswith("resnets train digits --recipe he2015 --seed 0 --steps 4 --img-size 8")
    assert sorted(row[0] for row in result.tables[0].rows) == ["ResNet-20", "plain-20"] and "[2/2]" in err
    out, err = said(capsys, words)
    assert "2 of 2 runs are finished already" in err


@pytest.mark.slow
def test_ctrl_c_and_the_same_command_again(tmp_path):
    words = f"paper fig1 --scale tiny --depths 20 --data digits --device cpu --out {tmp_path}"
    command = [sys.executable, "-m", "resnets", *shlex.split(words)]
    run = tmp_path / "runs/tiny-digits/plain20_cifar/seed0"
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (run / "recipe.yaml").is_file():
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate()
    assert first.returncode == 130 and "to go on: the same command again" in err
    assert not (run / "evaluation.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "[1/1] plain20_cifar seed 0" in done.stderr and "plain-20" in done.stdout
    assert "--resume" in run.with_name("seed0.log").read_text()


def test_the_colours_are_enough():
    assert len(figures.COLOURS) >= max(len(scale.depths) for scale in scales.SCALES.values()) + 1  # 1202 too
