"""`resnets push`: a model as a repository on the Hugging Face Hub, with a card that says what is known of it."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, cast

from resnets import __version__
from resnets.errors import InputError
from resnets.files import short, temporary_folder, write_text
from resnets.models import header as headers
from resnets.models.header import Header
from resnets.models.pretrained.names import OURS
from resnets.models.pretrained.opening import open_weights
from resnets.models.records import Provenance
from resnets.ship import repository
from resnets.verbs import card
from resnets.verbs.report.folders import gather

LOGIN = "set HF_TOKEN, or log in by `hf auth login`; --dry-run DIR writes the files without the Hub"


def push(
    model: str | Path,
    name: str,
    *,
    private: bool = False,
    dry_run: str | Path | None = None,
    licence: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Publish a model: our saved file, copies that timm and transformers open where they have such a network, and a card.

    The repository is made where there is none; files of an earlier push are replaced, and stay in its history. Paths of this
    machine are left out of what is published.

    Args:
        model: a run directory, whose figures the card then has, or anything that `resnets.load` takes.
        name: "owner/name" on the Hub.
        private: make the repository private, where it is made.
        dry_run: a folder, empty or of an earlier dry run, to write instead; nothing is sent.
        licence: an identifier of the Hub, such as "mit" or "cc-by-4.0", or other words; None: said to be unknown.
        say: is told what becomes of each copy.

    Returns:
        "repository", "files" (name -> bytes), "copies" (library -> what became of it, in words), and of a push "url" and
        "commit".

    Raises:
        InputError: for a model that cannot be read, a wrong name, where there is no token, or the Hub refuses.
    """
    hub = _hub()
    try:
        hub.utils.validate_repo_id(name)
    except ValueError as error:
        raise InputError(f"{name!r}: no name of a repository ({short(error)}); give owner/name") from None
    if name.count("/") != 1:
        raise InputError(f"{name!r}: give owner/name, the owner's name on the Hub first")
    if dry_run is None and hub.get_token() is None:
        raise InputError(f"no token of the Hugging Face Hub, which names you there; {LOGIN}")
    opened = open_weights(model)
    run = gather(model) if Path(model).is_dir() and (Path(model) / "recipe.yaml").is_file() else None
    header = without_paths(opened.header, licence)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder()) if dry_run is None else _empty(Path(dry_run))
        copies = repository.write(folder, opened, header, card.identifier(licence))
        bundled = headers.card(headers.boxed()[str(model)]) if str(model) in headers.boxed() else ""
        write_text(folder / "README.md", card.render(name, header, copies, licence, run, bundled))
        files = {
            path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
        }
        told = {copy.library: card.told(copy) for copy in copies}
        for library, words in told.items():
            say(f"{library:<13}{words}")
        if licence is None:
            say("licence      unknown, so that nobody may use it; --licence mit, cc-by-4.0, ... says it")
        result = {"repository": name, "files": files, "copies": told}
        return result if dry_run is not None else result | _sent(hub, folder, name, private)


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.utils
    except ImportError as error:
        raise InputError(f"the Hugging Face Hub needs huggingface_hub: pip install 'resnets[hub]' ({error})") from None
    return huggingface_hub


def _empty(folder: Path) -> Path:
    """The folder to write. Raises `InputError` where it holds other files than an earlier dry run's."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file, not a folder; give --dry-run another")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / OURS).is_file():
        raise InputError(f"{folder}: holds other files; give --dry-run a new folder")
    for file in repository.ALL:
        for path in folder.glob(file):
            path.unlink()
    return folder


def _sent(hub: Any, folder: Path, name: str, private: bool) -> dict[str, str]:
    """Make the repository where there is none, and commit the files as one; its address and the commit."""
    api = hub.HfApi(library_name="resnets", library_version=__version__)
    try:
        api.create_repo(name, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            commit_message=f"Written by resnets {__version__}",
            delete_patterns=list(repository.ALL),
        )
    except Exception as error:  # of the Hub, or of the network by a library that huggingface_hub chooses
        status = getattr(getattr(error, "response", None), "status_code", None)
        remedy = f"; {LOGIN}" * (status == 401) + "; the token has no right to write there" * (status == 403)
        raise InputError(f"{name}: the Hub did not take it ({short(error)}){remedy}") from error
    return {"url": f"{api.endpoint}/{name}", "commit": done.oid}


# --- what is not for others -------------------------------------------------------------------------------------------------


def without_paths(header: Header, licence: str | None) -> Header:
    """The header as it is published: without folders of this machine, and with the licence."""
    provenance: Any = _cleaned(header.provenance)
    if "command" in provenance:
        words = (_word(word) for word in _split(str(header.provenance["command"])))
        provenance["command"] = shlex.join(words)
    if licence is not None:
        before = provenance.get("licence")
        provenance["licence"] = licence + f"; of the weights: {before}" * (before not in (None, licence))
    return dataclasses.replace(header, provenance=cast(Provenance, provenance))


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    return _last(value) if isinstance(value, str) else value


def _word(word: str) -> str:
    """A word of a command line, of which a flag's value may follow after "="."""
    flag, sign, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return flag + sign + ",".join(map(_last, value.split(",")))


def _last(text: str) -> str:
    """The last part of an absolute path, or of one in somebody's home; other text as it is."""
    if re.match(r"[A-Za-z]:[\\/]|\\\\", text):
        return PureWindowsPath(text).name
    return PurePosixPath(text).name if re.match(r"(file://)?[/~]", text) else text
