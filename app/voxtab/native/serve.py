"""The built site on this machine: `voxtab serve`.

WhiteNoise, one small pure Python package, knows ranges, validation and types; the standard library serves it.
Any static server works too: the site needs no special headers.
"""

from functools import partial
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.util import FileWrapper

from whitenoise import WhiteNoise

from voxtab.errors import UserError

PORT = 8000
BLOCK_BYTES = 1 << 18  # of a file, read and sent at once: with wsgiref's 8 kB a load waits for the server
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".wgsl": "text/plain",
    ".gguf": "application/octet-stream",
}


class _Files(WhiteNoise):
    def __call__(self, environ, start_response):
        return super().__call__(
            environ | {"wsgi.file_wrapper": partial(FileWrapper, blksize=BLOCK_BYTES)}, start_response
        )


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A browser may go away in the middle of an answer."""


class _Handler(WSGIRequestHandler):
    def log_message(self, format, *args):
        pass


def site_server(folder: str | Path, host: str = "127.0.0.1", port: int = PORT) -> WSGIServer:
    """A bound server for a folder that `tools/build_site` wrote; port 0: any free one. UserError without a site."""
    folder = Path(folder)
    if not (folder / "index.html").is_file():
        raise UserError(f"{folder} holds no index.html: build the site with tools/build_site and give its folder.")
    # The machine's own table of types may be wrong (.js in Windows' registry), so ours is given.
    files = _Files(
        _not_found, root=folder, index_file=True, autorefresh=True, max_age=0, allow_all_origins=False, mimetypes=_TYPES
    )
    try:
        return make_server(host, port, files, _Server, _Handler)
    except (OSError, OverflowError) as error:  # in use, not permitted, or not a valid port
        reason = getattr(error, "strerror", None) or "ports are 0 to 65535"
        raise UserError(
            f"Port {port} of {host} cannot be used ({reason}): choose others with --port or --host."
        ) from None


def serve(folder: str | Path, host: str = "127.0.0.1", port: int = PORT) -> None:
    """Serve until interrupted. Browsers give WebGPU and the microphone to https pages and to this machine's own."""
    with site_server(folder, host, port) as server:
        print(f"http://{host}:{server.server_port}/", flush=True)
        server.serve_forever()


def _not_found(environ, start_response):
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"There is no such file.\n"]
