"""Open a model in the tab: locate its bytes, read its header, bring its weights to the GPU.

The weights' bytes stay in JavaScript, in a Source of `web/worker/weights/source.js`.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from js import Object, navigator
from page import gpu, site, store
from page import source as sources
from pyodide.ffi import JsException, to_js

from voxtab.browser.gpu import BrowserDevice
from voxtab.browser.locate import locate_model
from voxtab.browser.messages import object_of, post_event
from voxtab.errors import ModelError, TokenizerError, UserError
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.variants import Variants
from voxtab.model import Model
from voxtab.tokenizer import READ_BYTES, TekkenReader, Tokenizer
from voxtab.weights import checkpoint, dialects, gguf, vocabulary
from voxtab.weights.directory import Array, Directory, HeaderIncomplete

FIRST_READ = 1 << 18  # bytes: the header of a file without a tokenizer is smaller
SIZE_UNKNOWN = 1 << 62  # of a file, when a server does not say
LARGEST_MODEL = 64 << 30  # bytes of GPU memory; a header may say anything
LARGEST_UNTOLD = 8 << 30  # the same, when no server says how large the file is


@dataclass(frozen=True)
class OpenModel:
    model: Model
    load_s: float
    facts: dict  # for the page


async def open_model(request: Any, lost: Callable[[BrowserDevice, str], None]) -> OpenModel:
    """The model that the request asks for. `lost` is called with its device and a sentence if the GPU goes away."""
    since = time.perf_counter()
    source: Any = None
    device: BrowserDevice | None = None

    def on_lost(message: str) -> None:
        if device:
            lost(device, message)

    try:
        located = await locate_model(request)
        post_event("progress", stage="device", done=0, total=0)
        device = await BrowserDevice.open(gpu, on_lost)
        network = getattr(request, "network", True)
        source = open_source(located.shards, network=network)
        size = await source.open()
        directory, head = await read_directory(source, size or SIZE_UNKNOWN)
        refuse_absurd(directory, not size)
        directory = dialects.translated(directory)
        config = checkpoint.read_config(directory)
        # A file may hold more than the model. The names alone do not depend on the width.
        nbytes = sum(directory.tensors[name].nbytes for name in checkpoint.shapes(config, ada_width=0))

        def progress(done: int) -> None:
            post_event("progress", stage="weights", done=done, total=nbytes)
            if done == nbytes:
                post_event("progress", stage="kernels", done=0, total=0)

        case = json.dumps([site.build, navigator.userAgent, device.adapter.as_json(), nbytes])
        loading = Model.load(
            device,
            directory,
            config,
            source,
            None,
            name=located.name,
            progress=progress,
            variants=_variants(request, case, device.adapter),
        )
        # Python reads the tokenizer while JavaScript reads the weights: neither waits for the other.
        inside = None if object_of(request, "tokenizer") else vocabulary.place(directory)
        if isinstance(inside, Array):
            tokenizer = vocabulary.read(directory, head[inside.offset :][: inside.nbytes], config.vocabulary)
            model, tokenizer_is_kept = await loading, True
        else:
            model, (tokenizer, tokenizer_is_kept) = await together(
                loading, read_tokenizer(located.tokenizer, config.vocabulary, network)
            )
        model.tokenizer = tokenizer
        is_kept = source.isKept and tokenizer_is_kept
    except BaseException:
        if device:
            device.close()
        raise
    finally:
        if source:
            source.close()
    adapter = device.adapter
    facts = {
        "name": located.name,
        "dialect": directory.dialect,
        "vocabulary": config.vocabulary,
        "default_delay_ms": config.delay_ms,
        "left_silence_tokens": config.left_silence_tokens,
        "gpu": {
            "vendor": adapter.vendor,
            "device": adapter.device,
            "description": adapter.description,
            "software": adapter.is_software,
        },
        "warning": model.warning,
        "model_bytes": nbytes,
        "gpu_bytes": device.nbytes,
        "kept": located.key if is_kept else None,
        "choice": {"name": case, "variants": model.kernels.variants.found} if model.tuned else None,
    }
    return OpenModel(model, time.perf_counter() - since, facts)


def _variants(request: Any, case: str, adapter: GpuAdapter) -> Variants | None:
    """The variants that the request pins, or those found fastest in this case before. None: try all."""
    if request.variants:
        return Variants.pinned(adapter, request.variants)
    known = object_of(request, "known").get(case)
    try:
        return Variants.pinned(adapter, str(known)) if known else None
    except UserError:  # they were remembered by another version
        return None


async def together(*coroutines: Coroutine) -> list:
    """All results. The first error cancels the others."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def open_source(shards: list[dict], **options: Any) -> Any:
    """A Source of source.js over the shards."""
    return sources.Source.new(*to_js([shards, options], dict_converter=Object.fromEntries))


async def read_directory(source: Any, size: int) -> tuple[Directory, bytes]:
    """The header of a GGUF file, read and as bytes. The source then still gives the file from its first byte."""
    nbytes = FIRST_READ
    while True:
        head = (await source.head(min(nbytes, size))).to_bytes()
        # If the file is shorter than it seemed, do not ask for more forever.
        if len(head) < min(nbytes, size):
            size = len(head)
        try:
            return gguf.parse(head, size), head
        except HeaderIncomplete as error:
            nbytes = max(2 * nbytes, error.needed)


def refuse_absurd(directory: Directory, untold: bool) -> None:
    """ModelError if the header says more than can be, before anything is made from its numbers."""
    nbytes = sum(tensor.nbytes for tensor in directory.tensors.values())
    most = LARGEST_UNTOLD if untold else LARGEST_MODEL
    if nbytes > most:
        untold_too = ", and its server does not say how large the file is" if untold else ""
        raise ModelError(
            f"The model's header says that its tensors have {nbytes:,} bytes{untold_too}: at most {most:,} are "
            "possible, so use another model."
        )


async def read_tokenizer(shard: dict | None, vocabulary: int, network: bool) -> tuple[Tokenizer, bool]:
    """The Tokenizer of a tekken.json, and whether the store has all of it. TokenizerError if there is none."""
    if not shard:
        raise TokenizerError("There is no tekken.json: choose it together with the model's files.")
    place = shard.get("store") and to_js(shard["store"], dict_converter=Object.fromEntries)
    if place and (packed := await store.keptVocabulary(place)):
        tokenizer = Tokenizer.unpacked(packed.to_bytes())
        if tokenizer and len(tokenizer) == vocabulary:
            return tokenizer, True
    # READ_BYTES at a time: TekkenReader never holds more of the file's 15 MB.
    text = open_source([shard], chunkBytes=READ_BYTES, network=network)
    reader = TekkenReader(vocabulary)
    try:
        while chunk := await text.next(READ_BYTES):
            reader.feed(chunk.to_bytes())
        tokenizer = reader.finish()
        if place and text.isKept:
            await store.keepVocabulary(place, to_js(tokenizer.packed()))
        return tokenizer, text.isKept
    except JsException as error:
        if getattr(error, "kind", None) == "model":
            raise TokenizerError(error.message) from None
        raise
    finally:
        text.close()
