"""How many drafts a stream takes: what pays on this audio with these costs, and a bound on what may be lost."""

import random

import pytest

from voxtab.config import PAD
from voxtab.drafting import EXPECTED, LATEST, LOSS_AT_FIRST, MOST_LOSS, ROWS, Drafting, passes_of

COSTS = {
    "none": {1: 1.0},
    "dear": {1: 1.0, 2: 1.5, 4: 2.35, 6: 3.2, 8: 4.0},
    "cheap": {1: 1.0, 2: 1.1, 4: 1.3, 6: 1.6, 8: 1.9},
    "hopeless": {1: 1.0, 2: 2.0, 4: 4.0, 6: 6.0, 8: 8.0},
    "wrong": {1: 1.0, 2: 1.0, 4: 1.0, 6: 1.0, 8: 99.0},
}


def speech(count: int, seed: int, pads: float) -> list[int]:
    """Words of two tokens, with runs of pads between them that have `pads` tokens on average."""
    chance, tokens = random.Random(seed), []
    while len(tokens) < count:
        tokens += [33, 1000 + chance.randrange(1000)] + [PAD] * round(chance.expovariate(1 / pads) if pads else 0)
    return tokens[:count]


STREAMS = {
    "speech": speech(3000, 1, 3),
    "quick": speech(3000, 2, 0.3),
    "pauses": [PAD] * 3000,
    "no pads": speech(3000, 3, 0),
    "late": [PAD] * 1000 + speech(2000, 4, 0),
    "turns": [token for i in range(30) for token in ([PAD] * 50 + speech(50, i, 0))],
}


def decode(tokens: list[int], costs: dict[int, float], pinned: int | None = None, block: int = 64):
    """Passes over the tokens as `Blocks` submits them. (their cost in passes of one row, the rows of each)"""
    drafting, at, cost, taken = Drafting(costs, pinned), 0, 0.0, []
    while at < len(tokens):
        end = min(len(tokens), at + block)
        while at < end:
            rows, passes = drafting.choose(end - at)
            assert 1 <= passes <= -(-(end - at) // rows) and rows in (costs if not pinned else (1, pinned))
            first = at
            for _ in range(passes):
                made = 1
                while made < rows and at + made < len(tokens) and tokens[at + made - 1] == PAD:
                    made += 1
                at = min(len(tokens), at + made)
                cost += costs.get(rows, 1.0)
                taken.append(rows)
            drafting.note(passes, tokens[first:at])
    return cost, taken


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("stream", STREAMS)
def test_drafts_never_cost_more_than_they_may(stream, costs):
    cost, _ = decode(STREAMS[stream], COSTS[costs])
    assert cost <= (1 + MOST_LOSS) * len(STREAMS[stream]) + LOSS_AT_FIRST


@pytest.mark.parametrize("costs", ["dear", "cheap"])
@pytest.mark.parametrize("stream", ["speech", "quick", "pauses", "no pads"])
def test_the_choice_is_about_as_good_as_the_best_fixed_number(stream, costs):
    tokens = STREAMS[stream]
    cost, _ = decode(tokens, COSTS[costs])
    best = min(passes_of(tokens, rows) * of_one for rows, of_one in COSTS[costs].items())
    assert cost <= 1.05 * best + 2 * LOSS_AT_FIRST


def test_where_rows_do_not_pay_there_are_no_drafts():
    for stream, tokens in STREAMS.items():
        assert {*decode(tokens, COSTS["none"])[1]} == {1}, stream
        assert decode(tokens, COSTS["hopeless"])[1].count(1) > 0.9 * len(tokens), stream


def test_the_audio_decides_and_may_change():
    _, taken = decode(STREAMS["late"], COSTS["cheap"])
    assert 8 in taken[:60] and {*taken[-1500:]} == {1}
    _, taken = decode(speech(1000, 5, 0) + [PAD] * 1000, COSTS["dear"])
    assert {*taken[200:900]} == {1} and taken[-20] > 2


@pytest.mark.parametrize("left", range(1, 70))
def test_passes_do_not_certainly_go_past_the_end(left):
    rows, passes = Drafting(COSTS["cheap"]).choose(left)
    assert rows <= left and (passes - 1) * rows < left
    assert Drafting({}, pinned=8).choose(left) == ((8, -(-left // 8)) if left > 1 else (1, 1))


def test_passes_of_tokens():
    tokens = [PAD, PAD, 5, 6, PAD, 7]
    assert [passes_of(tokens, rows) for rows in (1, 2, 3, 8)] == [6, 4, 3, 3]
    assert passes_of([], 4) == 0


def test_at_first_speech_is_assumed_and_the_stream_outweighs_it():
    drafting = Drafting(COSTS["cheap"])
    assert {rows: drafting.tokens_per_pass(rows) for rows in ROWS} == pytest.approx(EXPECTED)
    drafting.note(LATEST, [7] * LATEST)
    assert {drafting.tokens_per_pass(rows) for rows in ROWS} == {1.0}
