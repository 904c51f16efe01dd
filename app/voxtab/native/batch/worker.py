"""Many audio files, each with a result of its own in one folder: what is done stays done.

A result is written aside and renamed, so a file with a result's name is a whole result, and is never computed again.
Several batches may fill one folder: who works on an audio file holds a lock, which the system lets go of when that
process ends, however it ends.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath

from filelock import FileLock, Timeout

from voxtab.config import Schedule
from voxtab.errors import AudioError, UserError, shown
from voxtab.model import Model
from voxtab.native import models
from voxtab.native.audio.file import open_audio
from voxtab.native.formats import Format
from voxtab.native.transcription import Transcription
from voxtab.native.writing import write_whole

FAILURES = "voxtab-failures.jsonl"
_OWN = ".voxtab-batch"  # the folder of locks, and of results while they are written


@dataclass(frozen=True)
class Item:
    """One audio file of a batch."""

    source: str  # as open_audio() takes it
    place: PurePath  # of its result, below the folder of results, without the format's suffix


class ResultsFolder:
    """The folder of results: what is done, who does what, and what failed. Any number of processes may use it."""

    def __init__(self, folder: Path, format: Format):
        self.folder, self.format = folder, format
        self._failures_length, self._failed = 0, set[str]()  # what the file of failures said when it had that length
        (folder / _OWN).mkdir(parents=True, exist_ok=True)

    def is_done(self, item: Item) -> bool:
        return all(path.exists() for path in self._paths(item).values())

    @contextlib.contextmanager
    def claim(self, item: Item, wait: bool) -> Iterator[bool]:
        """Whether the item is this process's alone, until the end of the context.

        Without `wait` False: another process works on it, or on one that shares its lock. There are 256 locks, so that
        a million results do not leave a million of them.
        """
        lock = FileLock(self._own(item, "lock"))
        try:
            held = lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        with held:
            yield True

    def write(self, item: Item, contents: dict[str, str]) -> None:
        """Under the claim. Where there are several files, the item is done when the last one is there."""
        for suffix, path in self._paths(item).items():
            write_whole(path, contents[suffix], self._own(item, "aside"))

    def begin(self, items: list[Item]) -> None:
        """Forget what a former run said of items that are not done, and what it was writing when it was killed."""
        for aside in (self.folder / _OWN).glob("*.aside"):
            with contextlib.suppress(Timeout), FileLock(aside.with_suffix(".lock"), timeout=0):
                aside.unlink(missing_ok=True)
        again = {item.source for item in items if not self.is_done(item)}
        with self._failures_lock():
            kept = [line for line in self._failures() if line["audio"] not in again]
            path = self.folder / FAILURES
            if kept:
                write_whole(path, "".join(map(_line, kept)), self.folder / _OWN / "failures.aside")
            else:
                path.unlink(missing_ok=True)

    def add_failure(self, item: Item, kind: str, sentence: str) -> None:
        """`kind` is "error": there is no result, or "note": the result lacks something."""
        with self._failures_lock(), open(self.folder / FAILURES, "a", encoding="utf-8", errors="replace") as file:
            file.write(_line({"audio": item.source, kind: sentence}))

    def has_failed(self, item: Item) -> bool:
        """In this run, or in another one that is under way."""
        path = self.folder / FAILURES
        length = path.stat().st_size if path.exists() else 0
        if length != self._failures_length:  # somebody has added one
            self._failures_length = length
            self._failed = {line["audio"] for line in self._failures() if "error" in line}
        return item.source in self._failed

    def _failures(self) -> list[dict]:
        try:
            lines = (self.folder / FAILURES).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            with contextlib.suppress(ValueError):  # the last line of a process that was killed
                found.append(json.loads(line))
        return found

    def _failures_lock(self) -> FileLock:
        return FileLock(self.folder / _OWN / "failures.lock")

    def _paths(self, item: Item) -> dict[str, Path]:
        place = self.folder / item.place
        return {suffix: place.with_name(f"{place.name}.{suffix}") for suffix in self.format.suffixes}

    def _own(self, item: Item, suffix: str) -> Path:
        digest = sha256(os.fsencode(item.place.as_posix())).hexdigest()
        return self.folder / _OWN / f"{digest[:2]}.{suffix}"


@dataclass(frozen=True)
class Settings:
    """What a process needs to know to take part in a batch."""

    folder: Path
    format: Format
    model: str | None
    tokenizer: str | None
    delay_ms: int | None
    left_silence_tokens: int | None


@dataclass(frozen=True)
class Outcome:
    """What became of an item: done now, or there already, or in other hands; or failed, with an error's sentence."""

    state: str  # "done", "there", "claimed" or "failed"
    error: str | None = None
    notes: tuple[str, ...] = ()  # what the result lacks


class Worker:
    """Transcribes items, one after another, on one GPU. The model is opened for the first one that needs it."""

    def __init__(self, settings: Settings, gpu: int = 0, found: models.LocalModel | None = None):
        """`found`: the model that the settings name, if it was read already."""
        self._settings, self._gpu = settings, gpu
        self._found = found or models.read_model(settings.model, settings.tokenizer)
        self._schedule: Schedule = self._found.config.schedule(settings.delay_ms, settings.left_silence_tokens)
        self._results = ResultsFolder(settings.folder, settings.format)  # not before: it makes the folder
        self._model: Model | None = None

    async def work(self, item: Item, *, wait: bool) -> Outcome:
        """`wait`: for another process that works on it. Raises what has nothing to do with this item: no GPU, no room
        on the disk."""
        if self._results.is_done(item):
            return Outcome("there")
        with self._results.claim(item, wait) as claimed:
            if not claimed:
                return Outcome("claimed")
            if self._results.is_done(item):  # meanwhile
                return Outcome("there")
            if self._results.has_failed(item):
                return Outcome("failed")
            try:
                return await self._transcribe(item)
            except AudioError as error:
                sentence = str(error)
            except (UserError, OSError):
                raise
            except Exception as error:  # a fault of ours, which must not end every batch that comes to this file
                sentence = f"{shown(item.source)} met a fault of Voxtab ({type(error).__name__}: {error}): report it."
            self._results.add_failure(item, "error", sentence)
            return Outcome("failed", sentence)

    async def _transcribe(self, item: Item) -> Outcome:
        audio = open_audio(item.source)
        if self._model is None:
            self._model = await models.load_model(self._found, gpu=self._gpu)
        transcription = Transcription(self._model, audio, self._schedule)
        async with contextlib.aclosing(transcription.text()) as texts:
            async for _ in texts:
                pass
        self._results.write(item, self._settings.format.contents(transcription.result()))
        lost = tuple(str(note) for note in audio.notes if note.lost)
        for note in lost:
            self._results.add_failure(item, "note", note)
        return Outcome("done", notes=lost)

    async def close(self) -> None:
        if self._model:
            await self._model.device.done()
            self._model.close()


def _line(failure: dict) -> str:
    return json.dumps(failure, ensure_ascii=False) + "\n"
