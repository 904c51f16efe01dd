"""`voxtab transcribe`."""

import argparse
import asyncio
import contextlib
import sys
import time
from typing import TYPE_CHECKING

from voxtab.config import DELAYS_MS, SAMPLE_RATE
from voxtab.errors import DeviceError, UserError, shown
from voxtab.gpu.kernels import TOP_LOGITS
from voxtab.native.cli.inputs import Input, find_inputs
from voxtab.native.cli.outputs import Output, choose_output
from voxtab.native.cli.parser import add_gpu, add_model, number
from voxtab.native.cli.stderr import complain
from voxtab.native.formats import ALL, SUFFIXES

if TYPE_CHECKING:
    from voxtab.native.audio.file import AudioFile
    from voxtab.native.transcription import Transcription

DESCRIPTION = "Audio to text: on stdout, or in files."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_audio(parser)
    add_model(parser)
    add_gpu(parser)
    add_schedule(parser)
    add_guard(parser)
    parser.add_argument(
        "--format",
        choices=(*SUFFIXES, ALL),
        metavar="F",
        help="text (default); srt, vtt: subtitles; tsv; json: an object, or an array for several; jsonl: a line for "
        "each; all: every one, with --output-dir",
    )
    parser.add_argument("--timestamps", action="store_true", help="text in lines with their times, as they come")
    parser.add_argument(
        "--alternatives",
        type=number(1, TOP_LOGITS),
        default=0,
        metavar="N",
        help="in the JSON, how sure the model is of each word, and for each of its tokens the N most probable ones, "
        f"1 to {TOP_LOGITS}",
    )
    parser.add_argument("--tokens", action="store_true", help="token ids in the JSON too")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write one audio's result there; its suffix may tell the format"
    )
    parser.add_argument("--output-dir", metavar="DIR", help="write each result there: talk.mp3 -> DIR/talk.txt")
    parser.add_argument(
        "--chunk-ms",
        type=number(1, 999_999_999),
        default=1000,
        metavar="N",
        help="feed the audio in chunks of this length; the result does not depend on it",
    )


def add_audio(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "audio",
        nargs="+",
        help='audio or video in any format: files, folders, "-" for standard input, http(s) addresses',
    )
    parser.add_argument("--recursive", action="store_true", help="look into the folders of folders too")


def add_schedule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--delay-ms",
        type=int,
        metavar="N",
        help=f"how long to listen before writing: {DELAYS_MS[0]} to 1200 in steps of 80, or 2400 (the most "
        "accurate); default: the model's, usually 480",
    )
    parser.add_argument(
        "--left-silence-tokens",
        type=int,
        metavar="N",
        help="silent tokens of 80 ms in front of the audio, 32 or more: 32 as trained; 33 plus the delay in tokens "
        "keeps all speech after the prompt, and each costs a step; default: the model's, usually 32",
    )


def add_guard(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-guard",
        dest="guard",
        action="store_false",
        help="do not start the model again where it writes nothing although someone talks",
    )


def tell_restart(audio: str, seconds: float) -> None:
    """Say that the model was started again at one of `Transcriber.restarts`."""
    complain(
        f"{shown(audio)}: from {seconds:.1f} s on, the model wrote nothing although someone talked. It was started "
        "again there."
    )


def run(arguments) -> int:
    return asyncio.run(_Run(arguments).all())


class _Run:
    def __init__(self, arguments):
        self._arguments = arguments
        self._status = 0

    def _wrong(self, what: UserError | str) -> None:
        complain(what)
        self._status = 2

    async def all(self) -> int:
        """First comes what can be wrong without looking into the audio, then the first audio is opened, then the GPU.

        So a mistake is told at once.
        """
        arguments = self._arguments
        inputs = find_inputs(arguments.audio, arguments.recursive, self._wrong)
        output = choose_output(arguments, inputs)
        if not inputs:
            return self._status
        since = time.perf_counter()
        from voxtab.native import models

        found = models.read_model(arguments.model, arguments.tokenizer)
        self._schedule = found.config.schedule(arguments.delay_ms, arguments.left_silence_tokens)
        numbered = enumerate(inputs, 1)
        for i, each in numbered:
            if audio := await self._open(each):
                opened = i, each, audio
                break
        else:
            return self._status
        from voxtab.native.cli.progress import load

        self._model = await load(found, arguments.gpu)
        self._load_s, self._count = time.perf_counter() - since, len(inputs)
        try:
            await self._one(*opened, output)
            for i, each in numbered:
                if audio := await self._open(each):
                    await self._one(i, each, audio, output)
        finally:
            output.close()
            await self._model.device.done()  # also after Ctrl-C: readbacks under way still need the event loop
        return self._status

    async def _open(self, audio: Input) -> "AudioFile | None":
        from voxtab.native.audio.file import open_audio_async

        try:
            return await open_audio_async(audio.source)
        except UserError as error:
            self._wrong(error)
            return None

    async def _one(self, i: int, named: Input, audio: "AudioFile", output: Output) -> None:
        from voxtab.native.transcription import Transcription

        chunk = self._arguments.chunk_ms * SAMPLE_RATE // 1000
        transcription = Transcription(
            self._model,
            audio,
            self._schedule,
            load_s=self._load_s,
            chunk=chunk,
            guard=self._arguments.guard,
            alternatives=self._arguments.alternatives,
        )
        label = named.place.name if self._count == 1 else f"{i}/{self._count} {named.place.name}"
        output.begin(named)
        try:
            await self._show(transcription, audio, label, output)
        except BaseException as error:
            output.fail()
            if not isinstance(error, UserError) or isinstance(error, DeviceError):
                raise
            self._wrong(error)
        else:
            output.end(transcription.result())
        for seconds in transcription.transcriber.restarts:
            tell_restart(audio.name, seconds)
        for note in audio.notes:
            complain(f"{shown(audio.name)}: {note}")
            if note.lost:
                self._status = 2

    async def _show(self, transcription: "Transcription", audio: "AudioFile", label: str, output: Output) -> None:
        """Hand on the text as it comes, with a progress bar where that does not disturb it."""
        from voxtab.native.cli.progress import audio_bar

        transcriber, hidden = transcription.transcriber, output.shows_text and sys.stdout.isatty()
        async with contextlib.aclosing(transcription.text()) as texts:
            with audio_bar(audio.seconds, label, hidden) as bar:
                async for text in texts:
                    output.push(text, transcriber)
                    bar.update(min(transcriber.done_seconds, bar.total or float("inf")) - bar.n)
