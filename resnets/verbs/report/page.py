"""What all pages share: the base template, its style and script, and the policy that keeps a page to itself.

Everything shown is somebody's data (names of classes, paths), so all of it is escaped. The page's Content-Security-Policy lets
run only the scripts of this folder, by their SHA-256, and loads nothing: images are `data:` addresses within the page.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnets.verbs.report.values import duration, percent, plain, short

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
SCRIPTS = ("page.js",)  # of every page: tables that sort, keys


def filled(template: str, page: Mapping[str, Any], scripts: Sequence[str] = ()) -> str:
    """A page as text.

    Args:
        template: its path below `verbs/`, such as "report/run.html.jinja"; it extends "report/base.html.jinja".
        page: what the template reads.
        scripts: more scripts, of this folder. They read what they need from `data-` attributes.
    """
    from markupsafe import Markup

    sources = [(HERE / name).read_text(encoding="utf-8") for name in (*SCRIPTS, *scripts)]
    own = {"policy": policy(sources), "scripts": [Markup(source) for source in sources]}  # our own text: not to be escaped
    return environment().get_template(template).render({**page, **own})


@functools.cache
def environment() -> jinja2.Environment:
    """Where templates are found, which it compiles once in a process."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("resnets.verbs", ""),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"percent": percent, "duration": duration, "short": short, "plain": plain}
    return found


def policy(scripts: Sequence[str]) -> str:
    """A Content-Security-Policy by which these scripts run, and nothing is loaded or sent."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    rest = "img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {allowed}; {rest}"


def picture(path: Path) -> dict[str, Any]:
    """A PNG file as a page embeds it."""
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # where every PNG states them
    return {"width": width, "height": height, "base64": base64.b64encode(content).decode("ascii")}
