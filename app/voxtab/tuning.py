"""What a GPU runs fastest, and which variants are correct: measured while a model opens.

The fastest depends on the GPU and on its driver's and browser's compilers, and a driver may compute one wrongly.
"""

import math
import random
import time
from array import array

from voxtab.config import STATES_PER_TOKEN
from voxtab.decoder import PASSES_SUBMITTED, Decoder
from voxtab.encoder import Encoder, block_samples
from voxtab.errors import ModelError
from voxtab.gpu.kernels import Kernels
from voxtab.gpu.variants import MOST_PERCENT

TOLERANCE = 1e-3  # largest allowed difference from the first variant, as a share of the largest value
ROUNDS = 2  # of all layers' products, in a turn
# A thread that wakes up late costs as much as a round on a fast GPU, and clocks rise meanwhile: each variant has turns,
# and its least time counts. The first turn warms up.
TURNS = 3
ATTENTION_LAYERS = 4  # of a block's attention, in a turn: milliseconds
POSITION = 400  # of the passes that are timed: the rings hold it at their first size


async def fastest_linear(decoder: Decoder, recorders: list[Kernels]) -> tuple[Kernels, list[str]]:
    """The fastest recorder that is correct on the model's own weights, and the `linear` of each that is wrong.

    The first recorder has the plainest variant, whose results count as correct. All kernels are compiled already.
    ModelError if the first one computes NaN or infinity.
    """
    x = _input(decoder)
    right = await _one_layer(decoder, recorders[0], x)
    if not all(map(math.isfinite, right)):
        raise ModelError("The model's first layer produced NaN or infinity: its file is damaged, so download it again.")
    most = TOLERANCE * max(map(abs, right))
    correct, wrong = [], []
    for kernels in recorders:
        values = await _one_layer(decoder, kernels, x)
        if max(abs(a - b) for a, b in zip(values, right)) <= most:
            correct.append(kernels)
        else:
            wrong.append(kernels.variants.linear)
    least = [math.inf] * len(correct)
    for _ in range(TURNS):
        for i, kernels in enumerate(correct):
            least[i] = min(least[i], await _seconds(decoder, kernels))
    return correct[least.index(min(least))], wrong


async def fastest_attention(encoder: Encoder, kernels: Kernels, tokens: int) -> tuple[Kernels, bool]:
    """A recorder with `attention_tile` or without it, whichever is faster in a block of that many tokens.

    And whether it is wrong: whether its results differ from those of `attention`. All kernels are compiled already.
    """
    device, without = kernels.device, kernels.with_variants(attention_tiles=0)
    noise = random.Random(1)
    samples = array("f", [noise.uniform(-0.1, 0.1) for _ in range(block_samples(tokens))])
    device.write(encoder.samples, 0, samples)
    encoder.write_step(0, 0)
    layer = without.plan_compiled(encoder.record(without, tokens, layers=1))  # makes queries, keys and values
    device.run(layer)
    device.free(layer)
    nbytes = 4 * tokens * STATES_PER_TOKEN * encoder.stack.heads * encoder.stack.head_dim

    async def attended(k: Kernels) -> array:
        plan = k.plan_compiled(encoder.record_attention(k, tokens, 1))
        values = array("f", await device.run(plan, (encoder.attended, 0, nbytes)))
        device.free(plan)
        return values

    right, values = await attended(without), await attended(kernels)
    if all(map(math.isfinite, right)) and not max(abs(a - b) for a, b in zip(values, right)) <= TOLERANCE * max(
        map(abs, right)
    ):
        return without, True
    encoder.write_step(encoder.stack.window, 0)
    choices = [(k, k.plan_compiled(encoder.record_attention(k, tokens, ATTENTION_LAYERS))) for k in (without, kernels)]
    least = [math.inf] * len(choices)
    for _ in range(TURNS):
        for i, (_, plan) in enumerate(choices):
            since = time.perf_counter()
            await device.run(plan, (encoder.attended, 0, 4))
            least[i] = min(least[i], time.perf_counter() - since)
    for _, plan in choices:
        device.free(plan)
    return choices[least.index(min(least))][0], False


async def largest_error(decoder: Decoder, kernels: Kernels) -> float:
    """How far the first layer by `kernels` is from the plainest variant's, as a share of the largest value."""
    plainest = kernels.with_variants(linear=kernels.variants.linear_choices[0])
    await plainest.compile(decoder.record_products(plainest)[:2])
    x = _input(decoder)
    right, values = await _one_layer(decoder, plainest, x), await _one_layer(decoder, kernels, x)
    return max(abs(a - b) for a, b in zip(values, right)) / max(map(abs, right))


def _input(decoder: Decoder) -> array:
    return array("f", [((37 * i) % 101 - 50) / 25 for i in range(decoder.stack.width)])


async def _one_layer(decoder: Decoder, kernels: Kernels, x: array) -> array:
    """x [width] -> x + w2 (silu(w1 n) * (w3 n)), by the first layer's two linear kernels with these shapes."""
    device = kernels.device
    plan = kernels.plan_compiled(decoder.record_products(kernels)[:2])
    device.write(decoder.x, 0, x)
    values = array("f", await device.run(plan, (decoder.x, 0, 4 * len(x))))
    device.free(plan)
    return values


async def _seconds(decoder: Decoder, kernels: Kernels) -> float:
    device = kernels.device
    plan = kernels.plan_compiled(decoder.record_products(kernels))
    since = time.perf_counter()
    await device.run(plan, (decoder.tokens, 0, 4), times=ROUNDS)
    device.free(plan)
    return time.perf_counter() - since


async def pass_costs(decoder: Decoder, kernels: Kernels, audio: int) -> dict[str, int]:
    """{"pass_2": 127, ...}: the time of a decoder pass by its rows, in percent of that of one row (`Variants`).

    Takes the time of some forty passes. All kernels are compiled already. `audio` is the buffer of audio embeddings.
    """
    device = kernels.device
    plans = {
        rows: kernels.plan_compiled(decoder.record(kernels, audio, rows, True)) for rows in kernels.variants.pass_rows
    }
    plans[0] = device.plan([])  # a readback
    least: dict[int, float] = {}
    for warm in (False, True, True):
        for rows, plan in plans.items():
            decoder.write_step(POSITION, POSITION, 0)
            since = time.perf_counter()
            device.run(plan, times=PASSES_SUBMITTED)  # as in a file: the GPU runs these while the host records others
            await device.run(plan, (decoder.tokens, 0, 4), times=PASSES_SUBMITTED)
            if warm:
                least[rows] = min(least.get(rows, math.inf), time.perf_counter() - since)
    for plan in plans.values():
        device.free(plan)
    readback = least.pop(0)
    one = max(least[1] - readback, 1e-6)
    percent = {rows: round(100 * (seconds - readback) / one) for rows, seconds in least.items()}
    return {f"pass_{rows}": min(max(100, of_one), MOST_PERCENT - 1) for rows, of_one in percent.items() if rows > 1}
