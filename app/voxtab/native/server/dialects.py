"""The events of /v1/realtime in two dialects: OpenAI's, and vLLM's, which came first with this model.

Both know session.update, and input_audio_buffer.append and .commit, with base64 of mono 16-bit samples. They differ in
all else: who says when an utterance begins and ends, the rate, and every event of the server.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

from voxtab.config import SAMPLE_RATE
from voxtab.native.server.deltas import Deltas
from voxtab.native.server.errors import ApiError
from voxtab.transcriber import Transcriber

OPENAI_RATE = 24000  # the only one that OpenAI's API takes; others are taken here too
RATES = range(8000, 192001)
# Of OpenAI's `delay`: in ms.
DELAYS_MS = {"minimal": 160, "low": 240, "medium": 480, "high": 960, "xhigh": 2400}
DEFAULT_PAUSE_MS = 500  # silence that ends an utterance, if the client wants that to be found
SEMANTIC_PAUSE_MS = {"low": 8000, "medium": 4000, "high": 2000, "auto": 4000}


def new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:24]}"


@dataclass(eq=False)
class Utterance:
    """What one .completed or .done is about."""

    id: str = field(default_factory=lambda: new_id("item"))
    deltas: Deltas = field(default_factory=Deltas)
    start: float = 0.0  # seconds of the stream
    is_committed: bool = False  # the client was told, or has said, that its audio is complete


class VllmDialect:
    """Events with a top-level `model`; `final` on commits; a text that ends once, with .done.

    vLLM begins at a commit without `final`. Here the first audio begins, so such a commit says nothing new.
    """

    rate = SAMPLE_RATE
    delay_ms: int | None = None
    pause_ms: int | None = None

    def commits(self, event: dict) -> bool:
        """Whether a commit ends the utterance."""
        return event.get("final") is True

    def committed(self, utterance: Utterance) -> list[dict]:
        return []

    def nothing_to_commit(self) -> list[dict]:
        return self.completed(Utterance(), None, 0)

    def started(self, utterance: Utterance) -> list[dict]:
        return []

    def stopped(self, utterance: Utterance, end: float) -> list[dict]:
        return []

    def delta(self, utterance: Utterance, text: str) -> dict:
        return {"type": "transcription.delta", "delta": text}

    def completed(self, utterance: Utterance, transcriber: Transcriber | None, end: float) -> list[dict]:
        prompt = len(transcriber.schedule.prompt) if transcriber else 0
        made = len(transcriber.tokens) - prompt if transcriber else 0
        usage = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
        return [{"type": "transcription.done", "text": utterance.deltas.text, "usage": usage}]

    def failed(self, utterance: Utterance, error: ApiError) -> dict:
        return self.error(error)

    def error(self, error: ApiError, event_id: str | None = None) -> dict:
        return {"type": "error", "error": str(error), "code": error.code}


class OpenAiDialect:
    """Events with a `session`; items, which a commit ends or, if the client wants it, a pause in the text."""

    def __init__(self, session_id: str):
        self.rate = OPENAI_RATE
        self.delay_ms: int | None = None
        self.pause_ms: int | None = None  # silence that ends an item; None: only a commit does
        self._session: dict = {
            "id": session_id,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": OPENAI_RATE},
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": None,
                }
            },
        }
        self._last_item: str | None = None

    def update(self, session: dict) -> None:
        """Take the fields that a session.update has. Raises ApiError, and takes none, if one cannot be had."""
        given = _object(_object(session, "audio"), "input", "session.audio.input")
        rate, delay_ms, pause_ms = self.rate, self.delay_ms, self.pause_ms
        if "format" in given:
            rate = _rate(_object(given, "format", "session.audio.input.format"))
        if (transcription := given.get("transcription")) and isinstance(transcription, dict):
            delay = transcription.get("delay")
            if delay is not None and delay not in [*DELAYS_MS]:
                raise _invalid(f"delay is {delay!r}: choose one of {', '.join(DELAYS_MS)}.", "transcription.delay")
            delay_ms = DELAYS_MS[delay] if delay else None
        if "turn_detection" in given:
            pause_ms = _pause_ms(given["turn_detection"])
        self.rate, self.delay_ms, self.pause_ms = rate, delay_ms, pause_ms
        self._session["audio"]["input"] |= {
            name: given[name] for name in given if name in self._session["audio"]["input"]
        }

    def created(self) -> dict:
        """Also as vLLM's clients know it: the server speaks first, before it knows the client's dialect."""
        return self._event("session.created", session=self._session, id=self._session["id"], created=int(time.time()))

    def updated(self) -> dict:
        return self._event("session.updated", session=self._session)

    def cleared(self) -> dict:
        return self._event("input_audio_buffer.cleared")

    def commits(self, event: dict) -> bool:
        return True

    def nothing_to_commit(self) -> list[dict]:
        raise ApiError(400, "The audio buffer is empty: append audio first.", code="input_audio_buffer_commit_empty")

    def started(self, utterance: Utterance) -> list[dict]:
        start = round(1000 * utterance.start)
        return [self._event("input_audio_buffer.speech_started", item_id=utterance.id, audio_start_ms=start)]

    def stopped(self, utterance: Utterance, end: float) -> list[dict]:
        stop = round(1000 * end)
        return [self._event("input_audio_buffer.speech_stopped", item_id=utterance.id, audio_end_ms=stop)]

    def committed(self, utterance: Utterance) -> list[dict]:
        previous, self._last_item = self._last_item, utterance.id
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": utterance.id, "type": "message", "role": "user", "status": "completed", "content": content}
        return [
            self._event("input_audio_buffer.committed", item_id=utterance.id, previous_item_id=previous),
            self._event("conversation.item.added", item=item, previous_item_id=previous),
            self._event("conversation.item.done", item=item, previous_item_id=previous),
        ]

    def delta(self, utterance: Utterance, text: str) -> dict:
        return self._transcription("delta", utterance, delta=text)

    def completed(self, utterance: Utterance, transcriber: Transcriber | None, end: float) -> list[dict]:
        usage = {"type": "duration", "seconds": round(end - utterance.start, 3)}
        return [self._transcription("completed", utterance, transcript=utterance.deltas.text, usage=usage)]

    def failed(self, utterance: Utterance, error: ApiError) -> dict:
        return self._transcription("failed", utterance, error=error.body)

    def error(self, error: ApiError, event_id: str | None = None) -> dict:
        return self._event("error", error=error.body | {"event_id": event_id})

    def _transcription(self, what: str, utterance: Utterance, **values) -> dict:
        return self._event(
            f"conversation.item.input_audio_transcription.{what}", item_id=utterance.id, content_index=0, **values
        )

    @staticmethod
    def _event(type: str, **values) -> dict:
        return {"type": type, "event_id": new_id("event")} | values


def _object(value: dict, name: str, shown: str = "") -> dict:
    part = value.get(name) or {}
    if not isinstance(part, dict):
        raise _invalid(f"{shown or f'session.{name}'} is not an object: send one.", name)
    return part


def _rate(format: dict) -> int:
    if format.get("type", "audio/pcm") != "audio/pcm":
        raise _invalid(f"The audio format {format['type']!r} is not taken: send audio/pcm.", "format.type")
    rate = format.get("rate", OPENAI_RATE)
    if type(rate) is not int or rate not in RATES:
        raise _invalid(f"The rate {rate!r} is not taken: send {RATES[0]} to {RATES[-1]} Hz.", "format.rate")
    return rate


def _pause_ms(detection) -> int | None:
    if detection is None:
        return None
    kind = detection.get("type") if isinstance(detection, dict) else None
    if kind == "server_vad":
        pause = detection.get("silence_duration_ms") or DEFAULT_PAUSE_MS
        if type(pause) is int and 0 < pause <= 60_000:
            return pause
        raise _invalid("silence_duration_ms is not a number of milliseconds up to 60000.", "silence_duration_ms")
    if kind == "semantic_vad":
        return SEMANTIC_PAUSE_MS.get(detection.get("eagerness"), SEMANTIC_PAUSE_MS["auto"])
    raise _invalid("turn_detection is neither null nor of type server_vad or semantic_vad.", "turn_detection")


def _invalid(message: str, name: str) -> ApiError:
    return ApiError(400, message, code="invalid_value", param=f"session.audio.input.{name}")
