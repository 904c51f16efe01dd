"""A model in one type -> the same model as a GGUF file in another, chunk by chunk.

The file is written aside, as DST.part, and DST.part.json says how much of it is done: after a crash or kill -9, the
same conversion goes on there. It says so only of bytes that are on the disk.
"""

import asyncio
import contextlib
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from math import prod, sqrt
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from voxtab import __version__
from voxtab.errors import ModelError, UserError
from voxtab.native.making import gguf_header, values
from voxtab.native.making.fitting import Fitter
from voxtab.native.making.made_files import check_new, check_room, check_tokenizer, put_tokenizer
from voxtab.native.models import LocalModel
from voxtab.native.writing import write_whole
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
    path.parent.mkdir(parents=True, exist_ok=True)
    check_new(path)
    check_tokenizer(source, path.parent)
    with _alone(path):
        part, noted = Path(f"{path}.part"), Path(f"{path}.part.json")
        check_room(path, layout.size, 512 * part.stat().st_blocks if part.exists() else 0)
        journal = _Journal(noted, _key(source, layout, bool(fitter)))
        if not _is_part(part, layout):
            journal.sums.clear()
        with _opened(part, layout) as file:
            await _convert(source, chunks, file, journal, fitter, progress)
        put_tokenizer(source, path.parent)
        os.replace(part, path)
        noted.unlink()
    return list(_errors(chunks, journal.sums))


def _maker(type: str, fitter: Fitter | None) -> str:
    return f"voxtab {__version__}" + (f", {'fitted' if fitter else 'plain'} scales" if type == "Q4_0" else "")


def _key(source: LocalModel, layout: gguf_header.Layout, fitted: bool) -> list:
    """What must be the same for a conversion to go on, as JSON has it."""
    identity = [list(shard) for shard in source.source.identity()]
    return [identity, fitted, CHUNK_VALUES, hashlib.sha256(layout.header).hexdigest()]


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
    source: LocalModel, chunks: list[_Chunk], file: int, journal: "_Journal", fitter: Fitter | None, progress
) -> None:
    """Chunks from the first that is not done, several at once; what is done is noted in their order."""
    sizes = [_nbytes(chunk) for chunk in chunks]
    done, total, unsynced = sum(sizes[: len(journal.sums)]), sum(sizes), 0
    waiting: deque[asyncio.Task[_Sums]] = deque()
    todo = iter(chunks[len(journal.sums) :])
    try:
        while True:
            while len(waiting) < CHUNKS_AT_ONCE and (chunk := next(todo, None)):
                waiting.append(asyncio.create_task(_convert_chunk(source, chunk, file, fitter)))
            if progress:
                progress(done, total)
            if not waiting:
                break
            journal.sums.append(await waiting.popleft())
            done += sizes[len(journal.sums) - 1]
            unsynced += sizes[len(journal.sums) - 1]
            if unsynced >= SYNCED_BYTES:
                await asyncio.to_thread(_sync, file, journal)
                unsynced = 0
        await asyncio.to_thread(_sync, file, journal)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def _sync(file: int, journal: "_Journal") -> None:
    os.fsync(file)
    journal.write()


async def _convert_chunk(source: LocalModel, chunk: _Chunk, file: int, fitter: Fitter | None) -> _Sums:
    raw, original, signal = await asyncio.to_thread(_read, source, chunk)
    if chunk.made.type == chunk.source.type:
        data = raw
    elif fitter and chunk.made.type == "Q4_0":
        data = await fitter.fit(original)
    else:
        data = await asyncio.to_thread(values.encode, original, chunk.made.type)
    return await asyncio.to_thread(_write, file, chunk, original, signal, data)


def _read(source: LocalModel, chunk: _Chunk) -> tuple[bytes, np.ndarray, float]:
    """The source's bytes, their values, [rows, ...] f32, and the sum of the values' squares. Rows are in the order of
    the file that is made."""
    shape = chunk.rows, *chunk.source.shape[1:]
    row_bytes = chunk.source.nbytes // chunk.source.shape[0]
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


def _write(file: int, chunk: _Chunk, original: np.ndarray, signal: float, data: bytes) -> _Sums:
    assert len(data) == _nbytes(chunk)
    row_bytes = chunk.made.nbytes // chunk.made.shape[0]
    _write_at(file, chunk.made.offset + chunk.first * row_bytes, memoryview(data))
    difference = values.decode(data, chunk.made.type, original.shape) - original
    noise = _square_sum(difference)
    if not np.isfinite(noise):
        raise ModelError(
            f"Tensor {quoted(chunk.source.name)} has values that {chunk.made.type} cannot hold: use --type bf16."
        )
    return _Sums(signal, noise, float(np.abs(difference, out=difference).max()))


def _write_at(file: int, offset: int, data: memoryview) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written


def _square_sum(array: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.square(array).sum(dtype=np.float64))


def _nbytes(chunk: _Chunk) -> int:
    return chunk.made.nbytes // chunk.made.shape[0] * chunk.rows


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


# --- files


class _Journal:
    """How much of the part file is done: of which conversion it is, and the sums of the chunks that are done."""

    def __init__(self, path: Path, key: list):
        self._path, self._key = path, key
        self.sums: list[_Sums] = []  # in the chunks' order
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
            kept = json.loads(path.read_bytes())
            if kept["key"] == key:
                self.sums = [_Sums(*sums) for sums in kept["sums"]]

    def write(self) -> None:
        write_whole(self._path, json.dumps({"key": self._key, "sums": [astuple(sums) for sums in self.sums]}))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """UserError if another process makes the same file now."""
    lock = FileLock(f"{path}.part.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"Another process is making {path}: wait for it, or name another file.") from None
    with held:
        yield
        Path(lock.lock_file).unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(part: Path, layout: gguf_header.Layout) -> Iterator[int]:
    """The part file, with its size and header; its descriptor."""
    file = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        os.ftruncate(file, layout.size)
        _write_at(file, 0, memoryview(layout.header))
        yield file
    finally:
        os.close(file)


def _is_part(part: Path, layout: gguf_header.Layout) -> bool:
    return part.exists() and part.stat().st_size == layout.size
