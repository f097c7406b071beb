"""`resnets embed`, `index`, `search` and `cluster`: images as vectors, and what is near to what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from resnets.cli.options import (
    CONTEXT,
    EPILOG,
    amp_flag,
    block_flags,
    check_engine,
    data_dir_flag,
    device_flag,
    json_flag,
    runtime_flag,
)
from resnets.draw.text import printable, visible
from resnets.errors import InputError
from resnets.files import to_json

Command = TypeVar("Command", bound=Callable[..., Any])
SPLITS = click.Choice(["train", "val", "test"])
batch_flag = click.option("--batch-size", "-b", type=click.IntRange(1), default=16, help="images per batch  [16]")
workers_flag = click.option(
    "--workers", "-j", type=click.IntRange(0), help="threads that decode and compute  [one per CPU, up to 8]"
)
metric_flag = click.option(
    "--metric", type=click.Choice(["cosine", "euclidean"]), help="the distance that the file is searched by  [cosine]"
)
stage_flag = click.option("--stage", metavar="TEXT", help="the level that is pooled, such as c4  [the last]")
split_flag = click.option("--split", type=SPLITS, help="only this split of DATA  [all]")
resume_flag = click.option("--resume", is_flag=True, help="go on with what an interrupted call has left")


def computing(command: Command) -> Command:
    """The flags of commands that make vectors of many images."""
    for flag in (data_dir_flag, device_flag, amp_flag, runtime_flag, workers_flag, batch_flag, resume_flag, split_flag):
        command = flag(command)
    return command


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Write the features of images to a file.")
@click.argument("model")
@click.argument("data", nargs=-1, required=True)
@click.option("--out", "-o", metavar="FILE", required=True, help="the .npz or .parquet to write")
@stage_flag
@metric_flag
@block_flags
@computing
@json_flag
def embed(model: str, data: tuple[str, ...], *, out: str, as_json: bool, **options: Any) -> None:
    """Write what MODEL makes of each image of DATA (a folder, files, or a dataset in any layout) to a file: a vector for each
    image, its features pooled over space, beside its path, split and label."""
    check_engine(**{name: options[name] for name in ("engine", "num_workers", "block_size")})
    say_embedded(_embedded(model, data, out, **options), as_json)


def _embedded(
    model: str,
    data: tuple[str, ...],
    out: str,
    *,
    metric: str | None,
    engine: str | None = None,
    num_workers: int | None = None,
    block_size: int | None = None,
    **options: Any,
) -> Any:
    from resnets.verbs import embed, in_blocks

    options |= {"metric": metric or "cosine"}
    write: Callable[..., Any] = embed.embed
    if engine is not None:
        write, options = in_blocks.embed, options | {"engine": engine, "num_workers": num_workers, "block_size": block_size}
    return _watched(lambda **watch: write(model, data[0] if len(data) == 1 else list(data), out, **options, **watch), out)


def _watched(call: Callable[..., Any], out: str) -> Any:
    """The result of a call that makes vectors, watched; told how to go on where Ctrl-C ends it."""
    from resnets.cli.progress import counting, say

    try:
        with counting("embedding") as progress:
            return call(say=say, progress=progress)
    except KeyboardInterrupt:
        click.echo(visible(f"stopped; what was done is kept beside {out}; to go on: the same command with --resume"), err=True)
        raise


def say_embedded(result: Any, as_json: bool) -> None:
    if as_json:
        click.echo(to_json(result))
        return
    bad = f"; {result['num_unreadable']:,} images could not be read" * (result["num_unreadable"] > 0)
    width = f" of {result['num_features']:,} numbers" if "num_features" in result else ""  # a folder of parts has them
    words = f"{result['num_images']:,} vectors{width}"
    click.echo(visible(f"{words} written to {result['file']}{bad}"))


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Make an index of images to search, or change one.")
@click.argument("words", nargs=-1, required=True, metavar="MODEL DATA... | INDEX")
@click.option("--out", "-o", metavar="FILE", help="the .npz to write, of MODEL and DATA")
@click.option("--add", metavar="DATA", multiple=True, help="add images to INDEX: those that are not there yet")
@click.option("--remove", metavar="PATH", multiple=True, help="take an image, or those in a folder, out of INDEX")
@click.option(
    "--approximate", is_flag=True, help="build the graph for approximate search (extra search; some minutes a million)"
)
@click.option("--model", metavar="MODEL", help="of INDEX, where it does not lie any more where it was")
@stage_flag
@metric_flag
@computing
@json_flag
def index(words: tuple[str, ...], *, out: str | None, as_json: bool, **options: Any) -> None:
    """Make an index of DATA (a folder, files, or a dataset in any layout) by MODEL, for `resnets search`; or change INDEX.

    \b
    resnets index MODEL DATA -o FILE        make one
    resnets index INDEX --add DATA          add images
    resnets index INDEX --remove PATH       take images out
    resnets index INDEX --approximate       build the graph for approximate search, on this machine
    """
    add, remove, graph, model = (options.pop(name) for name in ("add", "remove", "approximate", "model"))
    if out is not None:
        if len(words) < 2 or add or remove or model:
            raise InputError("to make an index, give MODEL, DATA and -o FILE; to change one, INDEX with --add or --remove")
        if not out.endswith(".npz"):
            raise InputError(f"{out}: an index is an .npz; name it so")
        result = _embedded(words[0], words[1:], out, **options)
    else:
        if len(words) > 1 or not (add or remove or graph):
            raise InputError(
                "to make an index, name the file to write by -o; to change one, give --add, --remove or --approximate"
            )
        result = _changed(words[0], add, remove, graph, model, **options)
    if graph:
        result["graph"] = _graph(result["file"])
    say_embedded(result, as_json)


def _changed(
    path: str,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    graph: bool,
    model: str | None,
    *,
    stage: str | None,
    metric: str | None,
    **options: Any,
) -> Any:
    from resnets.verbs.index import Index

    if stage or metric:
        raise InputError("--stage and --metric are settled when an index is made; leave them out")
    opened = Index(path)
    if remove:
        num = opened.remove(remove)
        click.echo(visible(f"{num:,} images taken out"), err=True)
    result: dict[str, Any] = {
        "file": path, "num_images": len(opened), "num_features": opened.vectors.vectors.shape[1], "num_unreadable": 0
    }  # fmt: skip
    if add:
        data = add[0] if len(add) == 1 else list(add)
        result = _watched(lambda **watch: opened.add(data, model=model, **options, **watch), path)
    return result


def _graph(path: str) -> str:
    from resnets.cli.progress import counting
    from resnets.verbs.index import Index

    with counting("graph", "vectors") as progress:
        return str(Index(path).make_graph(progress=progress))


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Search an index for images like a picture.")
@click.argument("index", metavar="INDEX")
@click.argument("pictures", nargs=-1, required=True, metavar="PICTURE...")
@click.option("--topk", type=click.IntRange(1), default=10, help="images to find for each picture  [10]")
@click.option(
    "--draw", metavar="FILE", type=click.Path(path_type=Path), help="draw each PICTURE beside what is nearest, as PNG"
)
@click.option("--model", metavar="MODEL", help="the model that made INDEX  [from where it lay then]")
@click.option("--approximate/--exact", "approximately", default=None, help="[exact up to a million images]")
@runtime_flag
@amp_flag
@device_flag
@json_flag
def search(
    index: str,
    pictures: tuple[str, ...],
    *,
    topk: int,
    draw: Path | None,
    model: str | None,
    approximately: bool | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Find in INDEX the images that are nearest to each PICTURE (files or folders), with their distances."""
    from resnets.cli.progress import say
    from resnets.verbs.index import Index, as_rows, draw_found, is_missing

    opened = Index(index)
    if draw is not None:
        opened.check_drawn()
    if told := opened.header["model"].get("terms"):
        click.echo(visible(f"weights  {told}"), err=True)
    found = opened.search(pictures, topk, model=model, approximately=approximately, say=say, **options)
    if draw is not None:
        draw_found(opened, found, draw)
    gone = {near.path for row in found.values() for near in row if is_missing(near)}
    if gone:
        click.echo(visible(f"{len(gone)} of these images are not there any more, as {min(gone)}"), err=True)
    if as_json:
        rows = [{"path": path, "nearest": as_rows(row)} for path, row in found.items()]
        drawn = {} if draw is None else {"drawn": str(draw)}
        click.echo(to_json({"index": index, "metric": opened.metric, "pictures": rows, **drawn}))
        return
    for path, row in found.items():
        click.echo(visible(f"{path}: nearest of {len(opened):,} images by {opened.metric} distance"))
        for near in row:
            words = "  ".join(filter(None, (f"{near.distance:10.4f}", near.label, near.path, "(not there)" * is_missing(near))))
            click.echo(visible(words))
    if draw is not None:
        click.echo(visible(f"drawn: {draw}"))


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Find images that belong together.")
@click.argument("file", metavar="FILE")
@click.option("--out", "-o", metavar="FILE", required=True, help="the .csv to write: path,cluster,split,label")
@click.option(
    "--threshold",
    type=click.FloatRange(0, min_open=True),
    help="join clusters up to this mean distance  [none: by density, at whatever distances there are (HDBSCAN)]",
)
@click.option("--min-size", type=click.IntRange(2), default=2, help="images that make a cluster, at least  [2]")
@click.option("--draw", metavar="FILE", help="draw the largest clusters, as PNG")
@json_flag
def cluster(file: str, *, out: str, as_json: bool, **options: Any) -> None:
    """Find the clusters of images in FILE (of `resnets embed` or `index`), whose number need not be known: of faces, say, the
    people. Where all images have labels, also how well these agree with the clusters."""
    from resnets.verbs.cluster import cluster

    result = cluster(file, out, **options)
    if as_json:
        click.echo(to_json(result))
        return
    lines = [
        f"{result['num_images']:,} images: {result['num_clusters']:,} clusters, {result['num_alone']:,} images by themselves "
        f"({result['method']})",
        f"largest: {', '.join(map(str, result['largest'])) or 'none'}",
    ]
    if "agreement" in result:
        cells = {key: "-" if value is None else f"{value:.4f}" for key, value in result["agreement"].items()}
        for name in ("pairwise", "bcubed"):
            parts = (
                f"{words} {cells[f'{name}_{key}']}"
                for key, words in (("precision", "precision"), ("recall", "recall"), ("f", "F"))
            )
            lines.append(f"{'BCubed' if name == 'bcubed' else name}: {', '.join(parts)}")
    lines.append(f"written: {result['file']}")
    click.echo(printable("\n".join(map(visible, lines))))
