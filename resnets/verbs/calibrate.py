"""Choose how a model's outputs become answers on labelled pictures, as the end of a training does, and write a file with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from resnets import tasks
from resnets.engine.settings import answers_of
from resnets.errors import InputError
from resnets.models import weights
from resnets.models.pretrained.opening import Opened, open_weights
from resnets.models.records import AnswersRecord
from resnets.ship import hub
from resnets.ship.sessions import answering, open_session
from resnets.stores import publishing
from resnets.verbs import expected
from resnets.verbs.evaluate import judge, pick

SPLITS = ("val", "test", "train")  # the first that the data has is the one, unless one is named


@publishing
def calibrate(
    model: str | Path,
    data: str,
    out: str | Path,
    *,
    split: str | None = None,
    data_dir: str | Path | None = None,
    batch_size: int = 256,
    workers: int | None = None,
    max_bad: int | None = None,
    device: str = "auto",
    **settings: Any,
) -> dict[str, Any]:
    """Write `model` to `out` with a decision that is chosen on a labelled split; the tensors stay as they are.

    What the decision promises it promises for pictures like those of the split. These must be ones that the model was not
    trained on, best also ones that its epoch was not chosen by.

    Args:
        model: a saved file, a run directory, the name of a bundled model, or another library's weights.
        data: labelled pictures of the model's classes; see `evaluate`.
        out: the .safetensors file to write; it may be the model's own.
        split: None: the first of val, test and train that the data has.
        batch_size, workers, max_bad, device: see `evaluate`.
        settings: of the task's section of answers, as for `train`: abstain_at=0.01, sets=0.95, unknown_at, ...

    Returns:
        The evaluation of the split by the new decision, with "file" and "decision".

    Raises:
        InputError: where the model has nothing to choose, the split does not support what is asked for, or a file cannot be
            read or written.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: name the file to write {out.stem}.safetensors")
    opened = open_weights(model)
    task = answering(opened.header)
    given = {name: value for name, value in settings.items() if value is not None}
    tasks.check_owned(task, given)
    known = answers_of(task.settings())
    if strange := sorted(given.keys() - known.keys()):
        raise InputError(f"{', '.join(strange)}: no settings of calibrate for the task {task.name}; it has: {', '.join(known)}")
    asked = answers_of(task.settings(**given))
    session = open_session(hub.built(opened), device=device)
    source = task.open_for(opened.header, data, {}, data_dir=data_dir)
    name = pick(source, split or next(name for name in SPLITS if name in source.splits))
    judged = judge(session, source, name, batch_size=batch_size, workers=workers, max_bad=max_bad)
    if not (decision := task.decide(judged.meter, asked)):
        raise InputError(f"the task {task.name} has nothing to choose; its models answer as they are")
    judged.meter.decision = decision
    answers = expected.count(task, (record for _, record in judged.meter.records()), decision)
    write(opened, decision, answers, out)
    return {"file": str(out), "model": str(model), "data": data, "decision": decision} | judged.result()


def write(opened: Opened, decision: dict[str, Any], answers: AnswersRecord, out: Path) -> None:
    """Write the tensors as they are in the file, where it is one of ours, with the decision and its answers in the header."""
    provenance: Any = {**opened.header.provenance, "answers": answers}
    header = dataclasses.replace(opened.header, decision=decision, provenance=provenance)
    own = weights.is_ours(opened.path)
    tensors = weights.read_plain(opened.path) if own else hub.built(opened).state_dict()
    weights.write_tensors(out, tensors, header.to_json())
