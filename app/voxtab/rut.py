"""The rut: the model writes nothing while someone talks, and because it wrote nothing it goes on so (spec 8.4).

Seen by the audio's energy against a run of blanks, which are tokens without text. Then the model is started again where
the talking began, from the audio at hand (`Transcriber`). Where there is text, or no voice, nothing is done.
"""

from collections.abc import Callable
from operator import mul

from voxtab.config import SAMPLES_PER_TOKEN

AT_HAND = 750  # tokens of audio that are kept for this: 60 s
VOICED = 75  # blanks over a voice, 6 s, that are a rut; silences between sentences have runs of up to 165 blanks
# A token's audio is a voice's if it is this loud (RMS; 1 is full scale), and this much louder than the quietest tenth
# of the run: a fan or a hum is always equally loud, and speech has pauses.
LEAST_LEVEL = 0.005
ABOVE_NOISE = 3
LEAD = 12  # tokens before the first voice from which the model hears again: 1 s
CHECKED_EVERY = 8  # tokens
SAMPLED = 4  # every so manyth sample is enough for the energy


def level(samples: bytes | bytearray) -> float:
    """RMS of f32 samples."""
    some = memoryview(samples).cast("f")[::SAMPLED].tolist()
    return (sum(map(mul, some, some)) / len(some)) ** 0.5


class RutGuard:
    """Judges a stream's run of blanks. Its positions are those of the audio, in tokens."""

    def __init__(self) -> None:
        self._needed = VOICED  # doubled each time that starting again gave no text: music may be loud for hours
        self._levels: list[float] = []  # of the last positions before `_until`
        self._until = 0

    def text_came(self) -> None:
        self._needed = VOICED
        self._levels.clear()

    def start(self, first: int, end: int, samples_at: Callable[[int], bytes | bytearray]) -> int | None:
        """Where to start again, or None. The run of blanks is at positions first..end - 1, so far as audio is at hand.

        samples_at(position) gives a position's f32 samples.
        """
        if end - first < self._needed or (self._levels and 0 <= end - self._until < CHECKED_EVERY):
            return None
        known = self._until if self._levels and first <= self._until <= end else first
        if known == first:
            self._levels.clear()
        self._levels += [level(samples_at(position)) for position in range(known, end)]
        self._until = end
        del self._levels[: -(end - first)]
        quietest = sorted(self._levels)[len(self._levels) // 10]
        least = max(LEAST_LEVEL, ABOVE_NOISE * quietest)
        voiced = [first + i for i, loud in enumerate(self._levels) if loud > least]
        if len(voiced) < self._needed:
            return None
        self._needed *= 2
        self._levels.clear()
        return max(first, voiced[0] - LEAD)


assert SAMPLES_PER_TOKEN % SAMPLED == 0
