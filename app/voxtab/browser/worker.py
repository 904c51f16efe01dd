"""The page's requests, answered by the engine. Runs in the Worker; worker.js hands over each message.

A message is {id, verb, ...}; its one answer is {id, result} or {id, error: {kind, message}}. Events have no id.
"""

import asyncio
import json
import time
import traceback

from js import JSON, navigator
from page import gpu, post, site
from pyodide.ffi import JsException

from voxtab.bench import bench
from voxtab.browser.gpu import BrowserDevice
from voxtab.browser.models import SIZE_UNKNOWN, Weights, given, open_stream, read_directory, read_tokenizer, wanted
from voxtab.config import SAMPLE_RATE
from voxtab.errors import AudioError, DeviceError, ModelError, TokenizerError, UserError
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.variants import Variants
from voxtab.model import Model
from voxtab.result import result
from voxtab.transcriber import Transcriber
from voxtab.weights import checkpoint

FEED_SAMPLES = 10 * SAMPLE_RATE  # that go into Python's heap at a time
REPORT_SECONDS = 0.5  # between reports of how far the text has come, also where there is none

# Kinds of errors, in the protocol; the rest that a user can cause is about the audio, its delay or pinned variants.
KINDS = {ModelError: "model", TokenizerError: "tokenizer", AudioError: "audio", DeviceError: "device"}


class Stream:
    """One transcription. Audio waits in JavaScript and goes to the transcriber at the model's pace."""

    def __init__(self, model: Model, load_s: float, schedule):
        self._model, self._load_s = model, load_s
        self._transcriber = Transcriber(model, schedule.delay_ms, schedule.left_silence_tokens)
        self._since = time.perf_counter()
        self._waiting = asyncio.Queue()
        self.ended = asyncio.ensure_future(self._run())
        self.ended.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # finish() tells it

    def feed(self, samples):
        self._waiting.put_nowait(samples)

    def flush(self):
        self._waiting.put_nowait("flush")

    def finish(self):
        self._waiting.put_nowait("finish")

    def stop(self):
        self._transcriber.close()
        self.ended.cancel()

    async def _run(self) -> dict:
        tasks = [asyncio.ensure_future(part) for part in (self._read(), self._feed(), self._report())]
        try:
            reading, feeding, _ = tasks
            await asyncio.wait([reading, feeding], return_when=asyncio.FIRST_EXCEPTION)
            for task in (feeding, reading):
                if task.done():
                    task.result()
        finally:
            self._transcriber.close()
            for task in tasks:
                task.cancel()
        return result(
            self._transcriber, model=self._model.name, load_s=self._load_s, run_s=time.perf_counter() - self._since
        )

    async def _feed(self):
        while True:
            item = await self._waiting.get()
            if item == "flush":
                self._transcriber.flush()
            elif item == "finish":
                self._transcriber.finish()
                return
            else:
                for start in range(0, item.length, FEED_SAMPLES):
                    self._transcriber.feed(item.subarray(start, start + FEED_SAMPLES).to_memoryview())
                    await self._transcriber.room()

    async def _read(self):
        async for text in self._transcriber.text():
            if text:
                tell("text", text=text, audio_seconds=self._transcriber.done_seconds)

    async def _report(self):
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            tell("covered", audio_seconds=self._transcriber.done_seconds)


class Worker:
    """One model and one transcription at a time. Requests are answered as they come; opening and finishing take their time."""

    verbs = "open", "cancel", "start", "feed", "flush", "finish", "stop", "bench"

    def __init__(self):
        self.opening: asyncio.Task | None = None
        self.measuring: asyncio.Task | None = None
        self.model: Model | None = None
        self.load_s = 0.0
        self.stream: Stream | None = None

    # --- requests: one method a verb

    async def open(self, request) -> dict:
        self._close()
        if self.opening:
            self.opening.cancel()
        self.opening = asyncio.ensure_future(self._open(request))
        return await self.opening

    async def cancel(self, request) -> dict:
        if self.opening:
            self.opening.cancel()
        return {}

    async def start(self, request) -> dict:
        self._check_model()
        schedule = self.model.config.schedule(_number(request, "delay_ms"), _number(request, "left_silence_tokens"))
        self._stop()
        self.stream = Stream(self.model, self.load_s, schedule)
        return {}

    async def feed(self, request) -> dict:
        self._running().feed(request.samples)
        return {}

    async def flush(self, request) -> dict:
        self._running().flush()
        return {}

    async def finish(self, request) -> dict:
        stream = self._running()
        stream.finish()
        try:
            return await asyncio.shield(stream.ended)
        finally:
            if self.stream is stream:
                self.stream = None

    async def stop(self, request) -> dict:
        self._stop()
        return {}

    async def bench(self, request) -> dict:
        """Measure the open model on `samples`; with `repeat` they are played again and again."""
        self._check_model()
        self._stop()
        self.measuring = asyncio.ensure_future(
            bench(self.model, request.samples.to_memoryview(), request.audio, self.load_s, repeat=request.repeat)
        )
        return await self.measuring

    # --- what they share

    def receive(self, request):
        """A message from the page."""
        asyncio.ensure_future(self._answer(request))

    async def _answer(self, request):
        try:
            if request.verb not in self.verbs:
                raise ValueError(f"no request {request.verb!r}")
            answer = {"result": await getattr(self, request.verb)(request)}
        except (Exception, asyncio.CancelledError) as error:
            answer = {"error": explained(error)}
        post(_js({"id": request.id} | answer))

    def _check_model(self):
        if not self.model:
            raise ModelError("No model is open: open one first.")

    def _running(self) -> Stream:
        if not self.stream:
            raise UserError("No transcription is under way: start one first.")
        if self.stream.ended.done():  # it failed: finish() would have taken it away
            self.stream.ended.result()
        return self.stream

    def _lost(self, device, message: str):
        """What is under way fails by itself and says so; the page need hear only of a model that was open."""
        if self.model and self.model.device is device:
            tell("lost", message=message)

    def _stop(self):
        if self.stream:
            self.stream.stop()
        if self.measuring:
            self.measuring.cancel()
        self.stream = self.measuring = None

    def _close(self):
        self._stop()
        if self.model:
            self.model.close()
        self.model = None

    async def _open(self, request) -> dict:
        since = time.perf_counter()
        stream = device = None
        try:
            name, parts, tokenizer = await wanted(request)
            tell("progress", stage="device", done=0, total=0)
            device = await BrowserDevice.open(gpu, lambda message: self._lost(device, message))
            stream = open_stream(parts)
            size = await stream.open() or SIZE_UNKNOWN
            directory = await read_directory(stream, size)
            config = checkpoint.read_config(directory)
            # A file may hold more than the model; for the names alone the width does not matter.
            nbytes = sum(directory.tensors[name].nbytes for name in checkpoint.shapes(config, ada_width=0))

            def progress(done):
                tell("progress", stage="weights", done=done, total=nbytes)
                if done == nbytes:
                    tell("progress", stage="kernels", done=0, total=0)

            case = json.dumps([site.build, navigator.userAgent, device.adapter.as_json(), nbytes])
            variants = _variants(request, case, device.adapter)
            loading = Model.load(
                device, directory, config, Weights(stream, size), None, name=name, progress=progress, variants=variants
            )
            # The tokenizer is Python's work and the weights are JavaScript's: neither has to wait for the other.
            model, model.tokenizer = await together(loading, read_tokenizer(tokenizer, config.vocabulary))
            self.model = model
        except BaseException:
            if device:
                device.close()
            raise
        finally:
            if stream:
                stream.close()
        self.load_s = time.perf_counter() - since
        gpu_adapter = device.adapter
        return {
            "name": name,
            "dialect": directory.dialect,
            "vocabulary": config.vocabulary,
            "default_delay_ms": config.delay_ms,
            "left_silence_tokens": config.left_silence_tokens,
            "adapter": {
                "vendor": gpu_adapter.vendor,
                "device": gpu_adapter.device,
                "description": gpu_adapter.description,
                "software": gpu_adapter.is_software,
            },
            "warning": self.model.warning,
            "model_bytes": nbytes,
            "gpu_bytes": device.nbytes,
            "choice": {"name": case, "variants": f"linear={model.kernels.variants.linear}"} if model.tuned else None,
        }


def _variants(request, case: str, adapter: GpuAdapter) -> Variants | None:
    """Those that the request asks for, those that were found fastest in this case before, or None: they are to be tried."""
    if request.variants:
        return Variants.pinned(adapter, request.variants)
    known = given(request, "known").get(case)
    try:
        return Variants.pinned(adapter, str(known)) if known else None
    except UserError:  # what was remembered is no longer so
        return None


async def together(*parts) -> list:
    """The results of coroutines. The first error is all's, and ends those that are under way."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


# --- messages


def explained(error: BaseException) -> dict:
    """An error as the page gets it: a kind and one sentence for the user."""
    if isinstance(error, asyncio.CancelledError):
        return {"kind": "aborted", "message": "This was stopped."}
    if isinstance(error, JsException) and getattr(error, "kind", None):
        return {"kind": error.kind, "message": error.message}
    if isinstance(error, UserError):
        return {"kind": KINDS.get(type(error), "audio"), "message": str(error)}
    traceback.print_exception(error)
    return {
        "kind": "bug",
        "message": f"Something in Voxtab is broken ({type(error).__name__}: {error}): reload the page, and "
        "report it if it happens again.",
    }


def tell(event: str, **more):
    post(_js({"event": event} | more))


def _js(message: dict):
    return JSON.parse(json.dumps(message))


def _number(request, name: str) -> int | None:
    value = getattr(request, name, None)
    return value if isinstance(value, int) else None
