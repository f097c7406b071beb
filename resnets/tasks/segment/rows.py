"""Answers and evaluations of semantic segmentation as JSON, CSV and text. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from resnets.data.words import worded
from resnets.draw.text import csv_line, share, visible
from resnets.engine.values import Sample
from resnets.models.answering import Noted, Wanted
from resnets.tasks.lines import class_table, failed, images_of, unreadable, with_interval

if TYPE_CHECKING:
    import numpy as np

KEYS = frozenset({"classes"})
COLUMNS = ("path", "label", "share", "error")  # of CSV
HEADINGS = {
    "iou": "IoU",
    "dice": "Dice",
    "precision": "precision",
    "recall": "recall",
    "boundary_f": "boundary F",
    "surface_dice": "surface Dice",
    "hausdorff95_mm": "Hausdorff 95 %, mm",  # this and those below: of volumes
    "true_ml": "true, ml",
    "bias_ml": "bias, ml",
}

# Columns of the table of classes in the report, sorted by the first; and further figures there.
REPORT_COLUMNS = HEADINGS | {"pixels": "pixels"}
FACTS = {
    "dice": "Dice",
    "pixel_accuracy": "pixel accuracy",
    "dice_per_image": "Dice, mean of images",
    "boundary_f": "boundary F",
    "surface_dice": "surface Dice",
    "baseline_miou": "mIoU by class frequency",
    "baseline_dice": "Dice by class frequency",
}


class Share(TypedDict):
    label: str
    index: int
    share: float  # fraction of the image's pixels, rounded to 6 decimals


class Row(TypedDict):
    """The classes that an image or volume shows, the largest first; of equally large ones that with the lower index."""

    classes: list[Share]


def row(answer: np.ndarray, labels: Sequence[str], wanted: Wanted) -> Row:
    """The classes that one image or volume shows, as JSON can hold them.

    Args:
        answer: class indices (H, W) or (D, H, W), integers.
        labels: names of the classes.
        wanted: not used; every class that is there is named.
    """
    import numpy as np

    each = (np.bincount(part.reshape(-1), minlength=len(labels)) for part in answer)  # part by part: it takes 8 bytes a pixel
    counts = sum(each, np.zeros(len(labels), np.int64))
    order = [index for index in np.argsort(-counts, kind="stable").tolist() if counts[index]]
    shares: list[Share] = [
        {"label": labels[index], "index": index, "share": round(float(counts[index]) / answer.size, 6)} for index in order
    ]
    return {"classes": shares}


def line(row: Mapping[str, Any]) -> str:
    """The row as one line for people: the path, then classes with their shares of the image."""
    if "error" in row:
        return failed(row)
    return visible(f"{row['path']}  " + "  ".join(f"{entry['label']} {entry['share']:.1%}" for entry in row["classes"]))


def csv_head(topk: int) -> str:
    """path,label,share,error."""
    return csv_line(COLUMNS)


def csv_lines(row: Mapping[str, Any], topk: int) -> str:
    """One line of CSV per class; one without a class where there is an error."""
    cells = [[entry["label"], f"{entry['share']:.6f}", ""] for entry in row.get("classes", [])]
    return "\n".join(csv_line([row["path"], *rest]) for rest in cells or [[""] * (len(COLUMNS) - 2) + [row.get("error", "")]])


# Not resumable: an image has several lines, and an interrupted call may have written only the first.
csv_path: Callable[[str, int], str] | None = None


def told(result: Mapping[str, Any], per_class: bool) -> str:
    """An evaluation as text; with `per_class` also the table of classes."""
    images = images_of(result)
    lines = [
        f"{result['split']} mIoU {with_interval(result, 'miou')}, "
        f"Dice {share(result['dice'])}, {worded('pixel accuracy', images)} {share(result['pixel_accuracy'])}, "
        f"boundary F {share(result.get('boundary_f'))} on {result['num_images']:,} {images}"
        f"; by class frequency alone mIoU {share(result.get('baseline_miou'))}, Dice {share(result.get('baseline_dice'))}",
        *([by_case(result)] if "surface_tolerance_mm" in result else []),
        *unreadable(result),
    ]
    if per_class:
        lines += ["", class_table(result["per_class"], HEADINGS, "pixels", images=images)]
        lines += ["", *agreeing] if (agreeing := list(agreements(result["per_class"]))) else []
    return "\n".join(lines)


def by_case(result: Mapping[str, Any]) -> str:
    """What volumes have beside pictures, as one line."""
    far = result.get("hausdorff95_mm")
    distance = "-" if far is None else f"{far:.2f} mm"
    return (
        f"by case: Dice {with_interval(result, 'dice_per_image')}, surface Dice at {result['surface_tolerance_mm']:g} mm "
        f"{with_interval(result, 'surface_dice')}, Hausdorff 95 % {distance}"
    )


def agreements(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of each class of volumes, a line on how its millilitres agree with the truth."""
    for row in rows:
        if row.get("limits_ml"):
            low, high = row["limits_ml"]
            first, last = row["bias_ml_interval"] or (float("nan"),) * 2
            interval = f"(95 % interval {first:+.3g} to {last:+.3g})"
            yield visible(
                f"{row['label']}: predicted less true {row['bias_ml']:+.3g} ml {interval}, limits of "
                f"agreement {low:+.3g} to {high:+.3g}, of {row['true_ml']:.3g} ml on average in {row['num_cases']:,} cases"
            )


def noted(row: Mapping[str, Any]) -> Noted:
    """See `engine.contract.Rows`: the classes that are there."""
    names = [entry["label"] for entry in row["classes"]]
    return Noted(names, [], names)


def recorded(record: Mapping[str, Any], decision: Mapping[str, Any]) -> Noted:
    start = "predicted_"
    names = [name.removeprefix(start) for name, num in record.items() if name.startswith(start) and int(num)]
    return Noted(names, [], names)


def sample(pictures: Sequence[Sequence[Mapping[str, Any]]]) -> Sample:
    import numpy as np

    from resnets.tasks.means import mean, ratio

    labels, parts = [name[5:] for name in pictures[0][0] if name.startswith("dice_")], ("true", "predicted", "dice")
    cells = [[[record[f"{part}_{label}"] or 0 for label in labels] for part in parts] for (record,) in pictures]
    true, said, dice = np.array(cells, float).transpose(1, 0, 2)  # (N, C) each
    hits = np.rint(dice * (true + said) / 2)

    def miou(at: np.ndarray) -> float:
        both = hits[at].sum(0)
        return mean(ratio(both, true[at].sum(0) + said[at].sum(0) - both)) or 0.0

    return Sample("mIoU", np.arange(len(true)), miou)
