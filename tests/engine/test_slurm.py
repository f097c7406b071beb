"""A real Slurm of one node, as Debian has it (apt-get install slurm-wlm), in a folder of its own: a job that is stopped and
queued again goes on with its run, by the script that docs/distributed.md gives."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnets.engine.run import RunDir
from tests.engine.made import TINY, arrays
from tests.engine.running import assert_same, flags

ROOT = Path(__file__).parent.parent.parent
TRIES_SECONDS = 180
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("slurmctld", "slurmd", "srun"))), reason="no Slurm: apt-get install slurm-wlm"
    ),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="slurmd starts jobs as root only"),
]
# Without munge, accounting and cgroups; a job that is queued again starts at once where a test asks for it.
CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=60
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES State=UP
"""
# Of docs/distributed.md, with its data and settings.
SCRIPT = """\
#!/bin/bash
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={folder}/log.txt
srun {python} -m resnets train {data} --out {folder}/runs/$SLURM_JOB_ID --resume {flags}
if [ $? = 143 ]; then scontrol requeue $SLURM_JOB_ID; fi
"""


def free_ports(num):
    sockets = [socket.socket() for _ in range(num)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The commands of a Slurm that runs: words -> what they print."""
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (tmp_path / name).mkdir()
    text = CONF.format(host=host, folder=tmp_path, ports=free_ports(2), cpus=len(os.sched_getaffinity(0)))
    (tmp_path / "slurm.conf").write_text(text)
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    servers = [
        subprocess.Popen([name, "-D"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in ("slurmctld", "slurmd")
    ]

    def command(*words):
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        wait(lambda: command("sinfo", "-h", "-o", "%T") == "idle", tmp_path / "slurmctld.log", tmp_path / "slurmd.log")
        yield command
    finally:
        command("scancel", "--signal=KILL", "--full", "--state=RUNNING")
        command("scancel", "--state=PENDING")
        for each in reversed(servers):
            each.terminate()
            each.wait(timeout=30)


def wait(ready, *logs):
    until = time.monotonic() + TRIES_SECONDS
    while not ready():
        assert time.monotonic() < until, "\n".join(path.read_text()[-3000:] for path in logs if path.exists())
        time.sleep(0.2)


def submitted(slurm, folder, data, settings):
    script = SCRIPT.format(folder=folder, python=sys.executable, data=data, flags=" ".join(flags(settings)))
    (folder / "job.sbatch").write_text(script)
    number = slurm("sbatch", "--parsable", folder / "job.sbatch")
    return number, RunDir(folder / "runs" / number)


@pytest.mark.parametrize("stop", ["preempted", "out of time"])
def test_a_job_that_is_queued_again_goes_on_with_its_run(slurm, tmp_path, stop):
    data = arrays(tmp_path / "d.npz")
    settings = TINY | {"epochs": 60, "test": False}
    number, run = submitted(slurm, tmp_path, data, settings)
    log = tmp_path / "log.txt"
    wait(lambda: len(run.read_metrics()) > 2, log)
    if stop == "preempted":  # Slurm stops the job and queues it again: SIGTERM, then, later than a save takes, SIGKILL
        slurm("scontrol", "requeue", number)
    else:  # as `--signal=TERM@120` does before the end of the time; the script queues the job again
        slurm("scancel", "--signal=TERM", number)
    wait(lambda: slurm("squeue", "-h", "-j", number, "-o", "%T") == "PENDING", log)
    assert run.resume_position.exists() and "result" not in run.read_provenance(), log.read_text()[-2000:]
    slurm("scontrol", "update", f"JobId={number}", "StartTime=now")  # not in two minutes, as is usual
    wait(lambda: "result" in run.read_provenance(), log)
    assert len(run.read_provenance()["resumed"]) == 1
    assert stop == "preempted" or "stopped, and saved" in log.read_text()  # of a job that it stops Slurm hears no more
    whole = tmp_path / "whole"
    words = [sys.executable, "-m", "resnets", "train", str(data), "--out", str(whole), *flags(settings)]
    subprocess.run(words, check=True, capture_output=True, timeout=TRIES_SECONDS)
    assert_same(run.path, whole)
