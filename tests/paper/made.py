"""Run directories as a training would leave them, made in no time."""

import csv
import json

import yaml

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
