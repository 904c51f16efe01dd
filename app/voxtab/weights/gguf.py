"""The header of a GGUF file -> its directory. Format: ggml's docs/gguf.md; versions 2 and 3, little endian.

    magic 'GGUF', u32 version, u64 tensors, u64 keys
    keys:     string name, u32 value type, value          string = u64 length, UTF-8 bytes
    tensors:  string name, u32 dims, u64 dim[dims] (innermost first), u32 type, u64 offset into the data
    data:     from the next multiple of general.alignment (32 if that key is absent)

The header is the user's and may say anything. Every number is checked against the file's size before it is used, and a
wrong header causes nothing but a ModelError.
"""

from collections.abc import Iterator
from struct import Struct

from voxtab.errors import ModelError
from voxtab.weights.directory import (
    HEADER_LIMIT,
    Array,
    Directory,
    HeaderIncomplete,
    Tensor,
    foreign,
    locate,
    quoted,
)

_MAGIC = b"GGUF"
_VERSIONS = 2, 3
_NAME_LIMIT = 65535  # bytes, the format's own limit for keys
_MOST_DIMS = 64  # of a tensor that nobody needs; `locate` allows fewer
_NESTING_LIMIT = 8  # arrays within arrays: no writer makes them; this bounds the recursion

_START = Struct("<4sIQQ")
_U32 = Struct("<I")
_U64 = Struct("<Q")
_TYPE_AND_OFFSET = Struct("<IQ")
_TYPE_AND_COUNT = Struct("<IQ")

# The fewest bytes of a key (a name of one letter, a value of one byte) and of a tensor (no dimension).
_LEAST_KEY = 8 + 1 + 4 + 1
_LEAST_TENSOR = 8 + 1 + 4 + _TYPE_AND_OFFSET.size

# Types of values in metadata.
_SCALARS = {
    0: Struct("<B"), 1: Struct("<b"), 2: Struct("<H"), 3: Struct("<h"), 4: Struct("<I"), 5: Struct("<i"),
    6: Struct("<f"), 7: Struct("<?"), 10: Struct("<Q"), 11: Struct("<q"), 12: Struct("<d"),
}  # fmt: skip
_STRING, _ARRAY = 8, 9

# ggml's numbers. Those without kernels here are listed so that the message can name them.
_TENSOR_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 20: "IQ4_NL", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32",
    27: "I64", 28: "F64", 30: "BF16", 39: "MXFP4",
}  # fmt: skip


def parse(head: bytes | memoryview, size: int) -> Directory:
    """Read the directory of a GGUF file of `size` bytes from `head`, its first bytes.

    Raises HeaderIncomplete if `head` ends inside the header. Raises ModelError if this is not a GGUF file, if it is
    damaged or cut short, or if something in it is not supported. Only the last tensor's padding may be missing.

    The alignment must be a power of two, 4 at least, and offsets multiples of it (ggml requires the same; its writers
    use 32). So every tensor starts at a multiple of 4 bytes, as copies on the GPU need it.
    """
    cursor = _Cursor(head, size)
    magic = bytes(head[:4])
    if not _MAGIC.startswith(magic):
        raise ModelError(
            foreign(bytes(head[:512]))
            or f"This is not a GGUF file: it begins with {magic!r}. Give a .gguf file, or all its shards."
        )
    _, version, tensor_count, key_count = cursor.unpack(_START)
    if version not in _VERSIONS:
        raise ModelError(f"GGUF version {version} is not supported: use a little-endian file of version 2 or 3.")
    cursor.claim(key_count * _LEAST_KEY + tensor_count * _LEAST_TENSOR)

    metadata = _metadata(cursor, key_count)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 4 or alignment & (alignment - 1):
        raise ModelError(
            f"The metadata says that general.alignment is {quoted(str(alignment))}, not a power of two from 4 on: "
            "convert the model again."
        )

    entries = {}
    for _ in range(tensor_count):
        name = cursor.name("tensor")
        if name in entries:
            raise cursor.damaged(f"two tensors are named {quoted(name)}")
        entries[name] = _entry(cursor)

    data = -(-cursor.at // alignment) * alignment
    tensors: dict[str, Tensor] = {}
    unreadable: dict[str, str] = {}
    for name, (kind, shape, offset) in entries.items():
        try:
            if offset % alignment:
                raise ModelError(
                    f"Tensor {quoted(name)} starts at byte {offset:,} of the data, not at a multiple of {alignment:,}: "
                    "convert the model again."
                )
            tensors[name] = locate(name, kind, shape, data + offset, size)
        except ModelError as error:  # it may be one that the model does not need
            unreadable[name] = str(error)
    return Directory("GGUF", tensors, metadata, version, unreadable)


def read_strings(raw: bytes | memoryview, array: Array) -> Iterator[bytes]:
    """The strings of an array in the metadata; `raw` are its bytes. ModelError if it has something else."""
    if array.type != _STRING:
        raise ModelError("The GGUF header has an array of numbers where strings belong: download the model again.")
    at = 0
    for _ in range(array.count):
        (nbytes,) = _U64.unpack_from(raw, at)
        at += _U64.size + nbytes
        yield bytes(raw[at - nbytes : at])


class _Cursor:
    """A place in the header, and the only way to move on: every read is claimed first."""

    def __init__(self, head: bytes | memoryview, size: int):
        self.head = head
        self.at = 0
        self._end = min(len(head), size)  # of the bytes given
        self._limit = min(size, HEADER_LIMIT)  # the header's largest end

    def claim(self, nbytes: int) -> None:
        """Check that `nbytes` more are allowed and available."""
        end = self.at + nbytes
        if end > self._limit:
            raise self.damaged(f"it says that it has {end:,} bytes or more, and at most {self._limit:,} are possible")
        if end > self._end:
            raise HeaderIncomplete(end)

    def unpack(self, struct: Struct) -> tuple:
        self.claim(struct.size)
        values = struct.unpack_from(self.head, self.at)
        self.at += struct.size
        return values

    def string(self, nbytes: int) -> bytes:
        self.skip(nbytes)
        return bytes(self.head[self.at - nbytes : self.at])

    def name(self, what: str) -> str:
        (nbytes,) = self.unpack(_U64)
        if not 1 <= nbytes <= _NAME_LIMIT:
            raise self.damaged(f"the name of a {what} has {nbytes:,} bytes")
        try:
            return self.string(nbytes).decode()
        except UnicodeDecodeError:
            raise self.damaged(f"the name of a {what} is not UTF-8") from None

    def skip(self, nbytes: int) -> None:
        self.claim(nbytes)
        self.at += nbytes

    def skip_strings(self, count: int) -> None:
        # A vocabulary has 300,000 of them, so this loop calls `claim` only past the bytes given.
        self.claim(count * _U64.size)
        head, at, last, length_at = self.head, self.at, self._end - _U64.size, _U64.unpack_from
        for _ in range(count):
            if at > last:
                self.claim(at + _U64.size - self.at)
            at += _U64.size + length_at(head, at)[0]
        self.claim(at - self.at)
        self.at = at

    def damaged(self, why: str) -> ModelError:
        where = f"at byte {self.at:,}, {why}"
        return ModelError(f"The GGUF header is damaged or cut short {where}: download the model again.")


def _metadata(cursor: _Cursor, count: int) -> dict[str, object]:
    metadata: dict[str, object] = {}
    for _ in range(count):
        key = cursor.name("key")
        if key in metadata:
            raise cursor.damaged(f"two keys are named {quoted(key)}")
        (kind,) = cursor.unpack(_U32)
        metadata[key] = _value(cursor, kind)
    return metadata


def _value(cursor: _Cursor, kind: int) -> object:
    """A value of the metadata; an array is skipped."""
    if kind in _SCALARS:
        return cursor.unpack(_SCALARS[kind])[0]
    if kind == _STRING:
        (nbytes,) = cursor.unpack(_U64)
        # An author's name in another encoding is not a reason to refuse a model.
        return cursor.string(nbytes).decode(errors="replace")
    if kind == _ARRAY:
        return _skip_array(cursor, _NESTING_LIMIT)
    raise cursor.damaged(f"metadata has no type {kind}")


def _skip_array(cursor: _Cursor, nesting: int) -> Array:
    kind, count = cursor.unpack(_TYPE_AND_COUNT)
    start = cursor.at
    if kind in _SCALARS:
        cursor.skip(count * _SCALARS[kind].size)
    elif kind == _STRING:
        cursor.skip_strings(count)
    elif kind == _ARRAY and nesting:
        cursor.claim(count * _TYPE_AND_COUNT.size)
        for _ in range(count):
            _skip_array(cursor, nesting - 1)
    else:
        raise cursor.damaged(f"an array of values of type {kind} cannot be read")
    return Array(kind, count, start, cursor.at - start)


def _entry(cursor: _Cursor) -> tuple[str, tuple[int, ...], int]:
    """Type, shape (outermost first) and offset into the data of the tensor whose name was just read."""
    (dims,) = cursor.unpack(_U32)
    if dims > _MOST_DIMS:
        raise cursor.damaged(f"a tensor has {dims:,} dimensions")
    shape = tuple(cursor.unpack(_U64)[0] for _ in range(dims))[::-1]
    kind, offset = cursor.unpack(_TYPE_AND_OFFSET)
    return _TENSOR_TYPES.get(kind, str(kind)), shape, offset
