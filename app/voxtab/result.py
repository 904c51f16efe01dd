"""What one transcription gives: the same from the command line, in Python and in the page."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from math import prod
from statistics import median

from voxtab import subtitles
from voxtab.subtitles import Segment
from voxtab.transcriber import Transcriber
from voxtab.words import Word


@dataclass(frozen=True)
class Result:
    """A transcript with times. All times are in seconds of the audio unless a name says ms."""

    text: str
    words: list[Word]
    tokens: list[int]  # ids of positions 0.. on, the prompt included
    audio_seconds: float
    delay_ms: int
    model: str  # its name
    timings: dict  # `load_s`; `run_s`; `rtf`: see Result.of; `step_ms`: {"median", "p99"}, a token's share of its block
    audio: str | None = None  # where the audio came from; None if it came as samples
    notes: tuple[str, ...] = ()  # sentences on what is wrong with the audio
    restarts: tuple[float, ...] = ()  # where the model was started again (`Transcriber.restarts`)
    # Of each word, and each of its tokens: (text, probability) of the token and of what else it might have been, if the
    # transcriber noted that.
    alternatives: tuple[list[list[tuple[str, float]]], ...] = ()

    @classmethod
    def of(
        cls,
        transcriber: Transcriber,
        *,
        model: str,
        load_s: float,
        run_s: float,
        audio: str | None = None,
        notes: Iterable[object] = (),
    ) -> "Result":
        """Of a transcriber after finish() and iteration. `rtf` is run_s per second of audio, None without any.

        `step_ms` is the time per token of 80 ms: tokens of a block share the block's time evenly.
        """
        steps = sorted(transcriber.step_seconds)
        p99 = steps[min(len(steps) - 1, len(steps) * 99 // 100)]
        seconds = transcriber.audio_seconds
        timings = {
            "load_s": round(load_s, 3),
            "run_s": round(run_s, 3),
            "rtf": round(run_s / seconds, 4) if seconds else None,
            "step_ms": {"median": round(1000 * median(steps), 3), "p99": round(1000 * p99, 3)},
        }
        return cls(
            transcriber.transcript,
            transcriber.words,
            transcriber.tokens,
            seconds,
            transcriber.schedule.delay_ms,
            model,
            timings,
            audio,
            tuple(map(str, notes)),
            tuple(transcriber.restarts),
            tuple(transcriber.alternatives_of(word) for word in transcriber.words),
        )

    def __str__(self) -> str:
        return self.text

    @cached_property
    def segments(self) -> list[Segment]:
        """The transcript in lines of a sentence or less, as subtitles show it."""
        return subtitles.segments(self.words, self.text)

    def as_dict(self, *, tokens: bool = False) -> dict:
        """What the JSON holds; token ids only if asked for."""
        return {
            **({} if self.audio is None else {"audio": self.audio}),
            "text": self.text,
            "segments": [_timed(segment) for segment in self.segments],
            "words": [of_word(word, found) for word, found in zip(self.words, self.alternatives or repeat([]))],
            **({"tokens": self.tokens} if tokens else {}),
            "audio_seconds": self.audio_seconds,
            "delay_ms": self.delay_ms,
            "model": self.model,
            "timings": self.timings,
            **({"notes": [*self.notes]} if self.notes else {}),
            **({"restarts": [round(seconds, 3) for seconds in self.restarts]} if self.restarts else {}),
        }

    def formatted(self, name: str, *, tokens: bool = False) -> str:
        """The content of a file: `name` is text, srt, vtt, tsv or json. It ends with a line feed."""
        if name == "text":
            return f"{self.text}\n"
        if name == "json":
            return json.dumps(self.as_dict(tokens=tokens), ensure_ascii=False) + "\n"
        return subtitles.FORMATS[name](self.segments)


def of_word(word: Word, alternatives: Sequence[list[tuple[str, float]]] = ()) -> dict:
    """A word in the JSON. `alternatives`: those of `Transcriber.alternatives_of`."""
    return _timed(word) | _sureness(alternatives)


def _timed(what: Segment | Word) -> dict:
    return {"text": what.text, "start": round(what.start, 3), "end": round(what.end, 3)}


def _sureness(alternatives: Sequence[list[tuple[str, float]]]) -> dict:
    """A word's `confidence`, the probability of all its tokens together; and of each one, what it might have been."""
    if not alternatives:
        return {}
    return {
        "confidence": round(prod(token[0][1] for token in alternatives), 4),
        "alternatives": [
            [{"text": text, "probability": round(probability, 4)} for text, probability in token]
            for token in alternatives
        ],
    }
