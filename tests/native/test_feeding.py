"""Whatever fails while a transcriber is fed and read: both sides end, and the error comes out."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from voxtab.errors import AudioError, DeviceError
from voxtab.native.feeding import text_of

BLOCKS = 200  # of 0.1 s: more than the transcriber takes at once


class Transcriber:
    """Writes a letter for each second that it was fed. Fails where it is told to."""

    def __init__(self, fails=None, error=None):
        self.fed, self.read = 0, 0
        self.finished = self.closed = False
        self._fails, self._error = fails, error
        self._news = asyncio.Event()

    def _at(self, stage):
        if stage == self._fails:
            raise self._error

    def feed(self, samples):
        if self.fed > 16000:
            self._at("feed")
        assert not self.closed and not self.finished
        self.fed += len(samples)
        self._news.set()

    async def room(self):
        self._at("room")
        while self.fed - self.read > 12 * 16000 and not self.closed:
            await asyncio.sleep(0)

    def finish(self):
        self._at("finish")
        self.finished = True
        self._news.set()

    def close(self):
        self.closed = True
        self._news.set()

    async def text(self):
        while not self.closed:
            if self.fed - self.read >= 16000:
                self.read += 16000
                if self.read > 3 * 16000:
                    self._at("text")
                yield "a"
            elif self.finished:
                self._at("last text")
                return
            else:
                self._news.clear()
                await self._news.wait()


async def blocks(error=None, after=BLOCKS):
    for _ in range(after):
        await asyncio.sleep(0)
        yield np.zeros(1600, np.float32)
    if error:
        raise error


async def collect(transcriber, source, **options):
    """(text, error). Ends within a minute, or the test fails."""
    text = ""

    async def read():
        nonlocal text
        async for part in text_of(transcriber, source, **options):
            text += part

    error = None
    try:
        await asyncio.wait_for(read(), 60)
    except Exception as raised:
        assert not isinstance(raised, TimeoutError), "it waits for ever"
        error = raised
    assert transcriber.closed
    return text, error


@pytest.mark.parametrize("live", [False, True])
def test_all_is_fed_and_read(run, live):
    async def test():
        transcriber = Transcriber()
        assert await collect(transcriber, blocks(), live=live) == ("a" * 20, None)
        assert transcriber.fed == BLOCKS * 1600

    run(test())


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    "error", [AudioError("bad."), RuntimeError("a mistake"), OSError(5, "I/O"), DeviceError("gone.")]
)
@pytest.mark.parametrize("stage", ["blocks", "feed", "room", "finish", "text", "last text"])
def test_whatever_fails_both_sides_end(run, stage, error, live):
    async def test():
        transcriber = Transcriber(stage, error)
        text, raised = await collect(transcriber, blocks(stage == "blocks" and error or None, 55), live=live)
        assert raised is error
        if isinstance(error, AudioError) and stage == "blocks":
            assert text == "a" * 5  # what came before the damage is transcribed
        assert len(asyncio.all_tasks()) == 1

    run(test())


def test_a_reader_that_fails_ends_the_feeding(run):
    async def test():
        transcriber = Transcriber()
        texts = text_of(transcriber, blocks())
        with pytest.raises(OSError):
            try:
                async for _ in texts:
                    raise OSError(28, "No space left on device")
            finally:
                await texts.aclose()
        assert transcriber.closed and len(asyncio.all_tasks()) == 1

    run(test())


@pytest.mark.parametrize("chunk", [160, 1600, 5000, 16000, 400000])
def test_the_chunks_are_of_the_length_that_was_asked_for(run, chunk):
    async def test():
        transcriber, fed = Transcriber(), []
        feed = transcriber.feed
        transcriber.feed = lambda samples: (fed.append(len(samples)), feed(samples))
        await collect(transcriber, blocks(), chunk=chunk)
        assert set(fed[:-1]) <= {chunk} and sum(fed) == BLOCKS * 1600

    run(test())


# --- the command

ORACLE = Path(__file__).parents[1] / "oracle/delay480"
CLIP = ORACLE / "clip.flac"
FAILS = """
import sys
calls = 0

def failing(owner, name, error, after=0):
    original = getattr(owner, name)
    def fails(*arguments, **named):
        global calls
        calls += 1
        if calls == after + 1:
            raise error
        return original(*arguments, **named)
    setattr(owner, name, fails)

from voxtab import blocks, transcriber
from voxtab.errors import AudioError, DeviceError
from voxtab.native.audio import decoding, sources
{what}
from voxtab.native.cli import main
main()
"""


@pytest.mark.parametrize(
    "what, status, words, next_file",
    [
        (
            # The first file is read once when it is opened.
            "failing(decoding.Decoding, '_floats', OSError(5, 'Input/output error'), 25)",
            1,
            "The system refused a read or a write (Input/output error)",
            False,
        ),
        (
            "failing(transcriber.Transcriber, 'feed', AudioError('The audio is bad: export it again.'), 2)",
            2,
            "The audio is bad: export it again.",
            True,
        ),
        (
            "failing(blocks.Blocks, 'read', DeviceError('The GPU is gone: start again.'), 1)",
            2,
            "The GPU is gone",
            False,
        ),
        (
            "failing(sys.stdout, 'write', OSError(28, 'No space left on device'), 1)",
            1,
            "No space left on device",
            False,
        ),
    ],
    ids=["decoding", "feeding", "reading tokens", "writing"],
)
def test_whatever_fails_the_command_ends_with_a_sentence(what, status, words, next_file):
    """And where it is the audio's fault, the next one is transcribed."""
    code = FAILS.replace("{what}", what)
    command = [sys.executable, "-c", code, "transcribe", "--model", ORACLE / "tiny-q4.gguf", CLIP, CLIP]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == status and words in ended.stderr, ended
    assert ended.stderr.startswith("voxtab: ") and ended.stderr.count("\n") == 1 and ended.stderr.endswith(".\n"), ended
    assert not next_file or len(ended.stdout.split("\n")[1]) > 20


def test_ctrl_c_while_nothing_comes_through_a_pipe():
    code = "print(0, flush=True)\nfrom voxtab.native.cli import main\nmain()"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)

    def hear():  # a shell's background jobs ignore Ctrl-C, and hand that down
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen([sys.executable, "-c", code, "transcribe", "-"], **pipes, preexec_fn=hear) as process:
        process.stdout.readline()
        time.sleep(2)  # then it waits for the first byte; earlier, Ctrl-C ends it too, but with a traceback
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (130, -signal.SIGINT, 1)
        process.stdin.close()
