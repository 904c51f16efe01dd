"""The page's requests, answered by the engine. `web/worker/boot.js` makes a Worker and hands it each message."""

import asyncio
from typing import Any

from page import gpu, source

from voxtab import subtitles
from voxtab.bench import bench
from voxtab.browser.gpu import BrowserDevice
from voxtab.browser.messages import list_of, number_of, post_error, post_event, post_result
from voxtab.browser.models import OpenModel, open_model
from voxtab.browser.stream import Stream
from voxtab.check import Clip, check
from voxtab.errors import ModelError, UserError
from voxtab.prediction import predict
from voxtab.words import Word


class Worker:
    """One model and one stream at a time. Requests are answered as they come; opening and finishing take their time."""

    verbs = (
        "open",
        "cancel",
        "pause",
        "start",
        "feed",
        "flush",
        "finish",
        "stop",
        "subtitles",
        "predict",
        "bench",
        "check",
    )

    def __init__(self) -> None:
        self.opening: asyncio.Task[OpenModel] | None = None
        self.measuring: asyncio.Task[dict] | None = None
        self.opened: OpenModel | None = None
        self.stream: Stream | None = None

    def receive(self, request: Any) -> None:
        """A message from the page."""
        asyncio.ensure_future(self._answer(request))

    async def _answer(self, request: Any) -> None:
        try:
            if request.verb not in self.verbs:
                raise ValueError(f"no request {request.verb!r}")
            result = await getattr(self, request.verb)(request)
        except (Exception, asyncio.CancelledError) as error:
            post_error(request, error)
        else:
            post_result(request, result)

    # --- requests: one method for each verb

    async def open(self, request: Any) -> dict:
        """Close the open model, and open the one that the request describes (`manifest.locate_model`)."""
        self._close()
        if self.opening:
            self.opening.cancel()
        self.opening = asyncio.ensure_future(self._open(request))
        return (await self.opening).facts

    async def cancel(self, request: Any) -> dict:
        """Stop opening."""
        if self.opening:
            self.opening.cancel()
        return {}

    async def pause(self, request: Any) -> dict:
        """Pause all downloads, or let them go on: the request's `paused`."""
        source.pause(request.paused)
        return {}

    async def start(self, request: Any) -> dict:
        """A new stream, with the request's `delay_ms` and `left_silence_tokens` or, if null, the model's.

        With `tokens`, ids from `text` events, it goes on where the stream that made them was. With `guard` false,
        it is not started again where it writes nothing; `alternatives`: how many to note (both: `Transcriber`).
        """
        opened = self._open_model()
        schedule = opened.model.config.schedule(
            number_of(request, "delay_ms"), number_of(request, "left_silence_tokens")
        )
        self._stop()
        guard, alternatives = getattr(request, "guard", True) is not False, number_of(request, "alternatives") or 0
        self.stream = Stream(
            opened.model, schedule, opened.load_s, list_of(request, "tokens"), guard=guard, alternatives=alternatives
        )
        return {}

    async def feed(self, request: Any) -> dict:
        """Take `samples`; the answer comes once there is room for more."""
        await self._running().feed(request.samples)
        return {}

    async def flush(self, request: Any) -> dict:
        await self._running().flush()
        return {}

    async def finish(self, request: Any) -> dict:
        """{result, tokens, subtitles: {srt, vtt, tsv}} of the whole stream."""
        stream = self._running()
        try:
            return await stream.finish()
        finally:
            if self.stream is stream:
                self.stream = None

    async def stop(self, request: Any) -> dict:
        self._stop()
        return {}

    async def subtitles(self, request: Any) -> dict:
        """{srt, vtt, tsv} of a text that the user has edited: `text`, and its `words` as a result's JSON has them."""
        segments = subtitles.segments([Word(**word) for word in request.words.to_py()], request.text)
        return {name: make(segments) for name, make in subtitles.FORMATS.items()}

    async def predict(self, request: Any) -> dict:
        """How fast the 4B model would be on this machine (`prediction.predict`)."""
        self._stop()
        self.measuring = asyncio.ensure_future(self._predict())
        return await self.measuring

    async def bench(self, request: Any) -> dict:
        """Measure the open model on `samples`; with `repeat` they are played again and again."""
        opened = self._open_model()
        self._stop()
        self.measuring = asyncio.ensure_future(
            bench(opened.model, request.samples.to_memoryview(), request.audio, opened.load_s, repeat=request.repeat)
        )
        return await self.measuring

    async def check(self, request: Any) -> dict:
        """Whether the open model does what it should (`check.check`) on `clips`, {name, samples, reference} each."""
        opened = self._open_model()
        self._stop()
        clips = [Clip(**clip) for clip in request.clips.to_py()]
        self.measuring = asyncio.ensure_future(check(opened.model, clips))
        return await self.measuring

    # --- what they share

    async def _open(self, request: Any) -> OpenModel:
        # Noted at once: a request that comes before `open` goes on must find this model to close it.
        self.opened = await open_model(request, self._lost)
        return self.opened

    async def _predict(self) -> dict:
        device = await BrowserDevice.open(gpu, lambda message: None)  # a lost device fails what waits for it
        try:
            return await predict(device)
        finally:
            device.close()

    def _open_model(self) -> OpenModel:
        if not self.opened:
            raise ModelError("No model is open: open one first.")
        return self.opened

    def _running(self) -> Stream:
        if not self.stream:
            raise UserError("No transcription is under way: start one first.")
        return self.stream

    def _lost(self, device: BrowserDevice, message: str) -> None:
        """Running requests fail by themselves; tell the page only if a model was open."""
        if self.opened and self.opened.model.device is device:
            post_event("lost", message=message)

    def _stop(self) -> None:
        if self.stream:
            self.stream.stop()
        if self.measuring:
            self.measuring.cancel()
        self.stream = self.measuring = None

    def _close(self) -> None:
        self._stop()
        if self.opened:
            self.opened.model.close()
        self.opened = None
