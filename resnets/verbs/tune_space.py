"""What `resnets tune` searches: a table of dimensions, each the settings that its values stand for. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from resnets.engine.recipe import Schema
from resnets.engine.settings import fields_of, kinds, parse, show
from resnets.errors import InputError

# Numbers: around the default, between so many times of it (on a logarithmic scale).
FACTORS = {"lr": (0.1, 10.0), "weight_decay": (0.1, 10.0)}
# Bundles of settings, beside those of the defaults ("as is"). A task has those of which it has all settings, and which do
# something for its inputs.
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "as is": {},
    "none": {"crop": "none", "hflip": 0.0},
    "resized crop": {"crop": "resized"},
    "trivialaugment": {"auto_augment": "trivialaugment"},
    "random erasing": {"random_erase": 0.25},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
    "jitter": {"jitter": 0.2},
    "scales": {"scales": (0.75, 1.0, 1.25)},
    "vflip": {"vflip": 0.5},
    "scaling": {"scaling": 0.1},
    "window warping": {"window_warp": 0.5},
}
# Networks that are tried in place of each other.
FAMILIES = (
    ("resnet20_cifar", "resnet32_cifar", "resnet44_cifar", "resnet56_cifar"),
    ("resnet18", "resnet18d", "seresnet18", "resnet34"),
    ("resnet50", "resnet50d", "seresnet50", "resnext50_32x4d", "resnet101"),
    ("resnet10_wang", "resnet18", "seresnet18"),
)
NUM_RANDOM = 5  # trials before TPE has something to go by
WARM_UP = 30  # percent of a trial before which it is not stopped
NAMES = (*FACTORS, "augment", "model")  # of the dimensions that are searched unless others are asked for
LOG_FROM = 10  # numbers whose largest is so many times the smallest are searched on a logarithmic scale


@dataclasses.dataclass(frozen=True)
class Dimension:
    """A thing that is varied: a number from `low` to `high`, or one of `choices`, the settings that each name stands for.

    `start` is its value in the defaults.
    """

    name: str
    start: Any
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def settings(self, value: Any) -> dict[str, Any]:
        return dict(self.choices[value]) if self.choices else {self.name: value}

    def holds(self, value: Any) -> bool:
        return value in self.choices if self.choices else self.low <= value <= self.high

    @property
    def told(self) -> str:
        scale = ", logarithmic" * self.log
        return (
            f"{self.name}: {', '.join(self.choices)}" if self.choices else f"{self.name}: {self.low:g} to {self.high:g}{scale}"
        )


def space(schema: Schema, defaults: Mapping[str, Any], given: Mapping[str, Any], asked: Sequence[str]) -> list[Dimension]:
    """The dimensions of a search.

    Args:
        schema: the settings of the task.
        defaults: all settings of a run with the defaults.
        given: the settings that are given, and so are fixed.
        asked: names of dimensions, or `NAME=LOW:HIGH` for a number and `NAME=A:B:C` for any setting; none: `NAMES`.

    Raises:
        InputError: for a dimension that there is not, or that is fixed; where nothing is left.
    """
    rows: list[Dimension] = []
    for text in asked or NAMES:
        name, _, values = text.partition("=")
        made = _asked(schema, name, values, defaults) if values else _usual(schema, name, defaults, given)
        if asked and (name in given or made is None):
            raise InputError(
                f"tune={text}: {name} is given, or there is nothing to choose from; leave it out, or give {name}=A:B"
            )
        if made is not None and name not in given:
            rows.append(made)
    if not rows:
        raise InputError(
            "nothing is left to tune: all of it is given; leave a setting out, or name another, as --tune NAME=LOW:HIGH"
        )
    return rows


def _usual(schema: Schema, name: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Dimension | None:
    """The row of this name; None where it has no two values here."""
    if name in FACTORS:
        value = float(defaults[name])
        low, high = FACTORS[name]
        return Dimension(name, value, value * low, value * high, log=True) if value > 0 else None
    if name == "augment":
        open_yet = fields_of(schema).keys() - given.keys() - schema.idle.get(defaults.get("dims") or 2, {}).keys()
        found = {
            word: own
            for word, own in AUGMENTATIONS.items()
            if own.keys() <= open_yet
            and (not own or any(parse(schema, key, value) != parse(schema, key, defaults[key]) for key, value in own.items()))
        }
        return Dimension(name, "as is", choices=found) if len(found) > 1 else None
    if name == "model":
        family = next((names for names in FAMILIES if defaults[name] in names), ()) if not given.get("weights") else ()
        return Dimension(name, defaults[name], choices={each: {name: each} for each in family}) if family else None
    raise InputError(f"tune={name}: is not one of {', '.join(NAMES)}; for another setting give its values, as {name}=LOW:HIGH")


def _asked(schema: Schema, name: str, values: str, defaults: Mapping[str, Any]) -> Dimension:
    if name not in fields_of(schema):
        raise InputError(f"tune={name}={values}: there is no setting {name}; `resnets train --help` lists them")
    kind, _ = kinds(schema, name)
    parsed = [parse(schema, name, word) for word in values.split(":")]
    if kind in (int, float):
        if len(parsed) != 2 or not parsed[0] < parsed[1]:
            raise InputError(f"tune={name}={values}: give the smallest and the largest value, as {name}=0.01:1")
        low, high = parsed
        return Dimension(name, defaults[name], low, high, log=low > 0 and high >= LOG_FROM * low, whole=kind is int)
    if len(set(parsed)) < 2:
        raise InputError(f"tune={name}={values}: give at least two values, as {name}=A:B")
    start = parse(schema, name, defaults[name])
    return Dimension(name, show(start), choices={show(each): {name: each} for each in dict.fromkeys([start, *parsed])})


# --- Optuna ---


def optuna() -> Any:
    """The package, imported. Raises `InputError` without it."""
    try:
        import optuna as package
    except ImportError:
        raise InputError("tuning needs Optuna; pip install 'resnets[tune]'") from None
    package.logging.set_verbosity(package.logging.WARNING)
    return package


def settings_of(dimensions: Sequence[Dimension], params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for row in dimensions for name, value in row.settings(params[row.name]).items()}


def distributions(dimensions: Sequence[Dimension]) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def made(row: Dimension) -> Any:
        if row.choices:
            return CategoricalDistribution(list(row.choices))
        if row.whole:
            return IntDistribution(int(row.low), int(row.high), log=row.log)
        return FloatDistribution(row.low, row.high, log=row.log)

    return {row.name: made(row) for row in dimensions}


def study_of(rows: Sequence[Mapping[str, Any]], dimensions: Sequence[Dimension], seed: int) -> Any:
    """Optuna's study with the trials so far, in memory: what it proposes depends on these and the seed alone."""
    package = optuna()
    sampler = package.samplers.TPESampler(seed=seed, n_startup_trials=NUM_RANDOM)
    pruner = package.pruners.MedianPruner(n_startup_trials=NUM_RANDOM, n_warmup_steps=WARM_UP)
    study = package.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    states = {"done": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    made_of = distributions(dimensions)
    for row in rows:
        if not all(each.holds(row["params"][each.name]) for each in dimensions):
            continue  # defaults outside of what is searched
        state = package.trial.TrialState[states[row["state"]]]
        made = package.trial.create_trial(
            state=state,
            params=row["params"],
            distributions=made_of,
            value=row["value"] if row["state"] == "done" else None,
            intermediate_values={int(percent): value for percent, value in row["curve"].items()},
        )
        study.add_trial(made)
    return study
