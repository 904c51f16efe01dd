"""How fast the 4B model would run on this machine, before any of it is there: its own plans, on random weights.

On a GPU all layers of the real shapes run. Few of them have weights of their own, and the others use these again: so a
plan has the real model's dispatches with a fifth of its memory. In software, where a step of the whole model takes
seconds, one layer of each stack runs, and its time counts for all.
"""

import asyncio
import random
import time
from array import array
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import cycle, islice
from math import prod
from statistics import median

from voxtab.config import STATES_PER_TOKEN, TOKEN_MS, VOXTRAL_4B, ModelConfig
from voxtab.drafting import EXPECTED
from voxtab.gpu.device import Device
from voxtab.gpu.kernels import Dispatch, Kernels, Matrix
from voxtab.model import Model
from voxtab.tuning import fastest_linear
from voxtab.weights import checkpoint
from voxtab.weights.directory import Directory, Tensor, tensor_nbytes
from voxtab.weights.load import Weights, load

# With weights of their own: more than a GPU's caches keep from one use to the next.
ENCODER_LAYERS, DECODER_LAYERS = 4, 3
ADA_WIDTH = 32
POSITION = 400  # of the measured steps: the rings hold it at their first size, as in a stream's first half minute
MEASURED_S = 0.15  # GPU time of a measurement; in software it is one run
PACED_STEPS = 8
CHUNK = 4 << 20  # random bytes, written again and again
SCALE = b"\x00\x14"  # f16 0.001 for each Q4_0 block: sums stay finite


async def predict(device: Device, config: ModelConfig = VOXTRAL_4B) -> dict:
    """`rtf` of a file, seconds per second of audio, and `live_step_ms`, for a live step of 80 ms of audio.

    Live steps are timed as they come, one in 80 ms: between them a GPU lowers its clocks. Takes three to five seconds,
    and the time in which the driver compiles the kernels. DeviceError if the GPU has no room for it. The device cannot
    be used for a model afterwards: close it.
    """
    in_software = device.adapter.is_software
    model = await _model(device, config, 1 if in_software else None)
    k, tokens = model.kernels, model.block_tokens

    def encode(tokens: int, layers: int | None) -> list[Dispatch]:
        adapter = model.adapter.record(k, model.encoder.step, model.encoder.states, tokens)
        return [*model.encoder.record(k, tokens, layers), *adapter]

    def decode(rows: int, layers: int | None) -> list[Dispatch]:
        return model.decoder.record(k, model.adapter.audio, rows, True, layers)

    async def pass_seconds(rows: int) -> float:
        return await seconds(lambda layers: decode(rows, layers), config.decoder.layers)

    async def seconds(record: Callable[[int | None], list[Dispatch]], layers: int) -> float:
        if not in_software:
            return await _seconds(model, record(None))
        # The layer runs alone: in a difference of two times, many layers would multiply the noise of both.
        rest = record(0)
        layer = [dispatch for dispatch in record(1) if dispatch not in rest]
        return await _seconds(model, rest) + layers * await _seconds(model, layer)

    block = await seconds(lambda layers: encode(tokens, layers), config.encoder.layers)
    passes = {rows: await pass_seconds(rows) for rows in k.variants.pass_rows}
    token = min(seconds / EXPECTED[rows] for rows, seconds in passes.items())
    if in_software:
        live = passes[1] + await seconds(lambda layers: encode(1, layers), config.encoder.layers)
    else:
        live = await _paced_seconds(model, [*encode(1, None), *decode(1, None)])
    return {"rtf": (block / tokens + token) * 1000 / TOKEN_MS, "live_step_ms": 1000 * live}


async def _seconds(model: Model, dispatches: list[Dispatch]) -> float:
    """Of one run of the dispatches. The first one does not count, as a driver may still compile."""
    plan = await model.kernels.plan(dispatches)
    await _timed(model, plan, 1)
    once, times = await _timed(model, plan, 1), 1
    while once < MEASURED_S:
        times *= 2
        more = await _timed(model, plan, times)
        if more >= MEASURED_S:
            return (more - once) / (times - 1)  # without the time of a readback
    return once


async def _paced_seconds(model: Model, dispatches: list[Dispatch]) -> float:
    """Of one run of the dispatches and the readback after it, as audio comes: one run every 80 ms."""
    plan, times = await model.kernels.plan(dispatches), []
    for _ in range(PACED_STEPS):
        times.append(await _timed(model, plan, 1))
        await asyncio.sleep(max(0, TOKEN_MS / 1000 - times[-1]))
    return median(times[1:])


async def _timed(model: Model, plan: int, times: int) -> float:
    model.encoder.write_step(POSITION * STATES_PER_TOKEN, POSITION * STATES_PER_TOKEN)
    model.decoder.write_step(POSITION, POSITION, 0)
    since = time.perf_counter()
    for _ in range(times - 1):
        model.device.run(plan)
    await model.device.run(plan, read=(model.decoder.tokens, 0, 4))
    return time.perf_counter() - since


async def _model(device: Device, config: ModelConfig, layers: int | None) -> Model:
    """With random weights; layers: of each stack, instead of all."""
    few = replace(
        config,
        encoder=replace(config.encoder, layers=layers or min(ENCODER_LAYERS, config.encoder.layers)),
        decoder=replace(config.decoder, layers=layers or min(DECODER_LAYERS, config.decoder.layers)),
    )
    kernels = Kernels(device)
    weights, _ = load(_directory(few), few, kernels)
    _fill(device, weights, few)
    if not layers:
        weights = replace(
            weights,
            encoder=tuple(islice(cycle(weights.encoder), config.encoder.layers)),
            decoder=tuple(islice(cycle(weights.decoder), config.decoder.layers)),
        )
    model = Model(kernels, few if layers else config, weights, None, "random", True)
    recorders = [kernels.with_variants(linear=choice) for choice in kernels.variants.linear_choices]
    if len(recorders) > 1:
        await kernels.compile([dispatch for each in recorders for dispatch in model.decoder.record_products(each)])
        model.kernels, _ = await fastest_linear(model.decoder, recorders)
    return model


def _directory(config: ModelConfig) -> Directory:
    """Of a file with these layers, as the published one is: matrices in Q4_0, the rest in F32."""
    tensors = {}
    for name, shape in checkpoint.shapes(config, ADA_WIDTH).items():
        type = "Q4_0" if len(shape) == 2 else "F32"
        tensors[name] = Tensor(name, type, shape, 0, prod(shape[:-1]) * tensor_nbytes(type, shape[-1:]))
    return Directory("gguf", tensors, {}, 3)


def _fill(device: Device, weights: Weights, config: ModelConfig) -> None:
    """Random nibbles with small scales, and norms with gains of 1. Biases and convolutions stay 0."""
    noise, scales = random.Random(0).randbytes(CHUNK), SCALE * (CHUNK // len(SCALE))

    def write(buffer: int, pattern: bytes, nbytes: int) -> None:
        for at in range(0, nbytes, CHUNK):
            device.write(buffer, at, pattern[: min(CHUNK, nbytes - at)])

    layers = (*weights.encoder, *weights.decoder)
    matrices = [getattr(layer, field.name) for layer in layers for field in fields(layer)]
    for matrix in (*matrices, *weights.adapter, weights.embedding):
        if isinstance(matrix, Matrix):
            for part in matrix.parts:
                write(part.weights, noise, part.rows * matrix.columns // 2)
                write(part.scales, scales, part.rows * matrix.columns // 16)
    for layer in layers:
        width = config.encoder.width if layer in weights.encoder else config.decoder.width
        for gains in (layer.attention_norm, layer.ffn_norm):
            device.write(gains, 0, array("f", [1.0]) * width)
