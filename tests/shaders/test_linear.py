"""The products against float64: every kernel of them, all types of weights, endings and layouts."""

from functools import lru_cache

import numpy as np
import pytest

import ggml
import reference
from conftest import FIELDS, VARIANTS, layouts
from lab import GUARDS, assert_close, quantised
from shaders.test_kernels import STACKS, random
from voxtab import rope
from voxtab.gpu import kernels as kernels_module
from voxtab.gpu.kernels import ADD, GELU, SILU, STORE, TOKENS_RING, Heads, Matrix, Part
from voxtab.gpu.variants import Variants
from voxtab.weights.directory import block_nbytes, tensor_nbytes

ROUNDING = 2e-6  # f32 sums of a few thousand products near one, relative to their size

SHAPES = pytest.mark.parametrize(
    "rows,outputs,columns",
    [
        (1, 3072, 4096),
        (4, 1280, 2048),
        (2, 70, 1280),
        (1, 30, 64),
        (3, 65, 96),
        (9, 2, 32),
        (1, 1, 9216),
        (5, 131, 160),
        (1, 70, 3072),
        (1, 16390, 256),
        (1, 65539, 128),
        (5, 131, 1280),
        (3, 70, 2048),
        (2, 30, 3072),
        (11, 70, 2560),
        (33, 131, 96),  # from 32 rows on, in tiles of 128, in the layout that has them
        (200, 70, 64),
    ],
)


@layouts(*FIELDS)
@SHAPES
def test_linear(lab, rows, outputs, columns):
    assert_linear(lab, "Q4_0", rows, outputs, columns)


@layouts("lanes", "tiles", "linear", "subgroup")
@pytest.mark.parametrize("type", ["F32", "F16", "BF16"])
@SHAPES
def test_linear_of_floats(lab, type, rows, outputs, columns):
    assert_linear(lab, type, rows, outputs, columns)


@lru_cache(maxsize=1)  # the layouts of a shape follow each other, and this takes longer than the GPU does
def product(type, rows, outputs, columns):
    """x, a matrix as a file stores it, and their product in float64."""
    x = random(1, rows, columns).astype(np.float32)
    stored, rounded = quantised(random(2, outputs, columns, scale=columns**-0.5), type)
    return x, stored, x.astype(float) @ rounded.T.astype(float)


def assert_linear(lab, type, rows, outputs, columns):
    x, stored, want = product(type, rows, outputs, columns)
    matrix, out = Matrix(outputs, columns, (lab.part(type, 0, outputs, columns, stored),)), lab.out(rows, outputs)
    lab.go(*lab.kernels.linear(lab.kernels.unused, lab.put(x), matrix, out, rows=rows))
    got = lab.get(out, rows, outputs, guarded=True)
    assert_close((type, rows, outputs, columns), got, want, 5 * ROUNDING)


@pytest.mark.parametrize("ending", [STORE, GELU, ADD], ids=["store", "gelu", "add"])
@pytest.mark.parametrize("columns", [1024, 2592], ids=["two", "four"])
@pytest.mark.parametrize("type", ["Q4_0", "Q6_K", "BF16"])
def test_linear_in_splits(lab_of, ending, columns, type):
    """Where tiles are few, up to four workgroups share a tile's columns, 512 each at least; not if it has a norm."""
    rows, outputs, splits = 130, 72, columns // 512 if columns < 2048 else 4
    lab = lab_of(Variants(tiles=4 * splits))
    columns = 2560 if type == "Q6_K" and columns == 2592 else columns
    x, stored, want = product(type, rows, outputs, columns)
    bias, before = random(5, outputs).astype(np.float32), random(6, rows, outputs).astype(np.float32)
    matrix = Matrix(outputs, columns, (lab.part(type, 0, outputs, columns, stored),))
    out, sums = lab.put(before), lab.out(splits, rows, outputs)
    k = lab.kernels
    dispatches = k.linear(k.unused, lab.put(x), matrix, out, rows=rows, ending=ending, bias=lab.put(bias), sums=sums)
    assert [dispatch.kernel.removesuffix("_blocks") for dispatch in dispatches] == ["linear_tile", "linear_join"]
    lab.go(*dispatches)
    lab.get(sums, splits, rows, outputs, guarded=True)
    want = want + bias
    want = {STORE: want, GELU: reference.gelu(want), ADD: before + want}[ending]
    assert_close((ending, columns, type), lab.get(out, rows, outputs), want, 5 * ROUNDING)


# Layout, types, and the shape: rows, outputs, columns. Each type in each kernel once, as lavapipe compiles them slowly.
BLOCK_CASES = [
    *(("software", type, (5, 131, 512)) for type in ggml.TYPES),
    *(("packed", type, (3, 70, 1280)) for type in ggml.TYPES),
    *(("gpu", type, (1, 70, 256)) for type in ggml.TYPES),
    *(("tiles", type, (67, 70, 256)) for type in ggml.TYPES),
    ("plain", "Q6_K", (2, 67, 512)),
    ("subgroups", "Q5_K", (1, 131, 3072)),
]


@pytest.mark.parametrize("layout,type,shape", BLOCK_CASES)
def test_linear_in_blocks(lab_of, layout, type, shape):
    """ggml's other types, against gguf-py's own values: repacked, then multiplied, with a norm and a bias."""
    lab = lab_of(VARIANTS[layout])
    rows, outputs, columns = shape
    x, weights = random(1, rows, columns, scale=3), random(2, outputs, columns, scale=columns**-0.5)
    gain, bias = random(3, columns), random(4, outputs)
    matrix, rounded = lab.matrix(weights, type)
    out = lab.out(rows, outputs)
    norm = lab.put(gain.astype(np.float32)), 1e-5
    lab.go(
        *lab.kernels.linear(
            lab.kernels.unused,
            lab.put(x.astype(np.float32)),
            matrix,
            out,
            rows=rows,
            norm=norm,
            bias=lab.put(bias.astype(np.float32)),
        )
    )
    got, want = lab.get(out, rows, outputs, guarded=True), reference.rms_norm(x, gain) @ rounded.T + bias
    # Packed sums are of whole numbers before their offset is taken away: larger than what is left, most for Q8_0.
    assert_close((layout, type), got, want, 2e-5 if type == "Q8_0" else 1e-5)


@pytest.mark.parametrize("type", ggml.TYPES)
def test_every_value_of_a_block(lab_of, type):
    """Bit for bit what gguf-py makes of random bytes: each value is looked up, as embeddings are."""
    lab = lab_of(VARIANTS["software"])
    columns, rows = 512, 9
    raw = np.random.default_rng(5).integers(0, 256, rows * tensor_nbytes(type, (columns,)), np.uint8)
    blocks = raw.reshape(-1, block_nbytes(type))
    halves = np.array([0.5, -2.25, 1 / 1024, 3e-6, -0.0], np.float16)  # one of them is subnormal
    for at in {"Q6_K": (208,), "Q5_0": (0,), "Q8_0": (0,)}.get(type, (0, 2)):
        blocks[:, at : at + 2] = halves[np.arange(len(blocks)) % len(halves)].reshape(-1, 1).view(np.uint8)
    weights, scales = lab.repacked(raw, type, rows * columns // 32)
    matrix = Matrix(rows, columns, (Part(type, 0, rows, weights, scales),))
    tokens = lab.put(np.arange(TOKENS_RING, dtype=np.uint32))
    out, audio = lab.out(rows, columns), lab.put(np.zeros((rows, columns), np.float32))
    lab.go(*lab.kernels.embed(lab.step(0), audio, tokens, matrix, out, rows=rows, known=rows, draft=0))
    got, want = lab.get(out, rows, columns, guarded=True), ggml.dequantise(raw, type, (rows, columns))
    if type in ("Q4_1", "Q5_1", "Q4_K", "Q5_K"):  # the last addition is rounded, and may be fused with the product
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * np.abs(want).max())
    else:
        np.testing.assert_array_equal(got, want)


NORMS_AND_SHAPES = [  # norm, rows, columns; the last three have squares of several chunks
    *((norm, *shape) for norm in (False, True) for shape in ((5, 160), (1, 1024), (3, 384))),
    (True, 1, 3072),
    (True, 9, 1536),
    (True, 67, 64),
]


# Each ending and each shape comes with a bias and without: lavapipe compiles slowly, so not all three together.
@pytest.mark.parametrize(
    "ending,biased,norm,rows,columns",
    [
        (ending, (ending + i) % 2 == 1, *shape)
        for i, shape in enumerate(NORMS_AND_SHAPES)
        for ending in (STORE, GELU, ADD, SILU)
    ],
)
def test_linear_endings(lab, ending, norm, biased, rows, columns):
    outputs = 70
    x, weights = random(1, rows, columns, scale=3), random(2, outputs, columns, scale=columns**-0.5)
    gain, bias, before = random(3, columns), random(4, outputs), random(5, rows, outputs)
    matrix, rounded = lab.matrix(weights, "Q4_0", gate_up=ending == SILU)
    out = (
        lab.put(np.concatenate([before.ravel(), np.full(GUARDS, -12345.5)]).astype(np.float32))
        if ending == ADD
        else lab.out(rows, outputs // (2 if ending == SILU else 1))
    )
    lab.go(
        *lab.kernels.linear(
            lab.kernels.unused,
            lab.put(x.astype(np.float32)),
            matrix,
            out,
            rows=rows,
            ending=ending,
            norm=(lab.put(gain.astype(np.float32)), 1e-5) if norm else None,
            bias=lab.put(bias.astype(np.float32)) if biased else None,
        )
    )
    y = (reference.rms_norm(x, gain) if norm else x) @ rounded.T + bias * biased
    want = {
        STORE: lambda: y,
        GELU: lambda: reference.gelu(y),
        ADD: lambda: before + y,
        SILU: lambda: reference.silu(y[:, :35]) * y[:, 35:],
    }[ending]()
    assert_close((ending, norm, biased, rows, columns), lab.get(out, *want.shape, guarded=True), want, 2e-5)


@pytest.mark.parametrize("gate_up", [False, True])
def test_linear_in_parts(lab, gate_up):
    """A matrix over the binding limit comes in parts, with a dispatch for each."""
    rows, outputs, columns = 3, 140, 64
    x, weights = random(1, rows, columns), random(2, outputs, columns)
    matrix, rounded = lab.matrix(weights, "Q4_0", most_rows=48, gate_up=gate_up)
    assert len(matrix.parts) == 3
    out = lab.out(rows, outputs // (1 + gate_up))
    lab.go(
        *lab.kernels.linear(
            lab.kernels.unused, lab.put(x.astype(np.float32)), matrix, out, rows=rows, ending=SILU if gate_up else STORE
        )
    )
    y = x @ rounded.T
    want = reference.silu(y[:, :70]) * y[:, 70:] if gate_up else y
    assert_close("parts", lab.get(out, *want.shape, guarded=True), want, 1e-4 if gate_up else 2e-5)


# Each stack meets both values of the others, and these meet each other: lavapipe compiles slowly.
@pytest.mark.parametrize(
    "stack,half_rope,cache_f16",
    [(stack, half_rope, half_rope == (i % 2 == 0)) for i, stack in enumerate(STACKS) for half_rope in (False, True)],
)
@pytest.mark.parametrize("position,rotation,rows", [(0, 0, 3), (29, 29, 3), (29, 131000, 3), (29, 29, 40)])
def test_linear_heads(lab, half_rope, cache_f16, stack, position, rotation, rows):
    """Queries, and keys and values in the slots of their positions, over the ring's end."""
    s = STACKS[stack]
    capacity = rows + (28 if position else 11)
    x, weights = random(1, rows, s.width), random(2, s.qkv_rows, s.width, scale=s.width**-0.5)
    gain, bias = random(3, s.width), random(4, s.qkv_rows)
    matrix, rounded = lab.matrix(weights, "Q4_0")
    angles = lab.put(rope.table(s, 1))
    cache = lab.out(capacity, 2 * s.kv_heads, s.head_dim // (2 if cache_f16 else 1))
    queries = lab.out(rows, s.heads, s.head_dim)
    lab.go(
        *lab.kernels.linear(
            lab.step(position, rotation, capacity),
            lab.put(x.astype(np.float32)),
            matrix,
            queries,
            rows=rows,
            norm=(lab.put(gain.astype(np.float32)), 1e-5),
            bias=lab.put(bias.astype(np.float32)),
            heads=Heads(s, half_rope, angles, cache, cache_f16),
        )
    )
    y = (reference.rms_norm(x, gain) @ rounded.T + bias).reshape(rows, -1, s.head_dim)
    at = rotation + np.arange(rows)
    q, k = (
        reference.rope(part, at, s.rope_base, half_rope)
        for part in (y[:, : s.heads], y[:, s.heads : s.heads + s.kv_heads])
    )
    assert_close("queries", lab.get(queries, rows, s.heads, s.head_dim, guarded=True), q, 3e-5)
    ring = lab.get(cache, capacity, 2, s.kv_heads, s.head_dim // (2 if cache_f16 else 1), guarded=True)
    slots = (position + np.arange(rows)) % capacity
    assert np.isnan(np.delete(ring, slots, 0)).all(), "a slot of another position was written"
    if cache_f16:
        ring = np.ascontiguousarray(ring).view(np.float16).astype(float)
    assert_close("keys", ring[slots, 0], k, 5e-3 if cache_f16 else 3e-5)  # f16 has 11 bits: 2e-3 of 4
    assert_close("values", ring[slots, 1], y[:, s.heads + s.kv_heads :], 5e-3 if cache_f16 else 3e-5)


def test_grids_over_the_limit_of_a_dimension(lab, monkeypatch):
    """With a limit of 7 workgroups in a dimension, everything is spread over two dimensions, with the same results."""
    monkeypatch.setattr(kernels_module, "MAX_GRID", 7)
    assert_linear(lab, "Q4_0", 3, 1025, 96)
