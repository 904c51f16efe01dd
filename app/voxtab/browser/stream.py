"""One stream of the page's audio through the open model: samples come in, text goes out as events."""

import asyncio
import time
from typing import Any

from voxtab import subtitles
from voxtab.browser.messages import post_event
from voxtab.config import SAMPLE_RATE, Schedule
from voxtab.model import Model
from voxtab.result import Result, of_word
from voxtab.transcriber import ROOM_SECONDS, Transcriber

FEED_SAMPLES = ROOM_SECONDS * SAMPLE_RATE  # copied into Python's heap at a time
REPORT_SECONDS = 0.5  # between reports of how much audio the text covers, also where there is no text


class Stream:
    """Reading starts at once. `feed`, `flush` and `finish` take effect in the order in which they are called.

    `tokens` are those that an earlier stream of this audio has posted: it goes on after them (`Transcriber`).
    If reading fails or is cancelled, all three raise that error.
    """

    def __init__(
        self,
        model: Model,
        schedule: Schedule,
        load_s: float,
        tokens: list[int],
        *,
        guard: bool = True,
        alternatives: int = 0,
    ):
        self._model, self._load_s = model, load_s
        self._transcriber = Transcriber(
            model,
            schedule.delay_ms,
            schedule.left_silence_tokens,
            tokens=tokens,
            guard=guard,
            alternatives=alternatives,
        )
        self._posted = len(schedule.prompt) + len(tokens)  # positions whose tokens the page has
        self._in_order = asyncio.Lock()
        self._since = time.perf_counter()
        self._reading = asyncio.ensure_future(self._read())
        self._reading.add_done_callback(
            lambda reading: reading.cancelled() or reading.exception()
        )  # marks an error as seen, as the page may never ask for it

    async def feed(self, samples: Any) -> None:
        """Take a Float32Array. Returns once there is room for more (`Transcriber.room`).

        The page feeds again only after that: Engine.transcribe in web/engine.js.
        """
        async with self._in_order:
            for start in range(0, samples.length, FEED_SAMPLES):
                await self._check_reading()
                self._transcriber.feed(samples.subarray(start, start + FEED_SAMPLES).to_memoryview())
                await self._transcriber.room()
            await self._check_reading()

    async def flush(self) -> None:
        async with self._in_order:
            await self._check_reading()
            self._transcriber.flush()

    async def finish(self) -> dict:
        """The result, as the command line has it, its token ids, and the subtitles, once all text is out."""
        async with self._in_order:
            await self._check_reading()
            self._transcriber.finish()
        return await asyncio.shield(self._reading)

    def stop(self) -> None:
        self._transcriber.close()
        self._reading.cancel()

    async def _check_reading(self) -> None:
        if self._transcriber.closed:
            await asyncio.shield(self._reading)

    async def _read(self) -> dict:
        transcriber = self._transcriber
        reporting = asyncio.ensure_future(self._report())
        try:
            restarts = words = 0
            async for text in transcriber.text():
                for seconds in transcriber.restarts[restarts:]:
                    post_event("restart", audio_seconds=seconds)
                restarts = len(transcriber.restarts)
                if text:
                    tokens = transcriber.tokens[self._posted : transcriber.settled]
                    self._posted += len(tokens)
                    post_event("text", text=text, tokens=tokens, audio_seconds=transcriber.done_seconds)
                if new := transcriber.words[words:]:
                    post_event("words", words=[of_word(word, transcriber.alternatives_of(word)) for word in new])
                    words += len(new)
        finally:
            reporting.cancel()
            transcriber.close()
        run_s = time.perf_counter() - self._since
        result = Result.of(transcriber, model=self._model.name, load_s=self._load_s, run_s=run_s)
        return {
            "result": result.as_dict(),
            "tokens": result.tokens,
            "subtitles": {name: make(result.segments) for name, make in subtitles.FORMATS.items()},
        }

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            post_event("covered", audio_seconds=self._transcriber.done_seconds)
