"""What the documentation shows must exist: every command parses, every link leads somewhere, every flag is one."""

import base64
import importlib.util
import pkgutil
import re
import shlex
import warnings
from pathlib import Path

import click
import pytest
import yaml

import resnets
from resnets import tasks
from resnets.cli.main import cli
from resnets.models import zoo

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "notebooks/README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
ELSEWHERE = ("https://arxiv.org/", "https://pytorch.org/get-started/")  # that pages may point to
SHOWN = [line for text in TEXT.values() for line in re.findall(r"^    (resnets .*)$", text, re.M)]
COMMANDS = sorted({line.split("#")[0].strip() for line in SHOWN})


@pytest.mark.parametrize("line", [line for line in COMMANDS if "..." not in line and "[" not in line])
def test_every_command_parses(line):
    words = shlex.split(line)[1:]
    if "--plugin" in words:  # a file that is here, and would stay loaded
        at = words.index("--plugin")
        assert (ROOT / "docs/plugins" / words[at + 1]).is_file()
        del words[at : at + 2]
    command = cli
    while isinstance(command, click.Group):
        name, *words = words
        command = command.get_command(click.Context(command), name)
    command.make_context(name, words)


def test_pages_show_commands():
    assert len(COMMANDS) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT[page]):
        assert target.startswith(ELSEWHERE) or (page.parent / target).exists(), target


@pytest.fixture(scope="module")
def site():
    """docs/site.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "docs" / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_in_the_navigation():
    def paths(entry):
        return [entry] if isinstance(entry, str) else [path for value in entry.values() for path in flat(value)]

    def flat(value):
        return paths(value) if isinstance(value, str) else [path for entry in value for path in paths(entry)]

    named = flat(yaml.safe_load((ROOT / "docs" / "site.yml").read_text(encoding="utf-8"))["nav"])
    written = {f"notebooks/{path.stem}.md" for path in (ROOT / "notebooks").glob("[0-9]_*.py")}  # by docs/site.py
    assert len(named) == len(set(named)) and all((ROOT / path).is_file() for path in set(named) - written)
    assert written | {page.relative_to(ROOT).as_posix() for page in PAGES} <= set(named)


def test_every_public_name_is_in_the_reference():
    named = set(re.findall(r"^### resnets\.(\w+)$", TEXT[ROOT / "docs/api.md"], re.M))
    assert named == set(resnets.__all__) - {"__version__"}


def test_the_website_has_what_pages_link_to(site, tmp_path):
    site.staged(tmp_path)
    assert (tmp_path / "docs/paper/README.md").is_file() and (tmp_path / "resnets/models/zoo.py").is_file()
    assert (tmp_path / "deploy/Dockerfile").is_file()  # through a page that is linked to


def test_notebooks_become_pages_with_what_they_showed(site, tmp_path):
    pytest.importorskip("jupytext", reason="needs jupytext: pip install 'resnets[docs]'")
    from nbformat import v4

    shown = [
        v4.new_output("stream", text="1 of 2\n"),
        v4.new_output("display_data", data={"image/png": base64.b64encode(b"a picture").decode(), "text/plain": "<Figure>"}),
        v4.new_output("execute_result", data={"text/html": "<table></table>", "text/plain": "Run()"}),
    ]
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# Words"), v4.new_code_cell("x", outputs=shown)])
    text = site.markdown_of(notebook, tmp_path / "n.md")
    assert text.startswith(
        "# Words\n\n```python\nx\n```\n\n```text\n1 of 2\n```\n\n![what the cell shows](n_3.png)\n\n<table></table>\n\n"
    )
    assert (tmp_path / "n_3.png").read_bytes() == b"a picture" and "<Figure>" not in text and "Run()" not in text
    site.staged(tmp_path)
    site.notebook_pages(tmp_path, None)
    index = (tmp_path / "notebooks/README.md").read_text()
    assert "(3_figure_6.md)" in index and ".py)" not in index
    assert "```python\nimport matplotlib" in (tmp_path / "notebooks/3_figure_6.md").read_text()


def test_dead_links_of_the_website_are_found(site, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top"></h1><a href="a/">a</a><a href="b.html">b</a><a href="#top">t</a><img src="c.png">'
    )
    (tmp_path / "a" / "index.html").write_text(
        '<a href="../index.html#top">t</a><a href="../index.html#low">l</a><a href="https://x.y">x</a>'
    )
    assert list(site.dead_links(tmp_path)) == [
        "a/index.html: ../index.html#low (no such heading)",
        "index.html: b.html",
        "index.html: c.png",
    ]


def flags(command):
    """The flags of a command and of those below it."""
    own = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    if not isinstance(command, click.Group):
        return own
    context = click.Context(command)
    return own.union(*(flags(command.get_command(context, name)) for name in command.list_commands(context)))


# Of other programs, in docs/distributed.md; --badge is of notebooks/run.py.
TORCHRUN = {"--nproc-per-node", "--nnodes", "--rdzv-id", "--rdzv-backend", "--rdzv-endpoint"}
SBATCH = {"--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--signal", "--requeue", "--open-mode"}
RAY = {"--disable-usage-stats", "--volume", "--shm-size", "--autoscaling-config", "--address", "--num-cpus", "--workdir"}
BENCHMARKS = {"--measure", "--engine-ms", "--tiny"}  # of scripts in benchmarks/


def test_every_flag_exists():
    used = {flag for text in TEXT.values() for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)}
    assert used - flags(cli) <= {"--help", "--debug", "--badge"} | TORCHRUN | SBATCH | RAY | BENCHMARKS


def test_numbers_and_names_are_the_codes():
    assert f"{len(zoo.ROWS)} named networks" in TEXT[ROOT / "README.md"]
    assert all(f"`{name}`" in TEXT[ROOT / "docs/training.md"] for name in tasks.get("classify").recipes)


# Names of files, not of Python.
NO_NAMES = {"resnets.json", "resnets.safetensors", "resnets.fish"}
NAMES = {name for text in TEXT.values() for name in re.findall(r"\bresnets(?:\.\w+)+", text)} - NO_NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_python_name_exists(name):
    """Under its own path: one of an earlier version warns, which fails here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        pkgutil.resolve_name(name)
