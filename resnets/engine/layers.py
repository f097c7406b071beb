"""The settings of several sources (default, named recipe, file, flag) laid over each other, and where each came from.

No torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from resnets.engine.recipe import ALL_TASKS, LENGTHS, OPTIMISERS, Recipe, Schema
from resnets.engine.settings import (
    AUGMENTATION,
    ELSEWHERE,
    FINETUNING,
    LENGTH,
    LOSS,
    OPTIMISATION,
    fields_of,
    needed,
    parse,
    show,
)
from resnets.errors import InputError
from resnets.files import short
from resnets.plugins import check_loaded

# Of each group at most one may be given; a later source's choice takes the place of an earlier one's.
EXCLUSIVE = (LENGTHS, ("warmup_epochs", "warmup_steps"))
STEPS = (LENGTH, OPTIMISATION, LOSS, AUGMENTATION, FINETUNING)  # sections that say how steps are taken


def of_optimiser(asked: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """A layer with the defaults of the optimiser that was asked for; none where the `named` recipe is for this one."""
    opt = asked.get("opt", "")
    if opt not in OPTIMISERS or opt == named.get("opt", Recipe.opt):
        return {}
    own = dict(OPTIMISERS[opt].defaults)
    if opt == Recipe.opt:
        own["lr"] *= asked.get("batch_size", named.get("batch_size", Recipe.batch_size)) / Recipe.batch_size
    return {f"optimiser {opt}": own}


def check_effect(recipe: Recipe, layers: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `InputError` for a setting in `layers` that has no effect in this recipe; not for those of a run's recipe.yaml,
    which are all that there are."""
    known = fields_of(type(recipe))
    for layer in layers.values():
        given = [name for name in layer if name in known and layer[name] is not None]
        for name in given if len(given) <= len(known) / 2 else ():
            for_steps = (known[name].metadata["section"] in STEPS or name == "lr") and recipe.is_probe
            words = "no probe" * (for_steps and name not in recipe.of_probe) or needed(recipe, name)
            if words:
                raise InputError(f"{name}={show(getattr(recipe, name))} has no effect here, only with {words}; leave it out")


def own_settings(schema: Schema, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`settings` without those of other tasks where version 0.1.0 wrote all of them.

    Raises:
        InputError: for a setting that does not exist, with the nearest that does.
    """
    known = fields_of(schema)
    if settings.keys() >= ALL_TASKS:
        return {name: value for name, value in settings.items() if name in known}
    for name in settings:
        if name not in known:
            near = [ELSEWHERE[name]] if name in ELSEWHERE else difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; `resnets train --help` lists all settings"
            raise InputError(f"{of_layer(where)}there is no setting {short(repr(name))}{hint}")
    return dict(settings)


def of_layer(where: str) -> str:
    """How a message begins that is about a layer: with its name, where that is more than the call or the command itself."""
    return "" if where == "flag" else f"{where}: "


def parsed(schema: Schema, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`settings` as a recipe holds them. Raises `InputError`."""
    check_loaded(settings.get("plugin") or (), where)
    try:
        return {name: parse(schema, name, value) for name, value in settings.items()}
    except InputError as error:
        raise InputError(f"{of_layer(where)}{error}") from None


def resolve(schema: Schema, layers: Mapping[str, Mapping[str, Any]]) -> tuple[Any, dict[str, str]]:
    """Lay settings over each other: `layers` maps where they come from ("recipe fast", "flag") to them, the last one wins.

    Returns the recipe, a `schema`, and for each setting where its value came from ("default" where no layer has it).
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(fields_of(schema), "default")
    for origin, layer in layers.items():
        settings = own_settings(schema, layer, origin)
        for group in EXCLUSIVE:
            given = [name for name in group if settings.get(name) is not None]
            if len(given) > 1:
                raise InputError(f"{of_layer(origin)}{' and '.join(given)} exclude each other; give one of them")
            if given:
                values |= dict.fromkeys(group)
                origins |= dict.fromkeys(group, "default")
        for name, value in settings.items():
            if value is None and values.get(name) is None and name in values:
                continue
            values[name] = value
            origins[name] = origin
    return schema(**values), origins
