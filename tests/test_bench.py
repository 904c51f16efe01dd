"""The measurements of voxtab.bench and tools/bench: that they run what they claim to run."""

import json
import math
import time
from pathlib import Path

import pytest
import soundfile

from bench import engine
from voxtab import bench
from voxtab.decoder import PASSES_SUBMITTED
from voxtab.model import PROMPT_ROWS
from voxtab.native import models

ORACLE = Path(__file__).parent / "oracle" / "delay480"
SAMPLES = soundfile.read(ORACLE / "clip.flac", dtype="float32")[0]
TOKENS = json.loads((ORACLE / "expected.json").read_text())["tokens_q4_0"]


@pytest.fixture(scope="module")
def found():
    return models.read_model(ORACLE / "tiny-q4.gguf")


@pytest.fixture(scope="module")
def model(run, device, found):
    return run(found.load(device, cache_f16=False))


@pytest.fixture
def plans_run(device, monkeypatch):
    """The number of dispatches of each plan, once for each time that it ran."""
    seen, original = [], device.run

    def run(plan, read=None, times=1):
        seen.extend([len(device._objects[plan].dispatches)] * times)
        return original(plan, read, times=times)

    monkeypatch.setattr(device, "run", run)
    return seen


def test_a_live_stream_gives_the_files_tokens_each_within_its_step(run, model):
    async def go():
        stream, given = bench.LiveStream(model, SAMPLES[:-40]), []
        for _ in range(len(SAMPLES) // 1280):
            assert await stream.take(1) > 0
            given.append(len(stream.transcriber.tokens))
        stream.transcriber.close()
        return stream.transcriber.tokens, given

    tokens, given = run(go())
    # After 32 tokens of silence, the k-th step makes the token of position 32 + k; 39 positions are the prompt.
    assert given[-1] == 33 + len(given) and all(count >= 33 + k for k, count in enumerate(given, 1) if k >= 6)
    assert len(tokens) < len(TOKENS)


def test_a_streams_audio_begins_again(run, model):
    async def go():
        stream = bench.LiveStream(model, SAMPLES[:3000])
        await stream.take(2)
        await stream.take(40)
        stream.transcriber.close()
        return stream

    stream = run(go())
    assert (
        stream.transcriber.audio_seconds == pytest.approx((42 * 1280 + 40) / 16000) and stream._at == 42 * 1280 % 3000
    )


def test_patience(run, model):
    assert len(run(bench.live_steps(model, SAMPLES, 5))) == 5
    assert 0 < len(run(bench.live_steps(model, SAMPLES, 500, patience_s=0.001))) < 500


def test_steps_at_the_pace_of_speech(run, model):
    """They do not begin early; what they wait is not their time."""
    since = time.perf_counter()
    steps = run(engine.paced(model, SAMPLES, 6))
    assert len(steps) == 6 and time.perf_counter() - since >= 5 * 0.08
    begun = time.perf_counter()
    assert sum(run(bench.live_steps(model, SAMPLES, 3, every_s=0.4))) < time.perf_counter() - begun - 0.4


def test_a_file(run, model):
    done = run(bench.file_run(model, SAMPLES))
    assert done["tokens"] == len(TOKENS) and 0 < done["first_text_s"] <= done["run_s"]
    kept = run(engine.kept(model, SAMPLES))
    most = max(model.kernels.variants.pass_rows)
    assert 0 < kept["drafts"] < most and 1 <= kept["tokens_per_pass"] <= 1 + kept["drafts"]


def test_bytes_are_the_files(model, found):
    """Each matrix once: all of the file's Q4_0 except the two for the delay."""
    matrices = [
        tensor for tensor in found.directory.tensors.values() if tensor.type == "Q4_0" and ".ada" not in tensor.name
    ]
    assert sum(map(bench.nbytes, bench.step_matrices(model))) == sum(tensor.nbytes for tensor in matrices)


def test_products_and_steps_of_the_decoder(run, model, found, plans_run):
    rates = run(engine.bandwidth(model, 3))
    # Each is the difference of two times, so it may be negative here, where other programs run too.
    assert {name: len(values) for name, values in rates.items()} == {"layers": 3, "head": 3}
    assert all(map(math.isfinite, rates["layers"] + rates["head"]))
    assert max(plans_run) % (4 * found.config.decoder.layers) == 0, "four products a layer, over and over"
    plans_run.clear()
    assert len(run(engine.decoder_steps(model, 2, steps=3))) == 2
    assert plans_run.count(run(engine.launches(model))) == 6
    plans_run.clear()
    times = run(engine.passes(model, 2, submits=3))
    assert {rows: len(seconds) for rows, seconds in times.items()} == {
        str(rows): 2 for rows in range(1, 1 + PROMPT_ROWS)
    }
    assert plans_run.count(run(engine.launches(model))) == 2 * PROMPT_ROWS * 3 * PASSES_SUBMITTED


def test_drift(run, model, found):
    far = run(engine.drift(model, SAMPLES, 3, early=50, late=100))
    assert {part: len(times) for part, times in far.items() if part != "added_bytes"} == {
        "early": 3,
        "late": 3,
        "jumped": 3,
    }
    decoder = found.config.decoder
    assert 50 < decoder.window < 100
    assert far["added_bytes"] == (decoder.window - 50) * decoder.layers * 2 * decoder.kv_heads * decoder.head_dim * 4


def test_spread():
    assert bench.spread([3.0, 1.0, 2.0]) == {"count": 3, "least": 1.0, "median": 2.0, "most": 3.0}
    assert bench.spread([float(i) for i in range(200)])["p99"] == 198
