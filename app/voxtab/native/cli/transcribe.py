"""`voxtab transcribe`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from voxtab import subtitles
from voxtab.config import DELAYS_MS, SAMPLE_RATE, Schedule
from voxtab.errors import UserError
from voxtab.native.cli.parser import add_model, milliseconds
from voxtab.native.cli.stderr import complain

if TYPE_CHECKING:
    from voxtab.model import Model
    from voxtab.native.audio import AudioFile
    from voxtab.result import Result

DESCRIPTION = "Audio files to text, on stdout."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "audio", nargs="+", help='audio or video in any format: files, "-" for standard input, http(s) addresses'
    )
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
    from voxtab.native.sources import shown

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
            except UserError as error:
                complain(error)
                status = 2
            for note in audio.notes:
                complain(f"{shown(audio.name)}: {note}")
                status = 2 if note.lost else status
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

    from voxtab.native.feeding import text_of
    from voxtab.result import Result
    from voxtab.transcriber import Transcriber

    since = time.perf_counter()
    transcriber = Transcriber(model, schedule.delay_ms, schedule.left_silence_tokens)
    texts = text_of(transcriber, audio.stream(), chunk=arguments.chunk_ms * SAMPLE_RATE // 1000, live=audio.live)
    printing = arguments.format == "text"
    with tqdm(
        total=audio.seconds and round(audio.seconds, 1),
        unit="s",
        desc=Path(audio.name).name,
        leave=False,
        disable=printing and sys.stdout.isatty() or None,
    ) as bar:
        try:
            async for text in texts:
                if printing and text:
                    print(text, end="", flush=True)
                bar.update(min(transcriber.done_seconds, bar.total or float("inf")) - bar.n)
        finally:
            await texts.aclose()
            if printing:
                print(flush=True)
    run_s = time.perf_counter() - since
    result = Result.of(transcriber, model=model.name, load_s=load_s, run_s=run_s, audio=audio.name)
    if arguments.format in subtitles.FORMATS:
        print(result.formatted(arguments.format), end="", flush=True)
    return result
