"""Every operation in plain NumPy float64, as the specification writes it. Slow and obvious."""

import math

import numpy as np

_erf = np.frompyfunc(math.erf, 1, 1)


def gelu(x):
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)).astype(float))


def silu(x):
    return x / (1 + np.exp(-x))


def rms_norm(x, gain, epsilon=1e-5):
    return gain * x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon)


def hann(n=400):
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)


def slaney_filters():
    """[201, 128]."""

    def hz(m):
        return np.where(m < 15, m * 200 / 3, 1000 * np.exp((m - 15) * math.log(6.4) / 27))

    edges = hz(np.linspace(0, 15 + 27 * math.log(8) / math.log(6.4), 130))
    f = 40.0 * np.arange(201)
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (f[:, None] - low) / (peak - low), (high - f[:, None]) / (high - peak)
    return np.maximum(np.minimum(rising, falling), 0) * 2 / (high - low)


def log_mel(windows):
    """[frames, 400] -> [frames, 128]."""
    power = np.abs(np.fft.rfft(windows * hann(), axis=1)) ** 2
    return (np.maximum(np.log10(np.maximum(power @ slaney_filters(), 1e-10)), 1.5 - 8) + 4) / 4


def conv(x, weights, bias, stride):
    """x [stride (rows - 1) + 3, inputs], weights [outputs, inputs, 3] -> [rows, outputs], with GELU."""
    rows = (len(x) - 3) // stride + 1
    return gelu(sum(x[k : k + stride * (rows - 1) + 1 : stride] @ weights[:, :, k].T for k in range(3)) + bias)


def rope(x, positions, base, half=False):
    """x [rows, heads, head_dim], pairs (2j, 2j+1), or (j, j + head_dim/2) with `half`; returned as pairs (2j, 2j+1)."""
    dim = x.shape[-1]
    angle = np.asarray(positions)[:, None, None] * base ** (-np.arange(0, dim, 2) / dim)
    a, b = (x[..., : dim // 2], x[..., dim // 2 :]) if half else (x[..., 0::2], x[..., 1::2])
    out = np.empty_like(x)
    out[..., 0::2] = a * np.cos(angle) - b * np.sin(angle)
    out[..., 1::2] = a * np.sin(angle) + b * np.cos(angle)
    return out


def attention(q, k, v, q_positions, k_positions, window):
    """q [rows, heads, dim]; k, v [keys, kv_heads, dim]: key j is seen by query i if 0 <= i - j < window."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
    distance = np.asarray(q_positions)[:, None] - np.asarray(k_positions)[None]
    scores = np.where((distance >= 0) & (distance < window), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("hqk,khd->qhd", weights / weights.sum(-1, keepdims=True), v)


def fit_q4_0(x):
    """x [blocks, 32] -> values of Q4_0 blocks whose scale is the best of 19 candidates, each refitted to its codes."""
    extreme = np.take_along_axis(x, np.abs(x).argmax(1)[:, None], 1)
    best, scale = np.zeros(len(x)), np.zeros((len(x), 1))
    for t in range(-9, 10):
        codes = (x * ((t / 10 - 8) / np.where(extreme == 0, 1, extreme))).round().clip(-8, 7)
        xc, cc = (x * codes).sum(1), (codes * codes).sum(1)
        gain = np.divide(xc * xc, cc, out=np.zeros(len(x)), where=cc > 0)
        better = gain > best
        scale[better, 0], best[better] = (xc / np.maximum(cc, 1))[better], gain[better]
    scale = scale.astype(np.float16).astype(float)
    return (x / np.where(scale == 0, np.inf, scale)).round().clip(-8, 7) * scale
