"""To answer only where the answer is likely right: a limit of doubt with a guarantee for the answers given (selective
classification; Geifman and El-Yaniv 2017, arXiv 1705.08500).

The doubt of an answer is 1 - p of the likeliest class. With the limit L, pictures with doubt <= L are answered, and the risk
R(L) is the part of the answers that is wrong. `limit` looks for the largest L whose risk is at most the wanted one, by Learn
then Test (Angelopoulos et al. 2021, arXiv 2110.01052): each limit of a grid that was fixed beforehand is a hypothesis R(L) >
wanted, which the exact binomial bound (Clopper and Pearson 1934) of the errors seen rejects or not. They are tested in order,
the least doubt first, and each rejected one hands its part of the allowed probability of error, 1 - `LEVEL`, on to the next
(fixed sequence with fallback; Wiens 2003). So with probability `LEVEL` over the pictures of validation, R(L) of new pictures
like them is at most the wanted risk, whatever the network and the number of pictures.

For the doubts that networks have the first limits of a grid may have no answers at all, so that the sequence needs a good
start. Every tenth picture is for that alone: the sequence starts anew, with a part of the probability, where these have such
shares of answers (`STARTS`). They are independent of the others, which test; the guarantee therefore stays exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

from resnets.measures.intervals import LEVEL, clopper_pearson_upper

PER_DECADE, DECADES = 10, 12
GRID = tuple(float(f"{10 ** (-step / PER_DECADE):.4g}") for step in range(PER_DECADE * DECADES, -1, -1))
STARTS = {1 / 16: 0.1, 1 / 8: 0.1, 1 / 4: 0.1, 1 / 2: 0.5, 1: 0.2}  # share of answers -> part of 1 - LEVEL
ASIDE = 10  # each so many-th picture tells where to start


class Table(TypedDict):
    """What validation says of each limit, from which `limit` finds that of any wanted risk without the pictures. Of limits
    between two rows nothing is known."""

    doubt: list[float]  # limits, rising
    answers: list[int]  # pictures with at most this doubt, of those that test
    errors: list[int]  # wrong ones of these
    starts: list[float]  # the part of 1 - LEVEL with which the sequence starts anew here, mostly 0


def doubts(logits: np.ndarray) -> np.ndarray:
    """(N,) float64: 1 - p of the likeliest class of logits (N, num_classes), exact to the smallest."""
    logits = np.asarray(logits, np.float64)
    likeliest = logits.argmax(1)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    total = weights.sum(1)
    weights[np.arange(len(logits)), likeliest] = 0
    return weights.sum(1) / total


def tabulate(doubt: np.ndarray, wrong: np.ndarray) -> Table:
    """Count the answers and errors within each limit of `GRID`.

    Args:
        doubt: (N,) 0 to 1.
        wrong: (N,) whether the answer is.
    """
    grid, aside = np.array(GRID), np.arange(len(doubt)) % ASIDE == ASIDE - 1
    starts = np.zeros(len(grid))
    first = np.sort(doubt[aside])
    for share, part in STARTS.items():
        place = len(grid) - 1
        if len(first):
            place = int(np.searchsorted(grid, first[math.ceil(share * len(first)) - 1]))
        starts[min(place, len(grid) - 1)] += part
    rest, errors = np.sort(doubt[~aside]), np.sort(doubt[~aside & wrong])
    answers, wrongs = (np.searchsorted(values, grid, side="right") for values in (rest, errors))
    # Rows without answers before the first start, which decide nothing, are left out.
    begin = min(int(np.flatnonzero(starts)[0]), int(np.argmax(answers > 0)))
    return {
        "doubt": grid[begin:].tolist(),
        "answers": answers[begin:].tolist(),
        "errors": wrongs[begin:].tolist(),
        "starts": [round(float(part), 4) for part in starts[begin:]],
    }


def limit(table: Table | Mapping[str, Any], risk: float) -> float | None:
    """The largest doubt with which answers may be given so that at most `risk` of them are wrong; None where validation
    supports no limit. The guarantee holds with probability `LEVEL`."""
    found, budget = None, 0.0
    rows = zip(table["doubt"], table["answers"], table["errors"], table["starts"], strict=True)
    for doubt, answers, errors, start in rows:
        budget += start * (1 - LEVEL)
        if budget and clopper_pearson_upper(errors, answers, 1 - budget) <= risk:
            found = doubt
        else:
            budget = 0.0
    return found


def num_needed(table: Table | Mapping[str, Any], risk: float) -> int | None:
    """About how many pictures of validation it takes to support a limit for `risk`, if they come out as those of the table did;
    None where no limit had so few errors."""
    answers, errors = np.array(table["answers"]), np.array(table["errors"])
    num = len_of(table)
    if not num or not ((answers > 0) & (errors < risk * answers)).any():
        return None
    for growth in 1.25 ** np.arange(1, 60):
        more = {name: np.round(growth * np.array(table[name])).astype(int).tolist() for name in ("answers", "errors")}
        if limit({**table, **more}, risk) is not None:
            return math.ceil(growth * num)
    return None


def least_needed(risk: float) -> int:
    """The fewest pictures of validation that can support a limit for `risk`: all of them sure, and none wrong."""
    return math.ceil(math.log(1 - LEVEL) / math.log1p(-risk) * ASIDE / (ASIDE - 1))


def len_of(table: Table | Mapping[str, Any]) -> int:
    """About how many pictures a table was made of."""
    return math.ceil(table["answers"][-1] * ASIDE / (ASIDE - 1)) if table["answers"] else 0
