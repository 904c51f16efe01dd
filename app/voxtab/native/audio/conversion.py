"""Decoded blocks of any rate and channels -> 16 kHz mono samples."""

from collections.abc import Iterator

import numpy as np
import soxr

from voxtab.config import SAMPLE_RATE
from voxtab.errors import AudioError, shown
from voxtab.native.audio.notes import Note, listed

BLOCK_SECONDS = 0.1  # of the file's own samples: mixed, checked and resampled together
SILENT = 1e-4  # of full scale: what is never louder is silent
ZEROS_SECONDS = 10  # samples that are exactly 0 for so long are told: no room gives them
QUIET = 0.01  # what is never louder than this is far below speech
CANCELLED = 0.1  # channels whose mean has less than this part of the power that unrelated channels would have


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
            yield Note(f"{listed(zeros)}: every sample there is 0, as where nothing was recorded or data is missing.")
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
