"""Several runs on one page: what differs is told with its certainty, and what cannot be compared with the reason."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from resnets.errors import InputError
from resnets.verbs.report import several
from resnets.verbs.report.make import report
from resnets.verbs.train import train

HOSTILE = '<script>alert("x")</script>'
NUM = 60


def made(folder, right, *, epochs=3, split="test", paths=None, provenance=None, groups=None, **recipe):
    """A run directory of classes a and b, of which so many answers are right."""
    folder.mkdir(parents=True)
    recipe = {"task": "classify", "model": "resnet20_cifar", "lr": 0.1, "seed": 0, "workers": 2} | recipe
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with (folder / "metrics.csv").open("w") as file:
        table = csv.DictWriter(file, ["epoch", "train_loss", "val_loss", "val_top1", "images_per_second", "seconds"])
        table.writeheader()
        for epoch in range(1, epochs + 1):
            values = (epoch, 2 / epoch, 1.5 / epoch, 0.2 * epoch, 900, 10 * epoch)
            table.writerow(dict(zip(table.fieldnames, values, strict=True)))
    found = {
        "data": {"fingerprint": "f"}, "model": {"name": "resnet20_cifar", "num_params": 1000, "num_macs": 50000},
        "result": {"split": split}, "device": {"name": "A"}, "speed": {"images_per_second": 1000.0},
    } | (provenance or {})  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(found))
    score = {"split": split, "num_images": NUM, "top1": right / NUM, "top1_interval": [right / NUM - 0.1, right / NUM + 0.1]}
    (folder / "evaluation.json").write_text(json.dumps(score))
    with (folder / "predictions.csv").open("w") as file:
        table = csv.writer(file)
        table.writerow(["path", "split", "group", "truth", "answer", "p_a", "p_b"])
        for number, path in enumerate(paths or [f"{n}.png" for n in range(NUM)]):
            chance = 0.9 if number < right else 0.1
            table.writerow([path, split, groups[number] if groups else "", "a", "a", chance, 1 - chance])
    return folder


@pytest.fixture
def runs(tmp_path):
    """Two settings with two seeds each, of which the second is better."""
    return [
        made(tmp_path / "small0", 30), made(tmp_path / "small1", 32, seed=1, workers=4),
        made(tmp_path / "large0", 54, lr=0.2), made(tmp_path / "large1", 56, lr=0.2, seed=1),
    ]  # fmt: skip


def test_differences_are_those_of_the_same_pictures(runs):
    found = several.compare(runs)
    second, large, _ = found["differences"]
    assert large["difference"] == pytest.approx(24 / NUM) and large["num_images"] == NUM and large["figure"] == "accuracy"
    assert large["mcnemar"]["only_first"] == 0 and large["mcnemar"]["only_second"] == 24
    assert large["interval"][0] > 0 and large["p_holm"] >= large["p_value"] and large["p_value"] < 0.01
    assert second["interval"][0] <= 0 <= second["interval"][1]


def test_seeds_are_grouped_by_themselves(runs):
    """Other workers change nothing of what is computed."""
    small, large = several.compare(runs)["groups"]
    assert (small["runs"], large["runs"]) == ([1, 2], [3, 4])
    assert small["mean"] == pytest.approx(31 / NUM) and small["deviation"] == pytest.approx(np.std([0.5, 32 / NUM], ddof=1))
    assert large["difference"] == pytest.approx(24 / NUM) and large["interval"][0] < 24 / NUM < large["interval"][1]
    assert small["difference"] is None


def test_only_settings_that_differ_are_listed(runs):
    settings = several.compare(runs)["settings"]
    assert settings == {"lr": ["0.1", "0.1", "0.2", "0.2"], "seed": ["0", "1", "0", "1"], "workers": ["2", "4", "2", "2"]}


def test_by_groups_where_both_have_them(tmp_path):
    groups = [f"p{number // 6}" for number in range(NUM)]
    pair = [made(tmp_path / "a", 30, groups=groups), made(tmp_path / "b", 40, groups=groups)]
    assert several.compare(pair)["differences"][0]["num_groups"] == 10


CANNOT = {
    "other pictures": ({"paths": [f"x{n}.png" for n in range(NUM)]}, "test splits are not the same pictures"),
    "another split": ({"split": "val"}, "scored on the val split, the first run on test"),
    "other data": ({"provenance": {"data": {"fingerprint": "g"}}}, "their data differ"),
}


@pytest.mark.parametrize(("more", "reason"), CANNOT.values(), ids=CANNOT)
def test_what_cannot_be_tested_is_told_with_the_reason(more, reason, tmp_path):
    found = several.compare([made(tmp_path / "a", 30), made(tmp_path / "b", 40, **more)])
    (row,) = found["differences"]
    assert reason in row["reason"] and "difference" not in row
    assert bool(found["notes"]) == ("paths" not in more)


def test_runs_of_several_tasks_are_refused(tmp_path):
    pair = [made(tmp_path / "a", 30), made(tmp_path / "b", 30, task="detect")]
    with pytest.raises(InputError, match=r"several tasks \(classify: .*a; detect: .*b\)"):
        several.compare(pair)


def test_other_devices_are_noted(tmp_path):
    pair = [made(tmp_path / "a", 30), made(tmp_path / "b", 40, provenance={"device": {"name": "B"}})]
    assert several.compare(pair)["notes"] == ["Times and speeds are of different devices: A, B."]


def broken(folder, name, text):
    (folder / name).write_text(text)


BROKEN = {
    "no predictions": (lambda folder: (folder / "predictions.csv").unlink(), "finished", "no such file"),
    "cut predictions": (lambda folder: broken(folder, "predictions.csv", "path,split,group\na,test\n"), "finished", "cells"),
    "odd predictions": (lambda folder: broken(folder, "predictions.csv", "garbage\n"), "finished", "no row of the test"),
    "other predictions": (lambda folder: broken(folder, "predictions.csv", "path,split\n0.png,test\n"), "finished", "pictures"),
    "damaged evaluation": (lambda folder: broken(folder, "evaluation.json", "[1"), "finished", "no evaluation"),
    "damaged metrics": (lambda folder: broken(folder, "metrics.csv", "epoch,a\n1\n"), "finished", None),
    "interrupted": (
        lambda folder: [(folder / f"{name}").unlink() for name in ("provenance.json", "evaluation.json", "predictions.csv")],
        "interrupted after epoch 3", "no evaluation",
    ),
    "empty": (lambda folder: [path.unlink() for path in folder.iterdir()], "no run: there is no recipe.yaml", "no evaluation"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "state", "reason"), BROKEN.values(), ids=BROKEN)
def test_of_a_broken_run_what_is_there(damage, state, reason, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(several, "drawn", lambda *of: {})
    damage(runs[2])
    page = tmp_path / "page.html"
    report(runs[:3], out=page)
    found = several.compare(runs[:3])
    row, told = found["runs"][2], found["differences"][1]
    assert row["state"] == state and (reason is None or reason in told["reason"])
    assert found["runs"][1]["score"] == 32 / NUM and found["differences"][0]["difference"] == pytest.approx(2 / NUM)
    text = page.read_text(encoding="utf-8")
    assert all(fault.partition(":")[0] in text for fault in row["faults"]) and state in text


def test_records_of_other_types_are_as_if_they_were_not_there(runs, tmp_path, monkeypatch):
    odd = runs[1]
    score = {"split": ["test"], "num_images": {}, "top1": "0.5", "top1_interval": [0, "x"]}
    (odd / "evaluation.json").write_text(json.dumps(score))
    told = {"model": 3, "speed": [1], "data": {"fingerprint": ["f"]}, "device": {"name": {"a": 1}}, "result": {}}
    (odd / "provenance.json").write_text(json.dumps(told))
    (odd / "recipe.yaml").write_text("task: classify\n1: {a: [2]}\nmodel: [x]\n")
    (odd / "metrics.csv").write_text("epoch,val_top1\n,0.5\n")
    text = report(runs[:3], out=tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Run 2 is not tested: one of the two has no evaluation" in text
    (odd / "recipe.yaml").write_text("task: [classify]\n")
    assert several.compare(runs[:3])["runs"][1]["score"] is None


def test_where_no_run_has_begun_there_is_no_page(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="no run has begun"):
        report([tmp_path / "a", tmp_path / "b"], out=tmp_path / "page.html")
    with pytest.raises(InputError, match="no such run directory"):
        report([tmp_path / "a", tmp_path / "none"], out=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_page_is_one_file_in_which_hostile_text_stays_text(tmp_path):
    pair = [made(tmp_path / "a", 30, model=HOSTILE), made(tmp_path / HOSTILE.replace("/", "_"), 40, data=HOSTILE)]
    pair[1] = pair[1].rename(pair[1].with_name("<b>b"))
    text = report(pair, out=tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text and "<b>b" not in text and "&lt;b&gt;b" in text
    loads = re.findall(r"""(?:src|action|srcset)\s*=\s*["']?([^"'\s>]{0,30})|url\(|@import""", text)
    assert loads and all(load.startswith("data:image/png") for load in loads)
    assert re.findall(r'<section id="(\w+)">', text) == ["runs", "differences", "curves", "costs", "settings"]
    assert "None" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_a_folder_of_seeds_stands_for_its_runs(runs, tmp_path):
    whole = tmp_path / "seeds1"
    for number, run in enumerate(runs[:2]):
        shutil.copytree(run, whole / f"seed{number}")
    (whole / "seeds.json").write_text("{}")
    (whole / "recipe.yaml").write_text("seeds: 2\n")
    found = several.compare([whole, runs[2]])
    assert [Path(row["run"]).name for row in found["runs"]] == ["seed0", "seed1", "large0"]


# --- in a browser, with runs that were trained ---

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    tiny = {"model": "resnet20_cifar", "depths": (1, 1, 1), "epochs": 2, "workers": 0, "device": "cpu", "precision": "float32"}
    for name, own in {"narrow": {"width": 4}, "wide": {"width": 8}, "other": {"width": 8, "seed": 1}}.items():
        train("digits", out=folder / name, **tiny | own)
    runs = [folder / name for name in ("narrow", "wide", "other")]
    return report(runs, out=folder / "compare.html"), several.compare(runs)


@pytest.mark.slow
def test_the_page_in_a_browser(compared):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium: apt-get install chromium")
    path, found = compared
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(viewport={"width": 1100, "height": 800}, color_scheme="dark").new_page()
        asked, faults = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())

        def column(number):
            return page.locator(f"#runs tbody tr td:nth-of-type({number})").all_inner_texts()

        scores = sorted(row["score"] for row in found["runs"])
        heading = page.locator("#runs thead th", has_text="accuracy")
        heading.locator("button").click()
        assert column(2) == [f"{100 * score:.2f} %" for score in reversed(scores)]
        heading.locator("button").press("Enter")
        assert column(2) == [f"{100 * score:.2f} %" for score in scores] and heading.get_attribute("aria-sort") == "ascending"
        page.locator("h1").click()
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.closest('section').id + document.activeElement.rowIndex") == "runs2"
        groups = page.locator("#groups tbody tr")
        assert groups.count() == 2 and groups.nth(1).locator(".dot").all_inner_texts() == ["2", "3"]
        assert page.locator("#settings tbody th").all_inner_texts() == ["width", "seed"]
        assert all(page.locator("img").nth(at).evaluate("image => image.naturalWidth > 300 && image.alt") for at in range(3))
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, re.findall(r"\d+", back))) < 150 and page.evaluate("document.documentElement.scrollWidth") == 1100
        page.locator("#runs a", has_text="wide").click()
        page.wait_for_url("**/wide/report.html")
        assert all(url.startswith(("file:", "data:")) for url in asked) and not faults
        browser.close()
