"""4 states -> audio embedding (spec 5)."""

from voxtab.gpu.kernels import GELU, Dispatch, Kernels
from voxtab.weights.load import Weights


class Adapter:
    """[tokens, 4 x encoder width], which is just [4 tokens, encoder width] read so -> [tokens, decoder width]."""

    def __init__(self, kernels: Kernels, weights: Weights, tokens: int, width: int):
        self.weights = weights
        self.hidden = kernels.device.buffer(4 * tokens * width, "adapter hidden")
        self.audio = kernels.device.buffer(4 * tokens * width, "audio embeddings")

    def record(self, k: Kernels, step: int, states: int, tokens: int) -> list[Dispatch]:
        first, second = self.weights.adapter
        return [
            *k.linear(step, states, first, self.hidden, rows=tokens, ending=GELU),
            *k.linear(step, self.hidden, second, self.audio, rows=tokens),
        ]
