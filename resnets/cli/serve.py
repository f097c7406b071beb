"""`resnets serve`: models as a service over HTTP."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path
from typing import Any

import click

from resnets.cli.options import CONTEXT, EPILOG, amp_flag, confidence_flags, device_flag, runtime_flag
from resnets.draw.text import visible
from resnets.errors import InputError
from resnets.verbs.serve.limits import Limits

NEEDS = {"starlette": "starlette", "uvicorn": "uvicorn", "httptools": "httptools", "prometheus_client": "prometheus-client",
         "python_multipart": "python-multipart"}  # fmt: skip


@click.command(context_settings=CONTEXT, epilog=EPILOG, short_help="Serve models over HTTP.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--host", default="127.0.0.1", metavar="TEXT", help="address to listen on; 0.0.0.0: all  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, metavar="N", help="0: any free one  [8000]")
@click.option("--token", metavar="TEXT", envvar="RESNETS_TOKEN", help="what requests must bring  [$RESNETS_TOKEN]")
@click.option("--batch-size", "-b", type=int, metavar="N", default=Limits.batch_size, help="pictures per batch, at most  [16]")
@click.option(
    "--max-delay-ms",
    type=float,
    metavar="X",
    default=Limits.max_delay_ms,
    help="wait of a batch for requests on their way  [2]",
)
@click.option("--queue", type=int, metavar="N", default=Limits.queue, help="pictures that wait; more are refused (429)  [128]")
@click.option("--max-bytes", type=int, metavar="N", default=Limits.max_bytes, help="of a request  [32000000]")
@click.option("--max-pixels", type=int, metavar="N", default=Limits.max_pixels, help="of a picture  [50000000]")
@click.option("--max-pictures", type=int, metavar="N", default=Limits.max_pictures, help="of a request  [64]")
@click.option(
    "--timeout-s",
    type=float,
    metavar="X",
    default=Limits.timeout_s,
    help="to receive a request, and to answer it  [10]",
)
@click.option(
    "--reference",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="predictions.csv whose answers drift is measured from  [those to validation, which MODEL keeps]",
)
@click.option(
    "--index",
    "indexes",
    metavar="FILE",
    multiple=True,
    help="of `resnets index`: what is nearest to a picture is shown beside the first MODEL's answers, or of NAME=FILE",
)
@click.option("--access-log", is_flag=True, help="log each request: address, status, time; never its content")
@confidence_flags
@runtime_flag
@amp_flag
@device_flag
def serve(
    models: tuple[str, ...],
    *,
    host: str,
    port: int,
    token: str | None,
    access_log: bool,
    reference: Path | None,
    indexes: tuple[str, ...],
    runtime: str,
    amp: bool,
    device: str,
    abstain_at: str | None,
    sets: str | None,
    unknown: bool,
    **limits: Any,
) -> None:
    """Serve each MODEL (a file, a run directory, or NAME=MODEL) over HTTP: a page, POST /predict with pictures, the Open
    Inference Protocol (KServe V2), metrics for Prometheus. SIGTERM and Ctrl-C end it once all requests are answered."""
    if missing := [package for module, package in NEEDS.items() if importlib.util.find_spec(module) is None]:
        raise InputError(f"a server needs {', '.join(missing)}: pip install 'resnets[serve]'")
    if token is not None and not token.isascii():
        raise InputError("--token: use letters, digits and signs of ASCII")
    from resnets.verbs.serve.run import log_to_stderr, serve
    from resnets.verbs.serve.served import Opening

    found = Limits(**limits)
    opening = Opening(
        asked={"abstain_at": abstain_at, "sets": sets, "unknown_at": None if unknown else 0},
        runtime=runtime,
        device=device,
        amp=amp,
        max_pixels=found.max_pixels,
        reference=reference,
    )
    log_to_stderr()
    stopped_by = serve(
        models,
        host=host,
        port=port,
        token=token or None,
        opening=opening,
        indexes=indexes,
        limits=found,
        access_log=access_log,
        say=lambda text: click.echo(visible(text), err=True),
    )
    if stopped_by == signal.SIGINT:
        raise KeyboardInterrupt
