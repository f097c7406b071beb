"""A linear probe: the head alone, fitted by logistic regression to features that the trunk computes once.

What comes out is an ordinary run: standardising and classifier are folded into `fc`; the saved model is the network as ever.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from resnets.data.types import Batch, Split
from resnets.data.words import IMAGES_OF
from resnets.engine.contract import Meter
from resnets.engine.job import Fit
from resnets.engine.loop import scores_of
from resnets.errors import InputError
from resnets.models import weights
from resnets.ship.sessions import Session
from resnets.verbs.features import Features, feature_session, of_split

PENALTIES = (1e-3, 1e-2, 0.1, 1.0, 10.0)  # scikit-learn's C, from the strongest penalty to the weakest
NEVER, ALWAYS = -1e4, 1e4  # logit of a class or label that no training picture has, and of a label that all have


class Head(NamedTuple):
    """A fitted classifier as the weights of `fc`: (num_classes, num_features) and (num_classes,), float64."""

    weight: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        return features @ self.weight.T + self.bias


def fit_head(job: Fit) -> int:
    """Fit the head of `job.model`, write what a training would, and return the number of its only epoch.

    The penalty is the recipe's, or that of `PENALTIES` which is best on the validation split. Where the recipe mirrors
    pictures, those of the training split count both ways.

    Raises:
        InputError: in distributed training, and where fewer than two classes have readable pictures.
    """
    if not job.processes.alone:
        raise InputError("probe=True computes in one process; start it without torchrun")
    began = time.perf_counter()
    session = feature_session(job.model, amp=job.device.autocast is torch.bfloat16)
    train = features(job, session, job.train.samples.split, "training")
    val = features(job, session, job.val.samples.split, "validation")
    shown = train
    if job.recipe.hflip:
        mirrored = features(job, session, job.train.samples.split, "mirrored training", mirrored=True)
        shown = Features(*(np.concatenate(parts) for parts in zip(train, mirrored, strict=True)))
    seconds = time.perf_counter() - began
    head, scores = best_head(job, shown, val)
    put(job, head)
    found = {"train": measure(job.meter(), head, train), "val": measure(job.meter(), head, val)}
    keep(job, found, len(shown.targets) / seconds)
    job.run.update_provenance(probe={"scores": scores})
    return 1


def features(job: Fit, session: Session, split: Split, words: str, *, mirrored: bool = False) -> Features:
    """What the trunk makes of a split, in float64 for the fit, and its targets."""
    images = IMAGES_OF[session.header.spec.dims]
    say = lambda done, num: job.report.say(f"features {done:,} of {num:,} {words} {images}")  # noqa: E731
    found = of_split(session, split, bad=job.bad, workers=job.recipe.workers or 0, say=say, mirrored=mirrored)
    return found._replace(values=found.values.astype(np.float64))


def best_head(job: Fit, train: Features, val: Features) -> tuple[Head, dict[str, dict[str, float]]]:
    """The head that is best on validation by the task's first score, of equals by loss; and what each penalty gave there."""
    recipe: Any = job.recipe  # of a task that has these settings
    key = job.task.scores[0].key
    found: list[tuple[tuple[float, float], Head]] = []
    scores = {}
    for penalty in PENALTIES if recipe.probe_c is None else (recipe.probe_c,):
        head = fitted(train, penalty, job.model.spec.num_classes, balanced=recipe.balance != "none")
        score = measure(job.meter(), head, val)
        found.append(((score[key], -score["loss"]), head))
        scores[f"{penalty:g}"] = score
    job.report.say("probe    " + "; ".join(f"C {penalty}: val_{key} {score[key]:.4f}" for penalty, score in scores.items()))
    return max(found, key=lambda pair: pair[0])[1], scores


def fitted(train: Features, penalty: float, num_classes: int, *, balanced: bool = False) -> Head:
    """Logistic regression on standardised features, in terms of the features as they are: of classes multinomial, of labels one
    for each."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train.values)
    values, weighting = scaler.transform(train.values), "balanced" if balanced else None
    whole = Head(np.zeros((num_classes, values.shape[1])), np.full(num_classes, NEVER))
    if train.targets.ndim == 1:
        if len(np.unique(train.targets)) < 2:
            raise InputError("fewer than two classes have training pictures that can be read; `resnets data check` says why")
        weight, bias, classes = regression(values, train.targets, penalty, weighting)
        if len(weight) == 1:  # of two classes scikit-learn has the difference only
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        whole.weight[classes], whole.bias[classes] = weight, bias
    for label, column in enumerate(train.targets.T > 0.5 if train.targets.ndim == 2 else ()):
        if column.all() or not column.any():
            whole.bias[label] = ALWAYS if column.all() else NEVER
        else:
            (whole.weight[label],), (whole.bias[label],), _ = regression(values, column, penalty, weighting)
    weight = whole.weight / scaler.scale_
    return Head(weight, whole.bias - weight @ scaler.mean_)


def regression(
    values: np.ndarray, targets: np.ndarray, penalty: float, weighting: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's coefficients, intercepts and classes."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # nearly converged is good enough, and validation judges it
        found = LogisticRegression(C=penalty, max_iter=1000, class_weight=weighting).fit(values, targets)
    return found.coef_, found.intercept_, found.classes_


def measure(meter: Meter, head: Head, of: Features) -> dict[str, float]:
    """Mean loss and the task's scores, by a quick `meter` that has seen nothing."""
    logits, targets = torch.from_numpy(head.logits(of.values)), torch.from_numpy(of.targets)
    targets = targets.to(logits.dtype) if targets.is_floating_point() else targets
    meter.add(logits, Batch(torch.empty(0), targets, torch.arange(len(targets))))
    return scores_of(meter, len(targets))


def put(job: Fit, head: Head) -> None:
    job.model.load_state_dict({f"fc.{part}": torch.from_numpy(value) for part, value in head._asdict().items()}, strict=False)


def keep(job: Fit, scores: Mapping[str, Mapping[str, float]], rate: float) -> None:
    """The files of a training of one epoch. There is no state to go on from: the whole is done again sooner."""
    measured = {f"{split}_{name}": round(value, 6) for split, score in scores.items() for name, value in score.items()}
    row = {
        **{"epoch": 1, "step": 0, "lr": 0.0},
        **measured,
        **{"images_per_second": round(rate, 1), "data_wait": 0.0},
        "seconds": round(time.perf_counter() - job.began, 2),
    }
    job.run.write_metrics([row])
    job.run.write_bad_images(job.bad.reasons)
    job.model.metadata["metrics"] = {key: row[key] for key in row if key.startswith(("epoch", "step", "val_"))}
    for path in (job.run.best, job.run.last):
        weights.save(job.model, path)
