"""The page's requests, answered by the engine. Runs in the Worker; worker.js hands over each message.

A message is {id, verb, ...}; its one answer is {id, result} or {id, error: {kind, message}}. Events have no id.
"""

import asyncio
import json
import re
import time
import traceback
from urllib.parse import urljoin, urlsplit

from js import JSON, Object
from page import gpu, here, post, site, source
from pyodide.ffi import JsException, to_js

from voxtab.bench import bench
from voxtab.config import SAMPLE_RATE
from voxtab.errors import AudioError, DeviceError, ModelError, TokenizerError, UserError
from voxtab.gpu.browser import BrowserDevice
from voxtab.model import Model
from voxtab.result import result
from voxtab.tokenizer import READ_BYTES, TekkenReader
from voxtab.transcriber import Transcriber
from voxtab.weights import checkpoint, gguf
from voxtab.weights.directory import HeaderIncomplete
from voxtab.weights.source import in_order

FIRST_READ = 1 << 18                # bytes: the header of a file without a tokenizer is smaller
SIZE_UNKNOWN = 1 << 62              # of a file, when a server does not say
FEED_SAMPLES = 10 * SAMPLE_RATE     # that go into Python's heap at a time
REPORT_SECONDS = 0.5                # between reports of how far the text has come, also where there is none

# Kinds of errors, in the protocol; the rest that a user can cause is about the audio and its delay.
KINDS = {ModelError: "model", TokenizerError: "tokenizer", AudioError: "audio", DeviceError: "device"}


class Weights:
    """The source of an upload: the bytes stay in JavaScript."""

    def __init__(self, stream, size: int):
        self.stream, self.size = stream, size


class Stream:
    """One transcription. Audio waits in JavaScript and goes to the transcriber at the model's pace."""

    def __init__(self, model: Model, load_s: float, schedule):
        self._model, self._load_s = model, load_s
        self._transcriber = Transcriber(model, schedule.delay_ms, schedule.left_silence_tokens)
        self._since = time.perf_counter()
        self._waiting = asyncio.Queue()
        self.ended = asyncio.ensure_future(self._run())
        self.ended.add_done_callback(lambda ended: ended.cancelled() or ended.exception())     # finish() tells it

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
        return result(self._transcriber, model=self._model.name, load_s=self._load_s, run_s=time.perf_counter() - self._since)

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
            bench(self.model, request.samples.to_memoryview(), request.audio, self.load_s, repeat=request.repeat))
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
        if self.stream.ended.done():        # it failed: finish() would have taken it away
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
            name, parts, tokenizer = await _wanted(request)
            tell("progress", stage="device", done=0, total=0)
            device = await BrowserDevice.open(gpu, lambda message: self._lost(device, message))
            stream = _open_stream(parts)
            size = await stream.open() or SIZE_UNKNOWN
            directory = await _read_directory(stream, size)
            config = checkpoint.read_config(directory)
            pieces = await _read_tokenizer(tokenizer, config.vocabulary)
            # A file may hold more than the model; for the names alone the width does not matter.
            nbytes = sum(directory.tensors[name].nbytes for name in checkpoint.shapes(config, ada_width=0))

            def progress(done):
                tell("progress", stage="weights", done=done, total=nbytes)
                if done == nbytes:
                    tell("progress", stage="kernels", done=0, total=0)

            self.model = await Model.load(device, directory, config, Weights(stream, size), pieces, name=name, progress=progress)
        except BaseException:
            if device:
                device.close()
            raise
        finally:
            if stream:
                stream.close()
        self.load_s = time.perf_counter() - since
        info = device.info
        return {
            "name": name, "dialect": directory.dialect, "vocabulary": config.vocabulary,
            "default_delay_ms": config.delay_ms, "left_silence_tokens": config.left_silence_tokens,
            "adapter": {"vendor": info["vendor"], "device": info["device"], "description": info["description"],
                        "software": info["adapter_type"] == "CPU"},
            "model_bytes": nbytes, "gpu_bytes": device.nbytes,
        }


# --- opening a model

async def _wanted(request) -> tuple[str, list[dict], dict]:
    """The model's name, its parts in order and its tokenizer's part, as Source of source.js takes them."""
    model, asked = _given(request, "model"), _given(request, "tokenizer")
    tokenizer = None
    if "files" in model:
        files = {file.name: file for file in model["files"]}
        if not files:
            raise ModelError("No model file was chosen: choose a .gguf file, or all its shards, and tekken.json.")
        names = in_order(sorted(files))
        name, parts = names[0], [{"file": files[name]} for name in names]
    else:
        url = model.get("url") or urljoin(here, site.model)
        name = urlsplit(url).path.rpartition("/")[2] if model else site.name
        if urlsplit(url).path.endswith(".json"):
            parts, tokenizer = _parts_of_manifest(await source.text(url), url)
        else:
            parts = [{"url": url}]
        tokenizer = tokenizer or {"url": urljoin(url, "tekken.json")}
    tokenizer = asked or tokenizer
    if not tokenizer:
        raise TokenizerError("There is no tekken.json: choose it together with the model's files.")
    if getattr(request, "check", True) is False:
        parts = [part | {"sha256": None} for part in parts]
    return name, parts, tokenizer


def _given(request, name: str) -> dict:
    """An object of the request, which may be null or missing, as a dict; files in it stay JavaScript's."""
    value = getattr(request, name, None)
    return value.to_py() if value else {}


def _parts_of_manifest(text: str, url: str) -> tuple[list[dict], dict | None]:
    try:
        manifest = json.loads(text)
        parts = [{"url": _beside(url, shard["path"]), "bytes": int(shard["bytes"]), "sha256": shard.get("sha256")}
                 for shard in manifest["shards"]]
        tokenizer = {"url": _beside(url, manifest["tokenizer"])} if manifest.get("tokenizer") else None
        if not parts or any(part["bytes"] < 1 or not re.fullmatch("[0-9a-fA-F]{64}", part["sha256"] or "0" * 64) for part in parts):
            raise ValueError
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise ModelError(f"{url.partition('?')[0]} is no manifest of a model: it needs \"shards\", each with a path on the same host, "
                         "its bytes and perhaps its sha256.") from None
    return parts, tokenizer


def _beside(url: str, path: str) -> str:
    """A path of the manifest at `url` as an address. The user agreed to that one's host and to no other."""
    address = urljoin(url, path)
    if urlsplit(address)[:2] != urlsplit(url)[:2]:
        raise ValueError
    return address


def _open_stream(parts: list[dict], *piece_bytes: int):
    return source.Source.new(to_js(parts, dict_converter=Object.fromEntries), *piece_bytes)


async def _read_directory(stream, size: int):
    """The header of a GGUF file; its bytes stay the first that the stream gives."""
    nbytes = FIRST_READ
    while True:
        head = (await stream.head(min(nbytes, size))).to_bytes()
        # A file that is shorter than it seemed must not ask for more for ever.
        if len(head) < min(nbytes, size):
            size = len(head)
        try:
            return gguf.parse(head, size)
        except HeaderIncomplete as error:
            nbytes = max(2 * nbytes, error.needed)


async def _read_tokenizer(part: dict, vocabulary: int):
    # Pieces of READ_BYTES: what TekkenReader holds of the file's 15 MB is never more.
    stream = _open_stream([part], READ_BYTES)
    done, reader = 0, TekkenReader(vocabulary)
    try:
        total = await stream.open() or 0
        while piece := await stream.next(READ_BYTES):
            reader.feed(piece.to_bytes())
            done += piece.length
            tell("progress", stage="tokenizer", done=done, total=total)
    except JsException as error:
        if getattr(error, "kind", None) == "model":
            raise TokenizerError(error.message) from None
        raise
    finally:
        stream.close()
    return reader.finish()


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
    return {"kind": "bug", "message": f"Something in Voxtab is broken ({type(error).__name__}: {error}): reload the page, and "
                                      "report it if it happens again."}


def tell(event: str, **more):
    post(_js({"event": event} | more))


def _js(message: dict):
    return JSON.parse(json.dumps(message))


def _number(request, name: str) -> int | None:
    value = getattr(request, name, None)
    return value if isinstance(value, int) else None


Worker().receive
