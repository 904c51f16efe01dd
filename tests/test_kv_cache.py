"""Rings of keys and values that grow, and copies of their first positions."""

import numpy as np
import pytest

from lab import Lab
from voxtab.config import Stack
from voxtab.gpu.kernels import Kernels
from voxtab.kv_cache import KvCache

STACK = Stack(layers=2, width=64, heads=2, kv_heads=1, head_dim=32, hidden=64, window=60, epsilon=1e-5, rope_base=1e6)


@pytest.mark.parametrize("f16", [False, True])
def test_what_is_cached_stays_when_rings_grow(device, run, f16):
    cache, lab = KvCache(device, STACK, 8, f16, first=10), Lab(device, Kernels(device), run)
    words = 10 * 2 * 32 // (2 if f16 else 1)  # of ten positions
    rings = [np.arange(1, words + 1, dtype=np.uint32) + 1000 * i for i in range(2)]
    for layer, ring in zip(cache.layers, rings):
        device.write(layer, 0, ring.tobytes())
    assert cache.has_room(10) and not cache.has_room(11)
    for buffer in cache.grow(21):
        device.free(buffer)
    assert cache.capacity == 40
    for layer, ring in zip(cache.layers, rings):
        assert (lab.get(layer, words, dtype=np.uint32) == ring).all()
    cache.save(10)
    for layer in cache.layers:
        device.write(layer, 0, bytes(4 * words))
    cache.restore()
    for layer, ring in zip(cache.layers, rings):
        assert (lab.get(layer, words, dtype=np.uint32) == ring).all()
    for buffer in cache.grow(50):
        device.free(buffer)
    assert cache.capacity == 60 - 1 + 8 and cache.has_room(10**6)
