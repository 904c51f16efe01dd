"""POST /v1/audio/transcriptions, as OpenAI's package, curl and other programs ask."""

import asyncio
import io
import itertools
import json
import socket
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from types import SimpleNamespace

import numpy as np
import openai
import pytest
import soundfile
from starlette.requests import Request
from websockets.sync.client import connect

from native.server.process import CLIP, MODEL
from native.server.test_realtime import append, closed_when_done, pcm, say
from voxtab.native.server.deltas import Deltas
from voxtab.native.server.errors import ApiError
from voxtab.native.server.limits import Disk, Limits
from voxtab.native.server.transcriptions import Transcriptions
from voxtab.native.server.uploads import upload

SECONDS = soundfile.info(CLIP).duration


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(api_key="none", base_url=f"{server.url}/v1", max_retries=0) as client:
        yield client


def create(client, **values):
    with open(CLIP, "rb") as file:
        return client.audio.transcriptions.create(**({"model": "whisper-1", "file": file} | values))


@pytest.fixture(scope="module")
def text(client):
    return create(client).text


def wav(seconds: float) -> bytes:
    with io.BytesIO() as file:
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(bytes(2 * round(8000 * seconds)))
        return file.getvalue()


def form(name="clip.flac", content=None, **fields) -> tuple[bytes, str]:
    """A multipart body and its type."""
    parts = [f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    content = CLIP.read_bytes() if content is None else content
    return "".join([*parts, head]).encode() + content + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def post(server, name="clip.flac", content=None, **fields):
    """-> (status, headers, body)"""
    body, type = form(name, content, **fields)
    return server.ask("/v1/audio/transcriptions", "POST", body, Content_Type=type)


def refused(answer, status, *words) -> dict:
    """OpenAI's error, whose message is one sentence."""
    assert answer[0] == status, answer
    error = json.loads(answer[2])["error"]
    assert error.keys() == {"message", "type", "param", "code"} and error["message"].endswith(".")
    for word in words:
        assert word in error["message"]
    return error


def test_json(client, text):
    answer = create(client, language="en", prompt="AN4", temperature=0)
    assert answer.text == text and len(text.split()) > 3 and answer.usage.seconds == SECONDS


def test_the_text_is_the_models(text, server):
    command = subprocess.run(
        [sys.executable, "-m", "voxtab", "transcribe", "--model", MODEL, CLIP], capture_output=True, text=True
    )
    assert command.stdout.strip() == text


def test_text_and_subtitles(client, text):
    assert create(client, response_format="text") == text + "\n"
    srt, vtt = (create(client, response_format=name) for name in ("srt", "vtt"))
    assert srt.startswith("1\n00:00:0") and " --> " in srt
    assert vtt.startswith("WEBVTT\n\n00:00:0")
    assert text.split()[0] in srt and text.split()[-1] in srt


def test_verbose_json(client, text):
    answer = create(client, response_format="verbose_json")
    assert answer.text == text and answer.duration == SECONDS and answer.words is None
    assert " ".join(segment.text for segment in answer.segments).split() == text.split()
    assert [segment.id for segment in answer.segments] == list(range(len(answer.segments)))
    answer = create(client, response_format="verbose_json", timestamp_granularities=["word"], language="en")
    assert [word.word for word in answer.words] == text.split() and answer.segments is None and answer.language == "en"
    assert all(0 <= word.start <= word.end <= SECONDS for word in answer.words)
    answer = create(client, response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert answer.words and answer.segments


def test_server_sent_events(client, text):
    *deltas, done = create(client, stream=True)
    assert {event.type for event in deltas} == {"transcript.text.delta"}  # a fast GPU writes all text at once
    assert "".join(event.delta for event in deltas) == done.text == text
    assert done.type == "transcript.text.done" and done.usage.seconds == SECONDS


def test_an_empty_recording(client, server):
    """Silence is told, in every format; no audio at all is refused."""
    answer = create(client, file=("a.wav", wav(1)))
    assert answer.usage.seconds == 1 and "silent" in answer.notes[0]
    assert "silent" in post(server, "a.wav", wav(1), response_format="vtt")[1]["Voxtab-Notes"]
    assert b"silent" in post(server, "a.wav", wav(1), stream="true")[2]
    refused(post(server, "a.wav", wav(0)), 400, "a.wav")


def test_another_delay(client, text):
    assert (
        create(client, extra_body={"delay_ms": "480"}).text == text != create(client, extra_body={"delay_ms": 960}).text
    )


# --- requests as other programs send them


def test_open_webuis_request(server, text):
    """A part for the file with its type, `model`, and a key though none is needed; it reads `text`."""
    body, type = form("7b3c.flac", model="whisper-1", language="en")
    answer = server.ask("/v1/audio/transcriptions", "POST", body, Content_Type=type, Authorization="Bearer sk-x")
    assert json.loads(answer[2])["text"] == text


def test_wyoming_openais_request(client, text):
    """A WAV named recording.wav, json, as a stream; it joins the deltas."""
    with io.BytesIO() as file:
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(16000)
            sound.writeframes(pcm())
        content = file.getvalue()
    events = client.audio.transcriptions.create(
        file=("recording.wav", content), model="voxtral", response_format="json", stream=True, temperature=0.0
    )
    heard = "".join(event.delta for event in events if event.type == "transcript.text.delta")
    assert heard == client.audio.transcriptions.create(file=("a.wav", content), model="voxtral").text


def test_curls_request(server, text):
    """Without a length, as from a pipe, and with Expect: 100-continue, as curl sends it with larger files."""
    for extra in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
        done = subprocess.run(
            ["curl", "-sS", f"{server.url}/v1/audio/transcriptions", "-F", f"file=@{CLIP}", "-F", "model=x", *extra],
            capture_output=True,
        )
        assert (json.loads(done.stdout)["text"], done.stderr) == (text, b"")


def test_models(client):
    assert [model.id for model in client.models.list()] == ["tiny-q4"]
    assert client.models.retrieve("whisper-1").id == "whisper-1"


# --- what is refused


@pytest.mark.parametrize(
    "fields, word",
    [
        ({"response_format": "diarized_json"}, "diarized_json"),
        ({"response_format": "xml"}, "verbose_json"),
        ({"stream": "perhaps"}, "stream"),
        ({"timestamp_granularities[]": "letter"}, "segment"),
        ({"include[]": "logprobs"}, "log prob"),
        ({"delay_ms": "100"}, "delay"),
        ({"delay_ms": "half"}, "half"),
    ],
)
def test_wishes_that_cannot_be_met(server, fields, word):
    assert refused(post(server, **fields), 400, word)["param"] == [*fields][0].removesuffix("[]")


@pytest.mark.parametrize("content", [b"", b"no audio at all", CLIP.read_bytes()[:100]])
def test_what_is_not_audio(server, content):
    error = refused(post(server, "talk.flac", content), 400, "talk.flac")
    assert error["code"] == "invalid_audio" and "/tmp" not in error["message"]


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
    ],
)
def test_a_playlist_fetches_nothing(server, playlist):
    """Neither a file of this machine nor an address that it can reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for place in (CLIP.as_uri(), CLIP, f"http://127.0.0.1:{listener.getsockname()[1]}/a.flac"):
            refused(post(server, "a.m3u8", playlist.format(place).encode()), 400, "a.m3u8")
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    "body, type",
    [
        (b"{}", "application/json"),
        (b"", "multipart/form-data"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"--x--\r\n", "multipart/form-data; boundary=x"),
        (form()[0].replace(b'name="file"', b'name="audio"'), form()[1]),
        (form()[0].replace(b'; filename="clip.flac"', b""), form()[1]),
        (form(note="x" * 2_000_000)[0], form()[1]),
    ],
)
def test_what_is_no_form_with_a_file(server, body, type):
    status, *_ = answer = server.ask("/v1/audio/transcriptions", "POST", body, Content_Type=type)
    refused(answer, status)
    assert 400 <= status < 500


def test_an_upload_that_is_too_large(server):
    """It says so at once if the length is told, and when the limit is passed if not; what follows is not kept."""
    body, type = form("a.wav", wav(500))
    for data in (body, iter([body])):
        error = refused(server.ask("/v1/audio/transcriptions", "POST", data, Content_Type=type), 413, "1 MB")
        assert error["code"] == "upload_too_large"


def test_audio_that_is_too_long(server):
    assert refused(post(server, "a.wav", wav(100)), 413, "1 minutes")["code"] == "audio_too_long"
    status, _, body = post(server, "a.wav", wav(100), stream="true")
    assert status == 200 and json.loads(body.split(b"data: ")[-1])["error"]["code"] == "audio_too_long"


def test_audio_that_is_longer_than_it_says():
    class Audio:
        seconds = None

        async def stream(self):
            while True:
                yield np.zeros(16000, np.float32)

    class Turn:
        is_ending = False

    async def main():
        endpoint = Transcriptions(SimpleNamespace(limits=Limits(audio_seconds=3)), None)
        with pytest.raises(ApiError, match="longer than 0.05 minutes"):
            async for _ in endpoint._samples(Turn(), Audio()):
                heard.append(1)

    heard = []
    asyncio.run(main())
    assert len(heard) == 3


def test_other_addresses(server):
    refused(server.ask("/v1/audio/translations", "POST", b""), 404, "/v1/audio/translations")
    refused(server.ask("/v1/audio/transcriptions"), 405)
    assert server.ask("/none")[0] == 404


# --- the queue


def test_streams_wait_for_each_other(free, text):
    """Two wait while one has the model; the next is told to come later; then each gets its own text."""
    with connect(free.socket) as talking, ThreadPoolExecutor(2) as clients:
        append(talking, pcm()[:32000])
        free.until(lambda health: health["running"] == 1, "running")
        waiting = [clients.submit(post, free) for _ in range(2)]
        free.until(lambda health: health["waiting"] == 2, "waiting")
        status, headers, _ = answer = post(free)
        assert refused(answer, 429, "2 streams wait")["code"] == "queue_full"
        assert int(headers["Retry-After"]) >= 1
        with connect(free.socket) as late:
            append(late, pcm()[:32000])
            late.recv()
            assert json.loads(late.recv())["code"] == "queue_full"
        say(talking, "input_audio_buffer.commit", final=True)
        closed_when_done(talking)
        for answer in waiting:
            assert json.loads(answer.result()[2])["text"] == text


def test_a_stream_is_told_its_place(free):
    with connect(free.socket) as talking, connect(free.socket) as second, ThreadPoolExecutor(1) as clients:
        append(talking, pcm()[:32000])
        free.until(lambda health: health["running"] == 1, "running")
        append(second, pcm()[:32000])
        second.recv()
        assert json.loads(second.recv()) == {"type": "voxtab.queued", "place": 1}
        third = clients.submit(post, free, stream="true")
        free.until(lambda health: health["waiting"] == 2, "waiting")
        talking.close()
        say(second, "input_audio_buffer.commit", final=True)
        closed_when_done(second)
        body = third.result()[2].decode()
        assert ": 2 streams come first\n\n" in body and ": 1 streams come first\n\n" in body
        assert '"transcript.text.done"' in body


@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize("waits", [True, False])
def test_a_client_that_goes_away_leaves_the_queue(free, stream, waits):
    body, type = form(content=wav(50), name="a.wav", stream=stream)
    head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Type: {type}\r\nContent-Length: "
    gone = 'voxtab_streams_total{kind="file",outcome="gone"}'
    before = figures(free)[gone]
    with connect(free.socket) as talking, socket.create_connection(("127.0.0.1", free.port)) as client:
        if waits:
            append(talking, pcm()[:32000])
            free.until(lambda health: health["running"] == 1, "running")
        client.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
        free.until(lambda health: health["running"] == 1 and health["waiting"] == waits, "there")
        client.close()
        free.until(lambda health: health["waiting"] == 0 and health["running"] == waits, "gone")
        assert figures(free)[gone] == before + 1  # not done


def test_text_that_is_not_read_is_joined():
    """And white space at the two ends is left out."""
    deltas = Deltas()
    for text in (" ", " one", " ", "", "two "):
        deltas.add(text)
    assert deltas.take() == "one two" and deltas.take() == ""
    deltas.add("three\n")
    assert deltas.take() == " three" and deltas.text == "one two three"


def figures(server) -> dict[str, float]:
    lines = server.ask("/metrics")[2].decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_metrics(free):
    before = figures(free)
    assert post(free)[0] == 200 and post(free, content=b"no")[0] == 400
    after = figures(free)
    done = 'voxtab_streams_total{kind="file",outcome="done"}'
    assert after[done] == before[done] + 1
    assert after["voxtab_audio_seconds_total"] == pytest.approx(before["voxtab_audio_seconds_total"] + SECONDS)
    assert after["voxtab_model_open"] == 1 and after["voxtab_streams_running"] == after["voxtab_streams_waiting"] == 0


@pytest.mark.parametrize("room", [True, False])
def test_all_uploads_together_have_a_limit(room):
    body, type = form()

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def main(disk):
        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", type.encode())]}
        with closing(disk.share()) as share:
            async with upload(Request(scope, receive), Limits(), share) as (_, file, path):
                assert (file.filename, path.read_bytes(), disk.used) == ("clip.flac", CLIP.read_bytes(), len(body))
        assert disk.used == 0 and not path.exists()

    disk = Disk(len(body) - (not room))
    with nullcontext() if room else pytest.raises(ApiError, match="too much audio"):
        asyncio.run(main(disk))
    assert disk.used == 0


@pytest.mark.parametrize("block", [1000, 65536, 1 << 20])
def test_an_upload_that_is_too_large_is_told_so_whatever_its_blocks(block):
    """One upload alone never meets the limit of all uploads together."""
    limits = Limits(upload_bytes=1_000_000)
    head = form()[0].partition(CLIP.read_bytes()[:100])[0]
    blocks = itertools.chain([head], itertools.repeat(bytes(block)))

    async def receive():
        return {"type": "http.request", "body": next(blocks), "more_body": True}

    async def main():
        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", form()[1].encode())]}
        with closing(Disk(limits.disk_bytes).share()) as share:
            async with upload(Request(scope, receive), limits, share):
                pass

    with pytest.raises(ApiError, match="1 MB"):
        asyncio.run(main())
