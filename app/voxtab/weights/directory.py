"""The directory of a model: the name, type, shape and bytes of each tensor.

`gguf.py` and `safetensors.py` make it from the first bytes of a file. Plain Python without numpy, as it runs in the
page too.
"""

from dataclasses import dataclass, field, replace
from math import prod

from voxtab.errors import ModelError

# Headers of real models are far smaller (10 MB with a tokenizer). So a damaged length does not cause
# a read of gigabytes to find the header's end.
HEADER_LIMIT = 100_000_000  # bytes

MAX_DIMS = 4

# type -> (values per block, bytes per block), as ggml defines them
_BLOCKS = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
}
FLOATS = "F32", "F16", "BF16"


class HeaderIncomplete(Exception):
    """The given bytes end inside the header, and the file has more.

    `needed` is how many bytes the header has at least, counted from the file's start: more than were given, and not
    more than the file has. Parsing that many may raise this again.
    """

    def __init__(self, needed: int):
        super().__init__(f"the header has at least {needed} bytes")
        self.needed = needed


@dataclass(frozen=True)
class Tensor:
    """One entry of the directory. All its bytes lie inside the file."""

    name: str
    type: str  # ggml's name of it, one of _BLOCKS
    shape: tuple[int, ...]  # outermost first: a Linear is (out, in). 1 to 4 numbers, none is 0
    offset: int  # bytes from the file's start. GGUF: a multiple of 4; safetensors: any
    nbytes: int


@dataclass(frozen=True)
class Array:
    """An array in the metadata, which is not read along with the header: `gguf.read_strings` does that."""

    type: int  # of its values, a number of the format
    count: int
    offset: int  # bytes from the source's start to its values
    nbytes: int


@dataclass(frozen=True)
class Directory:
    """All tensors of a model by name, in the order of its header, and what else the header says."""

    format: str  # 'GGUF' or 'SafeTensors'
    tensors: dict[str, Tensor]
    metadata: dict[str, object]  # numbers, booleans and strings; an Array for an array
    version: int | None  # of the GGUF format; SafeTensors has none
    unreadable: dict[str, str] = field(default_factory=dict)  # other tensors, and a sentence why they cannot be read
    dialect: str = ""  # whose names the tensors had, once `dialects.translated` gave them Mistral's
    half_rope: bool = False  # rows of wq and wk in halves (Hugging Face) instead of pairs (Mistral)

    def has(self, name: str) -> bool:
        return name in self.tensors or name in self.unreadable

    def tensor(self, name: str) -> Tensor:
        """One that the model needs. ModelError if it is not there or cannot be read."""
        if name in self.unreadable:
            raise ModelError(self.unreadable[name])
        if name not in self.tensors:
            raise ModelError(f"The model has no tensor {quoted(name)}: give a complete Voxtral Realtime model.")
        return self.tensors[name]


def joined(files: list[tuple[int, Directory]]) -> Directory:
    """The directory of a model of several files, each with a header of its own, after where each begins in the source.

    ModelError if a tensor is in two of them, or if they are not all the parts that gguf-split made.
    """
    first = files[0][1]
    for i, (_, directory) in enumerate(files):
        parts = directory.metadata.get("split.count", 0)
        if parts not in (0, 1) and (parts, directory.metadata.get("split.no")) != (len(files), i):
            raise ModelError(
                f"This is one of {quoted(str(parts))} files that gguf-split made of a model: keep all of them in one "
                "folder, with the names that gguf-split gave them."
            )
    if len(files) == 1:
        return first
    tensors: dict[str, Tensor] = {}
    unreadable: dict[str, str] = {}
    metadata: dict[str, object] = {}
    for start, directory in files:
        if twice := tensors.keys() & directory.tensors.keys():
            raise ModelError(
                f"Tensor {quoted(min(twice))} is in two of the model's files: leave only the files of one model there."
            )
        tensors |= {name: replace(tensor, offset=start + tensor.offset) for name, tensor in directory.tensors.items()}
        unreadable |= directory.unreadable
        for key, value in directory.metadata.items():
            moved = replace(value, offset=start + value.offset) if isinstance(value, Array) else value
            metadata.setdefault(key, moved)  # the first file's count
    return replace(first, tensors=tensors, unreadable=unreadable, metadata=metadata)


def tensor_nbytes(type: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor, or of one row of it: give `shape[1:]`.

    Q4_0, for one, puts each 32 consecutive values of a row into 18 bytes. ValueError if rows are not whole blocks.
    """
    values, nbytes = _BLOCKS[type]
    if shape[-1] % values:
        raise ValueError(f"a row of {shape[-1]} values is not made of whole {type} blocks of {values}")
    return prod(shape) // values * nbytes


def block_nbytes(type: str) -> int:
    """Bytes of a block."""
    return _BLOCKS[type][1]


def locate(name: str, type: str, shape: tuple[int, ...], offset: int, size: int) -> Tensor:
    """The tensor that a header describes, checked; `size` is the file's, in bytes. ModelError if it is impossible."""
    if type not in _BLOCKS:
        raise ModelError(
            f"Tensor {quoted(name)} has the type {quoted(type)}, which is not supported: "
            f"use a model whose tensors are {', '.join(_BLOCKS)}."
        )
    if not 1 <= len(shape) <= MAX_DIMS or min(shape) < 1:
        raise ModelError(
            f"Tensor {quoted(name)} has a shape of {len(shape)} numbers, but 1 to {MAX_DIMS}, none below 1, are "
            "possible: the header is damaged, so download the model again."
        )
    try:
        nbytes = tensor_nbytes(type, shape)
    except ValueError as error:
        raise ModelError(f"Tensor {quoted(name)} cannot be read, as {error}: convert the model again.") from None
    if offset + nbytes > size:
        raise ModelError(
            f"Tensor {quoted(name)} ends at byte {offset + nbytes:,} but the model has only {size:,} bytes: "
            f"a shard is missing or short, so download the model again."
        )
    return Tensor(name, type, shape, offset, nbytes)


def foreign(head: bytes) -> str | None:
    """What a file is instead of a model, as far as its first bytes tell: a sentence, or None."""
    start = head[:512].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return (
            "This is a Git LFS pointer, a text of three lines that stands for the model: fetch the model itself, with "
            "`git lfs pull` or from the address whose path has /resolve/."
        )
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return (
            "This is a web page, not a model: download the file itself, from the address whose path has /resolve/ "
            "instead of /blob/."
        )
    return None


def quoted(text: str) -> str:
    """A name from a file for a message: quoted, on one line, not too long."""
    return repr(text if len(text) <= 120 else text[:120] + "...")
