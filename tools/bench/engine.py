"""Measurements of an open model. tools/bench runs them natively and in the tab's Worker.

Times are in seconds. A readback alone takes 1.2 ms in Chromium, so the time of an empty plan is subtracted.
Bandwidth comes from the difference of two times.
"""

import time
from statistics import median

from voxtab.bench import PACE_S, LiveStream, decoder_matrices, file_run, live_steps, nbytes, significant
from voxtab.decoder import PASSES_SUBMITTED
from voxtab.gpu.kernels import Matrix
from voxtab.model import PROMPT_ROWS, Model

CONTEXT = 1000  # positions that a decoder step attends to
WORK_S = 0.3  # GPU time of one bandwidth measurement
SUBMITTED = 320  # dispatches in one submit: about as many as the decoder passes that one submit holds
JUMP = 44_000  # positions of 80 ms: an hour


async def decoder_steps(model: Model, runs: int, steps: int = 64) -> list[float]:
    """Time of a decoder step at CONTEXT, without the encoder: `steps` in flight, as in a file, then one readback."""
    model.make_room(CONTEXT + steps)
    wait, times = await _wait(model), []
    for _ in range(runs):
        since = time.perf_counter()
        await model.predict(CONTEXT, CONTEXT, 0, passes=steps)
        times.append((time.perf_counter() - since - wait) / steps)
    return times


async def passes(model: Model, runs: int, submits: int = 12) -> dict[str, list[float]]:
    """Times of a decoder pass at CONTEXT by its rows, with `submits` times PASSES_SUBMITTED passes in flight."""
    model.make_room(CONTEXT + submits * PASSES_SUBMITTED * PROMPT_ROWS)
    device, decoder, wait, times = model.device, model.decoder, await _wait(model), {}
    for rows in range(1, 1 + PROMPT_ROWS):
        plan = await model.kernels.plan(decoder.record(model.kernels, model.adapter.audio, rows, True))
        times[str(rows)] = []
        for _ in range(runs):
            decoder.write_step(CONTEXT, CONTEXT, 0)
            since = time.perf_counter()
            for _ in range(submits - 1):
                device.run(plan, times=PASSES_SUBMITTED)
            await device.run(plan, (decoder.tokens, 0, 4), times=PASSES_SUBMITTED)
            times[str(rows)].append((time.perf_counter() - since - wait) / PASSES_SUBMITTED / submits)
        device.free(plan)
    return times


async def kept(model: Model, samples) -> dict:
    """A pass's drafts, and the tokens that it makes, on average over a file."""
    run = await file_run(model, samples)
    return {name: significant(run[name]) for name in ("drafts", "tokens_per_pass")}


async def bandwidth(model: Model, runs: int) -> dict:
    """Bytes of weights that the decoder's products of one row read per second: in all layers, and in the head."""
    return await rates(
        model, runs, {"layers": decoder_matrices(model), "head": [model.decoder.weights.embedding]}, SUBMITTED
    )


async def rates(model: Model, runs: int, groups: dict[str, list[Matrix]], submitted: int) -> dict[str, list[float]]:
    """Bytes of weights per second that the decoder's products of one row with the matrices of each group read.

    A submit holds about `submitted` dispatches.
    """
    step = model.decoder.record(model.kernels, model.adapter.audio, 1, True)
    wait, rates = await _wait(model), {}

    async def many(plan: int, times: int, submits: int) -> float:
        """Time of several submits. The host records the next one while the GPU works on the last."""
        since = time.perf_counter()
        for _ in range(submits - 1):
            model.device.run(plan, times=times)
        await model.device.run(plan, (model.decoder.tokens, 0, 4), times=times)
        return time.perf_counter() - since

    for name, matrices in groups.items():
        weights = {part.weights for matrix in matrices for part in matrix.parts}
        products = [dispatch for dispatch in step if weights & {*dispatch.buffers} and "embed" not in dispatch.kernel]
        assert weights <= {buffer for dispatch in products for buffer in dispatch.buffers}
        plan = await model.kernels.plan(products)
        times = max(1, submitted // len(products))
        await many(plan, times, 1)  # warm-up
        submits = max(1, min(400, round(WORK_S / max(await many(plan, times, 1) - wait, 1e-5))))
        # The rate is that of additional submits: the first few hide the time until the GPU begins.
        few = -(-submits // 4)
        begun = median([await many(plan, times, few) for _ in range(3)])
        rates[name] = [
            sum(map(nbytes, matrices)) * times * submits / (await many(plan, times, few + submits) - begun)
            for _ in range(runs)
        ]
        model.device.free(plan)
    return rates


async def drift(model: Model, samples, steps: int, early: int, late: int) -> dict:
    """Live steps around position `early`, up to position `late`, and after a jump by an hour of RoPE positions.

    {"early", "late", "jumped": times; "added_bytes": bytes of its cache that a decoder step reads at `late` and not at
    `early`}
    """
    stream = LiveStream(model, samples)

    async def at(position: int) -> list[float]:
        while (ahead := position - len(stream.transcriber.tokens)) > 0:
            await stream.take(min(ahead, 500))
        return [await stream.take(1) for _ in range(steps)]

    times = {"early": await at(early - steps // 2), "late": await at(late - steps)}
    stream.transcriber.blocks.rotation = JUMP
    times["jumped"] = await at(late)
    stream.transcriber.close()
    stack, cache = model.decoder.stack, model.decoder.cache
    row = stack.layers * 2 * stack.kv_heads * stack.head_dim * (2 if cache.f16 else 4)
    return times | {"added_bytes": row * (min(late, stack.window) - min(early, stack.window))}


async def live(model: Model, samples, steps: int) -> list[float]:
    return await live_steps(model, samples, steps)


async def paced(model: Model, samples, steps: int) -> list[float]:
    return await live_steps(model, samples, steps, every_s=PACE_S)


async def launches(model: Model) -> int:
    """Dispatches of a decoder step."""
    return len(model.decoder.record(model.kernels, model.adapter.audio, 1, True))


async def _wait(model: Model) -> float:
    empty = model.device.plan([])
    return median([await _timed(model, empty) for _ in range(20)])


async def _timed(model: Model, plan: int) -> float:
    since = time.perf_counter()
    await model.device.run(plan, (model.decoder.tokens, 0, 4))
    return time.perf_counter() - since
