"""The types of what a run writes down have every key that is written."""

import typing

import pytest

from resnets.engine.run import provenance
from resnets.models.header import TRAVELS, boxed
from resnets.models.records import CodeRecord, Origin, Provenance
from resnets.models.weights import read_header


def undeclared(value: object, kind: object, name: str = "") -> list[str]:
    """The keys in `value` that the TypedDict `kind`, or those in it, lack."""
    if not isinstance(value, dict):
        return []
    kinds = [one for one in (kind, *typing.get_args(kind)) if typing.is_typeddict(one)]
    if not kinds:
        return []
    hints = typing.get_type_hints(kinds[0])
    found = [f"{name}{key}" for key in value if key not in hints]
    return found + [path for key in value if key in hints for path in undeclared(value[key], hints[key], f"{name}{key}.")]


@pytest.mark.parametrize("model", sorted(boxed()))
def test_provenance_of_the_bundled_models(model):
    assert undeclared(read_header(boxed()[model]).provenance, Provenance) == []


def test_provenance_of_this_process():
    assert undeclared(provenance({"type": "cpu", "name": "a processor", "threads": 2}), CodeRecord) == []
    assert undeclared({"device": {"maker": "a"}, "git": {"tag": "b"}, "seeds": 1}, Provenance) == [
        "seeds",
        "device.maker",
        "git.tag",
    ]


def test_a_run_has_what_any_measurement_has_and_keeps_the_origin_of_its_weights():
    assert CodeRecord.__annotations__.items() <= Provenance.__annotations__.items()
    assert set(TRAVELS) == set(Origin.__annotations__) <= set(Provenance.__annotations__)
