"""`python launched.py train ...`, under torchrun: resnets, with what a test asks for in the environment.

$TROUBLE is RANK:STEP:KIND, what befalls one process in one step: a number is a signal, else an exception of that text.
"""

import os
import signal

from resnets.engine import loop
from resnets.errors import InputError
from resnets.verbs import train as training


def befall(rank, step, kind):
    take_step = loop.take_step

    def troubled(job, state, group):
        if job.processes.rank == int(rank) and state.at.step + 1 == int(step):
            if kind.isdigit():
                os.kill(os.getpid(), signal.Signals(int(kind)))
            else:
                raise {"input": InputError, "bug": LookupError}[kind](f"a made {kind}")
        return take_step(job, state, group)

    loop.take_step = troubled


def main():
    if "TROUBLE" in os.environ:
        befall(*os.environ["TROUBLE"].split(":"))
    # Without scoring and drawing, which take the most time here.
    training.finish = lambda job, source, best_epoch: training.Run(job.run.path, job.model, {})
    from resnets.cli.main import main

    main()


if __name__ == "__main__":
    main()
