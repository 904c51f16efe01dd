"""RoPE's angles (spec 4, 6.1), made on the host in float64: WGSL's cos and sin are only good near zero.

An angle at position p is fine[p % 512] + coarse[p // 512]; kernels add the two by the addition theorem, so that a
few hundred kB serve every position, and a step needs nothing from the host.
"""

import math
from array import array

from voxtab.config import MAX_POSITIONS, Stack
from voxtab.gpu.kernels import ANGLES_FINE


def turns(stack: Stack, position: int) -> list[float]:
    """(cos, sin) of position * base^(-2j / head_dim) for each pair j of a head."""
    frequencies = (stack.rope_base ** (-2 * j / stack.head_dim) for j in range(stack.head_dim // 2))
    return [value for frequency in frequencies for value in (math.cos(position * frequency), math.sin(position * frequency))]


def table(stack: Stack, positions_per_token: int) -> array:
    """[512 fine + coarse, head_dim / 2, 2] f32, enough for MAX_POSITIONS tokens."""
    values = array("f")
    for position in range(ANGLES_FINE):
        values.extend(turns(stack, position))
    for position in range(0, MAX_POSITIONS * positions_per_token, ANGLES_FINE):
        values.extend(turns(stack, position))
    return values
