"""Weights on the GPU: every byte is in its place, for any chunks, types and limits."""

from dataclasses import replace

import gguf
import numpy as np
import pytest

from lab import Lab
from synthetic import VOXTRAL_4B, directory
from voxtab.config import Stack
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.kernels import Kernels
from voxtab.gpu.variants import Variants
from voxtab.weights import checkpoint, load
from voxtab.weights.directory import Directory

STACK = Stack(layers=1, width=96, heads=2, kv_heads=1, head_dim=32, hidden=416, window=8, epsilon=1e-5, rope_base=1e6)
CONFIG = replace(VOXTRAL_4B, encoder=replace(STACK, kv_heads=2, hidden=160), decoder=STACK, vocabulary=1100)


def shuffled(tensors: Directory) -> Directory:
    """The same tensors in another order of the file, without gaps."""
    entries, at = {}, 0
    for i in np.random.default_rng(2).permutation(len(tensors.tensors)):
        tensor = [*tensors.tensors.values()][i]
        entries[tensor.name] = replace(tensor, offset=at)
        at += tensor.nbytes
    return replace(tensors, tensors=entries)


class Values:
    """A source of random values for every tensor of a directory; it notes where it was read."""

    def __init__(self, tensors: Directory):
        random, self.raw = np.random.default_rng(1), {}
        self.size = max(tensor.offset + tensor.nbytes for tensor in tensors.tensors.values())
        self.bytes = bytearray(self.size)
        for name, tensor in tensors.tensors.items():
            values = random.standard_normal(tensor.shape).astype(np.float32)
            if tensor.type == "Q4_0":
                data = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q4_0).tobytes()
            elif tensor.type == "BF16":
                data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
            else:
                data = values.astype({"F32": np.float32, "F16": np.float16}[tensor.type]).tobytes()
            assert len(data) == tensor.nbytes
            self.raw[name] = np.frombuffer(data, np.uint8)
            self.bytes[tensor.offset : tensor.offset + tensor.nbytes] = data

    def read_into(self, offset, view):
        view[:] = self.bytes[offset : offset + len(view)]


def f32(raw, type):
    if type == "BF16":
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return raw.view({"F32": np.float32, "F16": np.float16}[type]).astype(np.float32)


@pytest.mark.parametrize(
    "matrices, vectors, chunk, cut",
    [
        ("Q4_0", "F32", load.CHUNK, False),
        ("Q4_0", "F16", 36 * 37, True),
        ("F32", "BF16", 36 * 2, True),  # less than a gain has
        ("BF16", "F16", 36 * 2, False),
    ],
)
def test_every_byte(run, device, monkeypatch, matrices, vectors, chunk, cut):
    """With `cut`, the limit leaves room for 99 rows of gate and of up: 98 are taken, as two scales share a word."""
    monkeypatch.setattr(load, "CHUNK", chunk)
    row_bytes = {"Q4_0": 48, "F32": 384, "BF16": 192}[matrices]
    if cut:
        # wq, wk and wv, which are never cut, need 192 rows.
        monkeypatch.setitem(device.limits, "maxStorageBufferBindingSize", 2 * 99 * row_bytes)
    tensors = shuffled(directory(CONFIG, matrices, vectors))
    source = Values(tensors)
    kernels = Kernels(device, Variants.of(GpuAdapter(is_software=True)))
    lab = Lab(device, kernels, run)
    before = device.nbytes
    weights, loader = load.load(tensors, CONFIG, kernels)
    held = device.nbytes
    tables, upload = [], device.upload
    monkeypatch.setattr(device, "upload", lambda source, table, progress: tables.append(table) or upload(source, table))
    run(loader.upload(source))
    offsets = [row[0] for row in tables[0]]
    assert offsets == sorted(offsets), "the page reads a stream"
    assert device.nbytes <= held, "loading leaves nothing but the weights"

    def read(buffer, nbytes):
        return lab.get(buffer, nbytes // 4, dtype=np.uint32).view(np.uint8)

    def check_vector(buffer, *names, zeros=None):
        want = [f32(source.raw[name], vectors) if name else np.zeros(zeros, np.float32) for name in names]
        want = np.concatenate(want)
        assert (read(buffer, want.nbytes).view(np.float32) == want).all(), names

    def check_matrix(matrix, *names):
        heights = [tensors.tensors[name].shape[0] for name in names]
        rows = {name: source.raw[name].reshape(height, -1) for name, height in zip(names, heights)}
        assert ({part.type for part in matrix.parts}, matrix.rows) == ({matrices}, sum(heights))
        if cut and len(names) == 2 and heights[0] == STACK.hidden:
            assert len(matrix.parts) > 1
        done = 0
        for part in matrix.parts:
            assert part.first == done
            done += part.rows
            each = [part.rows // len(names)] * len(names) if len(matrix.parts) > 1 else heights
            start = part.first // len(names)
            want = np.concatenate([rows[name][start : start + n] for name, n in zip(names, each)])
            if matrices == "Q4_0":
                want = want.reshape(-1, 18)
                assert (read(part.weights, 16 * len(want)).reshape(-1, 16) == want[:, 2:]).all(), names
                scales = read(part.scales, -(-len(want) // 2) * 4).reshape(-1, 2)[: len(want)]
                assert (scales == want[:, :2]).all(), names
            else:
                assert (read(part.weights, want.nbytes) == want.ravel()).all(), names
        assert done == matrix.rows

    for i, conv in enumerate(weights.conv):
        name = checkpoint.CONV.format(i, "weight")
        outputs, inputs, taps = tensors.tensors[name].shape
        (part,) = conv.weights.parts
        assert (part.type, conv.weights.rows, conv.weights.columns) == (vectors, outputs, taps * inputs)
        of_taps = source.raw[name].reshape(outputs, inputs, taps, -1).swapaxes(1, 2)
        assert (read(part.weights, of_taps.size) == of_taps.ravel()).all()
        check_vector(conv.bias, checkpoint.CONV.format(i, "bias"))
    for prefix, layer in (
        (checkpoint.ENCODER_LAYER.format(0), weights.encoder[0]),
        (checkpoint.DECODER_LAYER.format(0), weights.decoder[0]),
    ):
        check_vector(layer.attention_norm, prefix + "attention_norm.weight")
        check_vector(layer.ffn_norm, prefix + "ffn_norm.weight")
        check_matrix(layer.wqkv, *(prefix + f"attention.{w}.weight" for w in ("wq", "wk", "wv")))
        check_matrix(layer.wo, prefix + "attention.wo.weight")
        check_matrix(layer.w13, prefix + "feed_forward.w1.weight", prefix + "feed_forward.w3.weight")
        check_matrix(layer.w2, prefix + "feed_forward.w2.weight")
    prefix, layer = checkpoint.ENCODER_LAYER.format(0), weights.encoder[0]
    wq_bias, wv_bias = prefix + "attention.wq.bias", prefix + "attention.wv.bias"
    check_vector(layer.qkv_bias, wq_bias, None, wv_bias, zeros=64)
    check_vector(layer.wo_bias, prefix + "attention.wo.bias")
    check_vector(layer.w2_bias, prefix + "feed_forward.w2.bias")
    prefix, layer = checkpoint.DECODER_LAYER.format(0), weights.decoder[0]
    check_matrix(layer.ada0, prefix + checkpoint.ADA.format(0))
    check_matrix(layer.ada2, prefix + checkpoint.ADA.format(2))
    check_vector(weights.encoder_norm, checkpoint.ENCODER_NORM)
    check_vector(weights.norm, checkpoint.DECODER_NORM)
    for i, matrix in zip((0, 2), weights.adapter):
        check_matrix(matrix, checkpoint.ADAPTER.format(i))
    check_matrix(weights.embedding, checkpoint.EMBEDDING)
    kernels.close()
    assert device.nbytes > before
