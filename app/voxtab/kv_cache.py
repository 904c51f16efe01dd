"""Rings of keys and values: position -> slot, one ring a layer, bounded for any length of audio (spec 8.5)."""

from voxtab.config import Stack
from voxtab.gpu.device import Device


class KvCache:
    """For each layer a buffer [capacity, 2 (k, v), kv_heads, head_dim], in f16 or f32.

    Keys are cached rotated, so that attention over the ring needs no order. A position's slot is position % capacity.
    A full ring holds window - 1 + rows positions, so that `rows` new ones never overwrite a key that the first of them
    still sees. With `first`, a ring begins with that many positions, and is doubled before it would wrap around, until
    it is full.
    """

    def __init__(self, device: Device, stack: Stack, rows: int, f16: bool, first: int | None = None):
        self._device = device
        self.f16 = f16
        self._full = stack.window - 1 + rows
        self._slot_bytes = 2 * stack.kv_heads * stack.head_dim * (2 if f16 else 4)
        self.capacity = min(self._full, first or self._full)
        self.layers = self._buffers(stack.layers)
        self._saved: list[int] = []
        self._saved_bytes = 0  # of each layer

    def _buffers(self, layers: int) -> list[int]:
        return [self._device.buffer(self.capacity * self._slot_bytes, f"kv {i}") for i in range(layers)]

    def save(self, positions: int) -> None:
        """Keep a copy of a stream's first positions, at most of the whole rings; frees the previous copy."""
        for buffer in self._saved:
            self._device.free(buffer)
        self._saved_bytes = min(positions, self.capacity) * self._slot_bytes
        self._saved = [self._device.buffer(self._saved_bytes, f"saved kv {i}") for i in range(len(self.layers))]
        for layer, saved in zip(self.layers, self._saved):
            self._device.copy(layer, saved, self._saved_bytes)

    def restore(self) -> None:
        """Put the saved positions back, for another stream."""
        for layer, saved in zip(self.layers, self._saved):
            self._device.copy(saved, layer, self._saved_bytes)

    def has_room(self, positions: int) -> bool:
        """Whether a stream may reach that many positions before the rings must grow."""
        return positions <= self.capacity or self.capacity == self._full

    def grow(self, positions: int) -> list[int]:
        """Make room for that many positions; what is cached stays. Returns the old buffers, for the caller to free."""
        former, nbytes = self.layers, self.capacity * self._slot_bytes
        while not self.has_room(positions):
            self.capacity = min(2 * self.capacity, self._full)
        self.layers = self._buffers(len(former))
        for old, new in zip(former, self.layers):
            self._device.copy(old, new, nbytes)
        return former
