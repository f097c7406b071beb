"""Several workers share the processors: one thread each, said before torch is imported, and to whatever they start. And Ctrl-C
works in what the tests start, also where the test run itself is in the background of a shell, which makes it ignored.
"""

import functools
import os
import signal
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = Path(__file__).parent
UNRENDERED = {"cli", "fleet", "ship", "stores", "verbs", "test_public.py"}  # do not look at figures
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def unrendered(request):
    """In tests that do not look at figures these are made, and saved as empty pictures of their size: to render them takes
    longer than the rest of a short run."""
    if request.path.relative_to(HERE).parts[0] not in UNRENDERED:
        yield
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    rendered = FigureCanvasAgg.print_png

    @functools.wraps(rendered)  # matplotlib passes what the signature names
    def print_png(canvas, file, **options):
        if not isinstance(file, str | os.PathLike):  # such as what asks for the size of a text
            return rendered(canvas, file, **options)
        Image.new("RGB", canvas.get_width_height()).save(file, "PNG")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FigureCanvasAgg, "print_png", print_png)
        yield


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()
