"""The files of the page that tools/build_site wrote."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from voxtab.errors import UserError

BLOCK_BYTES = 1 << 18  # of a file, read and sent at once
# The machine's own table of types may be wrong (.js in Windows' registry).
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".wgsl": "text/plain",
    ".txt": "text/plain",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".flac": "audio/flac",
    ".zip": "application/zip",
}
HEADERS = "headers.json"  # in the folder: {path, or "*" for all: {name: value}}; what the page and its Workers may do
# One range of bytes. Others are ignored, as RFC 9110 allows, and the whole file is sent.
_ONE_RANGE = re.compile(rb"\s*bytes\s*=\s*(\d+\s*-\s*\d*|-\s*\d+)\s*", re.IGNORECASE | re.ASCII)


class Site(StaticFiles):
    """Serves a folder: types, validation, single ranges. Links in it are followed. UserError without a site.

    `headers` are added to the answers, as the folder's headers.json says them unless they are given.
    """

    def __init__(self, folder: str | Path, headers: Mapping[str, Mapping[str, str]] | None = None):
        if not Path(folder, "index.html").is_file():
            raise UserError(f"{folder} holds no index.html: build the site with tools/build_site and give its folder.")
        super().__init__(directory=folder, html=True, follow_symlink=True)
        if headers is None:
            headers = json.loads(Path(folder, HEADERS).read_text("utf-8")) if Path(folder, HEADERS).is_file() else {}
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers_of(scope["path"].strip("/"))]}
            await send(message)

        if scope["type"] == "http":
            scope = {**scope, "headers": [header for header in scope["headers"] if not self._is_ignored(scope, header)]}
        await super().__call__(scope, receive, send_with_headers)

    def _headers_of(self, path: str) -> list[tuple[bytes, bytes]]:
        headers = {"Cache-Control": "no-cache", **self._headers.get("*", {}), **self._headers.get(path, {})}
        return [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    @staticmethod
    def _is_ignored(scope: Scope, header: tuple[bytes, bytes]) -> bool:
        name, value = header
        return name == b"range" and (scope["method"] != "GET" or not _ONE_RANGE.fullmatch(value))

    def file_response(self, full_path, stat_result, scope, status_code=200) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        if isinstance(response, FileResponse):
            response.chunk_size = BLOCK_BYTES
            type = TYPES.get(Path(full_path).suffix, "application/octet-stream")
            response.headers["content-type"] = f"{type}; charset=utf-8" if type.startswith("text/") else type
        return response
