"""Pictures of different sizes, as files."""

import pytest

from tests.data import made_splits


@pytest.fixture
def files(tmp_path):
    return made_splits.files(tmp_path)
