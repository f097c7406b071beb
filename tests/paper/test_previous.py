"""The comparison with AlexNet and VGG from stored runs: means over seeds, what is within noise, what differs between runs."""

import dataclasses
import json
import math

import pytest

from resnets.engine.recipe import Recipe
from resnets.errors import InputError
from resnets.paper import previous
from resnets.paper.previous import Entry, lower_error, measure
from resnets.paper.result import Result


def finished(folder, name, top1, *, num_params=10**6, num_macs=10**8, seed=0, **settings):
    """A run directory as a training leaves it, of what is read here."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(
        Recipe(model=name, seed=seed, **{"lr": 0.1, "img_size": 32, "steps": 400} | settings).to_yaml()
    )
    model = {"name": name, "num_params": num_params, "num_macs": num_macs}
    origin = {"finished": "now", "model": model, "seconds": 60.0 + seed, "seed": seed, "command": f"train {name}"}
    (folder / "provenance.json").write_text(json.dumps(origin))
    (folder / "evaluation.json").write_text(json.dumps({"top1": top1, "num_images": 10_000}))
    return folder


def entry(errors, num_images=10_000, name="resnet"):
    return Entry(name, tuple(errors), num_images, 1, 1)


def test_noise_by_hand():
    """One seed at 10 %: 0.1 * 0.9 / 10,000 is (0.3 %)^2. Of seeds at 8, 10 and 12 % the variance, (2 %)^2 / 3, comes on top."""
    assert math.sqrt(entry([0.1]).variance) == pytest.approx(0.003)
    three = entry([0.08, 0.10, 0.12])
    assert three.error == pytest.approx(0.1) and three.variance == pytest.approx(0.003**2 + 0.02**2 / 3)


@pytest.mark.parametrize("one, other, holds", [(0.10, 0.12, "holds"), (0.12, 0.10, "fails"), (0.10, 0.105, "inconclusive")])
def test_verdict_within_two_standard_errors_is_inconclusive(one, other, holds):
    verdict = lower_error(entry([one]), entry([other]), "claim")
    assert verdict.holds == holds and "one seed" in verdict.because


def test_measure(tmp_path):
    runs = {
        ("resnet56_cifar", seed): finished(tmp_path / f"r{seed}", "resnet56_cifar", 0.80 + 0.01 * seed, seed=seed)
        for seed in (0, 1)
    }
    vgg = finished(tmp_path / "v", "torchvision/vgg16_bn", 0.7, num_params=134 * 10**6, num_macs=433 * 10**6, lr=0.01)
    runs |= {("torchvision/vgg16_bn", 0): vgg, ("plain20_cifar", 0): finished(tmp_path / "p", "plain20_cifar", 0.803)}
    found = measure(runs, tmp_path / "out", scale="small")
    rows = found.tables[0].rows
    assert rows[0] == ("resnet56_cifar", 1.0, 100.0, 19.5, 0.71, 2, 60)
    assert rows[1] == ("torchvision/vgg16_bn", 134.0, 433.0, 30.0, None, 1, 60)
    claims = {verdict.claim: verdict.holds for verdict in found.verdicts}
    assert claims == {
        "resnet56_cifar needs fewer multiply-adds and parameters than vgg16_bn (section 3.3, of VGG)": "holds",
        "resnet56_cifar has a lower error than vgg16_bn (table 3)": "holds",
        "resnet56_cifar has a lower error than plain20_cifar (table 3)": "inconclusive",
    }
    assert (tmp_path / "out/previous.png").read_bytes().startswith(b"\x89PNG")
    assert "Learning rates: 0.1 for resnet56_cifar, plain20_cifar; 0.01 for torchvision/vgg16_bn." in found.deviations
    assert Result.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_run_that_is_not_finished(tmp_path):
    run = finished(tmp_path / "r", "resnet20_cifar", 0.8)
    (run / "evaluation.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        measure({("resnet20_cifar", 0): run}, tmp_path)


def test_without_a_residual_network_there_is_nothing_to_judge():
    assert previous.verdicts([dataclasses.replace(entry([0.1]), name="plain20_cifar")]) == []
