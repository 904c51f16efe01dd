"""transcribe(), stream() and what goes with them, as a program uses them."""

import asyncio
import doctest
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import threading
from array import array
from pathlib import Path

import numpy as np
import pytest
import soundfile

import voxtab
from voxtab import resources
from voxtab.native import library, models

ORACLE = Path(__file__).parents[1] / "oracle" / "delay480"
CLIPS = resources.embedded_clips()
SPOKEN = "enter sixty two thirty one"  # in the first of them
SAMPLES = soundfile.read(ORACLE / "clip.flac", dtype="float32")[0][:16000]


@pytest.fixture(scope="module")
def model(device):
    """A tiny model that writes nonsense, opened as open_model() opens it, with the kernels of the tests' device."""
    return library._wait(models.read_model(ORACLE / "tiny-q4.gguf").load(device))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.wav"
    soundfile.write(path, SAMPLES, 16000, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def expected(model, run):
    """(text, words) of SAMPLES, by the stream itself."""

    async def go():
        with voxtab.Transcriber(model) as transcriber:
            transcriber.feed(SAMPLES)
            transcriber.finish()
            words = [word async for word in transcriber]
        assert transcriber.closed and model.transcriber is None
        return transcriber.transcript, words

    text, words = run(go())
    assert len(words) > 2
    return text, words


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files that the examples name, with the embedded model as the large one."""
    monkeypatch.chdir(tmp_path)
    (gguf,) = resources.embedded_model().glob("*.gguf")
    shutil.copy(gguf, "voxtral-q4.gguf")
    shutil.copy(resources.embedded_model() / "tekken.json", ".")
    for name, clip in (("talk.mp3", CLIPS[0]), ("a.wav", CLIPS[0]), ("b.flac", CLIPS[1])):
        shutil.copy(clip, name)
    return tmp_path


@pytest.mark.parametrize("name", ["open_model", "transcribe", "transcribe_async", "stream"])
def test_examples(files, shared_device, name):
    """The docstrings' examples."""
    (example,) = doctest.DocTestFinder(recurse=False).find(
        getattr(library, name), name, globs={"voxtab": voxtab, "asyncio": asyncio}
    )
    told = []
    doctest.DocTestRunner().run(example, out=told.append)
    assert example.examples and not told, "".join(told)


@pytest.mark.parametrize(
    "audio",
    [
        str,
        lambda clip: clip,
        voxtab.open_audio,
        lambda clip: SAMPLES,
        lambda clip: SAMPLES.astype(np.float64),
        lambda clip: array("f", SAMPLES),
        lambda clip: memoryview(SAMPLES),
        lambda clip: np.repeat(SAMPLES, 2)[::2],
    ],
    ids=["str", "path", "open_audio", "float32", "float64", "array", "memoryview", "strided"],
)
def test_audio_of_any_kind(model, clip, expected, audio):
    audio = audio(clip)
    result = voxtab.transcribe(audio, model=model)
    assert (str(result), result.words) == (result.text, result.words) == expected
    assert result.audio_seconds == 1 and result.delay_ms == 480
    is_file = isinstance(audio, str | Path | voxtab.AudioFile)
    assert result.audio == (str(clip) if is_file else None)


def test_what_is_wrong_with_the_audio_is_noted(model, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(8000), 16000)
    (note,) = voxtab.transcribe(tmp_path / "silent.wav", model=model).notes
    assert "silent" in note


def test_blocks_that_come_by_themselves(model, expected):
    """Words come while the blocks do; where the loop is left early, the blocks end."""
    closed = threading.Event()

    def microphone():
        try:
            while True:
                yield from np.array_split(SAMPLES, 9)
        finally:
            closed.set()

    for heard, _ in enumerate(voxtab.stream(microphone(), model=model)):
        if heard == 2:
            break
    assert closed.wait(60) and model.transcriber is None
    assert list(voxtab.stream(iter(np.array_split(SAMPLES, 9)), model=model)) == expected[1]


@pytest.mark.parametrize(
    "audio, words",
    [
        (np.zeros(100, np.int16), "divide int16 samples by 32768"),
        (np.zeros((100, 2), np.float32), "average channels"),
        ("/nowhere/talk.mp3", "/nowhere/talk.mp3"),
        ([0.0, 0.1], "one-dimensional"),
        (np.full(1000, np.nan, np.float32), "finite"),
        (np.full(1000, 1e4, np.float32), "divide int16"),
    ],
)
def test_audio_that_is_refused(model, audio, words):
    """The same from every call, and the model is free afterwards."""
    with pytest.raises(voxtab.AudioError, match=words):
        voxtab.transcribe(audio, model=model)
    with pytest.raises(voxtab.AudioError, match=words):
        list(voxtab.stream(audio, model=model))
    with pytest.raises(voxtab.AudioError, match=words):
        asyncio.run(voxtab.transcribe_async(audio, model=model))
    assert model.transcriber is None


def test_what_else_is_refused(model):
    with pytest.raises(voxtab.UserError, match="100 ms"):
        voxtab.transcribe(SAMPLES, model=model, delay_ms=100)
    with pytest.raises(voxtab.ModelError, match="/nowhere"):
        voxtab.transcribe(SAMPLES, model="/nowhere")
    with pytest.raises(voxtab.ModelError, match="/nowhere"):
        voxtab.open_model("/nowhere")
    with pytest.raises(TypeError, match="open_model"):
        voxtab.transcribe(SAMPLES, model=model, tokenizer="tekken.json")


def test_in_a_running_loop(model, expected):
    """As in a notebook: the plain call works, and awaiting does not hold up the loop."""

    async def cell():
        plain = voxtab.transcribe(SAMPLES, model=model).text
        streamed = list(voxtab.stream(SAMPLES, model=model))
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.ensure_future(tick())
        awaited = (await voxtab.transcribe_async(SAMPLES, model=model)).text
        ticking.cancel()
        return plain, awaited, streamed, ticks

    *texts, words, ticks = asyncio.run(cell())
    assert texts == [expected[0]] * 2 and words == expected[1] and ticks > 10


def test_calls_at_once_take_turns(model, expected):
    """From one loop and from several threads."""

    async def several():
        return await asyncio.gather(*(voxtab.transcribe_async(SAMPLES, model=model) for _ in range(2)))

    texts = [result.text for result in asyncio.run(several())]
    threads = [
        threading.Thread(target=lambda: texts.append(voxtab.transcribe(SAMPLES, model=model).text)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == [expected[0]] * 4


def test_a_call_that_is_cancelled_frees_the_model(model, expected):
    async def cancelled():
        call = asyncio.ensure_future(voxtab.transcribe_async(np.resize(SAMPLES, 100 * 16000), model=model))
        while model.transcriber is None:
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert model.transcriber is None

    asyncio.run(cancelled())
    assert voxtab.transcribe(SAMPLES, model=model).text == expected[0]


def program(code):
    """(status, stdout, stderr) of a process of its own."""
    environment = os.environ | {"XDG_RUNTIME_DIR": os.getcwd()}  # without it, a driver says so
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_a_program_of_its_own(files):
    """A model that is given by its path is closed. The process ends without a word, also within a transcription."""
    code = """
import voxtab
from voxtab.native import library
from voxtab.native.gpu import device
from voxtab.native.gpu.device import NativeDevice
closed, close = [], NativeDevice.close
NativeDevice.close = lambda self: (closed.append(self), close(self))
print(voxtab.transcribe("talk.mp3", model="voxtral-q4.gguf").text, len(closed))
try:
    voxtab.transcribe("talk.mp3", model="voxtral-q4.gguf", delay_ms=100)
except voxtab.UserError as error:
    print(error)
finalize = device._close
device._close = lambda *all: (print("transcriptions have ended:", library._running_loop().is_closed()), finalize(*all))
model = voxtab.open_model()
words = voxtab.stream("talk.mp3", model=model)
print(next(words).text)
"""
    status, out, err = program(code)
    assert (status, err) == (0, "")
    text, refusal, word, end = out.splitlines()
    assert text == f"{SPOKEN} 1" and "100 ms" in refusal and word == "enter"
    assert end == "transcriptions have ended: True"


def test_importing_is_cheap_and_lists_all_names():
    code = "import json, sys, voxtab; print(json.dumps([dir(voxtab), [*sys.modules]]))"
    names, modules = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert {*voxtab.__all__, "__version__"} <= {*names}
    assert not {"numpy", "av", "wgpu", "asyncio", "voxtab.model"} & {*modules}
    for name in voxtab.__all__:
        assert getattr(voxtab, name).__module__.startswith("voxtab.")
    with pytest.raises(AttributeError, match="transcrib"):
        voxtab.transcrib  # noqa: B018


def test_the_version_is_said_once():
    assert voxtab.__version__ == importlib.metadata.version("voxtab")


def test_types(tmp_path):
    """What a type checker sees in a program that uses Voxtab."""
    (tmp_path / "use.py").write_text(
        """
import numpy as np
import voxtab

with voxtab.open_model("m.gguf") as model:
    result = voxtab.transcribe("talk.mp3", model=model, delay_ms=480)
    reveal_type(result.text)
    reveal_type([segment.start for segment in result.segments])
    reveal_type([word.text for word in voxtab.stream(np.zeros(1, np.float32), model=model)])
    reveal_type(voxtab.open_audio("talk.mp3").seconds)
    reveal_type(voxtab.__version__)

async def go() -> str:
    with await voxtab.open_model_async() as model:
        return (await voxtab.transcribe_async("talk.mp3", model=model)).text

voxtab.transcribe(3)
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", "--cache-dir", tmp_path]
        + ["use.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    told = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert [line.split('"')[1] for line in told if line.startswith("note: Revealed")] == [
        "str",
        "list[float]",
        "list[str]",
        "float | None",
        "str",
    ]
    (error,) = [line for line in told if line.startswith("error")]
    assert 'Argument 1 to "transcribe"' in error
