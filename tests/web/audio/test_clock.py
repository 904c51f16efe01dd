"""The recorder's clock against the wall's: what is missing is told with its place, and nothing else is."""

import numpy as np
import pytest


def gaps(page, blocks):
    """What is told of `blocks`: (seconds of sound so far, wall time) each."""
    return page.evaluate(
        """async (blocks) => {
            const { Clock } = await import("./modules/audio/clock.js");
            const clock = new Clock();
            return blocks.map(([seconds, wall]) => clock.take(seconds, wall)).filter(Boolean);
        }""",
        blocks,
    )


def heard(seconds, *, lost=(), late=lambda sound: 0.0, drift=0.0, block=0.08):
    """Blocks of a recording; lost: {place: seconds}, in sound; late: seconds by which a block comes late."""
    sound = np.arange(1, round(seconds / block) + 1) * block
    missing = sum((np.where(sound > place, amount, 0) for place, amount in dict(lost).items()), np.zeros(len(sound)))
    wall = 1.8e9 + sound * (1 + drift) + missing + np.array([late(at) for at in sound])
    return np.stack([sound, np.maximum.accumulate(wall)], 1).tolist()


@pytest.mark.parametrize("drift", [-0.0004, 0, 0.0004])
def test_a_sound_card_that_is_not_exact_and_blocks_that_come_late(page, drift):
    """An hour in which blocks are up to 80 ms late, and each minute nothing comes for a second and then all at once."""
    late = np.random.default_rng(0).uniform(0, 0.08, 50000)
    stalled = heard(3600, drift=drift, late=lambda at: late[int(at / 0.08)] + max(0, 1 - at % 60))
    assert gaps(page, stalled) == []


@pytest.mark.parametrize("drift", [-0.0004, 0, 0.0004])
def test_what_is_missing(page, drift):
    jitter = np.random.default_rng(1).uniform(0, 0.03, 50000)
    lost = {10: 1.5, 41: 0.3, 100: 41, 280: 0.5}
    told = gaps(page, heard(300, lost=lost, drift=drift, late=lambda at: jitter[int(at / 0.08)]))
    assert [round(gap["at"]) for gap in told] == list(lost)
    assert [gap["seconds"] for gap in told] == pytest.approx(list(lost.values()), abs=0.05)


def test_many_small_gaps_are_added_up(page):
    """30 ms in every second are lost, which no single block shows."""
    lost = dict.fromkeys(range(5, 65), 0.03)
    told = gaps(page, heard(70, lost=lost))
    assert sum(gap["seconds"] for gap in told) == pytest.approx(60 * 0.03, abs=0.15)
    assert all(5 <= gap["at"] <= 66 for gap in told) and len(told) > 5


def test_a_short_recording(page):
    assert gaps(page, heard(1)) == gaps(page, []) == []
    assert [gap["seconds"] for gap in gaps(page, heard(3, lost={2.5: 0.4}))] == []  # not known yet whether it comes
    assert [round(gap["seconds"], 1) for gap in gaps(page, heard(8, lost={2.5: 0.4}))] == [0.4]
