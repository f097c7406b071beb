"""An index: vectors of images in an .npz, opened by memory map, to search for what is nearest to a picture.

index = resnets.Index("shop.npz")
index.search("photo.jpg", topk=5)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from resnets.data import sources
from resnets.data.machine import default_workers
from resnets.data.pictures.images import open_picture, pixels_of
from resnets.data.preprocess import Preprocess
from resnets.data.words import IMAGES_OF, PICTURES
from resnets.errors import InputError, is_whole
from resnets.files import is_file, short
from resnets.measures import neighbours
from resnets.models import header as saved
from resnets.models.pretrained.facts import sha256
from resnets.models.pretrained.names import locate
from resnets.ship import vectors
from resnets.ship.sessions import Session, is_exported
from resnets.verbs import approximate
from resnets.verbs.embed import Progress, Say, fill, images_of, is_same, named, record_of
from resnets.verbs.features import feature_session, of_files
from resnets.verbs.predict import Paths, find_files
from resnets.verbs.unfinished import Embedded, Unfinished

if TYPE_CHECKING:
    from resnets.models.model import Model

GREY = np.full((8, 8, 3), 200, np.uint8)
MOST_EXACT = 1_000_000  # vectors up to which a search compares all of them, unless an approximate one is asked for


class Neighbour(NamedTuple):
    """An image of an index that is near: its path, or what stands for it; its label and split, "" without; the distance, and
    its position in the index."""

    path: str
    label: str
    split: str
    distance: float
    position: int


class Index:
    """Vectors of N images, in a file of `resnets embed` or `resnets index`.

    Args:
        path: the .npz.

    Raises:
        InputError: where it is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._graph: Any = None
        self._images: dict[tuple[str, str], tuple[Any, int]] | None = None
        self._open()

    def _open(self) -> None:
        self.vectors = vectors.open_npz(self.path)
        self.header, self.metric = self.vectors.header, str(self.vectors.header["metric"])

    def __len__(self) -> int:
        return len(self.vectors)

    # --- searching ---

    def nearest(self, vectors: Any, topk: int = 10, *, approximately: bool | None = None) -> list[list[Neighbour]]:
        """For each vector the `topk` nearest images, the nearest first.

        Args:
            vectors: (M, num_features), or one (num_features,), of the model that made the index.
            approximately: by a graph instead of all vectors; None: beyond a million of them, where there is one.

        Raises:
            InputError: for an empty index, vectors of another size or that are not finite, and where a graph is asked for
                that was not built on this machine (`make_graph`).
        """
        queries = np.atleast_2d(np.asarray(vectors, np.float32))
        if not is_whole(topk) or topk < 1:
            raise InputError(f"topk={short(repr(topk))}: give a whole number of at least 1")
        if not len(self):
            raise InputError(f"{self.path}: the index is empty; add images by `resnets index {self.path} --add DATA`")
        width = self.vectors.vectors.shape[1]
        if queries.ndim != 2 or queries.shape[1] != width:
            raise InputError(f"vectors of shape {queries.shape}; the index has vectors of {width} numbers, by another model")
        found = self.vectors
        graph = self._graph_for(approximately)
        if graph is None:
            near = neighbours.nearest(queries, found.vectors, topk, metric=self.metric, lengths=found.lengths)
        else:
            near = neighbours.ranked(
                queries, found.vectors, approximate.proposals(graph, found, queries, topk), topk, self.metric
            )
        return [
            [self.neighbour(place, distance) for place, distance in zip(*row, strict=True)]
            for row in zip(near.positions.tolist(), near.distances.tolist(), strict=True)
        ]

    def neighbour(self, position: int, distance: float = 0.0) -> Neighbour:
        """The image at a position."""
        found = self.vectors
        label, split = (value[position].decode(errors="backslashreplace") for value in (found.labels, found.splits))
        return Neighbour(os.fsdecode(bytes(found.paths[position])), label, split, distance, position)

    def search(
        self,
        pictures: Paths,
        topk: int = 10,
        *,
        model: str | Path | Model | None = None,
        approximately: bool | None = None,
        say: Say = lambda text: None,
        **options: Any,
    ) -> dict[str, list[Neighbour]]:
        """The nearest images of each picture that can be read, by its path.

        Args:
            pictures: files and folders.
            model: the model that made the index; None: from where it lay then.
            say: called with a line on each picture that cannot be read.
            options: of `open_model`.

        Raises:
            InputError: as `nearest` and `open_model`; where no picture can be read.
        """
        session, bad = self.open_model(model, **options), ""
        found: dict[str, list[Neighbour]] = {}
        for each in of_files(session, find_files(session.header, pictures)):
            if each.answer is None:
                bad = f"{each.row['path']}: {each.row['error']}"
                say(f"left out {bad}")
            else:
                found[each.row["path"]] = self.nearest(each.answer, topk, approximately=approximately)[0]
        if not found:
            raise InputError(bad)
        return found

    def open_model(self, model: str | Path | Model | None = None, **options: Any) -> Session:
        """A session of the model that made the index.

        Args:
            model: that model; None: from where it lay then.
            options: runtime, device, amp, as `feature_session` has them.

        Raises:
            InputError: where it is not there any more, and for another model, stage or preprocessing.
        """
        own = self.header["model"]
        name = f"{short(str(own.get('name')))} (sha256 {str(own.get('sha256'))[:12]}, stage {short(str(own.get('stage')))})"
        again = "give the model that made it, or make the index anew by `resnets index`"
        if model is None:
            model = self._model_file(name)
        elif isinstance(model, str | os.PathLike) and not is_exported(Path(model)):
            self._check_file(locate(model), name, again)
        session = feature_session(model, stage=own.get("stage"), **options)
        if not is_same(own, record_of(session, model)):
            raise InputError(f"{self.path}: made by {name}, not by this model; {again}")
        if session.header.preprocess.to_json() != Preprocess(**self.header["preprocess"]).to_json():
            raise InputError(f"{self.path}: made with another preprocessing than this model's; {again}")
        return session

    def _model_file(self, name: str) -> Path:
        """The file that made the index, as its header says: only a file that is there is opened by that, nothing fetched."""
        where = self.header["model"].get("path")
        try:
            path = saved.find(str(where))
        except InputError:
            gone = f"made by {name}, which is not at {short(str(where))} any more" if where else f"made by {name} in memory"
            raise InputError(f"{self.path}: {gone}; give the model by --model") from None
        return self._check_file(path, name, "give the one that made it by --model")

    def _check_file(self, path: Path, name: str, remedy: str) -> Path:
        """The file of a model, if it made the index: before it is opened."""
        if not is_exported(path) and sha256(path) != self.header["model"].get("sha256"):
            raise InputError(f"{self.path}: made by {name}, and {path} holds other weights; {remedy}")
        return path

    def picture(self, position: int) -> np.ndarray | None:
        """The image at a position, uint8 (H, W, C); None where it cannot be read, as one that was removed since."""
        near, chans = self.neighbour(position), int(Preprocess(**self.header["preprocess"]).in_chans)
        try:
            if Path(near.path).is_absolute():
                return pixels_of(open_picture(near.path, chans))
            images, number = self._not_files(chans)[near.split, near.path]
            return np.asarray(images[number])
        except (InputError, KeyError):
            return None

    def _not_files(self, chans: int) -> dict[tuple[str, str], tuple[Any, int]]:
        """Where the images are that are in no file of their own, by split and name: of the data that the index was made of."""
        if self._images is None:
            self._images = {}
            for each in filter(is_file, self._data()):  # arrays; nothing is fetched, and no folder searched
                for split, words in sources.in_words(each, in_chans=chans)[0].items():
                    for number in range(len(words.images)):
                        self._images.setdefault((split, words.images.name(number)), (words.images, number))
        return self._images

    def check_drawn(self) -> None:
        """Raise `InputError` where what is indexed are no pictures."""
        if (images := IMAGES_OF[len(Preprocess(**self.header["preprocess"]).size)]) != PICTURES:
            raise InputError(f"{self.path}: an index of {images}, and only pictures are drawn; search it without --draw")

    def cell(self, position: int) -> tuple[np.ndarray, str]:
        """The image at a position to be drawn, a grey square where it cannot be read, and what it is called: its label, or else
        its name."""
        near, picture = self.neighbour(position), self.picture(position)
        return (GREY if picture is None else picture), near.label or Path(near.path).name

    # --- changing ---

    def add(
        self,
        data: Any,
        *,
        model: str | Path | Model | None = None,
        split: str | None = None,
        batch_size: int = 16,
        workers: int | None = None,
        resume: bool = False,
        data_dir: str | Path | None = None,
        say: Say = lambda text: None,
        progress: Progress = lambda done, num: None,
        **options: Any,
    ) -> Embedded:
        """Add the images of `data` that are not there yet; the arguments are those of `embed`. The file is written anew, and
        whoever has it open keeps the old one.

        Raises:
            InputError: as `embed` and `open_model`.
        """
        session = self.open_model(model, **options)
        graph = approximate.opened(self.vectors, to_change=True)
        with Unfinished(self.path, {**self.header, "data": self._data_with(data)}, resume=resume, before=self.vectors) as new:
            parts = images_of(session.header, data, data_dir=data_dir, say=say, split=split)
            fill(new, session, parts, batch_size=batch_size, workers=workers, say=say, progress=progress)
            result = new.finish()
        self._written(graph)
        return result

    def _data_with(self, data: Any) -> list[str]:
        return list(dict.fromkeys([*self._data(), *named(data)]))

    def _data(self) -> list[str]:
        """The data that the index was made of, as its header names it."""
        known = self.header.get("data")
        return [each for each in known if isinstance(each, str)] if isinstance(known, list) else []

    def remove(self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> int:
        """Take images out, which are named by their paths, or as the index has them, or by a folder above them; how many.

        Raises:
            InputError: where one of `paths` names no image of the index, and where none would be left.
        """
        own = [bytes(each) for each in self.vectors.paths]
        gone = np.zeros(len(self), bool)
        named = [paths] if isinstance(paths, str | os.PathLike) else paths
        for path in [os.fspath(each) for each in named]:
            whole = os.fsencode(Path(path).absolute())
            here = np.array([each in (whole, os.fsencode(path)) or each.startswith(whole + os.sep.encode()) for each in own])
            if not here.any():
                raise InputError(f"{path}: no image of {self.path} is called so, or lies there; nothing was removed")
            gone |= here
        if gone.all():
            raise InputError(f"{self.path}: all {len(self)} images would go; nothing was removed, delete the file instead")
        graph = approximate.opened(self.vectors, to_change=True)
        if graph is not None:
            graph.remove(np.asarray(self.vectors.ids[gone]))
        vectors.write(self.path, dict(self.header), [self.vectors], [np.flatnonzero(~gone)])
        self._written(graph)
        return int(gone.sum())

    def _written(self, graph: Any) -> None:
        """Open the file that took the place of the old one, and bring the graph of that, if there was one, up to date."""
        before = str(self.header.get("digest"))
        self._open()
        self._graph = self._images = None
        if graph is not None:
            approximate.keep(
                approximate.build(self.vectors, default_workers(), lambda done, num: None, graph), self._digest, before
            )

    @property
    def _digest(self) -> str:
        return str(self.header["digest"])

    # --- approximate search ---

    def make_graph(self, *, threads: int | None = None, progress: Progress = lambda done, num: None) -> Path:
        """Build the graph for approximate search, on this machine; where it lies. Raises `InputError` without the extra."""
        graph = approximate.build(self.vectors, threads or default_workers(), progress)
        return approximate.keep(graph, self._digest)

    def _graph_for(self, approximately: bool | None) -> Any:
        """The graph to search by; None: all vectors are compared."""
        if approximately is False or (approximately is None and len(self) <= MOST_EXACT):
            return None
        if self._graph is None and approximate.path_of(str(self.header.get("digest"))).is_file():
            self._graph = approximate.opened(self.vectors)
        if self._graph is None and approximately:
            raise InputError(
                f"{self.path}: no graph for approximate search is on this machine; build it by `resnets index {self.path} "
                "--approximate`"
            )
        return self._graph


def as_rows(found: Sequence[Neighbour]) -> list[dict[str, Any]]:
    """What JSON can hold of neighbours; "missing": the file is not there any more."""
    return [
        {
            **{key: value for key, value in near._asdict().items() if value != "" and key != "position"},
            **({"missing": True} if is_missing(near) else {}),
        }
        for near in found
    ]


def is_missing(near: Neighbour) -> bool:
    """Whether it is a file that is not there any more."""
    return Path(near.path).is_absolute() and not Path(near.path).is_file()


def draw_found(index: Index, found: Mapping[str, Sequence[Neighbour]], path: str | Path) -> Path:
    """Draw each picture, by its path, beside what is nearest. See `draw_nearest`."""
    chans = int(Preprocess(**index.header["preprocess"]).in_chans)
    rows = [(Path(name).name, pixels_of(open_picture(name, chans)), near) for name, near in found.items()]
    return draw_nearest(index, rows, path)


def draw_nearest(index: Index, rows: Sequence[tuple[str, np.ndarray, Sequence[Neighbour]]], path: str | Path) -> Path:
    """Draw each picture at the left of a row, and at its right what is nearest, with distances; a grey square where an image is
    not there any more.

    Args:
        rows: name, uint8 (H, W, C), and what is nearest.
    """
    from resnets.draw.gallery import gallery

    cells: list[tuple[np.ndarray, str]] = []
    for name, picture, found in rows:
        cells.append((picture, f"{name}\n"))
        for near in found:
            image, caption = index.cell(near.position)
            cells.append((image, f"{caption}\n{near.distance:.3f}"))
    pictures, captions = zip(*cells, strict=True)
    columns = 1 + max(len(found) for _, _, found in rows)
    return gallery(pictures, captions, path, columns=columns, title="Each picture, and the nearest images")
