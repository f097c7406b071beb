"""Several workers share the processors: one thread each, said before torch is imported, and to whatever they start."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
