"""Which variant of the one-row product an adapter runs fastest, and whether it is right: measured while a model opens.

Which one that is depends on the adapter and on the compilers before it, and a driver may get one wrong.
"""

import math
import time
from array import array
from dataclasses import replace

from voxtab.decoder import Decoder
from voxtab.errors import ModelError
from voxtab.gpu.kernels import Kernels

TOLERANCE = 1e-3  # of the largest value, between the first variant, the plainest, and the others
ROUNDS = 2


async def fastest_row(decoder: Decoder, kernels: Kernels) -> tuple[str, list[str]]:
    """The fastest variant that is right on the model's own weights, and those that are wrong. All are compiled already."""
    device, before = kernels.device, kernels.variants
    x = array("f", [((37 * i) % 101 - 50) / 25 for i in range(decoder.stack.width)])
    plain, seconds, wrong = None, {}, []
    for name in before.row_variants:
        kernels.variants = replace(before, row=name)
        products = decoder.record_products()
        # A layer's two products, from x to what is added to x: each has its shape and its ending.
        layer, all_layers = kernels.plan_compiled(products[:2]), kernels.plan_compiled(products)
        device.write(decoder.x, 0, x)
        values = array("f", await device.run(layer, (decoder.x, 0, 4 * len(x))))
        plain = plain or values
        if not all(map(math.isfinite, plain)):
            raise ModelError(
                "The model's first layer makes numbers that are none: its file is damaged, so get it again."
            )
        if max(abs(a - b) for a, b in zip(values, plain)) <= TOLERANCE * max(map(abs, plain)):
            await device.run(all_layers, (decoder.tokens, 0, 4))  # warms up
            since = time.perf_counter()
            await device.run(all_layers, (decoder.tokens, 0, 4), times=ROUNDS)
            seconds[name] = time.perf_counter() - since
        else:
            wrong.append(name)
        device.free(layer)
        device.free(all_layers)
    kernels.variants = before
    return min(seconds, key=seconds.get), wrong
