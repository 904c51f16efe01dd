"""The tables of the log-mel front end (spec 2.3): samples -> frames is `shaders/mel.wgsl`."""

import math
from array import array

from voxtab.config import FRAME_WINDOW, MEL_BINS, SAMPLE_RATE

DFT_BINS = FRAME_WINDOW // 2 + 1


def waves() -> array:
    """(cos, sin) of 2 pi n / 400, n = 0..399, as [400, 2] f32; the periodic Hann window is 0.5 - 0.5 cos."""
    angles = (2 * math.pi * n / FRAME_WINDOW for n in range(FRAME_WINDOW))
    return array("f", [value for angle in angles for value in (math.cos(angle), math.sin(angle))])


def _hz(mel: float) -> float:
    """Slaney's scale: linear below 1000 Hz, 15 mel, and logarithmic above."""
    return 200 * mel / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)


def filterbank() -> list[list[float]]:
    """Slaney's filters with area normalisation over 0..8000 Hz: [128][201], float64."""
    top = 15 + 27 * math.log(SAMPLE_RATE / 2 / 1000) / math.log(6.4)
    edges = [_hz(top * i / (MEL_BINS + 1)) for i in range(MEL_BINS + 2)]
    bins = [SAMPLE_RATE / FRAME_WINDOW * k for k in range(DFT_BINS)]
    return [
        [
            min((f - low) / (peak - low), (high - f) / (high - peak)) * 2 / (high - low) if low < f < high else 0.0
            for f in bins
        ]
        for low, peak, high in zip(edges, edges[1:], edges[2:])
    ]


def sparse_filters() -> tuple[array, int]:
    """The filterbank as [128, 1 + taps] f32 (first bin, then consecutive weights), and taps."""
    rows = []
    for row in filterbank():
        used = [k for k, weight in enumerate(row) if weight]
        rows.append((used[0], row[used[0] : used[-1] + 1]))
    taps = max(len(weights) for _, weights in rows)
    return array(
        "f", [value for first, weights in rows for value in (first, *weights, *[0.0] * (taps - len(weights)))]
    ), taps
