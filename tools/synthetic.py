"""Models that are all shape and no content: what the variants are recorded with, and what the bench times."""

import sys
from math import prod
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "app"))

from voxtab.config import DECODER_4B, ENCODER_4B, ModelConfig, Stack
from voxtab.weights import checkpoint
from voxtab.weights.directory import Directory, Tensor, tensor_nbytes

VOXTRAL_4B = ModelConfig(Stack(layers=32, width=1280, hidden=5120, **ENCODER_4B),
                         Stack(layers=26, width=3072, hidden=9216, **DECODER_4B), vocabulary=131072, half_rope=False)
# The same parts, as narrow as can be: does a tool run?
TINY = ModelConfig(Stack(layers=2, width=64, hidden=128, **ENCODER_4B | {"heads": 2, "kv_heads": 2}),
                   Stack(layers=2, width=64, hidden=128, **DECODER_4B | {"heads": 2, "kv_heads": 1}), vocabulary=2048, half_rope=False)
ADA_WIDTH = 32


def directory(config: ModelConfig, matrices: str = "Q4_0", others: str = "F32") -> Directory:
    """The directory of a file with a model of this shape, in the types given."""
    tensors = {}
    for name, shape in checkpoint.shapes(config, ADA_WIDTH).items():
        type = matrices if len(shape) == 2 else others
        tensors[name] = Tensor(name, type, shape, 0, prod(shape[:-1]) * tensor_nbytes(type, shape[-1:]))
    return Directory("gguf", tensors, {}, 3)


class Zeros:
    """A source of as many zeros as anybody asks for."""

    def __init__(self, directory: Directory):
        self.size = sum(tensor.nbytes for tensor in directory.tensors.values())

    def read(self, offset: int, nbytes: int) -> bytes:
        return bytes(nbytes)
