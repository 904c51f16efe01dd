"""What a loaded model does on this machine: the figures of `voxtab bench` and of the page's ?bench=1.

Plain Python over Model and Transcriber, so that the command and the tab measure the same way.
"""

import asyncio
import math
import sys
import time
from array import array
from datetime import date
from importlib.metadata import version
from statistics import median

from voxtab.config import LOOKAHEAD_SAMPLES, SAMPLE_RATE, SAMPLES_PER_TOKEN, TOKEN_MS
from voxtab.gpu.kernels import Matrix
from voxtab.model import Model
from voxtab.transcriber import Transcriber
from voxtab.weights.directory import tensor_nbytes

SECONDS = 60  # the bundled clip is repeated to this length
FILE_RUNS = 3
LIVE_STEPS = 100
PACED_STEPS = 50
PACE_S = TOKEN_MS / 1000  # as audio comes: a step's samples follow that long after the last one's
PATIENCE_S = 20  # after this time, a slow machine begins no further run or step
SETTLING_TOKENS = 40  # tokens of a live stream before it is timed, so that the prompt is over


async def bench(model: Model, samples, audio: str, load_s: float, *, repeat: bool) -> dict:
    """Measure `model` on 16 kHz mono float32 `samples`, named `audio`. With `repeat` they are repeated up to SECONDS.

    The result can be written as JSON. As a file, transcribed FILE_RUNS times: `tokens_per_s`, `rtf` (seconds per
    second of audio), `first_text_s` (from handing over the audio to its first text; None if there is no text), and
    `tokens_per_pass`, with `drafts` on average in each of the decoder's passes. Live, LIVE_STEPS times one after
    another, or for PATIENCE_S on a slow machine: `live_step_ms`, from handing over 80 ms of samples to having their
    token, and `gb_per_s`, the weights' bytes over the median step. `paced_step_ms`: the same once every 80 ms, as audio
    comes. It is what a user lives with: between such steps a GPU lowers its clocks. `variants` are those of the kernels
    that ran, `wrong_variants` those that the GPU's driver computes wrongly.
    """
    samples = _floats(samples)
    if repeat:
        samples, audio = _repeated(samples, SECONDS * SAMPLE_RATE), f"{audio}, repeated to {SECONDS} s"
    await file_run(model, samples[: 5 * SAMPLE_RATE])  # warm-up
    runs = [await file_run(model, samples)]
    while len(runs) < FILE_RUNS and sum(run["run_s"] for run in runs) < PATIENCE_S:
        runs.append(await file_run(model, samples))
    steps = await live_steps(model, samples, LIVE_STEPS, PATIENCE_S)
    paced = await live_steps(model, samples, PACED_STEPS, PATIENCE_S, every_s=PACE_S)
    first = [run["first_text_s"] for run in runs]
    return {
        **about(model),
        "audio": audio,
        "audio_seconds": round(len(samples) / SAMPLE_RATE, 3),
        "load_s": round(load_s, 3),
        "tokens_per_s": spread([run["tokens"] / run["run_s"] for run in runs]),
        "rtf": spread([run["run_s"] * SAMPLE_RATE / len(samples) for run in runs]),
        "drafts": significant(runs[0]["drafts"]),
        "tokens_per_pass": significant(runs[0]["tokens_per_pass"]),
        "first_text_s": None if None in first else spread(first),
        "live_step_ms": spread([1000 * step for step in steps]),
        "paced_step_ms": spread([1000 * step for step in paced]),
        "gb_per_s": significant(1e-9 * sum(map(nbytes, step_matrices(model))) / median(steps)),
    }


def about(model: Model) -> dict:
    """What a report says of the model and of the machine."""
    return {
        "voxtab": version("voxtab"),
        "date": date.today().isoformat(),
        "platform": sys.platform,
        "model": model.name,
        "gpu": model.device.adapter.as_json(),
        "variants": vars(model.kernels.variants),
        "wrong_variants": model.wrong_variants,
        "delay_ms": model.config.delay_ms,
    }


async def file_run(model: Model, samples) -> dict:
    """Transcribe the samples as a file.

    `first_text_s`, None without text, and `run_s` in seconds; `tokens`, the prompt's included; `tokens_per_pass`, and
    a pass's `drafts`, on average.
    """
    since = time.perf_counter()
    transcriber = Transcriber(model)
    transcriber.feed(samples)
    transcriber.finish()
    first = None
    async for text in transcriber.text():
        if text.strip() and first is None:
            first = time.perf_counter() - since
    run_s = time.perf_counter() - since
    transcriber.close()
    tokens = len(transcriber.tokens)
    made = tokens + 1 - len(transcriber.schedule.prompt)  # the token predicted at the last position is dropped
    blocks = transcriber.blocks
    return {
        "first_text_s": first,
        "run_s": run_s,
        "tokens": tokens,
        "tokens_per_pass": made / blocks.passes,
        "drafts": blocks.rows / blocks.passes - 1,
    }


async def live_steps(
    model: Model, samples, steps: int, patience_s: float = math.inf, every_s: float = 0.0
) -> list[float]:
    """Seconds of each of `steps` live steps, one every `every_s`, or back to back. After `patience_s`, none begins."""
    stream = LiveStream(model, samples)
    times: list[float] = []
    await stream.take(SETTLING_TOKENS)
    since = due = time.perf_counter()
    while len(times) < steps and (now := time.perf_counter()) - since < patience_s:
        await asyncio.sleep(max(0.0, due - now))
        due = max(due, now) + every_s
        times.append(await stream.take(1))
    stream.transcriber.close()
    return times


class LiveStream:
    """Samples, played again and again, that go through a transcriber at the caller's pace."""

    def __init__(self, model: Model, samples):
        self._samples, self._at = _floats(samples), 0
        self.transcriber = Transcriber(model)
        self._pieces = self.transcriber.text()
        self._tokens = 0  # tokens fed so far, not counting the left silence
        # The window of a token's last frame reaches into the next one's samples.
        self.transcriber.feed(array("f", bytes(4 * LOOKAHEAD_SAMPLES)))

    async def take(self, tokens: int) -> float:
        """Feed the samples of `tokens` tokens. Returns the seconds until the last token has come."""
        end = self._at + tokens * SAMPLES_PER_TOKEN
        samples = _repeated(self._samples, end)[self._at :]
        self._at = end % len(self._samples)
        since = time.perf_counter()
        self.transcriber.feed(samples)
        self._tokens += tokens
        covered = (self._tokens - self.transcriber.schedule.delay_tokens) * TOKEN_MS / 1000
        while self.transcriber.done_seconds < covered - 0.001:
            await anext(self._pieces)
        return time.perf_counter() - since


def step_matrices(model: Model) -> list[Matrix]:
    """The matrices that a live step multiplies by, once each."""
    return [*encoder_matrices(model), *decoder_matrices(model), model.decoder.weights.embedding]


def encoder_matrices(model: Model) -> list[Matrix]:
    weights = model.encoder.weights
    return [matrix for layer in weights.encoder for matrix in (layer.wqkv, layer.wo, layer.w13, layer.w2)] + [
        *weights.adapter
    ]


def decoder_matrices(model: Model) -> list[Matrix]:
    """Of the layers; the head is the embedding."""
    return [matrix for layer in model.decoder.weights.decoder for matrix in (layer.wqkv, layer.wo, layer.w13, layer.w2)]


def nbytes(matrix: Matrix) -> int:
    return sum(tensor_nbytes(part.type, (part.rows, matrix.columns)) for part in matrix.parts)


def spread(values: list[float]) -> dict:
    """Count, minimum, median and maximum; for a hundred values or more, the 99th percentile too."""
    ordered = sorted(values)
    found = {"count": len(ordered), "least": ordered[0], "median": median(ordered), "most": ordered[-1]}
    if len(ordered) >= 100:
        found["p99"] = ordered[len(ordered) * 99 // 100]
    return {name: significant(value) for name, value in found.items()}


def significant(value: float) -> float:
    """Four digits: more is noise."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _floats(samples) -> array:
    floats = array("f")
    floats.frombytes(memoryview(samples).cast("B"))
    return floats


def _repeated(samples: array, count: int) -> array:
    return (samples * -(-count // len(samples)))[:count]
