"""What an evaluation says, of vectors that are known."""

import numpy as np
import pytest
import torch

from resnets.data.types import Batch
from resnets.measures import verification as verifying
from resnets.measures.neighbours import distance
from resnets.tasks.embed import rows
from resnets.tasks.embed.meter import EmbedMeter
from tests.measures.test_verification import cloud

NAMES = np.array([f"p{number:02}" for number in range(12)])


def filled(decision=None, quick=False, **options):
    vectors, people = cloud(**options)
    meter = EmbedMeter({"distance": "euclidean"}, quick=quick)
    meter.decision = decision or {}
    order = np.random.default_rng(1).permutation(len(people))
    for part in np.array_split(order, 5):
        meter.add(
            vectors[part].astype(np.float32), Batch(torch.empty(len(part), 0), NAMES[people[part]], torch.from_numpy(part))
        )
    return meter, vectors.astype(np.float32), people


def measured(decision, groups=None):
    meter, vectors, people = filled(decision)
    return meter, vectors, people, meter.result(len(people), groups)


def test_the_order_of_batches_changes_nothing():
    meter, vectors, people = filled()
    assert np.array_equal(meter.kept.answers, vectors) and meter.kept.targets.tolist() == NAMES[people].tolist()


def test_the_threshold_is_counted_over_all_pairs():
    _, vectors, people, result = measured({"threshold": 2.0, "far": 0.01})
    apart = distance(vectors[:, None].astype(float), vectors[None].astype(float), "euclidean")
    first, second = np.triu_indices(len(people), 1)
    same, accept = people[first] == people[second], apart[first, second] <= 2.0
    assert result["false_accepts"] == (accept & ~same).sum() and result["false_rejects"] == (~accept & same).sum()
    assert (result["num_genuine"], result["num_impostor"]) == (same.sum(), (~same).sum())
    assert result["false_accept_rate"] == result["false_accepts"] / result["num_impostor"] < result["false_accept_rate_bound"]
    per_class = result["per_class"][0]
    mine = (people[first] == 0) | (people[second] == 0)
    assert per_class["false_accepts"] == pytest.approx(accept[mine & ~same].mean())
    assert per_class["false_rejects"] == pytest.approx(1 - accept[mine & same].mean())
    words = rows.told({**result, "split": "test", "bad_images": {}}, True)
    assert "threshold 2 (euclidean distance; chosen on validation for a FAR of 0.01)" in words
    assert f"{result['false_accepts']:,} of 2,376 pairs falsely accepted" in words


def test_none_in_so_many_is_told_by_the_rule_of_three():
    *_, result = measured({"threshold": 1e-6, "far": 0.01})
    words = rows.told({**result, "split": "val", "bad_images": {}}, False)
    assert "0 of 2,376 pairs falsely accepted (at most 0.13%, 3 in so many, were pairs independent)" in words
    assert "which is this split" in words


def test_groups_have_their_own_errors():
    groups = np.where(np.arange(72) < 36, "old", "new")
    *_, result = measured({"threshold": 2.0}, groups)
    assert [(row["group"], row["num_impostor"]) for row in result["by_group"]] == [("new", 540), ("old", 540)]


def test_identities_are_drawn_whole_where_two_models_are_compared():
    meter, _, people = filled()
    sample, quick = meter.sample(), filled(quick=True)[0].result(len(people))
    assert sample.figure(np.arange(len(people))) == pytest.approx(quick["map_at_r"])
    assert sample.groups.tolist() == NAMES[people].tolist()


def test_a_quick_one_measures_the_scores_alone():
    meter, _, people = filled(quick=True)
    result, pairs = meter.result(len(people)), meter.pairs
    assert result.keys() == {"map_at_r", "auc"}
    assert result["auc"] == pytest.approx(verifying.rates(pairs.distance, pairs.same).auc)
    assert EmbedMeter({}, quick=True).result(3) == {}


def test_records_hold_what_figures_are_computed_from():
    meter, vectors, people = filled()
    position, record = next(meter.records())
    assert position == 0 and record["identity"] == NAMES[people[0]]
    assert [float(value) for value in record["embedding"].split()] == pytest.approx(vectors[0].tolist(), rel=1e-5)
