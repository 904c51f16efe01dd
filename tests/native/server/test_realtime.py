"""/v1/realtime in both dialects: OpenAI's package, and a plain WebSocket client as vLLM's examples are."""

import asyncio
import base64
import contextlib
import json
import os

import numpy as np
import openai
import pytest
import soundfile
import soxr
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from native.server.process import CLIP
from voxtab.native.server import live
from voxtab.native.server.dialects import DELAYS_MS, Utterance, VllmDialect
from voxtab.native.server.errors import ApiError
from voxtab.native.server.limits import Disk, Limits
from voxtab.native.server.live import LiveAudio
from voxtab.native.server.realtime import _Outbox

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"


def pcm(rate: int = 16000, clip=CLIP) -> bytes:
    """A clip as mono 16-bit samples."""
    samples, its_rate = soundfile.read(clip, dtype="float32")
    return (soxr.resample(samples, its_rate, rate) * 32768).clip(-32768, 32767).astype("<i2").tobytes()


def say(connection, type, **values):
    connection.send(json.dumps({"type": type} | values))


def append(session, data: bytes, at_once: int = 4096):
    for i in range(0, len(data), at_once):
        say(session, "input_audio_buffer.append", audio=base64.b64encode(data[i : i + at_once]).decode())


def heard(session, last: str) -> list[dict]:
    """The events up to one of this type."""
    events = []
    while not events or events[-1]["type"] != last:
        events.append(json.loads(session.recv(timeout=60)))
    return events


def closed_when_done(session):
    heard(session, "transcription.done")
    session.close()


def of_type(events, type) -> list[dict]:
    return [event for event in events if event["type"] == type]


@pytest.fixture(scope="module")
def text(server):
    """What vLLM's client hears."""
    with connect(server.socket) as session:
        created = json.loads(session.recv())
        assert created["type"] == "session.created" and created["id"] and created["created"]
        say(session, "session.update", model="mistralai/Voxtral-Mini-4B-Realtime-2602")
        say(session, "input_audio_buffer.commit")
        append(session, pcm())
        say(session, "input_audio_buffer.commit", final=True)
        *deltas, done = heard(session, "transcription.done")
    assert "".join(event["delta"] for event in deltas) == done["text"]
    assert done["usage"]["total_tokens"] == sum(done["usage"].values()) / 2
    return done["text"]


# --- vLLM's dialect


def test_vllms_client(text):
    assert len(text.split()) > 3


@pytest.mark.parametrize("at_once", [999, 100_000])
def test_how_the_audio_is_cut_changes_nothing(server, text, at_once):
    """Also in the middle of a sample; and an older client of vLLM's, which sends no session.update."""
    with connect(server.socket) as session:
        append(session, pcm(), at_once)
        say(session, "input_audio_buffer.commit", final=True)
        assert heard(session, "transcription.done")[-1]["text"] == text


def test_text_comes_while_audio_does(free, text):
    with connect(free.socket) as session:
        append(session, pcm())
        first = heard(session, "transcription.delta")[-1]["delta"]
        assert first and text.startswith(first)


def test_several_utterances_on_one_connection(server, text):
    with connect(server.socket) as session:
        for _ in range(2):
            append(session, pcm())
            say(session, "input_audio_buffer.commit", final=True)
            assert heard(session, "transcription.done")[-1]["text"] == text
        say(session, "input_audio_buffer.commit", final=True)
        assert heard(session, "transcription.done")[-1]["text"] == ""


@pytest.mark.parametrize(
    "message, code",
    [
        ("no json", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("[]", "invalid_event"),
        ("{}", "unknown_event"),
        ('{"type": "response.create"}', "unknown_event"),
        ('{"type": ["session.update"]}', "unknown_event"),
        ('{"type": "session.update"}', "invalid_event"),
        ('{"type": "input_audio_buffer.append"}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": "@@@"}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": "é"}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": 5}', "invalid_audio"),
    ],
)
def test_events_that_are_wrong(server, message, code):
    """Each is answered, and the session goes on."""
    with connect(server.socket) as session:
        session.recv()
        session.send(message)
        error = json.loads(session.recv())
        assert (error["type"], error["code"]) == ("error", code) and error["error"].endswith(".")
        session.send(b"\0\1")
        assert json.loads(session.recv())["code"] == "invalid_json"


def test_a_message_that_is_too_large(server):
    with connect(server.socket) as session, pytest.raises(ConnectionClosed):
        session.send("x" * 17_000_000)
        session.recv()
        session.recv()


# --- OpenAI's dialect


def transcribe(server, *, rate=24000, query=None, parts=1, **audio_input) -> list:
    """The events that OpenAI's package has for the clip, `parts` times."""
    session = {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": rate},
                "transcription": {"model": "gpt-realtime-whisper", "language": "en", "delay": "medium"},
                "turn_detection": None,
            }
            | audio_input
        },
    }

    async def main():
        client = openai.AsyncOpenAI(api_key="none", base_url=f"{server.url}/v1")
        async with client.realtime.connect(model="gpt-realtime", extra_query=query or {}) as session_:
            await session_.session.update(session=session)
            data = pcm(rate)
            for _ in range(parts):
                for i in range(0, len(data), 9600):
                    await session_.input_audio_buffer.append(audio=base64.b64encode(data[i : i + 9600]).decode())
                await session_.input_audio_buffer.commit()
            events = []
            while sum(event.type == COMPLETED for event in events) < parts:
                events.append(await asyncio.wait_for(session_.recv(), 60))
        await client.close()
        return events

    return asyncio.run(main())


def test_openais_client(server):
    events = transcribe(server, query={"intent": "transcription"})
    assert [event.type for event in events[:2]] == ["session.created", "session.updated"]
    assert events[1].session.audio.input.transcription.delay == "medium"
    deltas = [event for event in events if event.type == DELTA]
    (committed,) = (event for event in events if event.type == "input_audio_buffer.committed")
    completed = events[-1]
    assert "".join(event.delta for event in deltas) == completed.transcript and len(completed.transcript.split()) > 3
    assert {event.item_id for event in deltas} == {completed.item_id} == {committed.item_id}
    assert completed.usage.seconds == pytest.approx(soundfile.info(CLIP).duration, abs=0.001)


def test_both_dialects_hear_the_same(server, text):
    assert transcribe(server, rate=16000)[-1].transcript == text


def test_each_commit_is_an_item(server):
    events = transcribe(server, parts=2, rate=16000)
    first, second = (event for event in events if event.type == COMPLETED)
    assert first.transcript == second.transcript and first.item_id != second.item_id
    committed = [event for event in events if event.type == "input_audio_buffer.committed"]
    assert [event.previous_item_id for event in committed] == [None, first.item_id]


def test_clear_forgets_the_audio(free):
    with connect(f"{free.socket}?intent=transcription") as session:
        append(session, pcm(24000))
        say(session, "input_audio_buffer.clear")
        heard(session, "input_audio_buffer.cleared")
        free.until_free()
        say(session, "input_audio_buffer.commit", event_id="e1")
        error = heard(session, "error")[-1]["error"]
        assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "e1")


@pytest.mark.parametrize(
    "session, param",
    [
        ({"type": "realtime"}, "session.type"),
        ({"audio": []}, "session.audio"),
        ({"audio": [1]}, "session.audio"),
        ({"audio": {"input": {"format": {"type": "audio/pcmu"}}}}, "format.type"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 1}}}}, "format.rate"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": True}}}}, "format.rate"),
        ({"audio": {"input": {"transcription": {"delay": "none"}}}}, "transcription.delay"),
        ({"audio": {"input": {"transcription": {"delay": []}}}}, "transcription.delay"),
        ({"audio": {"input": {"turn_detection": {"type": "magic"}}}}, "turn_detection"),
        ({"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": -1}}}}, "silence"),
    ],
)
def test_sessions_that_cannot_be_had(server, session, param):
    with connect(f"{server.socket}?intent=transcription") as connection:
        connection.recv()
        say(connection, "session.update", session=session)
        answer = json.loads(connection.recv())
        if session == {"audio": []}:  # as if it were not there
            assert answer["type"] == "session.updated"
        else:
            assert answer["error"]["code"] == "invalid_value" and param in answer["error"]["param"]


def test_delays_are_the_models():
    from voxtab.config import DELAYS_MS as MODELS

    assert set(DELAYS_MS.values()) <= set(MODELS)


# --- clients that go, and clients that are slow


@pytest.mark.parametrize("abrupt", [True, False])
def test_a_client_that_goes_away_frees_the_model(free, abrupt):
    session = connect(free.socket, legacy=True)
    append(session, pcm() * 20, 64000)
    free.until(lambda health: health["running"] == 1, "running")
    if abrupt:
        session.socket.close()
    else:
        session.close()
    free.until_free()


class FakeTurn:
    is_wanted = is_ending = False


def samples(audio: LiveAudio, turn) -> np.ndarray:
    async def main():
        return [block async for block in audio.samples(turn)]

    return np.concatenate([np.zeros(0, np.float32), *asyncio.run(main())])


@contextlib.contextmanager
def live_audio(rate=16000, **limits):
    limits = Limits(**limits)
    with contextlib.closing(LiveAudio(rate, limits, Disk(limits.disk_bytes).share())) as audio:
        yield audio


def test_live_audio_is_the_clients():
    data = np.arange(-32768, 32767, dtype="<i2").tobytes()
    with live_audio() as audio:
        for i in range(0, len(data), 777):
            audio.append(data[i : i + 777])
        audio.end()
        assert (samples(audio, FakeTurn()) * 32768).tolist() == list(range(-32768, 32767))


def test_the_disk_has_only_what_waits():
    """Much audio that comes faster than it is read, then more."""

    async def main(audio):
        said = np.arange(2_000_000, dtype=np.int64).astype("<i2").tobytes()
        blocks, heard = audio.samples(FakeTurn()), 0
        for _ in range(2):
            audio.append(said)
            for start in range(0, 2_000_000, 16000):
                block = await anext(blocks)
                assert (block * 32768 == np.frombuffer(said, "<i2")[start : start + 16000]).all()
                heard += len(block)
            assert audio._share.nbytes == os.fstat(audio._file.fileno()).st_size == 0
        assert heard == 4_000_000

    with live_audio() as audio:
        asyncio.run(main(audio))


def test_a_stream_that_brings_too_little_ends_if_others_wait(monkeypatch):
    monkeypatch.setattr(live, "LIVE_LAG_SECONDS", 0.3)
    monkeypatch.setattr(live, "_LOOK_SECONDS", 0.05)

    async def main(audio):
        turn = FakeTurn()
        blocks = audio.samples(turn)
        audio.append(bytes(32000))
        assert len(await anext(blocks)) == 16000
        rest = asyncio.ensure_future(anext(blocks, None))
        await asyncio.sleep(1)
        assert not rest.done() and not audio.ended  # nobody waits
        turn.is_wanted = True
        assert await rest is None and audio.ended

    with live_audio() as audio:
        asyncio.run(main(audio))


def test_a_stream_ends_at_its_longest():
    with live_audio(audio_seconds=2) as audio:
        audio.append(bytes(32000 * 5))
        assert len(samples(audio, FakeTurn())) == 16000 * 3  # the block that passes the limit is the last
        assert audio.ended


def test_audio_that_waits_has_its_limits():
    limits = Limits(upload_bytes=1000)
    disk = Disk(2000)
    first, second, third = (LiveAudio(16000, limits, disk.share()) for _ in range(3))
    with pytest.raises(ApiError, match="waits for the model"):
        first.append(bytes(1001))
    first.append(bytes(1000))
    second.append(bytes(1000))
    with pytest.raises(ApiError, match="too much audio"):
        third.append(bytes(1))
    first.close()
    third.append(bytes(1000))
    for audio in (second, third):
        audio.close()
    assert disk.used == 0


def test_a_client_that_does_not_read_is_left():
    """Its text is joined; of other events, so many may wait."""

    class Socket:
        sent = []
        closed = None
        reads = None

        async def send_text(self, text):
            self.sent.append(json.loads(text))
            await self.reads.wait()

        async def close(self, *how):
            self.closed = how

    async def main():
        socket, outbox, utterance = Socket(), _Outbox(), Utterance()
        socket.reads = asyncio.Event()
        sending = asyncio.ensure_future(outbox.send_to(socket))
        for word in ("one", " two", " three"):
            utterance.deltas.add(word)
            outbox.put_text(VllmDialect(), utterance)
            await asyncio.sleep(0)
        for i in range(5000):
            outbox.put({"type": "error", "i": i})
        socket.reads.set()
        await sending
        return socket

    socket = asyncio.run(main())
    deltas = [event["delta"] for event in socket.sent if event["type"] == "transcription.delta"]
    assert deltas == ["one", " two three"] and len(socket.sent) < 1010 and socket.closed[0] == 1008
