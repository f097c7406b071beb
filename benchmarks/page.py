"""Pages of `resnets export --format html` in Chromium beside `resnets predict`: sizes, times, equal answers, a drawing.

    python benchmarks/page.py PAGE MODEL PICTURE... [--screenshot FILE.jpg]

The page is opened as a file, without a network, in a window of 360 x 740. PAGE is the export of MODEL. Needs playwright and
Debian's Chromium.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from resnets.ship.sessions import open_session
from resnets.verbs.predict import predict

READY = "() => document.getElementById('said').textContent === 'Ready.'"
DONE = "num => document.querySelectorAll('article[aria-busy=false]').length === num"
NETWORK = r"[...document.querySelectorAll('article')].map(each => Number(/answered in ([\d.]+) ms/.exec(each.innerText)[1]))"
PATIENCE_MS = 600_000


def gap(before: Any, after: Any) -> float:
    """The largest difference of two numbers; infinite where something else differs, paths apart."""
    if isinstance(before, dict) and isinstance(after, dict):
        return max((gap(before.get(key), after.get(key)) for key in (before.keys() | after.keys()) - {"path"}), default=0)
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return max(map(gap, before, after), default=0)
    if all(isinstance(each, int | float) and not isinstance(each, bool) for each in (before, after)):
        return abs(before - after)
    return 0 if before == after else float("inf")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("page", type=Path)
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--screenshot")
    asked = parser.parse_args()
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(offline=True, viewport={"width": 360, "height": 740}, device_scale_factor=1.5).new_page()
        began = time.perf_counter()
        page.goto(asked.page.resolve().as_uri())
        page.wait_for_function(READY, timeout=PATIENCE_MS)
        opening = time.perf_counter() - began
        page.set_input_files("#files", [str(path) for path in asked.pictures])
        page.wait_for_function(DONE, arg=len(asked.pictures), timeout=PATIENCE_MS)
        network = statistics.median(page.evaluate(NETWORK))
        with page.expect_download() as saved:
            page.click("#save")
        rows = {row["path"]: row for row in map(json.loads, Path(saved.value.path()).read_text(encoding="utf-8").splitlines())}
        if asked.screenshot:
            page.mouse.move(0, 0)
            page.evaluate("document.activeElement.blur()")
            page.screenshot(path=asked.screenshot, type="jpeg", quality=80)
        version = browser.version
        browser.close()
    session = open_session(asked.model, device="cpu")
    expected = [dict(row) for row in predict(session, asked.pictures)]
    began = time.perf_counter()
    for path in asked.pictures[:10]:
        next(iter(predict(session, [path], workers=0)))
    alone = 1000 * (time.perf_counter() - began) / len(asked.pictures[:10])
    gaps = [gap(json.loads(json.dumps(row)), rows[Path(row["path"]).name]) for row in expected]
    print(f"{asked.page}: {asked.page.stat().st_size / 1e6:.1f} MB, opened in {opening:.1f} s by Chromium {version}")
    print(f"{len(rows)} pictures, {network:.0f} ms each in the network there; `resnets predict` {alone:.0f} ms, one by one")
    print(f"largest difference {max(gaps):.2g}; {sum(each == 0 for each in gaps)} rows are equal in all digits")


if __name__ == "__main__":
    main()
