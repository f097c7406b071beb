"""`resnets data check` and `preview`."""

import json
import shlex
from pathlib import Path

import pytest
from PIL import Image

from resnets.cli.main import main
from tests.cli.made import FAST, said


def test_data_check_of_a_folder_with_problems_ends_with_2(place, capsys):
    Path("colours/red/bad.jpg").write_text("no picture")
    Path("colours/red/same.png").write_bytes(Path("colours/blue/1.png").read_bytes())
    for form in ("", "--json"):
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(f"data check colours {form}"))
        out, err = capsys.readouterr()
        assert (stopped.value.code, err) == (2, "")
        if form:
            found = json.loads(out)
            assert found["num_errors"] == 2 and {"unreadable", "disputed"} <= {row["kind"] for row in found["findings"]}
        else:
            assert "error: 1 picture cannot be read; mend or remove them" in out and "colours/red/bad.jpg" in out


def test_data_check_without_problems_ends_with_0(place, capsys):
    out, _ = said(capsys, "data check colours")
    assert "error:" not in out and out.splitlines()[-1].startswith("colours: 9 pictures, 0 errors")


def test_data_check_prints_names_as_one_line(place, capsys):
    Path("colours/red/two\nlines \x1b[31m.jpg").write_text("no picture")
    with pytest.raises(SystemExit):
        main(["data", "check", "colours"])
    assert r"colours/red/two\nlines \x1b[31m.jpg" in capsys.readouterr().out


def test_data_preview_draws_what_training_would_see(place, capsys):
    out, _ = said(capsys, f"data preview colours --out drawn.png --epochs 1 {FAST} --img-size 8 -j 0")
    assert out == "drawn.png\n" and Image.open("drawn.png").width > 100
    assert not Path("runs").exists()
