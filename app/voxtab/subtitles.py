"""Words with times -> SubRip (.srt) and WebVTT (.vtt)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from voxtab.words import Word

LONGEST_LINE = 42  # characters; what television subtitles keep to
LONGEST_CUE = 6.0  # seconds
PAUSE = 1.0  # seconds between words after which a new cue begins
SENTENCE_ENDS = tuple(".?!。？！")


@dataclass
class Cue:
    """A line of subtitles. Times in seconds."""

    text: str
    start: float
    end: float


def cues(words: Sequence[Word], transcript: str) -> Iterator[Cue]:
    """Cut the words into cues: at sentence ends and pauses, and before a line or a cue gets too long.

    The transcript tells which words have white space between them: Chinese and Japanese ones have none.
    """
    cue, at = None, 0
    for word in words:
        begins = transcript.index(word.text, at)
        gap = " " if begins > at else ""
        at = begins + len(word.text)
        if (
            cue
            and word.start - cue.end < PAUSE
            and word.end - cue.start <= LONGEST_CUE
            and len(cue.text) + len(gap) + len(word.text) <= LONGEST_LINE
            and not cue.text.endswith(SENTENCE_ENDS)
        ):
            cue.text += gap + word.text
            cue.end = word.end
        else:
            if cue:
                yield cue
            cue = Cue(word.text, word.start, word.end)
    if cue:
        yield cue


def srt(words: Sequence[Word], transcript: str) -> str:
    return "\n".join(
        f"{i}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n"
        for i, cue in enumerate(cues(words, transcript), 1)
    )


def vtt(words: Sequence[Word], transcript: str) -> str:
    lines = [
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_escaped(cue.text)}\n"
        for cue in cues(words, transcript)
    ]
    return "WEBVTT\n\n" + "\n".join(lines)


FORMATS = {"srt": srt, "vtt": vtt}  # a file's suffix -> what makes it: (words, transcript) -> text


def _escaped(text: str) -> str:
    """WebVTT has tags and entities, as HTML has."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _clock(seconds: float, point: str) -> str:
    """01:02:03.456"""
    milliseconds = round(1000 * seconds)
    whole, rest = divmod(milliseconds, 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{rest:03}"
