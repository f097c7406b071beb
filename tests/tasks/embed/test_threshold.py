"""The threshold that a file keeps."""

import json

import numpy as np
import pytest

from resnets.errors import InputError
from resnets.measures import verification as verifying
from resnets.tasks.embed import threshold, vectors
from tests.measures.test_verification import cloud


def pairs(**options):
    found, people = cloud(**options)
    return verifying.pairs(found, people, "cosine"), len(np.unique(people))


def test_a_decision_says_what_is_known_of_its_threshold():
    found, num = pairs()
    decision = threshold.decide(found, num, "cosine", None)
    count = verifying.counted(found, decision["threshold"])
    assert (decision["false_accepts"], decision["false_rejects"]) == (count.false_accepts, count.false_rejects)
    assert (decision["num_impostor"], decision["num_identities"], decision["far"]) == (count.num_impostor, 12, 0.01)
    quantiles = decision["quantiles"]
    assert len(quantiles["at"]) == len(quantiles["same"]) == len(quantiles["different"])
    assert quantiles["same"][0] == pytest.approx(found.distance[found.same].min(), abs=1e-4)
    assert json.loads(json.dumps(decision)) == decision and threshold.threshold_of(decision) == decision["threshold"]


def test_of_few_pairs_the_least_that_they_can_tell():
    found, num = pairs(num_people=3, num_each=3)
    decision = threshold.decide(found, num, "cosine", None)
    assert decision["far"] == pytest.approx(1 / 27) and decision["false_accepts"] <= 1
    with pytest.raises(InputError, match=r"far=0\.001 takes 1,000 pairs of different identities .* there are 27"):
        threshold.decide(found, num, "cosine", 0.001)


def test_without_both_kinds_of_pairs_nothing_is_decided():
    assert threshold.decide(*pairs(num_people=1), "cosine", None) == {}
    assert threshold.decide(*pairs(num_each=1), "cosine", None) == {}
    assert threshold.threshold_of({}) is None


@pytest.mark.parametrize("value", ["0.5", True, float("nan"), 1e301, [0.5]])
def test_a_damaged_threshold_is_refused(value):
    with pytest.raises(InputError, match="damaged"):
        threshold.threshold_of({"threshold": value})


@pytest.mark.parametrize("config", [{"size": 0}, {"size": "128"}, {"size": 1e9}, {"distance": "manhattan"}, {"distance": 3}])
def test_a_damaged_head_is_refused(config):
    with pytest.raises(InputError, match="header is damaged"):
        vectors.size_of(config, 64)
        vectors.distance_of(config)


def test_answers_have_length_one_unless_the_model_says_otherwise():
    outputs = np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)
    assert vectors.answers(outputs, {}).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]
    assert vectors.answers(outputs, {"normalised": False}).tolist() == outputs.tolist()
