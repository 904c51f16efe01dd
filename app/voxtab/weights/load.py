"""Directory -> GPU buffers: one pass over the file's bytes in file order, repacked on the GPU (design 2.1).

Python's heap never holds more than a chunk: ranges of a few MB go straight to the GPU. Q4_0 goes through one small raw
buffer and is split there into nibbles and scales; everything else lands where it is used.
"""

from dataclasses import dataclass

from voxtab.config import ModelConfig
from voxtab.gpu.device import Source
from voxtab.gpu.kernels import Kernels, Matrix, Part
from voxtab.weights import checkpoint as names
from voxtab.weights.directory import Directory, tensor_nbytes

CHUNK = 36 * (1 << 17)  # bytes an upload moves at once: whole pairs of Q4_0 blocks
assert CHUNK % 36 == 0 and CHUNK % 4 == 0


@dataclass(frozen=True)
class Layer:
    """One transformer layer. Biases are the encoder's, ada0 and ada2 the decoder's; 0 where there is none."""

    attention_norm: int
    wqkv: Matrix  # wq, wk, wv stacked
    qkv_bias: int
    wo: Matrix
    wo_bias: int
    ffn_norm: int
    w13: Matrix  # gate and up stacked, part by part
    w2: Matrix  # down
    w2_bias: int
    ada0: Matrix | None = None
    ada2: Matrix | None = None


@dataclass(frozen=True)
class Conv:
    type: str
    inputs: int
    weights: int
    bias: int


@dataclass(frozen=True)
class Weights:
    conv: tuple[Conv, Conv]
    encoder: tuple[Layer, ...]
    encoder_norm: int
    adapter: tuple[Matrix, Matrix]
    embedding: Matrix  # the head too: they are tied
    decoder: tuple[Layer, ...]
    norm: int


@dataclass(frozen=True)
class _Piece:
    """A run of whole rows of one tensor, and where its values go: value `first` of `buffer` on."""

    offset: int  # bytes in the source
    nbytes: int
    type: str
    buffer: int
    first: int
    scales: int = 0  # of Q4_0
    widen: bool = False  # F16 and BF16 to F32


def load(directory: Directory, config: ModelConfig, kernels: Kernels) -> tuple[Weights, "Loader"]:
    """All weights as buffers, and who fills them. `directory` has Mistral's names and was checked by `checkpoint.read_config`."""
    loader = Loader(directory, kernels)
    weights = Weights(
        conv=(loader.conv(0), loader.conv(1)),
        encoder=tuple(loader.layer(names.ENCODER_LAYER.format(i), True) for i in range(config.encoder.layers)),
        encoder_norm=loader.vector(names.ENCODER_NORM),
        adapter=(loader.matrix(names.ADAPTER.format(0)), loader.matrix(names.ADAPTER.format(2))),
        embedding=loader.matrix(names.EMBEDDING),
        decoder=tuple(loader.layer(names.DECODER_LAYER.format(i), False) for i in range(config.decoder.layers)),
        norm=loader.vector(names.DECODER_NORM),
    )
    return weights, loader


class Loader:
    def __init__(self, directory: Directory, kernels: Kernels):
        self._tensors, self._device = directory.tensors, kernels.device
        self._kernels = Kernels(kernels.device, kernels.variants)  # what it binds is forgotten behind the upload
        self._unused = kernels.unused
        self._pieces: list[_Piece] = []

    def layer(self, prefix: str, encoder: bool) -> Layer:
        return Layer(
            attention_norm=self.vector(prefix + "attention_norm.weight"),
            wqkv=self.matrix(*(prefix + f"attention.{w}.weight" for w in ("wq", "wk", "wv"))),
            qkv_bias=self._qkv_bias(prefix) if encoder else 0,
            wo=self.matrix(prefix + "attention.wo.weight"),
            wo_bias=self.vector(prefix + "attention.wo.bias") if encoder else 0,
            ffn_norm=self.vector(prefix + "ffn_norm.weight"),
            w13=self.matrix(prefix + "feed_forward.w1.weight", prefix + "feed_forward.w3.weight"),
            w2=self.matrix(prefix + "feed_forward.w2.weight"),
            w2_bias=self.vector(prefix + "feed_forward.w2.bias") if encoder else 0,
            ada0=None if encoder else self.matrix(prefix + names.ADA.format(0)),
            ada2=None if encoder else self.matrix(prefix + names.ADA.format(2)),
        )

    def conv(self, i: int) -> Conv:
        tensor = self._tensors[names.CONV.format(i, "weight")]
        buffer = self._device.buffer(tensor.nbytes, tensor.name)
        self._pieces.append(_Piece(tensor.offset, tensor.nbytes, tensor.type, buffer, 0))
        return Conv(tensor.type, tensor.shape[1], buffer, self.vector(names.CONV.format(i, "bias")))

    def vector(self, name: str) -> int:
        """A gain or bias as f32."""
        buffer = self._device.buffer(4 * self._tensors[name].shape[0], name)
        self._vector_piece(name, buffer, 0)
        return buffer

    def _qkv_bias(self, prefix: str) -> int:
        """Biases of the stacked queries, keys and values; keys have none."""
        queries, keys = (self._tensors[prefix + f"attention.{w}.weight"].shape[0] for w in ("wq", "wk"))
        buffer = self._device.buffer(4 * (queries + 2 * keys), prefix + "qkv_bias")
        self._vector_piece(prefix + "attention.wq.bias", buffer, 0)
        self._vector_piece(prefix + "attention.wv.bias", buffer, queries + keys)
        return buffer

    def _vector_piece(self, name: str, buffer: int, first: int):
        tensor = self._tensors[name]
        self._pieces.append(
            _Piece(tensor.offset, tensor.nbytes, tensor.type, buffer, first, widen=tensor.type != "F32")
        )

    def matrix(self, *stacked: str) -> Matrix:
        """Tensors of equal columns and type, stacked, in parts that fit a binding.

        One tensor is cut into runs of rows. Gate and up are cut alike, so that a part holds both of each output.
        wq, wk and wv, of different heights, must fit one part, and always do at WebGPU's default limits.
        """
        tensors = [self._tensors[name] for name in stacked]
        type, columns = tensors[0].type, tensors[0].shape[1]
        heights = [tensor.shape[0] for tensor in tensors]
        row_bytes = columns // 2 if type == "Q4_0" else tensor_nbytes(type, (columns,))
        limit = min(self._device.limits["maxStorageBufferBindingSize"], self._device.limits["maxBufferSize"])
        # An even number of rows, as an even first block in a stack is what the scales' packing needs.
        most = limit // (row_bytes * len(tensors)) & ~1
        if sum(heights) * row_bytes <= limit:
            cuts = [[(0, height) for height in heights]]
        else:
            assert len(set(heights)) == 1, "only tensors of equal height are cut"
            cuts = [[(first, min(first + most, heights[0]))] * len(tensors) for first in range(0, heights[0], most)]
        parts, done = [], 0
        for cut in cuts:
            rows = sum(end - start for start, end in cut)
            weights = self._device.buffer(rows * row_bytes, stacked[0])
            scales = (
                self._device.buffer(rows * columns // 16, stacked[0] + " scales") if type == "Q4_0" else self._unused
            )
            first = 0
            for tensor, (start, end) in zip(tensors, cut):
                stride = tensor_nbytes(type, (columns,))
                self._pieces.append(
                    _Piece(
                        tensor.offset + start * stride, (end - start) * stride, type, weights, first * columns, scales
                    )
                )
                first += end - start
            parts.append(Part(done, rows, weights, scales))
            done += rows
        return Matrix(type, done, columns, tuple(parts))

    async def upload(self, source: Source, progress=None):
        """Bring every piece, in file order, in chunks; split and widen behind each."""
        raw = self._device.buffer(CHUNK, "raw")
        table, plans = [], []
        for piece in sorted(self._pieces, key=lambda piece: piece.offset):
            for at in range(0, piece.nbytes, CHUNK):
                nbytes = min(CHUNK, piece.nbytes - at)
                if piece.type == "Q4_0":
                    repack = self._kernels.repack_q4_0(
                        raw, piece.buffer, piece.scales, blocks=nbytes // 18, first_block=piece.first // 32 + at // 18
                    )
                elif piece.widen:
                    repack = self._kernels.to_f32(
                        raw, piece.buffer, type=piece.type, count=nbytes // 2, first=piece.first + at // 2
                    )
                else:
                    value_bytes = 4 if piece.type == "F32" else 2
                    table.append((piece.offset + at, nbytes, piece.buffer, piece.first * value_bytes + at, 0))
                    continue
                plans.append(await self._kernels.plan([repack]))
                table.append((piece.offset + at, nbytes, raw, 0, plans[-1]))
        await self._device.upload(source, table, progress)
        for handle in (raw, *plans):
            self._device.free(handle)
        self._kernels.forget_binds()
