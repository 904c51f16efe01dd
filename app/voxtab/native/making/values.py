"""A tensor's bytes <-> its values: by gguf, the package of ggml's own people, which defines every type."""

import gguf
import numpy as np


def nbytes(type: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor, whose rows must be whole blocks of the type."""
    values, bytes_ = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[type]]
    assert shape[-1] % values == 0
    return int(np.prod(shape)) // values * bytes_


def decode(data: bytes | memoryview | np.ndarray, type: str, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes of whole rows -> `shape` f32, outermost first."""
    kind = gguf.GGMLQuantizationType[type]
    raw = np.frombuffer(data, {"F32": np.float32, "F16": np.float16}.get(type, np.uint8))
    with np.errstate(invalid="ignore"):
        return gguf.quants.dequantize(raw.reshape(*shape[:-1], -1), kind).reshape(shape)


def encode(values: np.ndarray, type: str) -> bytes:
    """[..., columns] f32 -> bytes, by ggml's rule: F16 and BF16 are rounded to the nearest, and blocks of Q4_0 and Q8_0
    are scaled by their value of largest magnitude. What a type cannot hold does not become finite values."""
    with np.errstate(over="ignore", invalid="ignore"):
        return gguf.quants.quantize(values, gguf.GGMLQuantizationType[type]).tobytes()
