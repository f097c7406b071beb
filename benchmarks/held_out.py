"""A fifth of a training split becomes a test split: images that neither trained nor chose anything, for docs/dense.md.

    python benchmarks/held_out.py bccd -o bccd_held     # Pascal VOC's lists
    python benchmarks/held_out.py nuclei -o nuclei_held # {train,val}/images and instances or masks beside them
    resnets train bccd_held --task detect ...           # scores the test split once, at the end

The validation split stays what it is, and chooses the epoch. Files are links to those of the set. The split is drawn by seed 0.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

PART = 5  # of the images of the training split, one in so many is held out


def drawn(names: list[str]) -> set[str]:
    return set(random.Random(0).sample(sorted(names), len(names) // PART))


def lists(folder: Path, out: Path) -> None:
    """Pascal VOC: the images as they are, and new lists."""
    for name in ("JPEGImages", "Annotations"):
        (out / name).symlink_to((folder / name).resolve())
    given = folder / "ImageSets/Main"
    names = (given / "train.txt").read_text().split()
    held = drawn(names)
    splits = {"train": sorted(set(names) - held), "val": (given / "val.txt").read_text().split(), "test": sorted(held)}
    (out / "ImageSets/Main").mkdir(parents=True)
    for split, own in splits.items():
        (out / "ImageSets/Main" / f"{split}.txt").write_text("\n".join(own) + "\n")


def folders(folder: Path, out: Path) -> None:
    """train/, val/ and test/, each with images/ and labels of the same names beside it."""
    held = drawn([path.stem for path in (folder / "train/images").iterdir()])
    for path in sorted(folder.glob("*/*/*")):
        split = "test" if path.parts[-3] == "train" and path.stem in held else path.parts[-3]
        (link := out / split / path.parts[-2] / path.name).parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True, help="a folder that is not there yet")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    (lists if (asked.folder / "ImageSets/Main").is_dir() else folders)(asked.folder, asked.out)


if __name__ == "__main__":
    main()
