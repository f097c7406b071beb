"""Several workers share the processors: one thread each, said before torch is imported, and to whatever they start. And Ctrl-C
works in what the tests start, also where the test run itself is in the background of a shell, which makes it ignored.
"""

import os
import signal

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
