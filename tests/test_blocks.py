"""Which blocks are encoded, with a model that computes nothing."""

import pytest

from voxtab.blocks import Blocks
from voxtab.config import PAD, SAMPLE_RATE, Schedule
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
        self.encoded: list[int] = []
        self.done: list[int | str] = []  # parts of encodings, and passes

    def begin_encoding(self, position, rotation, tokens, samples):
        self.encoded.append(tokens)
        return [1, 2, 3] if tokens > 1 else ["one"]

    def encode_part(self, part):
        self.done.append(part)

    def predict(self, position, *_, rows, passes, alternatives):
        """Every second token is a pad."""
        made = passes if rows == 1 else 3 * passes // 2
        self.done.append("passes")
        return Tokens(position + made, [PAD if i % 2 else 1000 for i in range(made)])

    def drafting(self):
        return Drafting(self.costs)

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
