"""The header of a safetensors file -> its directory. Format: huggingface.co/docs/safetensors.

u64 length (little endian), a JSON object of that many bytes, the data
object:  name -> {dtype, shape (outermost first), data_offsets: [begin, end] in the data}
         "__metadata__" -> {string: string}
"""

import json
from typing import Any

from voxtab.errors import ModelError
from voxtab.weights.directory import HEADER_LIMIT, Directory, HeaderIncomplete, Tensor, foreign, locate, quoted


def parse(head: bytes | memoryview, size: int) -> Directory:
    """Read the directory of a safetensors file of `size` bytes from `head`, its first bytes.

    Raises HeaderIncomplete if `head` ends inside the header. Raises ModelError if this is not a safetensors file, or if
    its header is damaged or cut short.
    """
    if sentence := foreign(bytes(head[:512])):
        raise ModelError(sentence)
    # If the length itself is cut short, these are its low bytes: `start` is then too small, never too large.
    start = 8 + int.from_bytes(head[:8], "little")
    if size < start or start > HEADER_LIMIT:
        raise ModelError(
            f"This is not a safetensors file, or it is cut short: its header would end at byte {start:,}, and at most "
            f"{min(size, HEADER_LIMIT):,} are possible. Download the model again."
        )
    if len(head) < start:
        raise HeaderIncomplete(start)
    entries = _read_json(bytes(head[8:start]))

    metadata = entries.pop("__metadata__", {})
    if type(metadata) is not dict or not all(type(value) is str for value in metadata.values()):
        raise _damaged("__metadata__ is not an object of strings")
    tensors: dict[str, Tensor] = {}
    unreadable: dict[str, str] = {}
    for name, entry in entries.items():
        kind, shape, begin, end = _fields(name, entry)
        try:
            tensor = locate(name, kind, shape, start + begin, size)
            if tensor.nbytes != end - begin:
                raise _damaged(
                    f"tensor {quoted(name)} has {end - begin:,} bytes, and its shape needs {tensor.nbytes:,}"
                )
            tensors[name] = tensor
        except ModelError as error:  # it may be one that the model does not need
            unreadable[name] = str(error)
    return Directory("SafeTensors", tensors, metadata, None, unreadable)


def _read_json(text: bytes) -> dict[str, object]:
    try:
        entries = json.loads(text.decode(), object_pairs_hook=_once_each)
    except RecursionError:
        raise _damaged("its JSON is nested too deeply") from None
    except ValueError as error:  # not UTF-8, not JSON, a name twice, a number of thousands of digits
        raise _damaged(quoted(str(error))) from None
    if type(entries) is not dict:
        raise _damaged("its JSON is not an object")
    return entries


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("it has a name twice")
    return entries


def _fields(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """A tensor's type, shape, first byte, and the byte after its last, each of the right Python type."""
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise _damaged(f"tensor {quoted(name)} has no dtype, shape and data_offsets") from None
    # `type` and not isinstance, as True is an int in Python. The limit is the format's, and keeps products short.
    if type(kind) is not str or not all(type(n) is int and 0 <= n < 2**63 for n in (*shape, begin, end)):
        raise _damaged(f"tensor {quoted(name)} has a dtype, shape or data_offsets of the wrong kind")
    if not name or kind.startswith("Q"):
        raise _damaged("a tensor has no name, or a type that the format does not have")
    return kind, shape, begin, end


def _damaged(why: str) -> ModelError:
    return ModelError(f"The safetensors header is damaged, {why}: download the model again.")
