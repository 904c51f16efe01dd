#!/usr/bin/env python3
"""How fast shapes of a small model run on this machine's GPU, software or not: zeros for weights, noise for audio.

A shape is ENCODERxLAYERS,DECODERxLAYERS in widths, such as 256x5,256x4; the feed-forward parts are three times as wide.
Prints for a second of audio: the multiply-adds (without heads and caches), the seconds it took (the real-time factor)
and the processor seconds, each the least of three runs. Processor seconds tell most where others use the machine too.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthetic import ADA_WIDTH, Zeros, directory
from voxtab.config import ModelConfig, Stack
from voxtab.model import Model
from voxtab.native.gpu.device import NativeDevice
from voxtab.tokenizer import Tokenizer
from voxtab.transcriber import Transcriber
from voxtab.weights import checkpoint

SECONDS = 10


def config(shape: str) -> ModelConfig:
    stacks = []
    for part, kv_shared in zip(shape.split(","), (1, 2), strict=True):
        width, layers = map(int, part.split("x"))
        heads = width // 64
        stacks.append(
            Stack(
                layers=layers,
                width=width,
                heads=heads,
                kv_heads=max(1, heads // kv_shared),
                head_dim=64,
                hidden=3 * width,
                window=128,
                epsilon=1e-5,
                rope_base=1e6,
            )
        )
    return ModelConfig(*stacks, vocabulary=2048, half_rope=False)


def multiply_adds(shapes: dict[str, tuple[int, ...]]) -> float:
    """A second of audio through every matrix: convolutions at 100 and 50 a second, encoder at 50, the rest at 12.5."""
    total = 0.0
    for name, shape in shapes.items():
        if len(shape) > 1 and "ada_" not in name:
            rate = 100 if "conv_layers.0" in name else 50 if "whisper_encoder" in name else 12.5
            total += rate * np.prod(shape)
    return total


async def seconds(shape: ModelConfig) -> tuple[float, float]:
    """A second of audio in seconds, and in seconds of all processors together."""
    device, tensors = await NativeDevice.open(), directory(shape)
    tokenizer = Tokenizer.from_file(Path(__file__).resolve().parents[2] / "web/models/tiny/tekken.json")
    model = await Model.load(device, tensors, shape, Zeros(tensors), tokenizer, name="zeros")
    samples, times, work = np.random.default_rng(0).standard_normal(16000 * SECONDS).astype(np.float32) / 100, [], []
    for _ in range(3):
        since, worked = time.perf_counter(), time.process_time()
        transcriber = Transcriber(model)
        transcriber.feed(samples)
        transcriber.finish()
        async for _ in transcriber.text():
            pass
        times.append(time.perf_counter() - since)
        work.append(time.process_time() - worked)
    device.close()
    return min(times) / SECONDS, min(work) / SECONDS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=["192x8,256x4", "256x4,256x4", "256x5,256x4", "384x5,384x4"])
    for shape in parser.parse_args().shapes:
        cost = multiply_adds(checkpoint.shapes(config(shape), ADA_WIDTH))
        elapsed, work = asyncio.run(seconds(config(shape)))
        print(
            f"{shape:14} {cost / 1e9:.3f} G multiply-adds a second, real-time factor {elapsed:.2f}, "
            f"{work:.2f} processor seconds",
            flush=True,
        )


if __name__ == "__main__":
    main()
