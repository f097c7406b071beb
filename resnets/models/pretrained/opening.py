"""The entry point of this package: any weights (a file, a folder or a name) to a header and tensors of ours."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.files import short
from resnets.models import header as saved
from resnets.models import weights
from resnets.models.header import Header
from resnets.models.pretrained import dense, dlib, facts, families, files, folding, infer, trunks
from resnets.models.pretrained.facts import USER, Facts
from resnets.models.pretrained.files import Foreign
from resnets.models.pretrained.names import locate, repository_of
from resnets.models.records import Origin, Provenance
from resnets.models.spec import ResNetSpec


@dataclass(frozen=True)
class Opened:
    """Weights that were read: the file, their header, and their tensors by our names."""

    path: Path
    header: Header
    tensors: dict[str, Tensor]

    @property
    def origin(self) -> Origin:
        """Source and terms of the weights, which must be kept in everything derived from them."""
        return saved.origin(self.header) or {"source": str(self.path)}

    @property
    def told(self) -> str:
        """The source and the terms of the weights as one line of text."""
        return saved.terms(self.header) or f"{self.header.spec.name} from {self.path}"


def open_weights(
    what: str | Path,
    *,
    model: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    labels: str | Path | Sequence[str] | None = None,
    hidden: Mapping[str, Any] | None = None,
    prefix: str | None = None,
) -> Opened:
    """Read a saved model, or another library's weights.

    Args:
        what: a file, a run directory, a Hugging Face folder, or a name (see `names`).
        model: a named network that another library's weights must belong to; it also determines what tensors do not show,
            such as where bottlenecks have their stride.
        mean, std: normalisation of images in [0, 1], one value per channel; default (None): as stated with the file.
        labels: class names, or a file with them; default (None): as stated with the file.
        hidden: fields of the spec that tensors do not show, such as `stem_stride`, to override the family's defaults.
        prefix: of another program's file: what names of the network's tensors begin with, such as "encoder" or
            "teacher.backbone"; "" for names without a prefix. What else is in the file is left out, and the
            provenance says so. Default (None): all tensors of the file belong to the network.

    Raises:
        InputError: if nothing is found, the file is damaged, is not a residual network that can be built here or not
            `model`, or its normalisation is unknown.
    """
    path = locate(what, model)
    if weights.is_ours(path):
        header, tensors = weights.read(path)
        weights.check_size(header.spec, tensors, path)
        user = facts.of_user(mean, std, labels, header.preprocess)
        header = dataclasses.replace(
            header,
            preprocess=user.preprocess or header.preprocess,
            labels=header.labels if user.labels is None else user.labels,
        )
        return Opened(path, _checked(header, path), tensors)
    if dlib.is_dlib(path):
        return _of_dlib(path, str(what), mean, std, model not in (None, dlib.SPEC.name) or prefix is not None or bool(hidden))
    file = files.read(path, prefix)
    if prefix is None:
        trunks.check_other(file.tensors, path)
    if prefix is None and dense.is_dense(file.tensors):
        header, tensors = dense.opened(file, str(what), mean, std, labels)
        return Opened(path, published(header, path), tensors)
    return _foreign(file, prefix, str(what), model, (mean, std, labels), hidden or {})


def _of_dlib(path: Path, source: str, mean: Any, std: Any, asked: bool) -> Opened:
    if asked:
        raise InputError(f"{path}: is {dlib.FAMILY}, a {dlib.SPEC.name} without prefixes; leave out --model and --prefix")
    header, tensors = dlib.opened(path, source, mean, std)
    weights.check_finite(tensors, path)
    return Opened(path, _checked(header, path), tensors)


def _foreign(
    file: Foreign, prefix: str | None, source: str, model: str | None, given: tuple[Any, Any, Any], asked: Mapping[str, Any]
) -> Opened:
    path, every, digest = file.path, file.tensors, facts.sha256(file.path)
    if prefix is not None:
        if file.kind == "hdf5":
            raise InputError(f"{path}: layers of Keras have no prefix; leave out --prefix")
        held, prefix = trunks.below(every, prefix, path)
        file = dataclasses.replace(file, tensors=dense.with_epsilon(held, dense.published_epsilon(digest)))
    family, theirs = families.recognise(file)
    try:
        tensors = family.ours(theirs)
        hidden = family.hidden(file, tensors) | dict(asked)
        tensors = family.finish(tensors)
    except (KeyError, IndexError, RuntimeError) as error:  # the conversion needs tensors that may be missing
        reason = short(error)
        raise InputError(f"{path}: looks like a file of {family.name}, but its tensors are different ({reason})") from None
    spec = infer.with_model(infer.infer(tensors, hidden, path), model, hidden, path)
    tensors, beside = infer.completed(tensors, spec, path)
    if beside and prefix is None:
        raise trunks.refusing(file, spec.name, beside)
    weights.check_finite(tensors, path)
    user = facts.of_user(*given, default_preprocess(spec))
    # A mean and standard deviation given by the user are in RGB order, for a network that takes RGB.
    if family.takes_bgr and user.preprocess is None and spec.order == "post" and spec.in_chans == 3:
        tensors = folding.stem_from_bgr(tensors)
    known = [
        user,
        facts.of_torchvision(digest),
        facts.of_configs(file),
        facts.of_family(family, spec),
    ]
    header, origins = combined([each for each in known if each], spec, path)
    provenance: Provenance = {"source": source, "family": family.name, **origins, "sha256": digest}
    if file.part:
        provenance["part"] = file.part
    if prefix is not None:
        provenance["prefix"] = prefix.rstrip(".")
        left = [*(name for name in every if not name.startswith(prefix)), *(f"{prefix}{name}" for name in beside)]
        provenance["left_out"] = trunks.listed(left, prefix) or "nothing"
    return Opened(path, _checked(dataclasses.replace(header, provenance=provenance), path), tensors)


def default_preprocess(spec: ResNetSpec) -> Preprocess:
    """The preprocessing apart from mean and std, if the user gives only those: the input size of the papers."""
    one = (0.5,) * spec.in_chans
    return Preprocess(size=(spec.img_size,) * 2, crop_pct=1.0 if spec.img_size <= 64 else 0.875, mean=one, std=one)


def combined(known: Sequence[Facts], spec: ResNetSpec, path: Path) -> tuple[Header, Provenance]:
    """Metadata of several sources as one header: for each entry the first source that states it is taken.

    Returns:
        The header, its provenance still empty; and for the provenance, where "preprocess" and "labels" come from, and
        "licence", "training_data" and "weights".

    Raises:
        InputError: if no source states the preprocessing.
    """

    def first(name: str, fits: Any = None) -> tuple[Any, str | None]:
        for each in known:
            if (value := getattr(each, name)) is not None and (fits is None or each.source == USER or fits(value)):
                return value, each.source
        return None, None

    preprocess, preprocess_by = first("preprocess", lambda preprocess: preprocess.in_chans == spec.in_chans)
    if preprocess is None:
        raise InputError(
            f"{path}: a {spec.name} with {spec.in_chans} input channel{'s' * (spec.in_chans > 1)}, and nothing says how its "
            "inputs are normalised; give --mean and --std to `resnets convert`, one value per channel, for values in [0, 1]"
        )
    labels, labels_by = first("labels", lambda labels: len(labels) == spec.num_classes)
    numbers = tuple(str(n) for n in range(spec.num_classes))
    origins = {"preprocess": preprocess_by, "labels": labels_by or facts.NUMBERS}
    origins |= {name: first(name)[0] for name in ("licence", "training_data", "weights")}
    header = Header(
        spec=spec,
        task="classify",
        preprocess=preprocess,
        labels=numbers if labels is None else labels,
        metrics={},
        provenance={},
    )
    return header, cast(Provenance, {name: value for name, value in origins.items() if value})


def _checked(header: Header, path: Path) -> Header:
    if len(header.labels) != header.spec.num_classes:
        raise InputError(f"{path}: {len(header.labels)} class names for {header.spec.num_classes} outputs; give one per output")
    if twice := [name for name, num in Counter(header.labels).items() if num > 1]:
        raise InputError(
            f"{path}: the class {twice[0][:40]!r} is there twice in what states the names; give others by --labels"
        )
    if header.preprocess.in_chans != header.spec.in_chans:
        raise InputError(
            f"{path}: mean and std for {header.preprocess.in_chans} channels, and the network takes {header.spec.in_chans}; "
            "give one value per channel"
        )
    return published(header, path)


def published(header: Header, path: Path) -> Header:
    """The header of a file with the repository that it was downloaded from in its provenance; of others as it is."""
    if (repository := repository_of(path)) is None:
        return header
    provenance: Provenance = {**header.provenance, "repository": repository}
    return dataclasses.replace(header, provenance=provenance)
