"""The flags that commands share, and those of the recipe: each of its fields is one, with the same name, meaning and checks.

No torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from resnets.engine.recipe import FIELDS, SECTIONS, kinds, show
from resnets.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

EPILOG = "Bad input ends with 2 and a line that says what to do; --debug, anywhere, shows where it was found."
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
data_dir_flag = click.option(
    "--data-dir", metavar="DIR", help="where known sets lie  [$RESNETS_DATA, else ~/.cache/resnets/datasets]"
)
device_flag = click.option("--device", default="auto", metavar="TEXT", help="cpu, cuda, mps  [auto]")
runtime_flag = click.option(
    "--runtime",
    type=click.Choice(["auto", "torch", "onnxruntime", "openvino"]),
    default="auto",
    help="what computes  [auto: by the suffix]",
)
amp_flag = click.option("--amp", is_flag=True, help="compute in bfloat16 (torch, openvino): faster, less exact")
json_flag = click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout, nothing else there")

SHORT = {"batch_size": ["-b"], "workers": ["-j"], "weight_decay": ["--wd"], "img_size": ["--imgsz"]}
METAVARS = {int: "N", float: "X", str: "TEXT"}
SPEC_FLAGS = (
    "stem",
    "stem_stride",
    "shortcut",
    "stride_in",
    "order",
    "norm",
    "attention",
    "depths",
    "width",
    "groups",
    "group_width",
    "output_stride",
    "dims",
    "in_chans",
)


class SectionedCommand(click.Command):
    """A command whose help lists the settings of a recipe by section, and its own flags after them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        title = "Command"
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                title = SECTIONS.get(parameter.name or "", title if parameter.name in FIELDS else "Command")
                sections.setdefault(title, []).append(record)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def recipe_flags(command: Command) -> Command:
    """Give `command` a flag for every setting of a recipe but `data`, which is an argument; and timm's word for a precision."""

    @functools.wraps(command)
    def translated(*args: Any, amp: bool | None, **settings: Any) -> Any:
        if amp is not None and settings["precision"] is not None:
            raise InputError(f"--{'' if amp else 'no-'}amp and --precision say the same; give one of them")
        if amp is not None:
            settings["precision"] = "bfloat16" if amp else "float32"
        return command(*args, **settings)

    flagged: Any = translated
    for name in reversed([name for name in FIELDS if name != "data"]):
        flagged = recipe_flag(name)(flagged)
        if name == "precision":
            flagged = click.option("--amp/--no-amp", default=None, help="--precision bfloat16, or float32")(flagged)
    return flagged


def recipe_flag(name: str) -> Callable[[Command], Command]:
    kind, _ = kinds(name)
    field = FIELDS[name]
    flag = "--" + name.replace("_", "-")
    default = "" if field.default is None else f"  [{show(field.default)}]"
    text = f"{field.metadata['help']}{default}"
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    metavar = "|".join(field.metadata["choices"]) or METAVARS.get(kind, "N,N,...")
    return click.option(flag, *SHORT.get(name, []), name, metavar=metavar, help=text)


def spec_flags(command: Command) -> Command:
    """Give `command` flags for changes to a network's spec."""
    for name in reversed(SPEC_FLAGS):
        command = recipe_flag(name)(command)
    return command
