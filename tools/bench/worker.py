"""The page's Worker with three more requests, for measuring. tools/bench puts it into a copy of the site."""

import time

import pyodide_js

from bench import engine
from voxtab.browser import worker
from voxtab.encoder import block_samples


class Worker(worker.Worker):
    verbs = *worker.Worker.verbs, "state", "replay", "measure"

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
