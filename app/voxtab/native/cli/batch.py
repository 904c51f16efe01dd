"""`voxtab batch`."""

import argparse
import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from voxtab.errors import UserError, shown
from voxtab.native.cli.inputs import STDIN, find_inputs, is_address
from voxtab.native.cli.outputs import check_writable, folder_places
from voxtab.native.cli.parser import add_gpu, add_model
from voxtab.native.cli.stderr import complain
from voxtab.native.cli.transcribe import add_audio, add_schedule
from voxtab.native.formats import ALL, SUFFIXES, Format

if TYPE_CHECKING:
    from voxtab.native.batch.worker import Item, Outcome, Settings

DESCRIPTION = (
    "Many audio files, each with a result of its own. What is done is skipped, so a batch that was ended, killed even, "
    "goes on where it was; and several may fill one folder at once. What fails is listed in "
    "DIR/voxtab-failures.jsonl, and tried again next time."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_audio(parser)
    parser.add_argument(
        "--out", metavar="DIR", required=True, help="write each result there: talk.mp3 -> DIR/talk.json"
    )
    parser.add_argument(
        "--format",
        choices=(*SUFFIXES, ALL),
        default="json",
        metavar="F",
        help=f"{', '.join(SUFFIXES)}, or all; default: %(default)s",
    )
    add_model(parser)
    add_gpu(parser)
    add_schedule(parser)
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="spread the work over a Ray cluster, one process for each GPU: its address, or auto; all machines must "
        "see the same files (pip install 'voxtab[ray]')",
    )


def run(arguments) -> int:
    return _Run(arguments).all()


class _Run:
    def __init__(self, arguments):
        self._arguments = arguments
        self._status = 0
        self._done = 0

    def all(self) -> int:
        arguments = self._arguments
        inputs = list(dict.fromkeys(find_inputs(arguments.audio, arguments.recursive, self._wrong)))
        if any(audio.source == STDIN for audio in inputs):
            raise UserError("A batch cannot read standard input, as it may have to start again: name a file.")
        folder = Path(arguments.out).absolute()
        check_writable(folder)
        places = folder_places(inputs, folder)
        if not inputs:
            return self._status
        from voxtab.native import models

        # Refused here, at once, before NumPy and PyAV are imported and a folder is made.
        found = models.read_model(arguments.model, arguments.tokenizer)
        found.config.schedule(arguments.delay_ms, arguments.left_silence_tokens)
        from voxtab.native.batch.worker import Item, ResultsFolder, Settings, Worker

        format = Format(arguments.format)
        settings = Settings(
            folder,
            format,
            arguments.model,
            arguments.tokenizer,
            arguments.delay_ms,
            arguments.left_silence_tokens,
        )
        worker = Worker(settings, arguments.gpu, found)
        items = [Item(_absolute(audio.source), place.relative_to(folder)) for audio, place in places.items()]
        results = ResultsFolder(folder, format)
        results.begin(items)
        todo = [item for item in items if not results.is_done(item)]
        self._count = len(items)
        self._there = len(items) - len(todo)
        try:
            if arguments.ray is None:
                asyncio.run(self._here(worker, todo))
            else:
                self._on_ray(settings, todo)
        finally:
            complain(self._summary(results, items))
        return self._status

    def _wrong(self, what: UserError | str) -> None:
        complain(what)
        self._status = 2

    async def _here(self, worker, items: "list[Item]") -> None:
        from voxtab.native.cli.progress import files_bar

        try:
            with files_bar(self._count, self._there) as bar:
                claimed = []
                for item in items:
                    outcome = await worker.work(item, wait=False)
                    if outcome.state == "claimed":
                        claimed.append(item)
                    else:
                        self._tell(item, outcome, bar)
                for item in claimed:  # by another batch, which may have been killed since
                    self._tell(item, await worker.work(item, wait=True), bar)
        finally:
            await worker.close()

    def _on_ray(self, settings: "Settings", items: "list[Item]") -> None:
        from voxtab.native.batch.ray_cluster import outcomes
        from voxtab.native.cli.progress import files_bar

        with files_bar(self._count, self._there) as bar:
            for item, outcome in outcomes(self._arguments.ray, settings, items):
                self._tell(item, outcome, bar)

    def _tell(self, item: "Item", outcome: "Outcome", bar) -> None:
        bar.update()
        self._done += outcome.state == "done"
        if outcome.error:
            self._wrong(outcome.error)
        for note in outcome.notes:
            self._wrong(f"{shown(item.source)}: {note}")

    def _summary(self, results, items: "list[Item]") -> str:
        missing = sum(not results.is_done(item) for item in items)
        text = f"{self._count} files: {self._done} done now, {self._count - self._done - missing} before or elsewhere"
        return f"{text}, {missing} missing." if missing else f"{text}."


def _absolute(source: str) -> str:
    return source if is_address(source) else os.path.abspath(source)
