"""Samples that come as they are spoken, or faster. What waits lies on disk, so a client never has to be held back."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator

import numpy as np
import soxr

from voxtab.config import SAMPLE_RATE
from voxtab.native.server.errors import ApiError, disk_full
from voxtab.native.server.limits import LIVE_LAG_SECONDS, Limits, Share
from voxtab.native.server.streams import Turn

SAMPLE_BYTES = 2  # signed, little-endian
_LOOK_SECONDS = 0.5  # how often it is looked whether the stream keeps others waiting


class LiveAudio:
    """One stream's audio: `append` it and `end` it; `samples` gives it to the model meanwhile. `rate` is in Hz."""

    def __init__(self, rate: int, limits: Limits, share: Share):
        self.ended = False
        self._rate, self._limits, self._share = rate, limits, share
        try:
            self._file = tempfile.TemporaryFile(buffering=0, prefix="voxtab-")  # noqa: SIM115
        except OSError:
            raise disk_full() from None
        self._written = self._read = 0  # bytes
        self._news = asyncio.Event()

    def append(self, pcm: bytes) -> None:
        """Take mono 16-bit samples; a sample may be cut in two. Raises ApiError if too much waits."""
        if self._written - self._read + len(pcm) > self._limits.upload_bytes:
            raise ApiError(413, "Too much audio waits for the model: send it later.", code="audio_too_far_ahead")
        self._share.take(len(pcm))
        try:
            self._file.seek(self._written)
            whole = self._file.write(pcm) == len(pcm)
        except OSError:
            whole = False
        if not whole:
            raise disk_full()
        self._written += len(pcm)
        self._news.set()

    def end(self) -> None:
        """No more comes."""
        self.ended = True
        self._news.set()

    def close(self) -> None:
        self.ended = True
        self._share.close()
        self._file.close()

    async def samples(self, turn: Turn) -> AsyncIterator[np.ndarray]:
        """Blocks [samples] float32 of 16 kHz mono, at most a second each, as they come.

        It ends the stream, so that what was said is transcribed and the next stream has the model, also when the
        server is ending, when the stream is longer than it may be, and when it keeps others waiting with too little.
        """
        resampler = None
        if self._rate != SAMPLE_RATE:
            resampler = soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        late_at = time.monotonic() + LIVE_LAG_SECONDS
        seconds = 0.0
        while True:
            block = self._next()
            if len(block):
                seconds += len(block) / self._rate
                late_at = min(late_at + len(block) / self._rate, time.monotonic() + LIVE_LAG_SECONDS)
                samples = block.astype(np.float32) / 32768
                yield resampler.resample_chunk(samples) if resampler else samples
                if seconds > self._limits.audio_seconds:
                    break
                continue
            if self.ended or turn.is_ending or (turn.is_wanted and time.monotonic() > late_at):
                break
            self._news.clear()
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                pass
        self.ended = True
        if resampler and len(rest := resampler.resample_chunk(np.zeros(0, np.float32), last=True)):
            yield rest

    def _next(self) -> np.ndarray:
        """Up to a second [samples] int16; empty if nothing waits."""
        nbytes = min(self._written - self._read, SAMPLE_BYTES * self._rate) // SAMPLE_BYTES * SAMPLE_BYTES
        self._file.seek(self._read)
        block = np.frombuffer(self._file.read(nbytes), "<i2")
        self._read += nbytes
        self._share.give_back(nbytes)
        if self._read == self._written and self._read > 1 << 20:  # let the disk have the room again
            self._file.truncate(0)
            self._written = self._read = 0
        return block
