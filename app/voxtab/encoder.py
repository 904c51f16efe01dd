"""samples -> frames -> states: the front end, the convolutions and the causal encoder (spec 2.3, 3, 4)."""

from voxtab import mel, rope
from voxtab.config import (
    CONTEXT_CONV0,
    CONTEXT_FRAMES,
    FRAME_HOP,
    FRAME_WINDOW,
    FRAMES_PER_STATE,
    FRAMES_PER_TOKEN,
    HISTORY_SAMPLES,
    LOOKAHEAD_SAMPLES,
    MEL_BINS,
    SAMPLES_PER_TOKEN,
    STATES_PER_TOKEN,
    Stack,
)
from voxtab.gpu.kernels import ADD, SILU, Dispatch, Heads, Kernels, Matrix, pack_step
from voxtab.kv_cache import KvCache
from voxtab.weights.load import Weights


def block_samples(tokens: int) -> int:
    """Samples that a block of tokens reads: its own, and those before and after them that its frames reach."""
    return HISTORY_SAMPLES + tokens * SAMPLES_PER_TOKEN + LOOKAHEAD_SAMPLES


class Encoder:
    """Buffers of one block of up to `tokens` tokens, and the dispatches that fill them.

    The convolutions carry nothing from block to block: a block starts three frames early and makes the rows that it
    needs again. So the only state is the layers' rings of keys and values.
    """

    def __init__(self, kernels: Kernels, stack: Stack, weights: Weights, tokens: int, half_rope: bool, cache_f16: bool):
        device, states, frames = kernels.device, tokens * STATES_PER_TOKEN, tokens * FRAMES_PER_TOKEN
        self.device, self.stack, self.weights, self.half_rope = device, stack, weights, half_rope
        self.cache = KvCache(device, stack, states, cache_f16)

        def buffer(label, *shape):
            values = 1
            for n in shape:
                values *= n
            return device.buffer(4 * values, label)

        self.step = device.buffer(16, "encoder step", uniform=True)
        self.samples = buffer("samples", block_samples(tokens))
        self.frames = buffer("frames", frames + CONTEXT_FRAMES, MEL_BINS)
        self.conv0 = buffer("conv0", frames + CONTEXT_CONV0, stack.width)
        self.x = buffer("encoder x", states, stack.width)
        self.queries = buffer("encoder queries", states, stack.heads * stack.head_dim)
        self.attended = buffer("encoder attended", states, stack.heads * stack.head_dim)
        results, sums = kernels.attention_scratch(states, stack)
        self.scratch = device.buffer(results, "encoder attention"), device.buffer(sums, "encoder attention")
        self.hidden = buffer("encoder hidden", states, stack.hidden)
        self.sums = device.buffer(kernels.split_sums(states, stack.width), "encoder sums")
        self.states = buffer("states", states, stack.width)

        filters, self.taps = mel.sparse_filters()
        self.waves = self._table("waves", mel.waves())
        self.filters = self._table("mel filters", filters)
        self.angles = self._table("encoder angles", rope.table(stack, STATES_PER_TOKEN))

    def _table(self, label, values) -> int:
        buffer = self.device.buffer(4 * len(values), label)
        self.device.write(buffer, 0, values)
        return buffer

    def write_step(self, position: int, rotation: int) -> None:
        """Where the next block begins, and the position that RoPE sees there: both in states."""
        self.device.write(self.step, 0, pack_step(position, rotation, self.cache.capacity))

    def record(self, k: Kernels, tokens: int, layers: int | None = None) -> list[Dispatch]:
        """A block: samples [block_samples(tokens)] -> states [4 tokens, width]. With `layers`, only the first ones.

        Each comment says what the next dispatch computes; rms(x) is sqrt(mean(x^2) + epsilon) of each row.
        """
        stack, weights, step = self.stack, self.weights, self.step
        rows, epsilon, f16 = tokens * STATES_PER_TOKEN, stack.epsilon, self.cache.f16
        frames = tokens * FRAMES_PER_TOKEN + CONTEXT_FRAMES
        conv0_rows = tokens * FRAMES_PER_TOKEN + CONTEXT_CONV0
        assert (frames - 1) * FRAME_HOP + FRAME_WINDOW == block_samples(tokens)
        dispatches = [
            # frames [8 tokens + 3, 128] = log-mel(samples)
            k.mel(
                step,
                self.samples,
                self.waves,
                self.filters,
                self.frames,
                frames=frames,
                frames_per_position=FRAMES_PER_STATE,
                context=CONTEXT_FRAMES,
                taps=self.taps,
            ),
            # conv0 [8 tokens + 1, width] = gelu(conv(frames) + bias), stride 1
            *k.conv(
                step,
                self.frames,
                weights.conv[0].weights,
                weights.conv[0].bias,
                self.conv0,
                stride=1,
                rows=conv0_rows,
                zero_rows=CONTEXT_CONV0,
                rows_per_position=FRAMES_PER_STATE,
            ),
            # x [rows, width] = gelu(conv(conv0) + bias), stride 2
            *k.conv(
                step,
                self.conv0,
                weights.conv[1].weights,
                weights.conv[1].bias,
                self.x,
                stride=FRAMES_PER_STATE,
                rows=rows,
                sums=self.sums,
            ),
        ]
        for layer, cache in list(zip(weights.encoder, self.cache.layers))[:layers]:
            # n = attention_norm * x / rms(x) [rows, width]
            # queries [rows, heads, head_dim] = rope(wq n + bq); to the cache: keys = rope(wk n), values = wv n + bv
            heads = Heads(stack, self.half_rope, self.angles, cache, f16)
            norm = layer.attention_norm, epsilon
            dispatches += k.linear(
                step, self.x, layer.wqkv, self.queries, rows=rows, norm=norm, bias=layer.qkv_bias, heads=heads
            )
            # attended [rows, heads, head_dim] = softmax(queries . keys / sqrt(head_dim)) values, over the window
            dispatches += self._attention(k, cache, rows)
            # x += wo attended + bo
            dispatches += self._add(k, self.attended, layer.wo, layer.wo_bias, rows)
            # n = ffn_norm * x / rms(x);  hidden [rows, hidden] = silu(w1 n) * (w3 n)
            norm = layer.ffn_norm, epsilon
            dispatches += k.linear(step, self.x, layer.w13, self.hidden, rows=rows, ending=SILU, norm=norm)
            # x += w2 hidden + b2
            dispatches += self._add(k, self.hidden, layer.w2, layer.w2_bias, rows)
        # states [rows, width] = encoder_norm * x / rms(x)
        dispatches.append(
            k.rms_norm(self.x, weights.encoder_norm, self.states, rows=rows, columns=stack.width, epsilon=epsilon)
        )
        return dispatches

    def record_attention(self, k: Kernels, tokens: int, layers: int) -> list[Dispatch]:
        """The attention of a block in the first layers: for timing variants, and to compare their results."""
        return [
            dispatch
            for cache in self.cache.layers[:layers]
            for dispatch in self._attention(k, cache, tokens * STATES_PER_TOKEN)
        ]

    def _add(self, k: Kernels, of: int, matrix: Matrix, bias: int, rows: int) -> list[Dispatch]:
        return k.linear(self.step, of, matrix, self.x, rows=rows, ending=ADD, bias=bias, sums=self.sums)

    def _attention(self, k: Kernels, cache: int, rows: int) -> list[Dispatch]:
        return k.attention(
            self.step,
            self.queries,
            cache,
            self.scratch,
            self.attended,
            rows=rows,
            stack=self.stack,
            cache_f16=self.cache.f16,
        )
