"""Locating weights: files, run directories, Hugging Face folders, bundled models, and names of published weights; also files
and folders in object stores (`stores`).

    torchvision/resnet50[.IMAGENET1K_V1]    torchvision's weights of a network; the default ones without an entry
    IMAGENET1K_V2, DEFAULT                  torchvision's weights of the network that `model` names
    ResNet50_Weights.IMAGENET1K_V2          torchvision's own notation
    timm/resnet50.a1_in1k                   a repository on the Hugging Face Hub; likewise microsoft/resnet-50
    hf-hub:owner/name, hf-hub:owner/name@revision   any repository, as timm writes it; of these only .safetensors is read
    hf/owner/name, hf/owner/name@revision   the same, which may hold pickles, opened as docs/weights.md says
    dlib/face                               dlib's network for faces, in a package of `pip install 'resnets[faces]'`

Caches, checksums, mirrors and offline settings are those of torch.hub (TORCH_HOME) and huggingface_hub (HF_HOME, HF_ENDPOINT,
HF_HUB_OFFLINE). torch is imported only when something is downloaded.
"""

from __future__ import annotations

import re
import sys
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets.errors import InputError
from resnets.files import in_package
from resnets.models import header as saved
from resnets.stores import copied

OURS = "resnets.safetensors"  # a saved model of this package, beside which other libraries' files are copies
IN_FOLDER = ("model.safetensors", "pytorch_model.bin", "tf_model.h5")  # the first that exists is used
BESIDE = ("config.json", "preprocessor_config.json", "README.md")
HUB = "hf-hub:"
MAX_WEIGHTS, MAX_BESIDE = 8 << 30, 1 << 22  # bytes that are downloaded of a file
PACKAGED = {"dlib/face": ("face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat", "faces")}
OWNERS = ("timm", "microsoft")  # owners on the Hub that need no "hf/" before them


@dataclass(frozen=True)
class Published:
    """An entry of torchvision's table of weights: the network, and which of its weights ("IMAGENET1K_V2")."""

    network: str
    entry: str


@dataclass(frozen=True)
class Repository:
    """A repository on the Hugging Face Hub: "owner/name", a revision (None: its main branch), and whether only its
    .safetensors files are read."""

    name: str
    revision: str | None = None
    only_safe: bool = False


def parse(what: str, model: str | None = None) -> Published | Repository | None:
    """Parse a name of published weights; None if `what` is not one.

    Raises:
        InputError: if it does not name the network and `model` is None.
    """
    if re.fullmatch(r"(torchvision/)?(IMAGENET1K_\w+|DEFAULT)", what):
        if model is None:
            raise InputError(f"{what}: weights of which network? Add --model, or write torchvision/resnet50.{what}")
        return Published(model, what.rpartition("/")[2])
    if found := re.fullmatch(r"torchvision/(\w+)(?:\.(\w+))?", what):
        return Published(found[1], found[2] or "DEFAULT")
    if found := re.fullmatch(r"(\w+)_Weights\.(\w+)", what):
        return Published(found[1].lower(), found[2])
    if found := re.fullmatch(rf"(?:hf/([\w.-]+)|({'|'.join(OWNERS)}))/([\w.-]+)(?:@([\w./-]+))?", what):
        return Repository(f"{found[1] or found[2]}/{found[3]}", found[4])
    if found := re.fullmatch(rf"{HUB}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", what):
        return Repository(found[1], found[2], only_safe=True)
    return None


def locate(what: str | Path, model: str | None = None) -> Path:
    """The file of the weights `what`; published weights are downloaded if they are not in the cache.

    Raises:
        InputError: if there is none, or it cannot be downloaded.
    """
    path = copied(what)
    if path.is_dir() and any((path / name).is_file() for name in (OURS, "config.json")):
        found = next((path / name for name in (OURS, *IN_FOLDER) if (path / name).is_file()), None)
        if found is None:
            raise InputError(f"{path}: config.json, but none of {', '.join(IN_FOLDER)}; download the weights too")
        return found
    if str(what) in PACKAGED and not path.exists():
        return in_package(*PACKAGED[str(what)])
    if path.exists() or (named := parse(str(what), model)) is None:
        return saved.find(path)
    return from_torchvision(named) if isinstance(named, Published) else from_hub(named)


def from_torchvision(named: Published) -> Path:
    """The file of an entry of torchvision's table, from torch.hub's cache or downloaded; its SHA-256 is checked.

    Raises:
        InputError: if there is no such entry, the download fails, or the cached file is not the published one.
    """
    import torch

    from resnets.models.pretrained.facts import sha256

    url = _url(named)
    start = url.rsplit("-", 1)[1].split(".")[0]
    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[1])
    if path.is_file():
        if not sha256(path).startswith(start):
            raise InputError(f"{path}: not what torchvision published under this name; delete it, and it is downloaded again")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), start, progress=sys.stderr.isatty())
    except (urllib.error.URLError, OSError) as error:
        raise InputError(
            f"{url}: cannot be downloaded ({getattr(error, 'reason', error)}); download it elsewhere, and put it at {path}"
        ) from None
    except RuntimeError as error:
        raise InputError(f"{url}: {error}; the download was damaged; try again") from None
    return path


def _url(named: Published) -> str:
    from torchvision import models

    known = [name for name in models.list_models(module=models) if re.match("resnet|resnext|wide_resnet", name)]
    if named.network not in known:
        raise InputError(f"torchvision has no weights of {named.network!r}; it has those of: {', '.join(known)}")
    entries: Any = models.get_model_weights(named.network)
    if named.entry not in entries.__members__:
        raise InputError(f"torchvision's {named.network} has {', '.join(entries.__members__)}, not {named.entry}")
    return str(entries[named.entry].url)


def from_hub(named: Repository) -> Path:
    """The weights file of a repository on the Hugging Face Hub, in its cache, with config and model card beside it.

    All files are of one commit, which is in the path of what is returned; see `repository_of`.

    Raises:
        InputError: if the repository has no weights file that is read, one is too large, or it cannot be downloaded.
    """
    try:
        from huggingface_hub import errors, get_hf_file_metadata, get_token, hf_hub_download, hf_hub_url
    except ImportError as error:
        raise InputError(f"{named.name} is on the Hugging Face Hub: pip install 'resnets[hub]' ({error})") from None
    revision, files = named.revision, IN_FOLDER[:1] if named.only_safe else IN_FOLDER
    reachable = True

    def fetch(name: str, most: int = MAX_WEIGHTS) -> Path | None:
        nonlocal revision, reachable
        size = 0
        try:
            if reachable:
                size = get_hf_file_metadata(hf_hub_url(named.name, name, revision=revision), token=get_token()).size or 0
        except Exception as error:  # what fails here fails below too, which also looks into the cache
            reachable = isinstance(error, errors.HfHubHTTPError)
        if size > most:
            raise InputError(f"{named.name}: its {name} has {size:,} bytes, more than the {most:,} that are downloaded")
        try:
            path = Path(hf_hub_download(named.name, name, revision=revision))
        except errors.LocalEntryNotFoundError as error:
            if name not in (BESIDE[0], files[-1]):
                return None  # offline it is unknown whether the repository has this file
            raise InputError(
                f"{named.name}: not in the cache, and the Hub cannot be reached (or HF_HUB_OFFLINE is set): {_line(error)}"
            ) from None
        except errors.RemoteEntryNotFoundError:
            return None
        except Exception as error:  # of the Hub, or of the network by a library that huggingface_hub chooses
            raise InputError(f"{named.name}: cannot be downloaded from the Hugging Face Hub: {_line(error)}") from None
        revision = path.parents[name.count("/")].name  # the commit: a later one has other files
        return path

    if (ours := fetch(OURS)) is not None:
        return ours
    for name in BESIDE:
        fetch(name, MAX_BESIDE)
    found = next((path for name in files if (path := fetch(name))), None)
    if found is None:
        more = f"; pickles are read of hf/{named.name}, as torch's weights_only does" * named.only_safe
        raise InputError(
            f"{named.name}: none of {', '.join((OURS, *files))} there{more or '; download its file, and give that'}"
        )
    return found


def repository_of(path: Path) -> str | None:
    """The repository and commit of a file in huggingface_hub's cache, as `parse` reads it; None for other files."""
    found = re.search(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{40})/", path.as_posix())
    return f"{HUB}{found[1]}/{found[2]}@{found[3]}" if found else None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
