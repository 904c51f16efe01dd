"""/v1/realtime: text of a stream while it is spoken, over a WebSocket, in the dialect that the client speaks.

`?intent=transcription`, `?model=` or a session.update with a `session` mean OpenAI's; a session.update with a top-level
`model`, and none of these, mean vLLM's (dialects.py).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections import deque
from contextlib import aclosing

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from voxtab.errors import UserError
from voxtab.native.server.dialects import OpenAiDialect, Utterance, VllmDialect, new_id
from voxtab.native.server.errors import ApiError, mistake
from voxtab.native.server.limits import Disk
from voxtab.native.server.live import LiveAudio
from voxtab.native.server.streams import Streams, Turn

_MOST_EVENTS = 1000  # that a client has not read, its text apart, before it is left
_GOING_AWAY, _POLICY = 1001, 1008  # close codes

logger = logging.getLogger(__name__)


class Realtime:
    """The ASGI endpoint: a session for each connection."""

    def __init__(self, streams: Streams, disk: Disk):
        self._streams, self._disk = streams, disk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        protocols = websocket.scope["subprotocols"]
        await websocket.accept(subprotocol="realtime" if "realtime" in protocols else None)
        await Session(websocket, self._streams, self._disk).run()


class Session:
    """One connection. Audio begins a stream; a commit ends it; the next audio begins another."""

    def __init__(self, websocket: WebSocket, streams: Streams, disk: Disk):
        self._websocket, self._streams, self._disk = websocket, streams, disk
        self._openai = OpenAiDialect(new_id("sess"))
        query = websocket.query_params
        self._dialect: OpenAiDialect | VllmDialect = (
            self._openai if "intent" in query or "model" in query else VllmDialect()
        )
        self._outbox = _Outbox()
        self._stream: _Stream | None = None  # the one that takes audio
        self._tasks: set[asyncio.Task] = set()  # of streams that are not transcribed yet

    async def run(self) -> None:
        self._outbox.put(self._openai.created())
        sending = asyncio.ensure_future(self._outbox.send_to(self._websocket))
        closing = asyncio.ensure_future(self._close_with_server())
        try:
            while True:
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                self._take(message.get("text") or message.get("bytes") or "")
        except WebSocketDisconnect:
            pass
        finally:
            for task in (sending, closing, *self._tasks):
                task.cancel()
            await asyncio.wait([sending, closing, *self._tasks])

    async def _close_with_server(self) -> None:
        await self._streams.closing.wait()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._outbox.close(_GOING_AWAY, "The server is ending.")

    def _take(self, message: str | bytes) -> None:
        event_id = None
        try:
            event = _parsed(message)
            event_id = event.get("event_id") if isinstance(event.get("event_id"), str) else None
            match event.get("type"):
                case "session.update":
                    self._update(event)
                case "input_audio_buffer.append":
                    self._append(event)
                case "input_audio_buffer.commit":
                    self._commit(event)
                case "input_audio_buffer.clear" if self._dialect is self._openai:
                    self._clear()
                case other:
                    raise ApiError(400, f"The event type {str(other)[:80]!r} is not known.", code="unknown_event")
        except ApiError as error:
            self._outbox.put(self._dialect.error(error, event_id))

    # --- events of the client

    def _update(self, event: dict) -> None:
        if "session" not in event and "model" in event:
            self._dialect = VllmDialect()
            return
        session = event.get("session")
        if not isinstance(session, dict):
            raise ApiError(400, "session.update has neither a session nor a model.", code="invalid_event")
        if session.get("type", "transcription") != "transcription":
            raise ApiError(
                400,
                "This server only transcribes: send a session of type transcription.",
                code="invalid_value",
                param="session.type",
            )
        self._dialect = self._openai
        self._openai.update(session)
        self._outbox.put(self._openai.updated())

    def _append(self, event: dict) -> None:
        pcm = _pcm(event.get("audio"))
        if not pcm:
            return
        if not self._stream or self._stream.live.ended:
            self._stream = _Stream(self._dialect, self._streams, self._disk, self._outbox)
            self._tasks.add(self._stream.task)
            self._stream.task.add_done_callback(self._tasks.discard)
        try:
            self._stream.live.append(pcm)
        except ApiError:
            self._stream.commit()  # what came before is good, but nothing may follow a gap
            self._stream = None
            raise

    def _commit(self, event: dict) -> None:
        if not self._dialect.commits(event):
            return
        if self._stream and not self._stream.live.ended:
            self._stream.commit()
        else:
            self._outbox.put(*self._dialect.nothing_to_commit())
        self._stream = None

    def _clear(self) -> None:
        if self._stream:
            self._stream.task.cancel()
            self._stream = None
        self._outbox.put(self._openai.cleared())


class _Stream:
    """One stream of a session: its audio, the task that transcribes it, and the utterances in its text."""

    def __init__(self, dialect: OpenAiDialect | VllmDialect, streams: Streams, disk: Disk, outbox: _Outbox):
        self.live = LiveAudio(dialect.rate, streams.limits, disk.share())
        self._dialect, self._streams, self._outbox = dialect, streams, outbox
        self._delay_ms, self._pause_ms = dialect.delay_ms, dialect.pause_ms
        self._utterance = Utterance()
        self._spoken = 0.0  # the stream's seconds when the last text came
        self.task = asyncio.ensure_future(self._run())

    def commit(self) -> None:
        """The client has sent all audio."""
        self.live.end()
        self._commit_utterance()

    async def _run(self) -> None:
        try:
            with self._streams.turn("live") as turn:
                async for place in turn.places():
                    self._outbox.put({"type": "voxtab.queued", "place": place})
                async with aclosing(turn.text(self.live.samples(turn), self._delay_ms, live=True)) as texts:
                    async for text in texts:
                        self._add(text, turn)
            self._end(turn)
        except ApiError as error:
            self._fail(error)
        except UserError as error:
            self._fail(ApiError(503, str(error), code="model_unavailable"))
        except Exception:
            self._fail(mistake())
            logger.exception("A live stream failed")
        finally:
            self.live.close()

    def _add(self, text: str, turn: Turn) -> None:
        assert turn.transcriber
        utterance, seconds = self._utterance, turn.transcriber.done_seconds
        if text.strip():
            if self._pause_ms and not utterance.deltas.text:
                self._outbox.put(*self._dialect.started(utterance))
            self._spoken = seconds
        utterance.deltas.add(text)
        self._outbox.put_text(self._dialect, utterance)
        if self._pause_ms and utterance.deltas.text and 1000 * (seconds - self._spoken) >= self._pause_ms:
            self._outbox.put(*self._dialect.stopped(utterance, seconds))
            self._complete(turn, seconds)
            self._utterance = Utterance(start=seconds)

    def _end(self, turn: Turn) -> None:
        assert turn.transcriber
        # After a pause there may be nothing more to tell.
        if self._utterance.deltas.text or self._utterance.is_committed or not self._pause_ms:
            self._complete(turn, turn.transcriber.audio_seconds)

    def _complete(self, turn: Turn, end: float) -> None:
        assert turn.transcriber
        self._commit_utterance()
        self._outbox.put(*self._dialect.completed(self._utterance, turn.transcriber, end))

    def _commit_utterance(self) -> None:
        if not self._utterance.is_committed:
            self._utterance.is_committed = True
            self._outbox.put(*self._dialect.committed(self._utterance))

    def _fail(self, error: ApiError) -> None:
        self.live.ended = True
        self._outbox.put(self._dialect.failed(self._utterance, error))


class _Outbox:
    """Events for a client that may read slowly. Text waits in its utterance, where it is joined."""

    def __init__(self):
        self._events: deque[dict | tuple[OpenAiDialect | VllmDialect, Utterance]] = deque()
        self._closed: tuple[int, str] | None = None
        self._news = asyncio.Event()

    def put(self, *events: dict) -> None:
        if not self._closed:
            self._events.extend(events)
        if len(self._events) > _MOST_EVENTS:
            self.close(_POLICY, "Events were not read.")
        self._news.set()

    def put_text(self, dialect: OpenAiDialect | VllmDialect, utterance: Utterance) -> None:
        """What the utterance holds when this is sent."""
        if not self._events or self._events[-1] != (dialect, utterance):
            self._events.append((dialect, utterance))
        self._news.set()

    def close(self, code: int, reason: str) -> None:
        """Close the connection after what was put."""
        self._closed = self._closed or (code, reason)
        self._news.set()

    async def send_to(self, websocket: WebSocket) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._events:
                    event = self._events.popleft()
                    if isinstance(event, tuple):
                        dialect, utterance = event
                        if not (text := utterance.deltas.take()):
                            continue
                        event = dialect.delta(utterance, text)
                    await websocket.send_text(json.dumps(event, ensure_ascii=False))
                if self._closed:
                    return await websocket.close(*self._closed)
        except WebSocketDisconnect:
            pass


def _parsed(message: str | bytes) -> dict:
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        raise ApiError(400, "The event is not JSON.", code="invalid_json") from None
    if not isinstance(event, dict):
        raise ApiError(400, "The event is not an object with a type.", code="invalid_event")
    return event


def _pcm(audio) -> bytes:
    try:
        if isinstance(audio, str):
            return base64.b64decode(audio, validate=True)
    except ValueError:
        pass
    raise ApiError(400, "The audio is not base64 of 16-bit samples.", code="invalid_audio", param="audio")
