"""Draw the pictures of docs/report.md: `python docs/report.py RUN/report.html`, the page of a run, in a browser that clicks.

Needs playwright and Chromium, and writes docs/report/*.jpg.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

CHROMIUM = "/usr/bin/chromium"
FOLDER = Path(__file__).parent / "report"


def save(content: bytes, name: str) -> None:
    path = FOLDER / f"{name}.jpg"
    FOLDER.mkdir(exist_ok=True)
    Image.open(io.BytesIO(content)).convert("RGB").save(path, quality=80, optimize=True)
    print(path, path.stat().st_size)


def main(report: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        light, dark = (
            browser.new_page(viewport={"width": 1100, "height": 900}, color_scheme=scheme) for scheme in ("light", "dark")
        )
        for page in (light, dark):
            page.goto(report.resolve().as_uri())
        number = light.locator(".matrix .off a").all()
        most = max(number, key=lambda each: int(each.inner_text()))
        most.click()
        save(light.locator("#confusion").screenshot(), "cell")
        point = dark.locator(".plane i.wrong").nth(12)
        point.focus()
        save(dark.locator("#plane").screenshot(), "plane")
        save(light.locator("#errors").screenshot(), "mistakes")
        save(light.locator("#robustness").screenshot(), "robustness")
        phone = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark", device_scale_factor=2)
        phone.goto(report.resolve().as_uri())
        phone.locator("#slices").scroll_into_view_if_needed()
        save(phone.screenshot(), "phone")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
