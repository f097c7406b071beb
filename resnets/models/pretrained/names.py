"""Locating weights: files, run directories, Hugging Face folders, bundled models, and names of published weights.

    torchvision/resnet50[.IMAGENET1K_V1]    torchvision's weights of a network; the default ones without an entry
    IMAGENET1K_V2, DEFAULT                  torchvision's weights of the network that `model` names
    ResNet50_Weights.IMAGENET1K_V2          torchvision's own notation
    timm/resnet50.a1_in1k                   a repository on the Hugging Face Hub; likewise microsoft/resnet-50
    hf/owner/name, hf/owner/name@revision   any other repository
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

IN_FOLDER = ("model.safetensors", "pytorch_model.bin", "tf_model.h5")  # the first that exists is used
BESIDE = ("config.json", "preprocessor_config.json", "README.md")
PACKAGED = {"dlib/face": ("face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat", "faces")}
OWNERS = ("timm", "microsoft")  # owners on the Hub that need no "hf/" before them


@dataclass(frozen=True)
class Published:
    """An entry of torchvision's table of weights: the network, and which of its weights ("IMAGENET1K_V2")."""

    network: str
    entry: str


@dataclass(frozen=True)
class Repository:
    """A repository on the Hugging Face Hub: "owner/name", and a revision; None: its main branch."""

    name: str
    revision: str | None = None


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
    return None


def locate(what: str | Path, model: str | None = None) -> Path:
    """The file of the weights `what`; published weights are downloaded if they are not in the cache.

    Raises:
        InputError: if there is none, or it cannot be downloaded.
    """
    path = Path(what)
    if path.is_dir() and (path / "config.json").is_file():
        found = next((path / name for name in IN_FOLDER if (path / name).is_file()), None)
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

    Raises:
        InputError: if the repository has no weights file, or it cannot be downloaded.
    """
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError as error:
        raise InputError(f"{named.name} is on the Hugging Face Hub: pip install 'resnets[hub]' ({error})") from None

    def fetch(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(named.name, name, revision=named.revision))
        except errors.LocalEntryNotFoundError as error:
            if name not in (BESIDE[0], IN_FOLDER[-1]):
                return None  # offline it is unknown whether the repository has this file
            raise InputError(
                f"{named.name}: not in the cache, and the Hub cannot be reached (or HF_HUB_OFFLINE is set): {_line(error)}"
            ) from None
        except errors.RemoteEntryNotFoundError:
            return None
        except (errors.HfHubHTTPError, ValueError, OSError) as error:
            raise InputError(f"{named.name}: cannot be downloaded from the Hugging Face Hub: {_line(error)}") from None

    for name in BESIDE:
        fetch(name)
    found = next((path for name in IN_FOLDER if (path := fetch(name))), None)
    if found is None:
        raise InputError(f"{named.name}: none of {', '.join(IN_FOLDER)} there; download its file, and give that")
    return found


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
