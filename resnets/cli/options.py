"""The flags that commands share, and those of the settings: each is one, with the same name, meaning and checks.

No torch.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection
from dataclasses import Field
from itertools import pairwise
from typing import Any, TypeVar

import click

from resnets import tasks
from resnets.cli.completion import MODEL, Place, offering
from resnets.engine.recipe import Recipe, Schema
from resnets.engine.settings import ANSWERS, COMMON, ELSEWHERE, MACHINE, SECTIONS, fields_of, kinds, show
from resnets.errors import InputError
from resnets.fleet.engines import ENGINES
from resnets.models import zoo

Command = TypeVar("Command", bound=Callable[..., Any])

BEGAN = time.perf_counter()  # of the command, whose clock `--time` goes by
TASK = "resnets.task"  # where a command keeps the task that its words name
SECTION_OF = {"amp": MACHINE}  # of flags that are no settings; others are common

EPILOG = "Wrong input: exit code 2 and one line that says what to do; with --debug, anywhere, also the traceback."
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
data_dir_flag = click.option(
    "--data-dir", metavar="DIR", help="folder of the built-in datasets  [$RESNETS_DATA, else ~/.cache/resnets/datasets]"
)
device_flag = click.option("--device", default="auto", metavar="TEXT", help="cpu, cuda, mps  [auto]")
runtime_flag = click.option(
    "--runtime",
    type=click.Choice(["auto", "torch", "onnxruntime", "openvino"]),
    default="auto",
    help="inference runtime  [auto: by the suffix of MODEL]",
)
amp_flag = click.option("--amp", is_flag=True, help="compute in bfloat16 (torch, openvino): faster, less exact")
tta_flag = click.option(
    "--tta",
    is_flag=True,
    help="average over mirrored images too (test-time augmentation), along the axes that training mirrored",
)
engine_flag = click.option(
    "--engine", type=click.Choice(list(ENGINES)), help="work in blocks of images: in this process, or on a Ray cluster  [none]"
)
num_workers_flag = click.option(
    "--num-workers", type=click.IntRange(1), metavar="K", help="of --engine ray: workers at once  [one a machine or GPU]"
)
block_size_flag = click.option(
    "--block-size",
    type=click.IntRange(1),
    metavar="N",
    help="of --engine: images a block, which a lost worker costs  [1024]",
)
corrections_flag = click.option(
    "--corrections", metavar="FILE", help="a list of other labels, and of images to leave out, as in train"
)
json_flag = click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout, nothing else there")

abstain_flag = click.option(
    "--abstain-at", metavar="X", help='answer "unsure" so that at most this part of the answers is wrong, such as 1%'
)
sets_flag = click.option("--sets", metavar="X", help="prediction sets that hold the truth this often, such as 95%")
unknown_flag = click.option(
    "--unknown/--no-unknown", default=True, help='answer "unknown" to pictures unlike the training data  [as calibrated]'
)


def block_flags(command: Any) -> Any:
    """The flags of commands that take many images, in blocks."""
    return engine_flag(num_workers_flag(block_size_flag(command)))


def check_engine(*, engine: str | None, **given: Any) -> None:
    """Raise `InputError` for flags that mean nothing without an engine."""
    if engine is None and (wrong := [name for name, value in given.items() if value is not None]):
        raise InputError(f"--{wrong[0].replace('_', '-')} is for --engine ray; leave it out, or add that")


def confidence_flags(command: Any) -> Any:
    """The flags of a classifier's doubts, one below the other."""
    return abstain_flag(sets_flag(unknown_flag(command)))


SHORT = {"batch_size": ["-b"], "workers": ["-j"], "weight_decay": ["--wd"], "img_size": ["--imgsz"]}
# What a shell offers for settings beside their choices; and settings that may be files.
OFFERED: dict[str, Collection[str]] = {"model": zoo.ROWS, "task": tasks.TASKS}
PATHS = {"weights": MODEL, "recipe": Place(), "corrections": Place()}
METAVARS = {int: "N", float: "X", str: "TEXT"}
SPEC_FLAGS = (
    "stem",
    "stem_stride",
    "shortcut",
    "stride_in",
    "order",
    "norm",
    "activation",
    "attention",
    "block",
    "depths",
    "width",
    "most_width",
    "strides",
    "groups",
    "group_width",
    "output_stride",
    "dims",
    "in_chans",
)


# What flags are that no training has: others' names of settings, and flags of verbs that answer.
NOT_HERE = {name: f"here --{own.replace('_', '-')}" for name, own in ELSEWHERE.items()}
NOT_HERE |= dict.fromkeys(("tta", "topk", "runtime"), "of answers: `resnets eval`, `predict`")


class SettingsCommand(click.Command):
    """A command whose flags are the settings of all tasks; its help lists those of one, by section, the main ones first."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[TASK] = task_in(args)  # before --help is answered
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if (name := error.option_name.lstrip("-").replace("-", "_")) not in NOT_HERE:
                raise
            words = f"{error.option_name} is {NOT_HERE[name]}"
            raise click.NoSuchOption(error.option_name, words, ctx=ctx) from None

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        others = ", ".join(f"--task {name}" for name in tasks.TASKS if name != ctx.meta[TASK])
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(
                f"These are the settings of --task {ctx.meta[TASK]}; {others} with --help lists those of other tasks."
            )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        schema = tasks.settings(ctx.meta[TASK])
        own = fields_of(schema)
        sections: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        for parameter in self.get_params(ctx):
            name, record = parameter.name or "", parameter.get_help_record(ctx)
            if record is not None and (name in own or name not in all_settings()):
                if name not in own:
                    sections[SECTION_OF.get(name, COMMON)].append(record)
                    continue
                # The flag is that of all tasks which have the setting; its choices, default and meaning are this task's.
                with_value = isinstance(parameter, click.Option) and not parameter.is_flag
                words = f"{record[0].rpartition(' ')[0]} {metavar_of(schema, name)}" if with_value else record[0]
                sections[own[name].metadata["section"]].append((words, help_of(own[name])))
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def task_in(args: list[str]) -> str:
    """The task that the words of a command line name, else the default; one that does not exist is said later."""
    found = [after for word, after in pairwise([*args, ""]) if word == "--task"]
    found += [word.partition("=")[2] for word in args if word.startswith("--task=")]
    return found[-1] if found and found[-1] in tasks.TASKS else tasks.DEFAULT


@functools.cache
def all_settings() -> dict[str, Schema]:
    """The settings of all tasks, each with the first that has it."""
    found: dict[str, Schema] = {}
    for task in tasks.TASKS:
        schema = tasks.settings(task)
        found = dict.fromkeys(fields_of(schema), schema) | found
    return found


def settings_flags(command: Command) -> Command:
    """Give `command` a flag for every setting of every task but the argument `data`; and timm's word for a precision."""

    @functools.wraps(command)
    def translated(*args: Any, amp: bool | None, **settings: Any) -> Any:
        if amp is not None and settings["precision"] is not None:
            raise InputError(f"--{'' if amp else 'no-'}amp and --precision say the same; give one of them")
        if amp is not None:
            settings["precision"] = "bfloat16" if amp else "float32"
        return command(*args, **settings)

    flagged: Any = translated
    for name, schema in reversed(all_settings().items()):
        if name not in ("data", "plugin"):  # an argument, and a flag of all commands
            flagged = setting_flag(schema, name)(flagged)
        if name == "precision":
            flagged = click.option("--amp/--no-amp", default=None, help="--precision bfloat16, or float32")(flagged)
    return flagged


def setting_flag(schema: Schema, name: str) -> Callable[[Command], Command]:
    """The flag of one setting; its value is checked once the task is known."""
    kind, _ = kinds(schema, name)
    field, flag = fields_of(schema)[name], "--" + name.replace("_", "-")
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=help_of(field))
    said: dict[str, Any] = {"metavar": metavar_of(schema, name), "help": help_of(field)}
    if name in PATHS:
        said["type"] = PATHS[name]
    elif names := OFFERED.get(name, field.metadata["choices"]):
        said["shell_complete"] = offering(names)
    return click.option(flag, *SHORT.get(name, []), name, **said)


def metavar_of(schema: Schema, name: str) -> str:
    """What stands behind the flag of a setting in help: its choices, or its type."""
    if name == "task":
        return "|".join(tasks.TASKS)
    return "|".join(fields_of(schema)[name].metadata["choices"]) or METAVARS.get(kinds(schema, name)[0], "N,N,...")


def help_of(field: Field[Any]) -> str:
    """What a setting means, with its default in brackets."""
    return field.metadata["help"] + ("" if field.default is None else f"  [{show(field.default)}]")


def answers_flags(command: Command) -> Command:
    """Give `command` flags for the settings of all tasks in the section of answers."""
    for name, schema in reversed(all_settings().items()):
        if fields_of(schema)[name].metadata["section"] == ANSWERS:
            command = setting_flag(schema, name)(command)
    return command


def spec_flags(command: Command) -> Command:
    """Give `command` flags for changes to a network's spec."""
    for name in reversed(SPEC_FLAGS):
        command = setting_flag(Recipe, name)(command)
    return command
