"""The limit of doubt: its guarantee by simulation, its parts by SciPy, and what a table without the pictures still tells."""

import json

import numpy as np
import pytest
from scipy.stats import beta, binom

from resnets.measures import selective
from resnets.measures.selective import GRID, doubts, least_needed, limit, num_needed, tabulate


def drawn(num, random, error):
    """Doubts over many decades, and whether each answer is wrong, as often as `error(doubt)` says."""
    doubt = 10 ** random.uniform(-8, 0, num)
    return doubt, random.random(num) < error(doubt)


def true_risk(error, largest):
    """Of the answers within a limit."""
    doubt = 10 ** np.linspace(-8, 0, 20_001)
    return error(doubt)[doubt <= largest].mean()


# Just above the wanted risk everywhere: the hardest for the guarantee. As networks are: rising. And not rising at all.
HARDEST = {
    "flat": lambda doubt: np.full(doubt.shape, 0.0501),
    "rising": lambda doubt: 0.3 * doubt**0.25,
    "falling first": lambda doubt: np.where(doubt < 1e-6, 0.2, np.where(doubt < 1e-2, 0.02, 0.2)),
}


@pytest.mark.parametrize("name", HARDEST)
def test_the_guarantee_holds_over_draws_of_validation(name):
    """With 95 % probability or more; of 200 draws chance allows 20 failures (99.9 %)."""
    error, failures, found = HARDEST[name], 0, 0
    for seed in range(200):
        largest = limit(tabulate(*drawn(600, np.random.default_rng(seed), error)), 0.05)
        found += largest is not None
        failures += largest is not None and true_risk(error, largest) > 0.05
    assert failures <= binom.ppf(0.999, 200, 0.05), (failures, found)
    if name == "rising":
        assert found > 190, "it is of use too"


def test_it_is_no_more_careful_than_it_must_be():
    """Of many pictures the limit is near the one where the true risk is the wanted one."""
    error = HARDEST["rising"]
    largest = limit(tabulate(*drawn(200_000, np.random.default_rng(0), error)), 0.05)
    assert 0.045 < true_risk(error, largest) <= 0.05


def test_each_step_is_an_exact_binomial_test():
    """One start at the only limit with pictures: the decision is that of SciPy's binomial test, and of the beta quantile."""
    for num in (59, 298, 299, 1000):
        for errors in range(5):
            table = {"doubt": [0.1], "answers": [num], "errors": [errors], "starts": [1.0]}
            passes = binom.cdf(errors, num, 0.01) <= 0.05
            assert (limit(table, 0.01) is not None) == passes == (beta.ppf(0.95, errors + 1, num - errors) <= 0.01)


def test_a_start_that_fails_takes_its_part_along():
    """Rejected hypotheses hand their part on; after one that is not, only what the next start has is left."""
    rows = {"doubt": [0.1, 0.2, 0.3], "starts": [0.5, 0.5, 0]}
    for answers, errors, found in [
        ([71, 71, 71], [0, 0, 0], None),  # 0.95^71 is above half of 5 %, and 0.95^72 below it
        ([72, 72, 72], [0, 0, 0], 0.3),
        ([59, 72, 90], [0, 0, 0], 0.3),
        ([72, 93, 94], [0, 1, 1], 0.3),  # one of 93 needs the whole 5 %
        ([71, 93, 94], [0, 1, 1], None),
        ([72, 93, 94], [0, 1, 3], 0.2),
    ]:
        assert limit({**rows, "answers": answers, "errors": errors}, 0.05) == found, answers


def test_doubts_are_exact_where_one_minus_a_float_is_not():
    logits = np.array([[30.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 2.0, 0.0]], np.float32)
    p = np.exp(logits.astype(np.longdouble))
    p /= p.sum(1, keepdims=True)
    assert doubts(logits) == pytest.approx(np.sort(p, 1)[:, :-1].sum(1).astype(float), rel=1e-12)
    assert doubts(np.full((1, 3), 1e30)) == pytest.approx(2 / 3)


def test_a_table_counts_what_is_within_each_limit_and_survives_json():
    random = np.random.default_rng(0)
    doubt, wrong = drawn(500, random, HARDEST["rising"])
    table = tabulate(doubt, wrong)
    rest = np.arange(500) % 10 != 9
    for row, largest in enumerate(table["doubt"]):
        assert table["answers"][row] == ((doubt <= largest) & rest).sum()
        assert table["errors"][row] == ((doubt <= largest) & rest & wrong).sum()
    assert table["doubt"][-1] == 1 and sum(table["starts"]) == pytest.approx(1) and set(table["doubt"]) <= set(GRID)
    again = json.loads(json.dumps(table))
    assert [limit(again, risk) for risk in (0.01, 0.05, 0.2)] == [limit(table, risk) for risk in (0.01, 0.05, 0.2)]
    assert len(json.dumps(table)) < 4000


def test_what_few_pictures_cannot_support():
    """Without any error so many pictures do, and one fewer does not."""
    for risk in (0.01, 0.05):
        least = least_needed(risk)
        for num, supported in ((least, True), (least - 2, False)):
            assert (limit(tabulate(np.full(num, 1e-4), np.zeros(num, bool)), risk) is not None) == supported, (risk, num)
    assert limit(tabulate(np.empty(0), np.empty(0, bool)), 0.5) is None
    assert limit(tabulate(np.full(3, 0.5), np.ones(3, bool)), 0.5) is None


def test_how_many_more_pictures_it_takes():
    random = np.random.default_rng(0)
    error = HARDEST["rising"]
    table = tabulate(*drawn(400, random, error))
    assert limit(table, 0.01) is None
    needed = num_needed(table, 0.01)
    assert needed > 400
    assert limit(tabulate(*drawn(3 * needed, random, error)), 0.01) is not None
    assert num_needed(tabulate(np.full(50, 0.1), np.ones(50, bool)), 0.01) is None


def test_the_parts_of_the_starts_are_the_whole():
    assert sum(selective.STARTS.values()) == pytest.approx(1)
