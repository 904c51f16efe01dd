"""The Q4_0 format in NumPy, as ggml defines it, for tools and tests.

A block is 32 consecutive values of a row in 18 bytes: the scale d as f16 (little endian), then 16 bytes whose
byte b has value b in its low nibble and value b + 16 in its high one. value = (nibble - 8) d; d may be negative.
"""

import numpy as np

BLOCK_VALUES = 32
BLOCK_BYTES = 18


def quantise(w: np.ndarray) -> np.ndarray:
    """`[..., in] f32` -> `[..., in / 32 * 18] u8`; `in` must be a multiple of 32.

    d = m / -8, where m is the block's value of largest magnitude (the first of equals), so m becomes nibble 0.
    nibble = trunc(value / d + 8.5), at most 15. Bit-equal to gguf-py's `Q4_0.quantize` (ggml's
    quantize_row_q4_0_ref), which divides by the f32 d and stores d rounded to f16.
    """
    w = np.asarray(w, np.float32)
    if w.shape[-1] % BLOCK_VALUES:
        raise ValueError(f"a row has {w.shape[-1]} values, which is not a multiple of {BLOCK_VALUES}")
    blocks = w.reshape(-1, BLOCK_VALUES)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    d = extreme / np.float32(-8)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / d
    inverse[np.isinf(inverse)] = 0  # a block of zeros, or of values so small that the f16 scale is 0
    nibbles = np.trunc(blocks * inverse + np.float32(8.5)).clip(0, 15).astype(np.uint8)
    packed = nibbles[:, :16] | nibbles[:, 16:] << 4
    raw = np.concatenate([d.astype("<f2").view(np.uint8), packed], axis=1)
    return raw.reshape(*w.shape[:-1], -1)


def dequantise(raw: bytes | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes of a tensor -> `shape` f32 (outermost first). Exact: every value is a 16-bit scale times an integer."""
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, BLOCK_BYTES)
    d = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)
    return ((nibbles.astype(np.float32) - 8) * d).reshape(shape)
