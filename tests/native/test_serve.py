import http.client
import os
import signal
import subprocess
import sys
import threading
import urllib.request

import pytest

from voxtab.errors import UserError
from voxtab.native.serve import PORT, site_server


@pytest.fixture(scope="module")
def get(tmp_path_factory):
    """GET a path of a small site with headers -> (status, headers, body)."""
    site = tmp_path_factory.mktemp("site")
    (site / "index.html").write_text("<!doctype html>")
    (site / "models").mkdir()
    (site / "models/a.gguf").write_bytes(bytes(range(100)))
    for name in ("a.js", "a.mjs", "a.wasm", "a.json", "a.wgsl"):
        (site / name).write_text("{}")
    (site.parent / "secret").write_text("outside")
    server = site_server(site, port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()

    def get(path, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body

    yield get
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "path, type",
    [
        ("/", "text/html"),
        ("/a.js", "text/javascript"),
        ("/a.mjs", "text/javascript"),
        ("/a.wasm", "application/wasm"),
        ("/a.json", "application/json"),
        ("/a.wgsl", "text/plain"),
        ("/models/a.gguf", "application/octet-stream"),
    ],
)
def test_types(get, path, type):
    status, headers, _ = get(path)
    assert status == 200 and headers.get_content_type() == type
    assert headers["Access-Control-Allow-Origin"] is None


def test_ranges(get):
    status, headers, body = get("/models/a.gguf", Range="bytes=90-")
    assert (status, headers["Content-Range"], body) == (206, "bytes 90-99/100", bytes(range(90, 100)))
    status, headers, body = get("/models/a.gguf", Range="bytes=3-5")
    assert (status, body) == (206, b"\3\4\5")
    assert get("/models/a.gguf", Range="bytes=100-")[0] == 416


def test_unchanged_files_are_not_sent_again(get):
    _, headers, _ = get("/a.js")
    assert get("/a.js", **{"If-None-Match": headers["ETag"]})[0] == 304


@pytest.mark.parametrize("path", ["/none", "/../secret", "/%2e%2e/secret", "/models/../../secret"])
def test_nothing_else(get, path):
    assert get(path)[0] == 404


def test_the_command(tmp_path):
    """It prints the address once it answers there, serves files that change meanwhile, and ends with Ctrl-C."""
    index = tmp_path / "index.html"
    index.write_text("old")
    process = subprocess.Popen(
        [sys.executable, "-m", "voxtab", "serve", tmp_path, "--host", "127.0.0.2", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": ""},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.2:") and not address.endswith(f":{PORT}/")
    index.write_text("changed")
    (tmp_path / "new.js").write_text("new")
    for path, content in (("", b"changed"), ("new.js", b"new")):
        with urllib.request.urlopen(address + path, timeout=60) as answer:
            assert answer.read() == content and "max-age=0" in answer.headers["Cache-Control"]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_no_site(tmp_path):
    with pytest.raises(UserError, match="holds no index.html"):
        site_server(tmp_path)


@pytest.mark.parametrize("port", [-1, 99999])
def test_no_port(tmp_path, port):
    (tmp_path / "index.html").touch()
    with pytest.raises(UserError, match="ports are 0 to 65535"):
        site_server(tmp_path, port=port)


def test_port_taken(tmp_path):
    (tmp_path / "index.html").touch()
    with site_server(tmp_path, port=0) as server, pytest.raises(UserError, match="--port"):
        site_server(tmp_path, port=server.server_port)
