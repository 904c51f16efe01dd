"""The caller's event loop goes on while a model opens and while it transcribes.

What the loop's thread computes between two turns is measured by its own processor time, which other processes do not
change. What it could wait for is watched: a call that waits for the GPU, a compiler or a disk must come from another
thread.
"""

import asyncio
import contextlib
import threading
import time

import numpy as np

from voxtab import resources
from voxtab.native import models
from voxtab.native.audio.file import open_audio
from voxtab.native.files import FileSource
from voxtab.native.gpu import webgpu
from voxtab.transcriber import Transcriber

MOST_SECONDS = 0.02
WAITING = ["DevicePoll", "QueueSubmitForIndex", "DeviceCreateComputePipeline", "DeviceCreateShaderModule"]


@contextlib.contextmanager
def loop_watched(monkeypatch):
    """Gives the processor seconds of each turn, and the calls that waited in this thread."""
    turns, waits, lib, mine = [], [], webgpu.library(), threading.get_ident()

    def watch(owner, name):
        original = getattr(owner, name)

        def called(*arguments):
            if threading.get_ident() == mine:
                waits.append(name)
            return original(*arguments)

        monkeypatch.setattr(owner, name, called)

    for name in WAITING:
        watch(lib, "wgpu" + name)
    watch(FileSource, "read_into")
    loop = asyncio.get_running_loop()
    run_once = loop._run_once

    def timed():
        since = time.thread_time()
        run_once()
        turns.append(time.thread_time() - since)

    monkeypatch.setattr(loop, "_run_once", timed)
    yield turns, waits


def test_three_minutes_in_one_feed(run):
    """Each sample is checked, and copied."""
    samples = np.random.default_rng(0).normal(0, 0.1, 180 * 16000).astype(np.float32)
    with run(models.open_model()) as model, Transcriber(model) as transcriber:
        since = time.thread_time()
        transcriber.feed(samples)
        assert time.thread_time() - since < MOST_SECONDS


def test_the_event_loop_is_never_blocked(run, monkeypatch):
    samples = np.concatenate(list(open_audio(resources.embedded_clips()[0]).samples()))
    samples = np.resize(samples, 8 * 16000)

    async def go():
        with loop_watched(monkeypatch) as (turns, waits):
            model = await models.open_model()
            opening = len(turns)
            transcriber = Transcriber(model)
            transcriber.feed(samples)
            transcriber.finish()
            async for _ in transcriber.text():
                pass
            # A live stream: a step at a time.
            transcriber = Transcriber(model)
            texts = transcriber.text()
            for start in range(0, 16 * 1280, 1280):
                transcriber.feed(samples[start : start + 1280])
                if start > 1280:
                    await anext(texts)
            transcriber.close()
            model.close()
        return turns[:opening], turns[opening:], waits

    opening, transcribing, waits = run(go())
    assert not waits
    assert len(opening) > 3 and len(transcribing) > 20
    assert max(opening) < MOST_SECONDS and max(transcribing) < MOST_SECONDS, (max(opening), max(transcribing))
