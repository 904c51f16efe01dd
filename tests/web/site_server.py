"""A server for tests: the built site, folders of models, and the misbehaviour that a path asks for.

/site/...                   the site; so too /some/deeper/path/site/...
/files/NAME/...             the folder `files[NAME]`, with ranges
/BEHAVIOUR/files/...        the same, with one of the BEHAVIOURS
/taken/BYTES                no file: the page tells how much of a model it has taken
"""

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


class Server(ThreadingHTTPServer):
    """Serves on a free port until closed.

    `requests` lists (path, Range) of each request, `uncached` the paths that no cache may answer.
    """

    daemon_threads = True

    def __init__(self, roots: dict[str, Path], cors: bool = False, handler=None):
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.roots, self.cors = roots, cors
        self.tag = '"tag"'  # of files whose behaviour says nothing else
        self.elsewhere = ""  # address that /moved leads to
        self.requests: list[tuple[str, str | None]] = []
        self.uncached: set[str] = set()
        self.uses: dict[str, int] = {}
        self.taken: int | None = None  # bytes, as the page tells
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # a browser that goes away in the middle is what some tests want


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/taken/"):
            taken = int(path.removeprefix("/taken/"))  # 0 comes first, the others in any order
            self.server.taken = max(taken, self.server.taken or 0) if taken else 0
            return self.reply(204, b"")
        self.server.requests.append((path, self.headers["Range"]))
        if self.headers["Cache-Control"] == "no-cache":
            self.server.uncached.add(path)
        found = re.match(r"/(?:(.*)/)?(site|files)/(.*)", path)
        if not found:
            return self.reply(404, b"no such file")
        behaviour, root, rest = found.groups()
        file = self.server.roots[root] / rest
        if file.is_dir():
            file /= "index.html"
        act = getattr(self, f"do_{behaviour}", None) if behaviour else None
        if act:
            act(file)
        else:
            self.send_file(file)

    # --- behaviours

    def do_no_ranges(self, file):
        del self.headers["Range"]
        self.send_file(file)

    def do_no_length(self, file):
        """The end of the connection is the end of the file."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(file.read_bytes())

    def do_moved(self, file):
        """A hub: the address leads to another origin."""
        self.reply(
            302, b"", {"Location": f"{self.server.elsewhere}/files/{file.relative_to(self.server.roots['files'])}"}
        )

    def do_once(self, file):
        """A signed link that is good for one use."""
        uses = self.server.uses[self.path] = self.server.uses.get(self.path, 0) + 1
        if uses == 1:
            self.send_file(file, stop_after=500_000)
        else:
            self.reply(403, b"expired")

    def do_gone(self, file):
        self.reply(404, b"not here")

    def do_html(self, file):
        self.reply(200, b"<!doctype html><title>Log in</title>", {"Content-Type": "text/html; charset=utf-8"})

    def do_cut(self, file):
        """The first connection breaks in the middle; later ones go on."""
        first = not self.server.uses.get(self.path)
        self.server.uses[self.path] = 1
        self.send_file(file, stop_after=400_001 if first else None)

    def do_cut_often(self, file):
        """Every connection breaks, but each brings something."""
        self.send_file(file, stop_after=150_000)

    def do_shifted(self, file):
        """The connection breaks in the middle, and goes on at another byte than requested."""
        if self.headers["Range"]:
            self.headers.replace_header("Range", "bytes=7-")
            self.send_file(file)
        else:
            self.send_file(file, stop_after=400_001)

    def do_cut_no_ranges(self, file):
        del self.headers["Range"]
        self.do_cut(file)

    def do_cut_for_good(self, file):
        """The connection breaks, and then every further one breaks before its first byte."""
        first = not self.server.uses.get(self.path)
        self.server.uses[self.path] = 1
        self.send_file(file, stop_after=400_001 if first else 0)

    def do_replaced(self, file):
        """The connection breaks in the middle, and then the file has changed."""
        first = not self.server.uses.get(self.path)
        self.server.uses[self.path] = 1
        self.send_file(file, stop_after=400_001 if first else None, tag='"one"' if first else '"two"')

    def do_slow(self, file):
        self.send_file(file, pause=0.05, step=1 << 16)

    def do_stuck(self, file):
        self.send_file(file, pause=60, step=400_001)

    # --- answers

    def send_file(
        self, file: Path, stop_after: int | None = None, tag: str | None = None, pause: float = 0, step: int = 1 << 20
    ):
        if not file.is_file():
            return self.reply(404, b"no such file")
        data = file.read_bytes()
        start, end, status = 0, len(data), 200
        headers = {"ETag": tag or self.server.tag, "Content-Type": TYPES.get(file.suffix, "application/octet-stream")}
        if self.headers["Range"]:
            first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"]).groups()
            start, end, status = int(first), int(last or len(data) - 1) + 1, 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self.head(status, end - start, headers)
        if stop_after is not None:
            end = min(end, start + stop_after)
        for at in range(start, end, step):
            if at > start:
                threading.Event().wait(pause)
            self.wfile.write(data[at : min(end, at + step)])
        if stop_after is not None:
            self.wait_for_delivery(start, stop_after)
            self.close_connection = True

    def wait_for_delivery(self, start: int, sent: int):
        """When the connection breaks, the browser discards what it has not delivered. On a busy machine that is much.

        So if a model's first connection breaks, it waits until the page has taken half of it, if the page tells.
        """
        threading.Event().wait(0.3)
        until = time.monotonic() + 60
        while start == 0 and self.server.taken is not None and self.server.taken < sent // 2:
            assert time.monotonic() < until, self.server.taken
            threading.Event().wait(0.01)

    def reply(self, status: int, body: bytes, headers: dict | None = None):
        self.head(status, len(body), headers or {})
        self.wfile.write(body)

    def head(self, status: int, nbytes: int, headers: dict):
        self.send_response(status)
        if self.server.cors:
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Access-Control-Expose-Headers", "ETag, Content-Range")
        self.send_header("Content-Length", str(nbytes))
        self.send_header("Cache-Control", "no-store")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
