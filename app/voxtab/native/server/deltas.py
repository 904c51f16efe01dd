"""A transcript as a client gets it: piece by piece, without white space at its two ends."""


class Deltas:
    """Text that comes and goes at two paces. What is not taken yet is joined, so a slow reader makes nobody wait.

    All that is taken, joined, is `text`: the transcript without white space at its start and end.
    """

    def __init__(self):
        self.text = ""  # all so far
        self._space = ""  # white space after it, which belongs to it if more text comes
        self._waiting = ""

    def add(self, text: str) -> None:
        text = self._space + text if self.text else text.lstrip()
        kept = text.rstrip()
        self._space = text[len(kept) :]
        self.text += kept
        self._waiting += kept

    def take(self) -> str:
        """What came since the last call; may be empty."""
        taken, self._waiting = self._waiting, ""
        return taken
