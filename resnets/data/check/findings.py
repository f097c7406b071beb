"""What a look at a dataset finds, and how it is told. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LEVELS = ("error", "warning", "note")
SHOWN = 5  # items of a finding that `lines` shows
TINY = 10  # training pictures of a class
LEAKAGE = "of identical pictures in more than one split, which makes scores too good; keep each in one split only"
SKEW = 5  # times as many pictures as the smallest class


@dataclass(frozen=True)
class Finding:
    """One thing to know of a data set. `text` says what and the remedy; `items` are all the pictures, groups or classes.

    A picture is {"name", "split", "label", perhaps "what"}, a class {"label", ...}, and a group a list of pictures.
    """

    level: str  # of LEVELS
    kind: str
    text: str
    items: list[Any] = dataclasses.field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """All that was found in the data set `name`, errors first."""

    name: str
    num_images: int
    findings: tuple[Finding, ...]
    word: str = "picture"  # for an image

    def of(self, level: str) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == level)

    def to_json(self) -> dict[str, Any]:
        """Plain values, all items included."""
        counts = {f"num_{level}s": len(self.of(level)) for level in LEVELS}
        return {"name": self.name, "num_images": self.num_images, **counts} | {
            "findings": [dataclasses.asdict(finding) for finding in self.findings]
        }


def lines(findings: Findings) -> Iterator[str]:
    """The findings as text to print: each with its first items."""
    for finding in findings.findings:
        yield f"{finding.level}: {finding.text}"
        for item in finding.items[:SHOWN]:
            yield f"    {_words(item)}"
        if len(finding.items) > SHOWN:
            yield f"    ... and {len(finding.items) - SHOWN:,} more"
    counts = [many(len(findings.of(level)), level) for level in LEVELS[:2]]
    left = [finding.text.partition(":")[0] for finding in findings.findings if finding.kind == "left_out"]
    yield f"{findings.name}: {', '.join([many(findings.num_images, findings.word), *left, *counts])}"


def _words(item: Any) -> str:
    if isinstance(item, list):
        more = f", and {len(item) - SHOWN:,} more" if len(item) > SHOWN else ""
        names = (picture["name"] + (f" ({picture['label']})" if picture["label"] else "") for picture in item[:SHOWN])
        return ", ".join(names) + more
    if "name" in item:
        return f"{item['name']}: {item.get('what', item['label'])}"
    others = ", ".join(f"{key} {value}" for key, value in item.items() if key != "label")
    return ": ".join(filter(None, (item["label"], others)))


def many(num: int, word: str) -> str:
    end = "" if num == 1 or word.endswith("series") else "es" if word.endswith("class") else "s"
    return f"{num:,} {word}{end}"
