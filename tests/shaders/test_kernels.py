"""Every shader but the products (test_linear.py) against float64: real shapes and awkward ones, in every layout."""

from dataclasses import replace

import gguf
import numpy as np
import pytest

import reference
from conftest import layouts
from lab import GUARDS, assert_close, quantised
from voxtab import mel, rope
from voxtab.config import CONTEXT_FRAMES, DECODER_4B, ENCODER_4B, Stack
from voxtab.gpu import kernels as kernels_module
from voxtab.gpu.kernels import ARGMAX_RUN, TOKENS_RING, TOP_LOGITS, TOP_WORDS, Matrix, Part
from voxtab.gpu.variants import Variants

Q4_0 = gguf.GGMLQuantizationType.Q4_0


def random(seed, *shape, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal(shape)


# --- mel


@layouts()
@pytest.mark.parametrize("signal", ["noise", "quiet", "tone", "silence", "clipped"])
def test_mel(lab, signal):
    frames, n = 11, np.arange(10 * 160 + 400)
    samples = {
        "noise": random(1, len(n), scale=0.1),
        "quiet": random(2, len(n), scale=1e-4),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * n / 16000),
        "silence": 0.0 * n,
        "clipped": np.sign(np.sin(n / 7.3)),
    }[signal].astype(np.float32)
    filters, taps = mel.sparse_filters()
    out = lab.out(frames, 128)
    lab.go(
        lab.kernels.mel(
            lab.step(position=40),
            lab.put(samples),
            lab.put(np.array(mel.waves(), np.float32)),
            lab.put(np.array(filters, np.float32)),
            out,
            frames=frames,
            frames_per_position=2,
            context=CONTEXT_FRAMES,
            taps=taps,
        )
    )
    want = reference.log_mel(np.lib.stride_tricks.sliding_window_view(samples.astype(float), 400)[::160])
    # In f32 a bin far below the frame's loudest is mostly rounding: float64's 1e-7 of a tone's 1e4 power shows.
    assert_close(signal, lab.get(out, frames, 128, guarded=True), want, 1e-3 if signal in ("tone", "clipped") else 3e-5)


@layouts()
def test_mel_is_zero_before_the_stream(lab):
    filters, taps = mel.sparse_filters()
    out = lab.out(5, 128)
    lab.go(
        lab.kernels.mel(
            lab.step(position=0),
            lab.put(np.zeros(4 * 160 + 400, np.float32)),
            lab.put(np.array(mel.waves(), np.float32)),
            lab.put(np.array(filters, np.float32)),
            out,
            frames=5,
            frames_per_position=2,
            context=CONTEXT_FRAMES,
            taps=taps,
        )
    )
    got = lab.get(out, 5, 128, guarded=True)
    assert (got[:3] == 0).all() and (got[3:] == np.float32(-0.625)).all()


def test_the_filterbank_is_slaneys():
    assert_close("filters", np.array(mel.filterbank()).T, reference.slaney_filters(), 1e-15)


# --- conv


@layouts("lanes", "tiles", "linear", "subgroup")
@pytest.mark.parametrize("type", ["F32", "F16", "BF16"])
@pytest.mark.parametrize(
    "stride,inputs,outputs,rows",
    [(1, 128, 1280, 9), (2, 1280, 1280, 4), (2, 64, 64, 1), (1, 32, 65, 3), (2, 32, 1, 7), (2, 64, 70, 130)],
)
def test_conv(lab, type, stride, inputs, outputs, rows):
    assert_conv(lab, type, stride, inputs, outputs, rows)


def assert_conv(lab, type, stride, inputs, outputs, rows, sums=None):
    x = random(1, stride * (rows - 1) + 3, inputs)
    weights = random(2, outputs, inputs, 3, scale=(3 * inputs) ** -0.5)
    bias = random(3, outputs)
    stored, rounded = quantised(weights, type)
    matrix = Matrix(outputs, 3 * inputs, (Part(type, 0, outputs, taps(lab, stored), lab.kernels.unused),))
    out = lab.out(rows, outputs)
    x_on_gpu, bias_on_gpu = lab.put(x.astype(np.float32)), lab.put(bias.astype(np.float32))
    dispatches = lab.kernels.conv(
        lab.step(position=9), x_on_gpu, matrix, bias_on_gpu, out, stride=stride, rows=rows, sums=sums
    )
    lab.go(*dispatches)
    want = reference.conv(x, rounded, bias, stride)
    assert_close((type, stride, inputs, outputs, rows), lab.get(out, rows, outputs, guarded=True), want, 1e-5)
    return dispatches


def taps(lab, stored) -> int:
    """[outputs, inputs, 3] as in a file -> what `conv` takes, in two pieces as a long tensor comes."""
    outputs, inputs, _ = stored.shape
    type = {np.float32: "F32", np.float16: "F16", np.uint16: "BF16"}[stored.dtype.type]
    cut, out = outputs // 2, lab.put(np.zeros_like(stored))
    for first, rows in ((0, cut), (cut, outputs - cut)):
        if rows:
            raw = lab.put(stored[first : first + rows])
            lab.go(lab.kernels.conv_taps(raw, out, type=type, inputs=inputs, rows=rows, first_row=first))
    return out


def test_a_convolutions_columns_are_shared(lab_of):
    """Where tiles are few, four workgroups share a tile's columns, and the ending comes after their sum."""
    lab = lab_of(Variants(tiles=16))
    dispatches = assert_conv(lab, "F16", 2, 704, 72, 130, sums=lab.out(4, 130, 72))
    assert [dispatch.kernel for dispatch in dispatches] == ["linear_tile", "linear_join"]


@layouts("lanes", "tiles", "linear", "subgroup")
def test_conv_is_zero_before_the_stream(lab):
    out, x = lab.out(3, 4), lab.put(np.ones((5, 32), np.float32))
    matrix = Matrix(4, 96, (Part("F32", 0, 4, lab.put(np.ones((4, 96), np.float32)), lab.kernels.unused),))
    bias = lab.put(np.ones(4, np.float32))
    lab.go(*lab.kernels.conv(lab.step(0), x, matrix, bias, out, stride=1, rows=3, zero_rows=1, rows_per_position=2))
    got = lab.get(out, 3, 4, guarded=True)
    assert (got[0] == 0).all() and (got[1:] > 96).all()


# --- attention

STACK = Stack(layers=1, width=96, heads=4, kv_heads=2, head_dim=32, hidden=32, window=12, epsilon=1e-5, rope_base=1e6)
STACKS = {
    "gqa": STACK,
    "wide": replace(STACK, width=256),
    "mha": replace(STACK, heads=3, kv_heads=3, head_dim=64),
    "decoder": replace(STACK, heads=32, kv_heads=8, head_dim=128, width=64, window=150),
}

WINDOWS = STACKS | {
    "two splits": replace(STACK, window=1025),
    "4B encoder": Stack(1, 1280, hidden=5120, **ENCODER_4B),
    "4B decoder": Stack(1, 3072, hidden=9216, **DECODER_4B),
}


def assert_attention(lab, cache_f16, s, position, rows):
    capacity = s.window - 1 + rows
    positions = np.arange(max(0, position + rows - capacity), position + rows)
    k, v = random(1, len(positions), s.kv_heads, s.head_dim), random(2, len(positions), s.kv_heads, s.head_dim)
    q = random(3, rows, s.heads, s.head_dim)
    ring = np.full((capacity, 2, s.kv_heads, s.head_dim), np.nan)  # an unused slot must not be read
    ring[positions % capacity, 0], ring[positions % capacity, 1] = k, v
    ring = ring.astype(np.float16 if cache_f16 else np.float32)
    out = lab.out(rows, s.heads, s.head_dim)
    results, sums = (lab.out(nbytes // 4) for nbytes in lab.kernels.attention_scratch(rows, s))
    lab.go(
        *lab.kernels.attention(
            lab.step(position, 0, capacity),
            lab.put(q.astype(np.float32)),
            lab.put(ring),
            (results, sums),
            out,
            rows=rows,
            stack=s,
            cache_f16=cache_f16,
        )
    )
    rounded = ring[positions % capacity].astype(float)
    want = reference.attention(q, rounded[:, 0], rounded[:, 1], position + np.arange(rows), positions, s.window)
    assert_close((s, position, rows), lab.get(out, rows, s.heads, s.head_dim, guarded=True), want, 1e-5)


ATTENTION = "attention", "attention_groups", "attention_splits", "attention_tiles"


@layouts(*ATTENTION)
@pytest.mark.parametrize("cache_f16", [False, True])
@pytest.mark.parametrize("stack", [*STACKS, "two splits"])
@pytest.mark.parametrize("position", ["first", "filling", "window", "rolled"])
@pytest.mark.parametrize("rows", [1, 4])
def test_attention(lab, cache_f16, stack, position, rows):
    s = WINDOWS[stack]
    position = {"first": 0, "filling": s.window // 2, "window": s.window - 1, "rolled": 5 * s.window + 3}[position]
    assert_attention(lab, cache_f16, s, position, rows)


@layouts(*ATTENTION)
@pytest.mark.parametrize("stack,position", [("gqa", 0), ("mha", 100)], ids=["gqa", "mha"])
def test_attention_of_many_rows(lab, stack, position):
    """More queries of a head than a workgroup of `attention_tile` takes, the last of them alone."""
    assert_attention(lab, True, WINDOWS[stack], position, 65)


@layouts(*ATTENTION)
@pytest.mark.parametrize("stack,rows", [("4B encoder", 4), ("4B decoder", 1)])
def test_attention_over_the_4b_models_full_windows(lab, stack, rows):
    assert_attention(lab, True, WINDOWS[stack], 3 * WINDOWS[stack].window + 5, rows)


@layouts()
@pytest.mark.parametrize("cache_f16", [False, True])
def test_rotate_keys(lab, cache_f16):
    """Keys cached at some positions become keys cached `back` positions earlier; values stay."""
    s, capacity, back = STACK, 70, 131000
    keys, values = random(1, capacity, s.kv_heads, s.head_dim), random(2, capacity, s.kv_heads, s.head_dim)
    at = back + 5 + np.arange(capacity)
    ring = np.stack([reference.rope(keys, at, s.rope_base), values], 1).astype(np.float16 if cache_f16 else np.float32)
    cache = lab.put(np.concatenate([ring.ravel(), np.full(GUARDS, -12345.5, np.float32).view(ring.dtype)]))
    lab.go(
        lab.kernels.rotate_keys(
            lab.put(rope.rotations(s, back)), cache, capacity=capacity, stack=s, cache_f16=cache_f16
        )
    )
    got = lab.get(cache, capacity, 2, s.kv_heads, s.head_dim // (2 if cache_f16 else 1), guarded=True)
    got = np.ascontiguousarray(got).view(ring.dtype)
    assert_close("keys", got[:, 0], reference.rope(keys, at - back, s.rope_base), 6e-3 if cache_f16 else 2e-6)
    assert (got[:, 1] == ring[:, 1]).all()


def test_grids_over_the_limit_of_a_dimension(lab, monkeypatch):
    """With a limit of 7 workgroups in a dimension, everything is spread over two dimensions, with the same results."""
    monkeypatch.setattr(kernels_module, "MAX_GRID", 7)
    test_conv(lab, "F32", 2, 32, 1025, 3)
    test_repack_q4_0(lab, 6000, 0)
    test_rotate_keys(lab, False)


# --- the small ones


@layouts("lanes")
@pytest.mark.parametrize("rows,columns", [(1, 32), (4, 1280), (3, 3072), (64, 64)])
def test_rms_norm(lab, rows, columns):
    x, gain, out = random(1, rows, columns, scale=30), random(2, columns), lab.out(rows, columns)
    lab.go(
        lab.kernels.rms_norm(
            lab.put(x.astype(np.float32)),
            lab.put(gain.astype(np.float32)),
            out,
            rows=rows,
            columns=columns,
            epsilon=1e-5,
        )
    )
    assert_close((rows, columns), lab.get(out, rows, columns, guarded=True), reference.rms_norm(x, gain), 1e-5)


@layouts()
@pytest.mark.parametrize("type", ["Q4_0", "F32", "F16", "BF16"])
@pytest.mark.parametrize("most_rows,columns", [(None, 96), (50, 96), (50, 128)])
def test_embed(lab, type, most_rows, columns):
    rows, position = 3, TOKENS_RING - 1
    audio, weights = random(1, 5, columns), random(2, 131, columns)
    matrix, rounded = lab.matrix(weights, type, most_rows)
    ids = [130, 0, 49]
    tokens = np.full(TOKENS_RING, 7, np.uint32)
    tokens[(position + np.arange(rows)) % TOKENS_RING] = ids
    for known, draft in ((rows, 8), (1, 60)):
        out = lab.out(rows, columns)
        lab.go(
            *lab.kernels.embed(
                lab.step(position, audio_row=2),
                lab.put(audio.astype(np.float32)),
                lab.put(tokens),
                matrix,
                out,
                rows=rows,
                known=known,
                draft=draft,
            )
        )
        want = audio[2:5] + rounded[ids[:known] + [draft] * (rows - known)]
        assert_close((type, known), lab.get(out, rows, columns, guarded=True), want, 1e-6)


@layouts("lanes")
@pytest.mark.parametrize("columns", [1, 33, 255, 2048, 131072])
@pytest.mark.parametrize("case", ["random", "equal", "last", "negative"])
def test_argmax_and_next_token(lab, columns, case):
    rows, runs, position = 2, -(-columns // ARGMAX_RUN), TOKENS_RING - 2
    logits = random(columns, rows, columns).astype(np.float32)
    if case == "equal":
        logits[:, :] = 1.5  # the lowest index wins
    if case == "last":
        logits[:, -1] = 100
    if case == "negative":
        logits -= 1e30
    best = lab.out(rows, runs, 2)
    lab.go(lab.kernels.argmax(lab.put(logits), best, rows=rows, columns=columns))
    got = lab.get(best, rows, runs, 2, guarded=True)
    for row in range(rows):
        cut = np.array_split(logits[row], range(ARGMAX_RUN, columns, ARGMAX_RUN))
        assert (got[row, :, 0] == [run.max() for run in cut]).all()
        assert got[row, :, 1].copy().view(np.uint32).tolist() == [
            ARGMAX_RUN * i + int(run.argmax()) for i, run in enumerate(cut)
        ]

    tokens, step = lab.put(np.full(TOKENS_RING + 1, 77777777, np.uint32)), lab.step(position, 5000, 60, 3)
    lab.go(*[lab.kernels.next_token(best, tokens, step, rows=1, columns=columns, draft=0)] * 2)
    got = lab.get(tokens, TOKENS_RING + 1, dtype=np.uint32)
    slots = [*(position + np.array([1, 2])) % TOKENS_RING, TOKENS_RING]
    assert (
        (got[slots[:2]] == logits[0].argmax()).all()
        and got[TOKENS_RING] == position + 2
        and (np.delete(got, slots) == 77777777).all()
    )
    assert lab.get(step, 4, dtype=np.uint32).tolist() == [position + 2, 5002, 60, 5]


@layouts("lanes")
def test_nan_logits(lab):
    """They make no token: the ring gets `columns`, which is one more than the last id."""
    columns, position = 5000, 3
    best, tokens = lab.out(1, -(-columns // ARGMAX_RUN), 2), lab.put(np.full(TOKENS_RING + 1, 7, np.uint32))
    lab.go(
        lab.kernels.argmax(lab.put(np.full((1, columns), np.nan, np.float32)), best, rows=1, columns=columns),
        lab.kernels.next_token(best, tokens, lab.step(position), rows=1, columns=columns, draft=0),
    )
    assert lab.get(tokens, TOKENS_RING + 1, dtype=np.uint32)[position + 1] == columns


@layouts("lanes")
@pytest.mark.parametrize(
    "predicted,made",
    [
        ([5, 9, 9, 9], 1),
        ([9, 5, 9, 9], 2),
        ([9, 9, 9, 5], 4),
        ([9, 9, 9, 9], 4),
        ([9, 9, 5], 3),
        ([9] * 8, 8),
        ([9], 1),
    ],
)
def test_kept_drafts(lab, predicted, made):
    """The drafts are 9: the first row's prediction is kept, and the next row's after each row that predicted 9."""
    rows, columns, position = len(predicted), 5000, TOKENS_RING - 3
    logits = random(rows, rows, columns).astype(np.float32)
    logits[np.arange(rows), predicted] = 100
    best, tokens = lab.out(rows, -(-columns // ARGMAX_RUN), 2), lab.put(np.full(TOKENS_RING + 1, 77777777, np.uint32))
    step = lab.step(position, 20, 60, 3)
    lab.go(
        lab.kernels.argmax(lab.put(logits), best, rows=rows, columns=columns),
        lab.kernels.next_token(best, tokens, step, rows=rows, columns=columns, draft=9),
    )
    got, slots = lab.get(tokens, TOKENS_RING + 1, dtype=np.uint32), (position + 1 + np.arange(made)) % TOKENS_RING
    assert got[slots].tolist() == predicted[:made] and got[TOKENS_RING] == position + made
    assert (np.delete(got, [*slots, TOKENS_RING]) == 77777777).all()
    assert lab.get(step, 4, dtype=np.uint32).tolist() == [position + made, 20 + made, 60, 3 + made]


@layouts()
def test_delay_gain(lab):
    norm, ada, out = random(1, 96), random(2, 96), lab.out(96)
    lab.go(lab.kernels.delay_gain(lab.put(norm.astype(np.float32)), lab.put(ada.astype(np.float32)), out, columns=96))
    assert_close("delay_gain", lab.get(out, 96, guarded=True), norm * (1 + ada), 1e-6)


@layouts()
@pytest.mark.parametrize("blocks,first", [(4, 0), (7, 0), (1, 4), (600, 8), (6, 2)])
def test_repack_q4_0(lab, blocks, first):
    raw = np.random.default_rng(blocks).integers(0, 256, (blocks, 18), np.uint8)
    room = -(-(first + blocks + 2) // 4) * 4
    nibbles, scales = lab.put(np.zeros(4 * room, np.uint32)), lab.put(np.zeros(room // 2, np.uint32))
    lab.go(lab.kernels.repack_q4_0(lab.put(raw), nibbles, scales, blocks=blocks, first_block=first))
    got = lab.get(nibbles, room, 4, dtype=np.uint32).copy().view(np.uint8)
    assert (
        (got[first : first + blocks] == raw[:, 2:]).all() and not got[:first].any() and not got[first + blocks :].any()
    )
    got = lab.get(scales, room // 2, dtype=np.uint32).copy().view(np.uint8).reshape(-1, 2)
    assert (got[first : first + blocks] == raw[:, :2]).all() and not got[first + blocks :].any()


@layouts()
@pytest.mark.parametrize("type", ["F16", "BF16"])
def test_to_f32(lab, type):
    values = random(1, 65).astype(np.float32)
    bits = (
        values.astype(np.float16).view(np.uint16) if type == "F16" else (values.view(np.uint32) >> 16).astype(np.uint16)
    )
    want = values.astype(np.float16).astype(float) if type == "F16" else (bits.astype(np.uint32) << 16).view(np.float32)
    out = lab.out(70)
    lab.go(lab.kernels.to_f32(lab.put(bits), out, type=type, count=65, first=5))
    got = lab.get(out, 70, guarded=True)
    assert np.isnan(got[:5]).all() and (got[5:] == want).all()


@layouts()
@pytest.mark.parametrize("blocks", [1, 2, 7, 600])
def test_fit_q4_0(lab, blocks):
    """Each block's squared error is that of the float64 fit, up to values half way between two codes."""
    values = awkward_blocks(blocks)
    packed = lab.put(np.zeros(-(-blocks // 2) * 9, np.uint32))
    lab.go(lab.kernels.fit_q4_0(lab.put(np.pad(values, ((0, blocks % 2), (0, 0)))), packed, blocks=blocks))
    raw = lab.get(packed, -(-blocks // 2) * 9, dtype=np.uint32).copy().view(np.uint8).reshape(-1, 18)[:blocks]
    got, want = dequantized(raw), reference.fit_q4_0(values.astype(float))
    size = np.square(values).sum(1, dtype=float) + 1e-30
    errors = [np.square(made - values).sum(1, dtype=float) / size for made in (got, want)]
    assert_close("squared errors", errors[0], errors[1], 1e-3)
    assert errors[0].sum() <= errors[1].sum() * 1.001 + 1e-6
    ggmls = np.square(dequantized(gguf.quants.quantize(values, Q4_0)) - values).sum(1, dtype=float) / size
    assert (errors[0] <= ggmls + 1e-6).all()  # its scale is one of those that are tried


def awkward_blocks(count) -> np.ndarray:
    """[count, 32] f32: Gaussians of many sizes, and blocks of zeros, of ties, of one value, and too small for f16."""
    values = random(count, count, 32) * 10.0 ** np.random.default_rng(count).integers(-3, 3, (count, 1))
    kinds = [np.zeros(32), np.r_[-1.0, 1, np.zeros(30)], np.full(32, 0.3), np.full(32, 1e-12), np.arange(32) - 16.0]
    for i, kind in enumerate(kinds[: count - 1]):
        values[i] = kind
    return values.astype(np.float32)


def dequantized(raw) -> np.ndarray:
    return gguf.quants.dequantize(raw.reshape(-1, 18), Q4_0)


@pytest.mark.parametrize("columns", [2, 33, 300, 131072])
def test_top_logits(lab, columns):
    """The largest, in order, of equals the lowest index; and the logarithm of the sum that makes them probabilities."""
    rows, position = 2, TOKENS_RING - 2
    logits = random(columns, rows, columns).astype(np.float32)
    logits[0] += 500  # exp of it alone is infinite
    logits[1, columns // 2 :] = logits[1, columns // 2]  # many equals
    top = lab.out(TOKENS_RING, TOP_WORDS)
    lab.go(lab.kernels.top_logits(lab.step(position), lab.put(logits), top, rows=rows, columns=columns))
    got = lab.get(top, TOKENS_RING, TOP_WORDS)
    for row, slot in enumerate((position + 1 + np.arange(rows)) % TOKENS_RING):
        wanted = np.argsort(-logits[row], kind="stable")[:TOP_LOGITS]
        found = got[slot, : 2 * len(wanted)]
        assert found[::2].copy().view(np.uint32).tolist() == wanted.tolist()
        assert (found[1::2] == logits[row][wanted]).all()
        exact = np.log(np.exp(logits[row].astype(np.float64) - 500).sum()) + 500
        assert_close("logarithm of the sum", got[slot, -1:], np.array([exact]), 1e-5 * abs(exact))
