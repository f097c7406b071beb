"""Files: atomic writes, and readers that take a file from anyone: regular, bounded in size, depth, numbers and types.

Whatever is read here is untrusted. What is wrong with a file becomes an `InputError` that names it; JSON and YAML are read by
these functions (COCO's, of gigabytes, by its reader), and what a library raises while it reads a file goes through `foreign`.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import math
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.errors import InputError

if TYPE_CHECKING:
    import yaml

REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, and start it again; a training, by --resume")
ELSEWHERE = "choose another place with --out"
UMASK = os.umask(0o022)  # it can only be read by setting it
os.umask(UMASK)
MAX_DEPTH = 64  # nested lists and mappings
MAX_TEXT = 1 << 22  # bytes of a text file that people write: JSON, lists of names
MAX_YAML = 1 << 18  # bytes; its reader takes some seconds for these
MAX_WHOLE = 1 << 63  # integers are below: what arrays can hold
MAX_REASON = 200  # characters of another program's message
KINDS = {"b": "a block device", "c": "a device", "d": "a folder", "p": "a pipe", "s": "a socket"}  # by `stat.filemode`


def short(error: object) -> str:
    """What an error says, or a value, on one line of at most `MAX_REASON` characters; its type where that is nothing."""
    try:
        text = " ".join((getattr(error, "strerror", None) or str(error))[: 4 * MAX_REASON].split())
    except ValueError:  # Python writes no integers of more than 4,300 digits
        return "a number of thousands of digits"
    if not text:
        return type(error).__name__
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 4]} ..."


@contextmanager
def foreign(path: str | Path, remedy: str = "it is truncated or damaged; copy it again", *, what: str = "") -> Iterator[None]:
    """Inside, whatever a library raises while it reads or runs the file `path` becomes an `InputError` that names it.

    Lack of memory does too: limits are checked before memory is used, so that the file needs more than there is.

    Args:
        what: what it should be, such as "a tar".
    """
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: needs more memory than there is; {remedy}") from error
    except Exception as error:
        raise InputError(f"{path}: cannot be read {f'as {what} ' * bool(what)}({short(error)}); {remedy}") from error


# --- reading ----------------------------------------------------------------------------------------------------------------


class NotRead(OSError):
    """A path that is not opened. `strerror` says what it is or has; `told` says so with the remedy."""

    def __init__(self, number: int, words: str, path: str | os.PathLike[str]) -> None:
        super().__init__(number, words, os.fspath(path))
        self.told = f"has {words}; give a smaller file" if number == errno.EFBIG else f"is {words}; give a file"


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a regular file. False, not an error, for names that no file can have (too long, not encodable)."""
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises for names that are too long)


def check_no_address(path: str | os.PathLike[str], remedy: str = "download it, and give the file") -> Path:
    """The path. Raises `InputError` for an address such as https://host/name, which as a `Path` has one slash."""
    if found := re.match(r"((file|ftp|gs|hf|https?|s3):)/+", text := os.fspath(path), re.ASCII | re.IGNORECASE):
        remedy = "give its path, without file://" if found[2].lower() == "file" else remedy
        raise InputError(f"{short(f'{found[1]}//{text[found.end() :]}')}: an address, which is not fetched; {remedy}")
    return Path(path)


def open_regular(path: str | os.PathLike[str], most: int | None = None) -> BufferedReader:
    """The file, open for reading. Only regular files: a pipe would wait for ever, and a device has no end.

    Args:
        most: its largest size in bytes; None: any.

    Raises:
        OSError: where it cannot be opened, is no regular file, or is larger.
        ValueError: for a zero byte in its name.
    """
    _check(Path(path).stat(), path, most)  # before it is opened, which with some devices does something
    # It may become a pipe in between, which opens at once with this flag.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check(os.fstat(descriptor), path, most)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check(found: os.stat_result, path: str | os.PathLike[str], most: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.filemode(found.st_mode)[0], "something else")
        raise NotRead(errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL, f"{kind}, not a file", path)
    if most is not None and found.st_size > most:
        raise NotRead(errno.EFBIG, f"{found.st_size:,} bytes, more than the {most:,} that are read", path)


def read_regular(path: str | os.PathLike[str], most: int) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises as `open_regular`, and where it grows meanwhile."""
    with open_regular(path, most) as file:
        size = os.fstat(file.fileno()).st_size  # `read` takes memory for as many bytes as it is told
        content = file.read(size + 1)
    if len(content) > size:  # files of /proc state no size
        raise NotRead(errno.EFBIG, f"more than the {size:,} bytes that it states", path)
    return content


@contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Inside, what `open_regular` raises becomes an `InputError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except NotRead as error:
        raise InputError(f"{path}: {error.told}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({short(error)}); check the path") from None


def open_file(path: str | Path, *, most: int | None = None) -> BufferedReader:
    """As `open_regular`. Raises `InputError` where that raises."""
    with _named(path):
        return open_regular(path, most)


def check_file(path: str | Path, *, most: int | None = None) -> Path:
    """The path of a file that a library opens by itself. Raises as `open_file`."""
    open_file(path, most=most).close()
    return Path(path)


def in_package(package: str, name: str, extra: str) -> Path:
    """The file `name` of an installed `package`, which is not imported.

    Raises:
        InputError: if it is not installed; the message names the `extra` that brings it.
    """
    found = importlib.util.find_spec(package)
    folder = next(iter(found.submodule_search_locations or ()), None) if found else None
    if folder is None or not Path(folder, name).is_file():
        raise InputError(f"{Path(name).name} is in the package {package}, which is not here: pip install 'resnets[{extra}]'")
    return Path(folder, name)


def read_bytes(path: str | Path, *, most: int = MAX_TEXT) -> bytes:
    """As `read_regular`. Raises `InputError` where that raises."""
    with _named(path):
        return read_regular(path, most)


def read_text(path: str | Path, *, most: int = MAX_TEXT) -> str:
    """The text of a file in UTF-8. Raises as `open_file`, and `InputError` where it is no UTF-8."""
    return _decoded(read_bytes(path, most=most), path)


def _decoded(content: bytes, name: object) -> str:
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}, line {line}: is not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8") from None


def read_json(path: str | Path, kind: type = dict, *, most: int = MAX_TEXT, strict: bool = True) -> Any:
    """The content of a JSON file, a `kind`. Raises as `read_text` and `parse_json`."""
    return parse_json(read_bytes(path, most=most), path, kind, strict=strict)


def parse_json(text: str | bytes, name: object, kind: type = dict, *, strict: bool = True) -> Any:
    """The value of JSON text; `name` is what it is called in errors.

    Args:
        kind: the type that the value must have: dict, list, or object for any.
        strict: False for our own records, which may hold NaN and infinity (a loss that diverged), and file names that are no
            Unicode.

    Raises:
        InputError: where it is no JSON, is nested more than `MAX_DEPTH` deep, has a number that arrays cannot hold or text
            that is no Unicode, or is of another type.
    """
    text = text if isinstance(text, str) else _decoded(text, name)
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_real, parse_constant=_none if strict else float)
        if strict and re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(value, ensure_ascii=False).encode()  # half of a pair of surrogates raises here
        if _is_deep(text):
            raise RecursionError
    except RecursionError:
        raise InputError(f"{name}: is nested more than {MAX_DEPTH} deep; write it anew") from None
    except ValueError as error:
        raise InputError(f"{name}: cannot be read as JSON ({short(error)}); write it anew") from None
    if not isinstance(value, kind):
        words: dict[Any, str] = {dict: "an object {...}", list: "a list [...]", str: "text"}
        raise InputError(f"{name}: holds {short(text)[:40]!r}, where {words.get(kind, kind.__name__)} is expected")
    return value


def _is_deep(text: str) -> bool:
    """Whether JSON is nested more than `MAX_DEPTH` deep."""
    brackets = re.sub(r'"(?:[^"\\]|\\.)*+"|[^][{}"]+', "", text, flags=re.DOTALL)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace("[]", "").replace("{}", "")  # the innermost level
        if not brackets:
            break
    return bool(brackets)


def _whole(digits: str) -> int:
    value = int(digits) if len(digits) < 25 else MAX_WHOLE
    if abs(value) >= MAX_WHOLE:
        raise ValueError(f"a number of {len(digits)} digits")
    return value


def _real(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:20]}, which is too large")
    return value


def _none(word: str) -> float:
    raise ValueError(f"the number {word}, which JSON does not have")


def read_yaml(path: str | Path, *, plain: bool = False) -> Any:
    """The content of a YAML file. Raises as `read_text` and `parse_yaml`."""
    return parse_yaml(read_text(path, most=MAX_YAML), path, plain=plain)


def parse_yaml(text: str, name: object, *, plain: bool = False) -> Any:
    """The value of YAML text: lists, mappings, text, numbers, true and false, null; `name` is what it is called in errors.

    Args:
        plain: whether all but lists and mappings is text as it stands: names such as no, 010 and 1.0 are no values then.

    Raises:
        InputError: with the line, where it is no YAML, has a key twice, an alias (`*name`, which can stand for more than memory
            holds), a tag (`!name`), a number that is not finite or too large, or is nested more than `MAX_DEPTH` deep.
    """
    import yaml

    try:
        return yaml.load(text, _loader(plain))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise InputError(f"{name}{where}: cannot be read as YAML ({short(error.problem or error)})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: cannot be read as YAML ({short(error)})") from None


@cache
def _loader(plain: bool) -> type[yaml.SafeLoader]:
    """PyYAML's safe loader within the limits of `parse_yaml`; dates and `<<` stay text, where it is `plain` all values."""
    import yaml

    def fault(text: str, mark: Any) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(problem=text, problem_mark=mark)

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012
            sign: [rule for rule in rules if rule[0].rpartition(":")[2] not in ("timestamp", "merge", "value")]
            for sign, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
            if not plain
        }
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event: Any = self.peek_event()
            if isinstance(event, yaml.AliasEvent):
                raise fault(f"the alias *{str(event.anchor)[:40]}; write what it stands for", event.start_mark)
            if event.tag not in (None, "!"):
                raise fault(f"the tag {str(event.tag)[:40]}; write the value alone", event.start_mark)
            if self.depth >= MAX_DEPTH:
                raise fault(f"nested more than {MAX_DEPTH} deep", event.start_mark)
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                value = super().construct_object(node, deep=True)
            except (ValueError, OverflowError, KeyError, TypeError) as error:
                raise fault(short(error), node.start_mark) from None
            if isinstance(value, int | float) and not abs(value) < (MAX_WHOLE if isinstance(value, int) else math.inf):
                raise fault(f"the number {node.value[:20]}; give a smaller one", node.start_mark)
            return value

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen: set[Any] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise fault("a key that is a list or a mapping", key.start_mark)
                name = self.construct_object(key)
                if name in seen:
                    raise fault(f"{str(name)[:40]!r} is there twice; leave one out", key.start_mark)
                seen.add(name)
            return super().construct_mapping(node, deep=True)

    return Loader


# --- writing ----------------------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Context manager for an atomic write: yields a temporary path beside `path`, which replaces `path` on success.

    A file is complete or does not exist, even if the machine stops in the middle.

    Raises:
        InputError: if the folder cannot be written to or the disk is full; `path` is then unchanged.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # some writers choose the format by the suffix
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.chmod(0o666 & ~UMASK)  # safetensors creates files that only their owner may read
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # otherwise a power failure could leave the new name with old or no content
        temporary.replace(path)
    except InputError:
        raise
    except Exception as error:
        if (refused := cannot_write(path, error)) is not None:
            raise refused from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def cannot_write(path: str | Path, error: BaseException, elsewhere: str = ELSEWHERE) -> InputError | None:
    """The `InputError` for an error of the system while writing `path`; None for other errors.

    Libraries raise types of their own, with the system's number or message in the text only.
    """
    number = getattr(error, "errno", None)
    if not isinstance(error, OSError):
        found = re.search(r"os error (\d+)", str(error))  # safetensors
        known = (
            number for number in REMEDIES if os.strerror(number) in str(error) or "iostream error" in str(error)
        )  # OpenVINO
        number = int(found[1]) if found else next(known, None)
        if number is None:
            return None
    reason = getattr(error, "strerror", None) or (os.strerror(number) if number else short(error))
    return InputError(f"{path}: cannot be written ({reason}); {REMEDIES.get(number or 0, elsewhere)}")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is deleted at the end. Raises `InputError` where it cannot be made or written to, or the disk is full."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    except InputError:
        raise
    except Exception as error:
        place, named = tempfile.tempdir or "TMPDIR", getattr(error, "filename", None)
        ours = isinstance(error, OSError) and (named is None or str(named).startswith(place))
        refused = cannot_write(place, error, "set TMPDIR to another folder")
        if refused is None or (isinstance(error, OSError) and error.errno not in REMEDIES and not ours):
            raise
        raise refused from error


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8, atomically; returns `path`. Raises as `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # file names in it may not be valid Unicode
    return Path(path)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write `content`, atomically; returns `path`. Raises as `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_json(path: str | Path, value: Any, *, strict: bool = True) -> Path:
    """Write `value` as indented JSON, atomically; returns `path`. `strict` as in `parse_json`. Raises as `replacing`."""
    return write_text(path, to_json(value, indent=2, strict=strict) + "\n")


def to_json(value: Any, *, indent: int | None = None, strict: bool = True) -> str:
    """`value` as JSON text; where it is `strict`, NaN and infinity, which JSON does not have, are null."""
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=not strict)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
