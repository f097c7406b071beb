"""The report: every part that is there, nothing of what is not, and no way out of the page for hostile text."""

import html
import json
import re
import shutil

import numpy as np
import pytest
import yaml

from resnets.draw.confusion import confusion
from resnets.draw.curves import curves
from resnets.draw.gallery import gallery
from resnets.draw.reliability import reliability
from resnets.verbs.report import page as pages
from resnets.verbs.report import run as report
from resnets.verbs.report import values

HOSTILE = '<script>alert("x")</script>'
LABELS = ["cat", HOSTILE, "dog"]
MATRIX = [[8, 2, 0], [1, 9, 0], [0, 0, 0]]
ROWS = [
    {"epoch": e, "lr": 0.1, "train_loss": 1 / e, "train_top1": 0.5, "val_loss": 1.0, "val_top1": 0.2 * e} for e in (1, 2, 3)
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run directory with everything that a report can show. Read only."""
    folder = tmp_path_factory.mktemp("run")
    curves(ROWS, folder / "plots/curves.png")
    confusion(MATRIX, LABELS, folder / "plots/confusion.png")
    reliability([0.9, 0.8], [1, 0], folder / "plots/reliability.png")
    for name in ("errors", "saliency"):
        gallery([np.zeros((8, 8, 1), np.uint8)], ["x"], folder / f"plots/{name}.png")
    header = ",".join(ROWS[0])
    (folder / "metrics.csv").write_text("\n".join([header, *(",".join(map(str, row.values())) for row in ROWS)]))
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"model": "resnet20_cifar", "lr": 0.1, "augment": {"flip": True}}))
    scores = [(0.84, 10), (0.86, 10), (0.0, 0)]
    per_class = [
        {"label": label, "precision": f1, "recall": f1, "f1": f1, "support": support}
        for label, (f1, support) in zip(LABELS, scores, strict=True)
    ]
    evaluation = {
        "split": "test", "num_images": 1234, "loss": 0.5, "top1": 0.85, "top5": 1.0, "top1_interval": [0.64, 0.95],
        "ece": 0.021, "macro_f1": 0.84, "per_class": per_class, "confusion": MATRIX, "labels": LABELS,
    }  # fmt: skip
    provenance = {
        "command": f"resnets train '{HOSTILE}' --data-dir https://example.org/x", "seconds": 4980.0, "seed": 0, "git": None,
        "device": {"name": "A fast one", "type": "cuda"},
        "data": {"name": "pets", "num_images": {"train": 4500}, "inputs": "8 x 8: those of the weights (a.safetensors)"},
        "model": {"name": "resnet20_cifar", "num_params": 269722}, "selected": "best",
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    (folder / "provenance.json").write_text(json.dumps(provenance))
    (folder / "bad_images.csv").write_text(f"path,reason\n{HOSTILE.replace(chr(34), '')}.png,truncated\n")
    for name in ("best.safetensors", "resume.json"):
        (folder / name).touch()
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "my run" / "train1")


def sections(page):
    return re.findall(r'<section id="(\w+)">', page)


def test_everything_that_is_there_is_shown_in_order(folder):
    path = report.write(folder)
    assert path == folder / "report.html"
    page = path.read_text(encoding="utf-8")
    order = ["curves", "classes", "confusion", "reliability", "errors", "more", "bad", "settings", "provenance"]
    assert sections(page) == order
    assert page.count("data:image/png;base64,iVBOR") == 5
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for words in (
        "85.0 % test accuracy", "64.0 % to 95.0 %", "1,234 pictures, the best weights", "1 h 23 min", "270 k", "A fast one",
        "4,500", "augment.flip true", "resnets train --resume --out &#39;", "photo.jpg", "saliency",
        "Pictures as inputs: 8 x 8: those of the weights (a.safetensors).",
    ):  # fmt: skip
        assert words in text, words
    assert "None" not in text and "Undefined" not in text
    assert not list(folder.glob(".report*"))


def test_hostile_text_stays_text_and_nothing_is_loaded(folder):
    page = report.write(folder).read_text(encoding="utf-8")
    scripts = [(pages.HERE / name).read_text(encoding="utf-8") for name in ("page.js", "pictures.js")]
    found = re.findall("<script.*?</script>", page, re.IGNORECASE | re.DOTALL)
    assert found == [f"<script>{script}</script>" for script in scripts]
    assert pages.policy(scripts) in html.unescape(page) and "&lt;script&gt;" in page
    for script in scripts:
        page = page.replace(script, "")
    loads = re.findall(r"""(?:src|href|action|srcset)\s*=\s*["']?([^"'\s>]{0,30})|url\(|@import""", page)
    assert all(load.startswith("data:image/png") for load in loads)
    assert "https://" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)  # the command may name one; it is not loaded


def test_weakest_class_first_and_empty_ones_last(folder):
    page = report.write(folder).read_text(encoding="utf-8")
    table = page[page.index('id="classes"') : page.index('id="confusion"')]
    assert re.findall(r'<th scope="row">(\w+|&lt;)', table) == ["cat", "&lt;", "dog"]
    assert 'class="empty"' in table


PARTS = {
    "plots/curves.png": {"curves"},
    "plots/reliability.png": {"reliability"},
    "plots/errors.png": {"errors"},
    "plots/saliency.png": {"more"},
    "bad_images.csv": {"bad"},
    "recipe.yaml": {"settings"},
    "evaluation.json": {"classes"},  # the drawing of the confusion stays
    "metrics.csv": set(),
    "provenance.json": set(),  # the commands stay
}


@pytest.mark.parametrize("missing", PARTS)
def test_a_missing_part_leaves_no_section(folder, missing):
    before = set(sections(report.render(report.RunDir(folder))))
    (folder / missing).unlink()
    page = report.write(folder).read_text(encoding="utf-8")
    assert before - set(sections(page)) == PARTS[missing]
    assert "None" not in page and "<dd></dd>" not in page


def test_before_evaluation_the_headline_is_the_validation(folder):
    (folder / "evaluation.json").unlink()
    page = report.write(folder).read_text(encoding="utf-8")
    assert "<strong>60.0 %</strong>best validation accuracy" in page and "epoch 3;" in page


def test_an_empty_folder_makes_a_page(tmp_path):
    page = report.write(tmp_path).read_text(encoding="utf-8")
    assert sections(page) == [] and f"<h1>{tmp_path.name}" in page


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (45, "45 s"),
        (60, "1 min 0 s"),
        (5000, "1 h 23 min"),
        (200_000, "2 d 7 h"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_duration(seconds, words):
    assert values.duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (269_722, "270 k"), (25_557_032, "25.6 M"), (999_900_000, "1.00 G")],
)
def test_short(value, words):
    assert values.short(value) == words


def test_flat_names_every_leaf():
    assert dict(values.flat({"a": {"b": 1, "c": []}, "d": None, "e": {}, "f": [1.5, "x"]})) == {
        "a.b": "1", "a.c": "[]", "d": "null", "e": "{}", "f": "1.5, x",
    }  # fmt: skip
    assert len(values.plain(["label"] * 1000)) < 410
