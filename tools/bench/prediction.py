"""The speed that the page predicts of the 4B model, and the one that then comes with a model of that shape.

In the tab, or natively.

  says         the page's words at a first visit: its verdict, and the speed that it measured
  predicted    seconds for a second of audio, as the page computes them, for the shape of `--model`. The page assumes
               that a pass makes as many tokens as of real speech (`drafting.EXPECTED`)
  of_tokens    the same with as many tokens a pass as the model made of this file (`tokens_per_pass`)
  happened     the same of the file: for the positions that it has, with the silence at its end
  off          happened / of_tokens - 1

By the clock, and in processor time of Chromium or of this process. Other programs hardly change processor time: without
a GPU it is what counts. `predicted` comes before the file, `of_tokens` after it.
"""

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from bench.tab import chromium, chromium_seconds, placed, served
from voxtab import prediction
from voxtab.bench import file_run, significant
from voxtab.config import SAMPLE_RATE, TOKEN_MS
from voxtab.drafting import EXPECTED
from voxtab.native import models
from voxtab.native.audio.file import open_audio
from voxtab.native.gpu.device import NativeDevice

PATIENCE_S = 7200
CLOCK, PROCESSOR = "clock", "processor"
MEASURED = re.compile("than you speak|could not be measured")


def predictions(model: str, audio: str, native: bool, site: Path | None) -> dict:
    found, path = models.read_model(Path(model).absolute()), Path(model).absolute()
    samples = np.concatenate(list(open_audio(audio).samples()))
    measured = asyncio.run(_native(found, samples)) if native else _tab(path, samples, site)
    says, before, run, seconds, after = measured
    positions = run["tokens"] - found.config.schedule().silent_positions
    happened = {kind: spent / positions * 1000 / TOKEN_MS for kind, spent in seconds.items()}
    figures = {
        kind: {
            "predicted": significant(before[kind]),
            "of_tokens": significant(after[kind]),
            "happened": significant(happened[kind]),
            "off": round(happened[kind] / after[kind] - 1, 3),
        }
        for kind in seconds
    }
    return {
        "model": found.name,
        **says,
        **figures,
        "audio_s": significant(len(samples) / SAMPLE_RATE),
        "positions": positions,
        "run_s": significant(seconds[CLOCK]),
        "tokens_per_pass": significant(run["tokens_per_pass"]),
        "drafts": significant(run["drafts"]),
    }


async def _native(found: models.LocalModel, samples):
    async def predicted(run: dict | None = None) -> dict[str, float]:
        rtf = {}
        for kind, clock in ((CLOCK, time.perf_counter), (PROCESSOR, time.process_time)):
            device = await NativeDevice.open()
            with counted(clock, tokens_of(run)):
                rtf[kind] = (await prediction.predict(device, found.config))["rtf"]
            device.close()
        return rtf

    before = await predicted()
    model = await models.load_model(found)
    await model.passed(0)  # the silence at a stream's start is done
    since = time.perf_counter(), time.process_time()
    run = await file_run(model, samples)
    seconds = {CLOCK: time.perf_counter() - since[0], PROCESSOR: time.process_time() - since[1]}
    gpu = model.device.adapter.name
    model.close()
    return {"gpu": gpu}, before, run, seconds, await predicted(run)


def tokens_of(run: dict | None) -> dict[int, float]:
    """Tokens that a pass makes, by its rows: what is assumed of speech, or what this run's passes made."""
    if not run:
        return EXPECTED
    rows = min(EXPECTED, key=lambda rows: abs(rows - 1 - run["drafts"]))
    return dict.fromkeys(EXPECTED, 1.0) | {rows: run["tokens_per_pass"]}


@contextmanager
def counted(clock: Callable[[], float], tokens: dict[int, float]):
    """Predictions use this clock instead of their own, and these tokens by the rows of a pass."""
    timed = prediction._timed

    async def by(*arguments) -> float:
        since = clock()
        await timed(*arguments)
        return clock() - since

    prediction._timed, prediction.EXPECTED = by, tokens
    try:
        yield
    finally:
        prediction._timed, prediction.EXPECTED = timed, EXPECTED


def _tab(model: Path, samples, site: Path | None):
    folder, address = placed(model)
    with tempfile.TemporaryDirectory() as scratch:
        measured = Path(scratch, "measured")
        measured.mkdir()
        soundfile.write(measured / "speech.wav", samples, SAMPLE_RATE, subtype="PCM_16")
        with served(site, folders={"model": folder, "measured": measured}) as url:
            with chromium(Path(scratch, "first")) as page:
                says = _says(page, url)
            with chromium(Path(scratch, "bench")) as page:
                page.expose_function("processorSeconds", lambda: chromium_seconds()["all"])
                page.goto(f"{url}/bench/bench.html")
                page.evaluate("seconds => { patienceS = seconds; }", PATIENCE_S)

                def predicted(run: dict | None = None) -> dict[str, float]:
                    asked = "([processor, tokens]) => ask('foretell', { processor, tokens })"
                    tokens = list(tokens_of(run).items())
                    return {
                        kind: page.evaluate(asked, [kind == PROCESSOR, tokens])["rtf"] for kind in (CLOCK, PROCESSOR)
                    }

                _say(f"{says}; opening the model")
                opened = page.evaluate("all => load(...all)", [address, None])
                page.evaluate("ask('settle')")
                _say("predicting")
                before = predicted()
                _say(f"{before} predicted; the file")
                since = time.perf_counter(), chromium_seconds()["all"]
                run = page.evaluate("measure('file_run', {}, true)")
                seconds = {CLOCK: run["run_s"], PROCESSOR: chromium_seconds()["all"] - since[1]}
                _say(f"{seconds} for the file; predicting")
                return says | {"gpu": opened["gpu"]["description"]}, before, run, seconds, predicted(run)


def _says(page, url: str) -> dict:
    page.goto(url)
    page.locator("html:is([data-state=ready], [data-state=error])").wait_for()
    verdict = page.get_by_test_id("verdict").inner_text()
    since = time.perf_counter(), chromium_seconds()["all"]
    if (measure := page.get_by_test_id("measure")).is_visible():
        measure.click()
    speed = page.get_by_test_id("machine").locator("dd", has_text=MEASURED)
    speed.wait_for(timeout=1000 * PATIENCE_S)
    return {
        "says": [verdict, speed.inner_text(), page.get_by_test_id("verdict").inner_text()],
        "saying_took_s": significant(time.perf_counter() - since[0]),
        "saying_took_processor_s": significant(chromium_seconds()["all"] - since[1]),
    }


def _say(sentence: str) -> None:
    print(f"tools/bench: {time.strftime('%T')} {sentence}", file=sys.stderr, flush=True)
