"""Runs dispatches on a real device and reads what they wrote: guarded, and NaN where nothing was written."""

from dataclasses import dataclass

import gguf
import numpy as np

import ggml
from voxtab.gpu.kernels import BLOCK_TYPES, Kernels, Matrix, Part, pack_step

GUARD = np.float32(-12345.5)
GUARDS = 64


def quantised(values, type: str) -> tuple[np.ndarray, np.ndarray]:
    """Values as a file stores them in this type, and what they then are, in float32."""
    values = values.astype(np.float32)
    if type == "Q4_0":
        stored = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q4_0)
        return stored, gguf.quants.dequantize(stored, gguf.GGMLQuantizationType.Q4_0)
    if type in ggml.TYPES:
        stored = ggml.quantise(values, type)
        return stored, ggml.dequantise(stored, type, values.shape)
    if type == "BF16":
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        return bits, (bits.astype(np.uint32) << 16).view(np.float32)
    stored = values.astype(np.float16) if type == "F16" else values
    return stored, stored.astype(np.float32)


@dataclass
class Lab:
    """One device and one layout of kernels. Buffers live until `clear`."""

    device: object
    kernels: Kernels
    run: object  # a coroutine to its result

    def __post_init__(self):
        self.buffers = []

    def put(self, array, uniform=False) -> int:
        data = np.ascontiguousarray(array)
        buffer = self.device.buffer(max(4, data.nbytes), uniform=uniform)
        self.device.write(buffer, 0, data.tobytes() + bytes(-data.nbytes % 4))
        self.buffers.append(buffer)
        return buffer

    def out(self, *shape) -> int:
        """NaN, then a tail of guards, so that a missing write and an extra write both show."""
        return self.put(np.concatenate([np.full(int(np.prod(shape)), np.nan, np.float32), np.full(GUARDS, GUARD)]))

    def step(self, position=0, rotation=None, capacity=0, audio_row=0) -> int:
        packed = pack_step(position, position if rotation is None else rotation, capacity, audio_row)
        return self.put(np.frombuffer(packed, np.uint32), uniform=True)

    def matrix(self, weights, type="F32", most_rows=None, gate_up=False) -> tuple[Matrix, np.ndarray]:
        """The matrix on the GPU, in parts of `most_rows`, and what it holds after rounding to its type, float64."""
        rows, columns = weights.shape
        half = rows // 2
        if gate_up:  # each part holds some gate rows, then the same up rows
            most = (most_rows or rows) // 2
            cuts = [np.r_[a : min(a + most, half), half + a : half + min(a + most, half)] for a in range(0, half, most)]
        else:
            cuts = [np.arange(a, min(a + (most_rows or rows), rows)) for a in range(0, rows, most_rows or rows)]
        parts, rounded, done = [], np.empty((rows, columns)), 0
        for cut in cuts:
            stored, rounded[cut] = quantised(weights[cut], type)
            parts.append(self.part(type, done, len(cut), columns, stored))
            done += len(cut)
        return Matrix(rows, columns, tuple(parts)), rounded

    def part(self, type: str, first: int, rows: int, columns: int, stored: np.ndarray) -> Part:
        """Rows from `first` on that `quantised` has stored."""
        if type == "Q4_0":
            blocks = stored.reshape(-1, 18)
            weights, scales = self.put(blocks[:, 2:]), self.put(blocks[:, :2])
        elif type in ggml.TYPES:
            weights, scales = self.repacked(stored, type, rows * columns // 32)
        else:
            weights, scales = self.put(stored), self.kernels.unused
        return Part(type, first, rows, weights, scales)

    def repacked(self, raw, type: str, blocks: int) -> tuple[int, int]:
        """A file's blocks as the kernels have them: the buffers of weights and of scales."""
        weight_bytes, scale_bytes = BLOCK_TYPES[type]
        weights = self.put(np.zeros(blocks * weight_bytes, np.uint8))
        scales = self.put(np.zeros(-(-blocks // 8) * scale_bytes, np.uint8))
        padded = np.concatenate([raw, np.zeros(-len(raw) % 4, np.uint8)])
        self.go(self.kernels.repack_blocks(self.put(padded), weights, scales, type=type, blocks=blocks, first_block=0))
        return weights, scales

    def go(self, *dispatches) -> None:
        plan = self.run(self.kernels.plan(list(dispatches)))
        self.device.run(plan)
        self.device.free(plan)

    def get(self, buffer, *shape, dtype=np.float32, guarded=False) -> np.ndarray:
        count = int(np.prod(shape))
        empty = self.device.plan([])
        data = self.run(_await(self.device.run(empty, (buffer, 0, 4 * (count + GUARDS * guarded)))))
        self.device.free(empty)
        values = np.frombuffer(data, dtype)
        if guarded:
            assert (values[count:] == GUARD).all(), "a kernel wrote past its output"
        return values[:count].reshape(shape)

    def clear(self):
        self.kernels.free(self.buffers)
        self.buffers.clear()


async def _await(awaitable):
    return await awaitable


def assert_close(case, got, want, tolerance):
    """|got - want| <= tolerance everywhere; a NaN always fails. Names the case and the worst index."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, f"{case}: shape {got.shape} instead of {want.shape}"
    error = np.where(np.isnan(got), np.inf, np.abs(got - want))
    worst = np.unravel_index(error.argmax(), error.shape)
    assert error[worst] <= tolerance, (
        f"{case}: {got[worst]} instead of {want[worst]} at {tuple(map(int, worst))}, "
        f"off by {error[worst]:.3g}, allowed {tolerance:.3g}"
    )
