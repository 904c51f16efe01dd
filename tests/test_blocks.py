"""Which blocks are encoded, with a model that computes nothing."""

import pytest

from voxtab.blocks import Blocks
from voxtab.config import SAMPLE_RATE, Schedule
from voxtab.drafting import Drafting
from voxtab.gpu.variants import MOST_BLOCK_TOKENS
from voxtab.transcriber import ROOM_SECONDS


class NoModel:
    """Notes how many positions each block has, the filled-up silence included."""

    reach = 1000

    def __init__(self, block_tokens: int):
        self.block_tokens = block_tokens
        self.encoded: list[int] = []

    def encode(self, position, rotation, tokens, samples):
        self.encoded.append(tokens)

    def predict(self, *positions, rows, passes, alternatives):
        return object()  # awaited by no one

    def drafting(self):
        return Drafting({1: 1.0})

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
