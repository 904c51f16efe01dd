"""Binds, serves until interrupted, and ends what runs."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp

from voxtab import resources
from voxtab.config import Schedule
from voxtab.errors import UserError
from voxtab.native.server.access import is_loopback
from voxtab.native.server.app import Api, application
from voxtab.native.server.limits import Limits
from voxtab.native.server.site import Site

if TYPE_CHECKING:
    from voxtab.model import Model
    from voxtab.native.server.streams import Streams

_BACKLOG = 2048  # connections that the system holds until they are accepted
_CLOSING_SECONDS = 2  # downloads may take so long to end; streams have ended before
_MOST_FILES = 65536
# uvicorn 0.54 logs the second whenever a WebSocket is refused with a status.
_NO_ERRORS = ("Cancel ", "ASGI callable returned without completing handshake.")
_API_PACKAGES = ("python_multipart", "prometheus_client", "websockets")


def serve(
    folder: str | Path | None,
    host: str,
    port: int,
    *,
    model: str | None = None,
    tokenizer: str | None = None,
    gpu: int = 0,
    delay_ms: int | None = None,
    key: str | None = None,
    limits: Limits | None = None,
    api: bool = True,
) -> None:
    """Serve a folder that tools/build_site wrote (None: no page) and, with `api`, the API, until interrupted.

    A model that is named is opened at once, the embedded one when the first stream comes. UserError for what is wrong.
    """
    missing = _missing_packages() if api else "it was started with --no-api."
    if missing and (model or folder is None):
        raise UserError(f"There is no API to serve: {missing}")
    site = Site(folder) if folder is not None else None
    if not missing and key is None and not is_loopback(host):
        raise UserError(
            f"{host} can be reached from other machines: give a key with --api-key or VOXTAB_API_KEY, or only the page "
            "with --no-api."
        )
    if delay_ms is not None:
        Schedule(delay_ms)  # raises UserError if it is none of the model's
    served = None if missing else Api(_loader(model, tokenizer, gpu), _shown_name(model), limits or Limits(), delay_ms)
    listener = bound(host, port)
    connections = _allow_many_files() // 2 - 50  # each may have a file open too
    _log_in_sentences()
    url = address(host, listener)
    if site:
        print(f"{url}/", flush=True)
    print(f"{url}/v1" if served else f"The API is off: {missing}", flush=True)
    app = application(site, served, key=key, local=is_loopback(host), missing=f"The API is off: {missing}")
    config = _config(app, served is not None, connections)
    asyncio.run(_serve(_Server(config, served), served if model else None, listener))


async def _serve(server: _Server, opened: Api | None, listener: socket.socket) -> None:
    """Serve, and meanwhile open the model of `opened`. If it does not open, end, and raise UserError."""

    async def open_model(streams: Streams) -> None:
        await streams.open()
        if streams.problem:
            server.should_exit = True

    opening = asyncio.ensure_future(open_model(opened.streams)) if opened else None
    await server.serve(sockets=[listener])
    if opening:
        opening.cancel()
    if opened and opened.streams.problem:
        raise UserError(opened.streams.problem)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, api: Api | None):
        super().__init__(config)
        self._api = api

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._api:
            await self._api.streams.close()
        await super().shutdown(sockets)


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port of this machine, from a thread, for tools and tests. Yields its address."""
    listener = bound("127.0.0.1", 0)
    server = uvicorn.Server(_config(app, websockets=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield address("127.0.0.1", listener)
    finally:
        server.should_exit = True
        thread.join()


def _config(app: ASGIApp, websockets: bool, connections: int | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="websockets-sansio" if websockets else "none",
        ws_per_message_deflate=False,  # audio in base64 is not worth the time
        proxy_headers=False,
        limit_concurrency=connections,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_CLOSING_SECONDS,
    )


def _missing_packages() -> str:
    """Empty if the API can be served, else what to do."""
    missing = [name for name in _API_PACKAGES if not importlib.util.find_spec(name)]
    return "install what it needs with pip install 'voxtab[serve]'." if missing else ""


def _loader(path: str | None, tokenizer: str | None, gpu: int) -> Callable[[], Awaitable[Model]]:
    """What opens the model. Files that are named are read here: wrong ones are told before anything is served."""
    from voxtab.native import models

    found = models.read_model(path, tokenizer) if path or tokenizer else None

    async def load() -> Model:
        model = await models.load_model(found if found else await asyncio.to_thread(models.read_model), gpu=gpu)
        if model.warning:
            print(f"voxtab: {model.warning}", file=sys.stderr)
        return model

    return load


def _shown_name(path: str | None) -> str:
    return Path(path).name.removesuffix(".gguf") if path else resources.EMBEDDED_MODEL


def address(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _allow_many_files() -> int:
    """How many files may be open. Systems allow few unless a program asks for more; each connection is one too."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def _log_in_sentences() -> None:
    """uvicorn logs what clients do wrong as warnings, and tasks that it cancels at its end as errors."""
    log = logging.getLogger("uvicorn.error")
    log.setLevel(logging.ERROR)
    log.addFilter(lambda record: not (record.msg.startswith(_NO_ERRORS) or _is_cancelled(record)))


def _is_cancelled(record: logging.LogRecord) -> bool:
    return bool(record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any free one. UserError if it cannot be had."""
    try:
        if port not in range(65536):
            raise OSError(0, "ports are 0 to 65535")
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host's name
        reason = error.strerror if isinstance(error, OSError) else "that is no name of a host"
        raise UserError(
            f"Port {port} of {host} cannot be used ({reason}): choose others with --port or --host."
        ) from None
