"""Whole volumes with a class each: a small or a large ball in noise, as NIfTI or as DICOM series."""

import numpy as np

from tests.data import made_dicom
from tests.data.made_volumes import save

NAMES = ("large", "small")


def ball(number, shape=(12, 11, 10)):
    """int16 (x, y, z): a ball in the middle of noise, of radius 4 for even numbers, else 2."""
    random = np.random.default_rng(number)
    grid = np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) // 2
    values = random.normal(0, 20, shape) + 100 * ((grid**2).sum(0) <= (4, 2)[number % 2] ** 2)
    return values.astype(np.int16)


def classes(root, **splits):
    """classes(root, train=6, test=4): root/<split>/<class>/<number>.nii.gz, of slightly different sizes."""
    for split, num in splits.items():
        for number in range(num):
            shape = 12 + number % 3, 11, 10
            values = ball(number + 100 * (split != "train"), shape)
            save(root / split / NAMES[number % 2] / f"{number}.nii.gz", values, spacing=(1.0, 1.0, 1.0))
    return root


def listed(root, header="path,label", cells=lambda number: NAMES[number % 2], num=8, name="list.csv"):
    """A list of volumes in files of its folder."""
    lines = [header]
    for number in range(num):
        save(root / f"{number}.nii.gz", ball(number), spacing=(1.0, 1.0, 1.0))
        lines.append(f"{number}.nii.gz,{cells(number)}")
    (root / name).write_text("\n".join(lines) + "\n")
    return root / name


def series(root, num=4, patients=None):
    """root/<class>/<study>/: a DICOM series of six slices in each, of as many patients unless `patients` says of whom."""
    for number in range(num):
        patient = number if patients is None else patients[number]
        made_dicom.series(root / NAMES[number % 2] / f"study{number}", series=number, patient=patient)
    return root
