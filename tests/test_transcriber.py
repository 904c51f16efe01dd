"""The transcriber's contract: feeding, flushing, delays, left silence, weights of every kind, and ends of streams."""

import array
import asyncio
import json
from pathlib import Path
from struct import pack

import numpy as np
import pytest
import soundfile

from forward import forward, read_weights
from voxtab import local
from voxtab.errors import AudioError, UserError
from voxtab.model import Model
from voxtab.transcriber import ROOM_SECONDS, Transcriber
from voxtab.weights import q4_0
from weights.gguf_bytes import BF16, F16, F32, FLOAT32, Q4_0, STRING, UINT32, header, key, string, tensor, with_data

ORACLE = Path(__file__).parent / "oracle" / "delay480"
SAMPLES = soundfile.read(ORACLE / "clip.flac", dtype="float32")[0]
TOKENS = json.loads((ORACLE / "expected.json").read_text())["tokens_q4_0"]


def load(run, device, path, f16=False):
    found = local.read_model(path, ORACLE / "tekken.json")
    return found, run(Model.load(device, found.directory, found.config, found.source, found.tokenizer, name="test", cache_f16=f16))


@pytest.fixture(scope="module")
def loaded(run, device):
    return load(run, device, ORACLE / "tiny-q4.gguf")


@pytest.fixture
def model(loaded):
    return loaded[1]


def transcribe(run, transcriber, *feeds):
    async def go():
        for feed in feeds:
            transcriber.feed(feed)
        transcriber.finish()
        return [word async for word in transcriber]
    return run(go())


def assert_greedy(found, transcriber, samples):
    """Each generated token is the float64 forward's best, or within rounding of it, given the tokens before."""
    tokens = transcriber.tokens
    schedule = transcriber.schedule
    logits = forward(found.config, read_weights(found), samples, schedule.delay_tokens, tokens, schedule.left_silence_tokens)["logits"]
    prompt = schedule.prompt
    assert tokens[:len(prompt)] == prompt
    assert len(tokens) == schedule.left_silence_tokens + -(-len(samples) // 1280) + schedule.delay_tokens + 11
    short_of_best = logits.max(1)[len(prompt) - 1:-1] - logits[np.arange(len(prompt) - 1, len(tokens) - 1), tokens[len(prompt):]]
    assert short_of_best.max() < 1e-3, short_of_best.argmax()


@pytest.mark.parametrize("delay_ms", [80, 480, 560, 960, 1200, 2400])
@pytest.mark.parametrize("silence", [32, "prompt", 76, 0])
def test_delays_and_left_silence(run, loaded, delay_ms, silence):
    found, model = loaded
    silence = 33 + delay_ms // 80 if silence == "prompt" else silence
    transcriber = Transcriber(model, delay_ms, silence)
    transcribe(run, transcriber, SAMPLES)
    assert_greedy(found, transcriber, SAMPLES)


@pytest.mark.parametrize("options", [{"delay_ms": 40}, {"delay_ms": 1280}, {"left_silence_tokens": -1}, {"left_silence_tokens": 5000}])
def test_impossible_schedules(model, options):
    with pytest.raises(UserError):
        Transcriber(model, **options)


def gguf(tensors: dict, metadata: dict, version=3) -> bytes:
    """{name: (type, shape, bytes)} with nothing behind the last tensor's own bytes."""
    keys = [key(name, *((STRING, string(value)) if isinstance(value, str) else (UINT32, pack("<I", value)) if isinstance(value, int)
                        else (FLOAT32, pack("<f", value)))) for name, value in metadata.items()]
    entries, data = [], b""
    for name, (type, shape, values) in tensors.items():
        data += bytes(-len(data) % 32)
        entries.append(tensor(name, shape, {"F32": F32, "F16": F16, "BF16": BF16, "Q4_0": Q4_0}[type], len(data)))
        data += values
    return with_data(header(keys, entries, version=version), data)


@pytest.mark.parametrize("type,version", [("F16", 3), ("BF16", 3), ("F32", 2), ("Q4_0", 2)])
def test_gguf_of_every_type_and_version(run, device, tmp_path, type, version):
    """The tiny model in one type, gains, biases and convolutions too where it is no Q4_0; no padding at the end."""
    found, tensors = local.read_model(ORACLE / "tiny-q4.gguf"), {}
    for name, values in sorted(read_weights(found).items(), reverse=True):      # another order than the file we know
        values = values.astype(np.float32)
        if type == "F16":
            tensors[name] = ("F16", values.shape, values.astype(np.float16).tobytes())
        elif type == "BF16":
            tensors[name] = ("BF16", values.shape, (values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
        elif type == "Q4_0" and values.ndim == 2:
            tensors[name] = ("Q4_0", values.shape, q4_0.quantise(values).tobytes())
        else:
            tensors[name] = ("F32", values.shape, values.tobytes())
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(tensors, found.directory.metadata, version))
    again, model = load(run, device, path)
    assert again.directory.version == version
    transcriber = Transcriber(model)
    transcribe(run, transcriber, SAMPLES)
    assert_greedy(again, transcriber, SAMPLES)
    if type in ("F32", "Q4_0"):         # the dequantised weights are the Q4_0 model, and quantise to it again
        assert transcriber.tokens == TOKENS


def test_large_tensors_are_split_to_the_binding_limit(run, device, monkeypatch):
    monkeypatch.setitem(device.limits, "maxStorageBufferBindingSize", 32768)
    found, model = load(run, device, ORACLE / "tiny-q4.gguf")
    weights = model.decoder.weights
    assert len(weights.embedding.parts) == 4 and len(weights.decoder[0].w13.parts) == 2 and len(weights.decoder[0].wqkv.parts) == 1
    transcriber = Transcriber(model)
    transcribe(run, transcriber, SAMPLES)
    assert transcriber.tokens == TOKENS


def test_any_float32_buffer(run, model):
    for samples in (SAMPLES, array.array("f", SAMPLES), memoryview(SAMPLES)):
        transcriber = Transcriber(model)
        transcribe(run, transcriber, samples)
        assert transcriber.tokens == TOKENS


@pytest.mark.parametrize("samples", [np.zeros(100), np.zeros((10, 2), np.float32), np.zeros(100, np.float32)[::2], b"1234",
                                     np.array([0, np.nan], np.float32), np.array([np.inf, -np.inf], np.float32)])
def test_wrong_samples(model, samples):
    with pytest.raises(AudioError):
        Transcriber(model).feed(samples)


def test_nothing_fed(run, model):
    transcriber = Transcriber(model)
    transcribe(run, transcriber)
    assert transcriber.audio_seconds == 0 and len(transcriber.tokens) == 32 + 6 + 11


def test_text_comes_as_early_as_the_schedule_allows(run, model):
    """The first prediction needs 9000 live samples, each further one 1280 more (spec 8.2)."""
    async def go():
        transcriber, counts = Transcriber(model), []
        reader = asyncio.ensure_future(_drain(transcriber))
        for end in (8999, 9000, 10279, 10280, 11560):
            transcriber.feed(SAMPLES[transcriber._live_samples:end])
            while transcriber._complete_tokens() or len(transcriber._tokens) <= transcriber._position >= 39:
                await asyncio.sleep(0.01)
            counts.append(len(transcriber._tokens) - 39)
        transcriber.close()
        await reader
        return counts
    assert run(go()) == [0, 1, 1, 2, 3]


async def _drain(transcriber):
    return [text async for text in transcriber.text()]


def test_a_flush_brings_the_last_words_and_the_stream_goes_on(run, model):
    async def go():
        transcriber, seen = Transcriber(model), []

        async def read():
            async for text in transcriber.text():
                seen.append(text)
        reader = asyncio.ensure_future(read())
        transcriber.feed(SAMPLES)
        transcriber.flush()
        while len(transcriber.tokens) < len(TOKENS):
            await asyncio.sleep(0.01)
        flushed = transcriber.tokens[:len(TOKENS)]
        words = len(transcriber.words)
        transcriber.feed(SAMPLES)
        transcriber.finish()
        await reader
        return transcriber, flushed, words, "".join(seen)
    transcriber, flushed, words, text = run(go())
    assert flushed == TOKENS, "a flush is what the end of a file is"
    assert text == transcriber.transcript
    assert transcriber.audio_seconds == 2 * len(SAMPLES) / 16000
    assert all(word.end <= len(SAMPLES) / 16000 for word in transcriber.words[:words])
    assert all(word.end <= transcriber.audio_seconds for word in transcriber.words)
    assert "".join(word.text for word in transcriber.words) == "".join(text.split())


def test_ends(run, model):
    transcriber = Transcriber(model)
    transcriber.finish()
    with pytest.raises(RuntimeError, match="finished"):
        transcriber.feed(SAMPLES)
    other = Transcriber(model)
    with pytest.raises(RuntimeError, match="another"):
        run(_drain(transcriber))
    other.close()
    assert run(_drain(other)) == []
    with pytest.raises(RuntimeError, match="closed"):
        other.feed(SAMPLES)


def test_closing_wakes_who_waits(run, model):
    async def go():
        transcriber = Transcriber(model)
        reader = asyncio.ensure_future(_drain(transcriber))
        await asyncio.sleep(0.05)
        transcriber.close()
        return await asyncio.wait_for(reader, 5)
    assert run(go()) == []


def test_memory_is_bounded_for_a_fed_file(run, model):
    """`room` holds back who feeds, so that little more than ROOM_SECONDS of audio ever wait."""
    async def go():
        transcriber, most = Transcriber(model), 0
        reader = asyncio.ensure_future(_drain(transcriber))
        for _ in range(12):
            transcriber.feed(SAMPLES)
            most = max(most, len(transcriber._samples))
            await transcriber.room()
        transcriber.finish()
        await reader
        return most
    assert run(go()) < 4 * 16000 * (ROOM_SECONDS + 2 * len(SAMPLES) / 16000)


def test_end_of_sequence_prints_nothing_and_ends_nothing(run, model):
    """The model predicts </s> (2): it is fed back like any token."""
    from voxtab.config import EOS
    transcriber = Transcriber(model)
    assert transcriber._push(1000 + ord("a")) == "a" and transcriber._push(EOS) == "" and transcriber._push(1000 + ord("b")) == "b"
    transcriber.close()
