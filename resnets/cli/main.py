"""`resnets VERB`: parsing, printing, exit codes. A verb imports its room when it runs, so that the others answer at once."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from resnets import __version__
from resnets.cli import dense, paper, tables
from resnets.cli.options import SPEC_FLAGS, SectionedCommand, recipe_flags, spec_flags
from resnets.engine.recipe import parse
from resnets.errors import InputError, Interrupted, ProcessEnded

BEGAN = time.perf_counter()
# What the system says of a path that the user gave.
PATH_ERRORS = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)

EPILOG = "Bad input ends with 2 and a line that says what to do; --debug, anywhere, shows where it was found."
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
data_dir_flag = click.option(
    "--data-dir", metavar="DIR", help="where known sets lie  [$RESNETS_DATA, else ~/.cache/resnets/datasets]"
)
device_flag = click.option("--device", default="auto", metavar="TEXT", help="cpu, cuda, mps  [auto]")
runtime_flag = click.option(
    "--runtime",
    type=click.Choice(["auto", "torch", "onnxruntime", "openvino"]),
    default="auto",
    help="what computes  [auto: by the suffix]",
)
amp_flag = click.option("--amp", is_flag=True, help="compute in bfloat16 (torch, openvino): faster, less exact")
json_flag = click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout, nothing else there")
rounds_flag = click.option("--rounds", type=click.IntRange(1), default=3, help="how often each row is measured  [3]")
rows_flag = click.option("--rows", metavar="NAME,...", help="what to measure, separated by commas  [most]")
bench_out_flag = click.option("--out", metavar="FILE", help="write FILE.json, and the table as FILE.md")


@click.group(context_settings=CONTEXT, epilog=EPILOG)
@click.version_option(__version__, "-V", "--version", message="resnets %(version)s")
def cli() -> None:
    """Residual networks: define, train, evaluate and use them.

    `resnets train` alone trains a ResNet-20 to read handwritten digits; `resnets train FOLDER` learns from yours.
    """


@cli.command(cls=SectionedCommand, context_settings=CONTEXT, epilog=EPILOG, short_help="Train a network.")
@click.argument("data", required=False)
@recipe_flags
@click.option("--out", metavar="DIR", help="the run directory  [runs/TASK/trainN]")
@click.option("--resume", is_flag=True, help="go on with the run in --out, or the newest, exactly where it was saved")
@data_dir_flag
@json_flag
def train(data: str | None, out: str | None, resume: bool, data_dir: str | None, as_json: bool, **settings: Any) -> None:
    """Train a network on DATA (digits if left out): a known set (digits, cifar10, cifar100), a folder of classes with or
    without train/val/test, a CSV list (path,label), or a .npz of arrays."""
    from resnets.cli.progress import watch
    from resnets.ship.external import NETWORKS
    from resnets.verbs import folds
    from resnets.verbs.train import train

    options: dict[str, Any] = {"out": out, "resume": resume, "data_dir": data_dir, "began": BEGAN, **settings}
    if folds.asked({"data": data, **settings}, out, resume=resume):
        with watch() as reporter:
            whole = folds.cross_validate(data, reporter=reporter, **options)
        click.echo(json.dumps({"run": str(whole.path)} | whole.to_json()) if as_json else tables.folds(whole.to_json()))
        if not as_json:
            click.echo(f"all of it in {whole.path / folds.SUMMARY}")
        return
    with watch() as reporter:
        run = train(data, reporter=reporter, networks=NETWORKS, **options)
    if not run.result:  # of several processes the first one tells
        return
    bad = run.path / "bad_images.csv"
    if bad.exists():
        with bad.open(newline="", encoding="utf-8") as file:
            num_bad = sum(1 for _ in csv.DictReader(file))
        click.echo(tables.visible(f"{num_bad} pictures could not be read and were skipped; {bad} names them"), err=True)
    result = {"run": str(run.path), "seconds": round(time.perf_counter() - BEGAN, 2)} | run.result
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
        return
    click.echo(tables.evaluation(result))
    click.echo(f"{result['seconds']:.0f} s; all of it in {run.path / 'report.html'}")
    if "/" not in run.model.spec.name:  # another library's, for comparison only
        click.echo(f"use it: resnets predict {shlex.quote(str(run.path))} PICTURE...")


@cli.command(
    "eval", context_settings=CONTEXT, epilog=EPILOG, short_help="Accuracy of a model on data, and how each class does."
)
@click.argument("model")
@click.argument("data")
@click.option("--split", type=click.Choice(["val", "test", "train"]), help="[test, else val, else train]")
@click.option("--out", metavar="DIR", help="write evaluation.json and drawings there")
@click.option("--batch-size", "-b", type=click.IntRange(1), default=256, help="pictures at once  [256]")
@click.option("--workers", "-j", type=click.IntRange(0), help="processes that decode  [one a processor]")
@click.option("--max-bad", type=click.IntRange(0), help="unreadable pictures to skip  [1 %, at least 10]")
@click.option("--ignore-index", type=click.IntRange(0, 255), help="of masks: an index that says nothing  [as trained]")
@runtime_flag
@amp_flag
@device_flag
@data_dir_flag
@json_flag
def evaluate(model: str, data: str, as_json: bool, **options: Any) -> None:
    """Evaluate MODEL (a .safetensors file, a run directory or an exported file) on DATA: accuracy, and how each class does."""
    from resnets.verbs.evaluate import evaluate

    result = evaluate(model, data, **options)
    if "weights" in result:
        click.echo(tables.visible(f"weights  {result['weights']}"), err=True)
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else tables.evaluation(result, per_class=True))


@cli.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Say what a model sees in pictures.")
@click.argument("model")
@click.argument("pictures", nargs=-1, required=True)
@click.option("--topk", type=click.IntRange(1), default=5, help="classes to name for a picture  [5]")
@click.option(
    "--format",
    "form_name",
    type=click.Choice(["table", "json", "csv"]),
    help="json: one object a line  [by the suffix of --out, else table]",
)
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="write there, each row when it is ready  [stdout]")
@click.option("--resume", is_flag=True, help="go on with --out: leave out pictures that it has rows of")
@click.option("--batch-size", "-b", type=click.IntRange(1), default=16, help="pictures at once  [16]")
@click.option("--workers", "-j", type=click.IntRange(0), help="threads that decode and predict  [one a processor, up to 8]")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, help="of detectors: the least score of an object  [0.5]")
@click.option("--draw", metavar="DIR", type=click.Path(path_type=Path), help="draw what is found where, a PNG a picture")
@click.option(
    "--masks",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="write class indices, or numbers of objects, as PNG or NIfTI",
)
@runtime_flag
@amp_flag
@device_flag
def predict(
    model: str,
    pictures: tuple[str, ...],
    *,
    form_name: str | None,
    out: Path | None,
    resume: bool,
    topk: int,
    runtime: str,
    amp: bool,
    device: str,
    threshold: float,
    draw: Path | None,
    masks: Path | None,
    **options: Any,
) -> None:
    """Say what MODEL sees in PICTURES: files, and folders with all that is below them. Of a detector or a segmenter, where."""
    from resnets.data.pictures.images import FileImages
    from resnets.models import header as saved
    from resnets.ship.sessions import dense_header, for_pictures, open_session
    from resnets.verbs import rows
    from resnets.verbs.predict import find_pictures, stream

    if (found_header := dense_header(model)) is not None:
        if runtime not in ("auto", "torch"):
            raise InputError(f"the task {found_header.task} runs in torch only, so far; leave out --runtime {runtime}")
        told: dict[str, Any] = {"form_name": form_name, "out": out, "resume": resume, "device": device, "amp": amp}
        dense.predict(model, found_header, pictures, threshold=threshold, draw=draw, masks=masks, **told)
        return
    if draw or masks:
        raise InputError("--draw and --masks are for models that say where things are; this one classifies; leave them out")
    form = rows.form_of(form_name, out)
    rows.check_out(out, form, resume)
    session = open_session(model, runtime=runtime, device=device, amp=amp)
    header = for_pictures(session.header)
    if terms := saved.terms(header):
        click.echo(tables.visible(f"weights  {terms}"), err=True)
    topk = min(topk, len(header.labels))
    images = FileImages(find_pictures(pictures), header.spec.in_chans)
    held = rows.held(out, form, topk, resume)
    todo = held.without(images)
    if not len(todo):
        click.echo(tables.visible(f"nothing left to do: {out} has a row of each of the {len(images)} pictures"))
        return
    found, num = stream(session, todo, topk=topk, **options), len(todo)
    bad = rows.write_all(found, num, out=out, form=form, topk=topk, held=held, resume=resume)
    if out:
        click.echo(tables.visible(f"{num} rows written to {out}"))
    rows.check_some(bad, num, held)


@cli.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Write a model for other programs, and check it.")
@click.argument("model")
@click.option("--format", "form", type=click.Choice(["onnx", "openvino", "torch"]), required=True, help="what to write")
@click.option("--int8", metavar="DATA", help="quantise to 8 bits, calibrated and checked on DATA")
@click.option("--out", "-o", metavar="FILE", help="the file  [beside the model]")
@click.option("--data", metavar="DATA", help="pictures to check on  [those of --int8, or of the training, or samples]")
@click.option("--num-check", type=click.IntRange(1), default=1000, help="pictures to check on, at most  [1000]")
@click.option("--force", is_flag=True, help="keep the file although the check refuses it")
@data_dir_flag
@json_flag
def export(model: str, form: str, as_json: bool, **options: Any) -> None:
    """Write MODEL (a .safetensors file or a run directory) as ONNX, OpenVINO or torch.export's .pt2, and check that the file
    answers as the model does. Ends with 2, and writes nothing, where it does not."""
    from resnets.cli.progress import say
    from resnets.verbs.export import Refused, export

    try:
        result = export(model, format=form, say=say, **options)
    except Refused as refused:
        click.echo(tables.export(refused.result), err=True)
        raise InputError(f"{refused}; nothing was written (--force overrides)") from None
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else tables.export(result))


@cli.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Other libraries' weights in and out.")
@click.argument("checkpoint")
@click.option("--out", "-o", metavar="FILE", required=True, help="the file to write; its suffix says how")
@click.option("--to", type=click.Choice(["torchvision", "timm"]), help="write it for another library  [ours]")
@click.option("--model", metavar="NAME", help="the network that it is, where its tensors leave that open")
@click.option("--mean", metavar="R,G,B", help="of the pictures in [0, 1] that it takes, one value a channel")
@click.option("--std", metavar="R,G,B", help="the standard deviation, likewise")
@click.option("--labels", metavar="FILE", help="names of the classes: one a line, or JSON")
@click.option("--stem-stride", type=click.IntRange(1, 2), help="of the first convolution, where the family's custom is another")
@json_flag
def convert(checkpoint: str, out: str, as_json: bool, stem_stride: int | None, **given: Any) -> None:
    """Write CHECKPOINT, another library's file or name, as a file of ours; or with --to, any MODEL as another library's.

    Read are torchvision's and timm's checkpoints, Hugging Face transformers' ResNet, Keras Applications' ResNet, MONAI's and
    MedicalNet's, and the CIFAR networks of akamaster, chenyaofo and kuangliu; .safetensors, torch.save, .h5 and .keras."""
    from resnets.ship.hub import convert

    for name in ("mean", "std"):
        given[name] = None if given[name] is None else tables.numbers(given[name], name)
    opened = convert(checkpoint, out, **given, hidden={} if stem_stride is None else {"stem_stride": stem_stride})
    result = {"file": out, "model": opened.header.spec.name} | opened.header.provenance
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
        return
    for line in [*tables.about(opened.header), f"written     {out}"]:
        click.echo(tables.visible(line))


@cli.command(context_settings=CONTEXT, epilog=EPILOG, short_help="List the named networks.")
@click.argument("pattern", default="*")
@json_flag
def models(pattern: str, as_json: bool) -> None:
    """List the named networks that match PATTERN: layers, parameters, multiply-adds; and trained models that come with the
    package."""
    rows, bundled = tables.model_rows(pattern), tables.bundled_rows(pattern)
    if not rows + bundled:
        raise InputError(f"no network matches {pattern!r}; `resnets models` lists them all")
    click.echo(json.dumps({"models": rows, "bundled": bundled}) if as_json else tables.models(rows, bundled))


@cli.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Show a network stage by stage, or a saved file.")
@click.argument("model")
@spec_flags
@click.option("--num-classes", metavar="N", help="outputs")
@click.option("--img-size", metavar="N", help="input in pixels")
@json_flag
def info(model: str, img_size: str | None, as_json: bool, **changes: Any) -> None:
    """Show MODEL stage by stage, as in the paper's Table 1: a named network, or a saved file with what it says of itself, also
    another library's."""
    from resnets.models import header as saved
    from resnets.models import zoo
    from resnets.models.pretrained import names

    given = {name: parse(name, changes[name]) for name in (*SPEC_FLAGS, "num_classes") if changes[name] is not None}
    size = None if img_size is None else parse("img_size", img_size)
    if not Path(model).exists() and (model in zoo.ROWS or not (model in saved.boxed() or names.parse(model))):
        spec, header = zoo.get(model, **given), None
    else:
        from resnets.ship.sessions import read_header

        header = read_header(model)
        spec = zoo.change(header.spec, **given)
        size = size or header.preprocess.size if spec.dims == len(header.preprocess.size) else size
    click.echo(
        json.dumps(tables.info_json(spec, size, header), ensure_ascii=False) if as_json else tables.info(spec, size, header)
    )


@cli.group(context_settings=CONTEXT, epilog=EPILOG)
def data() -> None:
    """Look at data before training on it; fetch known sets."""


@data.command(context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data")
@click.option("--in-chans", type=click.IntRange(1), help="read pictures as 1, 3 or 4 channels")
@click.option("--ignore-index", type=click.IntRange(0, 255), help="a number in masks that says nothing, beside 255")
@click.option(
    "--task", type=click.Choice(["classify", "detect", "segment"]), help="where DATA has labels for several: for which"
)
@click.option("--masks", is_flag=True, help="of detection: look at the objects' masks, too")
@data_dir_flag
@json_flag
def check(
    data: str,
    in_chans: int | None,
    ignore_index: int | None,
    task: str | None,
    masks: bool,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Look for what spoils training in DATA: unreadable files, duplicates within and across splits, missing, tiny and one-sided
    classes, odd sizes and modes; of boxes, masks and volumes their labels. Ends with 2 where there are errors."""
    from resnets.cli.progress import counting
    from resnets.data import sources
    from resnets.data.check import labels as check_dense
    from resnets.data.check import pictures as check
    from resnets.data.dense import is_dense, open_dense
    from resnets.data.readers import known

    with counting("checking") as progress:
        if task != "classify" and (task or (data not in known.KNOWN and is_dense(data))):
            labelled = open_dense(data, task, in_chans=in_chans or 3, masks=masks, ignore=ignore_index)
            findings = check_dense.check_labels(labelled, progress=progress)
        elif ignore_index is not None or masks:
            raise InputError(f"{data}: no boxes or masks here, and --ignore-index and --masks are for these; leave them out")
        else:
            source = sources.open_source(data, data_dir=data_dir, in_chans=in_chans)
            findings = check.check(source, progress=progress)
    if as_json:
        click.echo(json.dumps(findings.to_json(), ensure_ascii=False))
    else:
        for line in check.lines(findings):
            click.echo(tables.visible(line))
    if any(finding.level == "error" for finding in findings.findings):
        raise click.exceptions.Exit(2)


@data.command(cls=SectionedCommand, context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data")
@click.option("--out", default="preview.png", metavar="FILE", help="the picture to write  [preview.png]")
@recipe_flags
@data_dir_flag
def preview(data: str, out: str, data_dir: str | None, **settings: Any) -> None:
    """Draw what the network will see of DATA under the settings of `train`, which are the same here."""
    from resnets.verbs.train import preview

    click.echo(preview(data, out=out, data_dir=data_dir, **settings))


@data.command("get", context_settings=CONTEXT, epilog=EPILOG)
@click.argument("data")
@data_dir_flag
def get(data: str, data_dir: str | None) -> None:
    """Fetch a known set (cifar10, cifar100) from its authors' site, checked; an interrupted fetch goes on."""
    from resnets.cli.progress import counting
    from resnets.data.readers import known

    with counting("fetching", unit="bytes") as progress:
        click.echo(known.get(data, data_dir, progress=progress))


@cli.group(context_settings=CONTEXT, epilog=EPILOG)
def bench() -> None:
    """Speed on this machine, beside what people use today."""


@bench.command("predict", context_settings=CONTEXT, epilog=EPILOG)
@click.option("--model", default="resnet50", metavar="NAME|FILE|RUN", help="a network, or your own model  [resnet50]")
@click.option("--pictures", metavar="FOLDER", help="jpg and png files  [parts of scikit-learn's sample photographs]")
@click.option("--num", type=click.IntRange(2), default=300, help="pictures, at most  [300]")
@rounds_flag
@rows_flag
@bench_out_flag
@json_flag
def bench_predict(**options: Any) -> None:
    """Measure from picture file to label: pictures a second, time for a single picture, time to the first label. Nothing else
    should run meanwhile."""
    from resnets.verbs.bench import predict

    run_bench(predict, **options)


@bench.command("train", context_settings=CONTEXT, epilog=EPILOG)
@click.option("--data", default="cifar10", metavar="DATA", help="as `resnets train` takes it, or synthetic  [cifar10]")
@click.option("--model", metavar="NAME", help="a network  [resnet20_cifar for pictures in memory, else resnet18]")
@click.option("--steps", type=click.IntRange(1), help="steps that are timed, for each row and round  [60 in memory, else 8]")
@rounds_flag
@rows_flag
@bench_out_flag
@device_flag
@data_dir_flag
@json_flag
def bench_train(**options: Any) -> None:
    """Measure training, the loading of data included: pictures a second, the wait for data, memory. Nothing else should run
    meanwhile."""
    from resnets.verbs.bench import train

    run_bench(train, **options)


def run_bench(room: Any, *, out: str | None, rows: str | None, as_json: bool, **options: Any) -> None:
    """Let a room of `resnets.verbs.bench` measure; print the result, and write it to `out`."""
    from resnets.cli.progress import counting
    from resnets.verbs.bench import table

    if out:
        table.check_out(out)
    names = None if rows is None else [name.strip() for name in rows.split(",") if name.strip()]
    with counting("measuring", unit="processes") as progress:
        result = room.measure(rows=names, progress=progress, **options)
    report = room.report(result)
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
    else:
        for line in (*report.heading, ""):
            click.echo(tables.visible(line))
        click.echo(tables.columns(report.cells, report.right))
        for line in report.remarks:
            click.echo(tables.visible(line))
    if out:
        written = " and ".join(map(str, table.write(result, report, out)))
        click.echo(tables.visible(f"written: {written}"), err=True)


cli.add_command(paper.command(CONTEXT, EPILOG))


def main(argv: Sequence[str] | None = None) -> None:
    """The command. Exits with 0 (done), 1 (our fault), 2 (the input's), 130 (Ctrl-C) or 143 (SIGTERM), the state saved."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    rank = os.environ.get("RANK", "0") if os.environ.get("WORLD_SIZE", "1") != "1" else None
    who = "error: " if rank is None else f"error: rank {rank}: "
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a sign that the terminal cannot show is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main([word for word in words if word != "--debug"], prog_name="resnets", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except InputError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"{who}{tables.visible(str(error))}", err=True)
        code = 2
    except ProcessEnded as error:
        click.echo(error, err=True, nl=bool(str(error)))
        time.sleep(3)  # so that torchrun sees first who died first
        code = 1
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except (MemoryError, RuntimeError) as error:  # after click.Abort, which is a RuntimeError too
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":  # torch's, of a GPU
            raise
        if debug:
            traceback.print_exc()
        click.echo(f"{who}not enough memory ({error}); use a smaller --batch-size or --img-size", err=True)
        code = 2
    except Interrupted as stopped:
        if rank in (None, "0"):
            click.echo(str(stopped), err=True)
        code = 128 + stopped.signal  # 130 and 143, as shells know them
    except SystemExit:  # how click ends where the reader of our output has seen enough
        code = 0
    except OSError as error:
        if debug or error.errno not in PATH_ERRORS:
            raise
        where = tables.visible(os.fsdecode(error.filename or ""))
        click.echo(f"{who}{where}: {error.strerror}; check the path, and that you may read it", err=True)
        code = 2
    sys.exit(code or 0)
