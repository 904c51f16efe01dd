"""Audio of any kind -> samples: 16 kHz, mono, float32, a block at a time. Native only."""

import contextlib
import os
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voxtab.config import SAMPLE_RATE
from voxtab.errors import AudioError, shown
from voxtab.native.audio.decoding import Decoding
from voxtab.native.audio.notes import Note, notes_of
from voxtab.native.threads import iterated_in_thread

if TYPE_CHECKING:
    import numpy as np

MOST_DAMAGE = 10  # seconds in front of the first second that can be decoded: more is no audio


@dataclass
class AudioFile:
    """Audio that is decoded while it is read. Made by open_audio()."""

    name: str  # a path, an address, or "standard input"
    rate: int  # of the audio as it was recorded, in Hz
    seconds: float | None  # by the header, or an estimate: for a progress bar. None: unknown
    live: bool = False  # comes as it is spoken, or may: a pipe
    notes: list[Note] = field(default_factory=list)  # complete once samples() is exhausted
    _source: str | os.PathLike = ""
    _decoding: Decoding | None = None  # of what cannot be opened again

    def samples(self) -> "Generator[np.ndarray]":
        """Blocks [samples] float32 of 16 kHz mono, of varying size, none empty. Each call reads the file anew; a pipe
        can be read only once.

        Channels are averaged; where they cancel each other, one of them is taken. Another rate is resampled by soxr at
        quality HQ, as mistral-common does; 16 kHz mono passes untouched. What is damaged is left out, and told in
        `notes`.
        Raises AudioError at a sample that is NaN or infinite, and when the bytes stop coming: what came before is good.
        """
        from voxtab.native.audio.conversion import Conversion  # NumPy is not needed to refuse what is no audio

        self.notes.clear()
        decoding, self._decoding = self._decoding or Decoding(self._source), None
        conversion = Conversion(self.name)
        try:
            yield from conversion.samples(decoding.blocks())
            if decoding.nothing_readable:
                raise decoding.not_audio()
            if conversion.peak is None:
                raise AudioError(f"{shown(self.name)} holds no samples: it is empty or cut off.")
        finally:
            self.notes += [*notes_of(decoding), *conversion.notes()]
            decoding.close()

    async def stream(self) -> "AsyncGenerator[np.ndarray]":
        """samples(), decoded in a thread of its own: the event loop never waits for a disk, a pipe or a network."""
        async with contextlib.aclosing(iterated_in_thread(self.samples())) as blocks:
            async for block in blocks:
                yield block


def open_audio(source: str | os.PathLike) -> AudioFile:
    """Look whether `source` is audio, or a video with sound, that PyAV (FFmpeg) can decode.

    source: a path of a file or pipe, "-" for standard input, or an http(s) address. Any format, rate and number of
    channels. Of several audio tracks the first is taken. Raises AudioError if there is nothing to decode.
    """
    decoding = Decoding(source)
    live = not decoding.source.reopens
    audio = AudioFile(decoding.source.name, decoding.rate, decoding.expected_seconds, live, [], source, decoding)
    if not live:
        _check_beginning(audio, decoding)
    return audio


async def open_audio_async(source: str | os.PathLike) -> AudioFile:
    """open_audio() in a thread of its own: a pipe in which nothing comes holds up neither the event loop nor Ctrl-C."""

    def opened() -> Generator[AudioFile]:
        yield open_audio(source)

    async with contextlib.aclosing(iterated_in_thread(opened())) as results:
        return await anext(results)


def _check_beginning(audio: AudioFile, decoding: Decoding) -> None:
    """FFmpeg finds some frames of audio in any large file. Raises AudioError if they are far apart."""
    decoded = 0
    with contextlib.closing(audio.samples()) as blocks:
        for block in blocks:
            decoded += len(block)
            if decoded >= SAMPLE_RATE:
                if sum(damage.seconds for damage in decoding.damage) > MOST_DAMAGE:
                    raise decoding.not_audio()
                break
    audio.notes.clear()
