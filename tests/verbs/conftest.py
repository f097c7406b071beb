"""What figures show is for tests/draw and tests/tasks."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def quick_figures(unrendered):
    pass
