"""Directory -> GPU buffers: one pass over the file's bytes in file order, repacked on the GPU.

Natively, Python's heap holds at most CHUNK bytes of weights; in the page it holds none, because JavaScript moves them.
Types with blocks go through one small raw buffer and are repacked, Q4_0 into nibbles and scales and the others as
`parts/block_types` of the shaders describes; everything else is written directly to where it is used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from voxtab.config import ModelConfig
from voxtab.gpu.device import Source, Upload
from voxtab.gpu.kernels import BLOCK_TYPES, Kernels, Matrix, Part
from voxtab.weights import checkpoint as names
from voxtab.weights.directory import Directory, Tensor, block_nbytes, tensor_nbytes

CHUNK = 36 * (1 << 17)  # bytes that an upload moves at once, at most; for Q4_0 whole pairs of blocks
assert CHUNK % 36 == 0 and CHUNK % 4 == 0


@dataclass(frozen=True)
class Layer:
    """What encoder and decoder layers have in common. Sizes are the stack's; a plain integer is a buffer of f32.

    `queries` is heads * head_dim and `keys` is kv_heads * head_dim.
    """

    attention_norm: int  # [width]: the gain in front of attention
    wqkv: Matrix  # [queries + 2 keys, width]: wq, wk and wv stacked
    wo: Matrix  # [width, queries]
    ffn_norm: int  # [width]: the gain in front of the feed-forward
    w13: Matrix  # [2 hidden, width]: w1 (gate) and w3 (up) stacked, part by part
    w2: Matrix  # [width, hidden]: down


@dataclass(frozen=True)
class EncoderLayer(Layer):
    qkv_bias: int  # [queries + 2 keys]: of wq and wv; wk has none, so its values are zero
    wo_bias: int  # [width]
    w2_bias: int  # [width]


@dataclass(frozen=True)
class DecoderLayer(Layer):
    ada0: Matrix  # [ada width, width]: the delay's condition -> a scale of ffn_norm, through a bottleneck
    ada2: Matrix  # [width, ada width]


@dataclass(frozen=True)
class Conv:
    weights: Matrix  # [outputs, 3 inputs]: the taps of all channels, one tap after another
    bias: int  # [outputs] f32


@dataclass(frozen=True)
class Weights:
    """All weights of a model. `width` is the encoder's, `decoder width` the decoder's."""

    conv: tuple[Conv, Conv]  # 128 mel bins -> width, stride 1; width -> width, stride 2
    encoder: tuple[EncoderLayer, ...]
    encoder_norm: int  # [width]
    adapter: tuple[Matrix, Matrix]  # [decoder width, 4 width], [decoder width, decoder width]
    embedding: Matrix  # [vocabulary, decoder width]; also the head: they are tied
    decoder: tuple[DecoderLayer, ...]
    norm: int  # [decoder width], in front of the head


@dataclass(frozen=True)
class _Rows:
    """Consecutive whole rows of one tensor, and where their values go: from value `first` of `buffer` on."""

    offset: int  # bytes in the source
    nbytes: int
    type: str
    buffer: int
    first: int
    scales: int = 0  # the buffer for those of types with blocks
    to_f32: bool = False  # F16 and BF16 become F32
    conv_inputs: int = 0  # channels of a convolution, whose taps change places

    @property
    def unit(self) -> int:
        """Bytes that come in one chunk: a convolution's row, or a pair of blocks."""
        return tensor_nbytes(self.type, (3 * self.conv_inputs,)) or 2 * block_nbytes(self.type)

    @property
    def chunk(self) -> int:
        return max(self.unit, CHUNK - CHUNK % self.unit)


def load(directory: Directory, config: ModelConfig, kernels: Kernels) -> tuple[Weights, "Loader"]:
    """The buffers of all weights, and the Loader that fills them.

    `directory` has Mistral's names and was checked by `checkpoint.read_config`.
    """
    loader = Loader(directory, kernels)
    weights = Weights(
        conv=(loader.conv(0), loader.conv(1)),
        encoder=tuple(loader.encoder_layer(i) for i in range(config.encoder.layers)),
        encoder_norm=loader.vector(names.ENCODER_NORM),
        adapter=(loader.matrix(names.ADAPTER.format(0)), loader.matrix(names.ADAPTER.format(2))),
        embedding=loader.matrix(names.EMBEDDING),
        decoder=tuple(loader.decoder_layer(i) for i in range(config.decoder.layers)),
        norm=loader.vector(names.DECODER_NORM),
    )
    return weights, loader


class Loader:
    """Makes buffers for tensors, notes which rows go where, and then brings them."""

    def __init__(self, directory: Directory, kernels: Kernels):
        self._tensors, self._device = directory.tensors, kernels.device
        # A recorder of its own, because everything that it made is freed after the upload.
        self._kernels = Kernels(kernels.device, kernels.variants)
        self._unused = kernels.unused
        self._rows: list[_Rows] = []

    def encoder_layer(self, i: int) -> EncoderLayer:
        prefix = names.ENCODER_LAYER.format(i)
        return EncoderLayer(
            **self._layer(prefix),
            qkv_bias=self._qkv_bias(prefix),
            wo_bias=self.vector(prefix + "attention.wo.bias"),
            w2_bias=self.vector(prefix + "feed_forward.w2.bias"),
        )

    def decoder_layer(self, i: int) -> DecoderLayer:
        prefix = names.DECODER_LAYER.format(i)
        return DecoderLayer(
            **self._layer(prefix),
            ada0=self.matrix(prefix + names.ADA.format(0)),
            ada2=self.matrix(prefix + names.ADA.format(2)),
        )

    def _layer(self, prefix: str) -> dict[str, Any]:
        return {
            "attention_norm": self.vector(prefix + "attention_norm.weight"),
            "wqkv": self.matrix(*(prefix + f"attention.{w}.weight" for w in ("wq", "wk", "wv"))),
            "wo": self.matrix(prefix + "attention.wo.weight"),
            "ffn_norm": self.vector(prefix + "ffn_norm.weight"),
            "w13": self.matrix(prefix + "feed_forward.w1.weight", prefix + "feed_forward.w3.weight"),
            "w2": self.matrix(prefix + "feed_forward.w2.weight"),
        }

    def conv(self, i: int) -> Conv:
        tensor = self._tensors[names.CONV.format(i, "weight")]
        outputs, inputs, taps = tensor.shape
        buffer = self._device.buffer(tensor.nbytes, tensor.name)
        self._rows.append(_Rows(tensor.offset, tensor.nbytes, tensor.type, buffer, 0, conv_inputs=inputs))
        weights = Matrix(outputs, taps * inputs, (Part(tensor.type, 0, outputs, buffer, self._unused),))
        return Conv(weights, self.vector(names.CONV.format(i, "bias")))

    def vector(self, name: str) -> int:
        """A gain or bias as f32."""
        buffer = self._device.buffer(4 * self._tensors[name].shape[0], name)
        self._vector_to(name, buffer, 0)
        return buffer

    def _qkv_bias(self, prefix: str) -> int:
        """Biases of the stacked queries, keys and values; keys have none."""
        queries, keys = (self._tensors[prefix + f"attention.{w}.weight"].shape[0] for w in ("wq", "wk"))
        buffer = self._device.buffer(4 * (queries + 2 * keys), prefix + "qkv_bias")
        self._vector_to(prefix + "attention.wq.bias", buffer, 0)
        self._vector_to(prefix + "attention.wv.bias", buffer, queries + keys)
        return buffer

    def _vector_to(self, name: str, buffer: int, first: int) -> None:
        tensor = self._tensors[name]
        self._rows.append(_Rows(tensor.offset, tensor.nbytes, tensor.type, buffer, first, to_f32=tensor.type != "F32"))

    def matrix(self, *stacked: str) -> Matrix:
        """Tensors of equal columns, stacked, in parts that fit a binding and have one type each.

        One tensor is cut into rows. Gate and up are cut alike, so that a part holds both rows of each output. wq, wk
        and wv, of different heights and perhaps types, must fit one part for each type, and always do at WebGPU's
        default limits.
        """
        tensors = [self._tensors[name] for name in stacked]
        columns, parts, done = tensors[0].shape[1], [], 0
        for type, of_type in groupby(tensors, lambda tensor: tensor.type):
            for cut in self._cuts(type, columns, run := [*of_type]):
                rows = sum(end - start for start, end in cut)
                weights, scales = self._device.buffer(rows * _row_bytes(type, columns), stacked[0]), self._unused
                if scale_bytes := _scale_bytes(type, rows * columns // 32):
                    scales = self._device.buffer(scale_bytes, stacked[0] + " scales")
                first, file_row_bytes = 0, tensor_nbytes(type, (columns,))
                for tensor, (start, end) in zip(run, cut):
                    offset, nbytes = tensor.offset + start * file_row_bytes, (end - start) * file_row_bytes
                    self._rows.append(_Rows(offset, nbytes, type, weights, first * columns, scales))
                    first += end - start
                parts.append(Part(type, done, rows, weights, scales))
                done += rows
        return Matrix(done, columns, tuple(parts))

    def _cuts(self, type: str, columns: int, tensors: list[Tensor]) -> list[list[tuple[int, int]]]:
        """The parts of stacked tensors of one type: for each part the rows, from and to, of every tensor."""
        row_bytes = _row_bytes(type, columns)
        heights = [tensor.shape[0] for tensor in tensors]
        limit = min(self._device.limits["maxStorageBufferBindingSize"], self._device.limits["maxBufferSize"])
        if sum(heights) * row_bytes <= limit:
            return [[(0, height) for height in heights]]
        assert len(set(heights)) == 1, "only tensors of equal height are cut"
        # An even number of rows: as two scales share a word, each tensor in a stack begins at an even block.
        most = limit // (row_bytes * len(tensors)) & ~1
        return [[(first, min(first + most, heights[0]))] * len(tensors) for first in range(0, heights[0], most)]

    async def upload(self, source: Source, progress: Callable[[int], None] | None = None) -> None:
        """Bring all rows in file order, in chunks; each is repacked or made f32 before the next one comes."""
        k = self._kernels
        raw = self._device.buffer(max(rows.chunk for rows in self._rows), "raw")
        table: list[Upload] = []
        plans = []
        for rows in sorted(self._rows, key=lambda rows: rows.offset):
            for at in range(0, rows.nbytes, rows.chunk):
                offset, nbytes = rows.offset + at, min(rows.chunk, rows.nbytes - at)
                if rows.type == "Q4_0":
                    first_block = rows.first // 32 + at // 18
                    repack = k.repack_q4_0(raw, rows.buffer, rows.scales, blocks=nbytes // 18, first_block=first_block)
                elif rows.type in BLOCK_TYPES:
                    eight_blocks = tensor_nbytes(rows.type, (256,))
                    repack = k.repack_blocks(
                        raw,
                        rows.buffer,
                        rows.scales,
                        type=rows.type,
                        blocks=nbytes * 8 // eight_blocks,
                        first_block=rows.first // 32 + at * 8 // eight_blocks,
                    )
                elif rows.conv_inputs:
                    repack = k.conv_taps(
                        raw,
                        rows.buffer,
                        type=rows.type,
                        inputs=rows.conv_inputs,
                        rows=nbytes // rows.unit,
                        first_row=at // rows.unit,
                    )
                elif rows.to_f32:
                    repack = k.to_f32(raw, rows.buffer, type=rows.type, count=nbytes // 2, first=rows.first + at // 2)
                else:
                    value_bytes = tensor_nbytes(rows.type, (1,))
                    table.append((offset, nbytes, rows.buffer, rows.first * value_bytes + at, 0))
                    continue
                plans.append(await k.plan([repack]))
                table.append((offset, nbytes, raw, 0, plans[-1]))
        await self._device.upload(source, table, progress)
        for handle in (raw, *plans):
            self._device.free(handle)
        k.close()


def _row_bytes(type: str, columns: int) -> int:
    """Of a row on the GPU, without the scales."""
    if type in BLOCK_TYPES:
        return columns // 32 * BLOCK_TYPES[type][0]
    return columns // 2 if type == "Q4_0" else tensor_nbytes(type, (columns,))


def _scale_bytes(type: str, blocks: int) -> int:
    if type in BLOCK_TYPES:
        return -(-blocks // 8) * BLOCK_TYPES[type][1]
    return 2 * blocks if type == "Q4_0" else 0
