"""A small site, and a server with a small model, which all tests share."""

import shutil
from pathlib import Path

import pytest

from native.server.process import LONG_BYTES, MODEL, STARTED, served


@pytest.fixture(autouse=True, scope="session")
def nothing_is_left():
    """A test that fails leaves no server running."""
    yield
    for process in STARTED:
        process.kill()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp("served") / "site"
    (site / "models").mkdir(parents=True)
    (site / "index.html").write_text("<!doctype html>")
    (site / "models/a.gguf").write_bytes(bytes(range(100)))
    (site / "models/long.gguf").write_bytes(bytes(LONG_BYTES))
    (site / "empty.txt").touch()
    (site / "worker/weights").mkdir(parents=True)
    (site / "worker/weights/reader.js").touch()
    shutil.copy(Path(__file__).parents[3] / "web/headers.json", site)
    for name in ("a.js", "a.mjs", "a.wasm", "a.json", "a.wgsl", "a.css", "a.svg", "a.webmanifest"):
        (site / name).write_text("{}")
    (site.parent / "secret").write_text("outside")
    return site


@pytest.fixture(scope="session")
def server(site):
    """One for all tests of the API: two streams may wait, uploads have at most 1 MB and a minute.

    A live stream may lag as long as a test wants to keep others waiting.
    """
    patient = "from voxtab.native.server import live\nlive.LIVE_LAG_SECONDS = 1000"
    limits = ("--queue", 2, "--max-upload-mb", 1, "--max-minutes", 1)
    with served(site, "--model", MODEL, *limits, before=patient) as server:
        server.until(lambda health: health["status"] == "ready", "ready")
        yield server


@pytest.fixture
def free(server):
    """The server, before and after which nothing runs."""
    server.until_free()
    yield server
    server.until_free()
