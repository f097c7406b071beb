"""A page of `resnets export`, opened by Chromium as a file, without a network."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from resnets.errors import InputError
from resnets.ship.page import runtime

OPENING, SECONDS = "Opening the model …", 300


class Opened(NamedTuple):
    """The page; every request that it made, and what went wrong."""

    page: object
    asked: list
    faults: list

    def answers(self, paths):
        """The rows that it saves, by the names of the files."""
        self.page.set_input_files("#files", [str(path) for path in paths])
        done = "num => document.querySelectorAll('article[aria-busy=false]').length >= num"
        self.page.wait_for_function(done, arg=len(paths), timeout=1000 * SECONDS)
        with self.page.expect_download() as saved:
            self.page.click("#save")
        lines = Path(saved.value.path()).read_text(encoding="utf-8").splitlines()
        return {row["path"]: row for row in map(json.loads, lines)}


@contextmanager
def opened(browser, path, **options):
    context = browser.new_context(offline=True, accept_downloads=True, **options)
    found = Opened(context.new_page(), [], [])
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.on("pageerror", lambda error: found.faults.append(str(error)))
    found.page.on("console", lambda message: found.faults.append(f"{message.type}: {message.text}"))
    found.page.goto(Path(path).resolve().as_uri())
    started = f"() => document.getElementById('said').textContent !== {json.dumps(OPENING)}"
    found.page.wait_for_function(started, timeout=1000 * SECONDS)
    yield found
    context.close()


def need_runtime():
    """Skip the test where there is no ONNX Runtime Web, and npm does not bring it."""
    try:
        runtime.find()
    except InputError as error:
        pytest.skip(str(error))


def gap(before, after):
    """The largest difference of numbers in two rows; infinite where they differ in anything else but their paths."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = (before.keys() | after.keys()) - {"path"}
        return max((gap(before.get(key), after.get(key)) for key in keys), default=0)
    if isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            return float("inf")
        return max((gap(one, two) for one, two in zip(before, after, strict=True)), default=0)
    if all(isinstance(each, int | float) and not isinstance(each, bool) for each in (before, after)):
        return abs(before - after)
    return 0 if before == after else float("inf")
