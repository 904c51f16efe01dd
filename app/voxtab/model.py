"""A loaded model: weights, buffers and recorded plans. `blocks.py` decides what runs when."""

import asyncio
import math
from typing import TYPE_CHECKING

from voxtab import rope
from voxtab.adapter import Adapter
from voxtab.config import STATES_PER_TOKEN, ModelConfig, Schedule
from voxtab.decoder import PASSES_SUBMITTED, Decoder, TokensRead, delay_condition
from voxtab.drafting import Drafting
from voxtab.encoder import Encoder, block_samples
from voxtab.gpu.device import Device, Source
from voxtab.gpu.kernels import Dispatch, Kernels
from voxtab.gpu.variants import FEW_ROWS, LINEAR, Variants
from voxtab.tokenizer import Tokenizer
from voxtab.tuning import ATTENTION_LAYERS, fastest_attention, fastest_linear, pass_costs
from voxtab.weights.directory import Directory
from voxtab.weights.load import load

if TYPE_CHECKING:
    from voxtab.transcriber import Transcriber

PROMPT_ROWS = FEW_ROWS  # prompt positions that the decoder takes at once
# Encoder layers of a block in one submit: a driver may kill a submission that takes seconds, and `blocks.py` submits
# them one by one while tokens are read.
LAYERS_SUBMITTED = 4
LIVE_SUBMITS = 4  # of a live step's encoder: the GPU has the first while the others are on their way


class Model:
    """One model on one device. One transcriber at a time uses it: state is the rings and the token ring."""

    @classmethod
    async def load(
        cls,
        device: Device,
        directory: Directory,
        config: ModelConfig,
        source: Source,
        tokenizer: Tokenizer | None,
        *,
        name: str,
        cache_f16: bool = True,
        variants: Variants | None = None,
        progress=None,
    ) -> "Model":
        """Bring the weights to the GPU and record every plan. `directory` was checked by `checkpoint.read_config`.

        If the tokenizer is still being read, pass None and set it on the model later.
        """
        kernels = Kernels(device, variants)
        weights, loader = load(directory, config, kernels)
        model = cls(kernels, config, weights, tokenizer, name, cache_f16)
        # Unless variants are given, all that `linear` can be are tried.
        choices = (kernels.variants.linear,) if variants else kernels.variants.linear_choices
        recorders = [kernels.with_variants(linear=choice) for choice in choices]
        # The last one is the fastest on most GPUs, so all its kernels are compiled ahead; of the others what is timed.
        recorded = model._record(recorders[-1])
        recorded += [dispatch for other in recorders[:-1] for dispatch in model.decoder.record_products(other)]
        unknown = kernels.variants.drafts is None and len(kernels.variants.pass_costs) == 1
        if unknown:
            recorded += [
                dispatch
                for rows in kernels.variants.pass_rows
                for dispatch in model._record_pass(recorders[-1], rows, True)
            ]
        rows = model.block_tokens * STATES_PER_TOKEN
        has_choice = not variants and kernels.attention_tiles(rows, config.encoder) > 0
        if has_choice:
            without = kernels.with_variants(attention_tiles=0)
            recorded += model.encoder.record_attention(without, model.block_tokens, ATTENTION_LAYERS)
        # A real GPU's driver compiles while the weights are on their way.
        compiling = None if device.adapter.is_software else asyncio.ensure_future(kernels.compile(recorded))
        try:
            await loader.upload(source, progress)
            await (compiling or kernels.compile(recorded))
        finally:
            if compiling:
                compiling.cancel()
        if len(recorders) > 1:
            model.kernels, model.wrong_variants = await fastest_linear(model.decoder, recorders)
            await model.kernels.compile(model._record(model.kernels))
        if has_choice:
            model.kernels, is_wrong = await fastest_attention(model.encoder, model.kernels, model.block_tokens)
            await model.kernels.compile(model._record(model.kernels))
            model.wrong_variants += ["attention_tile"] * is_wrong
        if unknown:
            await model.compile_passes(drafts=True, alternatives=False)
            costs = await pass_costs(model.decoder, model.kernels, model.adapter.audio)
            model.kernels = model.kernels.with_variants(**costs)
        tried = unknown or has_choice or len(recorders) > 1
        model.tuned = not variants and not model.wrong_variants and tried
        model._plan()
        model.start(config.schedule())  # so that the first stream begins with the silence done
        return model

    def __init__(self, kernels, config, weights, tokenizer, name, cache_f16):
        self.device, self.config, self.tokenizer, self.name = kernels.device, config, tokenizer, name
        self.kernels = kernels
        self.block_tokens, self._most_rows = kernels.variants.block_tokens, max(kernels.variants.pass_rows)
        self.short_block_tokens = max(1, self.block_tokens // 4)  # for what is left at a stream's end: see `blocks.py`
        self.encoder = Encoder(kernels, config.encoder, weights, self.block_tokens, config.half_rope, cache_f16)
        self.adapter = Adapter(kernels, weights, self.block_tokens, config.decoder.width)
        self.decoder = Decoder(kernels, config, weights, PROMPT_ROWS, cache_f16)
        self.transcriber: Transcriber | None = None  # the one in charge
        self._compiled = {(False, False)}  # passes: (with drafts, with alternatives)
        self._compiling: dict[tuple[bool, bool], asyncio.Future] = {}
        self._schedule: Schedule | None = None  # of the last stream
        # Of `linear`, and "attention_tile": this GPU's driver computes them wrongly, so they are not used.
        self.wrong_variants: list[str] = []
        self.tuned = False  # its variants were measured and are correct: worth remembering for this GPU
        self._rotations = {
            transformer: self.device.buffer(4 * transformer.stack.head_dim, "rotations")
            for transformer in (self.encoder, self.decoder)
        }

    @property
    def warning(self) -> str | None:
        """A sentence for the user about what was found while the model opened, or None."""
        if not self.wrong_variants:
            return None
        pins = " and ".join(f"linear={name}" if name in LINEAR else name for name in self.wrong_variants)
        return (
            f"The graphics driver computes some kernels wrong ({pins}). They are not used, so the text is right; "
            "a newer driver may be faster."
        )

    def _record(self, k: Kernels) -> list[Dispatch]:
        """Everything that every stream needs. `compile_passes` adds what only some do."""
        passes = (PROMPT_ROWS, False), (1, False), (1, True)
        return [
            *self.decoder.record_delay(k),
            *(dispatch for tokens in self._block_sizes for dispatch in self._record_block(k, tokens)),
            *(dispatch for rows, head in passes for dispatch in self._record_pass(k, rows, head)),
            *self._record_rotation(k),
        ]

    async def compile_passes(self, *, drafts: bool, alternatives: bool) -> None:
        """Compile what passes with drafts, or with alternatives, need. Then `has_passes` says that they can run."""
        key = drafts, alternatives
        if key not in self._compiling:
            self._compiling[key] = asyncio.ensure_future(self._compile_passes(*key))
        await asyncio.shield(self._compiling[key])  # a stream that is given up does not stop it for the next one

    async def _compile_passes(self, drafts: bool, alternatives: bool) -> None:
        k, key = self.kernels, (drafts, alternatives)
        try:
            for rows in k.variants.pass_rows if drafts else (1,):
                await k.compile(self._record_pass(k, rows, True, alternatives=alternatives))
        except BaseException:
            del self._compiling[key]  # the next stream tries again
            raise
        self._compiled.add(key)

    def has_passes(self, *, drafts: bool, alternatives: bool) -> bool:
        """Whether `predict` can run passes with drafts, or with alternatives: see `compile_passes`."""
        return (drafts, alternatives) in self._compiled

    def _record_pass(self, k: Kernels, rows: int, head: bool, *, alternatives: bool = False) -> list[Dispatch]:
        return self.decoder.record(k, self.adapter.audio, rows, head, alternatives=alternatives)

    @property
    def _block_sizes(self) -> list[int]:
        """How many tokens are encoded at once."""
        return sorted({1, self.short_block_tokens, self.block_tokens})

    def _record_block(self, k: Kernels, tokens: int) -> list[Dispatch]:
        return [
            *self.encoder.record(k, tokens),
            *self.adapter.record(k, self.encoder.step, self.encoder.states, tokens),
        ]

    def _record_rotation(self, k: Kernels) -> list[Dispatch]:
        return [
            k.rotate_keys(
                self._rotations[transformer],
                layer,
                capacity=transformer.cache.capacity,
                stack=transformer.stack,
                cache_f16=transformer.cache.f16,
            )
            for transformer in (self.encoder, self.decoder)
            for layer in transformer.cache.layers
        ]

    def _plan(self) -> None:
        plan = self.kernels.plan_compiled
        self._delay_plan = plan(self.decoder.record_delay(self.kernels))
        self._encode_plans = {}  # tokens -> plans to run one after another
        for tokens in self._block_sizes:
            dispatches = self._record_block(self.kernels, tokens)
            submits = LIVE_SUBMITS if tokens == 1 else self.config.encoder.layers / LAYERS_SUBMITTED
            most = math.ceil(len(dispatches) / submits)
            self._encode_plans[tokens] = [
                plan(dispatches[i : i + most], ahead=tokens == 1) for i in range(0, len(dispatches), most)
            ]
        self._plan_passes()

    def _plan_passes(self) -> None:
        """The plans over the decoder's rings that every stream needs; others are made when they are needed first."""
        self._pass_plans: dict[tuple[int, bool, bool], int] = {}
        for rows, head in ((PROMPT_ROWS, False), (1, False), (1, True)):
            self._pass_plan(rows, head)

    def _pass_plan(self, rows: int, head: bool, alternatives: bool = False) -> int:
        key = rows, head, alternatives
        if key not in self._pass_plans:
            dispatches = self._record_pass(self.kernels, rows, head, alternatives=alternatives)
            self._pass_plans[key] = self.kernels.plan_compiled(dispatches, ahead=head and rows == 1)
        return self._pass_plans[key]

    def make_room(self, positions: int) -> None:
        """Let the decoder's rings grow if a stream of that many positions needs it.

        A pass over the last of them also writes keys and values of drafts after it, and there is room for these. They
        do no harm: a query sees no position after its own, and each is written again when it is decoded. A full ring
        has window - 1 + PROMPT_ROWS slots, so they overwrite nothing that the pass's first row, or a later one, sees.
        """
        positions += self._most_rows - 1
        if self.decoder.cache.has_room(positions):
            return
        former = self.decoder.cache.grow(positions)
        for plan in self._pass_plans.values():
            self.device.free(plan)
        self.kernels.free(former)
        self._plan_passes()

    def start(self, schedule: Schedule) -> None:
        """Begin a stream: write its prompt to the token ring, and its silent positions to the caches.

        The delay's condition, and the keys and values of the silent positions, depend only on the schedule. They are
        computed if the schedule differs from the last stream's. A copy of these keys and values is kept.
        """
        self.decoder.give_tokens(0, schedule.prompt)
        if schedule == self._schedule:
            self.encoder.cache.restore()
            self.decoder.cache.restore()
            return
        self.device.write(self.decoder.condition, 0, delay_condition(self.config.decoder.width, schedule.delay_tokens))
        self.device.run(self._delay_plan)
        self._decode_silence(schedule.silent_positions)
        self.encoder.cache.save(schedule.silent_positions * STATES_PER_TOKEN)
        self.decoder.cache.save(schedule.silent_positions)
        self._schedule = schedule

    def _decode_silence(self, positions: int) -> None:
        """Decode silence from position 0 on, in whole blocks. What they write after it does no harm (`make_room`)."""
        self.make_room(positions + PROMPT_ROWS)
        samples = bytes(4 * block_samples(self.block_tokens))
        for first in range(0, positions, self.block_tokens):
            self.encode(first, first, self.block_tokens, samples)
            for row in range(0, min(self.block_tokens, positions - first), PROMPT_ROWS):
                self.decode(first + row, first + row, row, rows=PROMPT_ROWS)

    @property
    def reach(self) -> int:
        """How many positions back the prediction at a position depends on audio and tokens, its own not included.

        Each layer sees its window; the lower ones have seen theirs before. Of the 4B model it is 4.9 hours.
        """
        encoder, decoder = self.config.encoder, self.config.decoder
        states = encoder.layers * (encoder.window - 1)
        return decoder.layers * (decoder.window - 1) + math.ceil(states / STATES_PER_TOKEN)

    def drafting(self) -> Drafting:
        """What chooses the rows of a stream's passes."""
        variants = self.kernels.variants
        return Drafting(variants.pass_costs, None if variants.drafts is None else 1 + variants.drafts)

    def give_tokens(self, first: int, tokens: list[int]) -> None:
        """The tokens of positions `first` on are known: passes over them take these."""
        self.decoder.give_tokens(first, tokens)

    def encode(self, position: int, rotation: int, tokens: int, samples) -> None:
        """Audio embeddings of `tokens` (1, short_block_tokens or block_tokens) tokens from `position` on.

        `samples` are block_samples(tokens) f32 samples. `rotation` is the position that RoPE sees, in tokens too.
        """
        for part in self.begin_encoding(position, rotation, tokens, samples):
            self.encode_part(part)

    def begin_encoding(self, position: int, rotation: int, tokens: int, samples) -> list[int]:
        """What `encode` does, in parts: run each by `encode_part`, in order. The last one makes the embeddings.

        Until then, those of the block before can be decoded. One block is encoded at a time.
        """
        assert len(samples) == 4 * block_samples(tokens)
        self.device.write(self.encoder.samples, 0, samples)
        self.encoder.write_step(position * STATES_PER_TOKEN, rotation * STATES_PER_TOKEN)
        return [*self._encode_plans[tokens]]

    def encode_part(self, part: int) -> None:
        self.device.run(part)

    def decode(self, position: int, rotation: int, audio_row: int, *, rows: int = 1) -> None:
        """Positions whose next tokens are given: `rows` (1 or PROMPT_ROWS) of them at once, from `position` on.

        Their audio embeddings start at `audio_row` of the last block; `rotation` is the position that RoPE sees.
        """
        self.decoder.write_step(position, rotation, audio_row)
        self.device.run(self._pass_plan(rows, False))

    def predict(
        self,
        position: int,
        rotation: int,
        audio_row: int,
        *,
        rows: int = 1,
        passes: int = 1,
        alternatives: bool = False,
    ) -> TokensRead:
        """Positions whose next tokens are to be made: `passes` of `rows` (`Variants.pass_rows`), one after another.

        Each pass makes 1 to `rows` tokens, and the next pass goes on after them. The other arguments are `decode`'s.
        Await the result, now or later, for (the position reached, the tokens of positions position + 1..reached).
        With `alternatives`, the result then has what else these tokens might have been.
        """
        self.decoder.write_step(position, rotation, audio_row)
        plan = self._pass_plan(rows, True, alternatives)
        while passes > PASSES_SUBMITTED:
            self.device.run(plan, times=PASSES_SUBMITTED)
            passes -= PASSES_SUBMITTED
        return self.decoder.read_tokens(position, plan, passes, alternatives=alternatives)

    def passed(self, position: int) -> TokensRead:
        """Await the result, now or later, for (position, []) once all that was submitted has run."""
        return self.decoder.passed(position)

    def reanchor(self, positions: int) -> None:
        """Lower the RoPE position of everything cached by `positions` tokens (spec 8.5)."""
        for transformer, per_token in ((self.encoder, STATES_PER_TOKEN), (self.decoder, 1)):
            self.device.write(self._rotations[transformer], 0, rope.rotations(transformer.stack, positions * per_token))
        plan = self.kernels.plan_compiled(self._record_rotation(self.kernels))  # once in hours
        self.device.run(plan)
        self.device.free(plan)

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Free the GPU's memory; the model cannot be used afterwards."""
        self.device.close()
