"""Words with times, from tokens as they are predicted.

Needs no numpy: the same file runs in the browser.
"""

import re
from dataclasses import dataclass, field

from voxtab.config import FIRST_TEXT_TOKEN, TOKEN_MS

# A word's first text token comes one token after the 80 ms in which the word ended (spec 7).
LAG_TOKENS = 1
# The model does not tell where a word began. People speak about 15 letters a second, spaces included, or about 5
# syllables, which are the characters of Chinese, Japanese and Korean.
SECONDS_PER_LETTER = 1 / 15
SECONDS_PER_SYLLABLE = 1 / 5
SHORTEST_WORD = 0.1  # seconds

# Hiragana, Katakana, Han: written without spaces. Hangul has spaces.
_LETTERS = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
_UNSPACED = re.compile(f"[{_LETTERS}\u3000-\u303f\uff00-\uff65]")  # the letters and their punctuation
_SYLLABLE = re.compile(f"[{_LETTERS}\uac00-\ud7a3]")  # the letters and Hangul
_OPENING = "「『（［｛〈《【〔“‘([{"
_SPACES_OR_NOT = re.compile(r"\s+|\S+")


@dataclass(frozen=True)
class Word:
    """A word with its punctuation; no white space. Times in seconds of live audio, start <= end.

    `tokens`: k (`WordTimer.push`) of its tokens, and of the pads between them.
    """

    text: str
    start: float
    end: float
    tokens: range = field(default=range(0), compare=False, repr=False)


class WordTimer:
    """Cuts the transcript into words and says when each was spoken.

    Words end at white space. Text without a space in front belongs to the previous word, however many pads
    lie between. Chinese and Japanese have no spaces: next to their characters, each group of text tokens after a
    control token (pad or word) counts as a word.

    A word's end is measured, within about 100 ms, from the first text token after a control token: the tokens right
    after it only spell what was heard. A number that is dictated digit by digit comes in several such groups, and ends
    with the last one that has a letter or a digit. A word's start is an estimate: the end minus the time that its
    letters take, but not before the end of the previous word.

    The texts of all words, joined, are the transcript without its white space.
    """

    def __init__(self):
        self._text = ""  # of the word that is not complete yet
        self._first = self._last = 0  # k of its tokens
        self._end = 0.0  # its end
        self._last_end = 0.0  # of the previous word
        self._after_space = False
        self._group_starts = True  # with the next text
        self._held = False  # the last text token ended within a character
        # k of the text token in which the next word begins. If token 7 is a space, or the first bytes of a character,
        # and token 8 goes on, the word begins in 7.
        self._begun = 0
        self._pending = False  # such a beginning has come, and the rest has not
        self._group_begun = 0  # k of the first text token after a control token
        self._silences: list[tuple[float, float]] = []  # seconds of live audio, seconds inserted there

    def push(self, token: int, text: str, k: int) -> list[Word]:
        """Take generated token k (k = 0 belongs to the audio's start) with its text from TextDecoder.

        Returns the words that are now complete. A word is complete when the next one begins.
        """
        if token < FIRST_TEXT_TOKEN:
            if not self._held:  # a character may continue after pads
                self._group_starts = True
                self._pending = False  # a space does not begin the word that comes seconds later
            return []
        if not self._pending:
            self._begun = k
            if self._group_starts:
                self._group_begun = k
        words = self._add(text, k)
        self._held = not text
        self._pending = self._held or self._after_space
        return words

    def flush(self, text: str = "") -> list[Word]:
        """The last word, if there is one. `text` is what TextDecoder.flush() gave.

        Tokens that follow begin a new word.
        """
        words = self._add(text, self._begun) + self._close()
        self._held = self._pending = self._after_space = False
        return words

    def insert_silence(self, at: float, seconds: float) -> None:
        """Note that `seconds` of silence were put into the stream after `at` seconds of live audio.

        Words that would end in that silence end at `at`, and later ones `seconds` earlier. Call it before the tokens
        of the silence are pushed.
        """
        self._silences.append((at, seconds))

    def heard_seconds(self, k: int) -> float:
        """Seconds of live audio before token k (`Schedule.token_index`), without the inserted silences.

        k is counted after the left silence and the delay.
        """
        seconds = TOKEN_MS * k / 1000
        for at, inserted in self._silences:
            seconds -= min(max(seconds - at, 0), inserted)
        return seconds

    def _add(self, text: str, k: int) -> list[Word]:
        words = []
        for run in _SPACES_OR_NOT.findall(text):
            if run.isspace():
                self._after_space = True
                continue
            if self._starts_word(run):
                words += self._close()
                self._end = self._seconds(self._begun)
                self._first = self._begun
            elif any(map(str.isalnum, run)):
                self._end = max(self._end, self._seconds(self._group_begun))
            self._text += run
            self._last = k
            self._after_space = self._group_starts = False
            self._begun = k
        return words

    def _starts_word(self, run: str) -> bool:
        if self._after_space or not self._text:
            return True
        if not self._group_starts or not (_UNSPACED.match(self._text[-1]) or _UNSPACED.match(run)):
            return False
        if self._text[-1] in _OPENING:
            return False
        return run[0].isalnum() or run[0] in _OPENING  # other punctuation stays with the previous word

    def _close(self) -> list[Word]:
        if not self._text:
            return []
        syllables = len(_SYLLABLE.findall(self._text))
        seconds = syllables * SECONDS_PER_SYLLABLE + (len(self._text) - syllables) * SECONDS_PER_LETTER
        start = max(self._last_end, self._end - max(seconds, SHORTEST_WORD))
        word = Word(self._text, start, self._end, range(self._first, self._last + 1))
        self._text = ""
        self._last_end = self._end
        return [word]

    def _seconds(self, k: int) -> float:
        """Where a word whose first text token is k ended, in seconds of live audio."""
        return max(self.heard_seconds(k - LAG_TOKENS), self._last_end)
