"""What `explain` writes: a drawing of each image, of volumes a NIfTI file, explain.json, and explain.html, one page of all."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resnets.attribution import learnt
from resnets.attribution.methods import METHODS
from resnets.draw import heat, trust
from resnets.draw.pictured import slice_at
from resnets.files import replacing, write_json, write_text
from resnets.models.header import Header, terms
from resnets.verbs.explain_inputs import Item
from resnets.verbs.explanation import Explanation, Report
from resnets.verbs.report.page import filled, picture

SHOWN = 60  # images on the page; all are in the folder


def draw_image(report: Report, item: Item, found: Sequence[Explanation], *, arrays: bool) -> list[str]:
    """Draw an image's maps, and write those of a volume as NIfTI; the names of the files."""
    assert report.out is not None
    stem = f"{len(report.rows):04}_{Path(item.name).name.partition('.')[0]}"[:80]
    row = slice_of(found[0].values, item.pixels)
    maps = [heat_of(report, each, row) for each in found]
    positions = " x ".join(map(str, found[0].positions))
    caption = f"{report.method}\n{report.layer}, {positions}" if report.layer else report.method
    title = item.name + (f", slice {row}" if row is not None else "")
    files = [heat.heats(shown(item, row), maps, report.out / f"{stem}.png", title=title, caption=caption)]
    for number, each in enumerate(found, start=1):
        if hasattr(item.image, "save_like"):
            files.append(report.out / f"{stem}_{number}.nii.gz")
            item.image.save_like(each.values.astype(np.float32), files[-1])
        if arrays:
            files.append(save_array(each.values, report.out / f"{stem}_{number}.npy"))
    return [path.name for path in files]


def save_array(values: np.ndarray, path: Path) -> Path:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())
    return path


def slice_of(values: np.ndarray, pixels: np.ndarray) -> int | None:
    """Of a volume (D, H, W), whose input is `pixels` (C, D, H, W), the slice with most of the map, of those that show anything;
    None of what is no volume."""
    if values.ndim != 3:
        return None
    shows = np.ptp(pixels, axis=(0, 2, 3)) > 0  # what fills up a small volume does not
    return int(np.where(shows, values.sum((1, 2)), -1.0).argmax())


def shown(item: Item, row: int | None) -> np.ndarray:
    """The input as an image, uint8 (H, W, C); of a signal as it is (C, L)."""
    if row is not None:
        return slice_at(item.pixels, row) if item.image is None else item.image.drawn(row)
    pixels = item.pixels
    if pixels.ndim == 2:
        return pixels
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, (0.5, 99.5))
        pixels = (255 * ((pixels - low) / max(high - low, 1e-12)).clip(0, 1)).round().astype(np.uint8)
    return pixels.transpose(1, 2, 0)


def heat_of(report: Report, each: Explanation, row: int | None) -> heat.Heat:
    """A map with its figures in a few words."""
    lines = []
    if each.faithful is not None:
        (deletion, insertion), random = each.faithful.curves.areas, each.faithful.random
        lines.append(f"deletion {deletion:.2f} (random {random[0]:.2f})")
        lines.append(f"insertion {insertion:.2f} (random {random[1]:.2f})")
    if each.pointing is not None:
        lines.append("points at it" if each.pointing.hit else "points elsewhere")
    if not each.values.max(initial=0.0):
        lines.append("nothing speaks for it")
    values = clearer(each) if row is None else clearer(each)[row, ::-1]
    fails = report.trust.get("depends") is False
    return heat.Heat(values, each.answer, "\n".join(lines), box_of(each), fails)


def clearer(each: Explanation) -> np.ndarray:
    """The map as it is drawn: of one that differs from pixel to pixel the greatest hundredth is all of one colour, for single
    points would leave the rest without any."""
    above = each.values[each.values > 0]
    if each.positions != each.values.shape or not above.size:
        return each.values
    return (each.values / np.percentile(above, 99)).clip(0, 1)


def box_of(each: Explanation) -> tuple[int, int, int, int] | None:
    """The corners of a place in a picture."""
    if each.place is None or len(each.place) != 2:
        return None
    rows, columns = each.place
    return columns.start, rows.start, columns.stop, rows.stop


def write(report: Report, header: Header) -> Path:
    """Write explain.json and explain.html into the folder of the report; the path of the page."""
    assert report.out is not None
    write_json(report.out / "explain.json", report.to_json())
    drawings = {}
    if "randomised" in report.trust:
        drawings["learnt"] = trust.randomised(report.trust["randomised"], learnt.SAME, report.out / "learnt.png")
    judged = [each.faithful for each in report.explanations if each.faithful is not None]
    if judged:
        drawings["faithful"] = trust.faithful([each.curves for each in judged], [each.random for each in judged],
                                              report.out / "faithful.png")  # fmt: skip
    drawings |= {name: report.out / f"{name}.png" for name in ("blocks", "filters", "stages")}
    rows = [row for row in report.rows if row.get("files")]
    page = {
        "report": report,
        "method": METHODS[report.method],
        "trust": report.trust,
        "warning": heat.WARNING,
        "terms": terms(header),
        "drawings": {name: picture(path) for name, path in drawings.items() if path.exists()},
        "images": [(row, picture(report.out / row["files"][0])) for row in rows[:SHOWN]],
        "num_more": max(0, len(rows) - SHOWN),
        "errors": [row for row in report.rows if "error" in row],
        "silent": [row for row in report.rows if row.get("answers") == []],
    }
    return write_text(report.out / "explain.html", filled("explain.html.jinja", page))
