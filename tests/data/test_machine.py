"""What of the machine this process may use."""

import math
import os
import subprocess
import sys

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


FAULTS = """
import resource, sys
from resnets.ship import sessions
if sys.argv[1] == "keep":
    try:
        sessions.open_session("nothing.safetensors")
    except sessions.InputError:
        pass
b"x" * 2**25
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    b"x" * 2**25
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(machine.find_mallopt() is None, reason="glibc's allocator is not used")
def test_a_process_with_a_session_keeps_freed_memory():
    def faults(how):
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert 4 * faults("keep") < faults("not")  # pages that the system cleared
