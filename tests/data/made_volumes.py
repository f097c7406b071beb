"""Phantoms: volumes with a ball and a box of known brightness, somewhere in noise, and their labels."""

import numpy as np
import pytest

nibabel = pytest.importorskip("nibabel")

SPACING = (1.0, 1.5, 2.0)  # mm along x, y, z
BALL, BOX = 1, 2  # classes
BRIGHTNESS = np.array([0, 100, 200], np.float32)


def axes(order):
    return nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(order)
    )


def save(path, values, *, order="RAS", spacing=SPACING):
    """`values` (x, y, z), as a file whose axes run as `order` says, in the same place whatever that is."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = 7, -30, 11
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(values, affine).as_reoriented(axes(order)).to_filename(path)
    return path


def phantom(seed, shape=(20, 18, 16)):
    """Brightness int16 and classes uint8, (x, y, z)."""
    random = np.random.default_rng(seed)
    grid = np.indices(shape)
    classes = np.zeros(shape, np.uint8)
    corner = [random.integers(1, side - 7) for side in shape]
    classes[tuple(slice(start, start + 6) for start in corner)] = BOX
    centre = np.array([random.integers(4, side - 4) for side in shape]).reshape(3, 1, 1, 1)
    classes[((grid - centre) ** 2).sum(0) <= 12] = BALL
    return (BRIGHTNESS[classes] + random.normal(0, 8, shape)).astype(np.int16), classes


def folder(root, *, train=4, val=2, suffix=".nii.gz", orders=("RAS", "LPI"), shape=(20, 18, 16)):
    """images/ and labels/ of train and val, their axes in turn as in `orders`; classes.txt: air, ball, box."""
    for split, num in (("train", train), ("val", val)):
        for index in range(num):
            values, classes = phantom(index + 100 * (split == "val"), shape)
            order = orders[index % len(orders)]
            save(root / split / f"images/{index}{suffix}", values, order=order)
            save(root / split / f"labels/{index}{suffix}", classes, order=order)
    (root / "classes.txt").write_text("background\nball\nbox\n")
    return root
