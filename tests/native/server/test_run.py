"""How the server starts, what it stands, and how it ends."""

import asyncio
import json
import resource
import signal
import socket
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from native.server.process import CLIP, LONG_BYTES, MODEL, Served, port_of, served, start
from native.server.test_realtime import append, heard, pcm
from native.server.test_transcriptions import form, post, refused, wav
from voxtab.errors import UserError
from voxtab.native import cli
from voxtab.native.server.run import bound

WHOLE = bytes(range(100))


@pytest.fixture
def many_files():
    """This process opens as many connections as the server does."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(4096, limits[0]), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def voxtab(capfd, monkeypatch):
    """Runs `voxtab serve`, which must not come to serve; -> (status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["voxtab", "serve", *map(str, arguments)])
        monkeypatch.setattr(asyncio, "run", None)
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capfd.readouterr()

    return run


def refuses(result, words):
    """Status 2, nothing on stdout, one sentence on stderr that has the words."""
    status, out, err = result
    assert (status, out) == (2, "") and words in err
    assert err.startswith("voxtab") and err.count("\n") == 1 and err.endswith(".\n")


# --- many clients


def test_a_thousand_connections_at_once(server, many_files):
    """Each gets its answer whole: half of them a file, half a range of it."""

    async def ask(i: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        range = "Range: bytes=10-19\r\n" if i % 2 else ""
        writer.write(f"GET /models/a.gguf HTTP/1.1\r\nHost: localhost\r\n{range}Connection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def main():
        return await asyncio.wait_for(asyncio.gather(*(ask(i) for i in range(1000))), 300)

    for i, answer in enumerate(asyncio.run(main())):
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 206 " if i % 2 else b"HTTP/1.1 200 "), head
        assert body == (WHOLE[10:20] if i % 2 else WHOLE)


def test_three_hundred_slow_clients_hold_nobody(free, many_files):
    """A hundred that read nothing of a long file, a hundred in the middle of a request, a hundred of an upload."""
    body, type = form()
    upload = (
        f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: a\r\nContent-Type: {type}\r\nContent-Length: 900000\r\n\r\n"
    )
    beginnings = [
        b"GET /models/long.gguf HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: local",
        upload.replace("Host: a", "Host: localhost").encode() + body[:1000],
    ]
    slow = [socket.create_connection(("127.0.0.1", free.port), timeout=60) for _ in range(300)]
    try:
        for i, client in enumerate(slow):
            client.sendall(beginnings[i % 3])
        for _ in range(20):
            assert free.ask("/models/a.gguf")[2] == WHOLE
        assert post(free)[0] == 200
        with connect(free.socket) as session:
            append(session, pcm())
            heard(session, "transcription.delta")
        # Nothing was lost by being slow.
        slow[0].sendall(b"")
        answer = b""
        while len(answer) < LONG_BYTES:
            answer += slow[0].recv(1 << 20)
        assert answer.startswith(b"HTTP/1.1 200 ")
        slow[1].sendall(b"host\r\n\r\n")
        assert slow[1].recv(1000).startswith(b"HTTP/1.1 200 ")
    finally:
        for client in slow:
            client.close()


# --- the start


def test_the_page_alone(tmp_path):
    """It prints the address once it answers there, serves files that change meanwhile, and ends with Ctrl-C."""
    index = tmp_path / "index.html"
    index.write_text("old")
    process = start(tmp_path, "--host", "127.0.0.2", "--port", 0, "--no-api")
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.2:") and not address.endswith(":8000/")
    index.write_text("changed")
    with urllib.request.urlopen(address, timeout=60) as answer:
        assert answer.read() == b"changed"
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(f"{address}v1/models", timeout=60)
    with answer.value as answer:
        assert answer.code == 503 and b"--no-api" in answer.read()
    assert "The API is off" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")


@pytest.mark.parametrize("missing", ["websockets", "python_multipart", "prometheus_client"])
def test_the_api_needs_the_extra(voxtab, site, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    refuses(voxtab(site, "--model", MODEL), "pip install 'voxtab[serve]'")


def test_the_page_does_not(site):
    """Without the packages of the extra `serve`, the page is there, and the API says what to install."""
    with served(
        site, before="import sys; sys.modules['websockets'] = sys.modules['prometheus_client'] = None"
    ) as server:
        assert server.ask("/")[0] == 200
        assert "voxtab[serve]" in server.process.stdout.readline()
        refused(server.ask("/v1/models"), 503, "voxtab[serve]")


def test_the_api_alone(tmp_path):
    """Without a page; and with another delay for all who wish none, which gives another text."""
    with served("--model", MODEL, "--delay-ms", 960, cwd=tmp_path) as server:
        texts = [json.loads(post(server, **wish)[2])["text"] for wish in ({}, {"delay_ms": 960}, {"delay_ms": 480})]
        assert texts[0] == texts[1] != texts[2]
        assert server.ask("/")[0] == 404
        assert server.ask("/v1/models")[0] == 200


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nowhere"], "nowhere holds no index.html"),
        (["--no-api"], "dist/site holds no index.html"),
        (["--model", "nowhere.gguf"], "nowhere.gguf"),
        (["--model", CLIP], "clip.flac"),
        (["--no-api", "--model", MODEL], "no API"),
        (["--port", "99999"], "ports are 0 to 65535"),
        (["--port", "-1"], "ports are 0 to 65535"),
        (["--host", "nowhere.invalid", "--api-key", "x"], "nowhere.invalid"),
        (["--host", "a..b", "--api-key", "x"], "no name of a host"),
        (["--delay-ms", "100", "--model", MODEL], "100"),
        (["--queue", "-1"], "--queue"),
        (["--max-upload-mb", "0"], "--max-upload-mb"),
        (["--max-minutes", "many"], "--max-minutes"),
    ],
)
def test_what_is_refused(voxtab, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    refuses(voxtab(*arguments), words)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_need_a_key(voxtab, site, monkeypatch, host):
    monkeypatch.delenv("VOXTAB_API_KEY", raising=False)
    refuses(voxtab(site, "--host", host), "--api-key")


def test_a_port_that_is_taken(tmp_path):
    with bound("127.0.0.1", 0) as listener, pytest.raises(UserError, match="--port"):
        bound("127.0.0.1", listener.getsockname()[1])


# --- the end


def test_what_runs_is_ended(site):
    """A live stream gets its last text, a file that waits an error, and a slow download holds nothing up."""
    process = start(site, "--model", MODEL, "--port", 0)
    server = Served(process, port_of(process))
    with connect(server.socket) as session, connect(server.socket) as idle, ThreadPoolExecutor(2) as clients:
        download = socket.create_connection(("127.0.0.1", server.port))
        download.sendall(b"GET /models/long.gguf HTTP/1.1\r\nHost: localhost\r\n\r\n")
        append(session, pcm())
        server.until(lambda health: health["running"] == 1, "running")
        waiting = clients.submit(post, server)
        server.until(lambda health: health["waiting"] == 1, "waiting")
        process.send_signal(signal.SIGTERM)
        assert heard(session, "transcription.done")[-1]["text"]
        assert refused(waiting.result(), 503)["code"] == "server_ending"
        for connection in (session, idle):
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    connection.recv(timeout=60)
            # Ours (going away), or uvicorn's (service restart) where it is quicker.
            assert closed.value.rcvd.code in (1001, 1012)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (-signal.SIGTERM, "")
        download.close()


def test_a_file_that_runs_is_ended(site):
    with ThreadPoolExecutor(1) as clients:
        process = start(site, "--model", MODEL, "--port", 0)
        server = Served(process, port_of(process))
        events = clients.submit(post, server, "a.wav", wav(600), stream="true")
        server.until(lambda health: health["running"] == 1, "running")
        process.send_signal(signal.SIGTERM)
        assert b'"server_ending"' in events.result()[2]
        assert process.communicate(timeout=60)[1] == ""


@pytest.mark.parametrize(
    "place",
    ["", "asyncio.run", "asyncio.SelectorEventLoop._make_self_pipe"],
    ids=["begun", "before_it_begins", "while_its_loop_is_made"],
)
def test_it_ends_while_the_model_opens(site, place):
    before = f"import asyncio\ndef interrupted(_): raise KeyboardInterrupt\n{place} = interrupted" if place else ""
    process = start(site, "--model", MODEL, "--port", 0, before=before)
    process.stdout.readline()
    if not before:  # else it ends by itself, and a signal may come when Python does not catch any more
        process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "" and process.returncode == 130


# --- what goes wrong here


def test_a_full_disk(site):
    """As a limit on files' sizes, which fails in the same places."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    with served(site, "--model", MODEL, before=limit) as server:
        for seconds in (60, 200):  # in the server's memory until it is copied, and not
            assert refused(post(server, "a.wav", wav(seconds)), 507)["code"] == "disk_full"
        with connect(server.socket) as session:
            append(session, bytes(40_000) + bytes(100_000), 40_000)
            events = heard(session, "transcription.done")
            assert "disk_full" in [event.get("code") for event in events]
        assert server.ask("/")[0] == 200


def test_a_model_that_does_not_open(site):
    """It is told to who asked, and tried again with the next stream; a model that was named ends the server."""
    fails = "from voxtab.native import models\nfrom voxtab.errors import DeviceError\n"
    fails += "async def load_model(*_, **__): raise DeviceError('No GPU was found.')\nmodels.load_model = load_model"
    with served(site, before=fails) as server:
        for _ in range(2):
            assert refused(post(server), 503, "No GPU was found.")["code"] == "model_unavailable"
            assert server.ask("/health")[0] == 503 and server.health()["status"] == "failed"
        assert server.ask("/")[0] == 200
    process = start(site, "--model", MODEL, "--port", 0, before=fails)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "voxtab: No GPU was found.\n")
    process = start(site, "--model", MODEL, "--port", 0, "--gpu", 99)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "99" in err and err.count("\n") == 1


def test_a_model_that_is_lost(site):
    """A GPU that fails in the middle fails that stream; the next one, which waits already, has the model again."""
    fails = "from voxtab.native.server.streams import Streams\nload = Streams._open\n"
    fails += "def lost(*_, **__): raise RuntimeError('lost')\n"
    fails += "async def first(self):\n    await load(self)\n    self.model.begin_encoding, Streams._open = lost, load\n"
    fails += "Streams._open = first"
    process = start(site, "--model", MODEL, "--port", 0, before=fails)
    server = Served(process, port_of(process))
    with ThreadPoolExecutor(2) as clients:
        answers = [clients.submit(post, server).result for _ in range(2)]
        assert sorted(answer()[0] for answer in answers) == [200, 500]
    process.terminate()
    assert "RuntimeError: lost" in process.communicate(timeout=60)[1]
