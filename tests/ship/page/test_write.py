"""The page as a file: it names nothing elsewhere, runs its own scripts alone, escapes, and holds the network."""

import base64
import dataclasses
import gzip
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import resnets
from resnets import tasks
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.ship.page import write
from resnets.ship.page.runtime import Runtime
from resnets.ship.sessions import open_session
from tests.ship.standing_in import SCRIPT

HOSTILE = ("</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!-- é & ' ` ${1}")
NETWORK = b"network" * 9


@pytest.fixture(scope="module")
def header(saved_model):
    found = resnets.load(saved_model).header
    return dataclasses.replace(found, labels=HOSTILE, metrics={"val_top1": 0.9125}, provenance={"data": {"name": HOSTILE[1]}})


@pytest.fixture(scope="module")
def page(header):
    return write.write_page(NETWORK, header, Runtime(SCRIPT, b"\0asm"))


class Attributes(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attributes):
        self.found |= {name for name, _ in attributes}


def blocks(page):
    """(attributes, content) of each script, as a browser parses them: to the first end tag."""
    return re.findall(r"<script([^>]*)>(.*?)</script>", page, re.S)


def test_it_has_its_scripts_and_no_others(page):
    kinds = [kind for kind, _ in blocks(page)]
    assert [kind for kind in kinds if "module" in kind] == [' type="module"'] * 2 and len(kinds) == 5
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1))
    for kind, content in blocks(page):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert (f"'sha256-{digest}'" in policy) == ("module" in kind)
    style = re.search(r"<style>(.*?)</style>", page, re.S).group(1)
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy and "connect-src" not in policy
    told = Attributes()
    told.feed(page)
    assert not {name for name in told.found if name.startswith("on") or name in ("style", "action", "background")}


def test_it_names_nothing_elsewhere(page):
    assert set(re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+", page)) == {"http://www.w3.org"}, "the name space of SVG"


def test_names_are_text(page):
    assert "<img src=x" not in page and "alert(1)</script>" not in page
    about = json.loads(next(content for kind, content in blocks(page) if "about" in kind))
    assert tuple(about["labels"]) == HOSTILE and about["name"] == HOSTILE[1]
    assert f"<title>{html.escape(HOSTILE[1], quote=False)}</title>".replace('"', "&#34;") in page
    assert "accuracy, validation</dt><dd>91.2%" in page


def test_the_runtime_is_as_it_was_but_for_its_exports(page):
    assert 'own = {version: "0", base: location.href};\nglobalThis.ort={"env":own,"Tensor":own};' in page
    assert "sourceMappingURL" not in page
    runtime = next(content for kind, content in blocks(page) if 'id="runtime"' in kind)
    assert gzip.decompress(base64.b64decode(runtime)) == b"\0asm"


def test_the_network_comes_out_again(page, tmp_path):
    path = tmp_path / "model.html"
    path.write_text(page, encoding="utf-8")
    assert write.read_page(path) == NETWORK
    for wrong in (page.replace('id="network"', 'id="other"'), page.replace(write.packed(NETWORK), "AAAA"), "", "<html>"):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(InputError, match="export it again"):
            write.read_page(path)


@pytest.mark.slow
def test_a_page_answers_in_python_too(exported, pixels, logits):
    np.testing.assert_allclose(open_session(exported["html"]).run(pixels), logits, rtol=1e-3, atol=1e-4)


def test_what_cannot_be_a_page(header):
    def changed(**fields) -> Header:
        return dataclasses.replace(header, **fields)

    half = dataclasses.replace(header.preprocess, mean=(0.5,) * 4, std=(0.5,) * 4)
    for wrong, words in (
        (changed(task="embed"), "is for the task embed, whose answers no page shows"),
        (changed(labels=()), "whose answers no page shows"),
        (changed(preprocess=half), "the model has 4 channels"),
        (changed(spec=dataclasses.replace(header.spec, dims=3)), "3 spatial axes"),
    ):
        with pytest.raises(InputError, match=words):
            write.check_page(wrong)
    write.check_page(header)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_a_task_has_a_page_where_it_has_a_script(task):
    has_page = "html" in tasks.get(task).formats
    assert write.answer_script(task).is_file() == has_page
    if has_page:
        script = write.own_script(task)
        names = re.findall(r"^(?:async )?(?:function|const|let) (\w+)", script, re.M)
        assert {"answer", "shown", "MOST_INPUT", "readPicture", "fitted"} <= set(names)
        assert len(names) == len(set(names)), "two of one name in one script"
        assert "</script" not in script.lower() and "<!--" not in script
