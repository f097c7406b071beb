"""The page in a real browser, and the addresses as OpenAPI: offline, by keyboard, on a phone."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from resnets.verbs.serve import openapi, page
from resnets.verbs.serve.limits import Limits
from tests.verbs.serve.made import LABELS, encoded, serving


def opened(browser, server, **options):
    """A page of the server; every request that it makes is in `page.asked`, and what goes wrong in `page.faults`."""
    found = browser.new_context(**options).new_page()
    found.asked, found.faults = [], []
    found.on("request", lambda request: found.asked.append(request.url))
    found.on("pageerror", lambda error: found.faults.append(str(error)))
    found.on("console", lambda message: found.faults.append(message.text) if message.type == "error" else None)
    found.goto(f"http://127.0.0.1:{server.port}/")
    found.locator("#about", has_text=re.compile(".")).wait_for()
    return found


def picture(number=0, name="photo.jpg"):
    return {"name": name, "mimeType": "image/jpeg", "buffer": encoded(number)}


@pytest.mark.slow
def test_a_picture_is_answered_with_bars_and_nothing_is_fetched_from_elsewhere(browser, server):
    found = opened(browser, server)
    found.set_input_files("#files", [picture(1, "<b>one</b>.jpg"), picture(2)])
    found.locator("article .answer").nth(1).wait_for()
    bars = found.locator("article").last.locator(".bars li")
    assert bars.count() == 3 and set(bars.locator("span:first-child:not(.fill)").all_inner_texts()) == set(LABELS)
    assert found.locator("h2").all_inner_texts() == ["photo.jpg", "<b>one</b>.jpg"]
    own = f"http://127.0.0.1:{server.port}/"
    assert all(url.startswith((own, f"blob:{own}", "data:")) for url in found.asked) and not found.faults


@pytest.mark.slow
def test_why_is_drawn_on_a_click(browser, server):
    pytest.importorskip("torchcam")
    found = opened(browser, server)
    found.set_input_files("#files", [picture()])
    own = found.locator("article img").get_attribute("src")
    found.locator(".tabs button", has_text="why").press("Enter")
    found.locator('.tabs button[aria-pressed="true"]', has_text="why").wait_for()
    assert found.locator("article img").get_attribute("src").startswith("data:image/png;base64,")
    assert found.locator("article img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    found.locator(".tabs button", has_text="picture").click()
    assert found.locator("article img").get_attribute("src") == own and not found.faults


@pytest.mark.slow
def test_by_keyboard_paste_and_camera(browser, server):
    found = opened(browser, server)
    found.bring_to_front()  # a page behind another one opens no chooser
    found.click("h1")
    focused = "() => document.activeElement.id"
    while found.evaluate(focused) != "choose":  # past the link to the addresses
        found.keyboard.press("Tab")
    with found.expect_file_chooser() as chooser:
        found.keyboard.press("Enter")
    chooser.value.set_files(picture())
    found.locator("article .answer").wait_for()
    script = """bytes => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "pasted.jpg", {type: "image/jpeg"}));
        dispatchEvent(new ClipboardEvent("paste", {clipboardData: data})); }"""
    found.evaluate(script, list(encoded(3)))
    found.locator("article", has_text="pasted.jpg").locator(".answer").wait_for()
    found.focus("#shoot")
    found.keyboard.press("Enter")
    found.locator("#camera[open]").wait_for()
    found.wait_for_timeout(1000)
    found.keyboard.press("Enter")  # "Take the picture" has the focus
    found.locator("article", has_text="photograph.jpg").locator(".answer").wait_for()
    found.locator("article").first.locator("button").first.press("Enter")  # remove
    assert found.locator("article").count() == 2 and not found.faults


@pytest.mark.slow
def test_on_a_phone_in_the_dark_with_a_token(browser, saved):
    with serving({"tiny": saved, "other": saved}, token="s3cret") as server:
        context = browser.new_context(viewport={"width": 360, "height": 700}, color_scheme="dark")
        found = context.new_page()
        found.goto(f"http://127.0.0.1:{server.port}/")
        found.locator("#ask:not([hidden])").wait_for()
        found.fill("#token", "s3cret")
        found.keyboard.press("Enter")
        found.locator("#choice:not([hidden])").wait_for()
        found.select_option("#model", "other")
        found.set_input_files("#files", [picture(), {"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"}])
        found.locator("article .answer").wait_for()
        found.locator("article .warn", has_text="not an image").wait_for()
        width, back = found.evaluate(
            "() => [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]"
        )
        assert width == 360 and sum(map(int, re.findall(r"\d+", back))) < 150


def test_pages_are_one_file_each_that_names_nothing_elsewhere():
    told = openapi.document(["a"], Limits(), with_token=True)
    for found in (page.page(), page.docs(told)):
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+", found.text)) - {"http://www.w3.org"}
        assert not {address for address in addresses if "." in address}
        assert "unsafe" not in found.policy and "default-src 'none'" in found.policy
        assert not re.search(r"\son\w+=|style=", re.sub(r"<(script|style)>.*?</\1>", "", found.text, flags=re.DOTALL))
    assert found.text.count("<details>") == sum(map(len, told["paths"].values())) + len(told["components"]["schemas"])


def test_the_page_and_the_list_are_served_with_their_policy(server):
    for path, words in (("/", "Choose files"), ("/docs", "/v2/models/{name}/infer")):
        answer = server.ask("GET", path)
        assert answer.status == 200 and words in answer.body.decode()
        assert "sha256-" in answer.headers["Content-Security-Policy"] and answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_document_lists_what_is_served(server):
    told = server.ask("GET", "/openapi.json").json
    routes = (
        {route.path for route in server.server.config.loaded_app.routes}
        if hasattr(server.server.config.loaded_app, "routes")
        else set(told["paths"])
    )
    assert set(told["paths"]) == routes and "security" not in told
    assert openapi.document(["a"], Limits(), with_token=True)["security"] == [{"token": []}]


@pytest.mark.slow
def test_the_document_fuzzed(server, tmp_path):
    """No 500, and answers are of the statuses, types and shapes that the document says."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install schemathesis")
    import subprocess
    import sys

    where = f"http://127.0.0.1:{server.port}"
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{where}/openapi.json", "--url", where, "--checks", checks,
               "--max-examples", "30", "--seed", "0", "--phases", "examples,coverage,fuzzing"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert json.loads(server.ask("GET", "/openapi.json").body)


@pytest.mark.slow
def test_the_picture_of_the_docs_can_be_drawn_again(browser, server, tmp_path):
    """What docs/serve.py does on the page: drop photographs, wait, ask of each why."""
    pytest.importorskip("torchcam")
    spec = importlib.util.spec_from_file_location("docs_serve", Path(__file__).parents[3] / "docs" / "serve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    photos = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for number, path in enumerate(photos):
        path.write_bytes(encoded(number))
    found = opened(browser, server, **module.WINDOWS["phone"])
    module.answered(found, photos)
    assert found.locator("h2").all_inner_texts() == ["b.jpg", "a.jpg"] and not found.faults
    assert found.locator('article .tabs button[aria-pressed="true"]').all_inner_texts() == ["why", "why"]
