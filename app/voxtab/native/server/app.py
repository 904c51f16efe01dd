"""Which address leads where."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voxtab.native.server.access import LOOPBACK_ORIGINS, Access
from voxtab.native.server.errors import ApiError, mistake
from voxtab.native.server.site import Site

if TYPE_CHECKING:
    from voxtab.model import Model
    from voxtab.native.server.limits import Limits
    from voxtab.native.server.streams import Streams


class Api:
    """The routes of the API. `model_name` is how clients see the model; they may ask for any name. Needs the extra."""

    def __init__(
        self, load: Callable[[], Awaitable[Model]], model_name: str, limits: Limits, delay_ms: int | None = None
    ):
        from voxtab.native.server.limits import Disk
        from voxtab.native.server.metrics import Metrics
        from voxtab.native.server.realtime import Realtime
        from voxtab.native.server.streams import Streams
        from voxtab.native.server.transcriptions import Transcriptions

        self._name = model_name
        self._metrics = Metrics()
        self.streams: Streams = Streams(load, limits, self._metrics, delay_ms)
        disk = Disk(limits.disk_bytes)
        self.routes: list[BaseRoute] = [
            Route("/health", self._health),
            Route("/metrics", self._show_metrics),
            Route("/v1/models", self._models),
            Route("/v1/models/{name:path}", self._model),
            Route("/v1/audio/transcriptions", Transcriptions(self.streams, disk)),
            WebSocketRoute("/v1/realtime", Realtime(self.streams, disk)),
        ]

    async def _health(self, request: Request) -> Response:
        """200 if a stream would be taken, which may open the model first; else 503."""
        streams = self.streams
        bad = streams.state == "failed" or streams.closing.is_set()
        answer = {"status": "ending" if streams.closing.is_set() else streams.state, "model": self._name}
        return JSONResponse(answer | {"running": streams.running, "waiting": streams.waiting}, 503 if bad else 200)

    async def _show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [self._shown(self._name)]})

    async def _model(self, request: Request) -> Response:
        return JSONResponse(self._shown(request.path_params["name"]))

    @staticmethod
    def _shown(name: str) -> dict:
        return {"id": name, "object": "model", "created": 0, "owned_by": "voxtab"}


def application(
    site: Site | None, api: Api | None, *, key: str | None = None, local: bool = True, missing: str = ""
) -> Starlette:
    """The page at /, unless `site` is None, and the API, unless `api` is None; `missing` then says why.

    `key` and `local`: see `Access`.
    """
    off = ApiError(503, missing)

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and site and not _is_api(scope["path"]):
            return await site(scope, receive, send)
        await (ApiError(404, f"There is no {scope['path']} here.") if api else off).response()(scope, receive, send)

    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return PlainTextResponse(f"{error.detail}\n", error.status_code, error.headers)
        return (error if isinstance(error, ApiError) else mistake()).response()

    return Starlette(
        routes=[*(api.routes if api else ()), Mount("/", page)],
        middleware=[
            Middleware(Access, key=key, local=local, is_api=_is_api),
            Middleware(_NoSniffing),
            # A page on this machine may use the API; with a key, a page anywhere.
            Middleware(
                CORSMiddleware,
                allow_origins=["*"] if key else [],
                allow_origin_regex=None if key else LOOPBACK_ORIGINS,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=["Retry-After"],
            ),
        ],
        exception_handlers={ApiError: refused, HTTPException: refused, Exception: refused},
    )


def _is_api(path: str) -> bool:
    return path.startswith("/v1/") or path == "/metrics"


class _NoSniffing:
    """ASGI middleware: browsers believe the type of every answer."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [header for header in message.get("headers", ()) if header[0] != b"x-content-type-options"]
                headers.append((b"x-content-type-options", b"nosniff"))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_with_header)
