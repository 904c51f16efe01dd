"""audio embedding + token -> next token, on the GPU from end to end (spec 6)."""

import math
import struct
from array import array
from collections.abc import Awaitable, Generator
from typing import Any

from voxtab import rope
from voxtab.config import PAD, ModelConfig
from voxtab.gpu.kernels import (
    ADD,
    ARGMAX_RUN,
    GELU,
    SILU,
    TOKENS_RING,
    TOP_LOGITS,
    TOP_WORDS,
    Dispatch,
    Heads,
    Kernels,
    pack_step,
)
from voxtab.kv_cache import KvCache
from voxtab.weights.load import Weights

PASSES_SUBMITTED = 2  # passes in one submit: the GPU has the first while the host still records the others
FIRST_POSITIONS = 512  # that the rings hold at first, 41 s: most streams are far shorter than the window


def delay_condition(width: int, delay_tokens: int) -> array:
    """t_cond [width] f32 = [cos(D f_0) .., sin(D f_0) ..], f_i = 10000^(-i / (width/2)) (spec 6.2)."""
    half = width // 2
    angles = [delay_tokens * 10000 ** (-i / half) for i in range(half)]
    return array("f", [*map(math.cos, angles), *map(math.sin, angles)])


# (id, probability) of what a token might have been, the most probable first: the token itself.
Alternatives = list[tuple[int, float]]


def _alternatives(top: bytes) -> Alternatives:
    """A slot of the ring of `top_logits`."""
    *pairs, total = struct.unpack_from("<" + TOP_LOGITS * "If" + "f", top)
    return [(index, math.exp(value - total)) for index, value in zip(pairs[::2], pairs[1::2])]


class TokensRead:
    """Tokens on their way back from the GPU: await it as often as you like, or never.

    Gives (the position reached, the tokens of positions first + 1..reached), where passes began at `first`. Of passes
    whose tokens were all given, it gives (first, []). Then `alternatives` are those of its tokens, if they were asked
    for.
    """

    def __init__(self, ring: Awaitable[bytes], first: int, *, given: bool = False, top: Awaitable[bytes] | None = None):
        self._ring, self._first, self._given, self._top = ring, first, given, top
        self.alternatives: list[Alternatives] = []

    def __await__(self) -> Generator[Any, None, tuple[int, list[int]]]:
        ring = array("I", (yield from self._ring.__await__()))
        reached = self._first if self._given else ring[TOKENS_RING]
        if self._top:
            top = yield from self._top.__await__()
            slots = (position % TOKENS_RING for position in range(self._first + 1, reached + 1))
            self.alternatives = [_alternatives(top[4 * TOP_WORDS * slot :]) for slot in slots]
        return reached, [ring[position % TOKENS_RING] for position in range(self._first + 1, reached + 1)]


class Decoder:
    """Buffers for a pass over up to `rows` positions, and its dispatches.

    A pass writes the tokens that it makes into the ring `tokens`, where the next pass finds them, and moves `step` on.
    """

    def __init__(self, kernels: Kernels, config: ModelConfig, weights: Weights, rows: int, cache_f16: bool):
        device, stack = kernels.device, config.decoder
        self.device, self.stack, self.weights, self.vocabulary = device, stack, weights, config.vocabulary
        self.half_rope, self.draft = config.half_rope, PAD  # draft: the token of a pass's rows after the known one
        self.cache = KvCache(device, stack, rows, cache_f16, FIRST_POSITIONS)
        self.step = device.buffer(16, "decoder step", uniform=True)
        self.tokens = device.buffer(4 * (TOKENS_RING + 1), "tokens")
        self._ring = (self.tokens, 0, 4 * (TOKENS_RING + 1))  # what is read back
        self.top = device.buffer(4 * TOP_WORDS * TOKENS_RING, "top logits")  # used where alternatives are asked for
        self._nothing = device.plan([])
        self.x = device.buffer(4 * rows * stack.width, "decoder x")
        self.queries = device.buffer(4 * rows * stack.heads * stack.head_dim, "decoder queries")
        self.attended = device.buffer(4 * rows * stack.heads * stack.head_dim, "decoder attended")
        results, sums = kernels.attention_scratch(rows, stack)
        self.scratch = device.buffer(results, "decoder attention"), device.buffer(sums, "decoder attention")
        self.hidden = device.buffer(4 * rows * stack.hidden, "decoder hidden")
        self.logits = device.buffer(4 * rows * config.vocabulary, "logits")
        self.best = device.buffer(8 * rows * -(-config.vocabulary // ARGMAX_RUN), "best logits")
        angles = rope.table(stack, 1)
        self.angles = device.buffer(4 * len(angles), "decoder angles")
        device.write(self.angles, 0, angles)
        # The FFN norm's gain of each layer, with the stream's delay folded in.
        self.gains = [device.buffer(4 * stack.width, f"ffn gain {i}") for i in range(stack.layers)]
        self.condition = device.buffer(4 * stack.width, "t_cond")
        self._ada_hidden = device.buffer(4 * weights.decoder[0].ada0.rows, "ada hidden")
        self._ada = device.buffer(4 * stack.width, "ada")

    def write_step(self, position: int, rotation: int, audio_row: int) -> None:
        """Where the next pass begins, the position that RoPE sees there, and its row of `audio`."""
        self.device.write(self.step, 0, pack_step(position, rotation, self.cache.capacity, audio_row))

    def read_tokens(self, first: int, plan: int, passes: int, *, alternatives: bool = False) -> TokensRead:
        """Run the plan `passes` more times, then read the tokens made since position `first`.

        With `alternatives`, read what else they might have been; the plan has recorded that.
        """
        tokens = self.device.run(plan, self._ring, times=passes)
        top = self.device.run(self._nothing, (self.top, 0, 4 * TOP_WORDS * TOKENS_RING)) if alternatives else None
        return TokensRead(tokens, first, top=top)

    def give_tokens(self, first: int, tokens: list[int]) -> None:
        """Write the tokens of positions `first` on, fewer than TOKENS_RING of them, where passes find them."""
        slot = first % TOKENS_RING
        before = TOKENS_RING - slot  # the ring's end
        self.device.write(self.tokens, 4 * slot, array("I", tokens[:before]))
        if tokens[before:]:
            self.device.write(self.tokens, 0, array("I", tokens[before:]))

    def passed(self, position: int) -> TokensRead:
        """To wait until the passes so far, which reach `position` with given tokens, have run."""
        return TokensRead(self.device.run(self._nothing, self._ring), position, given=True)

    def record_delay(self, k: Kernels) -> list[Dispatch]:
        """condition [width] -> each layer's gain [width] = ffn_norm * (1 + ada2 gelu(ada0 condition))."""
        dispatches = []
        for layer, gain in zip(self.weights.decoder, self.gains):
            # ada_hidden [ada width] = gelu(ada0 condition)
            dispatches += k.linear(self.step, self.condition, layer.ada0, self._ada_hidden, rows=1, ending=GELU)
            # ada [width] = ada2 ada_hidden
            dispatches += k.linear(self.step, self._ada_hidden, layer.ada2, self._ada, rows=1)
            # gain [width] = ffn_norm * (1 + ada)
            dispatches.append(k.delay_gain(layer.ffn_norm, self._ada, gain, columns=self.stack.width))
        return dispatches

    def record_products(self, k: Kernels) -> list[Dispatch]:
        """One row through gate, up and down of every layer, most of a step's weights: for timing variants."""
        dispatches = []
        for layer in self.weights.decoder:
            # hidden [1, hidden] = silu(w1 n) * (w3 n), n = ffn_norm * x / rms(x);  x [1, width] += w2 hidden
            norm = layer.ffn_norm, self.stack.epsilon
            dispatches += k.linear(self.step, self.x, layer.w13, self.hidden, rows=1, ending=SILU, norm=norm)
            dispatches += k.linear(self.step, self.hidden, layer.w2, self.x, rows=1, ending=ADD)
        return dispatches

    def record(
        self,
        k: Kernels,
        audio: int,
        rows: int,
        head: bool,
        layers: int | None = None,
        *,
        alternatives: bool = False,
    ) -> list[Dispatch]:
        """A pass over `rows` positions. `audio` [block_tokens, width] are the block's audio embeddings.

        Without `head`, the tokens of all rows are known. With it, only the first row's token is known; the others are
        drafts: pads, as most tokens are. The pass then makes the token after the first row, and after each row whose
        draft was right.
        With `alternatives`, it also keeps each row's largest logits, for `read_tokens`.
        With `layers`, only the first ones. Each comment says what the next dispatch computes; rms(x) is
        sqrt(mean(x^2) + epsilon) of each row.
        """
        stack, weights, step = self.stack, self.weights, self.step
        epsilon, f16 = stack.epsilon, self.cache.f16
        # x [rows, width] = audio[audio_row + row] + embedding[token of position + row]
        known = 1 if head else rows
        dispatches = k.embed(
            step, audio, self.tokens, weights.embedding, self.x, rows=rows, known=known, draft=self.draft
        )
        for layer, cache, gain in list(zip(weights.decoder, self.cache.layers, self.gains))[:layers]:
            # n = attention_norm * x / rms(x) [rows, width]
            # queries [rows, heads, head_dim] = rope(wq n); to the cache: keys = rope(wk n), values = wv n
            heads = Heads(stack, self.half_rope, self.angles, cache, f16)
            norm = layer.attention_norm, epsilon
            dispatches += k.linear(step, self.x, layer.wqkv, self.queries, rows=rows, norm=norm, heads=heads)
            # attended [rows, heads, head_dim] = softmax(queries . keys / sqrt(head_dim)) values, over the window
            dispatches += k.attention(
                step, self.queries, cache, self.scratch, self.attended, rows=rows, stack=stack, cache_f16=f16
            )
            # x += wo attended
            dispatches += k.linear(step, self.attended, layer.wo, self.x, rows=rows, ending=ADD)
            # n = gain * x / rms(x), gain of `record_delay`;  hidden [rows, hidden] = silu(w1 n) * (w3 n)
            norm = gain, epsilon
            dispatches += k.linear(step, self.x, layer.w13, self.hidden, rows=rows, ending=SILU, norm=norm)
            # x += w2 hidden
            dispatches += k.linear(step, self.hidden, layer.w2, self.x, rows=rows, ending=ADD)
        if head:
            # logits [rows, vocabulary] = embedding (norm * x / rms(x)): the head is the embedding
            norm = weights.norm, epsilon
            dispatches += k.linear(step, self.x, weights.embedding, self.logits, rows=rows, norm=norm)
            # predictions [rows] = argmax(logits): of each run, then of all; tokens of position + 1 .. = the right ones
            columns = self.vocabulary
            if alternatives:
                dispatches.append(k.top_logits(step, self.logits, self.top, rows=rows, columns=columns))
            dispatches.append(k.argmax(self.logits, self.best, rows=rows, columns=columns))
            dispatches.append(k.next_token(self.best, self.tokens, step, rows=rows, columns=columns, draft=self.draft))
        return dispatches
