"""A model in one type -> the same model as a GGUF file in another, chunk by chunk."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import partial
from math import prod, sqrt
from pathlib import Path

import numpy as np

from voxtab import __version__
from voxtab.errors import ModelError
from voxtab.native.making import gguf_header, values
from voxtab.native.making.fitting import Fitter
from voxtab.native.making.made_files import check_tokenizer, put_tokenizer
from voxtab.native.making.part_file import PartFile
from voxtab.native.models import LocalModel
from voxtab.weights import checkpoint
from voxtab.weights.directory import Tensor, quoted

TYPES = {"q4_0": "Q4_0", "q8_0": "Q8_0", "f16": "F16", "bf16": "BF16"}  # of the matrices; all else is F32
CHUNK_VALUES = 1 << 21  # that are in memory at once, several times, or one row
CHUNKS_AT_ONCE = 3
SYNCED_BYTES = 64 << 20  # of the file that a crash may cost
_ENCODER = checkpoint.ENCODER_LAYER.partition("{")[0]

Progress = Callable[[int, int], None]  # bytes of the file that are done, and of all


@dataclass(frozen=True)
class TensorError:
    """How far a tensor's values are from the source's."""

    name: str
    type: str
    shape: tuple[int, ...]
    relative: float  # root mean square of the difference, divided by that of the source's values
    largest: float  # difference


@dataclass(frozen=True)
class _Chunk:
    """Consecutive rows of a tensor."""

    source: Tensor
    made: Tensor
    first: int  # row
    rows: int
    heads: int  # whose rows are halves in the source and become pairs; 0: rows stay as they are


@dataclass(frozen=True)
class _Sums:
    """Of a chunk's values, in float64."""

    signal: float  # of the source's values, squared
    noise: float  # of the differences, squared
    largest: float  # difference


async def convert(
    source: LocalModel, path: Path, type: str, fitter: Fitter | None = None, progress: Progress | None = None
) -> list[TensorError]:
    """Write `source` as a GGUF file in the published layout (spec 9.3): matrices in `type`, all else F32, the rows of
    wq and wk in pairs. tekken.json comes beside it. Both are there whole or not at all.

    With a `fitter`, the scales of Q4_0 make the squared error small; without one they follow ggml's rule.
    Raises UserError, one sentence, if the files cannot be written or the source has no good values.
    """
    config = source.config
    shapes = {name: source.directory.tensors[name].shape for name in checkpoint.shapes(config, ada_width=0)}
    layout = gguf_header.layout(
        {name: (type if len(shape) == 2 else "F32", shape) for name, shape in shapes.items()},
        checkpoint.metadata(config) | {"general.quantized_by": _maker(type, fitter)},
    )
    chunks = list(_chunks(source, layout))
    check_tokenizer(source, path.parent)
    key = [source.source.identity(), bool(fitter), CHUNK_VALUES, hashlib.sha256(layout.header).hexdigest()]
    with PartFile(path, key, layout.size) as part:
        part.write(0, layout.header)
        await _convert(source, chunks, part, fitter, progress)
        put_tokenizer(source, path.parent)
        part.finish()
    return list(_errors(chunks, [_Sums(*step) for step in part.steps]))


def _maker(type: str, fitter: Fitter | None) -> str:
    return f"voxtab {__version__}" + (f", {'fitted' if fitter else 'plain'} scales" if type == "Q4_0" else "")


def _chunks(source: LocalModel, layout: gguf_header.Layout) -> Iterator[_Chunk]:
    """In the order of the file that is made."""
    for made in layout.tensors:
        tensor = source.directory.tensors[made.name]
        stack = source.config.encoder if made.name.startswith(_ENCODER) else source.config.decoder
        rotated = source.config.half_rope and ".attention.w" in made.name and made.name.split(".")[-2] in ("wq", "wk")
        rows = made.shape[0]
        step = max(1, CHUNK_VALUES // prod(made.shape[1:]))
        if rotated:  # whole heads
            step = max(1, step // stack.head_dim) * stack.head_dim
        for first in range(0, rows, step):
            count = min(step, rows - first)
            yield _Chunk(tensor, made, first, count, count // stack.head_dim if rotated else 0)


async def _convert(
    source: LocalModel, chunks: list[_Chunk], part: PartFile, fitter: Fitter | None, progress: Progress | None
) -> None:
    """Chunks from the first that is not done, several at once; they are written in their order."""
    sizes = [_nbytes(chunk) for chunk in chunks]
    done, total, unsynced = sum(sizes[: len(part.steps)]), sum(sizes), 0
    waiting: deque[asyncio.Task[tuple[bytes, _Sums]]] = deque()
    todo = iter(chunks[len(part.steps) :])
    with ThreadPoolExecutor(CHUNKS_AT_ONCE, "voxtab-convert") as threads:  # all end before the part file is closed
        run = partial(asyncio.get_running_loop().run_in_executor, threads)
        try:
            while True:
                while len(waiting) < CHUNKS_AT_ONCE and (chunk := next(todo, None)):
                    waiting.append(asyncio.create_task(_convert_chunk(source, chunk, fitter, run)))
                if progress:
                    progress(done, total)
                if not waiting:
                    break
                data, sums = await waiting.popleft()
                chunk = chunks[len(part.steps)]
                await run(part.write, chunk.made.offset + chunk.first * _row_bytes(chunk.made), data)
                part.steps.append(astuple(sums))
                done += len(data)
                unsynced += len(data)
                if unsynced >= SYNCED_BYTES:
                    await run(part.sync)
                    unsynced = 0
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


async def _convert_chunk(
    source: LocalModel, chunk: _Chunk, fitter: Fitter | None, run: Callable[..., Awaitable]
) -> tuple[bytes, _Sums]:
    """`run` runs a function in a thread."""
    raw, original, signal = await run(_read, source, chunk)
    if chunk.made.type == chunk.source.type:
        data = raw
    elif fitter and chunk.made.type == "Q4_0":
        data = await fitter.fit(original)
    else:
        data = await run(values.encode, original, chunk.made.type)
    assert len(data) == _nbytes(chunk)
    noise, largest = await run(_difference, chunk, original, data)
    return data, _Sums(signal, noise, largest)


def _read(source: LocalModel, chunk: _Chunk) -> tuple[bytes, np.ndarray, float]:
    """The source's bytes, their values, [rows, ...] f32, and the sum of the values' squares. Rows are in the order of
    the file that is made."""
    shape = chunk.rows, *chunk.source.shape[1:]
    row_bytes = _row_bytes(chunk.source)
    data = source.source.read(chunk.source.offset + chunk.first * row_bytes, chunk.rows * row_bytes)
    if chunk.heads:
        halves = np.frombuffer(data, np.uint8).reshape(chunk.heads, 2, -1, row_bytes)
        data = halves.swapaxes(1, 2).tobytes()
    rows = values.decode(data, chunk.source.type, shape)
    signal = _square_sum(rows)
    if not np.isfinite(signal):
        raise ModelError(
            f"Tensor {quoted(chunk.source.name)} has values that are not finite numbers: download the source again."
        )
    return data, rows, signal


def _difference(chunk: _Chunk, original: np.ndarray, data: bytes) -> tuple[float, float]:
    """The sum of the squares of what `data` are off, and the most that one value is."""
    difference = values.decode(data, chunk.made.type, original.shape) - original
    noise = _square_sum(difference)
    if not np.isfinite(noise):
        raise ModelError(
            f"Tensor {quoted(chunk.source.name)} has values that {chunk.made.type} cannot hold: use --type bf16."
        )
    return noise, float(np.abs(difference, out=difference).max())


def _square_sum(array: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.square(array).sum(dtype=np.float64))


def _nbytes(chunk: _Chunk) -> int:
    return _row_bytes(chunk.made) * chunk.rows


def _row_bytes(tensor: Tensor) -> int:
    return tensor.nbytes // tensor.shape[0]


def _errors(chunks: list[_Chunk], sums: list[_Sums]) -> Iterator[TensorError]:
    of: dict[str, list[_Sums]] = {}
    for chunk, chunk_sums in zip(chunks, sums, strict=True):
        of.setdefault(chunk.made.name, []).append(chunk_sums)
    made = {chunk.made.name: chunk.made for chunk in chunks}
    for name, parts in of.items():
        signal, noise = sum(part.signal for part in parts), sum(part.noise for part in parts)
        yield TensorError(
            name,
            made[name].type,
            made[name].shape,
            sqrt(noise / signal) if signal else 0.0,
            max(part.largest for part in parts),
        )
