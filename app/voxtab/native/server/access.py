"""Who may ask.

Without a key, the programs and pages of this machine: not another site's page in this machine's browser, neither
directly (its Origin tells) nor under a name that it lets point here (DNS rebinding; the Host tells). With a key,
everybody who has it: the API then answers pages of any origin, and by any name.
"""

import hmac
import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from voxtab.native.server.errors import ApiError

_KEY_PROTOCOL = "openai-insecure-api-key."  # how browsers, which cannot set a WebSocket's headers, send a key
LOOPBACK_ORIGINS = r"https?://(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?"


def is_loopback(host: str | None) -> bool:
    """Whether a host's name, or its address without brackets, is this machine's own."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


class Access:
    """ASGI middleware. `is_api`: whether a path is the API's, which needs the key if there is one.

    `local`: only this machine can reach the server, so without a key only its own names for itself are right.
    """

    def __init__(self, app: ASGIApp, key: str | None, local: bool, is_api: Callable[[str], bool]):
        self._app, self._key, self._local, self._is_api = app, key, local, is_api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
            except ApiError as error:
                return await error.response()(scope, receive, send)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self._key is None:
            if self._local and not is_loopback(_host(f"//{headers.get('host', '')}")):
                raise ApiError(
                    403,
                    "This server answers to localhost only: ask for http://127.0.0.1 and its port, "
                    "or start it with --api-key.",
                    code="host_not_allowed",
                )
            origin = headers.get("origin")
            if origin is not None and self._is_api(scope["path"]) and not is_loopback(_host(origin)):
                raise ApiError(
                    403,
                    "Pages of other sites may not use this server: start it with --api-key, and give them the key.",
                    code="origin_not_allowed",
                )
        elif self._is_api(scope["path"]) and scope.get("method") != "OPTIONS" and not self._has_key(headers):
            raise ApiError(
                401, "The API key is missing or wrong: send it as Authorization: Bearer KEY.", code="invalid_api_key"
            )

    def _has_key(self, headers: Headers) -> bool:
        assert self._key is not None
        scheme, _, value = headers.get("authorization", "").partition(" ")
        given = [value.strip()] if scheme.lower() == "bearer" else []
        for protocol in headers.get("sec-websocket-protocol", "").split(","):
            if protocol.strip().startswith(_KEY_PROTOCOL):
                given.append(protocol.strip().removeprefix(_KEY_PROTOCOL))
        # Compared in a time that does not tell how much of it is right.
        return any(hmac.compare_digest(key.encode("latin-1"), self._key.encode()) for key in given)


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
