"""Data that a program has in memory."""

import numpy as np
import pytest

from resnets.errors import InputError
from resnets.verbs.evaluate import evaluate
from resnets.verbs.train import train
from tests.engine.made import TINY

X = np.random.default_rng(0).integers(0, 256, (36, 8, 8, 3), dtype=np.uint8)
Y = ["a", "b", "c"] * 12


def test_arrays_are_trained_on_evaluated_and_taken_up_again(tmp_path):
    run = train((X, Y), out=tmp_path / "run", **TINY | {"epochs": 1})
    found = evaluate(run.path, {"test": (X, Y)})
    assert (found["data"], found["num_images"]) == ("arrays", 36) and run.result["split"] == "val"
    assert train((X, Y), out=tmp_path / "run", resume=True).result == run.result
    with pytest.raises(InputError, match="the data has changed"):
        train((X[::-1], Y), out=tmp_path / "run", resume=True)
