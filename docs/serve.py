"""Draw the picture of docs/serve.md: the page of a running server, photographs dropped on it, each with its map of why.

    resnets serve resnet50=resnet50.safetensors              # in another terminal
    python docs/serve.py http://127.0.0.1:8000 PHOTO... [--phone]

Needs playwright and Chromium, and writes docs/serve/page.jpg, with --phone docs/serve/phone.jpg. The last PHOTO comes first
on the page.
"""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent / "serve"
WINDOWS = {
    "page": {"viewport": {"width": 1100, "height": 760}},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "device_scale_factor": 2},
}
PATIENCE_MS = 300_000
DROP = """files => {
    const data = new DataTransfer();
    for (const [name, content] of files)
        data.items.add(new File([Uint8Array.from(atob(content), each => each.charCodeAt(0))], name, {type: "image/jpeg"}));
    document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


def answered(page: Page, photos: list[Path]) -> None:
    """Drop the photographs on the page, wait for the answers, and ask of each why."""
    page.locator("#about", has_text="by").wait_for()
    page.evaluate(DROP, [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in photos])
    page.locator("article .answer").nth(len(photos) - 1).wait_for()
    for card in page.locator("article").all():
        card.locator(".tabs button", has_text="why").click()
        card.locator('.tabs button[aria-pressed="true"]', has_text="why").wait_for()
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--phone", dest="window", action="store_const", const="phone", default="page")
    given = parser.parse_args()
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(**WINDOWS[given.window])
        page.set_default_timeout(PATIENCE_MS)
        page.goto(given.address)
        answered(page, given.photos)
        taken = page.screenshot(full_page=given.window == "page")
        browser.close()
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{given.window}.jpg"
    Image.open(io.BytesIO(taken)).convert("RGB").save(path, quality=85, optimize=True)
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
