"""`voxtab listen`, with a fake of sounddevice: a device that speaks the bundled clip."""

import os
import signal
import sys
import threading
import types

import numpy as np
import pytest
import soundfile

from stuck import falls
from voxtab import resources, rut
from voxtab.errors import AudioError
from voxtab.native import cli
from voxtab.native.audio import microphone
from voxtab.native.audio.file import open_audio

CLIP = resources.embedded_clips()[0]


class Device(types.ModuleType):
    """The module sounddevice with two microphones, of which the second is the default one."""

    class PortAudioError(Exception): ...

    default = types.SimpleNamespace(device=[2, 1])
    then = staticmethod(lambda: None)  # when the clip was spoken
    overflows = False
    opens = True

    def __init__(self):
        super().__init__("sounddevice")
        self.opened = []

    @staticmethod
    def query_devices():
        names = [("Webcam: mic", 1, 48000.0), ("Speaker", 0, 48000.0), ("Headset: mic", 2, 16000.0)]
        return [
            {"name": name, "max_input_channels": inputs, "default_samplerate": rate} for name, inputs, rate in names
        ]

    def InputStream(self, *, samplerate, channels, device, dtype, callback):
        if not self.opens:
            raise self.PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        self.opened.append((samplerate, channels, device))
        assert dtype == "float32"
        return Stream(self, channels, callback)


class Stream:
    def __init__(self, device, channels, callback):
        self._device, self._channels, self._callback = device, channels, callback

    def __enter__(self):
        self._thread = threading.Thread(target=self._speak)
        self._thread.start()

    def __exit__(self, *_):
        self._thread.join()

    def _speak(self):
        samples = soundfile.read(CLIP, dtype="float32")[0]
        buffer = np.zeros((1000, self._channels), np.float32)  # PortAudio uses one for all
        for start in range(0, len(samples), 1000):
            block = samples[start : start + 1000, None]
            buffer[: len(block)] = block
            status = types.SimpleNamespace(input_overflow=self._device.overflows and start == 5000)
            self._callback(buffer[: len(block)], len(block), None, status)
        self._device.then()


@pytest.fixture
def device(monkeypatch):
    device = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    monkeypatch.setattr(microphone, "_pulse_sources", lambda: iter(()))
    return device


@pytest.fixture
def listen(capfd, monkeypatch):
    """Runs `voxtab listen`; (status, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["voxtab", "listen", *map(str, arguments)])
        handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as end:
                cli.main()
        finally:
            signal.signal(signal.SIGINT, handlers[0])
            signal.signal(signal.SIGTERM, handlers[1])
        return end.value.code or 0, *capfd.readouterr()

    return run


def refused(result, words):
    status, out, err = result
    assert (status, out) == (2, "") and err.count("\n") == 1 and words in err and err.endswith(".\n"), result


def test_it_writes_and_keeps_what_it_hears_until_ctrl_c(device, listen, tmp_path):
    """The default device speaks the clip, once; then comes Ctrl-C. The text is that of the clip, to its last word."""
    saved = tmp_path / "heard.wav"
    device.then = lambda: os.kill(os.getpid(), signal.SIGINT)
    status, out, err = listen("--save", saved)
    assert status == 0 and err == "voxtab: listening to Headset: mic. Ctrl-C ends it.\n"
    assert out == "enter sixty two thirty one\n"
    assert device.opened == [(16000, 2, 2)]
    heard, rate = soundfile.read(saved, dtype="int16")
    assert rate == 16000 and np.array_equal(heard, soundfile.read(CLIP, dtype="int16")[0])


def test_where_the_model_wrote_nothing_is_told(device, listen, monkeypatch, tmp_path):
    """It falls silent after 2.4 s of three clips, and is started again there."""
    clips = [soundfile.read(clip, dtype="float32")[0] for clip in resources.embedded_clips()]
    soundfile.write(tmp_path / "talk.wav", np.concatenate(clips), 16000)
    monkeypatch.setattr(sys.modules[__name__], "CLIP", tmp_path / "talk.wav")
    monkeypatch.setattr(rut, "VOICED", 20)
    falls(monkeypatch, 39 + 30, opened=False)
    device.then = lambda: os.kill(os.getpid(), signal.SIGINT)
    status, out, err = listen()
    assert status == 0 and "Headset: mic: from 2." in err and "the model wrote nothing although someone talked" in err
    assert out.startswith("enter sixty two thirty one") and out.endswith("six\n")


def test_a_device_that_goes_away(device, listen, monkeypatch, tmp_path):
    """What was heard is written and kept, then comes the sentence."""
    monkeypatch.setattr(microphone, "PATIENCE", 0.5)
    device.overflows = True
    saved = tmp_path / "heard.wav"
    status, out, err = listen("--save", saved, "--device", "headset")
    lines = err.splitlines()
    assert status == 2 and out == "enter sixty two thirty one\n" and len(lines) == 3
    assert "Headset: mic gives no audio" in err and "Headset: mic: the machine was too slow to hear everything." in err
    assert soundfile.info(saved).frames == soundfile.info(CLIP).frames


def test_what_is_wrong_is_told_before_a_model_is_loaded(device, listen, tmp_path):
    refused(listen("--device", "mic"), "mic fits 2 inputs of this machine: voxtab listen --devices lists them.")
    refused(listen("--device", "7"), "7 is no input of this machine")
    refused(listen("--device", "Speaker"), "Speaker is no input")
    there = tmp_path / "there.wav"
    there.write_bytes(b"precious")
    refused(listen("--save", there), "there.wav exists already: give another name for the recording.")
    assert there.read_bytes() == b"precious"
    refused(listen("--save", tmp_path / "none/heard.wav"), "cannot be written (No such file or directory)")
    refused(listen("--model", "none.gguf", "--save", tmp_path / "heard.wav"), "none.gguf")
    assert not (tmp_path / "heard.wav").exists()


def test_the_list_of_devices(device, listen, monkeypatch):
    assert listen("--devices") == (0, "0  Webcam: mic, 48000 Hz\n1  Headset: mic, 16000 Hz, the default\n", "")
    monkeypatch.setattr(device, "query_devices", list)
    assert listen("--devices") == (0, "", "voxtab: There is no microphone or other audio input.\n")
    refused(listen(), "There is no microphone or other audio input: plug one in")


def test_a_monitor_is_an_input(device, listen, monkeypatch, tmp_path):
    """PortAudio reaches a sound server's inputs through its own device, and the server's library reads a variable."""
    pactl = tmp_path / "pactl"
    pactl.write_text("#!/bin/sh\nprintf '1\\tspeakers.monitor\\tmodule.c\\ts16le 2ch 44100Hz\\tIDLE\\n'")
    pactl.chmod(0o755)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PULSE_SOURCE", "")
    found = [{"name": "pulse", "max_input_channels": 32, "default_samplerate": 44100.0}]
    monkeypatch.setattr(device, "query_devices", lambda: found)
    device.then = lambda: heard.stop()
    heard = microphone.Microphone("monitor")
    assert heard.input.name == "speakers.monitor"
    samples = np.concatenate(list(heard.samples()))
    assert device.opened == [(44100, 2, 0)] and os.environ["PULSE_SOURCE"] == "speakers.monitor"
    expected = soundfile.info(CLIP).frames * 16000 / 44100
    assert len(samples) == pytest.approx(expected, abs=1) and not heard.notes


def test_an_input_that_cannot_be_opened_or_is_silent(device, monkeypatch):
    device.opens = False
    with pytest.raises(
        AudioError, match=r"Headset: mic cannot be opened \(Invalid sample rate .*no other program holds"
    ):
        list(microphone.Microphone().samples())
    device.opens = True
    monkeypatch.setattr(soundfile, "read", lambda *_, **__: (np.zeros(16000, np.float32), 16000))
    silent = microphone.Microphone()
    device.then = silent.stop
    assert len(np.concatenate(list(silent.samples()))) == 16000
    (note,) = silent.notes
    assert note.startswith("it is silent") and not note.lost


def test_a_recording_that_was_cut_off_can_be_read(device, tmp_path):
    """As when the machine loses power: the header's length was never written."""
    path = tmp_path / "heard.wav"
    heard = microphone.Microphone(save=path)
    blocks = heard.samples()
    got = sum(len(next(blocks)) for _ in range(5))
    copy = tmp_path / "copy.wav"
    copy.write_bytes(path.read_bytes())
    blocks.close()
    assert sum(len(block) for block in open_audio(copy).samples()) == got


def test_a_full_disk(device, monkeypatch, tmp_path):
    heard = microphone.Microphone(save=tmp_path / "heard.wav")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(heard._saved._wav, "writeframesraw", full)
    with pytest.raises(AudioError, match=r"heard.wav cannot be written \(No space left on device\): see that the disk"):
        list(heard.samples())


def test_without_portaudio(listen, monkeypatch):
    """sounddevice's wheel for Linux does not bring it."""

    class Missing:
        def find_spec(self, name, *_):
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    for arguments in ((), ("--devices",)):
        refused(listen(*arguments), "The library PortAudio, which reads microphones, is missing: install")
