"""What a shell offers at the Tab key, by click's own classes."""

import pytest
from click.shell_completion import ShellComplete

from resnets.cli.completion import SHELLS, VARIABLE
from resnets.cli.main import cli
from resnets.models.header import boxed
from tests.cli.made import said


def offered(line):
    """What is offered at the end of a line: values, and the types of those that the shell itself completes."""
    *words, incomplete = line.split(" ")
    items = ShellComplete(cli, {}, "resnets", VARIABLE).get_completions(words, incomplete)
    return [item.value if item.type == "plain" else item.type for item in items]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exp", ["explain", "export"]),
        ("train --mod", ["--model", "--modality"]),
        ("train --task se", ["segment"]),
        ("train --model resnet18", ["resnet18", "resnet18d"]),
        ("train --sched cos", ["cosine"]),
        ("train photos", ["file"]),
        ("train --weights best", ["file"]),
        ("train --recipe my", ["file"]),
        ("predict runs/", ["file"]),
        ("predict run photo.j", ["file"]),
        ("predict resnet20", ["resnet20_cifar10"]),
        ("export model --format ht", ["html"]),
        ("export model -o ", ["file"]),
        ("data che", ["check"]),
        ("data check photos", ["file"]),
        ("--completion f", ["fish"]),
    ],
)
def test_what_is_offered(line, expected):
    assert offered(line) == expected


def test_every_bundled_model_is_offered():
    assert {name for name in boxed() if name in offered(f"eval {name[:4]}")} == set(boxed())


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_asks_this_command(shell, capsys):
    out, _ = said(capsys, f"--completion {shell}")
    assert f"{VARIABLE}={shell}_complete" in out and "%(" not in out


def test_bash_offers_files_where_click_says_so(capsys):
    """click's script takes "file" as its own word for it."""
    assert "file" in said(capsys, "--completion bash")[0]
