"""What a run will be, before anything is built: the data, the network, and every setting with where it came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnets.data import corrections, depth, groups, window_levels
from resnets.data.machine import default_workers
from resnets.data.preprocess import Preprocess
from resnets.data.readers.memory import in_memory
from resnets.data.types import KINDS, Source
from resnets.data.workers import BadImages
from resnets.engine import device as devices
from resnets.engine import freeze, threads
from resnets.engine.contract import Task
from resnets.engine.layers import check_effect, of_optimiser, own_settings, parsed, resolve
from resnets.engine.recipe import LENGTHS, OPTIMISERS, Recipe, Schema
from resnets.engine.run import BRING_BACK, RunDir, now
from resnets.engine.settings import fields_of, parse, parse_duration, read_file, show
from resnets.engine.values import Design, Facts, Named_recipe, Settings
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.header import Header
from resnets.models.pretrained.opening import Opened, open_weights
from resnets.models.records import LengthRecord
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import Named
from resnets.plugins import TABLES, Part, is_record

# What may differ when a run is taken up again: it changes nothing of what is computed, or only how sums are rounded (threads).
FREE = ("workers", "threads", "cache", "save_every", "stall_epochs", "max_bad", "tracker")
OLDER = {"bit_depth": 16, "spacing": "none", "modality": "other"}  # what runs of versions without these settings had


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run before anything is built: the data with its validation split, the network, and every setting with its origin."""

    task: Task
    source: Source
    fingerprint: str
    labels: tuple[str, ...]
    spec: ResNetSpec
    preprocess: Preprocess
    recipe: Recipe
    origins: dict[str, str]
    bad: BadImages
    opened: Opened | None = None  # the weights to start from

    @property
    def head_config(self) -> dict[str, Any]:
        """The settings of the head."""
        header = None if self.opened is None else self.opened.header
        before = header.head if header is not None and header.task == self.task.name else {}
        return self.task.head_config(self.spec, self.recipe, before)

    @property
    def parts(self) -> list[Part]:
        """The parts of users' files that the run takes, network, loss, optimiser and reader."""
        recipe: Any = self.recipe
        of_task = {kind: getattr(recipe, kind, None) for kind in ("head", "loss")}
        found = [self.source.layout, OPTIMISERS[recipe.opt], *getattr(self.spec, "parts", ())]
        found += [TABLES.get((kind, self.task.name), {}).get(name) for kind, name in of_task.items() if name]
        head = TABLES.get(("head", self.task.name), {}).get(self.head_config.get("head", ""))
        return list(dict.fromkeys(part for part in (*found, head) if part and part.file))

    @property
    def inputs(self) -> str:
        """How images become inputs, and who says so."""
        return self.task.inputs(self.recipe, self.preprocess)


def settle(
    task: Task, layers: Mapping[str, Settings], data_dir: str | Path | None, named: Named = zoo.get, data: Any = None
) -> Plan:
    """Open the data, find the network, and resolve every setting that was left open.

    Args:
        named: knows the networks' names.
        data: what is in memory, and has no more than a name among the settings.
    """
    own = {origin: own_settings(task.settings, layer, origin) for origin, layer in layers.items()}
    asked = {name: value for origin, layer in own.items() for name, value in parsed(task.settings, layer, origin).items()}
    recipe_name, by_whom = chosen_recipe(task, asked)
    make = named_recipe(task, recipe_name)  # so that a wrong name is said before anything is opened
    model = None if asked.get("model") == "auto" else asked.get("model")
    opened = open_weights(asked["weights"], model=model) if asked.get("weights") else None
    header = None if opened is None else opened.header
    in_chans = asked.get("in_chans") or (None if header is None else header.spec.in_chans)
    source = task.open(data if in_memory(data) else asked.get("data", "digits"), asked, in_chans=in_chans, data_dir=data_dir)
    by = groups.chosen(source, asked.get("group_by"))
    source = groups.grouped(source, by)
    fingerprint = source.fingerprint()
    if asked.get("test") is False:
        splits = {name: split for name, split in source.splits.items() if name != "test"}
        source = dataclasses.replace(source, splits=splits)
    check_weights(header, source, asked)
    design = task.design(asked, source, header, named)
    check_axes(design.spec, source)
    base = make(facts(task, source, design, given(own)))
    layers = {f"recipe {recipe_name}": base, **of_optimiser(asked, base), **own}
    recipe, origins = settings(task, layers, source, design, (recipe_name, by_whom))
    check_effect(recipe, own)
    if by is not None and recipe.group_by is None:
        recipe, origins = dataclasses.replace(recipe, group_by=by), origins | {"group_by": "DICOM"}
    source, recipe, origins = at_its_depth(source, recipe, origins, design.preprocess.bit_depth)
    source = corrections.corrected(task.cut(source, recipe), recipe.corrections)
    if by is not None:
        groups.check_apart(source, by)
    bad = BadImages.allowing(recipe.max_bad, *source.splits.values())
    window = window_levels.parsed(recipe.window) if recipe.window else None if header is None else header.preprocess.window
    source = depth.windowed(source, window, asked=recipe.window)
    preprocess = task.preprocess(recipe, design, source, bad)
    preprocess = dataclasses.replace(preprocess, bit_depth=recipe.bit_depth or preprocess.bit_depth, window=window)
    labels = padded(source.labels, recipe.num_classes)
    spec = dataclasses.replace(design.spec, num_classes=len(labels))
    plan = Plan(task, source, fingerprint, labels, spec, preprocess, recipe, origins, bad, opened)
    files = tuple(dict.fromkeys(str(part.file.path) for part in plan.parts if part.file and part.file.path))
    origins |= {"plugin": "flag"} if files else {}
    return dataclasses.replace(plan, recipe=dataclasses.replace(recipe, plugin=files), origins=origins)


def at_its_depth(source: Source, recipe: Recipe, origins: dict[str, str], before: int) -> tuple[Source, Recipe, dict[str, str]]:
    """The source with its images of 16 bits read by their bit depth, and the settings that say so; `before`: of the weights."""
    found = depth.depth_of(source)
    if found is None and recipe.bit_depth not in (None, 16):
        raise InputError(f"bit_depth={recipe.bit_depth}: no image here has 16 bits; leave it out")
    if found is not None and recipe.bit_depth is None:
        bits, whose = (before, "the weights") if found.bits <= before < 16 else (found.bits, "the data")
        recipe, origins = dataclasses.replace(recipe, bit_depth=bits), origins | {"bit_depth": whose}
    return depth.applied(source, recipe.bit_depth or before, found), recipe, origins


def given(layers: Mapping[str, Settings]) -> dict[str, Any]:
    """The settings of all layers that are not None, the last one wins."""
    return {name: value for layer in layers.values() for name, value in layer.items() if value is not None}


def facts(task: Task, source: Source, design: Design, asked: Settings) -> Facts:
    """What the named recipes depend on."""
    return Facts(
        num_train=len(source.splits["train"]),
        hflip=source.hflip,
        size=design.preprocess.size,
        spec=design.spec,
        asked=asked,
        one_size=task.one_size(source),
        most_pixels=task.most_pixels(source, design),
        num_classes=len(source.labels),
    )


def chosen_recipe(task: Task, asked: Settings) -> tuple[str, str]:
    """The named recipe to start from, and who decided it; of a recipe file, whose settings are a layer, the task's default."""
    name = str(asked.get("recipe", "auto"))
    return task.default_recipe(asked) if name == "auto" else (name, "default")


def named_recipe(task: Task, name: str) -> Named_recipe:
    if name not in task.recipes:
        raise InputError(f"there is no recipe {name!r}; use one of {', '.join(task.recipes)}, or a YAML file of settings")
    return task.recipes[name]


def settings(
    task: Task, layers: Mapping[str, Settings], source: Source, design: Design, named: tuple[str, str]
) -> tuple[Recipe, dict[str, str]]:
    """The whole recipe, and where each value came from; what was left to be found out ("auto") is now said.

    `named` is the named recipe, whose settings are the first of `layers`, and who decided it.
    """
    spec, preprocess = design.spec, design.preprocess
    recipe, origins = resolve(task.settings, layers)
    freeze.check(recipe, spec)
    if recipe.find_lr and gives_after(layers, "lr", "find_lr"):
        raise InputError(f"find_lr and lr={given(layers)['lr']} exclude each other; give one of them")
    if recipe.seeds is not None:
        raise InputError(f"seeds={show(recipe.seeds)}: a single run has one seed, such as seed=0; several are resnets.repeat's")
    found: dict[str, tuple[Any, str]] = {"recipe": (named[0], named[1] if recipe.recipe == "auto" else origins["recipe"])}
    found |= task.settle(recipe, origins, source, design, f"recipe {named[0]}")
    if recipe.model == "auto":
        found["model"] = (spec.name, "the weights" if recipe.weights else "the data")
    if recipe.norm_stats == "auto":
        small = recipe.batch_size < freeze.SMALL_BATCH
        found["norm_stats"] = ("frozen", "the weights") if recipe.weights and small else ("batch", "default")
    if recipe.workers is None:
        found["workers"] = (default_workers(), "this machine")
    if recipe.threads is None and devices.find(recipe.device).type == "cpu":
        found["threads"] = (threads.choose(), "this machine")
    num_macs = recipe.num_images(len(source.splits["train"])) * spec.num_macs(preprocess.size)
    for setting, value in devices.settle(recipe, num_macs).items():
        if getattr(recipe, setting) in (None, "auto"):
            found[setting] = (value, "this machine")
    settled = dataclasses.replace(recipe, **{setting: value for setting, (value, _) in found.items()})
    freeze.check_batch(settled, spec)
    return settled, origins | {setting: origin for setting, (_, origin) in found.items()}


def gives_after(layers: Mapping[str, Settings], name: str, first: str) -> bool:
    """Whether a layer gives `name` that itself, or one before it, gives `first`."""
    begun = False
    for layer in layers.values():
        begun = begun or bool(layer.get(first))
        if begun and layer.get(name) is not None:
            return True
    return False


def check_weights(header: Header | None, source: Source, asked: Settings) -> None:
    """Raise `InputError` for weights of another number of axes than the data's, unless they are of pictures, whose kernels are
    summed for series, and repeated for volumes."""
    kind = KINDS[source.kind]
    if header is not None and header.spec.dims not in (kind.dims, 2):
        raise InputError(
            f"weights={asked['weights']}: of a network for inputs with {header.spec.dims} spatial axes, and {kind.images} have "
            f"{kind.dims}; weights of pictures can start networks of series and volumes, but not the reverse: give others"
        )


def check_axes(spec: ResNetSpec, source: Source) -> None:
    """Raise `InputError` where the network takes inputs of another kind than the data's."""
    kind = KINDS[source.kind]
    if spec.dims != kind.dims:
        remedy = "leave --dims out" if kind.dims != 2 else "other data reaches a network through Python only"
        raise InputError(f"dims={spec.dims}: {kind.images} have {kind.dims} spatial axes; {remedy}")
    if spec.in_chans != source.in_chans:
        raise InputError(f"in_chans={spec.in_chans}: the {kind.images} have {source.in_chans}; leave it out")


def padded(labels: tuple[str, ...], num_classes: int | None) -> tuple[str, ...]:
    """The labels of the data, and where more classes were asked for, names for those without images."""
    if num_classes is not None and num_classes < len(labels):
        raise InputError(
            f"num_classes={num_classes}, and the data has {len(labels)} classes; leave it out, or give at least {len(labels)}"
        )
    return labels + tuple(f"unused_{number}" for number in range(len(labels), num_classes or 0))


# --- new runs, and runs that are taken up again ---


def requested(given: Settings) -> dict[str, dict[str, Any]]:
    """The layers of a new run, without the named recipe, which needs to know the data: a recipe file's settings, then flags."""
    name = str(given.get("recipe", "auto"))
    if name.endswith((".yaml", ".yml")) or (Path(name).exists() and not Path(name).is_dir()):
        return {name: read_file(name), "flag": {key: value for key, value in given.items() if key != "recipe"}}
    return {"flag": dict(given)}


def saved_settings(run: RunDir) -> dict[str, Any]:
    """The settings of a run that is to be taken up again. Raises `InputError` where there is no such run."""
    if not run.recipe.is_file():
        raise InputError(
            f"{run.path}: no recipe.yaml here, so there is no run to go on with; give DATA, and a new --out, to start one"
        )
    return read_file(run.recipe)


def continued(run: RunDir, schema: Schema, saved: Settings, given: Settings) -> dict[str, dict[str, Any]]:
    """The `saved` settings of the run as the only layer, with those of `given` that may differ: `FREE` ones, and a greater
    length in the run's own unit.

    Raises:
        InputError: where `given` has other settings than the run (they are named).
    """
    older = {name: value for name, value in OLDER.items() if name in fields_of(schema)}
    settings = older | own_settings(schema, saved, str(run.recipe))
    parsed(schema, settings, str(run.recipe))
    again = {name: value for layer in requested(given).values() for name, value in layer.items()}
    changes = []
    for name, value in own_settings(schema, again, "flag").items():
        if name == "find_lr":  # it has been found, and is among the settings
            continue
        value, before = parse(schema, name, value), parse(schema, name, settings.get(name))
        if name in FREE or (name in LENGTHS and is_longer(before, value)):
            settings[name] = value
        elif name == "plugin":  # `check_same_parts` compares contents
            continue
        elif value not in (before, "auto") and not (
            name in ("data", "weights", "corrections") and Path(value).resolve() == Path(str(before)).resolve()
        ):
            changes.append(f"{name} was {before}, not {value}")
    if changes:
        longer = " (a run can be made longer, in its own unit)" * any(change.startswith(LENGTHS) for change in changes)
        raise InputError(
            f"{run.path}: {'; '.join(changes)}{longer}; leave that out to go on as it was, or start a new run without --resume"
        )
    return {run.recipe.name: settings}


def is_longer(before: Any, after: Any) -> bool:
    """Whether a length, a number or a duration, is greater than another one of its kind."""
    if before is None or after is None:
        return False
    return bool(parse_duration(after) > parse_duration(before) if isinstance(after, str) else after > before)


def lengthened(run: RunDir, recipe: Recipe) -> list[LengthRecord]:
    """What provenance.json is to hold of a run that is taken up with this recipe: each time that it was made longer."""
    told = list(run.read_provenance().get("lengthened", []))
    (name, after), saved = recipe.length, saved_settings(run)
    if name and saved.get(name) not in (None, after):
        told.append({"setting": name, "before": saved[name], "after": after, "when": now()})
    return told


def check_same_data(run: RunDir, plan: Plan) -> None:
    before, own = run.read_provenance().get("data", {}), plan.source.corrections or {}
    if before.get("fingerprint", plan.fingerprint) != plan.fingerprint:
        raise InputError(f"{run.path}: the data has changed since the run began; bring back what it was, or start a new run")
    if before and (before.get("corrections") or {}).get("sha256") != own.get("sha256"):
        raise InputError(
            f"{plan.recipe.corrections}: has changed since the run began; bring back what it was, or start a new run"
        )


def check_same_parts(run: RunDir, plan: Plan) -> None:
    """Raise `InputError` where a user's file is not what it was when the run began: it would not go on as it was."""
    told = run.read_provenance().get("plugins", [])
    if not is_record(told):
        raise InputError(f"{run.provenance}: is damaged (plugins); {BRING_BACK}")
    before = {(part["kind"], part["name"]): part["sha256"] for part in told}
    for part in plan.parts:
        assert part.file is not None
        if before.get((part.kind, part.name), part.file.sha256) != part.file.sha256:
            copy = run.plugins / part.file.name
            raise InputError(
                f"{part.file.path}: has changed since the run began; it lies as it was in {copy}: give --plugin {copy}, or "
                "start a new run"
            )


def check_same_processes(run: RunDir, world: int) -> None:
    """The batch of a step is all processes' together: with others, it would be another run."""
    before = run.read_provenance().get("device", {}).get("processes", 1)
    if before != world:
        raise InputError(
            f"{run.path}: the run began with {before} process{'es' * (before > 1)}, and now it is "
            f"{world}; go on with as many (torchrun --nproc-per-node), or start a new run"
        )
