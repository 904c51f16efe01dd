"""Rings of keys and values: position -> slot, one ring a layer, bounded for any length of audio (spec 8.5)."""

from voxtab.config import Stack
from voxtab.gpu.device import Device


class KvCache:
    """For each layer [capacity, 2 (k, v), kv_heads, head_dim], in f16 or f32.

    Keys are cached turned, so that attention over the ring needs no order; a position's slot is
    position % capacity, and a block of `rows` positions never overwrites a key that its first row still sees.
    """

    def __init__(self, device: Device, stack: Stack, rows: int, f16: bool):
        self.f16 = f16
        self.capacity = stack.window - 1 + rows
        self.nbytes = self.capacity * 2 * stack.kv_heads * stack.head_dim * (2 if f16 else 4)   # of one layer
        self.layers = [device.buffer(self.nbytes, f"kv {i}") for i in range(stack.layers)]
