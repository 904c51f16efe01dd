"""Drafts change how many passes the decoder takes. The tokens are the same, up to rounding.

These tests use a software GPU's layout. There a row's sum does not depend on the other rows of its pass, so the tokens
are exactly those of the plain loop.
"""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxtab import decoder, resources
from voxtab.config import DELAYS_MS, MAX_POSITIONS, PAD, Schedule
from voxtab.drafting import ROWS
from voxtab.errors import DeviceError
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.variants import Variants
from voxtab.model import PROMPT_ROWS, Model
from voxtab.native import models
from voxtab.transcriber import Transcriber

ORACLE = Path(__file__).parent / "oracle"
CLIPS = resources.embedded_clips()
EXPECTED = {name: json.loads((ORACLE / name / "expected.json").read_text()) for name in ("delay480", "delay160")}
SAMPLES = {name: soundfile.read(ORACLE / name / "clip.flac", dtype="float32")[0] for name in EXPECTED}
NAMES = pytest.mark.parametrize("name", EXPECTED)
DRAFTS = pytest.mark.parametrize("drafts", [1, 2, 3, PROMPT_ROWS - 1])


def generated(name: str) -> list[int]:
    return EXPECTED[name]["tokens_q4_0"][33 + EXPECTED[name]["delay_ms"] // 80 :]


def often(name: str) -> int:
    """The token that an oracle writes most often: its tokens are random, pads are rare."""
    tokens = generated(name)
    return max(sorted(set(tokens)), key=tokens.count)


@pytest.fixture(scope="module")
def load(run, device):
    """An oracle or the embedded model, with `drafts` drafts of the token `draft`; each is loaded once."""
    loaded = {}

    def get(name: str | None, drafts: int | None, draft: int = PAD, **options) -> Model:
        key = (name, drafts, draft, *options.items())
        if key not in loaded:
            found = models.read_model(ORACLE / name / "tiny-q4.gguf" if name else None)
            variants = replace(Variants.of(GpuAdapter(is_software=True)), drafts=drafts, **options)
            loaded[key] = run(found.load(device, cache_f16=name is None, variants=variants))
            loaded[key].decoder.draft = draft  # plans with drafts are recorded when they are needed first
        return loaded[key]

    return get


def transcribe(run, model, *feeds, flushes=False, **options) -> Transcriber:
    """Each feed with a flush after it, or all as one."""

    async def go():
        transcriber = Transcriber(model, **options)
        for feed in feeds:
            transcriber.feed(feed)
            if flushes:
                transcriber.flush()
        transcriber.finish()
        async for _ in transcriber.text():
            pass
        return transcriber

    return run(go())


@NAMES
@DRAFTS
def test_right_drafts_save_passes(run, load, name, drafts):
    options = {"delay_ms": EXPECTED[name]["delay_ms"]}
    drafted = transcribe(run, load(name, drafts, often(name)), SAMPLES[name], **options)
    assert drafted.tokens == EXPECTED[name]["tokens_q4_0"]
    plain = transcribe(run, load(name, 0), SAMPLES[name], **options)
    assert plain.passes == len(generated(name)) + 1 and drafted.passes < plain.passes
    assert (drafted.transcript, drafted.words, len(drafted.step_seconds)) == (
        plain.transcript,
        plain.words,
        len(plain.step_seconds),
    )


@NAMES
@DRAFTS
def test_wrong_drafts_leave_no_trace(run, load, name, drafts):
    """What they wrote into the rings, which wrap around, is never read."""
    never = next(token for token in range(1000) if token not in generated(name))
    transcriber = transcribe(run, load(name, drafts, never), SAMPLES[name], delay_ms=EXPECTED[name]["delay_ms"])
    assert transcriber.tokens == EXPECTED[name]["tokens_q4_0"] and transcriber.passes == len(generated(name)) + 1
    assert load(name, drafts, never).decoder.cache.capacity < len(transcriber.tokens)


@pytest.mark.parametrize("delay_ms", DELAYS_MS)
def test_every_delay_and_odd_lengths(run, load, delay_ms):
    """Half of the delays have the longer silence with the odd length, the others with the whole clip."""
    plain, drafted = load("delay480", 0), load("delay480", 3, often("delay480"))
    tokens, clip = delay_ms // 80, SAMPLES["delay480"]
    for samples, silence in zip((clip[: 17_000 + 1283 * tokens], clip), (32, 45) if tokens % 2 else (45, 32)):
        options = {"delay_ms": delay_ms, "left_silence_tokens": silence}
        assert transcribe(run, drafted, samples, **options).tokens == transcribe(run, plain, samples, **options).tokens


@pytest.mark.parametrize("flushes", [False, True])
def test_rows_that_change_from_block_to_block(run, load, flushes):
    """What the stream's own tokens choose, of all that a GPU may have measured."""
    clips = [soundfile.read(clip, dtype="float32")[0] for clip in CLIPS]
    plain = transcribe(run, load(None, 0), *clips, flushes=flushes)
    costs = {f"pass_{rows}": 100 + 20 * rows for rows in ROWS[1:]}
    model, taken = load(None, None, block_tokens=24, **costs), []
    predict = model.predict
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "predict", lambda *at, **how: taken.append(how["rows"]) or predict(*at, **how))
        drafted = transcribe(run, model, *clips, flushes=flushes)
    assert (drafted.tokens, drafted.words) == (plain.tokens, plain.words)
    assert drafted.passes < 0.75 * plain.passes and len({*taken}) > 2


def test_what_only_some_streams_need_is_compiled_when_one_needs_it(run, device, monkeypatch):
    """Not when the model opens. A stream that fails or is given up meanwhile leaves it to the next one."""
    compiled, pipeline, samples, full = [], device.pipeline, SAMPLES["delay480"], ["next_token"]

    async def noted(name, constants):
        if name in full and constants["ROWS"] == 4:
            full.remove(name)
            raise DeviceError("The GPU has no room.")
        compiled.append((name, constants.get("ROWS")))
        await asyncio.sleep(0)
        return await pipeline(name, constants)

    async def given_up(model):
        for _ in range(2):
            transcriber = Transcriber(model, alternatives=2)
            transcriber.feed(samples)
            waiting = asyncio.ensure_future(anext(transcriber.text()))
            while seldom.isdisjoint(compiled):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    monkeypatch.setattr(device, "pipeline", noted)
    variants = replace(Variants.of(GpuAdapter(is_software=True)), drafts=3)
    model = run(models.read_model(ORACLE / "delay480/tiny-q4.gguf").load(device, cache_f16=False, variants=variants))
    seldom = {("top_logits", None), ("next_token", 4.0)}
    assert compiled and seldom.isdisjoint(compiled)
    with pytest.raises(DeviceError, match="no room"):
        transcribe(run, model, samples)
    assert seldom.isdisjoint(compiled)
    run(given_up(model))
    drafted = transcribe(run, model, samples, alternatives=2)
    assert drafted.tokens == EXPECTED["delay480"]["tokens_q4_0"]
    assert [compiled.count(kernel) for kernel in sorted(seldom, key=str)] == [1, 1]


@pytest.mark.parametrize("flushes", [False, True])
def test_flushes_and_speech(run, load, flushes):
    """The embedded model on recordings of people, one after another in a stream, with pads as drafts, like users'."""
    clips = [soundfile.read(clip, dtype="float32")[0] for clip in CLIPS]
    plain = transcribe(run, load(None, 0), *clips, flushes=flushes)
    for drafts, block_tokens in ((3, 5),) if flushes else ((1, 16), (PROMPT_ROWS - 1, 64)):
        drafted = transcribe(run, load(None, drafts, block_tokens=block_tokens), *clips, flushes=flushes)
        assert (drafted.tokens, drafted.words) == (plain.tokens, plain.words)
        assert drafted.passes < 0.75 * plain.passes, "most tokens of speech are pads"


@NAMES
@pytest.mark.parametrize("seed", range(3))
def test_a_live_stream_that_falls_behind_and_catches_up(run, load, name, seed, monkeypatch):
    """Feeds of all sizes while text is awaited: blocks with drafts, single steps, and abandoned waits."""
    random, samples, model, rows = np.random.default_rng(seed), SAMPLES[name], load(name, 3, often(name)), []
    predict = model.predict
    monkeypatch.setattr(model, "predict", lambda *at, **how: rows.append(how["rows"]) or predict(*at, **how))

    async def stream():
        transcriber = Transcriber(model, EXPECTED[name]["delay_ms"])

        async def feed():
            at, size = 0, 30_000
            while at < len(samples):
                transcriber.feed(samples[at : at + size])
                at, size = at + size, int(random.choice([300, 1280, 30_000]))
                await asyncio.sleep(float(random.choice([0, 0.05])))
            transcriber.finish()

        feeding, ended = asyncio.ensure_future(feed()), False
        while not ended:
            waiting = asyncio.ensure_future(anext(transcriber.text(), None))
            await asyncio.wait([waiting], timeout=float(random.choice([0, 0.02, 1])))
            waiting.cancel()
            (text,) = await asyncio.gather(waiting, return_exceptions=True)
            ended = text is None
        await feeding
        return transcriber

    transcriber = run(stream())
    assert transcriber.tokens == EXPECTED[name]["tokens_q4_0"] and {1, 4} <= {*rows}


@pytest.mark.parametrize(
    ("block_tokens", "left", "end"),
    [
        (5, 4, [1] * 4),
        (8, 5, [2, 1, 1, 1]),
        (16, 7, [4, 1, 1, 1]),
        (16, 12, [4] * 3),
        (16, 15, [4, 4, 4, 1, 1, 1]),
        (64, 19, [16, 1, 1, 1]),
        (64, 39, [16] * 3),
        (64, 52, [64]),
    ],
)
def test_what_is_left_at_a_streams_end(run, load, block_tokens, left, end):
    """After whole blocks, positions in short blocks, filled up or not, and one by one."""
    schedule = Schedule()
    silence = schedule.left_silence_tokens - schedule.silent_positions + schedule.right_silence_tokens
    tokens = (left - silence) % block_tokens or block_tokens
    samples, encoded = SAMPLES["delay480"][: 1280 * tokens - 5], []
    model = load("delay480", 3, often("delay480"), block_tokens=block_tokens)
    begin = model.begin_encoding
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "begin_encoding", lambda *at: encoded.append(at[2]) or begin(*at))
        drafted = transcribe(run, model, samples)
    assert encoded[-len(end) :] == end
    assert drafted.tokens == transcribe(run, load("delay480", 0, block_tokens=1), samples).tokens


def test_nothing_is_compiled_where_a_recording_stops(run, device, monkeypatch):
    """What is spoken goes position by position. The end goes in short blocks, and takes drafts if they are there."""
    compiled, pipeline, samples, taken = [], device.pipeline, SAMPLES["delay480"], []
    variants = replace(Variants.of(GpuAdapter(is_software=True)), block_tokens=128, drafts=3)
    model = run(models.read_model(ORACLE / "delay480/tiny-q4.gguf").load(device, cache_f16=False, variants=variants))
    model.decoder.draft = often("delay480")
    monkeypatch.setattr(device, "pipeline", lambda name, constants: compiled.append(name) or pipeline(name, constants))
    begin, predict = model.begin_encoding, model.predict
    monkeypatch.setattr(model, "begin_encoding", lambda *at: taken.append(("block", at[2])) or begin(*at))
    monkeypatch.setattr(model, "predict", lambda *at, **how: taken.append(("rows", how["rows"])) or predict(*at, **how))

    async def live():
        transcriber = Transcriber(model)
        reading = asyncio.ensure_future(_drain(transcriber))
        for at in range(0, len(samples), 1280):
            transcriber.feed(samples[at : at + 1280])
            while transcriber.blocks.next_tokens():
                await asyncio.sleep(0.001)
        assert {*taken} == {("block", 1), ("rows", 1)}
        transcriber.finish()
        await reading
        return transcriber.tokens

    expected = EXPECTED["delay480"]["tokens_q4_0"]
    assert run(live()) == expected
    assert {*taken} == {("block", 1), ("block", 32), ("rows", 1)} and not compiled
    assert transcribe(run, model, samples).tokens == expected and compiled, "a file has many positions, and drafts"
    taken.clear()
    assert run(live()) == expected
    assert {*taken} == {("block", 1), ("block", 32), ("rows", 1), ("rows", 4)}


def test_superseded_transcriber_submits_no_more(run, load):
    """A pass of the former stream must not touch the new one's rings."""
    model = load("delay480", 3)

    async def go():
        former = Transcriber(model)
        former.feed(SAMPLES["delay160"])
        waiting = asyncio.ensure_future(anext(former.text()))
        await asyncio.sleep(0)
        transcriber = Transcriber(model)
        with pytest.raises(RuntimeError, match="another"):
            for _ in range(9):
                await waiting
                waiting = asyncio.ensure_future(anext(former.text()))
        return transcriber

    transcriber = run(go())
    transcriber.feed(SAMPLES["delay480"])
    transcriber.finish()
    run(_drain(transcriber))
    assert transcriber.tokens == EXPECTED["delay480"]["tokens_q4_0"]


async def _drain(transcriber):
    async for _ in transcriber.text():
        pass


@NAMES
def test_reanchoring(run, load, name):
    """RoPE positions reach their end, with drafts past it, and begin again."""
    for first in range(MAX_POSITIONS - 66, MAX_POSITIONS - 58):
        transcriber = transcribe(
            run, load(name, 3, often(name)), SAMPLES[name], delay_ms=EXPECTED[name]["delay_ms"], first_rotation=first
        )
        assert transcriber.tokens == EXPECTED[name]["tokens_q4_0"]


@NAMES
def test_rings_that_grow(run, device, monkeypatch, name):
    """A ring that is smaller than its window has room for the drafts past a block's end, too."""
    monkeypatch.setattr(decoder, "FIRST_POSITIONS", 40)
    found = models.read_model(ORACLE / name / "tiny-q4.gguf")
    model = run(
        found.load(
            device,
            cache_f16=False,
            variants=replace(Variants.of(GpuAdapter(is_software=True)), block_tokens=8, drafts=PROMPT_ROWS - 1),
        )
    )
    transcriber = transcribe(run, model, SAMPLES[name], delay_ms=EXPECTED[name]["delay_ms"])
    assert transcriber.tokens == EXPECTED[name]["tokens_q4_0"] and model.decoder.cache.capacity > 40


def test_the_layout_of_real_gpus(run, device):
    """On a real GPU's layout, lanes share rows, and one row goes through another kernel than several rows."""
    found = models.read_model()
    model = run(
        found.load(
            device,
            variants=Variants(drafts=3),
        )
    )
    samples = soundfile.read(CLIPS[0], dtype="float32")[0]
    spoken = {clip["file"]: clip for clip in json.loads((resources.embedded_model() / "clips/clips.json").read_text())}
    transcriber = transcribe(run, model, samples)
    assert (
        transcriber.transcript == spoken[CLIPS[0].name]["reference"]
        and transcriber.passes < len(transcriber.tokens) - 39
    )
