"""Where results go: stdout, a file, or a folder. All of them as soon as there is something to write."""

import os
from collections import Counter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from voxtab import subtitles
from voxtab.errors import UserError, shown
from voxtab.native.cli.inputs import AUDIO_SUFFIXES, Input
from voxtab.native.formats import ALL, SUFFIXES, Format, timed_line
from voxtab.native.writing import write_whole

if TYPE_CHECKING:
    from voxtab.result import Result
    from voxtab.transcriber import Transcriber


class Output:
    """Gets what comes of each audio, one after another: begin, push..., end or fail. At last, close."""

    shows_text = False  # text goes to stdout as it is decoded

    def begin(self, audio: Input) -> None: ...

    def push(self, text: str, transcriber: "Transcriber") -> None: ...

    def end(self, result: "Result") -> None: ...

    def fail(self) -> None: ...

    def close(self) -> None: ...


class TextOnStdout(Output):
    """A line for each audio, as it is decoded; with its name in front, if there are several."""

    shows_text = True

    def __init__(self, named: bool):
        self._named = named

    def begin(self, audio: Input) -> None:
        self._before, self._begun = f"{shown(audio.source)}: " if self._named else "", False

    def push(self, text: str, transcriber: "Transcriber") -> None:
        if text:
            print(self._before + text, end="", flush=True)
            self._before, self._begun = "", True

    def end(self, result: "Result") -> None:
        print(self._before, flush=True)

    def fail(self) -> None:
        if self._begun:
            print(flush=True)


class SegmentsOnStdout(Output):
    """A line for each segment, with its times, once it is complete; with the audio's name in front, if there are
    several."""

    shows_text = True

    def __init__(self, named: bool):
        self._named = named

    def begin(self, audio: Input) -> None:
        self._name = f"{shown(audio.source)}: " if self._named else ""
        self._segmenter, self._words = subtitles.Segmenter(), 0

    def push(self, text: str, transcriber: "Transcriber") -> None:
        for word in transcriber.words[self._words :]:
            self._print(self._segmenter.push(word, transcriber.transcript))
        self._words = len(transcriber.words)

    def end(self, result: "Result") -> None:
        self._print(self._segmenter.flush())

    def fail(self) -> None:
        self._print(self._segmenter.flush())

    def _print(self, segments: list[subtitles.Segment]) -> None:
        for segment in segments:
            print(self._name + timed_line(segment), end="", flush=True)


class ResultsOnStdout(Output):
    """What a file would hold, one after another."""

    def __init__(self, format: Format):
        self._format = format

    def end(self, result: "Result") -> None:
        for content in self._format.contents(result).values():
            print(content, end="", flush=True)


class ArrayOnStdout(Output):
    """A JSON array with an object for each audio. It is complete also after Ctrl-C."""

    def __init__(self, format: Format):
        self._format, self._before = format, "["

    def end(self, result: "Result") -> None:
        for content in self._format.contents(result).values():
            print(self._before + content.rstrip("\n"), end="", flush=True)
        self._before = ",\n"

    def close(self) -> None:
        print("[]" if self._before == "[" else "]", flush=True)


class Files(Output):
    """Files of each audio's own."""

    def __init__(self, format: Format, places: dict[Input, Path]):
        """`places`: where to write, without the format's suffix."""
        self._format, self._places = format, places

    def begin(self, audio: Input) -> None:
        self._audio = audio

    def end(self, result: "Result") -> None:
        for suffix, content in self._format.contents(result).items():
            write_whole(self._path(suffix), content)

    def _path(self, suffix: str) -> Path:
        place = self._places[self._audio]
        return place.with_name(f"{place.name}.{suffix}")


class OneFile(Files):
    """One file, whose name is whole."""

    def _path(self, suffix: str) -> Path:
        return self._places[self._audio]


def choose_output(arguments, inputs: list[Input]) -> Output:
    """By the arguments --format, --timestamps, --tokens, -o and --output-dir. UserError if they do not fit together."""
    name = arguments.format or _format_of(arguments.output) or "text"
    if arguments.timestamps and name not in ("text", ALL):
        raise UserError(f"--timestamps is for --format text: {name} has times anyway.")
    if arguments.tokens and name not in ("json", "jsonl", ALL):
        raise UserError("--tokens is for --format json or jsonl: add one of them.")
    format = Format(name, timestamps=arguments.timestamps, tokens=arguments.tokens)
    several = len(arguments.audio) > 1 or arguments.audio != [audio.source for audio in inputs]
    if arguments.output_dir is not None:
        if arguments.output is not None:
            raise UserError("-o and --output-dir both say where to write: give one of them.")
        folder = Path(arguments.output_dir)
        check_writable(folder)
        return Files(format, folder_places(inputs, folder))
    if name == ALL:
        raise UserError("--format all writes several files: say where with --output-dir DIR.")
    if arguments.output is not None:
        return _one_file(arguments.output, format, inputs, several)
    if several and name in subtitles.FORMATS:
        raise UserError(f"--format {name} is one file for each audio: say where to write them with --output-dir DIR.")
    if name == "text":
        return SegmentsOnStdout(several) if arguments.timestamps else TextOnStdout(several)
    return ArrayOnStdout(format) if several and name == "json" else ResultsOnStdout(format)


def folder_places(inputs: list[Input], folder: Path) -> dict[Input, Path]:
    """Where each result goes, without the format's suffix: the audio's name without its own, talk.mp3 -> DIR/talk.

    Where two would be the same, they keep theirs: talk.mp3 and talk.wav -> DIR/talk.mp3, DIR/talk.wav. UserError where
    that does not help.
    """
    short = {audio: _without_suffix(audio.place) for audio in inputs}
    taken = Counter(_folded(place) for place in short.values())
    places = {audio: place if taken[_folded(place)] == 1 else audio.place for audio, place in short.items()}
    owners: dict[str, Input] = {}
    for audio, place in places.items():
        other = owners.setdefault(_folded(place), audio)
        if other is not audio:
            raise UserError(
                f"The results of {shown(other.source)} and {shown(audio.source)} would have the same name: "
                "transcribe them one after another, each with its own folder of results."
            )
    return {audio: folder / place for audio, place in places.items()}


def _one_file(path: str, format: Format, inputs: list[Input], several: bool) -> OneFile:
    if os.path.isdir(path) or path.endswith(("/", os.sep)):
        raise UserError(f"{shown(path)} is a folder: write into it with --output-dir {shown(path)}.")
    if several:
        raise UserError("-o is the file of one audio's result: for several use --output-dir DIR.")
    for audio in inputs:
        if os.path.exists(path) and os.path.exists(audio.source) and os.path.samefile(path, audio.source):
            raise UserError(f"{shown(path)} is the audio itself: name another file for its text with -o.")
    check_writable(Path(path).absolute().parent)
    return OneFile(format, {audio: Path(path) for audio in inputs})


def _format_of(path: str | None) -> str | None:
    """The format that a file's suffix stands for."""
    suffix = PurePath(path or "").suffix.lower().removeprefix(".")
    return next((name for name, each in SUFFIXES.items() if each == suffix), None)


def check_writable(folder: Path) -> None:
    """UserError unless files can be made in that folder, or in the first of its parents that is there."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"{shown(str(folder))} cannot be written to: choose another folder for the results.")


def _without_suffix(place: PurePath) -> PurePath:
    return place.with_suffix("") if place.suffix.lower() in AUDIO_SUFFIXES else place


def _folded(place: PurePath) -> str:
    """Equal for names that a file system may take for the same."""
    return str(place).casefold()
