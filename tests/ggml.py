"""ggml's types with blocks in NumPy: gguf-py has what each byte means, and quantises all but the K types.

The K types' quantiser is a simple one: tests need bytes that use every field, not the best ones.
"""

import gguf
import numpy as np

K_TYPES = "Q4_K", "Q5_K", "Q6_K"
TYPES = "Q4_1", "Q5_0", "Q5_1", "Q8_0", *K_TYPES


def dequantise(raw, type: str, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes of a tensor -> `shape` f32, as gguf-py does it."""
    kind = gguf.GGMLQuantizationType[type]
    rows = np.frombuffer(raw, np.uint8).reshape(int(np.prod(shape[:-1])), -1)
    return gguf.quants.dequantize(rows, kind).reshape(shape)


def quantise(values: np.ndarray, type: str) -> np.ndarray:
    """[..., columns] f32 -> the bytes of the tensor, uint8."""
    values = np.ascontiguousarray(values, np.float32)
    if type not in K_TYPES:
        return gguf.quants.quantize(values, gguf.GGMLQuantizationType[type]).view(np.uint8).ravel()
    blocks = values.reshape(-1, 256).astype(float)
    return (_q6_k(blocks) if type == "Q6_K" else _with_minima(blocks, 4 if type == "Q4_K" else 5)).ravel()


def _f16(values: np.ndarray) -> np.ndarray:
    return values.astype("<f2").view(np.uint8).reshape(len(values), -1)


def _with_minima(blocks: np.ndarray, bits: int) -> np.ndarray:
    """value = d factor q - m minimum: Q4_K, Q5_K."""
    parts = blocks.reshape(-1, 8, 32)
    low = np.minimum(parts.min(-1), 0)
    step = (parts.max(-1) - low) / (2**bits - 1)
    d, m = step.max(-1) / 63, -low.min(-1) / 63
    factors = np.rint(np.divide(step, d[:, None], where=d[:, None] > 0, out=np.zeros_like(step))).astype(int)
    minima = np.rint(np.divide(-low, m[:, None], where=m[:, None] > 0, out=np.zeros_like(low))).astype(int)
    d, m = d.astype(np.float16).astype(float), m.astype(np.float16).astype(float)
    scale = (d[:, None] * factors)[..., None]
    above = parts + (m[:, None] * minima)[..., None]
    q = (
        np.rint(np.divide(above, scale, where=scale > 0, out=np.zeros_like(above)))
        .clip(0, 2**bits - 1)
        .astype(np.uint8)
    )
    first, last = factors[:, :4], factors[:, 4:]
    first_m, last_m = minima[:, :4], minima[:, 4:]
    packed = np.concatenate(
        [first | last >> 4 << 6, first_m | last_m >> 4 << 6, last & 15 | (last_m & 15) << 4], axis=1
    ).astype(np.uint8)
    nibbles = (q[:, 0::2] & 15 | (q[:, 1::2] & 15) << 4).reshape(len(q), 128)
    high = np.zeros((len(q), 32), np.uint8)
    for j in range(8):
        high |= (q[:, j] >> 4) << j
    return np.concatenate([_f16(d), _f16(m), packed, *([high] if bits == 5 else []), nibbles], axis=1)


def _q6_k(blocks: np.ndarray) -> np.ndarray:
    parts = blocks.reshape(-1, 16, 16)
    extreme = np.take_along_axis(parts, np.abs(parts).argmax(-1)[..., None], -1)[..., 0] / -32
    d = np.abs(extreme).max(-1) / 127
    factors = np.rint(np.divide(extreme, d[:, None], where=d[:, None] > 0, out=np.zeros_like(extreme))).astype(np.int8)
    scale = (d.astype(np.float16).astype(float)[:, None] * factors)[..., None]
    q = np.rint(np.divide(parts, scale, where=scale != 0, out=np.zeros_like(parts))).clip(-32, 31).astype(int) + 32
    q = q.astype(np.uint8).reshape(-1, 2, 4, 32)  # half, quarter of it, value
    low = np.stack([q[:, :, 0] & 15 | (q[:, :, 2] & 15) << 4, q[:, :, 1] & 15 | (q[:, :, 3] & 15) << 4], axis=2)
    high = q[:, :, 0] >> 4 | q[:, :, 1] >> 4 << 2 | q[:, :, 2] >> 4 << 4 | q[:, :, 3] >> 4 << 6
    return np.concatenate([low.reshape(-1, 128), high.reshape(-1, 64), factors.view(np.uint8), _f16(d)], axis=1)
