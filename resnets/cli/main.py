"""`resnets COMMAND`: the commands, and how they end. A command imports its room when it runs: the others answer at once."""

from __future__ import annotations

import difflib
import errno
import functools
import importlib
import io
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import click

from resnets import __version__
from resnets.cli.completion import SHELLS, completing, script
from resnets.cli.error_page import pointer
from resnets.cli.options import CONTEXT, EPILOG
from resnets.draw.text import printable, visible
from resnets.errors import InputError, Interrupted, ProcessEnded, is_memory
from resnets.files import short
from resnets.plugins import load_plugin
from resnets.stores import sent

AS_PYTHON = warnings.formatwarning
# What the system says of a path that the user gave.
PATH_ERRORS = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)


# The commands: where each is, imported when it is called or listed with its help.
COMMANDS = {
    "train": "resnets.cli.train.train",
    "tune": "resnets.cli.tune.tune",
    "eval": "resnets.cli.predict.evaluate",
    "predict": "resnets.cli.predict.predict",
    "calibrate": "resnets.cli.predict.calibrate",
    "embed": "resnets.cli.search.embed",
    "index": "resnets.cli.search.index",
    "search": "resnets.cli.search.search",
    "cluster": "resnets.cli.search.cluster",
    "verify": "resnets.cli.verify.verify",
    "explain": "resnets.cli.explain.explain",
    "report": "resnets.cli.report.report",
    "export": "resnets.cli.models.export",
    "convert": "resnets.cli.models.convert",
    "push": "resnets.cli.models.push",
    "models": "resnets.cli.models.models",
    "info": "resnets.cli.models.info",
    "data": "resnets.cli.data.data",
    "faces": "resnets.cli.faces.faces",
    "serve": "resnets.cli.serve.serve",
    "doctor": "resnets.cli.doctor.doctor",
    "bench": "resnets.cli.bench.bench",
    "paper": "resnets.cli.paper.paper",
}


def run_plugins(ctx: click.Context, param: click.Parameter, paths: tuple[str, ...]) -> None:
    for path in paths:
        load_plugin(path)


def with_plugins(command: click.Command) -> click.Command:
    """The command, or each command of a group, with the flag `--plugin`. Files are loaded before other words are looked at, so
    that help and checks know their parts."""
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        with_plugins(each)
    if not isinstance(command, click.Group) and not any(param.name == "plugins" for param in command.params):
        words = "run this Python file, which registers parts of your own; may be given several times  [$RESNETS_PLUGINS]"
        flag: dict[str, Any] = {"multiple": True, "is_eager": True, "expose_value": False, "callback": run_plugins}
        flag |= {"type": click.Path(), "metavar": "FILE", "envvar": "RESNETS_PLUGINS"}
        command.params.append(click.Option(["--plugin", "plugins"], help=words, **flag))
    return command


def with_stores(command: click.Command) -> click.Command:
    """The command, or each command of a group, which may write to an object store."""
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        with_stores(each)
    if (run := command.callback) is not None and not hasattr(run, "sends"):

        @functools.wraps(run)
        def sending(**given: Any) -> Any:
            with sent(given) as found:
                return run(**found)

        sending.sends = True  # type: ignore[attr-defined]
        command.callback = sending
    return command


class Commands(click.Group):
    """The commands of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            if near := difflib.get_close_matches(cmd_name, COMMANDS, n=1):
                raise click.UsageError(f"there is no command {cmd_name!r}; did you mean {near[0]}?", ctx)
            return None
        module, _, name = COMMANDS[cmd_name].rpartition(".")
        return completing(with_stores(with_plugins(getattr(importlib.import_module(module), name))))


@click.group(cls=Commands, context_settings=CONTEXT, epilog=EPILOG)
@click.option(
    "--completion",
    type=click.Choice(SHELLS),
    is_eager=True,
    expose_value=False,
    callback=script,
    help="print what makes the Tab key complete commands, flags and names in that shell",
)
@click.version_option(__version__, "-V", "--version", message="resnets %(version)s")
def cli() -> None:
    """Residual networks: define, train, evaluate and use them.

    `resnets train` alone trains a ResNet-20 on handwritten digits; `resnets train FOLDER` trains on your images.
    """


def warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """A warning of ours as one line; others as Python has them."""
    if category.__module__.startswith("resnets."):
        text = visible(str(message))
        more = pointer(text)
        return f"warning  {text}\n" + (f"{more}\n" if more else "")
    return AS_PYTHON(message, category, filename, lineno, line)


class Said(logging.Handler):
    """What object stores say of copies, on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        word = "store" if record.levelno < logging.WARNING else "warning"
        click.echo(f"{word:9}{visible(record.getMessage())}", err=True)


def show(who: str, message: str) -> None:
    """Print an error of the input's, and below it where the page of errors says more of it."""
    click.echo(f"{who}{message}", err=True)
    if line := pointer(message):
        click.secho(line, err=True, dim=True)


def main(argv: Sequence[str] | None = None) -> None:
    """The command. Exits with 0 (done), 1 (our fault), 2 (the input's), 130 (Ctrl-C) or 143 (SIGTERM), the state saved."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    rank = os.environ.get("RANK", "0") if os.environ.get("WORLD_SIZE", "1") != "1" else None
    who = "error: " if rank is None else f"error: rank {rank}: "
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a sign that the terminal cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = warning
    stores = logging.getLogger("resnets.stores")
    stores.handlers, stores.level, stores.propagate = [Said()], logging.INFO, False
    try:
        code = cli.main([word for word in words if word != "--debug"], prog_name="resnets", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except InputError as error:
        if debug:
            traceback.print_exc()
        show(who, visible(str(error)))
        code = 2
    except ProcessEnded as error:
        click.echo(printable(str(error)), err=True, nl=bool(str(error)))
        time.sleep(3)  # so that torchrun sees first who died first
        code = 1
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except (MemoryError, RuntimeError) as error:  # after click.Abort, which is a RuntimeError too
        if not is_memory(error):
            raise
        if debug:
            traceback.print_exc()
        show(who, f"not enough memory ({visible(short(error))}); use a smaller --batch-size or --img-size")
        code = 2
    except Interrupted as stopped:
        if rank in (None, "0"):
            click.echo(printable(str(stopped)), err=True)
        code = 128 + stopped.signal  # 130 and 143, as shells know them
    except SystemExit:  # how click ends where the reader of our output has seen enough
        code = 0
    except OSError as error:
        if debug or error.errno not in PATH_ERRORS:
            raise
        where = visible(os.fsdecode(error.filename or ""))
        show(who, f"{where}: {error.strerror}; check the path, and that you may read it")
        code = 2
    sys.exit(code or 0)
