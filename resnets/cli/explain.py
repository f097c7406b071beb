"""`resnets explain`: what a model goes by, and how far to trust that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from resnets.cli.options import CONTEXT, EPILOG, data_dir_flag, device_flag, json_flag, runtime_flag
from resnets.draw.text import columns, printable, visible

METHODS = (
    "layercam", "gradcam", "gradcam++", "xgradcam", "scorecam", "integrated_gradients", "occlusion", "guided_backprop",
)  # fmt: skip


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Show what a model goes by, and how far to trust it.")
@click.argument("model")
@click.argument("pictures", nargs=-1)
@click.option("--class", "class_name", metavar="NAME", help="the class to explain  [what the model answers]")
@click.option("--against", metavar="NAME", help="why the class and not this one")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    help="how  [gradcam; layercam for boxes and masks; occlusion without gradients]",
)
@click.option("--layer", metavar="NAME", help="the module that is mapped, such as layer3  [the last stage]")
@click.option("--out", metavar="DIR", help="folder for explain.html and drawings  [RUN/explain, else runs/explain/explainN]")
@click.option("--data", metavar="DATA", help="without PICTURES: labelled data to draw a sample of  [as trained]")
@click.option("--split", type=click.Choice(["val", "test", "train"]), help="of that data  [test, else val, else train]")
@click.option("--num", type=click.IntRange(1), default=24, help="images of the sample  [24]")
@click.option("--most", type=click.IntRange(1), default=3, help="objects, labels or classes of one image  [3]")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="lowest score of an object or a tag  [the model's own, else 0.5]"
)
@click.option("--trust/--no-trust", default=True, help="measure how far the maps can be trusted; without it is faster")
@click.option("--blocks", is_flag=True, help="of a sample: what each residual block adds, and the score without it")
@click.option("--arrays", is_flag=True, help="write each map as .npy, too")
@runtime_flag
@device_flag
@data_dir_flag
@json_flag
def explain(model: str, pictures: tuple[str, ...], *, out: str | None, as_json: bool, num: int, **options: Any) -> None:
    """Show which parts of PICTURES (files and folders) an answer of MODEL goes by; without PICTURES, of a sample of the data
    that MODEL was trained on. Writes explain.html, explain.json and a drawing of each picture.

    The maps are checked: whether the answer follows them (deletion and insertion, beside random maps), and whether they
    become others with random weights. Maps that do not are marked.
    """
    from resnets.cli.progress import counting, say
    from resnets.engine.run import RunDir
    from resnets.verbs.explain import explain

    named = Path(out) if out else Path(model, "explain") if not pictures and Path(model).is_dir() else None
    run = RunDir(named) if named else RunDir.create(None, "explain", "explain")
    with run.begun() as folder, counting("explain") as progress:
        given: Any = {"out": folder.path, "num": num, "say": say, "progress": progress, **options}
        report = explain(model, pictures or None, **given)
    click.echo(json.dumps(report.to_json(), ensure_ascii=False) if as_json else printable(told(report.to_json())))
    click.echo(visible(f"written: {run.path / 'explain.html'}"), err=True)


def told(found: dict[str, Any]) -> str:
    """The figures as text: a line for each map, then how far to trust them."""
    layer = f" of {found['layer']}" if found["layer"] else ""
    head = [("picture", "answer", "deletion", "(random)", "insertion", "(random)")]
    for image in found["images"]:
        for answer in image.get("answers", []):
            figures = [answer.get(name) for name in ("deletion", "random_deletion", "insertion", "random_insertion")]
            cells = ["-" if value is None else f"{value:.3f}" for value in figures]
            head.append((image["path"], answer["answer"], *cells))
        if "error" in image:
            head.append((image["path"], image["error"], "", "", "", ""))
    lines = [f"{found['method']}{layer}", columns(head, "llrrrr")]
    trust = found["trust"]
    if "deletion" in trust:
        better = f"better than random maps in both: {trust['better_than_random']} of {trust['num_maps']}"
        pairs = [f"{name} {trust[name]:.3f} (random {trust[f'random_{name}']:.3f})" for name in ("deletion", "insertion")]
        lines += ["", f"mean     {', '.join(pairs)}; {better}"]
    if "depends" in trust:
        words = "depends on what was learnt" if trust["depends"] else "DOES NOT DEPEND ON WHAT WAS LEARNT: do not believe it"
        lines.append(f"check    {words} (rank correlation with random head and last stage {trust['similarity']:.2f})")
    if "pointing" in trust:
        game = trust["pointing"]
        beside = f"{game['by_chance']:.0%} by chance, {game['middle']:.0%} in the middle of the picture"
        lines.append(f"pointing {game['hits']} of {game['num']} maps point at the object ({beside})")
    return "\n".join(lines)
