"""What a GPU runs fastest, and which `linear` variants are correct: measured while a model opens.

The fastest depends on the GPU and on its driver's and browser's compilers, and a driver may compute one wrongly.
"""

import math
import time
from array import array

from voxtab.decoder import PASSES_SUBMITTED, Decoder
from voxtab.errors import ModelError
from voxtab.gpu.kernels import Kernels
from voxtab.gpu.variants import MOST_PERCENT

TOLERANCE = 1e-3  # largest allowed difference from the first variant, as a share of the largest value
ROUNDS = 2  # of all layers' products, in a turn
# A thread that wakes up late costs as much as a round on a fast GPU, and clocks rise meanwhile: each variant has turns,
# and its least time counts. The first turn warms up.
TURNS = 3
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
