"""Audio that comes through a pipe, and the asynchronous stream of any audio."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile

import recordings
from recordings import encoded, heard, tone
from voxtab.errors import AudioError
from voxtab.native.audio.file import open_audio

PIPED = """
import sys, time
from voxtab.native.audio.file import open_audio
audio = open_audio(sys.argv[1])
for block in audio.samples():
    print(len(block), flush=True)
"""


def test_a_pipe_is_read_as_it_comes(speech):
    """The samples of what was written come out while the pipe stays open."""
    data = encoded(speech, 16000, ".opus")
    most = len(data) * 3 // 4
    with subprocess.Popen([sys.executable, "-c", PIPED, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(data[:most])
        process.stdin.flush()
        got = 0
        while got < 2.5 * 16000:  # or it would wait here for ever
            got += int(process.stdout.readline())
        assert process.poll() is None
        process.stdin.write(data[most:])
        process.stdin.close()
        got += sum(int(line) for line in process.stdout.read().split())
    assert process.returncode == 0 and got == len(speech)


@pytest.mark.parametrize("suffix", recordings.KINDS)
def test_every_kind_comes_through_a_pipe(file, speech, suffix):
    """The same samples as from a file, also of MP4, whose index is at its end."""
    rate = 48000 if suffix == ".ac3" else 16000
    path = file("whole" + suffix, encoded(speech, rate, suffix))
    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    writer.start()
    samples, notes = heard(pipe)
    writer.join()
    whole, _ = heard(path)
    assert not notes and abs(len(samples) - len(whole)) <= 1200  # without the tag, an MP3's padding stays
    common = min(len(samples), len(whole))
    assert np.abs(samples[:common] - whole[:common]).max() < 1e-4


def test_what_is_joined_to_a_wav_file_in_a_pipe_is_told(file, speech):
    pipe = file("pipe", b"").with_name("joined.wav")
    os.mkfifo(pipe)
    data = encoded(speech, 16000, ".wav")
    writer = threading.Thread(target=lambda: pipe.write_bytes(2 * data))
    writer.start()
    samples, (note,) = heard(pipe)
    writer.join()
    assert np.array_equal(samples, speech) and note.lost and f"{len(data):,} bytes follow the end" in note


def test_standard_input_that_has_nothing():
    for how, words in (("</dev/null", "empty"), ("<&-", "is closed")):
        ended = subprocess.run(
            f"'{sys.executable}' -c '{PIPED}' - {how}", shell=True, capture_output=True, text=True, timeout=60
        )
        assert "tandard input" in ended.stderr and words in ended.stderr


def test_ctrl_c_while_a_pipe_is_silent():
    code = PIPED.replace("audio =", "print(0, flush=True); audio =")
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)

    def hear():  # a shell's background jobs ignore Ctrl-C, and hand that down
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen([sys.executable, "-c", code, "-"], **pipes, preexec_fn=hear) as process:
        process.stdout.readline()
        time.sleep(0.3)  # now it waits for the first byte
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=60)[1] and process.returncode


# --- the asynchronous stream


def test_the_stream_gives_the_same_blocks(tmp_path, run):
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(44100, 3), 44100)
    audio = open_audio(path)

    async def collect():
        return [block async for block in audio.stream()]

    for one, other in zip(run(collect()), audio.samples(), strict=True):
        assert np.array_equal(one, other)


def test_the_stream_passes_an_error_on_and_can_be_left(tmp_path, run):
    samples = np.zeros(160000)
    samples[100000] = np.inf
    path = tmp_path / "late.wav"
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    audio = open_audio(path)

    async def collect():
        got = 0
        with pytest.raises(AudioError, match="6.250"):
            async for block in audio.stream():
                got += len(block)
        return got

    async def leave():
        stream = audio.stream()
        async for _ in stream:
            break
        await stream.aclose()

    assert run(collect()) == 99200
    before = threading.active_count()
    run(leave())
    deadline = time.monotonic() + 30
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_the_event_loop_goes_on_while_a_pipe_is_silent(file, run):
    path = file("silent", b"").with_name("pipe")
    os.mkfifo(path)
    data = encoded(tone(16000, 3), 16000, ".flac")
    end = threading.Event()

    def write_slowly():
        with path.open("wb", buffering=0) as pipe:
            pipe.write(data[: len(data) // 2])
            end.wait(60)
            pipe.write(data[len(data) // 2 :])

    threading.Thread(target=write_slowly).start()
    audio = open_audio(path)

    async def collect():
        got = 0
        async for block in audio.stream():
            got += len(block)
            if not end.is_set():
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_later(0.2, end.set)  # never, if the loop waits for the pipe
        return got

    assert run(collect()) == 48000
