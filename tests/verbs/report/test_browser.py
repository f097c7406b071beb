"""The page in a real browser, by mouse and by keys: cells open, tables sort, points show their picture, nothing is fetched."""

import pytest

from resnets.verbs.report.make import report
from tests.verbs.report import made

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    run = made.run_of(root / "run", made.colours(root / "data"))
    (run / "evaluation.json").write_text(
        '{"split": "test", "per_class": [{"label": "b", "f1": 0.5, "precision": 0.25, "recall": 1, "support": 3}, '
        '{"label": "a", "f1": 0.75, "precision": 1, "recall": 0.5, "support": 10}]}'
    )
    return report([run], workers=0)


@pytest.fixture
def opened(browser, page):
    """A function that opens the page; what it asks for is in `asked`, what goes wrong in `faults`."""
    contexts = []

    def opening(**options):
        contexts.append(browser.new_context(**options))
        found = contexts[-1].new_page()
        found.asked, found.faults = [], []
        found.on("request", lambda request: found.asked.append(request.url))
        found.on("pageerror", lambda error: found.faults.append(str(error)))
        found.on("console", lambda message: found.faults.append(message.text))
        found.goto(page.as_uri())
        return found

    yield opening
    for context in contexts:
        context.close()


def test_a_cell_opens_its_pictures_and_nothing_is_fetched(opened, page):
    found = opened()
    behind = found.locator("#cell-0-1")
    assert not behind.is_visible()
    found.click("#to-0-1")
    assert behind.is_visible() and behind.locator("figure").count() == 2
    assert behind.locator("h3").inner_text().startswith("<b>blue<b> taken for green")
    assert behind.locator("img").first.evaluate("image => image.naturalWidth") == 16
    found.click("#to-0-0")
    assert not behind.is_visible() and found.locator("#cell-0-0").is_visible()
    found.keyboard.press("Escape")
    assert not found.locator("#cell-0-0").is_visible()
    assert found.evaluate("document.activeElement.id") == "to-0-0"
    assert [url for url in found.asked if not url.startswith("data:")] == [page.as_uri()] and not found.faults


def test_a_table_sorts_by_mouse_and_by_keys(opened):
    found = opened()
    classes, rows = found.locator("#classes table"), "#classes tbody th"
    assert found.locator(rows).all_inner_texts() == ["b", "a"]
    classes.get_by_role("button", name="pictures").click()
    assert found.locator(rows).all_inner_texts() == ["a", "b"]
    heading = classes.locator("th", has_text="pictures")
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").press("Enter")
    assert found.locator(rows).all_inner_texts() == ["b", "a"] and heading.get_attribute("aria-sort") == "ascending"
    classes.get_by_role("button", name="class").press("Enter")
    assert found.locator(rows).all_inner_texts() == ["a", "b"] and heading.get_attribute("aria-sort") is None


def test_a_point_shows_its_picture_and_arrows_go_to_the_next(opened):
    found = opened()
    plane = found.locator(".plane")
    first = plane.locator("i").first
    shown = "point => getComputedStyle(point, '::after').backgroundImage.slice(0, 15)"
    assert first.evaluate(shown) == "none" or not first.evaluate(
        "point => getComputedStyle(point, '::after').content !== 'none'"
    )
    first.focus()
    assert first.evaluate(shown) == 'url("data:image'
    name, seen = "document.activeElement.getAttribute('aria-label')", set()
    for key in ("ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp") * 2:
        found.keyboard.press(key)
        seen.add(found.evaluate("[...document.activeElement.parentNode.children].indexOf(document.activeElement)"))
    assert len(seen) > 1 and found.evaluate(name).startswith(made.LABELS)
    assert plane.locator("i[tabindex='0']").count() == 1  # one stop on the way through the page
    found.uncheck("#show0")
    assert plane.locator(".k0").count() == 10 and not plane.locator(".k0").first.is_visible()


def test_without_scripts_cells_open_and_points_show_their_picture(opened):
    found = opened(java_script_enabled=False)
    found.click("#to-2-0")
    assert found.locator("#cell-2-0").is_visible() and found.locator("th button").count() == 0


@pytest.mark.parametrize(
    "options", [{"viewport": {"width": 360, "height": 700}}, {"color_scheme": "dark"}], ids=["phone", "dark"]
)
def test_on_a_phone_and_in_the_dark(opened, options):
    found = opened(**options)
    wide, room, back = found.evaluate(
        "[document.documentElement.scrollWidth, innerWidth, getComputedStyle(document.body).backgroundColor]"
    )
    assert wide <= room and (back == "rgb(18, 18, 18)") == ("color_scheme" in options)
    found.emulate_media(media="print", color_scheme="light")
    assert not found.locator("th button").first.evaluate("button => getComputedStyle(button, '::after').display !== 'none'")
