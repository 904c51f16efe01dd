"""Which blocks are encoded, with a model that computes nothing."""

import pytest

from voxtab.blocks import Blocks
from voxtab.config import PAD, SAMPLE_RATE, SAMPLES_PER_TOKEN, Schedule
from voxtab.drafting import Drafting
from voxtab.gpu.variants import MOST_BLOCK_TOKENS
from voxtab.transcriber import ROOM_SECONDS


class Tokens:
    alternatives: list = []

    def __init__(self, *reached_and_tokens):
        self.reached_and_tokens = reached_and_tokens

    def __await__(self):
        return self.reached_and_tokens
        yield


class NoModel:
    """Notes how many positions each block has, the filled-up silence included."""

    reach = 1000

    def __init__(self, block_tokens: int, costs=None):
        self.block_tokens, self.costs = block_tokens, costs or {1: 1.0}
        self.short_block_tokens = max(1, block_tokens // 4)
        self.encoded: list[int] = []
        self.done: list[int | str] = []  # parts of encodings, and passes
        self.rows: list[int] = []  # of passes
        self.has_drafts = True

    def begin_encoding(self, position, rotation, tokens, samples):
        self.encoded.append(tokens)
        return [1, 2, 3] if tokens > 1 else ["one"]

    def encode_part(self, part):
        self.done.append(part)

    def predict(self, position, *_, rows, passes, alternatives):
        """Every second token is a pad."""
        made = passes if rows == 1 else 3 * passes // 2
        self.done.append("passes")
        self.rows += [rows] * passes
        return Tokens(position + made, [PAD if i % 2 else 1000 for i in range(made)])

    def drafting(self):
        return Drafting(self.costs)

    def has_passes(self, *, drafts, alternatives):
        return self.has_drafts or not drafts

    def start(self, schedule): ...
    def make_room(self, positions): ...
    def decode(self, *positions, rows=1): ...
    def give_tokens(self, first, tokens): ...
    def passed(self, position): ...


@pytest.mark.parametrize("block_tokens", [16, MOST_BLOCK_TOKENS])
def test_a_file_begins_with_whole_blocks(block_tokens):
    """As much audio as may wait fills all blocks in flight. With less, they would be of one position each."""
    model = NoModel(block_tokens)
    blocks = Blocks(model, Schedule(), Schedule().prompt)
    blocks.append_silence(ROOM_SECONDS * SAMPLE_RATE)
    while blocks.submit():
        pass
    assert model.encoded == [block_tokens] * 2


def test_audio_as_it_is_spoken_is_encoded_position_by_position():
    model = NoModel(MOST_BLOCK_TOKENS)
    blocks = Blocks(model, Schedule(), Schedule().prompt)
    blocks.append_silence(SAMPLE_RATE // 5)
    blocks.submit()
    assert model.encoded == [1, 1]


def all_blocks(run, blocks) -> list[int]:
    """Submit and read to the end: how many positions each block has."""
    positions = []
    while blocks.submit() or blocks.in_flight:
        if block := run(blocks.read()):
            positions.append(block.end - block.first)
    return positions


@pytest.mark.parametrize(
    ("block_tokens", "left", "encoded"),
    [
        (64, 1, [1]),
        (64, 3, [1] * 3),
        (64, 4, [16]),
        (64, 15, [16]),
        (64, 16, [16]),
        (64, 19, [16, 1, 1, 1]),
        (64, 20, [16, 16]),
        (64, 31, [16, 16]),
        (64, 48, [16] * 3),
        (64, 51, [16, 16, 16, 1, 1, 1]),
        (64, 52, [64]),
        (64, 63, [64]),
        (16, 3, [1] * 3),
        (16, 4, [4]),
        (16, 7, [4, 1, 1, 1]),
        (16, 12, [4] * 3),
        (16, 13, [4, 4, 4, 1]),
        (16, 15, [4, 4, 4, 1, 1, 1]),
        (24, 4, [6]),
        (24, 18, [6] * 3),
        (24, 21, [6, 6, 6, 1, 1, 1]),
        (24, 22, [24]),
        (8, 5, [2, 1, 1, 1]),
        (8, 7, [2, 2, 1, 1, 1]),
        (5, 4, [1] * 4),
        (3, 2, [1] * 2),
    ],
)
@pytest.mark.parametrize("whole", [0, 1, 3])
def test_a_streams_end_is_filled_up_with_little_silence(run, block_tokens, left, encoded, whole):
    """After `whole` blocks, `left` positions: each is in one block, and the last one may be filled up."""
    model = NoModel(block_tokens, {1: 1.0, 2: 1.0})
    blocks = Blocks(model, Schedule(), Schedule().prompt)
    before = blocks.waiting_samples // SAMPLES_PER_TOKEN
    blocks.append_silence((whole * block_tokens + left - before) * SAMPLES_PER_TOKEN)
    assert blocks.end() == blocks.position + whole * block_tokens + left
    positions = all_blocks(run, blocks)
    assert model.encoded == [block_tokens] * whole + encoded
    assert sum(positions) == whole * block_tokens + left
    assert positions[:-1] == model.encoded[:-1], "only the last block is filled up"


def test_before_the_end_no_short_block(run):
    model = NoModel(64)
    blocks = Blocks(model, Schedule(), Schedule().prompt)
    blocks.append_silence(50 * SAMPLES_PER_TOKEN)
    assert {*all_blocks(run, blocks)} == {*model.encoded} == {1}


@pytest.mark.parametrize("has_drafts", [True, False])
def test_few_positions_do_not_wait_for_the_compiler(run, has_drafts):
    """Where a recording was stopped, drafts are taken if they are compiled already."""
    model = NoModel(128, {1: 1.0, 2: 1.0})
    model.has_drafts = has_drafts
    blocks = Blocks(model, Schedule(), Schedule().prompt)
    blocks.append_silence(40 * SAMPLES_PER_TOKEN)
    all_blocks(run, blocks)
    assert {*model.rows} == {1}
    blocks.append_silence(16 * SAMPLES_PER_TOKEN)
    blocks.end()
    assert blocks.is_ready
    model.rows.clear()
    all_blocks(run, blocks)
    assert model.encoded[-1] == 32 and {*model.rows} == ({1, 2} if has_drafts else {1})


@pytest.mark.parametrize(
    ("block_tokens", "left", "is_ready"), [(128, 32, True), (128, 33, False), (16, 8, True), (16, 9, False)]
)
def test_many_positions_wait_for_the_compiler(block_tokens, left, is_ready):
    model = NoModel(block_tokens, {1: 1.0, 2: 1.0})
    model.has_drafts = False
    blocks = Blocks(model, Schedule(), Schedule().prompt)
    blocks.append_silence((left - 1) * SAMPLES_PER_TOKEN)
    blocks.end()
    assert blocks.is_ready == is_ready


def test_the_next_block_is_encoded_while_tokens_are_read(run):
    """All but the last part, which overwrites the embeddings that passes over the block before still read."""
    model = NoModel(64, {1: 1.0, 2: 1.0})
    blocks = Blocks(model, Schedule(), Schedule().prompt)
    blocks.append_silence(30 * SAMPLE_RATE)
    tokens = 0
    while blocks.submit() or blocks.in_flight:
        if block := run(blocks.read()):
            tokens += len(block.tokens)
            model.done.append("complete")
    assert tokens == blocks.position + 1 - len(Schedule().prompt)
    whole = model.done[: model.done.index("one")]  # the stream's end goes position by position
    assert whole[:10] == [1, 2, 3, "passes", 1, "passes", 2, "passes", "passes", 3]
    assert all(whole[i + 1] == "passes" for i in range(len(whole)) if whole[i] == 3)
    assert all("passes" in whole[i : i + 3] for i in range(4, len(whole) - 2)), "never two parts after the same passes"
