"""Words with times -> segments of a line each -> SubRip (.srt), WebVTT (.vtt) and tab-separated values (.tsv)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from voxtab.words import Word

LONGEST_LINE = 42  # characters; what television subtitles keep to
LONGEST_SEGMENT = 6.0  # seconds
SHORTEST_SEGMENT = 0.8  # seconds; less is too short to read
PAUSE = 1.0  # seconds between words after which a new segment begins

# What ends a sentence in any script: the characters with the property Sentence_Terminal of Unicode 17. They
# are in its PropList.txt; JavaScript's regular expressions know them as \p{Sentence_Terminal}.
SENTENCE_TERMINAL = (
    "!.?\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a\u104b\u1362\u1367\u1368"
    "\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8-\u1aab\u1b4e\u1b4f\u1b5a\u1b5b\u1b5e\u1b5f"
    "\u1b7d-\u1b7f\u1c3b\u1c3c\u1c7e\u1c7f\u2024\u203c\u203d\u2047-\u2049\u2cf9-\u2cfb\u2e2e\u2e3c\u2e53\u2e54\u3002"
    "\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb\ufe12"
    "\ufe15\ufe16\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61\U00010a56\U00010a57\U00010f55-\U00010f59"
    "\U00010f86-\U00010f89\U00011047\U00011048\U000110be-\U000110c1\U00011141-\U00011143\U000111c5\U000111c6"
    "\U000111cd\U000111de\U000111df\U00011238\U00011239\U0001123b\U0001123c\U000112a9\U000113d4\U000113d5\U0001144b"
    "\U0001144c\U000115c2\U000115c3\U000115c9-\U000115d7\U00011641\U00011642\U0001173c-\U0001173e\U00011944\U00011946"
    "\U00011a42\U00011a43\U00011a9b\U00011a9c\U00011c41\U00011c42\U00011ef7\U00011ef8\U00011f43\U00011f44\U00016a6e"
    "\U00016a6f\U00016af5\U00016b37\U00016b38\U00016b44\U00016d6e\U00016d6f\U00016e98\U0001bc9f\U0001da88"
)
# Quotation marks and brackets may close after it.
_SENTENCE_END = re.compile(f"[{SENTENCE_TERMINAL}][\"'”’»›)\\]}}」』）］｝〉》】〕]*$")


@dataclass(frozen=True)
class Segment:
    """A line of the transcript, as subtitles show it (there it is called a cue). Times in seconds, start < end."""

    text: str
    start: float
    end: float


class Segmenter:
    """Cuts words into segments: at sentence ends and pauses, and before a line or a segment gets too long.

    No segment is shorter than SHORTEST_SEGMENT, and none overlaps the next. So where many words come at once, a line
    may be longer than LONGEST_LINE.
    """

    def __init__(self):
        self._words: list[Word] = []  # of the segment that is not complete yet
        self._text = ""  # theirs
        self._at = 0  # where the transcript goes on after them
        self._last_end = 0.0  # of the previous segment

    def push(self, word: Word, transcript: str) -> list[Segment]:
        """Take the next word. Returns the segment before it if the word begins a new one.

        The transcript, of which all after the word may be missing, tells which words have white space between them:
        Chinese and Japanese ones have none.
        """
        begins = transcript.index(word.text, self._at)
        text = " " * (begins > self._at) + word.text
        self._at = begins + len(word.text)
        complete = self._close(before=word.start) if self._ends_before(word, text) else []
        self._text = self._text + text if self._words else word.text
        self._words.append(word)
        return complete

    def flush(self) -> list[Segment]:
        """The last segment, if there is one."""
        return self._close()

    def _ends_before(self, word: Word, text: str) -> bool:
        if not self._words or word.start < self._words[0].start + SHORTEST_SEGMENT:
            return False
        return (
            word.start - self._words[-1].end >= PAUSE
            or word.end - self._words[0].start > LONGEST_SEGMENT
            or len(self._text) + len(text) > LONGEST_LINE
            or bool(_SENTENCE_END.search(self._text))
        )

    def _close(self, before: float = inf) -> list[Segment]:
        if not self._words:
            return []
        start, end = self._words[0].start, self._words[-1].end
        if before == inf:  # at the end of the audio, where there is no room behind it
            start = max(self._last_end, min(start, end - SHORTEST_SEGMENT))
        segment = Segment(self._text, start, min(max(end, start + SHORTEST_SEGMENT), before))
        self._words, self._text, self._last_end = [], "", segment.end
        return [segment]


def segments(words: Sequence[Word], transcript: str) -> list[Segment]:
    """All segments of a whole transcript."""
    segmenter = Segmenter()
    return [segment for word in words for segment in segmenter.push(word, transcript)] + segmenter.flush()


def srt(segments: Sequence[Segment]) -> str:
    return "\n".join(
        f"{i}\n{clock(segment.start, ',')} --> {clock(segment.end, ',')}\n{segment.text}\n"
        for i, segment in enumerate(segments, 1)
    )


def vtt(segments: Sequence[Segment]) -> str:
    lines = [f"{clock(segment.start)} --> {clock(segment.end)}\n{_escaped(segment.text)}\n" for segment in segments]
    return "WEBVTT\n\n" + "\n".join(lines)


def tsv(segments: Sequence[Segment]) -> str:
    """A line for each segment, as whisper writes it: start and end in milliseconds, text."""
    lines = [f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{segment.text}\n" for segment in segments]
    return "start\tend\ttext\n" + "".join(lines)


FORMATS = {"srt": srt, "vtt": vtt, "tsv": tsv}  # a file's suffix -> what makes it


def clock(seconds: float, point: str = ".") -> str:
    """01:02:03.456"""
    milliseconds = round(1000 * seconds)
    whole, rest = divmod(milliseconds, 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{rest:03}"


def _escaped(text: str) -> str:
    """WebVTT has tags and entities, as HTML has."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
