"""Microphones and other inputs -> samples, as they are heard. sounddevice (PortAudio) reads the devices.

An input that hears what the machine plays is chosen like any other one: on Linux, PulseAudio's and PipeWire's monitors
("... .monitor"); on Windows "Stereo Mix"; elsewhere a virtual cable.
"""

import os
import queue
import shutil
import subprocess
import sys
import wave
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxtab.config import SAMPLE_RATE
from voxtab.errors import AudioError, shown
from voxtab.native.audio.conversion import Conversion
from voxtab.native.audio.notes import Note

PATIENCE = 5  # seconds without a block, after which an input is gone
UNKNOWN_FRAMES = 0x3FFF_FF00  # so many that readers take what is there; the true number is written at the end
PULSE = "pulse"  # PortAudio's name for the sound server on Linux, which has inputs of its own


@dataclass(frozen=True)
class Input:
    """An input that can be listened to."""

    name: str
    rate: int  # Hz, its own
    channels: int
    is_default: bool
    index: int  # PortAudio's
    pulse_source: str | None = None  # the sound server's name for it


def inputs() -> list[Input]:
    """All of this machine. Raises AudioError if PortAudio is missing."""
    sounddevice = _sounddevice()
    default = sounddevice.default.device[0]
    found = [
        Input(device["name"], int(device["default_samplerate"]), device["max_input_channels"], index == default, index)
        for index, device in enumerate(sounddevice.query_devices())
        if device["max_input_channels"] > 0
    ]
    pulse = next((each for each in found if each.name == PULSE), None)
    if pulse:
        found += [Input(name, rate, channels, False, pulse.index, name) for name, rate, channels in _pulse_sources()]
    return found


def choose(wanted: str | None) -> Input:
    """By its number in inputs(), counted from 0, or a part of its name; None means the default one, or else the first.

    Raises AudioError if there is none, or the name fits several.
    """
    found = inputs()
    if not found:
        raise AudioError("There is no microphone or other audio input: plug one in, and see that the system shows it.")
    if wanted is None:
        return next((each for each in found if each.is_default), found[0])
    if wanted.isdecimal() and int(wanted) < len(found):
        return found[int(wanted)]
    fitting = [each for each in found if each.name == wanted] or [
        each for each in found if wanted.casefold() in each.name.casefold()
    ]
    if len(fitting) == 1:
        return fitting[0]
    what = f"fits {len(fitting)} inputs" if fitting else "is no input"
    raise AudioError(f"{shown(wanted)} {what} of this machine: voxtab listen --devices lists them.")


class Microphone:
    """An input that is listened to, from the first read of samples() until stop().

    save: a WAV file (16 kHz, mono, int16) that gets what is heard, each block at once.
    Raises AudioError if the input or the file cannot be opened.
    """

    def __init__(self, wanted: str | None = None, save: str | os.PathLike | None = None):
        self.input = choose(wanted)
        self.notes: list[Note] = []  # complete once samples() is exhausted
        self._blocks: queue.SimpleQueue[np.ndarray | None] = queue.SimpleQueue()
        self._lost = False
        self._saved = _Saved(save) if save is not None else None

    def samples(self) -> Generator[np.ndarray]:
        """Blocks [samples] float32 of 16 kHz mono, as they are heard. Raises AudioError if the input goes away."""
        conversion = Conversion(self.input.name)
        try:
            for block in conversion.samples(self._heard()):
                if self._saved:
                    self._saved.write(block)
                yield block
        finally:
            if self._saved:
                self._saved.close()
            self.notes += conversion.notes()
            if self._lost:
                self.notes.append(Note("the machine was too slow to hear everything.", lost=True))

    def stop(self) -> None:
        """End samples() after what was heard so far. Any thread, or a signal handler, may call it."""
        self._blocks.put(None)

    def close(self) -> None:
        """For one whose samples() were not read: no file is left."""
        if self._saved:
            self._saved.remove()

    def _heard(self) -> Iterator[tuple[int, np.ndarray]]:
        """(rate, [channels, samples]) as the device gives them."""
        sounddevice, rate, channels = _sounddevice(), self.input.rate, min(self.input.channels, 2)
        if self.input.pulse_source:
            os.environ["PULSE_SOURCE"] = self.input.pulse_source  # read by the sound server's client library

        def hear(block, frames, time, status) -> None:
            self._lost |= bool(status.input_overflow)
            self._blocks.put(block.T.copy())

        try:
            stream = sounddevice.InputStream(
                samplerate=rate, channels=channels, device=self.input.index, dtype="float32", callback=hear
            )
        except sounddevice.PortAudioError as error:
            raise self._refused(error) from None
        with stream:
            while True:
                try:
                    block = self._blocks.get(timeout=PATIENCE)
                except queue.Empty:
                    raise AudioError(
                        f"{shown(self.input.name)} gives no audio: see that it is plugged in and no other program "
                        "holds it."
                    ) from None
                if block is None:
                    return
                yield rate, block

    def _refused(self, error: Exception) -> AudioError:
        why = " ".join(str(error).split())
        return AudioError(
            f"{shown(self.input.name)} cannot be opened ({why}): see that no other program holds it, and that this one "
            "may use the microphone."
        )


class _Saved:
    """A WAV file that is written block by block. Cut off at any moment, it can be read up to there."""

    def __init__(self, path: str | os.PathLike):
        self._path = Path(path)
        try:
            self._file = self._path.open("xb", buffering=0)
        except FileExistsError:
            raise AudioError(f"{shown(self._path)} exists already: give another name for the recording.") from None
        except OSError as error:
            raise self._wrong(error) from None
        self._wav = wave.open(self._file, "wb")  # noqa: SIM115
        self._wav.setnchannels(1)
        self._wav.setsampwidth(2)
        self._wav.setframerate(SAMPLE_RATE)
        self._wav.setnframes(UNKNOWN_FRAMES)

    def write(self, block: np.ndarray) -> None:
        whole = np.clip(np.round(block * 32768), -32768, 32767).astype("<i2")
        try:
            self._wav.writeframesraw(whole.tobytes())
        except OSError as error:
            raise self._wrong(error) from None

    def close(self) -> None:
        """Also writes the length."""
        try:
            self._wav.close()
            self._file.close()
        except OSError as error:
            raise self._wrong(error) from None

    def remove(self) -> None:
        self.close()
        self._path.unlink()

    def _wrong(self, error: OSError) -> AudioError:
        return AudioError(f"{shown(self._path)} cannot be written ({error.strerror}): see that the disk has room.")


def _sounddevice():
    try:
        import sounddevice
    except OSError:
        how = "install Debian's libportaudio2, or your system's PortAudio" if sys.platform == "linux" else "install it"
        raise AudioError(f"The library PortAudio, which reads microphones, is missing: {how}.") from None
    return sounddevice


def _pulse_sources() -> Iterator[tuple[str, int, int]]:
    """(name, rate, channels) of the sound server's inputs, monitors among them."""
    if not shutil.which("pactl"):
        return
    try:
        listed = subprocess.run(["pactl", "list", "short", "sources"], capture_output=True, text=True, timeout=10)
    except subprocess.TimeoutExpired:
        return
    for line in listed.stdout.splitlines():
        fields = line.split("\t")  # number, name, module, "s16le 2ch 44100Hz", state
        if len(fields) >= 4 and len(kind := fields[3].split()) == 3:
            yield fields[1], int(kind[2].removesuffix("Hz")), int(kind[1].removesuffix("ch"))
