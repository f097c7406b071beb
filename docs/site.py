"""Build the documentation as a website, and check every link of it.

    pip install -e '.[docs]'
    python docs/site.py [--out site]         # then: python -m http.server -d site (opened as files, pages have no search)
    python docs/site.py --notebooks DIR      # the notebooks with what they showed, where `notebooks/run.py --out DIR` keeps it

The pages are the Markdown files of the repository as they are: README.md, the docs, the results in benchmarks/, and each file
that one of them links to, at the same relative places, so that links need no second spelling. The notebooks become Markdown at
the same places too. `docs/site.yml` says what is in the navigation. Zensical makes the pages, mkdocstrings the reference of the
Python functions.
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import jupytext

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**/*.md", "benchmarks/*.md", "notebooks/README.md")
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def staged(folder: Path) -> None:
    """Copy all pages, and what they link to, into `folder`, at their places in the repository."""
    waiting, done = [page for pattern in PAGES for page in sorted(ROOT.glob(pattern))], set[Path]()
    while waiting:
        file = waiting.pop()
        if file in done or not file.is_file() or not file.is_relative_to(ROOT):
            continue
        done.add(file)
        (target := folder / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        if file.suffix == ".md":
            waiting += [(file.parent / unquote(parts.path)).resolve() for parts in linked(file) if not parts.scheme]


def notebook_pages(folder: Path, executed: Path | None) -> None:
    """Write each notebook as a page beside its text in `folder`, and let the page that lists them lead there."""
    for text in sorted((ROOT / "notebooks").glob("[0-9]_*.py")):
        page = folder / "notebooks" / f"{text.stem}.md"
        notebook = jupytext.read(text if executed is None else executed / f"{text.stem}.ipynb")
        page.write_text(markdown_of(notebook, page), encoding="utf-8")
    index = folder / "notebooks" / "README.md"
    index.write_text(re.sub(r"\]\((\d_\w+)\.py\)", r"](\1.md)", index.read_text(encoding="utf-8")), encoding="utf-8")


def markdown_of(notebook: Any, page: Path) -> str:
    """A notebook as Markdown: words, code, and what it showed, pictures as files beside `page`."""
    parts: list[str] = []
    for cell in notebook.cells:
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        for output in cell.get("outputs", ()):
            shown = output.get("data", {})
            if "image/png" in shown:
                picture = page.with_name(f"{page.stem}_{len(parts)}.png")
                picture.write_bytes(base64.b64decode(shown["image/png"]))
                parts.append(f"![what the cell shows]({picture.name})")
            elif "text/html" in shown:
                parts.append(shown["text/html"])
            elif text := shown.get("text/plain", output.get("text", "")):
                parts.append(f"```text\n{text.rstrip()}\n```")
    where = f"[The text of this notebook]({page.stem}.py); [how to open and run it](README.md)."
    return "\n\n".join([*parts, f"*{where}*"]) + "\n"


def linked(page: Path) -> list[SplitResult]:
    """The links of a page of Markdown."""
    return [urlsplit(markdown or html) for markdown, html in LINK.findall(page.read_text(encoding="utf-8"))]


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        self.links += [found[name] for name in ("href", "src") if name in found]


def dead_links(site: Path) -> Iterator[str]:
    """Links within the site that lead nowhere: no such file, or no such heading."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin at the root of the place where it will lie
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{path.relative_to(site)}: {link}"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{path.relative_to(site)}: {link} (no such heading)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "site")
    parser.add_argument("--notebooks", type=Path, help="the folder of the executed notebooks")
    given = parser.parse_args()
    out: Path = given.out.resolve()
    work = out.with_name(out.name + ".work")
    shutil.rmtree(work, ignore_errors=True)
    try:
        staged(work / "pages")
        notebook_pages(work / "pages", given.notebooks)
        settings = (ROOT / "docs" / "site.yml").read_text(encoding="utf-8")
        (work / "mkdocs.yml").write_text(f"{settings}\ndocs_dir: pages\nsite_dir: site\n", encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--config-file", "mkdocs.yml", "--clean"], cwd=work, check=True
        )
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(work / "site", out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if dead := sorted(set(dead_links(out))):
        sys.exit("\n".join([f"{len(dead)} links lead nowhere:", *dead]))


if __name__ == "__main__":
    main()
