"""Q4_0 with the scales of least squared error, on the GPU."""

import numpy as np

from voxtab.gpu.device import Device
from voxtab.gpu.kernels import Kernels

BLOCK_VALUES, BLOCK_BYTES = 32, 18


class Fitter:
    """Values -> Q4_0 blocks, by `shaders/fit_q4_0.wgsl`. Several calls of `fit` may wait at once."""

    @classmethod
    async def open(cls, device: Device, most: int) -> "Fitter":
        """`most`: values, the most in a call."""
        fitter = cls(device, most)
        await fitter._kernels.compile([fitter._dispatch(1)])
        return fitter

    def __init__(self, device: Device, most: int):
        pairs = -(-most // (2 * BLOCK_VALUES))
        self._device, self._kernels = device, Kernels(device)
        self._values = device.buffer(pairs * 2 * BLOCK_VALUES * 4, "values")
        self._packed = device.buffer(pairs * 2 * BLOCK_BYTES, "packed")
        self._plans: dict[int, int] = {}  # by the number of blocks

    async def fit(self, values: np.ndarray) -> bytes:
        """[..., columns] f32, columns a multiple of 32 -> the bytes of its blocks."""
        blocks = values.size // BLOCK_VALUES
        if blocks not in self._plans:
            self._plans[blocks] = self._kernels.plan_compiled([self._dispatch(blocks)])
        nbytes = blocks * BLOCK_BYTES
        self._device.write(self._values, 0, values)
        read = self._device.run(self._plans[blocks], (self._packed, 0, -(-nbytes // 4) * 4))
        return (await read)[:nbytes]

    def _dispatch(self, blocks: int):
        return self._kernels.fit_q4_0(self._values, self._packed, blocks=blocks)

    def close(self) -> None:
        for plan in self._plans.values():
            self._device.free(plan)
        self._kernels.free([self._values, self._packed])
        self._kernels.close()
