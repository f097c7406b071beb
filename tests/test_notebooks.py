"""The notebooks as they stand, and what runs them. `.ci/run` runs them all."""

import ast
import importlib.util
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import resnets

jupytext = pytest.importorskip("jupytext", reason="needs jupytext: pip install 'resnets[notebooks]'")
pytest.importorskip("nbclient", reason="needs nbclient: pip install 'resnets[notebooks]'")

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]_*.py"))
TEXT = {path: path.read_text(encoding="utf-8") for path in NOTEBOOKS}
ALLOWED = {"IPython", "PIL", "matplotlib", "numpy", "pathlib", "resnets", "sklearn", "torch"}  # Colab has the others
INSTALL = re.compile(r"try:\n    import resnets\nexcept ModuleNotFoundError:\n    %pip install -q \S+\n    import resnets\Z")
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [cell.source for cell in jupytext.read(path).cells if cell.cell_type == kind]


@pytest.fixture(scope="module")
def runner():
    """notebooks/run.py as a module."""
    spec = importlib.util.spec_from_file_location("notebooks_run", FOLDER / "run.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def test_there_are_five_and_the_page_lists_them():
    listed = re.findall(r"^\| \[(\S+)\]\(\1\)", (FOLDER / "README.md").read_text(encoding="utf-8"), re.M)
    assert listed == [path.name for path in NOTEBOOKS] and len(NOTEBOOKS) == 5


@each
def test_the_first_cell_installs_where_resnets_is_not(path):
    first = cells(path, "code")[0]
    assert INSTALL.search(first), first
    assert re.match(rf"# {path.name[0]}\. ", cells(path, "markdown")[0])
    extras = set(re.findall(r"'resnets\[(.*)\]'", first))
    assert extras == {
        extra for extra, call in (("explain", "resnets.explain("), ("onnxruntime", "resnets.export(")) if call in TEXT[path]
    }


@each
def test_it_imports_only_what_colab_has_and_names_what_there_is(path):
    tree = ast.parse(TEXT[path])  # magics are comments in the text
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= ALLOWED
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for name in {name for name in used if re.fullmatch(r"resnets\.\w+", name)} | {
        name for name in imported if "resnets." in name
    }:
        pkgutil.resolve_name(name)
    assert {name.removeprefix("resnets.") for name in used if re.fullmatch(r"resnets\.\w+", name)} <= set(resnets.__all__)


@each
def test_cells_are_short_and_each_has_words_beside_it(path):
    notebook = jupytext.read(path).cells
    assert all(cell.source.strip() for cell in notebook)
    assert max(len(source.splitlines()) for source in cells(path, "code")) <= 24
    assert max(len(source.split()) for source in cells(path, "markdown")) <= 110
    kinds = "".join("m" if cell.cell_type == "markdown" else "c" for cell in notebook)
    assert kinds.startswith("m") and "cccc" not in kinds and kinds.endswith("m")


def test_few_things_are_asserted_and_something_in_each():
    found = {path.name: text.count("\nassert ") for path, text in TEXT.items()}
    assert all(1 <= num <= 4 for num in found.values()), found


# --- run.py -----------------------------------------------------------------------------------------------------------------

FORMAT = "#   jupytext:\n#     text_representation:\n#       extension: .py\n#       format_name: percent\n"
HEAD = f"# ---\n# jupyter:\n{FORMAT}# ---\n\n"
WORKS = HEAD + "# %%\nfrom pathlib import Path\n\nPath('left').touch()\nprint(len(list(Path().iterdir())))\n"
FAILS = HEAD + "# %% [markdown]\n# Words\n\n# %%\nx = 1\n\n# %%\nprint(x)\nx / 0\n\n# %%\nprint('not reached')\n"


def test_they_are_timed_and_an_error_is_told_with_its_cell(tmp_path):
    """And what ran is kept, each in a folder of its own."""
    for name, text in (("1_works.py", WORKS), ("2_fails.py", FAILS)):
        (tmp_path / name).write_text(text)
    program = shutil.copy(FOLDER / "run.py", tmp_path)
    command = [sys.executable, program, "--jobs", "2", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 1
    assert re.fullmatch(r"1_works\.py +[\d.]+ s, +[\d.]+ s of processors\n", done.stdout)
    assert done.stderr == "2_fails.py, cell 3 (print(x)): ZeroDivisionError: division by zero\n"
    kept = {path.stem: jupytext.read(path).cells for path in (tmp_path / "out").iterdir()}
    assert kept["1_works"][0].outputs[0]["text"] == "1\n"
    assert kept["2_fails"][2].outputs[0]["text"] == "1\n" and not kept["2_fails"][3].outputs


def test_notebooks_are_chosen_by_the_beginning_of_their_names(runner):
    assert runner.notebooks() == NOTEBOOKS and runner.notebooks(["5", "2"]) == [NOTEBOOKS[1], NOTEBOOKS[4]]
    with pytest.raises(SystemExit, match=r"no notebook 7; there are 1_residual\.py"):
        runner.notebooks(["2", "7"])


def test_a_badge_leads_to_the_notebook(runner):
    (line,) = runner.badges(NOTEBOOKS[:1], "someone/thing")
    assert line.startswith(
        "| [1_residual](1_residual.py) | [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    )
    assert line.endswith("(https://colab.research.google.com/github/someone/thing/blob/main/notebooks/1_residual.ipynb) |")
