"""The page of label repair in a real browser, from a file: by keys and by mouse to a list that training takes."""

import re

import pytest

from resnets.data.corrections import corrected, read
from resnets.data.sources import open_source
from resnets.verbs.repair import repair
from tests.verbs.repair_data import colours, model_file

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    colours(root / "it's, data")
    repair(root / "it's, data", weights=model_file(root / "m.safetensors"), out=root / "out", workers=0, device="cpu")
    return root / "it's, data", root / "out/repair.html"


def opened(context, page):
    found = context.new_page()
    found.asked, found.faults = [], []
    found.on("request", lambda request: found.asked.append(request.url))
    found.on("pageerror", lambda error: found.faults.append(str(error)))
    found.on("console", lambda message: found.faults.append(message.text) if message.type == "error" else None)
    found.goto(page.as_uri())
    return found


def in_focus(found):
    return found.evaluate("document.activeElement.closest('article')?.dataset.path")


def decided(found):
    return int(re.match(r"\d+", found.text_content("#progress"))[0])


def downloaded(found, press, path):
    with found.expect_download() as download:
        press()
    assert download.value.suggested_filename == "corrections.csv"
    download.value.save_as(path)
    return list(read(path))


def test_by_keys_to_a_list_of_corrections_that_training_takes(browser, made, tmp_path):
    data, page = made
    context = browser.new_context(accept_downloads=True)
    found = opened(context, page)
    paths = found.eval_on_selector_all("article", "all => all.map(one => one.dataset.path)")
    assert len(paths) >= 5 and in_focus(found) == paths[0] and decided(found) == 0
    found.keyboard.press("s")  # the suggestion
    assert in_focus(found) == paths[1] and decided(found) == 1
    found.keyboard.press("g")  # right as it is
    found.keyboard.press("x")  # left out
    found.keyboard.press("c")  # another label
    found.keyboard.type("purple")
    found.keyboard.press("Enter")
    assert in_focus(found) == paths[3] and "no label" in found.locator("article").nth(3).locator(".said").inner_text()
    found.keyboard.press("Control+a")
    given = found.locator("article").nth(3).get_attribute("data-given")
    another = next(label for label in ("blue", "green", "red") if label != given)
    found.keyboard.type(another)
    found.keyboard.press("Enter")
    assert decided(found) == 4 and in_focus(found) == paths[4]
    found.keyboard.press("x")
    found.keyboard.press("u")  # undone
    assert decided(found) == 4 and in_focus(found) == paths[4]
    found.keyboard.press("k")
    assert in_focus(found) == paths[3]
    lines = downloaded(found, lambda: found.keyboard.press("Control+s"), tmp_path / "corrections.csv")
    assert [(line.path, line.action) for line in lines] == list(
        zip(paths[:4], ("relabel", "keep", "drop", "relabel"), strict=True)
    )
    assert lines[3].label == another and lines[0].label == found.locator("article").nth(0).get_attribute("data-label")
    record = corrected(open_source(data), tmp_path / "corrections.csv").corrections
    assert (record["num_relabelled"], record["num_dropped"], record["num_lines"]) == (2, 1, 4)
    assert not found.faults and all(url.startswith(("file:", "data:", "blob:")) for url in found.asked)
    assert len([url for url in found.asked if url.startswith("file:")]) == 1, "the page alone is read"
    context.close()


def test_what_is_decided_is_there_again_and_a_mouse_does_it_too(browser, made, tmp_path):
    _, page = made
    context = browser.new_context(accept_downloads=True, color_scheme="dark", viewport={"width": 380, "height": 800})
    found = opened(context, page)
    button = found.locator("article").nth(1).get_by_role("button", name="Leave out")
    button.click()
    assert button.get_attribute("aria-pressed") == "true" and decided(found) == 1
    again = opened(context, page)
    assert decided(again) == 1 and again.locator("article").nth(1).locator(".said").inner_text() == "left out"
    again.check("#rest")
    assert not again.locator("article").nth(1).is_visible() and again.locator("article").nth(0).is_visible()
    again.uncheck("#rest")
    lines = downloaded(again, lambda: again.click("#save"), tmp_path / "corrections.csv")
    assert [line.action for line in lines] == ["drop"]
    again.locator("article").nth(1).get_by_role("button", name="Leave out").click()  # once more: taken back
    assert decided(again) == 0
    width, back = again.evaluate("[document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]")
    assert width <= 380 and sum(map(int, re.findall(r"\d+", back))) < 150
    assert again.get_by_role("article").first.get_attribute("aria-label").count("labelled") == 1
    assert not found.faults and not again.faults
    context.close()
