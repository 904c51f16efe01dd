"""Audio from http addresses: streamed, resumed, and refused in one sentence. Bytes of other sources: test_audio.py."""

import contextlib
import socket
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from recordings import encoded
from voxtab.errors import AudioError
from voxtab.native.audio import sources
from voxtab.native.audio.file import open_audio

TONE = (0.3 * np.sin(np.arange(5 * 16000) * 0.1)).astype("float32")


class Server(BaseHTTPRequestHandler):
    """Answers by the path's first word."""

    asked: list[tuple[str, str | None]] = []

    def __init__(self, files, hold, *arguments):
        self.files, self.hold = files, hold
        super().__init__(*arguments)

    def do_GET(self):
        self.asked.append((self.path, self.headers["Range"]))
        _, how, name = self.path.split("/", 2)
        data = self.files.get(name, b"")
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if self.headers["Range"] else 0
        if how.isdecimal():
            self.send_error(int(how))
        elif how == "moved":
            self.send_response(302)
            self.send_header("Location", f"/ranges/{name}")
            self.end_headers()
        elif how == "silent":
            self.hold.wait(60)
        elif how == "page":
            self.answer(200, b"<!doctype html>" * 1000, type="text/html; charset=utf-8")
        elif how == "ranges":
            self.answer(206 if start else 200, data[start:], ranges=True)
        elif how == "whole":
            self.answer(200, data)
        elif how == "live":  # neither a length nor ranges
            self.answer(200, data, length=None)
        elif how == "drip":  # the second half comes when the test has the first
            self.answer(200, data[: len(data) // 2], length=None)
            self.wfile.flush()
            self.hold.wait(60)
            self.wfile.write(data[len(data) // 2 :])
        elif how in ("breaks", "cut"):  # after a third each time
            self.answer(206 if start else 200, data[start:], ranges=how == "breaks", sent=max(1, len(data) // 3))
        elif how == "stalls":
            self.answer(200, data, sent=len(data) // 3)
            self.hold.wait(60)
        elif how == "lies":  # gives the beginning when asked for another part
            self.answer(200, data, ranges=True, sent=None if start else len(data) // 3)

    def answer(self, status, data, *, ranges=False, length=0, sent=None, type="application/octet-stream"):
        self.send_response(status)
        self.send_header("Content-Type", type)
        if length is not None:
            self.send_header("Content-Length", str(len(data)))
        if ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # FFmpeg looks at the end of a file, and goes
            self.wfile.write(data[:sent])

    def log_message(self, *_): ...


@pytest.fixture(scope="module")
def files():
    return {
        name: encoded(TONE, 16000, name[name.index(".") :]) for name in ("a.flac", "a.m4a", "a.mp3", "a.opus", "a.wav")
    }


@pytest.fixture
def web(files):
    """The address of a server on this machine; `web.hold` lets held answers go on."""
    hold = threading.Event()
    Server.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, files, hold))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield type("Web", (), {"at": f"http://127.0.0.1:{server.server_port}", "hold": hold})
    hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


def heard(address):
    audio = open_audio(address)
    return np.concatenate(list(audio.samples())), audio


@pytest.mark.parametrize("how", ["ranges", "whole", "live", "moved", "breaks"])
@pytest.mark.parametrize("name", ["a.flac", "a.m4a", "a.opus", "a.wav"])
def test_an_address_gives_what_the_file_gives(web, tmp_path, files, how, name):
    """Also MP4 with its index at the end from a server without ranges, and a connection that breaks off twice."""
    path = tmp_path / name
    path.write_bytes(files[name])
    samples, audio = heard(f"{web.at}/{how}/{name}")
    assert np.array_equal(samples, np.concatenate(list(open_audio(path).samples())))
    assert audio.name == f"{web.at}/{how}/{name}" and not audio.notes


def test_a_long_file_is_not_read_before_its_time(web, files):
    """The samples of the first half come before the second half is sent."""
    files["long.mp3"] = encoded(np.tile(TONE, 12), 16000, ".mp3")
    audio = open_audio(f"{web.at}/drip/long.mp3")
    got = 0
    for block in audio.samples():
        got += len(block)
        if got > 20 * 16000:
            web.hold.set()
    assert got == pytest.approx(60 * 16000, abs=2000)


def test_a_broken_connection_asks_for_the_rest(web, files):
    heard(f"{web.at}/breaks/a.wav")
    ranges = [int(asked.removeprefix("bytes=").removesuffix("-")) for _, asked in Server.asked if asked]
    assert any(len(files["a.wav"]) // 4 < start < len(files["a.wav"]) // 2 for start in ranges)


@pytest.mark.parametrize(
    "path, words",
    [
        ("404/a.wav", "answers 404 Not Found: check the address."),
        ("500/a.wav", "answers 500 Internal Server Error"),
        ("429/a.wav", "answers 429"),
        ("page/a.wav", "is a web page, not audio: give the address of the audio itself."),
        ("whole/none.wav", "is not audio"),
        ("silent/a.wav", "cannot be reached (no answer for 0.3 s)"),
    ],
)
def test_a_wrong_address_is_named_with_what_is_wrong(web, monkeypatch, path, words):
    monkeypatch.setattr(sources, "WEB_TIMEOUT", 0.3)
    refused(f"{web.at}/{path}", words)


@pytest.mark.parametrize(
    "how, words", [("cut", "broke off after"), ("stalls", "no answer for 0.3 s"), ("lies", "does not give the part")]
)
def test_an_answer_that_ends_too_early(web, monkeypatch, how, words):
    """What came is given, then the sentence. Nothing waits for ever."""
    monkeypatch.setattr(sources, "WEB_TIMEOUT", 0.3)
    got = 0
    with pytest.raises(AudioError, match=words) as error:
        for block in open_audio(f"{web.at}/{how}/a.wav").samples():
            got += len(block)
    assert web.at in str(error.value) and (got > 16000 or how == "lies")


def test_addresses_where_nobody_answers():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        refused(f"http://127.0.0.1:{port}/a.wav", "cannot be reached (Connection refused)")
        refused(f"HTTPS://127.0.0.1:{port}/a.wav", "cannot be reached (Connection refused)")
    refused("http://host.invalid/a.wav", "cannot be reached (its name is not known)")
    refused("http://[bad/a.wav", "cannot be reached")
    refused("http:///a.wav", "cannot be reached")


def refused(address, words):
    since = time.monotonic()
    with pytest.raises(AudioError) as error:
        open_audio(address)
    assert str(error.value).startswith(address) and words in str(error.value) and str(error.value).endswith(".")
    assert "\n" not in str(error.value) and time.monotonic() - since < 30
