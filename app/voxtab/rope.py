"""RoPE's angles (spec 4, 6.1), made on the host in float64: WGSL's cos and sin are precise near zero only.

The angle at position p is fine[p % 512] + coarse[p // 512]. Kernels add the two by the addition theorem, so that a few
hundred kB serve every position, and a step needs nothing from the host.
"""

import math
from array import array
from functools import lru_cache

from voxtab.config import MAX_POSITIONS, Stack
from voxtab.gpu.kernels import ANGLES_FINE


def rotations(stack: Stack, *positions: int) -> array:
    """[positions, head_dim / 2, 2] f32: (cos, sin) of position * base^(-2j / head_dim), for each pair j of a head."""
    frequencies = [stack.rope_base ** (-2 * j / stack.head_dim) for j in range(stack.head_dim // 2)]
    angles = [position * frequency for position in positions for frequency in frequencies]
    values = array("f", bytes(8 * len(angles)))
    values[::2], values[1::2] = array("f", map(math.cos, angles)), array("f", map(math.sin, angles))
    return values


@lru_cache(maxsize=4)  # of two models: each takes 50 ms, and is 400 kB
def table(stack: Stack, positions_per_token: int) -> array:
    """[512 fine + coarse, head_dim / 2, 2] f32, enough for MAX_POSITIONS tokens. Not to be changed."""
    return rotations(stack, *range(ANGLES_FINE), *range(0, MAX_POSITIONS * positions_per_token, ANGLES_FINE))
