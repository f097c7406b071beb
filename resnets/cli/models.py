"""`resnets models`, `info`, `convert` and `export`: networks and saved models, without data to learn from."""

from __future__ import annotations

from typing import Any

import click

from resnets.cli import tables
from resnets.cli.options import CONTEXT, EPILOG, SPEC_FLAGS, data_dir_flag, json_flag, spec_flags
from resnets.draw.text import printable, visible
from resnets.engine.recipe import Recipe
from resnets.engine.settings import parse
from resnets.errors import InputError
from resnets.files import to_json


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="List the named networks.")
@click.argument("pattern", default="*")
@json_flag
def models(pattern: str, as_json: bool) -> None:
    """List the named networks that match PATTERN with their layers, parameters and multiply-adds, and the trained models in
    this package."""
    rows, bundled = tables.model_rows(pattern), tables.bundled_rows(pattern)
    if not rows + bundled:
        raise InputError(f"no network matches {pattern!r}; `resnets models` lists them all")
    click.echo(to_json({"models": rows, "bundled": bundled}) if as_json else printable(tables.models(rows, bundled)))


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Show a network stage by stage, or a saved file.")
@click.argument("model")
@spec_flags
@click.option("--num-classes", metavar="N", help="outputs")
@click.option("--img-size", metavar="N", help="input in pixels")
@json_flag
def info(model: str, img_size: str | None, as_json: bool, **changes: Any) -> None:
    """Show MODEL stage by stage, as in the paper's Table 1: a named network, or a saved file with its metadata, also another
    library's."""
    from resnets.models import header as saved
    from resnets.models import zoo
    from resnets.models.pretrained import names
    from resnets.stores import copied

    given = {name: parse(Recipe, name, changes[name]) for name in (*SPEC_FLAGS, "num_classes") if changes[name] is not None}
    size = None if img_size is None else parse(Recipe, "img_size", img_size)
    if not copied(model).exists() and (model in zoo.ROWS or not (model in saved.boxed() or names.parse(model))):
        spec, header = zoo.get(model, **given), None
    else:
        from resnets.ship.sessions import read_header

        header = read_header(model)
        spec = zoo.change(header.spec, **given)
        size = size or header.preprocess.size if spec.dims == len(header.preprocess.size) else size
    if as_json:
        click.echo(to_json(tables.info_json(spec, size, header)))
    else:
        click.echo(printable(tables.info(spec, size, header)))


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Convert weights from and to other libraries.")
@click.argument("checkpoint")
@click.option("--out", "-o", metavar="FILE", required=True, help="the file to write; its suffix says how")
@click.option(
    "--to", type=click.Choice(["torchvision", "timm", "transformers"]), help="the library to write for  [this package]"
)
@click.option("--task", metavar="TASK", help="embed: a file whose answers are the pooled features  [that of the weights]")
@click.option("--model", metavar="NAME", help="the network, where the tensors do not determine it")
@click.option("--prefix", metavar="WORDS", help="take the network whose tensors' names begin so, such as encoder")
@click.option("--mean", metavar="R,G,B", help="mean of the images in [0, 1], one value per channel")
@click.option("--std", metavar="R,G,B", help="standard deviation of the same")
@click.option("--labels", metavar="FILE", help="names of the classes: one per line, or JSON")
@click.option("--stem-stride", type=click.IntRange(1, 2), help="stride of the first convolution  [the family's usual one]")
@json_flag
def convert(checkpoint: str, out: str, as_json: bool, stem_stride: int | None, **given: Any) -> None:
    """Convert CHECKPOINT, a file or a name of another library, to a file of this package; with --to, a model to one of
    another library.

    It reads torchvision's and timm's checkpoints, Hugging Face transformers' ResNet, Keras Applications' ResNet, MONAI's and
    MedicalNet's, and the CIFAR networks of akamaster, chenyaofo and kuangliu; .safetensors, torch.save, .h5 and .keras."""
    from resnets.ship.hub import convert

    for name in ("mean", "std"):
        given[name] = None if given[name] is None else tables.numbers(given[name], name)
    opened = convert(checkpoint, out, **given, hidden={} if stem_stride is None else {"stem_stride": stem_stride})
    result = {"file": out, "model": opened.header.spec.name} | opened.header.provenance
    if as_json:
        click.echo(to_json(result))
        return
    for line in [*tables.about(opened.header), f"written     {out}"]:
        click.echo(visible(line))


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Export a model for other programs, and check the file.")
@click.argument("model")
@click.option("--format", "form", type=click.Choice(["onnx", "openvino", "torch", "html"]), required=True, help="what to write")
@click.option("--int8", metavar="DATA", help="quantise to 8 bits, calibrated and checked on DATA")
@click.option("--out", "-o", metavar="FILE", help="the file  [beside the model; of a name, here]")
@click.option("--data", metavar="DATA", help="images to check on  [those of --int8, or of the training, or samples]")
@click.option("--num-check", type=click.IntRange(1), default=1000, help="images to check on, at most  [1000]")
@click.option("--force", is_flag=True, help="keep the file even if the check fails")
@click.option("--features", is_flag=True, help="write what gives features of images, for embed, index and search")
@click.option("--stage", metavar="TEXT", help="of --features: the level that is pooled, such as c4  [the last]")
@click.option("--web-runtime", metavar="FILE", help="of html: onnxruntime-web as npm packs it  [asked of npm, once]")
@data_dir_flag
@json_flag
def export(model: str, form: str, as_json: bool, **options: Any) -> None:
    """Write MODEL (a .safetensors file or a run directory) as ONNX, OpenVINO, torch.export's .pt2, or a page that answers in
    any browser, offline (html), and check that the file predicts as the model does. Where it does not: exit code 2, and no
    file."""
    from resnets.cli.progress import counting, say
    from resnets.verbs.export import Refused, export

    try:
        with counting("exporting", "images") as progress:
            result = export(model, format=form, say=say, progress=progress, **options)
    except Refused as refused:
        click.echo(printable(tables.export(refused.result)), err=True)
        raise InputError(f"{refused}; nothing was written (--force overrides)") from None
    click.echo(to_json(result) if as_json else printable(tables.export(result)))


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Publish a model on the Hugging Face Hub.")
@click.argument("model", metavar="RUN|FILE")
@click.argument("name", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="for nobody else to see, where the repository is made")
@click.option("--dry-run", metavar="DIR", help="write the files there, and send nothing")
@click.option("--licence", "--license", metavar="TEXT", help="such as mit or cc-by-4.0  [unknown, and said to be]")
@json_flag
def push(model: str, name: str, as_json: bool, **options: Any) -> None:
    """Publish RUN or FILE as the repository OWNER/NAME: the saved model, copies that timm and transformers open where they
    have such a network, and a card of what is known of it. `hf-hub:OWNER/NAME` is then a MODEL everywhere."""
    from resnets.cli.progress import say
    from resnets.verbs.push import push

    result = push(model, name, say=say, **options)
    if as_json:
        click.echo(to_json(result))
        return
    for file, size in result["files"].items():
        click.echo(visible(f"{size:>12,}  {file}"))
    sent = f"{result['url']} (commit {result['commit'][:10]})" if "url" in result else options["dry_run"]
    click.echo(visible(f"written: {sent}"))
