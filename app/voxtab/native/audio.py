"""Audio files -> samples: 16 kHz, mono, float32, a block at a time. Native only."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import numpy as np
import soundfile
import soxr

from voxtab.config import SAMPLE_RATE
from voxtab.errors import AudioError

# Read at a time, at the file's own rate. Few, because a FLAC file that is cut off loses the block with the cut.
BLOCK_SAMPLES = 1 << 14
CUT_SECONDS = 0.5  # a file that is this much shorter than its header says is cut off


class _Forward(soundfile.SoundFile):
    """A file that is only read forward.

    soundfile seeks after each read when it may, and then fails on FLAC files that do not know their length.
    """

    def seekable(self):
        return False


@dataclass(frozen=True)
class AudioFile:
    """A file that holds audio. Made by open_audio()."""

    path: Path
    rate: int  # of the file, in Hz
    seconds: float | None  # by the file's header; less is there if it is cut off. None: unknown

    def samples(self, block_samples: int = BLOCK_SAMPLES) -> Iterator[np.ndarray]:
        """Blocks [samples] float32 of 16 kHz mono, of varying size, none empty. Each call reads the file anew.

        Channels are averaged. Audio of another rate is resampled by soxr at quality HQ, as mistral-common
        does; 16 kHz mono passes untouched. A file that is cut off or damaged ends where decoding ends.
        `block_samples` is how much of the file is in memory; the joined blocks do not depend on it.
        Raises AudioError at a sample that is NaN or infinite.
        """
        blocks = self._blocks(block_samples)
        if self.rate == SAMPLE_RATE:
            yield from blocks
            return
        resampler = soxr.ResampleStream(self.rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        for block in blocks:
            if len(resampled := resampler.resample_chunk(block)):
                yield resampled
        if len(resampled := resampler.resample_chunk(np.zeros(0, "float32"), last=True)):
            yield resampled

    def check_whole(self, seconds: float) -> None:
        """Raises AudioError if `seconds`, the length of all samples, is less than the file's header says."""
        if seconds < (self.seconds or 0) - CUT_SECONDS:
            raise AudioError(
                f"{_shown(self.path)} ends after {seconds:.1f} of {self.seconds:.1f} s: it is cut off or damaged. "
                "Get the file again for the rest."
            )

    def _blocks(self, block_samples: int) -> Iterator[np.ndarray]:
        """Blocks [samples] float32 in the file's own rate, channels averaged."""
        done = 0
        with _open(self.path) as file:
            while True:
                try:
                    block = file.read(block_samples, dtype="float32", always_2d=True)
                except soundfile.LibsndfileError:
                    return  # cut off or damaged: what came before is good
                if not len(block):
                    return
                block = block[:, 0] if file.channels == 1 else _mean(block)
                finite = np.isfinite(block)
                if not finite.all():
                    at = (done + int(finite.argmin())) / self.rate
                    raise AudioError(
                        f"{_shown(self.path)} holds a sample that is not a finite number at {at:.3f} s: "
                        "export the audio again."
                    )
                yield block
                done += len(block)


def open_audio(path) -> AudioFile:
    """Look whether `path` is audio: WAV, FLAC, OGG, Opus, MP3 and other formats of libsndfile.

    Any rate, any number of channels. Raises AudioError if it is not, or holds no samples.
    """
    path = Path(path)
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        raise AudioError(f"{_shown(path)} does not exist: name an audio file.") from None
    except OSError as error:
        raise AudioError(f"{_shown(path)} cannot be read ({error.strerror}): name an audio file.") from None
    if not S_ISREG(kind):
        what = "is a directory" if S_ISDIR(kind) else "is not a regular file"
        raise AudioError(f"{_shown(path)} {what}: name an audio file.")
    with _open(path) as file:
        unknown = file.frames == 2**63 - 1
        audio = AudioFile(path, file.samplerate, None if unknown else file.frames / file.samplerate)
    if next(audio.samples(), None) is None:
        raise AudioError(f"{_shown(path)} holds no samples: it is empty or cut off.")
    return audio


def _mean(block: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # _blocks() checks for NaN and infinity
        return block.mean(axis=1)


def _open(path: Path) -> _Forward:
    try:
        # As bytes, because a file's name need not be valid text. On Windows it is text.
        return _Forward(path if os.name == "nt" else os.fsencode(path))
    except (soundfile.LibsndfileError, TypeError):  # TypeError: a .raw file, which does not say its format
        raise AudioError(
            f"{_shown(path)} is not audio that can be read: convert it to WAV, FLAC, OGG, Opus or MP3, "
            "for example with ffmpeg."
        ) from None


def _shown(path: Path) -> str:
    """A name as it stands in a message: on one line, without control characters for a terminal, not too long."""
    name = str(path) if str(path).isprintable() else repr(str(path))[1:-1]
    return name if len(name) <= 200 else name[:200] + "..."
