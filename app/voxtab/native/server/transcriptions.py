"""POST /v1/audio/transcriptions: a file to text, as OpenAI's API has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from voxtab.config import SAMPLE_RATE, Schedule
from voxtab.errors import AudioError, UserError, shown
from voxtab.native.audio.file import AudioFile, open_audio
from voxtab.native.server.deltas import Deltas
from voxtab.native.server.errors import ApiError, mistake
from voxtab.native.server.limits import Disk
from voxtab.native.server.streams import Streams, Turn
from voxtab.native.server.uploads import upload
from voxtab.result import Result
from voxtab.subtitles import Segment
from voxtab.words import Word

_TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt"}
_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
_GRANULARITIES = ("word", "segment")
_DOUBT = 1.5  # the length that a file tells may be an estimate: so much over the limit is believed
_QUIET_SECONDS = 15  # proxies cut connections on which nothing comes for long
# Clients in typed languages need these numbers in each segment. The model has no such figures: these raise no doubt.
_NO_FIGURES = {
    "seek": 0,
    "tokens": [],
    "temperature": 0.0,
    "avg_logprob": 0.0,
    "compression_ratio": 1.0,
    "no_speech_prob": 0.0,
}


@dataclass(frozen=True)
class Wishes:
    """What a request's form asks for, in addition to its file."""

    format: str
    granularities: frozenset[str]
    stream: bool
    delay_ms: int | None
    language: str

    @classmethod
    def of(cls, form: FormData) -> Wishes:
        """Raises ApiError for what cannot be done.

        The model needs no language and takes no prompt, and it is greedy: these fields, and the model's name, which
        clients must send, change nothing.
        """
        if "logprobs" in _list(form, "include"):
            raise ApiError(400, "There are no log probabilities: leave out include.", param="include")
        delay = _text(form, "delay_ms", "")
        if delay and not (delay.isascii() and delay.isdigit() and len(delay) < 9):
            raise ApiError(400, f"delay_ms is {delay[:40]!r}: give a whole number of milliseconds.", param="delay_ms")
        try:
            delay_ms = Schedule(delay_ms=int(delay)).delay_ms if delay else None
        except UserError as error:
            raise ApiError(400, str(error), param="delay_ms") from None
        return cls(
            format=_one_of(form, "response_format", _FORMATS, "json"),
            granularities=frozenset(_list(form, "timestamp_granularities", _GRANULARITIES)) or frozenset({"segment"}),
            stream=_one_of(form, "stream", ("true", "false", "1", "0"), "false") in ("true", "1"),
            delay_ms=delay_ms,
            language=_text(form, "language", ""),
        )


class Transcriptions:
    """The ASGI endpoint."""

    def __init__(self, streams: Streams, disk: Disk):
        self._streams, self._disk = streams, disk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method != "POST":
            raise ApiError(405, "Send the audio with POST.")
        try:
            with closing(self._disk.share()) as share:
                async with upload(request, self._streams.limits, share) as (form, file, path):
                    wishes = Wishes.of(form)
                    audio = await _Upload.opened(path, shown(file.filename or "The audio"))
                    answer = self._events if wishes.stream else self._answer
                    await _unless_gone(receive, answer(audio, wishes, scope, receive, send))
        except ClientDisconnect:
            pass

    async def _answer(self, audio: _Upload, wishes: Wishes, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams.turn("file") as turn:
            async for _ in turn.places():
                pass
            async with aclosing(self._text(turn, audio, wishes)) as texts:
                async for _ in texts:
                    pass
            result = turn.result(audio.notes)
        await _response(result, wishes)(scope, receive, send)

    async def _events(self, audio: _Upload, wishes: Wishes, scope: Scope, receive: Receive, send: Send) -> None:
        """Server-sent events. The stream goes at the model's pace, not the reader's: what is not sent yet is joined."""
        waiting = _Waiting()

        async def transcribe() -> None:
            try:
                with self._streams.turn("file") as turn:
                    started.set_result(None)
                    async for place in turn.places():
                        waiting.note(f"{place} streams come first")
                    async with aclosing(self._text(turn, audio, wishes)) as texts:
                        async for text in texts:
                            waiting.add(text)
                    result = turn.result(audio.notes)
                waiting.end(_done(result))
            except Exception as problem:
                error = problem if isinstance(problem, ApiError) else mistake()
                if not started.done():
                    started.set_exception(error)
                waiting.end({"type": "error", "error": error.body})
                if error is not problem:
                    raise

        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        transcribing = asyncio.ensure_future(transcribe())
        try:
            await started  # an error before the first event is an answer of its own
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for lines in waiting.lines():
                await send({"type": "http.response.body", "body": lines, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            await transcribing
        finally:
            transcribing.cancel()
            await asyncio.wait([transcribing])

    async def _text(self, turn: Turn, audio: _Upload, wishes: Wishes) -> AsyncGenerator[str]:
        try:
            async with aclosing(turn.text(self._samples(turn, audio.file), wishes.delay_ms)) as texts:
                async for text in texts:
                    yield text
        except AudioError as error:
            raise audio.refused(error) from None
        except UserError as error:
            raise ApiError(503, str(error), code="model_unavailable") from None

    async def _samples(self, turn: Turn, audio: AudioFile) -> AsyncIterator[np.ndarray]:
        """The file's blocks, until the server ends."""
        most, samples = self._streams.limits.audio_seconds, 0
        too_long = ApiError(
            413,
            f"The audio is longer than {most / 60:g} minutes, which this server takes: cut it.",
            code="audio_too_long",
            param="file",
        )
        if (audio.seconds or 0) > most * _DOUBT:
            raise too_long
        async with aclosing(audio.stream()) as blocks:
            async for block in blocks:
                samples += len(block)
                if samples > most * SAMPLE_RATE:
                    raise too_long
                if turn.is_ending:
                    raise ApiError(503, "The server is ending: send the audio again later.", code="server_ending")
                yield block


@dataclass(frozen=True)
class _Upload:
    """Uploaded audio. What is said about it has the client's name for it, not that of the file here."""

    file: AudioFile
    path: Path
    name: str

    @classmethod
    async def opened(cls, path: Path, name: str) -> _Upload:
        """Raises ApiError if it is not audio."""
        try:
            return cls(await asyncio.to_thread(open_audio, path), path, name)
        except AudioError as error:
            raise _not_audio(error, path, name) from None

    def refused(self, error: AudioError) -> ApiError:
        return _not_audio(error, self.path, self.name)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong with it, once it was read."""
        return tuple(note.replace(str(self.path), self.name) for note in self.file.notes)


class _Waiting:
    """Events for a client that reads slowly: text is joined until it is sent."""

    def __init__(self):
        self._note, self._last = "", None
        self._deltas = Deltas()
        self._news = asyncio.Event()

    def note(self, what: str) -> None:
        """A comment, which clients skip."""
        self._note = what
        self._news.set()

    def add(self, text: str) -> None:
        self._deltas.add(text)
        self._news.set()

    def end(self, event: dict) -> None:
        self._last = event
        self._news.set()

    async def lines(self) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(_QUIET_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                yield b": wait\n\n"
            self._news.clear()
            note, self._note = self._note, ""
            text = self._deltas.take()
            if note:
                yield f": {note}\n\n".encode()
            if text:
                yield _line({"type": "transcript.text.delta", "delta": text})
            if self._last:
                yield _line(self._last)
                return


def _line(event: dict) -> bytes:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _done(result: Result) -> dict:
    return {"type": "transcript.text.done", "text": result.text.strip()} | _told(result)


def _response(result: Result, wishes: Wishes) -> Response:
    text = result.text.strip()
    # These formats have no room for notes, but an empty text must not come without a word.
    headers = {"Voxtab-Notes": " ".join(result.notes).encode("ascii", "replace").decode()} if result.notes else None
    if wishes.format in _TYPES:
        return Response(result.formatted(wishes.format), headers=headers, media_type=_TYPES[wishes.format])
    if wishes.format == "text":
        return PlainTextResponse(text + "\n", headers=headers)
    answer: dict = {"text": text} | _told(result)
    if wishes.format == "verbose_json":
        answer |= {"task": "transcribe", "language": wishes.language, "duration": result.audio_seconds}
        if "segment" in wishes.granularities:
            answer["segments"] = [
                {"id": i, "text": segment.text, **_times(segment), **_NO_FIGURES}
                for i, segment in enumerate(result.segments)
            ]
        if "word" in wishes.granularities:
            answer["words"] = [{"word": word.text, **_times(word)} for word in result.words]
    return JSONResponse(answer)


def _times(what: Segment | Word) -> dict:
    return {"start": round(what.start, 3), "end": round(what.end, 3)}


def _told(result: Result) -> dict:
    """What it cost, in OpenAI's words, and what is wrong with the audio, if anything is."""
    usage = {"type": "duration", "seconds": round(result.audio_seconds, 3)}
    return {"usage": usage} | ({"notes": [*result.notes]} if result.notes else {})


def _not_audio(error: AudioError, path: Path, name: str) -> ApiError:
    return ApiError(400, str(error).replace(str(path), name), code="invalid_audio", param="file")


async def _unless_gone(receive: Receive, answering: Awaitable[None]) -> None:
    """Answer, but stop when the client goes away. The body has been read."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    answer, leaving = asyncio.ensure_future(answering), asyncio.ensure_future(gone())
    try:
        await asyncio.wait([answer, leaving], return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            answer.result()
    finally:
        for task in (answer, leaving):
            task.cancel()
        await asyncio.wait([answer, leaving])


def _text(form: FormData, name: str, default: str) -> str:
    value = form.get(name, default)
    return value if isinstance(value, str) else default


def _one_of(form: FormData, name: str, choices: tuple[str, ...], default: str) -> str:
    value = _text(form, name, default).lower() or default
    if value not in choices:
        raise ApiError(400, f"{name} is {value[:40]!r}: choose one of {', '.join(choices)}.", param=name)
    return value


def _list(form: FormData, name: str, choices: tuple[str, ...] | None = None) -> list[str]:
    """A field that may come several times, with or without brackets behind its name."""
    values = [value for key in (name, f"{name}[]") for value in form.getlist(key) if isinstance(value, str)]
    if wrong := [value for value in values if choices and value not in choices]:
        raise ApiError(400, f"{name} is {wrong[0][:40]!r}: choose from {', '.join(choices or ())}.", param=name)
    return values
