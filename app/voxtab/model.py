"""A loaded model: weights, buffers and recorded plans. What runs when is the transcriber's."""

import struct
from array import array

from voxtab import rope
from voxtab.adapter import Adapter
from voxtab.config import STATES_PER_TOKEN, ModelConfig, Schedule
from voxtab.decoder import Decoder, delay_condition
from voxtab.encoder import Encoder, block_samples
from voxtab.gpu.device import Device, Source
from voxtab.gpu.kernels import TOKENS_RING, Kernels, Variants
from voxtab.tokenizer import Tokenizer
from voxtab.weights.directory import Directory
from voxtab.weights.load import load

BLOCK_TOKENS = 16                   # tokens whose states are made at once when that much audio is there
PROMPT_ROWS = 8                     # prompt positions that the decoder takes at once


class Model:
    """One model on one device. One transcriber at a time uses it: state is the rings and the token ring."""

    @classmethod
    async def load(cls, device: Device, directory: Directory, config: ModelConfig, source: Source, tokenizer: Tokenizer, *,
                   name: str, cache_f16: bool = True, variants: Variants | None = None, progress=None) -> "Model":
        """Bring the weights to the GPU and record every plan. `directory` was checked by `checkpoint.read_config`."""
        kernels = Kernels(device, variants)
        weights = await load(directory, config, source, kernels, progress)
        model = cls(kernels, config, weights, tokenizer, name, cache_f16)
        await model._record()
        return model

    def __init__(self, kernels, config, weights, tokenizer, name, cache_f16):
        self.device, self.config, self.tokenizer, self.name = kernels.device, config, tokenizer, name
        self.kernels = kernels
        self.encoder = Encoder(kernels, config.encoder, weights, BLOCK_TOKENS, config.half_rope, cache_f16)
        self.adapter = Adapter(kernels, weights, BLOCK_TOKENS, config.decoder.width)
        self.decoder = Decoder(kernels, config, weights, PROMPT_ROWS, cache_f16)
        self.session = None         # the transcriber in charge
        self._turns = {part: self.device.buffer(4 * part.stack.head_dim, "turns") for part in (self.encoder, self.decoder)}

    async def _record(self):
        plan = self.kernels.plan
        self._delay_plan = await plan(self.decoder.record_delay())
        self._encode_plans = {tokens: await plan([*self.encoder.record(tokens),
                                                  *self.adapter.record(self.encoder.step, self.encoder.states, tokens)])
                              for tokens in (1, BLOCK_TOKENS)}
        self._decode_plans = {(rows, head): await plan(self.decoder.record(self.adapter.audio, rows, head))
                              for rows, head in ((PROMPT_ROWS, False), (1, False), (1, True))}
        self._turn_plan = await plan([
            self.kernels.turn_keys(self._turns[part], layer, capacity=part.cache.capacity, heads=part.stack, cache_f16=part.cache.f16)
            for part in (self.encoder, self.decoder) for layer in part.cache.layers])

    def start(self, schedule: Schedule) -> None:
        """A new stream: condition on its delay and put its prompt into the token ring. The rings need no clearing."""
        self.device.write(self.decoder.condition, 0, delay_condition(self.config.decoder.width, schedule.delay_tokens))
        self.device.run(self._delay_plan)
        self.device.write(self.decoder.tokens, 0, array("I", schedule.prompt))

    def encode(self, position: int, rotation: int, tokens: int, samples) -> None:
        """Audio embeddings of `tokens` (1 or BLOCK_TOKENS) tokens from `position` on, from block_samples(tokens) f32 samples.

        `rotation` is the position that RoPE sees, in tokens as `position` is.
        """
        assert len(samples) == 4 * block_samples(tokens)
        self.device.write(self.encoder.samples, 0, samples)
        self._write_step(self.encoder, position * STATES_PER_TOKEN, rotation * STATES_PER_TOKEN, 0)
        self.device.run(self._encode_plans[tokens])

    def decode(self, position: int, rotation: int, audio_row: int, *, rows: int = 1, head: bool, read: bool = False):
        """`rows` positions from `position` on, whose audio embeddings start at `audio_row` of the last block.

        With `head` the token of position + 1 is made; with `read` the whole token ring comes back, to be awaited.
        """
        self._write_step(self.decoder, position, rotation, audio_row)
        return self.device.run(self._decode_plans[rows, head], (self.decoder.tokens, 0, 4 * TOKENS_RING) if read else None)

    def turn_back(self, positions: int) -> None:
        """Lower the RoPE position of everything cached by `positions` tokens (spec 8.5)."""
        for part, per_token in ((self.encoder, STATES_PER_TOKEN), (self.decoder, 1)):
            self.device.write(self._turns[part], 0, array("f", rope.turns(part.stack, positions * per_token)))
        self.device.run(self._turn_plan)

    def _write_step(self, part: Encoder | Decoder, position: int, rotation: int, audio_row: int) -> None:
        self.device.write(part.step, 0, struct.pack("<4I", position, rotation, part.cache.capacity, audio_row))

    def close(self) -> None:
        """Free the GPU's memory; the model cannot be used afterwards."""
        self.device.close()

