"""docs/errors.md quotes messages as the code has them, and errors name its sections."""

import ast
import re
from pathlib import Path

import pytest

import resnets
from resnets.cli import main
from resnets.cli.error_page import PAGE, SECTIONS, pointer

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
# Anchor, as GitHub and the website make it of a heading -> the message below that.
QUOTED = {
    title.lower().replace(" ", "-"): message.strip("` ")
    for title, message in re.findall(r"^#### (.+)\n(`.+`)$", TEXT, flags=re.M)
}


def flat(node):
    """A literal's text, with "…" for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.fixture(scope="module")
def literals():
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in Path(resnets.__file__).parent.rglob("*.py"))
    return {flat(node) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Constant)}


def test_every_message_is_in_the_code(literals):
    assert len(set(QUOTED.values())) == len(QUOTED) == TEXT.count("\n#### ") >= 30
    assert [words for words in QUOTED.values() if words not in literals] == []


def test_every_message_is_followed_by_what_to_do():
    bodies = re.split(r"^#### .*\n.*\n", TEXT, flags=re.M)[1:]
    assert all(len(body.split()) >= 8 for body in bodies)


def test_every_message_leads_to_its_own_section():
    assert list(QUOTED) == list(SECTIONS)
    assert {anchor: pointer(f"x: {message}") for anchor, message in QUOTED.items()} == {
        anchor: f"more: {PAGE}#{anchor}" for anchor in SECTIONS
    }
    assert pointer("lr='high': give a number") == ""


@pytest.mark.parametrize(
    "words, last",
    [("info resnet51", f"more: {PAGE}#unknown-network"), ("train digits --lr high", "error: lr='high': give a number")],
)
def test_the_command_names_the_section(words, last, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main.main(words.split())
    err = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and err[-1] == last and err[0].startswith("error: ")
