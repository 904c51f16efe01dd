"""`voxtab transcribe`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from voxtab import subtitles
from voxtab.config import DELAYS_MS, SAMPLE_RATE, Schedule
from voxtab.errors import UserError
from voxtab.native.cli.parser import add_model, milliseconds
from voxtab.native.cli.stderr import complain

if TYPE_CHECKING:
    import numpy as np

    from voxtab.model import Model
    from voxtab.native.audio import AudioFile
    from voxtab.result import Result
    from voxtab.transcriber import Transcriber

DESCRIPTION = "Audio files to text, on stdout."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("audio", nargs="+", help="WAV, FLAC, OGG, Opus, MP3, ...; any rate, any number of channels")
    add_model(parser)
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
    parser.add_argument(
        "--format",
        choices=("text", *subtitles.FORMATS, "json"),
        default="text",
        help="srt, vtt: subtitles, of one file; json: an object for one file, an array for several",
    )
    parser.add_argument("--tokens", action="store_true", help="token ids in the JSON too")
    parser.add_argument(
        "--chunk-ms",
        type=milliseconds,
        default=1000,
        metavar="N",
        help="feed the audio in chunks of this length; the result does not depend on it",
    )


def run(arguments) -> int:
    return asyncio.run(_transcribe(arguments))


async def _transcribe(arguments) -> int:
    if arguments.format in subtitles.FORMATS and len(arguments.audio) > 1:
        raise UserError(f"--format {arguments.format} writes one file's subtitles: name one audio file at a time.")
    from voxtab.native import models

    since = time.perf_counter()
    found = models.read_model(arguments.model, arguments.tokenizer)
    schedule = found.config.schedule(arguments.delay_ms, arguments.left_silence_tokens)
    from voxtab.native.audio import open_audio
    from voxtab.native.cli.loading import load

    status, files = 0, []
    for path in arguments.audio:  # all that can be wrong is found before the GPU is opened
        try:
            files.append(open_audio(path))
        except UserError as error:
            complain(error)
            status = 2
    if not files:
        return status
    model = await load(found)
    load_s = time.perf_counter() - since
    results = []
    try:
        for audio in files:
            try:
                results.append(await _one_file(model, audio, schedule, arguments, load_s))
                audio.check_whole(results[-1].audio_seconds)
            except UserError as error:
                complain(error)
                status = 2
    finally:
        await model.device.done()  # also after Ctrl-C: readbacks under way still need the event loop
    if arguments.format == "json":
        dicts = [result.as_dict(tokens=arguments.tokens) for result in results]
        if len(arguments.audio) > 1:
            print(json.dumps(dicts, ensure_ascii=False))
        elif dicts:
            print(json.dumps(dicts[0], ensure_ascii=False))
    return status


async def _one_file(model: Model, audio: AudioFile, schedule: Schedule, arguments, load_s: float) -> Result:
    from tqdm import tqdm

    from voxtab.result import Result
    from voxtab.transcriber import Transcriber

    since = time.perf_counter()
    transcriber = Transcriber(model, schedule.delay_ms, schedule.left_silence_tokens)
    feeding = asyncio.ensure_future(_feed(transcriber, audio, arguments.chunk_ms * SAMPLE_RATE // 1000))
    printing = arguments.format == "text"
    try:
        with tqdm(
            total=audio.seconds and round(audio.seconds, 1),
            unit="s",
            desc=audio.path.name,
            leave=False,
            disable=printing and sys.stdout.isatty() or None,
        ) as bar:
            async for text in transcriber.text():
                if printing and text:
                    print(text, end="", flush=True)
                bar.update(min(transcriber.done_seconds, bar.total or float("inf")) - bar.n)
        if printing:
            print(flush=True)
        await feeding
    finally:
        feeding.cancel()
        transcriber.close()
    result = Result.of(
        transcriber, model=model.name, load_s=load_s, run_s=time.perf_counter() - since, audio=str(audio.path)
    )
    if arguments.format in subtitles.FORMATS:
        print(result.formatted(arguments.format), end="", flush=True)
    return result


async def _feed(transcriber: Transcriber, audio: AudioFile, chunk: int) -> None:
    """Feed a file in chunks of `chunk` samples, never far ahead of the model: long files do not fill the memory."""
    try:
        for samples in _chunks(audio, chunk):
            transcriber.feed(samples)
            await transcriber.room()
    finally:
        # Also if the file is damaged or a feed is refused: what came before is transcribed, and the text loop ends too.
        if not transcriber.closed:
            transcriber.finish()


def _chunks(audio: AudioFile, chunk: int) -> Iterator[np.ndarray]:
    """A file's samples, `chunk` at a time, then the rest. On a bad file, yields the good samples, then raises."""
    import numpy as np

    waiting = np.zeros(0, np.float32)
    try:
        for block in audio.samples():
            waiting = np.concatenate([waiting, block])
            while len(waiting) >= chunk:
                yield waiting[:chunk]
                waiting = waiting[chunk:]
    except UserError:
        yield waiting
        raise
    yield waiting
