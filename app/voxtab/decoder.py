"""audio embedding + token -> next token, on the GPU from end to end (spec 6)."""

import math
from array import array

from voxtab import rope
from voxtab.config import PAD, ModelConfig
from voxtab.gpu.kernels import ADD, ARGMAX_RUN, GELU, HEADS, SILU, TOKENS_RING, Dispatch, Kernels, pack_step
from voxtab.kv_cache import KvCache
from voxtab.weights.load import Weights

FIRST_POSITIONS = 512  # of the rings, 41 s: most streams are far shorter than the window


def delay_condition(width: int, delay_tokens: int) -> array:
    """t_cond [width] f32 = [cos(D f_0) .., sin(D f_0) ..], f_i = 10000^(-i / (width/2)) (spec 6.2)."""
    half = width // 2
    angles = [delay_tokens * 10000 ** (-i / half) for i in range(half)]
    return array("f", [*map(math.cos, angles), *map(math.sin, angles)])


class Decoder:
    """Buffers for up to `rows` positions at once, and the dispatches that take them.

    The token of position p+1 is made into the ring `tokens`, where the next pass finds it; `step` moves on there too.
    """

    def __init__(self, kernels: Kernels, config: ModelConfig, weights: Weights, rows: int, cache_f16: bool):
        device, stack = kernels.device, config.decoder
        self.device, self.stack, self.weights, self.vocabulary = device, stack, weights, config.vocabulary
        self.half_rope = config.half_rope
        self.cache = KvCache(device, stack, rows, cache_f16, FIRST_POSITIONS)
        self.step = device.buffer(16, "decoder step", uniform=True)
        self.tokens = device.buffer(4 * (TOKENS_RING + 1), "tokens")
        self.x = device.buffer(4 * rows * stack.width, "decoder x")
        self.queries = device.buffer(4 * rows * stack.heads * stack.head_dim, "decoder queries")
        self.attended = device.buffer(4 * rows * stack.heads * stack.head_dim, "decoder attended")
        self.parts, self.runs = (
            device.buffer(nbytes, "decoder attention") for nbytes in kernels.attention_scratch(rows, stack)
        )
        self.hidden = device.buffer(4 * rows * stack.hidden, "decoder hidden")
        self.logits = device.buffer(4 * rows * config.vocabulary, "logits")
        self.best = device.buffer(8 * rows * -(-config.vocabulary // ARGMAX_RUN), "best logits")
        angles = rope.table(stack, 1)
        self.angles = device.buffer(4 * len(angles), "decoder angles")
        device.write(self.angles, 0, angles)
        # The FFN norm's gains with the session's delay folded in.
        self.gains = [device.buffer(4 * stack.width, f"ffn gain {i}") for i in range(stack.layers)]
        self.condition = device.buffer(4 * stack.width, "t_cond")
        self._ada_hidden = device.buffer(4 * weights.decoder[0].ada0.rows, "ada hidden")
        self._ada = device.buffer(4 * stack.width, "ada")

    def write_step(self, position: int, rotation: int, audio_row: int) -> None:
        """Where the next pass begins, the position that RoPE sees there, and its row of the block's audio embeddings."""
        self.device.write(self.step, 0, pack_step(position, rotation, self.cache.capacity, audio_row))

    def record_delay(self, k: Kernels) -> list[Dispatch]:
        """condition -> gains: g_l (1 + A2 gelu(A0 t_cond)), once a session."""
        dispatches = []
        for layer, gain in zip(self.weights.decoder, self.gains):
            dispatches += k.linear(self.step, self.condition, layer.ada0, self._ada_hidden, rows=1, ending=GELU)
            dispatches += k.linear(self.step, self._ada_hidden, layer.ada2, self._ada, rows=1)
            dispatches.append(k.delay_gain(layer.ffn_norm, self._ada, gain, columns=self.stack.width))
        return dispatches

    def record_products(self, k: Kernels) -> list[Dispatch]:
        """One row through gate, up and down of every layer, most of a step's weights: for timing variants."""
        stack, dispatches = self.stack, []
        for layer in self.weights.decoder:
            dispatches += k.linear(
                self.step,
                self.x,
                layer.w13,
                self.hidden,
                rows=1,
                ending=SILU,
                gain=layer.ffn_norm,
                epsilon=stack.epsilon,
            )
            dispatches += k.linear(self.step, self.hidden, layer.w2, self.x, rows=1, ending=ADD)
        return dispatches

    def record(self, k: Kernels, audio: int, rows: int, head: bool, layers: int | None = None) -> list[Dispatch]:
        """`rows` positions whose tokens are known. With `head` only the first one's is, the others' are drafts: pads, as most
        tokens are; and it makes the tokens behind the first and behind those that were drafted right."""
        stack, weights = self.stack, self.weights
        dispatches = k.embed(
            self.step, audio, self.tokens, weights.embedding, self.x, rows=rows, known=1 if head else rows, draft=PAD
        )
        for layer, cache, gain in list(zip(weights.decoder, self.cache.layers, self.gains))[:layers]:
            dispatches += k.linear(
                self.step,
                self.x,
                layer.wqkv,
                self.queries,
                rows=rows,
                ending=HEADS,
                gain=layer.attention_norm,
                epsilon=stack.epsilon,
                heads=stack,
                half_rope=self.half_rope,
                angles=self.angles,
                cache=cache,
                cache_f16=self.cache.f16,
            )
            dispatches += k.attention(
                self.step,
                self.queries,
                cache,
                self.parts,
                self.runs,
                self.attended,
                rows=rows,
                heads=stack,
                cache_f16=self.cache.f16,
            )
            dispatches += k.linear(self.step, self.attended, layer.wo, self.x, rows=rows, ending=ADD)
            dispatches += k.linear(
                self.step, self.x, layer.w13, self.hidden, rows=rows, ending=SILU, gain=gain, epsilon=stack.epsilon
            )
            dispatches += k.linear(self.step, self.hidden, layer.w2, self.x, rows=rows, ending=ADD)
        if head:
            dispatches += k.linear(
                self.step, self.x, weights.embedding, self.logits, rows=rows, gain=weights.norm, epsilon=stack.epsilon
            )
            dispatches.append(k.argmax(self.logits, self.best, rows=rows, columns=self.vocabulary))
            dispatches.append(
                k.next_token(self.best, self.tokens, self.step, rows=rows, columns=self.vocabulary, draft=PAD)
            )
        return dispatches
