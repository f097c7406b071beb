"""Two pictures compared: by a threshold, without one, and lists of pairs."""

import json

import numpy as np
import pytest

from resnets.cli.main import main
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models import zoo
from resnets.ship import hub
from resnets.verbs import verify as verb
from tests.data.made_dense import save

SPEC = zoo.get("resnet20_cifar", depths=(1, 1), width=4)
KNOWN = {
    "threshold": 0.5, "distance": "cosine", "far": 0.01, "num_identities": 3, "num_genuine": 30, "num_impostor": 300,
    "false_accepts": 0, "false_rejects": 2,
}  # fmt: skip


def saved(path, decision=None, **provenance):
    model = hub.create_model(zoo.change(SPEC, num_classes=0), task="embed", labels=(), preprocess=Preprocess(size=(8, 8)))
    model.decision, model.metadata = dict(decision or {}), {"provenance": provenance}
    return hub.save(model, path / "model.safetensors")


@pytest.fixture
def pictures(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        save(tmp_path / f"{name}.png", np.random.default_rng(seed).integers(0, 255, (9, 8, 3)).astype(np.uint8))
    (tmp_path / "torn.png").write_bytes(b"no picture")
    return tmp_path


def test_the_same_or_not_with_what_is_known(pictures):
    file = saved(
        pictures,
        KNOWN,
        result={"split": "test", "threshold": 0.5, "num_identities": 5, "false_accepts": 2, "num_accept_pairs": 400},
    )
    found = verb.verify(
        file, [(pictures / "a.png", pictures / "b.png"), (pictures / "a.png", pictures / "torn.png")], workers=0
    )
    first, second = found["pairs"]
    assert first["distance"] == pytest.approx(0, abs=1e-6) and first["same"] is True
    assert "not an image" in second["error"] and "same" not in second
    assert found["known"]["chosen"]["bound"] == pytest.approx(3 / 300, rel=0.05)
    assert found["known"]["scored"]["false_accepts"] == 2
    lines = list(verb.told(found))
    assert "the same, cosine distance" in lines[0] and "error" in lines[1]
    assert lines[2] == (
        "threshold 0.5, chosen on 3 identities: 0 of 300 pairs of different ones falsely accepted (at most 0.99%, three in so "
        "many, were pairs independent)"
    )
    assert lines[3].startswith("scored on 5 identities: 2 of 400 pairs")


def test_a_threshold_that_was_not_scored_says_so(pictures):
    """Such as one that was chosen again after the test."""
    other = {"split": "test", "threshold": 0.4, "num_identities": 5, "false_accepts": 2, "num_accept_pairs": 400}
    for result in ({}, {"split": "val", "threshold": 0.5}, other):
        found = verb.verify(saved(pictures, KNOWN, result=result), [(pictures / "a.png", pictures / "c.png")], workers=0)
        assert found["known"]["scored"] is None and "not scored on other identities" in list(verb.told(found))[-1]


def test_without_a_threshold_the_distance_and_how_to_get_one(pictures):
    pair = [(pictures / "a.png", pictures / "c.png")]
    found = verb.verify(saved(pictures), pair, workers=0)
    assert found["known"] is None and "same" not in found["pairs"][0] and found["pairs"][0]["distance"] > 0
    assert found["hint"].startswith("`resnets calibrate")
    classifier = hub.save(
        hub.create_model(zoo.change(SPEC, num_classes=2), preprocess=Preprocess(size=(8, 8))), pictures / "c.safetensors"
    )
    found = verb.verify(classifier, pair, workers=0)
    assert "resnets convert MODEL -o EMBED.safetensors --task embed" in list(verb.told(found))[-1]


@pytest.mark.parametrize("decision", [{**KNOWN, "threshold": "0.5"}, {**KNOWN, "num_impostor": None}])
def test_a_damaged_threshold_is_refused(pictures, decision):
    with pytest.raises(InputError, match="header is damaged"):
        verb.verify(saved(pictures, decision), [(pictures / "a.png", pictures / "c.png")], workers=0)


def test_a_list_of_pairs_is_scored(pictures, capsys):
    (pictures / "pairs.csv").write_text("a,b,same\na.png,b.png,1\na.png,c.png,0\n\nb.png,c.png,no\n")
    pairs, same = verb.read_pairs(pictures / "pairs.csv")
    assert len(pairs) == 3 and same == [True, False, False]
    file = saved(pictures, {**KNOWN, "threshold": 1e-6})
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(file), "--pairs", str(pictures / "pairs.csv"), "--json", "-j", "0"])
    found = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and found["scores"]["eer"] == 0.0
    assert (found["scores"]["false_accepts"], found["scores"]["false_rejects"]) == (0, 0)
    assert found["scores"]["tar_at_1e-1"] is None and "2 of different ones: EER 0.00%" in verb.scored_words(found["scores"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must name the columns a,b"),
        ("path,label\nx,y\n", "must name the columns a,b"),
        ("a,b\n", "holds no pair"),
        ("a,b\nx.png,\n", "line 2: a path is missing"),
        ("a,b,same\nx.png,y.png,perhaps\n", "line 2: same is 'perhaps'; write 1 or 0"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path, text, words):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        verb.read_pairs(tmp_path / "pairs.csv")


@pytest.mark.parametrize("words", [[], ["a.png"], ["a.png", "b.png", "c.png"], ["a.png", "b.png", "--pairs", "x.csv"]])
def test_two_pictures_or_a_list(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["verify", "model.safetensors", *words])
    assert ended.value.code == 2 and "give two pictures, or --pairs FILE" in capsys.readouterr().err
