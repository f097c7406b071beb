"""Settings: which source wins, what is refused and in which words, and what YAML may do."""

import dataclasses

import pytest
import yaml

from resnets import tasks
from resnets.engine.layers import EXCLUSIVE, own_settings
from resnets.engine.layers import resolve as lay_over
from resnets.engine.settings import SECTIONS, describe, fields_of, kinds, parse, parse_duration, read_file
from resnets.errors import InputError
from resnets.tasks.classify.settings import ClassifySettings


def resolve(layers):
    return lay_over(ClassifySettings, layers)


def test_later_layers_win_and_origins_are_remembered():
    recipe, origins = resolve(
        {"recipe fast": {"lr": 1, "epochs": 3, "sched": "step"}, "a.yaml": {"lr": 2}, "flag": {"epochs": 5}}
    )
    assert (recipe.lr, recipe.epochs, recipe.sched, recipe.momentum) == (2.0, 5, "step", 0.9)
    assert [origins[name] for name in ("lr", "epochs", "sched", "momentum")] == ["a.yaml", "flag", "recipe fast", "default"]
    assert set(origins) == set(fields_of(ClassifySettings))


def test_a_number_may_be_a_percentage():
    assert [parse(ClassifySettings, "smoothing", text) for text in ("10%", "0.5 %", "0.1")] == [0.1, 0.005, 0.1]
    for text in ("%", "ten%", "5%%5", "nan%"):
        with pytest.raises(InputError, match="give a number"):
            parse(ClassifySettings, "smoothing", text)


@pytest.mark.parametrize("group", EXCLUSIVE, ids="/".join)
def test_a_later_choice_takes_the_place_of_its_whole_group(group):
    for first in group:
        for second in group:
            recipe, origins = resolve({"recipe": {first: "10"}, "flag": {second: "20"}})
            assert {name for name in group if getattr(recipe, name) is not None} == {second}
            assert {name: origins[name] for name in group} == dict.fromkeys(group, "default") | {second: "flag"}


@pytest.mark.parametrize("group", EXCLUSIVE, ids="/".join)
def test_two_of_a_group_in_one_layer_are_refused(group):
    with pytest.raises(InputError, match=rf"^{group[0]} and {group[1]} exclude each other"):
        resolve({"recipe": {}, "flag": {group[0]: 1, group[1]: 2}})


def test_none_beside_the_choice_of_a_group_is_no_second_choice():
    recipe, origins = resolve({"recipe fast": {"epochs": 18}, "recipe.yaml": {"epochs": None, "steps": 7, "time": None}})
    assert (recipe.epochs, recipe.steps, recipe.time) == (None, 7, None)
    assert origins["steps"] == "recipe.yaml"


def test_an_explicit_none_overrides():
    assert resolve({"recipe": {"clip_grad": 1.0}, "file": {"clip_grad": None}})[0].clip_grad is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [("learning_rat", "`resnets train --help`"), ("epoch", "did you mean epochs"), ("batchsize", "did you mean batch_size")],
)
@pytest.mark.parametrize(("layer", "where"), [("recipe fast", "recipe fast: "), ("my.yaml", "my.yaml: "), ("flag", "")])
def test_unknown_settings_are_refused_in_every_layer(layer, where, name, hint):
    layers = {"recipe fast": {}, "my.yaml": {}, "flag": {}}
    layers[layer] = {name: 1}
    with pytest.raises(InputError, match=rf"^{where}there is no setting '{name}'.*{hint}"):
        resolve(layers)


FAULTS = {
    "epochs": [0, -1, 1.5, "many", True, "inf", float("nan"), [1], {}, ""],
    "lr": [-0.1, "fast", False, "nan", [], ()],
    "momentum": [1.01, -0.1],
    "opt": ["adam", "", None, 3],
    "sched": ["linear"],
    "fused": ["maybe", 1, "2"],
    "milestones": [3, "a,b", [0.75, 0.5], [0.5, 1.5], [-0.1], None],
    "crop_scale": [[0.5], [0.9, 0.1], [0, 1], [0.1, 0.5, 1], [0.5, 1.1], []],
    "depths": ["1,x", 5, "1.5"],
    "time": ["soon", "0s", "", "-5m", "10 minutes", "1h-3m"],
    "smoothing": [1.5],
    "ema": [1.1],
    "val_fraction": [0, 0.95],
    "crop_pct": [0, 1.2],
    "seed": [-1],
    "shortcut": ["E"],
    "keep_at": [[-1], "1,x", None],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in FAULTS.items() for value in values], ids=str)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_setting(name, value):
    with pytest.raises(InputError, match=rf"^{name}="):
        ClassifySettings(**{name: value})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "12", 12), ("epochs", "1e3", 1000), ("epochs", 3.0, 3), ("lr", "1e-3", 0.001), ("lr", 1, 1.0),
        ("fused", "yes", True), ("fused", "OFF", False), ("fused", None, None), ("nesterov", False, False),
        ("milestones", "0.25,0.5", (0.25, 0.5)), ("milestones", [0.25], (0.25,)), ("depths", "3,4,6,3", (3, 4, 6, 3)),
        ("depths", "5", (5,)), ("crop_scale", (0.2, 1), (0.2, 1.0)), ("data", "~/x", "~/x"), ("time", 90, "90"),
    ],
    ids=str,
)  # fmt: skip
def test_text_is_read_as_on_the_command_line(name, text, value):
    found = parse(ClassifySettings, name, text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("45", 45), ("1h", 3600), ("1h2m3s", 3723), ("0.5m", 30), (" 2s ", 2)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds
    assert ClassifySettings(time=text).seconds == seconds


def test_without_a_duration_there_are_no_seconds():
    assert ClassifySettings(epochs=3).seconds is None


@pytest.mark.parametrize("changes", [{"steps": 5}, {"probe": True}], ids=str)
def test_weights_are_kept_of_steps_that_there_are(changes):
    with pytest.raises(InputError, match="keep_at"):
        ClassifySettings(keep_at=(0, 6), **changes)


def test_nesterov_needs_momentum():
    with pytest.raises(InputError, match="--no-nesterov"):
        ClassifySettings(momentum=0)
    assert ClassifySettings(momentum=0, nesterov=False).momentum == ClassifySettings(momentum=0, opt="adamw").momentum == 0


EVERYTHING = ClassifySettings(
    data="Bilder/größe: 3", model="resnet18", weights="#x.safetensors", depths=(1, 2), drop_path=0.1, zero_init_last=True,
    steps=10, warmup_steps=3, clip_grad=1e-9, milestones=(), ema=0.9999, fused=True, time=None, hflip=1 / 3, max_bad=0,
    stem="deep",
)  # fmt: skip


@pytest.mark.parametrize(
    "recipe",
    [*(tasks.settings(task)() for task in tasks.TASKS), EVERYTHING, ClassifySettings(time="1h30m", data="no", model="1e3")],
    ids=[*tasks.TASKS, "all", "odd"],
)
def test_yaml_round_trip(recipe, tmp_path):
    (tmp_path / "r.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    values = read_file(tmp_path / "r.yaml")
    assert list(values) == list(fields_of(type(recipe)))
    assert type(recipe)(**values) == recipe == lay_over(type(recipe), {"r.yaml": values})[0]


HOSTILE = {
    "runs code": "!!python/object/apply:os.system ['touch ran']",
    "runs code in a value": "lr: !!python/object/new:os.system ['touch ran']",
    "names an object": "lr: !!python/name:os.system",
    "list": "- lr: 1",
    "text": "just text",
    "number": "3",
    "empty": "",
    "comment": "# nothing",
    "broken": "lr: [1, 2",
    "tabs": "\tlr: 1",
    "a key twice": "lr: 1\nlr: 2",
    "a number of 5,000 digits": "lr: " + "9" * 5000,
    "unhashable key": "{[1]: 2}",
    "number key": "1: 2",
    "deep": "[" * 20000,
    "anchor to itself": "&a [*a]",
    "two documents": "lr: 1\n---\nlr: 2",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_yaml_that_is_no_recipe_is_refused_and_not_run(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.yaml"
    path.write_text(HOSTILE[kind])
    with pytest.raises(InputError, match=r"bad\.yaml: "):
        own_settings(ClassifySettings, read_file(path), path.name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize("content", [bytes(range(256)), b"\xff\xfe\x00", b"\x00" * 64], ids=["all bytes", "UTF-16", "zeros"])
def test_binary_is_refused(content, tmp_path):
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.yaml: cannot be read as a recipe"):
        read_file(tmp_path / "bad.yaml")


@pytest.mark.parametrize("name", ["gone.yaml", "."])
def test_a_missing_file_is_refused(name, tmp_path):
    with pytest.raises(InputError, match="cannot be read as a recipe"):
        read_file(tmp_path / name)


def test_a_value_of_the_wrong_kind_in_a_file_is_named(tmp_path):
    (tmp_path / "r.yaml").write_text("lr: {a: 1}")
    with pytest.raises(InputError, match=r"^lr=.*give a number"):
        resolve({"r.yaml": read_file(tmp_path / "r.yaml")})


@pytest.mark.parametrize("task", tasks.TASKS)
def test_every_setting_has_help_a_section_a_type_and_a_valid_default(task):
    settings = tasks.settings(task)
    written = yaml.safe_load(settings().to_yaml())
    for name, field in fields_of(settings).items():
        kind, optional = kinds(settings, name)
        assert len(field.metadata["help"]) > 5 and field.metadata["section"] in SECTIONS and describe(kind), name
        assert field.default is not None or optional, name
        assert parse(settings, name, field.default) == field.default, name
        assert written[name] == (list(field.default) if isinstance(field.default, tuple) else field.default), name


# --- settings belong to a task -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "name", "value", "owner"),
    [
        ("classify", "masks", True, "detect"),
        ("classify", "ignore_index", 3, "segment"),
        ("classify", "scales", "0.5,1", "detect and segment"),
        ("segment", "masks", False, "detect"),
        ("segment", "mixup", 0.2, "classify"),
        ("detect", "loss", "ce", "classify and segment"),
    ],
    ids=str,
)
def test_a_setting_of_another_task_is_refused_and_its_tasks_are_named(task, name, value, owner):
    with pytest.raises(InputError, match=rf"^{name}=.*: the task {task} has no such setting, only .*{owner}.*; leave it out$"):
        tasks.of({"task": task, name: value})
    assert tasks.of({"task": task, name: None}).name == task


@pytest.mark.parametrize("task", tasks.TASKS)
def test_of_a_recipe_of_version_0_1_0_a_task_takes_its_own_settings(task):
    """That version wrote those of all tasks into recipe.yaml."""
    every = {name: field.default for each in tasks.TASKS for name, field in fields_of(tasks.settings(each)).items()}
    every |= {"task": task, "lr": 0.3}
    assert tasks.of(every).name == task
    found = own_settings(tasks.settings(task), every, "recipe.yaml")
    assert set(found) == set(fields_of(tasks.settings(task))) and found["lr"] == 0.3


def test_validation_measures_without_smoothing_and_weights():
    assert ClassifySettings(smoothing=0.1, balance="loss", lr=2).plain() == ClassifySettings(lr=2)
    assert tasks.settings("detect")(lr=2).plain() == tasks.settings("detect")(lr=2)


def test_a_recipe_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ClassifySettings().lr = 1
