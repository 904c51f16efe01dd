"""`voxtab batch` as a fork of a process that has imported it, with a stand-in for the model: quick to start and kill.

multiprocessing imports this module in the process that forks.
"""

import asyncio
import os
import sys
import time

from voxtab.native import cli, models, writing
from voxtab.native.batch import worker
from voxtab.result import Result


def batch(arguments: list[str], stderr: str) -> None:
    """The command with these arguments; `stderr` is a file."""
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    models.load_model = _no_model
    worker.Transcription = _Transcription
    writing.open = _open
    sys.argv = ["voxtab", "batch", *arguments]
    cli.main()


async def _no_model(found, gpu):
    return None


def _open(*arguments, **options):
    """On a slow disk: many kills come before the file has its content."""
    try:
        return open(*arguments, **options)
    finally:
        time.sleep(0.003)


class _Transcription:
    """Of voxtab.native.transcription: it takes 3 ms, and hears nothing."""

    def __init__(self, model, audio, schedule):
        self._audio = audio

    async def text(self):
        await asyncio.sleep(0.003)
        yield ""

    def result(self) -> Result:
        return Result("", [], [], 0.5, 480, "", {}, self._audio.name)
