"""From pixels to answers and rows, whatever computes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import resnets
from resnets.data.transforms import normalise
from resnets.errors import InputError
from resnets.models.answering import Wanted, answered, arrays, number_of, run_model
from resnets.tasks import get


@pytest.fixture
def model():
    torch.manual_seed(0)
    return resnets.create_model("resnet20_cifar", depths=(1, 1), width=4, labels=("a", "b", "c"))


PIXELS = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("training", [True, False])
def test_a_model_computes_in_evaluation_mode_and_stays_as_it_was(model, training):
    model.train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = run_model(model, PIXELS)
    assert model.training == training and all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    with torch.inference_mode():
        expected = model.eval()(normalise(torch.from_numpy(PIXELS), model.preprocess)).numpy()
    assert found.dtype == np.float32 and np.array_equal(found, expected)
    assert 0 < np.abs(run_model(model, PIXELS, amp=True) - found).max() < 0.1, "bfloat16 is near"


def test_hooks_see_a_model_in_training_mode_predict(model):
    seen = []
    model.layer1.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    run_model(model.train(), PIXELS)
    assert len(seen) == 1 and model.layer1.training


def test_threads_with_one_model_in_training_mode(model):
    """None of them sees another's switch to training mode."""
    expected = run_model(model.eval(), PIXELS)
    model.train()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: run_model(model, PIXELS), range(200)))
    assert all(np.array_equal(each, expected) for each in found) and model.training


def test_outputs_of_every_form_become_arrays():
    found = arrays([{"scores": torch.ones(2, dtype=torch.bfloat16), "labels": torch.tensor([1, 2])}, torch.zeros(1)])
    assert [value.dtype for value in found[0].values()] == [np.float32, np.int64] and found[1].tolist() == [0.0]


def test_rows_of_images_that_differ_in_size_have_their_own(model):
    task, header, wanted = get("classify"), model.header, Wanted(topk=2)
    plain = answered(task, lambda pixels: run_model(model, pixels), header, PIXELS, [], wanted)
    sized = answered(task, lambda pixels: run_model(model, pixels), header, PIXELS, [(20, 30), (5, 6, 7)], wanted)
    assert [list(row)[:3] for row, _ in sized] == [["height", "width", "label"], ["depth", "height", "width"]]
    assert [row["height"] for row, _ in sized] == [20, 6] and "height" not in plain[0][0]
    assert all(len(row["top"]) == 2 and np.array_equal(one, two) for (row, one), (_, two) in zip(plain, sized, strict=True))


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5], {}, float("nan"), float("inf"), 10**400], ids=range(8))
def test_numbers_of_a_header_that_are_none(value):
    with pytest.raises(InputError, match="the model's header is damaged: threshold is "):
        number_of({"threshold": value}, "threshold", 0.5)
    assert number_of({}, "threshold", 0.5) == 0.5 == number_of({"threshold": 0.5}, "threshold")
