"""Make of a finished run a model for the package: 16-bit tensors, and a header that says what a stranger needs.

    python benchmarks/box.py RUN resnets/boxed/NAME.safetensors

Prints the accuracy on the run's test split in 32 and in 16 bits. The card beside the file, NAME.md, is written by a person.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from resnets.engine.run import RunDir
from resnets.models.weights import write_tensors
from resnets.ship import hub
from resnets.verbs.evaluate import evaluate

# Of a run's provenance, what is neither its machine's nor its folders'.
KEPT = ("versions", "seed")
TERMS = {
    "source": "resnets",
    "licence": "MIT, as this package; CIFAR-10's pictures are given for research",
    "training_data": "CIFAR-10 (Krizhevsky 2009), 49,000 of the 50,000 training pictures",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    run = RunDir(options.run)
    provenance = run.read_provenance()
    chosen = {"best": run.best, "last": run.last}[provenance["selected"]]
    model = hub.load(chosen)
    header = model.header
    data = {name: provenance["data"][name] for name in ("name", "fingerprint", "labels", "cut")}
    recipe = dict(header.provenance["recipe"])
    if recipe["weights"]:
        recipe["weights"] = Path(recipe["weights"]).name  # a run of this machine; the card says which
    told = {name: header.provenance[name] for name in KEPT} | TERMS | {"data": data, "recipe": recipe}
    data_name = provenance["data"]["name"]
    before = evaluate(chosen, data_name)
    after = evaluate(model.half().float(), data_name)
    header = dataclasses.replace(header, provenance=told, metrics={"test_top1": after["top1"]})
    write_tensors(options.out, model.half().state_dict(), header.to_json())
    for name, found in (("32 bits", before), ("16 bits", after)):
        print(json.dumps({"as": name} | {key: found[key] for key in ("split", "top1", "top1_interval", "loss")}))


if __name__ == "__main__":
    main()
