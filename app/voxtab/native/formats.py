"""How results are written in files."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voxtab import subtitles

if TYPE_CHECKING:
    from voxtab.result import Result

SUFFIXES = {"text": "txt", **{name: name for name in subtitles.FORMATS}, "json": "json", "jsonl": "jsonl"}
ALL = "all"  # all of them but jsonl, which has what json has


@dataclass(frozen=True)
class Format:
    """`name` is one of SUFFIXES or ALL. `timestamps`: lines of text have their times. `tokens`: JSON has token ids."""

    name: str
    timestamps: bool = False
    tokens: bool = False

    @property
    def names(self) -> list[str]:
        return [self.name] if self.name != ALL else [name for name in SUFFIXES if name != "jsonl"]

    @property
    def suffixes(self) -> list[str]:
        return [SUFFIXES[name] for name in self.names]

    def contents(self, result: "Result") -> dict[str, str]:
        """The suffix of each file -> what it holds."""
        return {SUFFIXES[name]: self._content(name, result) for name in self.names}

    def _content(self, name: str, result: "Result") -> str:
        if name == "text" and self.timestamps:
            return "".join(map(timed_line, result.segments))
        return result.formatted("json" if name == "jsonl" else name, tokens=self.tokens)


def timed_line(segment: subtitles.Segment) -> str:
    """[00:00.000 --> 00:02.000] text"""
    start, end = (subtitles.clock(time).removeprefix("00:") for time in (segment.start, segment.end))
    return f"[{start} --> {end}] {segment.text}\n"
