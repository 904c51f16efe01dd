"""A GGUF file -> raw shards with a manifest, and back.

Shards are the file's bytes, cut anywhere. The manifest says which they are, with the sums by which the page checks
what it downloads (`voxtab.weights.manifest`).
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase

from voxtab.errors import ModelError, UserError
from voxtab.native.making.made_files import TOKENIZER, check_new, check_room, check_tokenizer, put_tokenizer
from voxtab.native.models import LocalModel, read_model
from voxtab.weights.manifest import LARGEST_PIECE, MOST_SHARDS

MANIFEST = "manifest.json"
SHARD_BYTES = 512 << 20  # as the published shards
PIECE_BYTES = 4 << 20
_READ_BYTES = 1 << 20

Progress = Callable[[int, int], None]  # bytes that are written, and all


class ShardWriter(AbstractContextManager):
    """Writes a shard, and keeps the SHA-256 of it and of its pieces."""

    def __init__(self, path: Path, piece_bytes: int = PIECE_BYTES):
        self._path, self._piece_bytes = path, piece_bytes
        self._whole, self._pieces, self._nbytes = hashlib.sha256(), list[str](), 0
        self._piece, self._room = hashlib.sha256(), piece_bytes

    def __enter__(self) -> "ShardWriter":
        self._file = open(self._path, "wb")
        return self

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._whole.update(data)
        self._nbytes += len(data)
        rest = memoryview(data)
        while rest:
            head, rest = rest[: self._room], rest[self._room :]
            self._piece.update(head)
            self._room -= len(head)
            if not self._room:
                self._end_piece()

    def _end_piece(self) -> None:
        self._pieces.append(self._piece.hexdigest())
        self._piece, self._room = hashlib.sha256(), self._piece_bytes

    def __exit__(self, *_) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._room < self._piece_bytes:
            self._end_piece()

    def entry(self) -> dict:
        """What a manifest says of the shard, once it is written."""
        pieces = {"bytes": self._piece_bytes, "sha256": self._pieces}
        return {"path": self._path.name, "bytes": self._nbytes, "sha256": self._whole.hexdigest(), "pieces": pieces}


def shard_names(count: int) -> list[str]:
    """As `split` counts: shard-aa, shard-ab, ..."""
    letters = 2 if count <= len(ascii_lowercase) ** 2 else 3
    return ["shard-" + "".join(counter) for counter in islice(product(ascii_lowercase, repeat=letters), count)]


def write_manifest(folder: Path, entries: list[dict]) -> None:
    text = json.dumps({"shards": entries, "tokenizer": TOKENIZER}, indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def cut(
    source: LocalModel, folder: Path, shard_bytes: int, piece_bytes: int, progress: Progress | None = None
) -> list[dict]:
    """Write the model's bytes as shards of `shard_bytes` to a new folder, with manifest.json and tekken.json.

    The folder is there whole or not at all. Gives what the manifest says of each shard.
    """
    _check_gguf(source)
    count = -(-source.source.size // shard_bytes)
    if not 1 <= piece_bytes <= LARGEST_PIECE:
        raise UserError(f"Pieces of {piece_bytes:,} bytes are not possible: from 1 to {LARGEST_PIECE:,} are.")
    if count > MOST_SHARDS:
        raise UserError(f"That makes {count:,} shards, and {MOST_SHARDS:,} are possible: use larger ones.")
    check_new(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    check_room(folder, source.source.size)
    entries = []
    with _aside(folder) as part:
        part.mkdir()
        for i, name in enumerate(shard_names(count)):
            start = i * shard_bytes
            with ShardWriter(part / name, piece_bytes) as shard:
                for data in _blocks(source, start, min(start + shard_bytes, source.source.size), progress):
                    shard.write(data)
            entries.append(shard.entry())
        write_manifest(part, entries)
        put_tokenizer(source, part)
        read_model(part)
        part.rename(folder)
    return entries


def join(source: LocalModel, path: Path, progress: Progress | None = None) -> None:
    """Write the model's bytes as one file, which is there whole or not at all, and tekken.json beside it."""
    _check_gguf(source)
    check_new(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    check_tokenizer(source, path.parent)
    check_room(path, source.source.size)
    with _aside(path) as part:
        with open(part, "wb") as file:
            for data in _blocks(source, 0, source.source.size, progress):
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put_tokenizer(source, path.parent)
        part.rename(path)


def _check_gguf(source: LocalModel) -> None:
    """ModelError unless the source is one GGUF file, which may be in raw shards."""
    begins = []
    for path in source.source.paths:
        with open(path, "rb") as file:
            begins.append(file.read(4) == b"GGUF")
    if not begins[0] or any(begins[1:]):
        raise ModelError(f"{source.source.label} is not one GGUF file: make one with voxtab convert.")


def _blocks(source: LocalModel, start: int, end: int, progress: Progress | None) -> Iterator[bytes]:
    for at in range(start, end, _READ_BYTES):
        yield source.source.read(at, min(_READ_BYTES, end - at))
        if progress:
            progress(min(at + _READ_BYTES, end), source.source.size)


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """Where to write what is renamed to `path` at last; what a killed run left there is removed."""
    part = path.with_name(path.name + ".part")
    _remove(part)
    try:
        yield part
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)
