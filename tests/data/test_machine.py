"""What of the machine this process may use."""

import math
import os

import pytest

from resnets.data import machine


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ({"cpu.max": "damaged"}, math.inf),
        ({}, math.inf),
    ],
)
def test_the_limit_of_a_container(files, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert machine.num_usable() == min(allowed, expected)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 avx512f avx512_vnni", ["AVX2", "AVX-512", "VNNI"]),
        ("avx2 amx_tile amx_bf16", ["AVX2", "bf16", "AMX"]),
        ("fpu", []),
    ],
)
def test_instructions_by_the_names_that_people_use(flags, expected, monkeypatch):
    monkeypatch.setattr(machine, "_cpuinfo", lambda key: flags if key == "flags" else "")
    assert [name for name, has in machine.instructions().items() if has] == expected


def test_where_the_processor_tells_nothing(monkeypatch):
    monkeypatch.setattr(machine, "_cpuinfo", lambda key: "")
    assert machine.instructions() is None and machine.cpu_name()


def test_default_workers_are_few():
    assert 1 <= machine.default_workers() <= 8
