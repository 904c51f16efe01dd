"""Which blocks are encoded and which decoder passes run, and when. Samples go in; tokens come out, block by block.

A block is a run of positions whose samples are encoded at once. It is one position where audio comes as it is spoken,
and a whole block of `model.block_tokens` where so much audio waits. What is left at a stream's end also goes in short
blocks of `model.short_block_tokens`. Blocks are submitted ahead, and their tokens are read late.

A decoder pass over a longer block may take drafts (`drafting.py`). Drafts that the predictions confirm are kept. The
tokens are the same as without drafts, up to rounding: a pass over several rows may use another kernel than a pass over
one row. How far passes with drafts come, only their tokens show. While these are read, the GPU encodes parts of the
next block.
"""

from collections import deque
from dataclasses import dataclass, field

from voxtab.config import HISTORY_SAMPLES, LOOKAHEAD_SAMPLES, MAX_POSITIONS, SAMPLES_PER_TOKEN, Schedule
from voxtab.decoder import Alternatives, TokensRead
from voxtab.encoder import block_samples
from voxtab.model import PROMPT_ROWS, Model

BLOCKS_IN_FLIGHT = 2  # submitted before the oldest one's tokens are awaited
MOST_SINGLE = 3  # positions left at a stream's end that are blocks of one each, not a short block
SAMPLE_BYTES = 4


@dataclass
class Block:
    """Positions first..end - 1. `tokens` are those of positions first + 1..end; the prompt's are left out.

    The first block also has those before it which were known already and needed not be heard again.
    """

    first: int
    end: int
    rotation: int  # RoPE position of the first
    reached: int  # lower bound of the position that submitted passes reach
    parts: list[int]  # of its encoding: those that are not submitted yet
    reading: TokensRead | None = None  # the tokens of the submitted passes, once awaited
    passes: int = 0  # of those submitted passes
    tokens: list[int] = field(default_factory=list)
    alternatives: list[Alternatives | None] = field(default_factory=list)  # if asked for: of each token; None if given

    @property
    def is_submitted(self) -> bool:
        """Whether the submitted passes certainly reach the end. With drafts, only their tokens show it."""
        return self.reached >= self.end


class Blocks:
    """One stream's samples on their way through a model: `append` samples, `submit` what can be, `read` tokens.

    The stream begins with the left silence. `given` are the token ids of its first positions, the prompt's and any that
    are known already: they are decoded as a prompt is. `first_rotation` is the RoPE position that it starts from (for
    tests). `kept_tokens`: of so much audio that was submitted, the samples stay at hand. `alternatives`: read what else
    the tokens might have been.
    """

    def __init__(
        self,
        model: Model,
        schedule: Schedule,
        given: list[int],
        first_rotation: int = 0,
        *,
        kept_tokens: int = 0,
        alternatives: bool = False,
    ):
        silent = schedule.silent_positions
        first = max(silent, len(given) - 1 - model.reach)  # no earlier position changes the next token
        self._model = model
        self._given = given
        self._passed_on = len(schedule.prompt)  # how many of them came out, or never do
        self.length = schedule.left_silence_tokens * SAMPLES_PER_TOKEN  # samples of the stream so far
        # f32 samples from HISTORY_SAMPLES before the next position on. What lies before `silent` is encoded already.
        waiting = HISTORY_SAMPLES + self.length - silent * SAMPLES_PER_TOKEN
        self._samples = bytearray(SAMPLE_BYTES * waiting)
        self._unneeded = SAMPLE_BYTES * (first - silent) * SAMPLES_PER_TOKEN  # bytes to leave out
        self._alternatives = alternatives
        self._kept = bytearray()  # what came before `_samples`, the last `_kept_bytes` of it
        self._kept_bytes = SAMPLE_BYTES * kept_tokens * SAMPLES_PER_TOKEN
        self._leave_out()
        self.position = first  # the next one to submit
        self.rotation = first_rotation + first if first == silent else 0  # its RoPE position
        self.passes = 0  # decoder passes that made tokens
        self.rows = 0  # of them all
        self._drafting = model.drafting()
        self._ended = False
        self._in_flight: deque[Block] = deque()
        self._ahead: Block | None = None  # the one after these, if the first parts of its encoding are submitted
        model.start(schedule)
        if first_rotation:
            model.reanchor(-first_rotation)

    def append(self, samples: bytes | bytearray | memoryview) -> None:
        """Add f32 samples at the stream's end."""
        self._samples += samples
        self.length += len(samples) // SAMPLE_BYTES
        self._leave_out()

    def _leave_out(self) -> None:
        count = min(self._unneeded, len(self._samples))
        del self._samples[:count]
        self._unneeded -= count

    def append_silence(self, count: int) -> None:
        self.append(bytes(SAMPLE_BYTES * count))

    def end(self) -> int:
        """No more samples follow. Returns how many positions the stream has; it must be whole ones."""
        positions = self.length // SAMPLES_PER_TOKEN
        assert positions * SAMPLES_PER_TOKEN == self.length
        # The last position's frames reach a little beyond it.
        self.append_silence(LOOKAHEAD_SAMPLES)
        self._ended = True
        return positions

    @property
    def at_hand(self) -> int:
        """The first position whose samples are all at hand, also if it was submitted."""
        return -((len(self._kept) // SAMPLE_BYTES - self._samples_start) // SAMPLES_PER_TOKEN)

    @property
    def _samples_start(self) -> int:
        return self.position * SAMPLES_PER_TOKEN - HISTORY_SAMPLES

    def samples_from(self, position: int, end: int | None = None) -> bytearray:
        """A copy of the f32 samples of positions `position`..`end` - 1, or to the stream's end.

        The first position at hand is `at_hand`.
        """
        skipped = position * SAMPLES_PER_TOKEN - self._samples_start + len(self._kept) // SAMPLE_BYTES
        assert skipped >= 0
        if end is not None:
            count = (end - position) * SAMPLES_PER_TOKEN
        else:
            count = self.length - (LOOKAHEAD_SAMPLES if self._ended else 0) - position * SAMPLES_PER_TOKEN
        start, stop = (SAMPLE_BYTES * samples for samples in (skipped, skipped + count))
        before = len(self._kept)
        return self._kept[start:stop] + self._samples[max(0, start - before) : max(0, stop - before)]

    @property
    def waiting_samples(self) -> int:
        """Samples that are appended and not yet submitted."""
        return self.length - self.position * SAMPLES_PER_TOKEN

    def next_tokens(self) -> int:
        """The next block's positions, or 0 if there is none yet."""
        return min(self._waiting_positions, self._next_size)

    @property
    def _waiting_positions(self) -> int:
        return max(0, (self.waiting_samples - LOOKAHEAD_SAMPLES) // SAMPLES_PER_TOKEN)

    @property
    def _next_size(self) -> int:
        """Positions that are encoded for the next block: a whole block's, a short one's, one, or none yet.

        They may be more than are left at the stream's end: the block is then filled up with silence. A block's time
        goes with its positions. So the end goes in short blocks, unless these would have a whole block's positions. But
        a block of one reads all weights for little work: on a GPU it takes as long as four positions or more of a
        longer block. So only MOST_SINGLE positions or fewer go one by one. A software GPU, where one position takes
        little more than its share, loses nothing that way: its short block has just one position more.
        """
        left, whole, short = self._waiting_positions, self._model.block_tokens, self._model.short_block_tokens
        if left >= whole or (self._ended and left > whole - short + MOST_SINGLE):
            return whole
        if self._ended and left > MOST_SINGLE:
            return short
        return min(1, left)

    @property
    def is_ready(self) -> bool:
        """Whether the next block's passes are compiled. Otherwise `prepare` must come before `submit`."""
        return self._model.has_passes(**self._kind)

    async def prepare(self) -> None:
        """Compile the next block's passes: what only some streams need is compiled when it is needed first."""
        await self._model.compile_passes(**self._kind)

    @property
    def _kind(self) -> dict[str, bool]:
        # Drafts are compiled where more positions wait than a short block, or a pass, has. Where a recording was
        # stopped, fewer are left, and someone waits: these take drafts only if they are compiled already (`_decode`).
        many = self.next_tokens() > 1 and self._waiting_positions > max(PROMPT_ROWS, self._model.short_block_tokens)
        return {"drafts": many, "alternatives": self._alternatives}

    def submit(self) -> bool:
        """Submit what can be. True if a new block was begun.

        The last part of a block's encoding comes after the last pass over the block before: it overwrites the audio
        embeddings.
        """
        begun, in_flight, passes = self.position, self._in_flight, self.passes
        if in_flight and not in_flight[-1].reading:
            self._decode(in_flight[-1])
        while len(in_flight) < BLOCKS_IN_FLIGHT and all(block.is_submitted for block in in_flight):
            if not (block := self._ahead or self._begin()):
                break
            self._ahead = None
            for part in block.parts:
                self._model.encode_part(part)
            in_flight.append(block)
            self._decode(block)
        if self.passes > passes and not in_flight[-1].is_submitted:
            self._encode_ahead()
        return self.position > begun

    def _encode_ahead(self) -> None:
        """Submit another part of the next block's encoding, unless it is the last one."""
        if not self._ahead and self.next_tokens() > 1 and not self._must_reanchor:
            self._ahead = self._begin()
        if self._ahead and len(self._ahead.parts) > 1:
            self._model.encode_part(self._ahead.parts.pop(0))

    @property
    def in_flight(self) -> bool:
        return bool(self._in_flight)

    async def read(self) -> Block | None:
        """Wait for the tokens of the oldest block's passes. The block if it is complete, None if it needs more passes.

        Nothing is changed before the tokens are there: a caller that is cancelled leaves the block to the next one.
        """
        block = self._in_flight[0]
        if block.reading:
            block.reached, tokens = await block.reading
            self._drafting.note(block.passes, tokens)
            block.tokens += tokens
            block.alternatives += block.reading.alternatives
            block.reading = None
        if not block.is_submitted:
            return None
        self._in_flight.popleft()
        # Drafts may have made tokens beyond the end, where the next block begins.
        beyond = block.reached - block.end
        del block.tokens[len(block.tokens) - beyond :]
        if self._alternatives:
            del block.alternatives[len(block.alternatives) - beyond :]
        return block

    @property
    def _must_reanchor(self) -> bool:
        """Whether the next block's RoPE positions would go past the last one."""
        return self.rotation + self.next_tokens() > MAX_POSITIONS

    def _begin(self) -> Block | None:
        """The next block, with its encoding to be submitted; None if there is none."""
        if not (tokens := self.next_tokens()):
            return None
        if self._must_reanchor:
            self._model.reanchor(self.rotation)
            self.rotation = 0
        # At the stream's end a block is filled up with silence, and what that gives is never read.
        encoded = self._next_size
        nbytes = SAMPLE_BYTES * block_samples(encoded)
        samples = self._samples[:nbytes].ljust(nbytes, b"\0")
        parts = self._model.begin_encoding(self.position, self.rotation, encoded, samples)
        block = Block(self.position, self.position + tokens, self.rotation, self.position, parts)
        self._model.make_room(block.end)
        passed = SAMPLE_BYTES * tokens * SAMPLES_PER_TOKEN
        if self._kept_bytes:
            self._kept += self._samples[:passed]
            del self._kept[: -self._kept_bytes]
        del self._samples[:passed]
        self.position += tokens
        self.rotation += tokens
        if known := self._given[block.first : block.end + 1]:
            self._model.give_tokens(block.first, known)
        block.tokens += self._given[self._passed_on : block.end + 1]
        self._passed_on += len(block.tokens)
        if self._alternatives:
            block.alternatives += [None] * len(block.tokens)
        return block

    def _decode(self, block: Block) -> None:
        """Submit passes over a block, from the position reached on: enough of them if every draft is right."""
        while not block.is_submitted and not block.reading:
            row, left = block.reached - block.first, block.end - block.reached
            known = len(self._given) - 1 - block.reached  # positions from here whose next token is given too
            if known > 0:
                rows = PROMPT_ROWS if known >= PROMPT_ROWS and left >= PROMPT_ROWS else 1
                self._model.decode(block.reached, block.rotation + row, row, rows=rows)
                block.reached += rows
            else:
                drafts = self._model.has_passes(drafts=True, alternatives=self._alternatives)
                rows, passes = self._drafting.choose(left, drafts=drafts)
                block.reading = self._model.predict(
                    block.reached,
                    block.rotation + row,
                    row,
                    rows=rows,
                    passes=passes,
                    alternatives=self._alternatives,
                )
                block.passes = passes
                self.passes += passes
                self.rows += passes * rows
                block.reached += passes  # each makes one token or more
        if not block.reading:  # all its tokens are given; it is awaited, or the host would run far ahead of the GPU
            block.reading = self._model.passed(block.end)
