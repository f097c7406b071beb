"""docs/errors.md quotes messages as the code has them."""

import ast
import re
from pathlib import Path

import pytest

import resnets

PAGE = (Path(__file__).parent.parent / "docs/errors.md").read_text(encoding="utf-8")
QUOTED = [line.removeprefix("#### ").strip("` ") for line in PAGE.splitlines() if line.startswith("#### ")]


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
    assert len(QUOTED) >= 30 and len(set(QUOTED)) == len(QUOTED)
    assert [words for words in QUOTED if words not in literals] == []


def test_every_message_is_followed_by_what_to_do():
    bodies = re.split(r"^#### .*\n", PAGE, flags=re.M)[1:]
    assert all(len(body.split()) >= 8 for body in bodies)
