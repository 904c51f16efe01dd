"""The header of a GGUF file that is written here, and where each tensor's bytes go."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

from voxtab.native.making import values
from voxtab.weights.directory import Tensor

ALIGNMENT = gguf.GGUF_DEFAULT_ALIGNMENT  # bytes
ARCHITECTURE = "voxtral_realtime"

_WRITTEN_AS = {
    str: gguf.GGUFValueType.STRING,
    bool: gguf.GGUFValueType.BOOL,
    int: gguf.GGUFValueType.UINT32,
    float: gguf.GGUFValueType.FLOAT32,
    list: gguf.GGUFValueType.ARRAY,
}


@dataclass(frozen=True)
class Layout:
    """A file before its tensors' bytes are there. Between tensors there are zeros, up to a multiple of ALIGNMENT."""

    header: bytes
    tensors: list[Tensor]  # in the order of their offsets, which is that of their names, as in the published file
    size: int  # of the file, in bytes


def layout(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]],
    metadata: Mapping[str, str | bool | int | float | list],
    architecture: str = ARCHITECTURE,
) -> Layout:
    """The layout of a file of these tensors: type and shape (outermost first) by name."""
    writer = gguf.GGUFWriter(None, architecture)
    for key, value in metadata.items():
        writer.add_key_value(key, value, _WRITTEN_AS[type(value)])
    sizes = {}
    for name in sorted(tensors):
        kind, shape = tensors[name]
        sizes[name] = values.nbytes(kind, shape)
        # The last argument is the type; the data type before it does not count then, unless it is uint8.
        writer.add_tensor_info(name, shape, np.dtype(np.float32), sizes[name], gguf.GGMLQuantizationType[kind])
    with tempfile.TemporaryDirectory() as folder:  # as the writer writes to files alone
        path = Path(folder, "header.gguf")
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        header = path.read_bytes()
    header += bytes(-len(header) % ALIGNMENT)
    at, placed = len(header), []
    for name, size in sizes.items():
        placed.append(Tensor(name, *tensors[name], at, size))
        at += -(-size // ALIGNMENT) * ALIGNMENT
    return Layout(header, placed, at)
