"""Writes the tables of docs/install.md anew: what resnets depends on and why, licences, and sizes as they are installed here.
An extra of which a package is not installed keeps the row that it had.

python docs/install.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from resnets.verbs.doctor import EXTRAS, REQUIRED

PAGE = Path(__file__).with_name("install.md")
WHY = {
    "torch": "networks, gradients, training",
    "torchvision": "boxes and non-maximum suppression, RoI align, published weights, built-in datasets",
    "safetensors": "saved models, which cannot run code",
    "numpy": "arrays without torch: reading, measures, answers",
    "pillow": "reads, resizes and writes images",
    "scikit-learn": "the digits of `resnets train`, logistic regression of probes, nearest neighbours",
    "scipy": "intervals, tests, assignment of boxes, WAV and MATLAB files",
    "matplotlib": "curves and all other figures",
    "click": "the command line, shell completion",
    "rich": "progress bars and tables on terminals",
    "pyyaml": "recipes",
    "jinja2": "reports, pages and model cards",
    "imagehash": "near duplicates",
    "psutil": "what other programs leave free of the processors",
    "numba": "compiled loops: normalisation, augmentation, mean average precision",
    "faster-coco-eval": "detectors: COCO's measures and outlines",
    "simplejpeg": "libjpeg-turbo: decodes JPEGs faster than Pillow, to the same pixels",
}


def size(package: str) -> float:
    """Megabytes of a package's files, as its record states them."""
    return sum(file.size or 0 for file in metadata.distribution(package).files or ()) / 1e6


def licence(package: str) -> str:
    """The licence that a package states, in a few words."""
    told = metadata.metadata(package)
    classified = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or [] if line.startswith("License ::")]
    words = told.get("License-Expression") or ", ".join(classified) or str(told.get("License") or "not stated").splitlines()[0]
    return words if len(words) <= 60 else words[:57].rsplit(" AND ", 1)[0] + " and others"


def brought(packages: Iterable[str]) -> set[str]:
    """The packages and all that they need, by their normal names; those that are installed."""
    found: set[str] = set()
    todo = [(Requirement(name), "") for name in packages]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        if name not in found:
            todo += [(Requirement(line), "") for line in needs]
        todo += [(Requirement(line), asked) for asked in requirement.extras for line in needs if "extra ==" in line]
        found.add(name)
    return found


def megabytes(packages: Iterable[str]) -> str:
    total = sum(map(size, packages))
    return f"{total:,.0f}" if total >= 10 else f"{total:.1f}"


def tables(known: str) -> str:
    """The two tables as Markdown; `known` are those of before."""
    before = {line.split(" | ")[0]: line for line in known.splitlines()}
    least = brought(REQUIRED)
    lines = ["| package | for | licence | version | MB |", "|--|--|--|--|--|"]
    lines += [
        f"| {name} | {WHY[name]} | {licence(name)} | {metadata.version(name)} | {megabytes([name])} |" for name in REQUIRED
    ]
    beside = least - {re.sub(r"[-_.]+", "-", name).lower() for name in REQUIRED}
    gpu = {name for name in beside if name.startswith(("nvidia", "cuda", "triton"))}
    words = "needed by torch for GPUs; not in its build for processors alone"
    lines.append(f"| {len(gpu)} packages of CUDA | {words} | NVIDIA's, MIT | | {megabytes(gpu)} |")
    rest = sorted(beside - gpu)
    lines.append(f"| {len(rest)} others that these need | {', '.join(rest)} | | | {megabytes(rest)} |")
    lines.append(f"| all | | | | {megabytes(least)} |")
    lines += ["", "| extra | for | brings | MB more |", "|--|--|--|--|"]
    for name, extra in EXTRAS.items():
        first = f"| `{name}`"
        if first in before and not all(map(installed, extra.packages)):
            lines.append(before[first])
            continue
        there = [package for package in extra.packages if installed(package)]
        told = ", ".join(f"{package} ({licence(package)})" if package in there else package for package in extra.packages)
        more = megabytes(brought(there) - least) if len(there) == len(extra.packages) else "not measured"
        lines.append(f"{first} | {extra.use} | {told} | {more} |")
    return "\n".join(lines)


def installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    before, mark, rest = PAGE.read_text(encoding="utf-8").partition("<!-- tables -->\n")
    known, _, after = rest.partition("<!-- end -->\n")
    PAGE.write_text(f"{before}{mark}{tables(known)}\n<!-- end -->\n{after}", encoding="utf-8")
