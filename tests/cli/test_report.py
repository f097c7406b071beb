"""`resnets report` on the command line."""

import json
from pathlib import Path

from click.testing import CliRunner

from resnets.cli.main import cli
from tests.verbs.report.test_several import made


def test_the_page_of_a_run_is_made_again(tmp_path):
    (tmp_path / "recipe.yaml").write_text("model: resnet20_cifar\n")
    done = CliRunner().invoke(cli, ["report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    said, written = done.stderr.splitlines()
    assert (
        written == f"written: {tmp_path / 'report.html'}"
        and "without pictures: " in said
        and "go on by `resnets train --resume" in said
    )
    assert "<h1>resnet20_cifar" in (tmp_path / "report.html").read_text()
    other = tmp_path / "elsewhere" / "page.html"
    assert CliRunner().invoke(cli, ["report", str(tmp_path), "--out", str(other)]).exit_code == 0 and other.exists()


def test_no_run_is_said(tmp_path):
    done = CliRunner().invoke(cli, ["report", str(tmp_path / "none")])
    assert "no such run directory" in str(done.exception)


def test_several_runs_are_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        made(tmp_path / name, 30)
    done = CliRunner().invoke(cli, ["report", "a", "b"])
    assert (
        done.exit_code == 0
        and done.stderr == "written: compare.html\n"
        and "2 runs compared" in Path("compare.html").read_text()
    )
    Path("compare.html").unlink()
    done = CliRunner().invoke(cli, ["report", "a", "b", "--json"])
    assert json.loads(done.stdout)["differences"][0]["difference"] == 0 and not Path("compare.html").exists()
