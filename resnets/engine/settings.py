"""A setting is a field of a dataclass with its section, meaning and limits; how its value is read and written. No torch."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from resnets.errors import InputError
from resnets.files import read_yaml, short
from resnets.plugins import Table

# The sections of the settings, in the order in which help lists them.
COMMON, LENGTH, OPTIMISATION, LOSS, IMAGES, AUGMENTATION, DATA, FINETUNING, NETWORK, ANSWERS, KEEPING, MACHINE = SECTIONS = (
    "Common",
    "Length of training: one of the three",
    "Optimisation",
    "Loss",
    "Images",
    "Augmentation",
    "Data",
    "Fine-tuning",
    "Changes to the network",
    "Answers: rules that are chosen on validation and kept in the file",
    "What is kept",
    "Machine",
)


# What settings are called in other software, and here.
ELSEWHERE = {
    "learning_rate": "lr", "lr0": "lr", "wd": "weight_decay", "optimizer": "opt", "optimiser": "opt", "scheduler": "sched",
    "lr_scheduler": "sched", "batch": "batch_size", "num_epochs": "epochs", "max_epochs": "epochs", "imgsz": "img_size",
    "image_size": "img_size", "input_size": "img_size", "arch": "model", "backbone": "model", "pretrained": "weights",
    "label_smoothing": "smoothing", "model_ema": "ema", "early_stopping": "patience",
}  # fmt: skip

ON, OFF = ("on",), (None, False, 0, "none", ())


def setting(
    section: str,
    default: Any,
    text: str,
    *,
    choices: Collection[str] = (),
    least: float | None = None,
    most: float | None = None,
    alone: bool = False,
    only: Mapping[str, tuple[Any, ...]] = MappingProxyType({}),
) -> Any:
    """A field of a recipe: where help lists it, its default, what it means, and what it may hold.

    Args:
        choices: what it may be; of a part by name the table of these.
        alone: one number as well as a list.
        only: other settings and their values; where none of them has one of these, this one has no effect. `ON` stands for
            all values by which a setting is on.
    """
    limits = {"choices": choices, "least": least, "most": most, "alone": alone, "only": only}
    return field(default=default, metadata={"section": section, "help": text} | limits)


def fields_of(schema: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """The settings of a task by name, in order."""
    return _fields(typing.cast(Any, schema))


def answers_of(recipe: Any) -> dict[str, Any]:
    """The settings of the section `ANSWERS`, which `Task.decide` works by."""
    own = fields_of(type(recipe))
    return {name: getattr(recipe, name) for name in own if own[name].metadata["section"] == ANSWERS}


def needed(recipe: Any, name: str) -> str:
    """What the setting `name` would need to have an effect in this recipe, in words; "" where it has one."""
    only: Mapping[str, tuple[Any, ...]] = fields_of(type(recipe))[name].metadata["only"]
    values = {other: getattr(recipe, other) for other in only}
    if any(value in users(fields_of(type(recipe))[other].metadata["choices"]) for other, value in values.items()):
        return ""  # what a part of a user's takes is not known here
    if not only or any(value not in OFF if only[other] == ON else value in only[other] for other, value in values.items()):
        return ""
    words = {ON: "{}", (None,): "no {}"}
    return ", or ".join(words.get(on, f"{{}}={' or '.join(map(show, on))}").format(other) for other, on in only.items())


@cache
def _fields(schema: Any) -> dict[str, dataclasses.Field[Any]]:
    return {item.name: item for item in dataclasses.fields(schema)}


@cache
def _hints(schema: Any) -> dict[str, Any]:
    return typing.get_type_hints(schema)


def kinds(schema: type[Any], name: str) -> tuple[Any, bool]:
    """The type of a setting (int, float, str, bool, tuple[...]), and whether it may be None."""
    hint = _hints(typing.cast(Any, schema))[name]
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None)), True
    return hint, False


def parse(schema: type[Any], name: str, value: Any) -> Any:
    """`value` as the setting `name` holds it; text is read as on the command line. `InputError` says what is allowed there."""
    kind, optional = kinds(schema, name)
    if value is None and optional:
        return None
    try:
        value = _converted(kind, (value,) if fields_of(schema)[name].metadata["alone"] and isinstance(value, int) else value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name}={shown(value)}: give {describe(kind)}") from None
    limits = fields_of(schema)[name].metadata
    if limits["choices"] and not set(value if isinstance(value, tuple) else (value,)) <= set(limits["choices"]):
        own = ", or one of your own with --plugin FILE" * isinstance(limits["choices"], Table)
        raise InputError(f"{name}={shown(value)}: use one of {', '.join(limits['choices'])}{own}")
    if limits["least"] is not None and not value >= limits["least"]:
        raise InputError(f"{name}={shown(value)}: give at least {limits['least']}")
    if limits["most"] is not None and not value <= limits["most"]:
        raise InputError(f"{name}={shown(value)}: give at most {limits['most']}")
    if name == "time":
        parse_duration(value)
    return value


def users(choices: Collection[str]) -> Collection[str]:
    """Of the choices those that users registered."""
    return choices.of_users if isinstance(choices, Table) else ()


def shown(value: Any) -> str:
    """A value as errors have it."""
    return short(value) if isinstance(value, int) else short(repr(value))


def _converted(kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        if isinstance(parts, dict):
            raise ValueError
        return tuple(_converted(typing.get_args(kind)[0], part) for part in parts)
    if kind is bool:
        words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        return value if isinstance(value, bool) else words[str(value).lower()] if str(value).lower() in words else int("no")
    if kind is str:
        if isinstance(value, list | dict | tuple):
            raise ValueError
        return str(value)
    if isinstance(value, bool) or (kind is int and float(value) != int(float(value))):
        raise ValueError
    if kind is float and isinstance(value, str) and value.rstrip().endswith("%"):
        return _converted(kind, value.rstrip()[:-1]) / 100
    number = kind(float(value)) if kind is int else float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def describe(kind: Any) -> str:
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(kind) or "a list, such as 1,2,3"


def show(value: Any) -> str:
    """A setting as it is written on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(show, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse_duration(text: str) -> float:
    """Seconds in "90s", "10m", "1h30m" or "45" (seconds)."""
    digits = r"(\d{1,9}(?:\.\d{1,9})?)"
    found = re.fullmatch(rf"(?:{digits}h)?(?:{digits}m)?(?:{digits}s?)?", text.strip(), re.ASCII)
    seconds = sum(float(part or 0) * scale for part, scale in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0
    if seconds <= 0:
        raise InputError(f"time={shown(text)}: give a duration such as 90s, 10m or 1h30m")
    return seconds


def read_file(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file, by name.

    Raises:
        InputError: where it cannot be read, or is not a mapping.
    """
    try:
        values = read_yaml(path)
    except InputError as error:
        reason = str(error).removeprefix(str(path)).lstrip(":, ")
        raise InputError(f"{path}: cannot be read as a recipe ({reason}); give a YAML file of settings") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise InputError(f"{path}: is not a recipe; write one setting per line, such as `lr: 0.1`")
    return values
