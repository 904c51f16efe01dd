"""The page's Worker with more requests, for measuring. tools/bench puts it into a copy of the site."""

import asyncio
import time

import pyodide_js
from page import gpu

from bench import engine
from voxtab import prediction
from voxtab.browser import worker
from voxtab.browser.gpu import BrowserDevice
from voxtab.browser.messages import post_event
from voxtab.drafting import EXPECTED
from voxtab.encoder import block_samples


class Worker(worker.Worker):
    verbs = *worker.Worker.verbs, "state", "replay", "measure", "settle", "foretell", "clock"

    def __init__(self):
        super().__init__()
        self.clocks: asyncio.Queue[float] = asyncio.Queue()

    async def state(self, request):
        """Bytes of Python's heap and of GPU buffers, and the GPU's limits."""
        device = self.opened and self.opened.model.device
        return {
            "heap": pyodide_js._module.HEAPU8.length,
            "gpu": device and device.nbytes,
            "limits": device and device.limits,
        }

    async def measure(self, request):
        """Run a measurement of bench/engine.py, with samples if the request has some."""
        samples = [request.samples.to_memoryview()] if request.samples else []
        return await getattr(engine, request.name)(self.opened.model, *samples, **request.options.to_py())

    async def settle(self, request):
        """Wait until the GPU has done all that it was given: the silence at a stream's start, after opening."""
        await self.opened.model.passed(0)
        return {}

    async def foretell(self, request):
        """As `predict`, of a model of the open one's shape; with `processor`, in Chromium's processor time.

        Other programs hardly change it. The page tells it: `processorSeconds`. `tokens`: [rows of a pass, tokens that
        it makes].
        """
        device, timed = await BrowserDevice.open(gpu, lambda message: None), prediction._timed

        async def by_processor(*arguments) -> float:
            before = await self._processor_seconds()
            await timed(*arguments)
            return await self._processor_seconds() - before

        try:
            prediction._timed = by_processor if request.processor else timed
            prediction.EXPECTED = {int(rows): tokens for rows, tokens in request.tokens.to_py()}
            return await prediction.predict(device, self.opened.model.config)
        finally:
            prediction._timed, prediction.EXPECTED = timed, EXPECTED
            device.close()

    async def _processor_seconds(self) -> float:
        post_event("clock")
        return await self.clocks.get()

    async def clock(self, request):
        """The answer to the event `clock`."""
        self.clocks.put_nowait(request.seconds)
        return {}

    async def replay(self, request):
        """Host milliseconds for each token: what Python and JavaScript do, without the wait for the GPU."""
        model, times = self.opened.model, []
        model.start(model.config.schedule())
        samples = bytes(4 * block_samples(1))
        for position in range(request.steps):
            start = time.perf_counter()
            model.encode(position, position, 1, samples)
            middle = time.perf_counter()
            read = model.predict(position, position, 0)
            times.append((1000 * (middle - start), 1000 * (time.perf_counter() - middle)))
            await read
        return times
