"""Parts by name: a table for each kind of part, into which resnets' own and those of a user's file come by the same door.

    @resnets.register("norm", "my_norm")
    def my_norm(channels, dims):
        return torch.nn.GroupNorm(4, channels)

A file with such parts is executed where its user names it (`--plugin FILE`, `load_plugin` or `import`), and never because a
saved file, a recipe or a run directory names it: what these say is a record, by which an error can tell what is missing.
No torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from resnets.errors import InputError, is_memory
from resnets.files import check_file, open_file, short

# The kinds of parts, and the module in which the table of each is; "{task}" where every task has a table of its own.
KINDS = {
    "block": "resnets.models.parts",
    "norm": "resnets.models.parts",
    "attention": "resnets.models.parts",
    "stem": "resnets.models.parts",
    "head": "resnets.tasks.{task}.settings",
    "loss": "resnets.tasks.{task}.settings",
    "optimiser": "resnets.engine.recipe",
    "layout": "resnets.data.sources",
}
NAME = re.compile(r"[A-Za-z][\w .+-]{0,63}", re.ASCII)
MOST = 1 << 20  # bytes of a file with parts


@dataclass(frozen=True)
class File:
    """The file that a part comes from, as it was when it was executed; no path: a notebook or an interactive session."""

    path: Path | None
    content: bytes = b""

    @property
    def name(self) -> str:
        return self.path.name if self.path else ""

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest() if self.path else ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """A row of a table. Kinds whose rows say more extend this.

    Args:
        kind: a key of `KINDS`.
        task: whose head or loss it is; "" for other kinds.
        name: what it is chosen by.
        factory: what makes it; of resnets' own parts a text "module:name", imported when the part is first made.
        file: where it was registered; None: in resnets itself.
    """

    kind: str
    task: str
    name: str
    factory: Callable[..., Any] | str
    file: File | None

    @property
    def words(self) -> str:
        """Such as "norm 'my_norm' (my_block.py)"."""
        where = f" ({self.file.name})" if self.file and self.file.name else ""
        return f"{self.kind} {self.name!r}{where}"

    def make(self, *given: Any, **named: Any) -> Any:
        """What the factory makes. Raises `InputError` for whatever goes wrong in a user's code, with the line."""
        if isinstance(self.factory, str):
            module, _, name = self.factory.partition(":")
            return getattr(importlib.import_module(module), name)(*given, **named)
        with self.blamed():
            return self.factory(*given, **named)

    @contextmanager
    def blamed(self, doing: str = "") -> Iterator[None]:
        """Inside, whatever the part raises becomes an `InputError` that names it and the line."""
        with blamed(self.file.path, f"{self.kind} {self.name!r}{doing}") if self.file else nullcontext():
            yield


Row = TypeVar("Row", bound=Part)
TABLES: dict[tuple[str, str], Table[Any]] = {}


class Table(dict[str, Row], Generic[Row]):
    """The parts of one kind, and of one task where the kind belongs to tasks, by their names.

    Args:
        row: the class of its rows; what it has beyond `Part` are further arguments of `register`.
    """

    def __init__(self, kind: str, row: type[Row], task: str = "") -> None:
        super().__init__()
        self.row = row
        TABLES[kind, task] = self

    def __missing__(self, name: str) -> Row:
        kind = next(kind for kind, rows in TABLES.items() if rows is self)[0]
        raise InputError(f"there is no {kind} {short(repr(name))}; use one of: {', '.join(self)}; --plugin FILE adds your own")

    @property
    def of_users(self) -> list[str]:
        """The names that do not come from resnets itself."""
        return [name for name, part in self.items() if part.file]


def table(kind: str, task: str = "") -> Table[Any]:
    """The table of a kind of parts. Raises `InputError` where there is none."""
    if kind not in KINDS:
        raise InputError(f"there is no kind of part {short(repr(kind))}; use one of: {', '.join(KINDS)}")
    if ("{task}" in KINDS[kind]) is not bool(task):
        raise InputError(f"a {kind} is for {'no' if task else 'a'} task; {'leave out' if task else 'give'} task=")
    if not re.fullmatch(r"[a-z]{0,32}", task):
        raise InputError(f"there is no task {short(repr(task))}")
    module = KINDS[kind].format(task=task)
    if importlib.util.find_spec(module.rpartition(".")[0]) is None:
        raise InputError(f"there is no task {task!r}")
    importlib.import_module(module)
    if (kind, task) not in TABLES:
        raise InputError(f"the task {task} takes no {kind} of one's own")
    return TABLES[kind, task]


def register(kind: str, name: str, factory: Any = None, *, task: str = "", **more: Any) -> Any:
    """Give a part a name by which it can be chosen, as resnets' own are. Without `factory` it is a decorator.

    Args:
        kind: "block", "norm", "attention", "stem", "head", "loss", "optimiser" or "layout".
        name: a new one, in letters, digits and "_ .+-".
        factory: what makes the part; docs/plugins.md has the arguments of each kind, and what it must return.
        task: of a head or a loss, the task that it is for.
        more: what else there is to say of the kind, such as `expansion` of a block.

    Returns:
        The factory, or a decorator that returns it.

    Raises:
        InputError: for a kind, task or argument that does not exist, and a name that is taken.
    """
    file = _file_of(sys._getframe(1).f_globals)

    def put(factory: Any) -> Any:
        rows = TABLES[kind, task] if file is None else table(kind, task)
        own = {field.name for field in dataclasses.fields(rows.row)} - {field.name for field in dataclasses.fields(Part)}
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InputError(f"name {short(repr(name))}: give a {kind} one of letters, digits and _, such as my_{kind}")
        if unknown := more.keys() - own:
            has = f"it has {', '.join(sorted(own))}" if own else "it has none"
            raise InputError(f"{kind} {name!r}: there is no argument {', '.join(sorted(unknown))}; {has}")
        try:
            part = rows.row(kind=kind, task=task, name=name, factory=factory, file=file, **more)
        except TypeError as error:
            raise InputError(f"{kind} {name!r}: {short(error)}") from None
        if file and not callable(factory):
            raise InputError(f"{kind} {name!r}: give what makes it, a function or a class, not {short(repr(factory))}")
        if name in rows:
            check_again(rows[name], part)
        rows[name] = part
        return factory

    return put if factory is None else put(factory)


def check_again(before: Part, part: Part) -> None:
    """Raise `InputError` unless `part` is `before` once more: the same function of the same file or notebook, run again."""
    if before.file is None or part.file is None:
        user = part if part.file else before
        raise InputError(f"{user.words}: resnets has a {part.kind} of that name itself; choose another name")
    same = before.file.path == part.file.path
    if not same or getattr(before.factory, "__qualname__", "") != getattr(part.factory, "__qualname__", ""):
        places = " and in ".join(dict.fromkeys(each.file.name or "this session" for each in (before, part) if each.file))
        raise InputError(f"the {part.kind} {part.name!r} is registered twice, in {places}; choose another name for one")


def _file_of(names: Mapping[str, Any]) -> File | None:
    """The file whose code has these globals; None for resnets itself."""
    if str(names.get("__name__", "")).partition(".")[0] == "resnets":
        return None
    if not (path := names.get("__file__")) or not Path(path).is_file():
        return File(None)
    with open_file(path, most=MOST) as opened:
        return File(Path(path).resolve(), opened.read())


# --- files of users ---------------------------------------------------------------------------------------------------------


def load_plugin(path: str | Path) -> ModuleType:
    """Import a Python file that registers parts; `resnets COMMAND --plugin FILE` is this.

    It is imported as `import my_block` would, by its name, with its folder at the end of `sys.path`: so that worker processes
    find it too. Of a file that has been imported already nothing happens.

    Raises:
        InputError: where there is no such file, another module has its name, it fails (with the line), or registers nothing.
    """
    path = check_file(path, most=MOST).resolve()
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise InputError(f"{path}: is imported by its name; call it by letters, digits and _, such as my_block.py")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    importlib.invalidate_caches()
    found = getattr(sys.modules.get(path.stem), "__spec__", None) or importlib.util.find_spec(path.stem)
    if found is None or found.origin is None or Path(found.origin).resolve() != path:
        where = f", {found.origin}" if found and found.origin else ""
        raise InputError(f"{path}: there is another module {path.stem!r}{where}; give the file another name")
    before = {part for rows in TABLES.values() for part in rows.values()}
    with blamed(path, "cannot be imported"):
        module = importlib.import_module(path.stem)
    after = [part for rows in TABLES.values() for part in rows.values()]
    if not any(part not in before or (part.file and part.file.path == path) for part in after):
        raise InputError(f"{path}: registers nothing; use resnets.register(kind, name, factory) in it")
    return module


@contextmanager
def blamed(path: Path | None, what: str) -> Iterator[None]:
    """Inside, an error in a user's file becomes an `InputError` with its line; `resnets --debug` shows the rest."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if is_memory(error):
            raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines.append(error.lineno)
        where = "" if path is None else f"{path.name}, line {lines[-1]}: " if lines else f"{path.name}: "
        raise InputError(f"{where}{what} ({type(error).__name__}: {short(error)}); --debug shows more") from error


# --- records of what is needed ----------------------------------------------------------------------------------------------


def needs(parts: Iterable[Part | None]) -> list[dict[str, str]]:
    """What a file says of the parts that it needs and that are not resnets' own."""
    version = metadata.version("resnets")
    return [
        {"kind": part.kind, "name": part.name}
        | ({"task": part.task} if part.task else {})
        | {"file": part.file.name, "sha256": part.file.sha256, "resnets": version}
        for part in parts
        if part and part.file
    ]


def is_record(told: Any) -> bool:
    """Whether it is what `needs` makes: of parts, by their kinds in `KINDS`."""
    if not isinstance(told, list) or len(told) > len(KINDS):
        return False
    texts = all(isinstance(need, Mapping) and all(isinstance(text, str) for text in need.values()) for need in told)
    return texts and all({"kind", "name", "file", "sha256"} <= need.keys() and need["kind"] in KINDS for need in told)


def check_needs(told: Iterable[Mapping[str, str]], where: str | Path) -> None:
    """Raise `InputError` where a part that the file `where` needs is not there, and warn where it is of another file now."""
    missing: dict[str, list[str]] = {}
    for need in told:
        part = table(need["kind"], need.get("task", "")).get(need["name"])
        if part is None:
            missing.setdefault(short(Path(need["file"]).name) if need["file"] else "", []).append(
                f"{need['kind']} {short(repr(need['name']))}"
            )
            digest = need["sha256"][:12]
        elif part.file is None or part.file.sha256 != need["sha256"]:
            now = f"sha256 {part.file.sha256[:12]}" if part.file else "resnets' own"
            words = f"{part.words} is not what it was saved with (sha256 {need['sha256'][:12]}, now {now}); answers may differ"
            warnings.warn(Changed(f"{where}: {words}"), stacklevel=2)
    for file, parts in missing.items():
        if not file:
            raise InputError(f"{where}: needs {' and '.join(parts)}, registered in a notebook; register it again before")
        words = f"needs {' and '.join(parts)} from {file} (sha256 {digest})"
        raise InputError(f"{where}: {words}: give --plugin {file}, or in Python resnets.load_plugin({file!r})")


def check_loaded(paths: Any, where: str | Path) -> None:
    """Raise `InputError` where a file that settings name has not been loaded: it is not loaded because they name it."""
    loaded = {part.file.name for rows in TABLES.values() for part in rows.values() if part.file}
    for path in [paths] if isinstance(paths, str) else paths if isinstance(paths, list | tuple) else ():
        if Path(str(path)).name not in loaded:
            shown = short(Path(str(path)).name)
            raise InputError(f"{where}: needs {shown}; if you trust it, give --plugin {short(path)}, or resnets.load_plugin")


class Changed(UserWarning):
    """A part is not what it was when a file was saved."""
