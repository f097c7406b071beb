"""The page itself: written around an ONNX file, and opened again for the check of an export and for `resnets predict`.

Data flows one way: the ONNX file and the runtime, compressed and in base64, lie in blocks that are no scripts; `page.js`
unpacks them, `pixels.js` makes a picture the network's input as `data.pictures` does, the task's `answer.js` makes its outputs
the row that the task's `rows.py` makes. Every word that came with the data is escaped, the Content-Security-Policy lets only
these scripts run, and nothing can be loaded or sent.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from resnets import tasks
from resnets.data.pictures.images import MAX_PIXELS
from resnets.data.pictures.resize import mean_array
from resnets.errors import InputError
from resnets.files import foreign, open_file
from resnets.models.header import Header, origin
from resnets.ship.page.runtime import Runtime

HERE = Path(__file__).parent
BEGIN, END = b'<script type="application/gzip" id="network">', b"</script>"  # of the ONNX file; its one place in the page
# The order of Pillow's two passes: what is rounded first may change a value by 1. The page does as the Pillow that is here.
ROWS_FIRST = int(PIL.__version__.split(".")[0]) >= 13
MOST_PAGE, MOST_ONNX = 3 << 30, 1 << 31  # bytes
AGAIN = "it is damaged, or no page of `resnets export`; export it again"
ORIGIN = "location.origin"
# The exports of an ES module cannot be read by the script beside it; as a property of the window they can.
EXPORTS = re.compile(r"export\{([^{}]*)\};?\s*(?=//# sourceMappingURL|$)")


def answer_script(task: str) -> Path:
    """The script that makes outputs of a task answers. A task without it has no page."""
    return Path(tasks.__file__).parent / task / "answer.js"


def check_page(header: Header) -> None:
    """Raise `InputError` where the answers of a model cannot be a page."""
    name = header.task
    if not answer_script(name).is_file() or not header.labels:
        raise InputError(f"the model is for the task {name}, whose answers no page shows; use another --format")
    if header.spec.dims != 2:
        axes = header.spec.dims
        raise InputError(f"a page takes pictures, and the model inputs with {axes} spatial axes; use another --format")
    if header.preprocess.in_chans not in (1, 3):
        raise InputError(f"a page takes grey or RGB pictures, and the model has {header.preprocess.in_chans} channels")


def write_page(onnx: bytes, header: Header, runtime: Runtime) -> str:
    """The page as text: HTML that is whole by itself.

    Args:
        onnx: the network, as `formats.write_onnx` writes it.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    scripts = [global_module(runtime.script), own_script(header.task)]
    style = (HERE / "page.css").read_text(encoding="utf-8")
    rules = [
        "default-src 'none'",
        f"script-src {' '.join(map(digest, scripts))} 'wasm-unsafe-eval'",
        f"style-src {digest(style)}",
        "img-src blob: data:",
        "media-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return environment.get_template("page.html.jinja").render(
        title=title(header),
        facts=list(facts(header)),
        policy="; ".join(rules),
        style=Markup(style),
        about=Markup(json.dumps(about(header)).replace("<", "\\u003c")),
        runtime=Markup(packed(runtime.wasm)),
        network=Markup(BEGIN.decode() + packed(onnx) + END.decode()),
        scripts=[Markup(script) for script in scripts],
    )


def read_page(path: Path) -> bytes:
    """The ONNX file in a page. Raises `InputError` where there is none."""
    with open_file(path, most=MOST_PAGE) as file, foreign(path, AGAIN):
        text = file.read()
        start = text.index(BEGIN) + len(BEGIN)
        return unpacked(text[start : text.index(END, start)])


def packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")


def unpacked(text: bytes) -> bytes:
    """The reverse, within limits. Raises `ValueError`, or zlib's error, for what that cannot have made."""
    reader = zlib.decompressobj(wbits=31)
    content = reader.decompress(base64.b64decode(text, validate=True), MOST_ONNX)
    if not reader.eof or reader.unused_data:
        raise ValueError("more or less than one compressed file")
    return content


def digest(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def global_module(source: str) -> str:
    """The runtime's module with its exports as `globalThis.ort`; and with the page's address for what it takes addresses
    relative to: of a page that is opened as a file the origin is no address, which stops it in Firefox."""

    def properties(found: re.Match[str]) -> str:
        pairs = [pair.split(" as ") for pair in found.group(1).split(",")]
        return f"globalThis.ort={{{','.join(f'{json.dumps(pair[-1].strip())}:{pair[0].strip()}' for pair in pairs)}}};"

    changed, num = EXPORTS.subn(properties, source)
    assert num == changed.count(ORIGIN) == 1, "of the version whose digest is known"
    return re.sub(r"//# sourceMappingURL=\S+\s*$", "", changed).replace(ORIGIN, "location.href")


@cache
def own_script(task: str) -> str:
    """The page's own script: what makes inputs, what makes answers, and the page."""
    files = (HERE / "png.js", HERE / "pixels.js", answer_script(task), HERE / "page.js")
    return '"use strict";\n' + "\n".join(file.read_text(encoding="utf-8") for file in files)


# --- what the page knows of its model --------------------------------------------------------------------------------------


def about(header: Header) -> dict[str, Any]:
    """What the scripts read."""
    preprocess = header.preprocess
    own = {"mean": None, "std": None, "in_chans": preprocess.in_chans, "rows_first": ROWS_FIRST}
    fill = (mean_array(preprocess) * 255).round().astype(np.uint8)  # as `to_array` pads; a value a channel, or of the input
    return {
        "name": title(header),
        "task": header.task,
        "labels": header.labels,
        "preprocess": preprocess.to_json() | own,
        "fill": fill.transpose(1, 2, 0).ravel().tolist(),
        "head": header.head,
        "decision": header.decision,
        "most_pixels": MAX_PIXELS,
    }


def title(header: Header) -> str:
    """What a person calls the model: the data it was trained on, else the network."""
    return str(header.provenance.get("data", {}).get("name") or header.spec.name)


def facts(header: Header) -> Iterator[tuple[str, str]]:
    """The card: (what, its value) in words."""
    task, num = tasks.get(header.task), len(header.labels)
    yield "task", header.task
    yield "network", header.spec.name
    yield ("class" if num == 1 else f"{num:,} classes"), ", ".join(header.labels[:12]) + ", ..." * (num > 12)
    for score in task.scores:
        value = header.metrics.get(f"val_{score.key}")
        if isinstance(value, int | float):
            yield f"{score.words}, validation", f"{value:.1%}" if score.percent else f"{value:.3f}"
    images = header.provenance.get("data", {}).get("num_images")
    if isinstance(images, dict):
        yield "pictures", ", ".join(f"{name} {num:,}" for name, num in images.items() if isinstance(num, int))
    known = origin(header)
    for name, words in (("weights", "weights"), ("licence", "licence"), ("training_data", "trained on")):
        if isinstance(told := known.get(name), str):
            yield words, told
    record = header.provenance.get("export", {})
    if isinstance(record, dict) and "date" in record:
        yield "exported", f"{str(record['date'])[:10]}, {'8 bits' if record.get('int8') else 'float32'}"
