"""Tables 4 and 5: McNemar's test by hand, verdicts that are inconclusive within noise, rows beside the paper's figures."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from resnets.models import zoo
from resnets.models.weights import save
from resnets.paper import history
from resnets.paper.result import Result
from resnets.paper.testing import better, mcnemar, measure_table4, measure_table5, published
from resnets.paper.views import Hits
from tests.paper.colours import folder, model


def hits(text):
    right = np.array([sign == "+" for sign in text.replace(" ", "")])
    return Hits(right, right)


@pytest.mark.parametrize(
    "one, other, expected",
    [
        ("+++++ ++++-", "----- ----+", (9, 1, 22 / 1024)),  # 2 (C(10,0) + C(10,1)) / 2^10
        ("++--+ +", "--+++ +", (2, 2, 1.0)),
        ("+-+", "+-+", (0, 0, 1.0)),
        ("+++++", "-----", (5, 0, 2 / 32)),
    ],
)
def test_mcnemar_by_hand(one, other, expected):
    assert mcnemar(hits(one).top1, hits(other).top1) == pytest.approx(expected)


def test_verdicts():
    """Of 10 pictures on which two differ, 9 to 1 has p = 0.021: enough for one pair, not for three, whose level is 0.017."""
    much, little, same = hits("+++++ ++++-"), hits("----- ----+"), hits("+++++ -----")
    assert better("c", ["a"], [much], [little]).holds == "holds"
    assert better("c", ["a"], [little], [much]).holds == "fails"
    assert better("c", ["a"], [same], [same]).holds == "inconclusive"
    assert better("c", ["a", "b", "c"], [much, same, same], [little, same, same]).holds == "inconclusive"
    all_right, all_wrong = hits("+" * 12), hits("-" * 12)
    assert better("c", ["a", "b"], [all_right, all_wrong], [all_wrong, all_right]).holds == "inconclusive"
    assert better("c", ["a", "b"], [all_right, same], [all_wrong, same]).holds == "holds"
    assert (
        "a -80.00 points (only the first is right: 9, only the second: 1, p = 0.021)"
        in better("c", ["a"], [much], [little]).because
    )


@pytest.mark.parametrize(
    "name, changes, views, expected",
    [
        ("resnet50_v1", {}, "10-crop", (22.85, 6.71)),
        ("resnet50", {}, "multi-scale", (20.74, 5.25)),
        ("resnet34", {"shortcut": "C"}, "multi-scale", (21.53, 5.60)),
        ("plain34", {}, "10-crop", (28.54, 10.02)),
        ("resnet18", {}, "10-crop", (None, None)),  # the paper's has shortcuts A
        ("resnet50", {}, "1-crop", (None, None)),
        ("resnext50_32x4d", {}, "10-crop", (None, None)),
        ("wide_resnet50_2", {}, "10-crop", (None, None)),
        ("resnet34d", {}, "10-crop", (None, None)),
        ("preresnet34", {}, "10-crop", (None, None)),
        ("seresnet50", {}, "10-crop", (None, None)),
    ],
)
def test_the_papers_figures_are_for_its_networks(name, changes, views, expected):
    spec = zoo.get(name, **changes)
    assert published(SimpleNamespace(spec=spec, labels=range(1000)), views) == expected
    assert published(SimpleNamespace(spec=spec, labels=range(10)), views) == (None, None)


def test_table4(tmp_path):
    data = folder(tmp_path / "data")
    paths = {("small", seed): save(model(seed), tmp_path / f"{seed}.safetensors") for seed in (0, 1)}
    said = []
    found = measure_table4(paths, data, tmp_path / "out", device="cpu", workers=0, scale="tiny", say=said.append)
    rows = found.tables[0].rows
    assert [row[:2] for row in rows] == [
        (f"small, seed {seed}", views) for seed in (0, 1) for views in ("1-crop", "10-crop", "multi-scale")
    ]
    assert all(0 <= row[2] <= 100 and row[3] == 0 and row[5:] == (None, None) for row in rows)  # three classes: top-5 is all
    assert "12 images" in found.tables[0].title and (found.item, found.scale) == ("table4", "tiny")
    assert ["10-crop" in one.claim for one in found.verdicts] == [True, False]
    assert found.evidence == ()  # of runs of the item, whoever keeps the result adds it
    assert any("border" in line for line in found.deviations) and "small, seed 0: 10-crop" in said
    assert Result.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_table5(tmp_path):
    data = folder(tmp_path / "data")
    paths = [save(model(seed), tmp_path / f"{seed}.safetensors") for seed in (0, 1)]
    found = measure_table5(paths, data, tmp_path / "out", device="cpu", workers=0, views="10-crop", limit=6)
    assert [row[0] for row in found.tables[0].rows] == [*map(str, paths), "ensemble of 2"]
    assert found.tables[0].rows[-1][-1] is None and "6 images, evenly spaced over the 12" in " ".join(found.deviations)
    assert found.verdicts[0].holds == "inconclusive"  # six pictures can say nothing
    assert [row["run"] for row in found.evidence] == [str(path) for path in paths]
    alone = measure_table5(paths[:1], data, tmp_path / "out", device="cpu", workers=0, views="1-crop")
    assert (alone.verdicts[0].holds, alone.verdicts[0].because) == ("inconclusive", "one model is not an ensemble")


def test_evidence_of_a_saved_model():
    origin = {"command": "resnets train", "git": {"commit": "abc", "dirty": False}, "seed": 3, "device": {"name": "cpu"}}
    row = history.record("runs/1", origin)
    assert row == {"run": "runs/1", "commit": "abc", "command": "resnets train", "device": "cpu", "versions": None,
                   "seed": 3, "seconds": None}  # fmt: skip
    assert set(history.record("file", {}).values()) == {"file", None}
