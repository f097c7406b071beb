"""How the command says what a library warns of."""

import warnings

import torch

import resnets
from resnets.cli.main import warning
from resnets.errors import SmallInput


def test_a_warning_of_ours_is_a_line_with_the_page_that_explains_it():
    model = resnets.create_model("resnet18", num_classes=2).eval()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for size in (32, 33, 48):  # volumes and series have many sizes: it is said once
            model(torch.zeros(1, 3, size, size))
    [one] = [each for each in caught if each.category is SmallInput]
    said = warning(one.message, one.category, one.filename, one.lineno)
    first, second = said.splitlines()
    assert first.startswith("warning  resnet18 shrinks 32 pixels to 1: ")
    assert second == "more: docs/errors.md#stem-for-larger-images"


def test_a_warning_of_another_library_is_as_python_has_it():
    assert warning("old", DeprecationWarning, "file.py", 3, "code()") == "file.py:3: DeprecationWarning: old\n  code()\n"
