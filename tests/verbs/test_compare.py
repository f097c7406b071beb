"""Two models on one split: the difference, its interval and tests, and what is refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from resnets.cli.main import main
from resnets.engine.values import Sample
from resnets.errors import InputError
from resnets.models.weights import save
from resnets.ship.hub import create_model
from resnets.tasks import get
from resnets.verbs.compare import check_same, compare, told
from resnets.verbs.predictions import Judged
from tests.cli.made import said


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "d.npz"
    images = {split: random.integers(0, 256, (num, 8, 8), np.uint8) for split, num in (("train", 6), ("test", 40))}
    images["test"][::2] //= 3  # those of class 0 are dark
    np.savez(path, **{f"{split}_images": array for split, array in images.items()},
             **{f"{split}_labels": np.arange(len(array)) % 2 for split, array in images.items()})  # fmt: skip
    return str(path)


def bright(threshold, labels=("0", "1")):
    """A network that says "1" for pictures above a mean brightness, from 0 to 1."""
    model = create_model("resnet20_cifar", labels=labels, in_chans=1, depths=(1,), width=2, preprocess=None)
    for name, tensor in model.state_dict().items():
        tensor.zero_() if "running_var" not in name else tensor.fill_(1)
    with torch.no_grad():
        model.conv1.weight[:, :, 1, 1] = 1  # the picture as it is, through a stem whose norm adds what keeps it above 0
        model.bn1.weight.fill_(1)
        model.bn1.bias.fill_(5)
        model.fc.weight[1, 0] = 1
        model.fc.bias[1] = -5 - 2 * (threshold - 0.5)  # pictures are from -1 to 1
    return model.eval()


def test_one_is_right_more_often(data):
    good, bad = bright(0.35), bright(0.02)
    found = compare(good, bad, data, workers=0, device="cpu")
    first, second, test = found["first"]["top1"], found["second"]["top1"], found["mcnemar"]
    assert (first, second) == (1.0, 0.5) and found["difference"] == 0.5 and found["num_images"] == 40
    assert found["interval"][0] > 0.3 and found["p_value"] < 0.01
    counts = {"both": 20, "only_first": 20, "only_second": 0, "neither": 0}
    assert test == counts | {"p_value": pytest.approx(2**-19)}
    text = told(found).splitlines()
    assert text[-1] == "the first is better" and "accuracy, first minus second: +50.00% (95 % interval +" in text[2]
    swapped = compare(bad, good, data, workers=0, device="cpu")
    assert swapped["difference"] == -0.5 and told(swapped).endswith("the second is better")


FIXTURES = Path(__file__).parents[1] / "fixtures/v0_1_0"


def answers(task, positions):
    """What was judged: pictures called 0, 1, ... at some positions of a split."""
    meter = SimpleNamespace(sample=lambda: Sample("accuracy", np.array(positions), lambda at: 0.0))
    return Judged(get(task), "val", SimpleNamespace(images=SimpleNamespace(name=str)), meter, len(positions), {})


def test_what_cannot_be_compared(data):
    with pytest.raises(InputError, match="one model is for the task classify, the other for detect; compare two of one task"):
        compare(bright(0.3), FIXTURES / "detect", data, workers=0, device="cpu")
    with pytest.raises(InputError, match="the val splits of the two models differ: 1 pictures are only in the first's, 2 only"):
        check_same(answers("classify", [0, 1]), answers("classify", [1, 2, 3]))
    with pytest.raises(InputError, match="has no val split"):
        compare(bright(0.3), bright(0.35), data, split="val", workers=0, device="cpu")


def test_on_the_command_line(data, tmp_path, capsys):
    files = [str(save(bright(threshold), tmp_path / f"{threshold}.safetensors")) for threshold in (0.35, 0.02)]
    out, _ = said(capsys, f"eval {files[0]} {files[1]} {data} --compare --workers 0 --json")
    found = json.loads(out)
    assert found["mcnemar"]["only_first"] == 20 and found["first"]["model"] == files[0]
    out, _ = said(capsys, f"eval {files[0]} {files[0]} {data} --workers 0")
    assert out.splitlines()[-1] == "the difference may be chance"
    for words in (f"{files[0]} {data} --compare", f"{files[0]} {files[1]} {files[0]} {data}"):
        with pytest.raises(SystemExit) as stopped:
            main(["eval", *words.split()])
        assert stopped.value.code == 2
        assert "give one model, or two to compare, and then the data" in capsys.readouterr().err
