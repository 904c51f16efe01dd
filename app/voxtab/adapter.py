"""4 states -> audio embedding (spec 5)."""

from voxtab.gpu.kernels import GELU, Dispatch, Kernels
from voxtab.weights.load import Weights


class Adapter:
    """Buffers of one block of up to `tokens` tokens, and the dispatches that fill them. `width` is the decoder's."""

    def __init__(self, kernels: Kernels, weights: Weights, tokens: int, width: int):
        self.weights = weights
        self.hidden = kernels.device.buffer(4 * tokens * width, "adapter hidden")
        self.audio = kernels.device.buffer(4 * tokens * width, "audio embeddings")

    def record(self, k: Kernels, step: int, states: int, tokens: int) -> list[Dispatch]:
        """states [4 tokens, encoder width], read as [tokens, 4 * encoder width] -> audio [tokens, width]."""
        first, second = self.weights.adapter
        return [
            # hidden [tokens, width] = gelu(first states)
            *k.linear(step, states, first, self.hidden, rows=tokens, ending=GELU),
            # audio [tokens, width] = second hidden
            *k.linear(step, self.hidden, second, self.audio, rows=tokens),
        ]
