"""Whether a model is whole: the sums of its shards, its values, and whether it hears speech (spec 13)."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np

from voxtab.check import Clip, check
from voxtab.errors import ModelError, shown
from voxtab.native import models
from voxtab.native.making import values
from voxtab.native.making.shards import MANIFEST
from voxtab.native.models import LocalModel
from voxtab.weights import checkpoint
from voxtab.weights.directory import Tensor, quoted
from voxtab.weights.manifest import MANIFEST_LIMIT, parse_manifest

_READ_BYTES = 1 << 20
_CHUNK_BYTES = 8 << 20  # of a tensor, about

Progress = Callable[[int, int], None]  # bytes that are read, and all


# --- sums


@dataclass(frozen=True)
class Sums:
    """What the sums of a manifest have shown."""

    shards: int
    right: int  # sums, of a piece or of a whole shard; none is wrong
    without: int  # shards that have no sums


def find_manifest(path: Path) -> Path | None:
    """The manifest of the shards in a folder, if there is one."""
    manifest = path / MANIFEST if path.is_dir() else path
    return manifest if manifest.name.endswith(".json") and manifest.is_file() else None


def check_sums(manifest: Path, progress: Progress | None = None) -> Sums:
    """Read every shard that a manifest names. ModelError, one sentence, if one is missing, short or damaged."""
    try:
        with open(manifest, "rb") as file:
            text = file.read(MANIFEST_LIMIT + 1)
    except OSError as error:
        raise ModelError(f"{shown(manifest)} cannot be read ({error.strerror}).") from None
    shards, _ = parse_manifest(text.decode(errors="replace"), manifest.absolute().as_uri())
    done, total, right, without = 0, sum(shard["bytes"] for shard in shards), 0, 0
    for shard in shards:
        path = Path(unquote(urlsplit(shard["url"]).path))
        wrong = []
        size = (shard["pieces"] or {"bytes": shard["bytes"]})["bytes"]
        sums = shard["pieces"]["sha256"] if shard["pieces"] else [shard["sha256"]]
        for i, found in enumerate(_sums_of(path, shard["bytes"], size)):
            if sums[i] not in (found, None):
                wrong.append(i)
            done += min(size, shard["bytes"] - i * size)
            if progress:
                progress(done, total)
        if wrong and shard["pieces"]:
            at = ", ".join(f"{i + 1}" for i in wrong[:5]) + (", ..." if len(wrong) > 5 else "")
            raise ModelError(
                f"{shown(path)} is damaged in {len(wrong)} of its {len(sums)} pieces ({at}): download it again."
            )
        if wrong:
            raise ModelError(f"{shown(path)} is damaged, as it has another SHA-256: download it again.")
        right += len(sums) if sums[0] else 0
        without += not sums[0]
    return Sums(len(shards), right, without)


def _sums_of(path: Path, nbytes: int, piece_bytes: int) -> Iterator[str]:
    """The SHA-256 of each piece of a file that has to have `nbytes`."""
    try:
        if (there := path.stat().st_size) != nbytes:
            raise ModelError(f"{shown(path)} has {there:,} bytes instead of {nbytes:,}: download it again.")
        with open(path, "rb") as file:
            for start in range(0, nbytes, piece_bytes):
                piece, left = hashlib.sha256(), min(piece_bytes, nbytes - start)
                while left and (data := file.read(min(left, _READ_BYTES))):
                    piece.update(data)
                    left -= len(data)
                yield piece.hexdigest()
    except OSError as error:
        raise ModelError(f"{shown(path)} cannot be read ({error.strerror}): download it again.") from None


# --- values


@dataclass(frozen=True)
class Values:
    """What a model's values show."""

    zeros: list[str]  # tensors that are nothing but zeros
    lowest_code: float | None  # share of Q4_0 blocks with the code -8; None: there is no Q4_0


def check_values(model: LocalModel, progress: Progress | None = None) -> Values:
    """Read every value that the model uses. ModelError if one is not a finite number."""
    zeros, blocks, lowest = [], 0, 0
    tensors = {name: model.directory.tensors[name] for name in checkpoint.shapes(model.config, ada_width=0)}
    done, total = 0, sum(tensor.nbytes for tensor in tensors.values())
    for name, tensor in tensors.items():
        is_zero = True
        for rows, raw in _rows(model, tensor):
            decoded = values.decode(raw, tensor.type, (rows, *tensor.shape[1:]))
            if not np.isfinite(decoded).all():
                raise ModelError(f"Tensor {quoted(name)} has values that are not finite numbers: download it again.")
            is_zero = is_zero and not decoded.any()
            if tensor.type == "Q4_0":
                codes = raw.reshape(-1, 18)[:, 2:]
                blocks += len(codes)
                lowest += int(((codes & 15 == 0) | (codes < 16)).any(axis=1).sum())
            done += len(raw)
            if progress:
                progress(done, total)
        if is_zero and len(tensor.shape) > 1:
            zeros.append(name)
    return Values(zeros, lowest / blocks if blocks else None)


def _rows(model: LocalModel, tensor: Tensor) -> Iterator[tuple[int, np.ndarray]]:
    """Some rows of a tensor at a time: how many, and their bytes."""
    row_bytes = tensor.nbytes // tensor.shape[0]
    step = max(1, _CHUNK_BYTES // row_bytes)
    for first in range(0, tensor.shape[0], step):
        rows = min(step, tensor.shape[0] - first)
        yield rows, np.frombuffer(model.source.read(tensor.offset + first * row_bytes, rows * row_bytes), np.uint8)


# --- speech


async def hear(model: LocalModel, clip: Clip, gpu: int) -> dict:
    """The report of `check`. ModelError if the model does not do what a model does that hears speech."""
    with await models.load_model(model, gpu=gpu) as loaded:
        report = await check(loaded, [clip])
        await loaded.device.done()
    if report["problem"]:
        raise ModelError(report["problem"])
    return report
