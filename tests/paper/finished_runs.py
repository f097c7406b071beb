"""Run directories as a training would leave them, made in no time; and how items and the command are called on them."""

import csv
import json
import shlex

import pytest
import yaml

from resnets.cli.main import main
from resnets.paper import items, scales

SMALL = scales.get("small")

VERSIONS = {"resnets": "0.1.0", "torch": "2.0"}


def finish(training, folder, *, test=10.0, train=5.0, val=11.0, epochs=3):
    """A finished run of `training` in `folder`, with these errors in percent at its end."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(_plain(training.settings) | {"precision": "float32"}))
    steps = training.settings["steps"]
    rows = [
        {
            "epoch": epoch,
            "step": steps * epoch // epochs,
            "train_top1": 1 - train * (1 + epochs - epoch) / 100,
            "val_top1": 1 - val * (1 + (epochs - epoch) / 2) / 100,
        }
        for epoch in range(1, epochs + 1)
    ]
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    result = {"split": "test", "top1": 1 - test / 100}
    (folder / "evaluation.json").write_text(json.dumps(result))
    origin = {
        "command": f"resnets train {training.data} --model {training.network} --out {folder}",
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "device": {"type": "cpu", "name": "a <processor> | of ours", "threads": 1},
        "versions": VERSIONS,
        "seed": training.seed,
        "seconds": 60.0,
        "result": result,
    }
    (folder / "provenance.json").write_text(json.dumps(origin))


def _plain(settings):
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def said(capsys, words, code=0):
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(words))
    out, err = capsys.readouterr()
    assert stopped.value.code == code, err
    return out, err


def store(out, name, scale=SMALL, data="cifar10", errors=lambda training: {}):
    """All runs of an item, finished."""
    for training in items.get(name).trainings(scale, data):
        finish(training, training.folder(out), **errors(training))


def reproduced(out, name, scale=SMALL, data="cifar10"):
    return items.reproduce(name, scale, out=out, data=data, say=lambda text: None)
