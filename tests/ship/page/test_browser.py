"""A page in a real browser, opened as a file without a network: answers, hostile names, what is no picture, a phone."""

import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.data.sources import open_source
from resnets.errors import InputError
from resnets.ship.formats import write_html
from resnets.ship.graph import program
from resnets.verbs.export import export
from resnets.verbs.export_data import as_files
from resnets.verbs.predict import predict
from tests.ship.page.driven import gap, need_runtime, opened

pytestmark = pytest.mark.slow
HOSTILE = ("<img src=x onerror=document.title='gone'>", "</script><script>document.title='gone'</script>", "{{ 7 * 7 }} é 猫")


@pytest.fixture(scope="module")
def page(saved_model, tmp_path_factory):
    need_runtime()
    model, path = resnets.load(saved_model), tmp_path_factory.mktemp("page") / "model.html"
    write_html(program(model), path, dataclasses.replace(model.header, labels=HOSTILE), None)
    return path


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "<img src=x>photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(path)
    return path


def test_names_and_errors_are_text(browser, page, picture, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:3000])
    (tmp_path / "empty.jpg").write_bytes(b"")
    with opened(browser, page) as found:
        rows = found.answers([picture, *sorted(tmp_path.iterdir())])
        assert rows[picture.name]["label"] in HOSTILE and "<img" in found.page.locator(".bars").first.inner_text()
        assert "truncated" in rows["cut.png"]["error"] and rows["empty.jpg"]["error"] == "is empty"
        assert rows["notes.txt"]["error"] == "not a picture that this browser can read; save it as PNG or JPEG"
        assert found.page.title() != "gone" and not found.page.locator("main img").count() and not found.faults
        assert found.asked == [page.resolve().as_uri()]


def test_nothing_can_be_sent(browser, page):
    with opened(browser, page) as found:
        sent = "fetch('http://127.0.0.1:9/').then(() => 'sent', error => 'refused')"
        assert found.page.evaluate(sent) == "refused"
        assert any("Content Security Policy" in fault for fault in found.faults)


def test_by_keyboard_and_on_a_phone_in_the_dark(browser, page, picture):
    with opened(browser, page, viewport={"width": 360, "height": 740}, color_scheme="dark") as found:
        assert found.page.inner_text("#said") == "Ready."
        found.page.keyboard.press("Tab")
        with found.page.expect_file_chooser() as chooser:
            found.page.keyboard.press("Enter")
        chooser.value.set_files(str(picture))
        found.page.locator("article[aria-busy=false]").wait_for()
        found.page.locator("summary").press("Enter")
        width, back = found.page.evaluate(
            "() => [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]"
        )
        assert width == 360 and sum(map(int, re.findall(r"\d+", back))) < 150
        assert re.search(r"120 x 90; read in [\d.]+ ms, answered in [\d.]+ ms", found.page.inner_text("article"))
        found.page.locator("article button").press("Enter")
        assert not found.page.locator("article").count() and found.page.locator("#tools").is_hidden()


def test_cifar10(browser, tmp_path):
    need_runtime()
    try:
        split = open_source("cifar10", "classes").splits["test"]
    except InputError as error:
        pytest.skip(str(error))
    files = as_files(split, np.arange(50), tmp_path / "pictures")
    result = export("resnet56_cifar10", format="html", out=tmp_path / "page.html", num_check=50)
    assert result["equal"] == 1
    expected = {row["path"].rpartition("/")[2]: json.loads(json.dumps(row)) for row in predict("resnet56_cifar10", files)}
    with opened(browser, tmp_path / "page.html") as found:
        rows = found.answers(files)
    assert [row["label"] for row in rows.values()] == [expected[name]["label"] for name in rows]
    assert max(gap(expected[name], row) for name, row in rows.items()) < 1e-3
