"""How many rows a decoder pass takes where audio waits: one known token, and drafts after it.

Most tokens are pads, so drafts are pads: the positions that follow are computed as if their tokens were pads too. What
more rows cost depends on the GPU, and is measured when a model opens (`tuning.pass_costs`). What they bring depends on
the audio. The tokens are the same for any number of rows, so those that came show what each number would have brought.
"""

from collections import deque
from collections.abc import Iterable, Mapping

from voxtab.config import PAD

ROWS = 1, 2, 4, 6, 8  # of a pass: what is tried
# Tokens that a pass of so many rows makes of real speech (tools/tiny/drafts.py): assumed before a stream's are known.
EXPECTED = {1: 1.0, 2: 1.6, 4: 2.26, 6: 2.5, 8: 2.7}
ASSUMED_TOKENS = 16  # that assumption weighs as much as so many tokens of the stream, and less with each one known
LATEST = 64  # tokens of the stream that count, 5 s: so that a pause or quick speech shows soon
LEAST_GAIN = 1.03  # for less, drafts are not worth their readbacks
MOST_LOSS = 0.03  # with drafts a stream takes at most so much longer than without, whatever the audio,
LOSS_AT_FIRST = 8.0  # and in addition the time of so many passes of one row


class Drafting:
    """Chooses the rows of one stream's passes.

    `costs`: a pass's time by its rows, that of one row being 1. `pinned`: rows to take instead.
    """

    def __init__(self, costs: Mapping[int, float], pinned: int | None = None):
        self._costs, self._pinned = costs, pinned
        self._latest: deque[int] = deque(maxlen=LATEST)
        self._allowance = LOSS_AT_FIRST  # what may yet be lost, in passes of one row

    def choose(self, left: int, *, drafts: bool = True) -> tuple[int, int]:
        """(rows, passes) for `left` positions: as many passes as certainly do not go past them, or fewer.

        Without `drafts`, they have one row.
        """
        if self._pinned:
            rows = self._pinned if drafts and left > 1 else 1
            return rows, -(-left // rows)
        most = left if drafts else 1
        gains = {rows: self.tokens_per_pass(rows) / cost for rows, cost in self._costs.items() if rows <= most}
        for rows in sorted(gains, key=lambda rows: gains[rows], reverse=True):
            if rows > 1 and gains[rows] < LEAST_GAIN:
                continue
            passes = -(-left // rows)
            if (loss := self._loss(rows)) > 0:
                passes = min(passes, int(self._allowance / loss))
            if passes:
                self._allowance -= passes * loss  # as if every draft will be wrong, until `note` knows better
                return rows, passes
        return 1, left

    def note(self, passes: int, tokens: list[int]) -> None:
        """The tokens that submitted passes made."""
        self._latest.extend(tokens)
        self._allowance += (1 + MOST_LOSS) * (len(tokens) - passes)

    def tokens_per_pass(self, rows: int) -> float:
        """What a pass of so many rows makes: the stream's latest tokens tell, and at first what is assumed."""
        known = len(self._latest)
        assumed = ASSUMED_TOKENS * (1 - known / LATEST)
        return (known + assumed) / (passes_of(self._latest, rows) + assumed / EXPECTED[rows])

    def _loss(self, rows: int) -> float:
        """Of a pass whose drafts are all wrong, so that it makes one token."""
        return self._costs[rows] - (1 + MOST_LOSS)


def passes_of(tokens: Iterable[int], rows: int) -> int:
    """How many passes of so many rows make these tokens."""
    passes = made = 0  # made: by the last pass so far
    right = False  # its last token was drafted right, so that it goes on
    for token in tokens:
        if not right or made == rows:
            passes += 1
            made = 0
        made += 1
        right = token == PAD
    return passes
