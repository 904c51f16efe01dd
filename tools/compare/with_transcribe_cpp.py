#!/usr/bin/env python3
"""Measures transcribe.cpp and Voxtab natively on one file of the 4B model's shape and the same audio. Prints JSON.

  rtf        seconds for a second of audio, of noise as a file; transcribe.cpp's without drafts, and with its own
  step_ms    a decoder step: transcribe.cpp's by what twice the audio adds to its decoder's time, Voxtab's at context
             1000
  live_ms    80 ms of audio in a stream, one after another, until its text has come

The weights are random, Q4_0, in transcribe.cpp's layout, which Voxtab reads too. PyPI's wheels of transcribe-cpp have
processors and Vulkan (Metal on Macs).
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    import transcribe_cpp
except ModuleNotFoundError as missing:
    sys.exit(f"The Python package {missing.name} is missing: pip install -r tools/compare/requirements.txt.")
import numpy as np

from bench.engine import decoder_steps
from compare.layouts import write_transcribe_cpp
from synthetic import TINY, VOXTRAL_4B
from voxtab.bench import file_run, live_steps, significant, spread
from voxtab.config import SAMPLE_RATE, SAMPLES_PER_TOKEN
from voxtab.native import models

RUNS = 3
SETTLED = 40  # tokens of a stream before it is timed


def clip(seconds: float) -> np.ndarray:
    """[samples] f32: noise."""
    return 0.1 * np.random.default_rng(1).standard_normal(int(seconds * SAMPLE_RATE), np.float32)


def theirs(path: Path, seconds: float, live: int, backend: str) -> dict:
    with transcribe_cpp.Model(path, backend=backend) as model, model.session() as session:

        def runs(samples: np.ndarray, drafts: int) -> tuple[list[float], list[float]]:
            """Seconds of each run, and of its decoder. The first one does not count."""
            took, decoder = [], []
            for _ in range(1 + RUNS):
                since = time.perf_counter()
                timings = session.run(samples, spec_k_drafts=drafts).timings
                took.append(time.perf_counter() - since)
                decoder.append(timings.decode_ms / 1000)
            return took[1:], decoder[1:]

        whole, decoder = runs(clip(seconds), 0)
        _, half = runs(clip(seconds / 2), 0)
        drafted, _ = runs(clip(seconds), -1)
        added = seconds / 2 * SAMPLE_RATE / SAMPLES_PER_TOKEN
        steps = []
        samples = clip((SETTLED + live) * SAMPLES_PER_TOKEN / SAMPLE_RATE)
        at_once = transcribe_cpp.VoxtralRealtimeStreamOptions(min_decode_interval_ms=0)
        with session.stream(family=at_once) as stream:
            for piece in samples.reshape(-1, SAMPLES_PER_TOKEN):
                since = time.perf_counter()
                stream.feed(piece)
                steps.append(time.perf_counter() - since)
            stream.finalize()
        return {
            "version": transcribe_cpp.__version__,
            "device": model.device.description,
            "backend": model.backend,
            "rtf": spread([each / seconds for each in whole]),
            "rtf_with_drafts": spread([each / seconds for each in drafted]),
            "step_ms": significant(1000 * (min(decoder) - min(half)) / added),
            "live_ms": spread([1000 * step for step in steps[SETTLED:]]),
        }


async def ours(path: Path, seconds: float, live: int) -> dict:
    model = await models.open_model(path)
    samples = clip(seconds)
    await file_run(model, samples)  # warm-up
    runs = [await file_run(model, samples) for _ in range(RUNS)]
    found = {
        "gpu": model.device.adapter.name,
        "rtf": spread([run["run_s"] / seconds for run in runs]),
        "tokens_per_pass": significant(runs[0]["tokens_per_pass"]),
        "step_ms": spread([1000 * step for step in await decoder_steps(model, RUNS)]),
        "live_ms": spread([1000 * step for step in await live_steps(model, samples, live)]),
    }
    model.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="two narrow layers of each stack, to see that it runs")
    parser.add_argument("--seconds", type=float, default=60, help="length of the audio (default: 60)")
    parser.add_argument("--live", type=int, default=200, metavar="STEPS", help="live steps (default: 200)")
    parser.add_argument(
        "--backend", default="auto", help="transcribe.cpp's: auto, vulkan, cuda, metal or cpu (default: auto)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        write_transcribe_cpp(path, TINY if options.tiny else VOXTRAL_4B)
        print(
            json.dumps(
                {
                    "audio_s": options.seconds,
                    "transcribe.cpp": theirs(path, options.seconds, options.live, options.backend),
                    "voxtab": asyncio.run(ours(path, options.seconds, options.live)),
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
