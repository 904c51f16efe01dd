"""Audio of any kind -> samples: 16 kHz, mono, float32, a block at a time. Native only."""

import contextlib
import os
from collections.abc import AsyncGenerator, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
import soxr

from voxtab.config import SAMPLE_RATE
from voxtab.errors import AudioError, shown
from voxtab.native.audio.decoding import Decoding
from voxtab.native.threads import iterated_in_thread

BLOCK_SECONDS = 0.1  # of the file's own samples: mixed, checked and resampled together
SILENT = 1e-4  # of full scale: what is never louder is silent
ZEROS_SECONDS = 10  # samples that are exactly 0 for so long are told: no room gives them
QUIET = 0.01  # what is never louder than this is far below speech
CANCELLED = 0.1  # channels whose mean has less than this part of the power that unrelated channels would have
MOST_DAMAGE = 10  # seconds in front of the first second that can be decoded: more is no audio


class Note(str):
    """What the listener of an audio file should know: one sentence, to follow its name."""

    lost: bool  # audio is missing in the transcript: the command's exit status is 2

    def __new__(cls, text: str, lost: bool = False):
        note = super().__new__(cls, text)
        note.lost = lost
        return note


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

    def samples(self) -> Generator[np.ndarray]:
        """Blocks [samples] float32 of 16 kHz mono, of varying size, none empty. Each call reads the file anew; a pipe
        can be read only once.

        Channels are averaged; where they cancel each other, one of them is taken. Another rate is resampled by soxr at
        quality HQ, as mistral-common does; 16 kHz mono passes untouched. What is damaged is left out, and told in
        `notes`.
        Raises AudioError at a sample that is NaN or infinite, and when the bytes stop coming: what came before is good.
        """
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
            self.notes += [*_notes(decoding), *conversion.notes()]
            decoding.close()

    async def stream(self) -> AsyncGenerator[np.ndarray]:
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


def _joined(blocks: Iterator[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of BLOCK_SECONDS; shorter ones where the rate or the number of channels changes, and at the end.

    Also before an error is passed on: what came before it is good.
    """
    waiting: list[np.ndarray] = []
    kind, count = (0, 0), 0  # (rate, channels), samples that wait
    try:
        for rate, block in blocks:
            if waiting and (rate, len(block)) != kind:
                yield kind[0], np.concatenate(waiting, axis=1)
                waiting, count = [], 0
            kind = rate, len(block)
            waiting.append(block)
            count += block.shape[1]
            size = max(1, round(rate * BLOCK_SECONDS))
            if count >= size:
                whole = np.concatenate(waiting, axis=1)
                for start in range(0, count - size + 1, size):
                    yield rate, whole[:, start : start + size]
                waiting = [whole[:, count - count % size :]] if count % size else []
                count %= size
    except AudioError:
        if waiting:
            yield kind[0], np.concatenate(waiting, axis=1)
        raise
    if waiting:
        yield kind[0], np.concatenate(waiting, axis=1)


class Conversion:
    """Blocks of any rate and channels -> 16 kHz mono, and what is to say about their level."""

    def __init__(self, name: str):
        self._name = name
        self._seconds = self._cancelled_seconds = 0.0
        # Number of channels -> the channel to take: always the same, or there are clicks.
        self._kept: dict[int, int] = {}
        self._low, self._high = np.inf, -np.inf
        self._zeros: list[tuple[float, float]] = []  # where all samples were 0, and for how long; the last may go on
        self._in_zeros = False

    def samples(self, blocks: Iterator[tuple[int, np.ndarray]]) -> Iterator[np.ndarray]:
        """(rate, [channels, samples]) -> [samples]. Raises AudioError at a sample that is not a finite number."""
        return _resampled(self._mono(_joined(blocks)))

    @property
    def peak(self) -> float | None:
        """Half of the range from the lowest sample to the highest: without a constant offset. None: no samples."""
        return (self._high - self._low) / 2 if self._high >= self._low else None

    def notes(self) -> Iterator[Note]:
        if self._cancelled_seconds > min(1, self._seconds / 2):
            yield Note(
                f"its channels cancel each other out for {self._cancelled_seconds:.1f} of {self._seconds:.1f} s, "
                "as if one is inverted: there one of them is transcribed."
            )
        if self.peak and (zeros := [each for each in self._zeros if each[1] >= ZEROS_SECONDS]):
            yield Note(f"{_places(zeros)}: every sample there is 0, as where nothing was recorded or data is missing.")
        if (peak := self.peak) is not None and peak < QUIET:
            loudest, offset = f"the loudest sample is {peak:.5f} of full scale", (self._high + self._low) / 2
            if abs(offset) > QUIET:
                loudest += f" from a constant {offset:.2f}"
            if peak < SILENT:
                yield Note(f"it is silent ({loudest}): see that the right input was recorded.")
            else:
                yield Note(
                    f"it is far quieter than speech ({loudest}), so text may be missing: record or export it louder."
                )

    def _mono(self, blocks: Iterator[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        """(rate, [channels, samples]) -> (rate, [samples])"""
        for rate, block in blocks:
            seconds = block.shape[1] / rate
            mono = self._mixed(block, seconds)
            finite = np.isfinite(mono)
            if not finite.all():
                at = self._seconds + int(finite.argmin()) / rate
                raise AudioError(
                    f"{shown(self._name)} holds a sample that is not a finite number at {at:.3f} s: "
                    "export the audio again."
                )
            low, high = mono.min(), mono.max()
            self._low, self._high = min(self._low, low), max(self._high, high)
            self._note_zeros(not low and not high, seconds)
            yield rate, mono
            self._seconds += seconds

    def _note_zeros(self, are_zeros: bool, seconds: float) -> None:
        if not self._in_zeros and self._zeros and self._zeros[-1][1] < ZEROS_SECONDS:
            self._zeros.pop()
        if are_zeros:
            at, before = self._zeros.pop() if self._in_zeros else (self._seconds, 0.0)
            self._zeros.append((at, before + seconds))
        self._in_zeros = are_zeros

    def _mixed(self, block: np.ndarray, seconds: float) -> np.ndarray:
        """[channels, samples] -> [samples]: the channels' mean; where they cancel each other out, the loudest one."""
        channels = len(block)
        if channels == 1:
            return block[0]
        with np.errstate(over="ignore", invalid="ignore"):  # the caller checks for NaN and infinity
            mean = block.mean(axis=0)
            power = block.var(axis=1)
            if mean.var() * channels < CANCELLED * power.mean():
                self._cancelled_seconds += seconds
                return block[self._kept.setdefault(channels, int(power.argmax()))]
        return mean


def _resampled(blocks: Iterator[tuple[int, np.ndarray]]) -> Iterator[np.ndarray]:
    """(rate, [samples]) -> [samples] at 16 kHz."""
    resampler, of_rate = None, SAMPLE_RATE
    try:
        for rate, block in blocks:
            if rate != of_rate:
                yield from _rest(resampler)
                of_rate = rate
                resampler = rate != SAMPLE_RATE and soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float32", "HQ") or None
            if not resampler:
                yield block
            elif len(resampled := resampler.resample_chunk(np.ascontiguousarray(block))):
                yield resampled
    except AudioError:
        yield from _rest(resampler)
        raise
    yield from _rest(resampler)


def _rest(resampler) -> Iterator[np.ndarray]:
    if resampler and len(rest := resampler.resample_chunk(np.zeros(0, "float32"), last=True)):
        yield rest


def _notes(decoding: Decoding) -> Iterator[Note]:
    if tracks := decoding.tracks:
        yield Note(f"has {len(tracks)} audio tracks ({', '.join(tracks)}): the first one is transcribed.")
    for pause, what in ((False, "damaged or missing, and left out"), (True, "without sound, and left out")):
        if places := [damage for damage in decoding.damage if damage.pause == pause]:
            yield Note(f"{_places([(place.at, place.seconds) for place in places])}: {what}.", lost=not pause)
    if decoding.cut_at is not None:
        yield Note(
            f"it ends at {decoding.cut_at:.2f} s in the middle of a frame: it is cut off, and how much is missing is "
            "not known.",
            lost=True,
        )
    if decoding.unfinished_at is not None:
        yield Note(
            f"its Ogg stream has no mark of its end at {decoding.unfinished_at:.2f} s: it may be cut off, or the "
            "program that wrote it sets none."
        )
    if decoding.unread_bytes:
        yield Note(
            f"{decoding.unread_bytes:,} bytes follow the end of the WAV file, and cannot be read from a pipe: name the "
            "file itself.",
            lost=True,
        )


def _places(places: list[tuple[float, float]]) -> str:
    """(seconds before it, its seconds) -> the first five in words."""
    listed = ", ".join(f"{seconds:.2f} s at {at:.2f} s" for at, seconds in places[:5])
    return f"{listed}, and {len(places) - 5} more places" if len(places) > 5 else listed
