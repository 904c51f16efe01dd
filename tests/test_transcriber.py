"""The transcriber's contract: feeding, flushing, delays, left silence, weights of every kind, and ends of streams."""

import array
import asyncio
import ctypes
import json
from pathlib import Path
from struct import pack
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from gguf import GGMLQuantizationType, quants

import synthetic
from forward import forward, read_weights
from voxtab import transcriber as transcriber_module
from voxtab.config import EOS
from voxtab.errors import AudioError, ModelError, UserError
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.variants import Variants
from voxtab.native import models
from voxtab.tokenizer import TextDecoder
from voxtab.transcriber import ROOM_SECONDS, Transcriber
from voxtab.weights import checkpoint
from voxtab.weights.checkpoint import EMBEDDING
from voxtab.words import Word
from weights.gguf_bytes import BF16, F16, F32, FLOAT32, Q4_0, STRING, UINT32, header, key, string, tensor, with_data

ORACLE = Path(__file__).parent / "oracle" / "delay480"
SAMPLES = soundfile.read(ORACLE / "clip.flac", dtype="float32")[0]
TOKENS = json.loads((ORACLE / "expected.json").read_text())["tokens_q4_0"]


def load(run, device, path, f16=False):
    found = models.read_model(path, ORACLE / "tekken.json")
    return found, run(found.load(device, cache_f16=f16))


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
    logits = forward(
        found.config, read_weights(found), samples, schedule.delay_tokens, tokens, schedule.left_silence_tokens
    )["logits"]
    prompt = schedule.prompt
    assert tokens[: len(prompt)] == prompt
    assert len(tokens) == schedule.left_silence_tokens + -(-len(samples) // 1280) + schedule.delay_tokens + 11
    short_of_best = (
        logits.max(1)[len(prompt) - 1 : -1] - logits[np.arange(len(prompt) - 1, len(tokens) - 1), tokens[len(prompt) :]]
    )
    assert short_of_best.max() < 1e-3, short_of_best.argmax()


@pytest.mark.parametrize("delay_ms", [80, 480, 560, 960, 1200, 2400])
@pytest.mark.parametrize("silence", [32, "prompt", 76])
def test_delays_and_left_silence(run, loaded, delay_ms, silence):
    found, model = loaded
    silence = 33 + delay_ms // 80 if silence == "prompt" else silence
    transcriber = Transcriber(model, delay_ms, silence)
    transcribe(run, transcriber, SAMPLES)
    assert_greedy(found, transcriber, SAMPLES)


def test_the_silence_in_front_is_decoded_once(run, model, monkeypatch):
    """It is computed again if the schedule differs from the last stream's."""
    begin, positions = model.begin_encoding, []
    monkeypatch.setattr(model, "begin_encoding", lambda first, *more: positions.append(first) or begin(first, *more))
    for delay_ms in (960, 480, 480, 480):
        transcriber = Transcriber(model, delay_ms)
        transcribe(run, transcriber, SAMPLES)
        assert (transcriber.tokens == TOKENS) == (delay_ms == 480)
    assert positions.count(0) == 2 and positions.count(transcriber.schedule.silent_positions) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"delay_ms": 40},
        {"delay_ms": 1280},
        {"delay_ms": 480.0},
        {"left_silence_tokens": 31},
        {"left_silence_tokens": 5000},
        {"left_silence_tokens": 32.0},
    ],
)
def test_impossible_schedules(run, model, options):
    running = Transcriber(model)
    with pytest.raises(UserError):
        Transcriber(model, **options)
    transcribe(run, running, SAMPLES)  # the running transcriber is not disturbed
    assert running.tokens == TOKENS


def gguf(tensors: dict, metadata: dict, version=3) -> bytes:
    """{name: (type, shape, bytes)} with nothing after the last tensor's own bytes."""
    keys = [
        key(
            name,
            *(
                (STRING, string(value))
                if isinstance(value, str)
                else (UINT32, pack("<I", value))
                if isinstance(value, int)
                else (FLOAT32, pack("<f", value))
            ),
        )
        for name, value in metadata.items()
    ]
    entries, data = [], b""
    for name, (type, shape, values) in tensors.items():
        data += bytes(-len(data) % 32)
        entries.append(tensor(name, shape, {"F32": F32, "F16": F16, "BF16": BF16, "Q4_0": Q4_0}[type], len(data)))
        data += values
    return with_data(header(keys, entries, version=version), data)


@pytest.mark.parametrize("type,version", [("F16", 3), ("BF16", 3), ("F32", 2), ("Q4_0", 2)])
def test_gguf_of_every_type_and_version(run, device, tmp_path, type, version):
    """The tiny model in one type, with gains, biases and convolutions too unless it is Q4_0; no padding at the end."""
    found, tensors = models.read_model(ORACLE / "tiny-q4.gguf"), {}
    for name, values in sorted(read_weights(found).items(), reverse=True):  # in another order than in the usual file
        values = values.astype(np.float32)
        if type == "F16":
            tensors[name] = ("F16", values.shape, values.astype(np.float16).tobytes())
        elif type == "BF16":
            tensors[name] = ("BF16", values.shape, (values.view(np.uint32) >> 16).astype(np.uint16).tobytes())
        elif type == "Q4_0" and values.ndim == 2:
            blocks = quants.quantize(values, GGMLQuantizationType.Q4_0)
            tensors[name] = ("Q4_0", values.shape, blocks.tobytes())
        else:
            tensors[name] = ("F32", values.shape, values.tobytes())
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(tensors, found.directory.metadata, version))
    again, model = load(run, device, path)
    assert again.directory.version == version
    transcriber = Transcriber(model)
    transcribe(run, transcriber, SAMPLES)
    assert_greedy(again, transcriber, SAMPLES)
    if type in ("F32", "Q4_0"):  # the dequantised weights are the Q4_0 model, and quantise to it again
        assert transcriber.tokens == TOKENS


def test_large_tensors_are_split_to_the_binding_limit(run, device, monkeypatch):
    monkeypatch.setitem(device.limits, "maxStorageBufferBindingSize", 32768)
    found, model = load(run, device, ORACLE / "tiny-q4.gguf")
    weights = model.decoder.weights
    assert (
        len(weights.embedding.parts) == 4
        and len(weights.decoder[0].w13.parts) == 2
        and len(weights.decoder[0].wqkv.parts) == 1
    )
    transcriber = Transcriber(model)
    transcribe(run, transcriber, SAMPLES)
    assert transcriber.tokens == TOKENS


def test_any_float32_buffer(run, model):
    for samples in (SAMPLES, array.array("f", SAMPLES), memoryview(SAMPLES), (ctypes.c_float * len(SAMPLES))(*SAMPLES)):
        transcriber = Transcriber(model)
        transcribe(run, transcriber, samples)
        assert transcriber.tokens == TOKENS


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(100),
        np.zeros((10, 2), np.float32),
        np.zeros(100, np.float32)[::2],
        b"1234",
        np.array([0, np.nan], np.float32),
        np.array([np.inf, -np.inf], np.float32),
        [0.0],
        None,
    ],
)
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
            transcriber.feed(SAMPLES[transcriber._live_samples : end])
            while transcriber.blocks.next_tokens() or len(transcriber._tokens) <= transcriber.blocks.position >= 39:
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
        flushed = transcriber.tokens[: len(TOKENS)]
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


def test_silence_of_a_flush_adds_no_text(run, model):
    async def go():
        transcriber = Transcriber(model)
        pieces = transcriber.text()
        covered = []
        for _ in range(3):
            transcriber.feed(SAMPLES[:8000])
            transcriber.flush()
            while transcriber.waiting_seconds > 0.2:
                await anext(pieces)
        transcriber.feed(SAMPLES[:16000])
        while transcriber.waiting_seconds > 0.2:
            await anext(pieces)
            covered.append(transcriber.done_seconds)
        transcriber.close()
        return transcriber, covered

    transcriber, covered = run(go())
    assert covered == sorted(covered)
    heard = transcriber.audio_seconds - transcriber.schedule.delay_ms / 1000
    assert heard - 0.4 <= covered[-1] <= heard, "all but the delay, and what tokens wait for"


def test_a_model_that_computes_nan(run, device):
    found = models.read_model(ORACLE / "tiny-q4.gguf")
    damaged = run(found.load(device))
    for part in damaged.decoder.weights.decoder[0].w2.parts:
        device.write(part.scales, 0, bytes([0, 0x7E] * part.rows))  # NaN in f16
    transcriber = Transcriber(damaged)
    transcriber.feed(SAMPLES)
    transcriber.finish()

    async def read():
        return [word async for word in transcriber]

    with pytest.raises(ModelError, match="damaged"):
        run(read())


def test_samples_of_int16s_scale_are_refused(model):
    transcriber = Transcriber(model)
    with pytest.raises(AudioError, match="divide int16 samples by 32768"):
        transcriber.feed(np.float32(32767) * SAMPLES)
    with pytest.raises(AudioError, match="divide int16 samples by 32768"):
        transcriber.feed(np.full(17, -128, np.float32))
    late = np.zeros(5 * 65536 + 7, np.float32)  # over several parts of the check
    for value in (np.nan, -np.nan, np.inf, -np.inf):
        late[-1] = value
        with pytest.raises(AudioError, match="not finite"):
            transcriber.feed(late)
    transcriber.feed(np.float32(1.5 / SAMPLES.max()) * SAMPLES)  # a little too loud, but not another scale
    assert transcriber.audio_seconds == len(SAMPLES) / 16000
    transcriber.close()


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


def test_finish_after_a_flush_ends_waiting_readers(run, model):
    """Nothing was fed since the flush, so that `finish` adds nothing to the stream."""

    async def go():
        transcriber = Transcriber(model)
        transcriber.feed(SAMPLES)
        transcriber.flush()
        reader = asyncio.ensure_future(_drain(transcriber))
        while transcriber.tokens != TOKENS:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # the reader waits for more audio now
        transcriber.finish()
        await asyncio.wait_for(reader, 60)
        return transcriber

    assert run(go()).tokens == TOKENS


def test_closing_wakes_waiting_readers(run, model):
    async def go():
        transcriber = Transcriber(model)
        reader = asyncio.ensure_future(_drain(transcriber))
        await asyncio.sleep(0.05)
        transcriber.close()
        return await asyncio.wait_for(reader, 60)

    assert not any(run(go())), "silence has no text"


def test_memory_is_bounded_for_a_fed_file(run, model):
    """`room` holds back the feeder, so that never much more than ROOM_SECONDS of audio wait."""

    async def go():
        transcriber, most = Transcriber(model), 0
        reader = asyncio.ensure_future(_drain(transcriber))
        for _ in range(12):
            transcriber.feed(SAMPLES)
            most = max(most, len(transcriber.blocks._samples))
            await transcriber.room()
        transcriber.finish()
        await reader
        return most

    assert run(go()) < 4 * 16000 * (ROOM_SECONDS + 2 * len(SAMPLES) / 16000)


def test_end_of_sequence_prints_nothing_and_ends_nothing(run, device, tmp_path):
    """A model that predicts </s> (2) in the middle of its text: it is fed back like any other token.

    Row 2 of the embedding becomes a copy of the row of a token that the model often predicts. The logits are then
    equal, and the lowest id wins. Fed back, it is the same vector, so the stream is the same except for that id.
    """
    often = max(set(TOKENS[39:]), key=TOKENS.count)
    data = bytearray((ORACLE / "tiny-q4.gguf").read_bytes())
    embedding = models.read_model(ORACLE / "tiny-q4.gguf").directory.tensors[EMBEDDING]
    row = embedding.nbytes // embedding.shape[0]
    data[embedding.offset + EOS * row : embedding.offset + (EOS + 1) * row] = data[embedding.offset + often * row :][
        :row
    ]
    (tmp_path / "model.gguf").write_bytes(data)
    _, model = load(run, device, tmp_path / "model.gguf")
    transcriber = Transcriber(model)
    transcribe(run, transcriber, SAMPLES)
    assert transcriber.tokens == [EOS if token == often else token for token in TOKENS] and TOKENS.count(often) > 3
    decoder = TextDecoder(model.tokenizer)
    assert transcriber.transcript == "".join(decoder.push(token) for token in transcriber.tokens) + decoder.flush()


def test_the_layout_of_real_gpus(run, device):
    """On a GPU's layout, lanes share a row."""
    found = models.read_model(ORACLE / "tiny-q4.gguf")
    variants = Variants.of(GpuAdapter())
    assert variants != Variants.of(GpuAdapter(is_software=True))
    model = run(
        found.load(
            device,
            cache_f16=False,
            variants=variants,
        )
    )
    transcriber = Transcriber(model)
    transcribe(run, transcriber, SAMPLES)
    assert transcriber.tokens == TOKENS


def test_the_published_model_needs_no_metadata():
    """The 4B file has none: shapes and the 4B's own numbers make its configuration."""
    assert checkpoint.read_config(synthetic.directory(synthetic.VOXTRAL_4B)) == synthetic.VOXTRAL_4B


def test_an_iterator_left_and_taken_up_again(run, model):
    async def go():
        transcriber, words = Transcriber(model), []
        transcriber.feed(SAMPLES)
        transcriber.finish()
        async for word in transcriber:
            words.append(word)
            break
        for _ in range(3):  # cancelled during the wait, as wait_for does
            waiting = asyncio.ensure_future(anext(aiter(transcriber)))
            await asyncio.sleep(0)
            waiting.cancel()
            (got,) = await asyncio.gather(waiting, return_exceptions=True)
            assert isinstance(got, asyncio.CancelledError | Word | StopAsyncIteration)  # a fast GPU may be done
            words += [got] if isinstance(got, Word) else []
        words += [word async for word in transcriber]
        return transcriber, words

    transcriber, words = run(go())
    assert transcriber.tokens == TOKENS and words == transcriber.words


def test_words_of_text_that_was_read_already(run, model):
    async def go():
        transcriber = Transcriber(model)
        transcriber.feed(SAMPLES)
        transcriber.finish()
        async for _ in transcriber.text():
            pass
        first = await anext(aiter(transcriber))
        return [first, *[word async for word in transcriber]], transcriber.words

    got, words = run(go())
    assert len(words) > 1 and got == words


def test_two_iterators_at_once_are_refused(run, model):
    async def go():
        transcriber = Transcriber(model)
        reader = asyncio.ensure_future(_drain(transcriber))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already"):
            await _drain(transcriber)
        transcriber.close()
        await reader

    run(go())


def test_superseded_transcriber_raises(run, model):
    async def go():
        transcriber = Transcriber(model)
        reader, feeder = asyncio.ensure_future(_drain(transcriber)), None
        await asyncio.sleep(0)
        Transcriber(model).close()
        with pytest.raises(RuntimeError, match="another"):
            await asyncio.wait_for(reader, 60)
        waiting = Transcriber(model)
        waiting.feed(np.zeros(16000 * 2 * ROOM_SECONDS, np.float32))
        feeder = asyncio.ensure_future(waiting.room())
        await asyncio.sleep(0)
        Transcriber(model).close()
        with pytest.raises(RuntimeError, match="another"):
            await asyncio.wait_for(feeder, 60)

    run(go())


@pytest.mark.parametrize("through", [False, True])
def test_finishing_after_a_flush_adds_nothing(run, model, through):
    async def go():
        transcriber = Transcriber(model)
        transcriber.feed(SAMPLES)
        transcriber.flush()
        if through:
            async for _ in transcriber.text():
                if transcriber.tokens[: len(TOKENS)] == TOKENS:
                    break
        transcriber.flush()
        transcriber.finish()
        await _drain(transcriber)
        return transcriber.tokens

    assert run(go()) == TOKENS


def test_the_consumers_time_is_not_the_models(run, model, monkeypatch):
    """By a clock that goes on only while the consumer has a text."""
    now = 0
    monkeypatch.setattr(transcriber_module, "time", SimpleNamespace(perf_counter=lambda: now))

    async def go():
        nonlocal now
        transcriber = Transcriber(model)
        transcriber.feed(np.resize(SAMPLES, 5 * 16000))
        transcriber.finish()
        async for _ in transcriber.text():
            now += 1
            await asyncio.sleep(0)
        return transcriber.step_seconds

    assert not any(run(go())) and now > 3
