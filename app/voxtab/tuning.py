"""Which `linear` variant a GPU runs fastest, and which are correct: measured while a model opens.

The fastest depends on the GPU and on its driver's and browser's compilers, and a driver may compute one wrongly.
"""

import math
import time
from array import array

from voxtab.decoder import Decoder
from voxtab.errors import ModelError
from voxtab.gpu.kernels import Kernels

TOLERANCE = 1e-3  # largest allowed difference from the first variant, as a share of the largest value
ROUNDS = 2


async def fastest_linear(decoder: Decoder, recorders: list[Kernels]) -> tuple[Kernels, list[str]]:
    """The fastest recorder that is correct on the model's own weights, and the `linear` of each that is wrong.

    The first recorder has the plainest variant, whose results count as correct. All kernels are compiled already.
    ModelError if the first one computes NaN or infinity.
    """
    x = array("f", [((37 * i) % 101 - 50) / 25 for i in range(decoder.stack.width)])
    right = await _one_layer(decoder, recorders[0], x)
    if not all(map(math.isfinite, right)):
        raise ModelError("The model's first layer produced NaN or infinity: its file is damaged, so download it again.")
    most = TOLERANCE * max(map(abs, right))
    timed, wrong = [], []
    for kernels in recorders:
        values = await _one_layer(decoder, kernels, x)
        if max(abs(a - b) for a, b in zip(values, right)) <= most:
            timed.append((await _seconds(decoder, kernels), kernels))
        else:
            wrong.append(kernels.variants.linear)
    return min(timed, key=lambda pair: pair[0])[1], wrong


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
    await device.run(plan, (decoder.tokens, 0, 4))  # warms up
    since = time.perf_counter()
    await device.run(plan, (decoder.tokens, 0, 4), times=ROUNDS)
    device.free(plan)
    return time.perf_counter() - since
