"""Open a model in the tab: locate its bytes, read its header, bring its weights to the GPU.

The weights' bytes stay in JavaScript, in a Source of `web/worker/weights/source.js`.
"""

import asyncio
import json
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from js import Object, navigator
from page import gpu, site, store
from page import source as sources
from pyodide.ffi import JsException, to_js

from voxtab.browser.gpu import BrowserDevice
from voxtab.browser.locate import Located, locate_model, with_mmproj, without_tokenizer
from voxtab.browser.messages import object_of, post_event
from voxtab.errors import ModelError, TokenizerError, UserError
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.variants import Variants
from voxtab.model import Model
from voxtab.tokenizer import READ_BYTES, TekkenReader, Tokenizer
from voxtab.weights import checkpoint, dialects, gguf, layouts, safetensors, vocabulary
from voxtab.weights.directory import Array, Directory, HeaderIncomplete, Tensor, joined

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
        files = await read_headers(source, located, size)
        if dialects.is_text_half(files.directory) and len(located.shards) == 1:
            located = await with_mmproj(located)
            source.close()
            source = open_source(located.shards, network=network)
            size = await source.open()
            files = await read_headers(source, located, size)
        refuse_absurd(files.directory, not size)
        directory = dialects.translated(files.directory, located.config)
        config = checkpoint.read_config(directory)
        # A file may hold more than the model. The names alone do not depend on the width.
        nbytes = sum(directory.tensors[name].nbytes for name in checkpoint.shapes(config, ada_width=0))

        def progress(done: int) -> None:
            post_event("progress", stage="weights", done=done, total=nbytes)
            if done == nbytes:
                post_event("progress", stage="kernels", done=0, total=0)

        case = json.dumps([site.build, navigator.userAgent, device.adapter.as_json(), nbytes])
        tokenizer = None
        inside = None if object_of(request, "tokenizer") else vocabulary.place(directory)
        if inside:
            located = await without_tokenizer(located)
            tokenizer = vocabulary.read(directory, await files.read(source, inside), config.vocabulary)
        loading = Model.load(
            device,
            directory,
            config,
            source,
            tokenizer,
            name=located.name,
            progress=progress,
            variants=_variants(request, case, device.adapter),
        )
        if tokenizer:
            model, tokenizer_is_kept = await loading, True
        else:
            # Python reads the tokenizer while JavaScript reads the weights: neither waits for the other.
            model, (model.tokenizer, tokenizer_is_kept) = await together(
                loading, read_tokenizer(located.tokenizer, config.vocabulary, network)
            )
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


@dataclass(frozen=True)
class Headers:
    """What a model's files say at their beginnings."""

    directory: Directory  # of all of them
    starts: list[int]  # where each file with a header begins in the source, in bytes
    heads: list[bytes]  # its first bytes, with all of the header

    async def read(self, source: Any, place: Array | Tensor) -> bytes:
        """The bytes at a place in the source. The source then still gives what it would have given."""
        file = bisect_right(self.starts, place.offset) - 1
        at = place.offset - self.starts[file]
        if isinstance(place, Array):  # in the header
            return self.heads[file][at : at + place.nbytes]
        # A tensor; the shards of a file with one header are cut anywhere.
        found = bytearray()
        index = file
        while len(found) < place.nbytes and index < source.shards.length:
            answer = await source.part(index, at, at + place.nbytes - len(found))
            found += answer.part.to_bytes()
            at = max(0, at - (answer.size or 0)) if not found else 0
            index += 1
        return bytes(found)


async def read_headers(source: Any, located: Located, size: int | None) -> Headers:
    """The headers of a model's files. The source, of `size` bytes, then still gives the first from its first byte."""
    kind = safetensors if located.names[0].endswith(".safetensors") else gguf

    async def read_first(nbytes: int) -> bytes:
        return (await source.head(nbytes)).to_bytes()

    if len(located.shards) == 1 or not layouts.have_headers(located.names):
        directory, head = await read_header(kind, read_first, size or SIZE_UNKNOWN)
        return Headers(joined([(0, directory)]), [0], [head])
    start, starts, heads, found = 0, [], [], []
    for index, name in enumerate(located.names):
        size = (await source.part(index, 0, 0)).size
        if size is None:
            raise ModelError(
                f"The server does not say how large {name} is, which a model of several files needs: use another host, "
                "or a manifest with the sizes."
            )

        async def read(nbytes: int, index: int = index) -> bytes:
            return (await source.part(index, 0, nbytes)).part.to_bytes()

        try:
            directory, head = await read_header(kind, read, size)
        except ModelError as error:
            raise ModelError(f"{name}: {error}") from None
        found.append((start, directory))
        starts.append(start)
        heads.append(head)
        start += size
    return Headers(joined(found), starts, heads)


async def read_header(kind: Any, read: Callable[[int], Awaitable[bytes]], size: int) -> tuple[Directory, bytes]:
    """The header of a file, read and as bytes. kind: `gguf` or `safetensors`; read(n) gives the first n bytes."""
    nbytes = FIRST_READ
    while True:
        head = await read(min(nbytes, size))
        # If the file is shorter than it seemed, do not ask for more forever.
        if len(head) < min(nbytes, size):
            size = len(head)
        try:
            return kind.parse(head, size), head
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
        raise TokenizerError("The model does not carry its vocabulary: now choose its tekken.json too.")
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
