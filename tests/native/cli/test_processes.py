"""`voxtab` in a process of its own: what it writes where, and how it ends."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from native.cli.command import BARE, CLIP, GGUF, refused


@pytest.fixture
def long_clip(tmp_path):
    """A minute: more audio than may wait at a time."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.resize(soundfile.read(CLIP)[0], 60 * 16000), 16000)
    return path


def test_a_process_of_its_own_says_nothing_but_the_text(voxtab):
    """In a new process, whose drivers write to stderr."""
    process = subprocess.run(
        [sys.executable, "-m", "voxtab", "transcribe", "--model", GGUF, CLIP], capture_output=True, text=True, env=BARE
    )
    assert (process.returncode, process.stdout, process.stderr) == voxtab("transcribe", "--model", GGUF, CLIP)


@pytest.mark.parametrize(
    "command",
    [
        "transcribe --model {GGUF} {long} | head -c 1",
        "info {GGUF} | true",
        "transcribe --model {GGUF} --format json {CLIP} | true",
    ],
)
def test_a_reader_that_has_enough(command, long_clip):
    command = f"{sys.executable} -m voxtab {command.format(GGUF=GGUF, CLIP=CLIP, long=long_clip)}"
    command += "; exit ${PIPESTATUS[0]}"
    process = subprocess.run(["bash", "-c", command], capture_output=True, env=os.environ | {"PYTHONUNBUFFERED": ""})
    assert process.returncode == 141 and process.stderr == b"" and len(process.stdout) == ("head" in command)


def test_stdout_on_a_full_disk():
    """The user's arguments are fine, so the status is 1, not 2."""
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-m", "voxtab", "info", GGUF], stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1 and ended.stderr.count(b"\n") == 1
    assert ended.stderr.startswith(b"voxtab: The system refused a read or a write (No space left on device)")


def test_no_stdout():
    ended = subprocess.run(f"{sys.executable} -m voxtab info {GGUF} >&-", shell=True, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (2, "voxtab: stdout is closed: redirect it to a file or a program.\n")


def test_interrupted(long_clip):
    # A process that a shell starts in the background ignores Ctrl-C, and so would the tests' own processes.
    process = subprocess.Popen(
        [sys.executable, "-m", "voxtab", "transcribe", "--model", GGUF, long_clip],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.read(1)  # it is working now
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == b""


def test_output_that_cannot_show_the_text():
    process = subprocess.run(
        [sys.executable, "-m", "voxtab", "transcribe", "--model", GGUF, CLIP],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert process.returncode == 0 and process.stdout.decode("utf-8").strip() and process.stderr == b""


def test_no_adapter_in_a_process_of_its_own():
    """The Vulkan loader finds no driver; its other messages are not shown."""
    process = subprocess.run(
        [sys.executable, "-m", "voxtab", "transcribe", "--model", GGUF, CLIP],
        capture_output=True,
        text=True,
        env=BARE
        | {
            "VK_DRIVER_FILES": "/nowhere",
            "VK_ICD_FILENAMES": "/nowhere",
            "LIBGL_DRIVERS_PATH": "/nowhere",
            "__EGL_VENDOR_LIBRARY_FILENAMES": "/nowhere",
        },
    )
    refused((process.returncode, process.stdout, process.stderr), "No GPU")
