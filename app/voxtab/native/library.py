"""Transcription in one call, from plain and from asynchronous code.

All of it runs on an event loop in a thread of its own. So the plain calls work where a loop runs already, as in a
notebook, and the asynchronous ones do not hold up the caller's loop.
"""

import asyncio
import atexit
import contextlib
import os
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np

from voxtab.errors import AudioError
from voxtab.model import Model
from voxtab.native import models
from voxtab.native.audio.file import AudioFile, open_audio_async
from voxtab.native.transcription import Transcription
from voxtab.result import Result
from voxtab.words import Word

# A path, "-" for standard input, an http(s) address, what open_audio() gave, or samples of 16 kHz mono from -1 to 1.
Audio: TypeAlias = str | os.PathLike | AudioFile | np.ndarray
ModelOrPath: TypeAlias = Model | str | os.PathLike | None

_T = TypeVar("_T")


def open_model(
    path: str | Path | None = None,
    tokenizer: str | Path | None = None,
    *,
    cache: str = "f16",
    default_limits: bool = False,
    gpu: int = 0,
    progress: models.Progress = None,
) -> Model:
    """Bring a model to the GPU, where it stays until it is closed. For more than one transcription.

    path: a .gguf file, a folder of raw shards, or a folder with model.safetensors and config.json; None means the
    embedded self-test model. tokenizer: the model's tekken.json; None means the one beside the model, in its folder or
    above it. cache: the type of cached keys and values, "f16" or "f32". default_limits: use only what every GPU grants.
    gpu: which of this machine's, as `voxtab info` lists them; 0 is the strongest. progress: is called with the bytes
    read so far, in another thread.

    Raises UserError, one sentence, for what the user can fix: no GPU, broken files.

    >>> with voxtab.open_model("voxtral-q4.gguf") as model:
    ...     results = [voxtab.transcribe(path, model=model) for path in ("a.wav", "b.flac")]
    """
    return _wait(
        models.open_model(path, tokenizer, cache=cache, default_limits=default_limits, gpu=gpu, progress=progress)
    )


open_model_async = models.open_model  # for asynchronous code


def transcribe(
    audio: Audio,
    *,
    model: ModelOrPath = None,
    tokenizer: str | Path | None = None,
    delay_ms: int | None = None,
    left_silence_tokens: int | None = None,
) -> Result:
    """Transcribe a whole recording.

    audio: a path, "-" for standard input, an http(s) address, what open_audio() gave, or samples [samples] of 16 kHz
    mono, floats from -1 to 1. model: an open one, or what open_model() takes, which is then opened for this call alone.
    delay_ms: how long the model listens before it writes, 80 to 1200 in steps of 80, or 2400, the most accurate.
    left_silence_tokens: see `config.Schedule`. Both are the model's defaults unless given.

    A model transcribes one recording at a time; others wait. What is damaged or missing in a file is told in the
    result's `notes`. Raises UserError, one sentence, for what the user can fix.

    >>> result = voxtab.transcribe("talk.mp3")
    >>> print(result.text)
    enter sixty two thirty one
    >>> result.words[0].text, result.words[0].end
    ('enter', 0.72)
    >>> print(result.formatted("vtt"), end="")
    WEBVTT
    <BLANKLINE>
    00:00:00.387 --> 00:00:02.080
    enter sixty two thirty one
    """
    return _wait(_transcribe(audio, model, tokenizer, delay_ms, left_silence_tokens))


async def transcribe_async(
    audio: Audio,
    *,
    model: ModelOrPath = None,
    tokenizer: str | Path | None = None,
    delay_ms: int | None = None,
    left_silence_tokens: int | None = None,
) -> Result:
    """transcribe() for asynchronous code.

    >>> async def both():
    ...     with await voxtab.open_model_async() as model:
    ...         calls = [voxtab.transcribe_async(path, model=model) for path in ("a.wav", "b.flac")]
    ...         return await asyncio.gather(*calls)
    >>> [result.text for result in asyncio.run(both())]
    ['enter sixty two thirty one', 'enter eight one nine six']
    """
    return await _await(_transcribe(audio, model, tokenizer, delay_ms, left_silence_tokens))


def stream(
    audio: Audio | Iterable[np.ndarray],
    *,
    model: ModelOrPath = None,
    tokenizer: str | Path | None = None,
    delay_ms: int | None = None,
    left_silence_tokens: int | None = None,
) -> Iterator[Word]:
    """Words with their times, each as soon as it is complete: when the next one begins, or at the end.

    audio: what transcribe() takes, or blocks of such samples, for example of a microphone, that are fed as they come.
    The other arguments are transcribe()'s. Leaving the loop early ends the transcription.

    >>> for word in voxtab.stream("talk.mp3"):
    ...     print(f"{word.end:.2f} {word.text}")
    0.72 enter
    1.12 sixty
    1.36 two
    1.60 thirty
    2.08 one
    """
    words: queue.SimpleQueue[Word | None] = queue.SimpleQueue()

    async def put() -> None:
        async with _transcription(audio, model, tokenizer, delay_ms, left_silence_tokens) as transcription:
            given = 0
            async with contextlib.aclosing(transcription.text()) as texts:
                async for _ in texts:
                    for word in transcription.transcriber.words[given:]:
                        words.put(word)
                    given = len(transcription.transcriber.words)

    task = _Task(put())
    task.ended.add_done_callback(lambda _: words.put(None))
    try:
        while (word := words.get()) is not None:
            yield word
        task.ended.result()
    finally:
        task.cancel()
        wait([task.ended])


async def _transcribe(audio, model, tokenizer, delay_ms, left_silence_tokens) -> Result:
    async with _transcription(audio, model, tokenizer, delay_ms, left_silence_tokens) as transcription:
        async with contextlib.aclosing(transcription.text()) as texts:
            async for _ in texts:
                pass
        return transcription.result()


@contextlib.asynccontextmanager
async def _transcription(
    audio, model: ModelOrPath, tokenizer, delay_ms, left_silence_tokens
) -> AsyncIterator[Transcription]:
    """Once the model is free. What can be wrong is found before the model is opened."""
    source = await _opened(audio)
    if isinstance(model, Model):
        if tokenizer is not None:
            raise TypeError("an open model has its tokenizer: give the tokenizer to open_model()")
        schedule = model.config.schedule(delay_ms, left_silence_tokens)
        async with _turns().setdefault(model, asyncio.Lock()):
            try:
                yield Transcription(model, source, schedule)
            finally:
                await model.device.done()  # readbacks under way still need this event loop
        return
    found = await asyncio.to_thread(models.read_model, None if model is None else Path(model), tokenizer)
    schedule = found.config.schedule(delay_ms, left_silence_tokens)
    with await models.load_model(found) as opened:
        try:
            yield Transcription(opened, source, schedule)
        finally:
            await opened.device.done()


async def _opened(audio: Audio | Iterable[np.ndarray]) -> AudioFile | np.ndarray | Iterator[np.ndarray]:
    if isinstance(audio, AudioFile):
        return audio
    if isinstance(audio, str | os.PathLike):
        return await open_audio_async(audio)
    if isinstance(audio, Iterable) and not hasattr(audio, "__array__") and not _is_buffer(audio):
        return map(_samples, audio)
    return _samples(audio)


def _is_buffer(audio) -> bool:
    try:
        memoryview(audio)
    except TypeError:
        return False
    return True


def _samples(samples) -> np.ndarray:
    """[samples] float32"""
    array = np.asarray(samples)
    if array.ndim != 1 or array.dtype.kind != "f":
        raise AudioError(
            f"Samples are a one-dimensional array of floats, 16 kHz mono, from -1 to 1; this one is {array.dtype} of "
            f"shape {list(array.shape)}: average channels, and divide int16 samples by 32768."
        )
    return np.ascontiguousarray(array, np.float32)


# --- the event loop in a thread of its own


@cache
def _turns() -> weakref.WeakKeyDictionary[Model, asyncio.Lock]:
    """Who transcribes with an open model. Used on the event loop alone."""
    return weakref.WeakKeyDictionary()


_starting = threading.Lock()


@cache
def _running_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="voxtab", daemon=True)
    thread.start()

    def stop() -> None:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    # A device that is left open is closed by its finalizer when the interpreter ends, and no transcription may use it
    # then. `atexit` calls what was registered last first, and the first finalizer registers the hook for all of them.
    weakref.finalize(loop, int)
    atexit.register(stop)
    return loop


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Task(Generic[_T]):
    """A coroutine on that event loop. Used from other threads."""

    def __init__(self, coroutine: Coroutine[Any, Any, _T]):
        self.ended: Future[_T] = Future()  # the coroutine has ended, also where it was cancelled
        with _starting:
            self._loop = _running_loop()
        self._loop.call_soon_threadsafe(self._begin, coroutine)

    def cancel(self) -> None:
        if not self.ended.done():
            self._loop.call_soon_threadsafe(lambda: self._task.cancel())

    def _begin(self, coroutine: Coroutine[Any, Any, _T]) -> None:
        self._task = self._loop.create_task(coroutine)
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[_T]) -> None:
        if task.cancelled():
            self.ended.set_exception(asyncio.CancelledError())
        elif error := task.exception():
            self.ended.set_exception(error)
        else:
            self.ended.set_result(task.result())


def _wait(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Its result. Ctrl-C cancels it; then the model is free again."""
    task = _Task(coroutine)
    try:
        return task.ended.result()
    except KeyboardInterrupt:
        task.cancel()
        wait([task.ended])
        raise


async def _await(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Its result, for another event loop. To cancel this cancels it; then the model is free again."""
    task = _Task(coroutine)
    ended = asyncio.wrap_future(task.ended)
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([ended])
        raise
