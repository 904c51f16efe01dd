"""`voxtab bench`."""

import argparse
import asyncio
import json
import time
from pathlib import Path

from voxtab import resources
from voxtab.native.cli.parser import add_gpu, add_model

DESCRIPTION = "Measure a model on this machine: JSON on stdout."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("audio", nargs="?", help="what to transcribe; default: a bundled clip, repeated to a minute")
    add_model(parser)
    add_gpu(parser)


def run(arguments) -> int:
    return asyncio.run(_run(arguments))


async def _run(arguments) -> int:
    from voxtab.native import models

    found = models.read_model(arguments.model, arguments.tokenizer)
    import numpy as np

    from voxtab.bench import bench
    from voxtab.native.audio.file import open_audio
    from voxtab.native.cli.progress import load

    audio = open_audio(arguments.audio or resources.embedded_clips()[0])
    samples = np.concatenate(list(audio.samples()))
    since = time.perf_counter()
    model = await load(found, arguments.gpu)
    load_s = time.perf_counter() - since
    print(
        json.dumps(
            await bench(model, samples, Path(audio.name).name, load_s, repeat=not arguments.audio),
            indent=1,
            ensure_ascii=False,
        )
    )
    return 0
