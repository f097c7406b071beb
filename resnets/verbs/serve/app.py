"""The addresses of a server: what people expect (`/predict`, a page), the Open Inference Protocol (`/v2`), metrics."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from resnets import __version__
from resnets.errors import InputError
from resnets.models.answering import Wanted, check_wanted
from resnets.verbs.serve import openapi, page, parts, tensors
from resnets.verbs.serve.drawings import DRAWINGS
from resnets.verbs.serve.protocol import inference, metadata, works_of
from resnets.verbs.serve.receive import Refused
from resnets.verbs.serve.served import Opened, Outcome, Work
from resnets.verbs.serve.service import Entry, Service

log = logging.getLogger("resnets.serve")
Handler = Callable[[Request], Awaitable[Response]]
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
PLAIN = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
LARGE = 1 << 16  # bytes of JSON that are read in another thread
FORGET_S = 2.0  # for the rest of a body that is not wanted
VERSION = "1"  # of each model, in the protocol


class App:
    """The handlers of a service.

    Args:
        token: what requests must bring, but for those to the page and to health; None: nothing.
        local: whether it listens on this machine's own address alone; then only its names are accepted as the host, so that no
            page of another site, under a name that it points here, can ask.
    """

    def __init__(self, service: Service, *, token: str | None, local: bool, access_log: bool = False) -> None:
        self.service, self.token, self.local, self.access_log = service, token, local, access_log
        self.page = page.page()

    def asgi(self) -> Starlette:
        service = self.service

        @asynccontextmanager
        async def lifespan(app: Starlette) -> Any:
            await service.start()
            yield
            await service.stop()

        routes = [
            self._route("/", self.index, public=True),
            self._route("/docs", self.docs, public=True),
            self._route("/openapi.json", self.document, public=True),
            self._route("/models", self.models),
            self._route("/predict", self.predict, "POST"),
            self._route("/metrics", self.metrics),
            self._route("/v2", self.server, public=True),
            self._route("/v2/health/live", self.live, public=True),
            self._route("/v2/health/ready", self.ready, public=True),
        ]
        for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            routes += [
                self._route(model, self.about),
                self._route(f"{model}/ready", self.model_ready, public=True),
                self._route(f"{model}/infer", self.infer, "POST"),
            ]
        return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: self._no_route})

    # --- around every handler ---

    def _route(self, path: str, handler: Handler, method: str = "GET", *, public: bool = False) -> Route:
        async def guarded(request: Request) -> Response:
            began = time.perf_counter()
            try:
                self._check(request, public)
                response = await handler(request)
            except Refused as refused:
                response = self._refusal(refused)
            except InputError as error:
                response = self._refusal(Refused(400, str(error), reason="wrong"))
            except ClientDisconnect:
                response = self._refusal(Refused(499, "the other side has gone", reason="gone"))
            except Exception:
                log.exception("%s %s failed", method, path)
                response = self._refusal(Refused(500, "the server failed; its log says why", reason="failed"))
            response.headers.update({name: value for name, value in PLAIN.items() if name not in response.headers})
            if self.service.draining:
                response.headers["Connection"] = "close"
                await forgotten(request)
            took_s = time.perf_counter() - began
            self.service.monitor.requests.labels(path, str(response.status_code)).inc()
            self.service.monitor.request_s.labels(path).observe(took_s)
            if self.access_log:
                log.info("%s %s %d %.1f ms", method, path, response.status_code, 1000 * took_s)
            return response

        return Route(path, guarded, methods=[method])

    def _check(self, request: Request, public: bool) -> None:
        """Raises `Refused` where the request comes from another site's page, or brings no token."""
        host = request.headers.get("host", "")
        if self.local and host and (host if host.endswith("]") else host.rpartition(":")[0] or host) not in LOCAL:
            raise Refused(403, f"this server is for its own machine, and not called {host[:80]!r}; see --host", reason="denied")
        if request.method == "POST" and request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refused(403, "pages of other sites may not ask this server", reason="denied")
        if self.token is None or public:
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise Refused(401, "send the server's token: Authorization: Bearer TOKEN", reason="denied")

    def _refusal(self, refused: Refused) -> Response:
        self.service.monitor.refused.labels(refused.reason).inc()
        headers = {} if refused.retry_s is None else {"Retry-After": f"{refused.retry_s:.0f}"}
        if refused.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": refused.text}, refused.status, headers)

    async def _no_route(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": f"{error.detail}; GET /docs lists the addresses"}, error.status_code, error.headers)

    # --- for people ---

    async def index(self, request: Request) -> Response:
        return HTMLResponse(self.page.text, headers={"Content-Security-Policy": self.page.policy})

    async def docs(self, request: Request) -> Response:
        found = page.docs(await self._document())
        return HTMLResponse(found.text, headers={"Content-Security-Policy": found.policy})

    async def document(self, request: Request) -> Response:
        return JSONResponse(await self._document())

    async def _document(self) -> dict[str, Any]:
        return openapi.document(list(self.service.entries), self.service.limits, with_token=self.token is not None)

    async def models(self, request: Request) -> Response:
        """What the page has to know."""
        limits = self.service.limits
        told = {"max_pictures": limits.max_pictures, "max_bytes": limits.max_bytes, "max_pixels": limits.max_pixels}
        return JSONResponse({"models": [self._told(entry) for entry in self.service.entries.values()], "limits": told})

    def _told(self, entry: Entry) -> dict[str, Any]:
        opened = entry.served.opened
        return {
            "name": entry.name,
            "task": opened.task.name,
            "runtime": opened.session.runtime,
            "labels": opened.header.labels,
            "inputs": opened.inputs.images,
            "drawings": shown_of(opened, is_slow=False),
            "slow_drawings": shown_of(opened, is_slow=True),
            "drift": {of: {"psi": round(each.psi, 4), "warn": each.warn} for of, each in entry.watch.drifts.items()},
        }

    async def predict(self, request: Request) -> Response:
        """Pictures in, rows out."""
        query = request.query_params
        entry = self.service.entry(query.get("model"))
        opened = entry.served.opened
        wanted = wanted_of(query, opened)
        drawings = tuple(filter(None, query.get("draw", "").split(",")))
        if strange := [name for name in drawings if name not in opened.drawings]:
            text = f"draw={strange[0][:80]}: this model's answers have {', '.join(opened.drawings) or 'no drawings'}"
            raise Refused(400, text, reason="wrong")
        form = query.get("format", "csv" if request.headers.get("accept", "").startswith("text/csv") else "json")
        if form not in ("json", "csv"):
            raise Refused(400, f"format={form[:40]}: use json or csv", reason="wrong")
        self.service.admit(entry)
        async with self.service.bodies.read(request) as body:
            files = await parts.pictures(request, body, self.service.limits)
            if len(files) > 1 and (slow := [name for name in drawings if DRAWINGS[name].is_slow]):
                raise Refused(400, f"draw={slow[0]}: ask for one picture at a time, it takes as long as many", reason="wrong")
            works = [Work(file, wanted, drawings=drawings) for file in files]
            outcomes = await self.service.answer(request, entry, works)
        status = 422 if all(outcome.failed for outcome in outcomes) else 200
        if form == "csv":
            rows = opened.task.rows
            lines = [rows.csv_head(wanted.topk), *(rows.csv_lines(outcome.row, wanted.topk) for outcome in outcomes)]
            return Response("\n".join(lines) + "\n", status, media_type="text/csv")
        return JSONResponse({"model": entry.name, "rows": [told(outcome) for outcome in outcomes]}, status)

    async def metrics(self, request: Request) -> Response:
        return Response(self.service.told(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    # --- the Open Inference Protocol ---

    async def server(self, request: Request) -> Response:
        return JSONResponse({"name": "resnets", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def live(self, request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        ready = await self.service.ready()
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    def _entry(self, request: Request) -> Entry:
        if (version := request.path_params.get("version", VERSION)) != VERSION:
            raise Refused(404, f"there is no version {version[:80]!r}; each model has the version {VERSION}", reason="unknown")
        return self.service.entry(request.path_params["name"])

    async def model_ready(self, request: Request) -> Response:
        entry = self._entry(request)
        ready = not self.service.draining and await entry.ready()
        return JSONResponse({"name": entry.name, "ready": ready}, 200 if ready else 503)

    async def about(self, request: Request) -> Response:
        entry = self._entry(request)
        return JSONResponse({"name": entry.name, "versions": [VERSION], **metadata(entry.served.opened)})

    async def infer(self, request: Request) -> Response:
        entry = self._entry(request)
        opened, limits = entry.served.opened, self.service.limits
        self.service.admit(entry)
        async with self.service.bodies.read(request) as body:
            header_bytes = request.headers.get(tensors.HEADER)
            arguments = (body, header_bytes, limits.max_pictures)
            small = header_bytes is not None or len(body) < LARGE
            asked = tensors.read(*arguments) if small else await run_in_threadpool(tensors.read, *arguments)
            wanted = wanted_of(asked.parameters, opened)
            outcomes = await self.service.answer(request, entry, works_of(opened, asked, wanted, limits.max_pictures))
        head = {"model_name": entry.name, "model_version": VERSION} | ({} if asked.id is None else {"id": asked.id})
        content, size = inference(opened, asked, head, outcomes)
        if size is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={tensors.HEADER: str(size)}, media_type="application/octet-stream")


async def forgotten(request: Request) -> None:
    """Read what is left of a body: a connection that is closed before is reset, and the answer may be lost."""
    with suppress(ClientDisconnect, RuntimeError, TimeoutError):  # gone, read already, or too slow
        async with asyncio.timeout(FORGET_S):
            async for _ in request.stream():
                pass


def wanted_of(asked: Mapping[str, Any], opened: Opened) -> Wanted:
    """`topk` and `threshold` of a request, by the same rules as the flags of `resnets predict`.

    Raises:
        Refused: where they are no numbers.
        InputError: where they are out of range, or the model's answers do not go by them.
    """
    try:
        topk, least = int(asked.get("topk", 5)), asked.get("threshold")
        threshold = None if least is None else float(least)
    except (TypeError, ValueError, OverflowError):
        raise Refused(400, "topk must be a whole number, and threshold a number", reason="wrong") from None
    check_wanted(opened.task, threshold=threshold)
    return Wanted(min(topk, max(1, len(opened.header.labels))), threshold)


def shown_of(opened: Opened, *, is_slow: bool) -> dict[str, str]:
    """The titles of the drawings that the page shows, by name."""
    rows = {name: DRAWINGS[name] for name in opened.drawings}
    return {name: row.title for name, row in rows.items() if row.shown and row.is_slow == is_slow}


def told(outcome: Outcome) -> dict[str, Any]:
    """A row, with its drawings in base64."""
    drawings = {name: base64.b64encode(content).decode() for name, content in outcome.drawings.items()}
    return {**outcome.row, **({"drawings": drawings} if drawings else {})}
