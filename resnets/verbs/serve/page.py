"""The page and the list of addresses, each one HTML file that fetches nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


class Page(NamedTuple):
    """HTML, and its Content-Security-Policy: only the script and the style within it, and requests to this server alone."""

    text: str
    policy: str


def page() -> Page:
    """The page on which pictures are dropped."""
    return _page((HERE / "page.html").read_text(encoding="utf-8"))


def docs(document: Mapping[str, Any]) -> Page:
    """The addresses of an OpenAPI document."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    template = environment.from_string((HERE / "docs.html.jinja").read_text(encoding="utf-8"))
    return _page(template.render(document=document))


def _page(text: str) -> Page:
    digests: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in INLINE.findall(text):
        digests[kind].append(f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'")
    rules = [f"{kind}-src {' '.join(found) or chr(39) + 'none' + chr(39)}" for kind, found in digests.items()]
    rules += ["default-src 'none'", "img-src 'self' blob: data:", "connect-src 'self'", "media-src blob:"]
    return Page(text, "; ".join([*rules, "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]))
