"""One server of a tiny classifier for the tests that change nothing of it."""

import pytest

from tests.verbs.serve.made import model_file, serving


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    return model_file(tmp_path_factory.mktemp("served") / "tiny.safetensors")


@pytest.fixture(scope="module")
def server(saved):
    with serving({"tiny": saved}) as running:
        yield running
