#!/usr/bin/env python3
"""Compares the engine with transformers on the same weights, which transformers has as float32. Prints JSON.

For each length of audio and each type of cache, natively:

  1. A Transcriber writes tokens.
  2. The engine computes the logits of every position, read back step by step.
  3. transformers computes the logits for the same tokens, in one parallel pass.

`largest_error` is the largest difference of the logits. The margin of a token is the distance between the best two
logits of transformers. Where the margin is below the error, our token may differ from its best; elsewhere it must not.
With --browser, the page in headless Chromium transcribes the same audio; its tokens are compared with the same pass.

Both sides compute RoPE's angles in float64. `angles: float32` is transformers unchanged.

Needs torch, transformers 5.17 or newer, and the project's own packages. The 4B model takes 18 GB in float32, so it
needs a CUDA GPU. tools/synthetic.py makes models with random weights for this.
"""

import argparse
import asyncio
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from voxtab import resources
from voxtab.check import transcribed
from voxtab.config import PAD, SAMPLE_RATE, Schedule
from voxtab.model import Model
from voxtab.native import models
from voxtab.native.making.running import logits
from voxtab.native.server.run import serving
from voxtab.native.server.site import Site
from voxtab.weights.layouts import addresses_among

TOOLS = Path(__file__).resolve().parents[1]


def speech(seconds: float) -> np.ndarray:
    """[samples] int16: the package's clips in random order, at random loudness, with random gaps, in faint noise."""
    random = np.random.default_rng(0)
    clips = [soundfile.read(path, dtype="float32")[0] for path in resources.embedded_clips()]
    parts, samples = [], 0
    while samples < seconds * SAMPLE_RATE:
        parts += [
            random.uniform(0.3, 1) * clips[random.integers(len(clips))],
            np.zeros(int(random.uniform(0, 2) * SAMPLE_RATE)),
        ]
        samples += len(parts[-2]) + len(parts[-1])
    sound = np.concatenate(parts)[: int(seconds * SAMPLE_RATE)]
    sound += 0.002 * random.standard_normal(len(sound))
    return (32767 * sound.clip(-1, 1)).astype(np.int16)


async def all_logits(model: Model, samples: np.ndarray, tokens: list[int]) -> np.ndarray:
    """[positions, vocabulary] f32: the logits of every position that makes a token, given the tokens before it."""
    rows = np.empty((len(tokens) - len(model.config.schedule().prompt) + 1, model.config.vocabulary), np.float32)
    i = 0
    async for row in logits(model, samples, tokens):
        rows[i] = row
        i += 1
    return rows


def page_tokens(site: Path, model: Path, wav: Path) -> tuple[list[int], str]:
    """The tokens that the page in headless Chromium gives for a WAV file, and what it says of its GPU."""
    for name, target in (("proof-model", model), ("proof.wav", wav)):
        (site / name).unlink(missing_ok=True)
        (site / name).symlink_to(target)
    file = addresses_among(os.listdir(model))[0]
    with serving(Site(site)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"),
            chromium_sandbox=False,
            args=["--enable-unsafe-webgpu"],
        )
        page = browser.new_page()
        page.goto(f"{url}/?model=proof-model/{file}&audio=proof.wav&autostart=1")
        page.locator("html:is([data-state=done], [data-state=error])").wait_for(timeout=600_000)
        if page.evaluate("document.documentElement.dataset.state") == "error":
            sys.exit(f"tools/prove: the page failed: {page.get_by_test_id('error').text_content()}")
        tokens = page.evaluate("voxtab.tokens")
        gpu = page.evaluate(
            "navigator.gpu.requestAdapter()"
            ".then(({ info }) => `${info.vendor} ${info.architecture} ${info.description}`)"
        )
        browser.close()
    return tokens, gpu


def compare(
    reference, audio, tokens: list[int], schedule: Schedule, logits: np.ndarray | None
) -> dict[str, np.ndarray]:
    """For each position that makes a token: our logits' largest `error`, the reference's `margin` and `best` token."""
    found, made = {"error": [], "margin": [], "best": []}, len(schedule.prompt) - 1
    for first, theirs in reference.logits(audio, tokens, schedule.delay_tokens):
        skip = max(0, made - first)
        theirs = theirs[skip:]
        if not len(theirs):
            continue
        best = theirs.topk(2).values
        found["margin"].append((best[:, 0] - best[:, 1]).cpu().numpy())
        found["best"].append(theirs.argmax(1).cpu().numpy())
        if logits is not None:
            at = first + skip - made
            ours = theirs.new_tensor(logits[at : at + len(theirs)])
            found["error"].append((ours - theirs).abs().amax(1).cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items() if parts}


def summary(found: dict[str, np.ndarray], tokens: list[int], schedule: Schedule, error: float) -> dict:
    """Figures of a comparison. A token is sure if its margin exceeds `error`. The last position's token is not used."""
    made = np.array(tokens[len(schedule.prompt) :])
    wrong, margins = found["best"][:-1] != made, found["margin"][:-1]
    sure = margins > error
    return {
        "positions": len(tokens),
        "tokens_compared": len(made),
        "distinct": len(set(made.tolist())),
        "pads": int((made == PAD).sum()),
        "tokens_different": int(wrong.sum()),
        "margins_where_different": [float(f"{margin:.3g}") for margin in sorted(margins[wrong])[-8:]],
        "margin_to_exceed": error,
        "tokens_sure": int(sure.sum()),
        "sure_tokens_different": int((wrong & sure).sum()),
        "least_margin": float(f"{margins.min():.3g}"),
        "median_margin": float(f"{np.median(margins):.3g}"),
    }


async def native(found: models.LocalModel, cache: str, samples: np.ndarray) -> dict:
    """The tokens and logits of one native run, and facts about it for the report."""
    model = await models.load_model(found, cache=cache)
    since = time.perf_counter()
    tokens, _ = await transcribed(model, samples)
    about = {
        "transcribed_s": round(time.perf_counter() - since, 2),
        "gpu": model.device.adapter.name,
    }
    since = time.perf_counter()
    rows = await all_logits(model, samples, tokens)
    about["logits_read_s"] = round(time.perf_counter() - since, 2)
    made = tokens[len(model.config.schedule().prompt) :]
    about["tokens_different_in_single_steps"] = int((rows[:-1].argmax(1) != made).sum())
    model.close()
    return {"tokens": tokens, "logits": rows, "about": about}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="DIR",
        help="a model, such as a folder that tools/synthetic.py made",
    )
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[30], help="lengths of audio; 700 passes position 8192"
    )
    parser.add_argument("--cache", nargs="+", choices=["f32", "f16"], default=["f32", "f16"])
    parser.add_argument("--browser", action="store_true", help="also the page in headless Chromium; its caches are f16")
    arguments = parser.parse_args()
    if arguments.browser and arguments.cache[-1] != "f16":
        parser.error("--browser needs f16 as the last --cache, because the page's tokens are compared with that run")
    try:
        import torch
        import transformers

        from prove.reference import Reference
    except ImportError as error:
        sys.exit(f"tools/prove: {error}: install torch and transformers 5.17 or newer.")

    began = time.perf_counter()
    found = models.read_model(arguments.model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    reference = Reference(found, device)
    report = {
        "date": datetime.date.today().isoformat(),
        "model": str(arguments.model),
        "bytes": found.source.size,
        "reference": f"transformers {transformers.__version__}, torch {torch.__version__}, float32, "
        + (torch.cuda.get_device_name() if device == "cuda" else "CPU"),
        "runs": [],
    }
    with tempfile.TemporaryDirectory() as scratch:
        site, wav = Path(scratch, "site"), Path(scratch, "speech.wav")
        if arguments.browser:
            subprocess.run([TOOLS / "build_site", "--out", site], check=True, stdout=subprocess.DEVNULL)
        for seconds in arguments.seconds:
            soundfile.write(wav, speech(seconds), SAMPLE_RATE)
            report["runs"] += runs(reference, found, arguments, wav, site)
    report["seconds_in_all"] = round(time.perf_counter() - began, 1)
    print(json.dumps(report, indent=1))


def runs(reference, found: models.LocalModel, arguments, wav: Path, site: Path) -> list[dict]:
    """The comparisons over one WAV file."""
    samples = soundfile.read(wav, dtype="float32")[0]
    schedule = found.config.schedule()
    audio = {}  # audio embeddings, by the precision of the angles

    def compared(where, cache, tokens, logits, angles="float64", error=None) -> dict:
        since = time.perf_counter()
        reference.use_angles(angles)
        if angles not in audio:
            audio[angles] = reference.audio_embeddings(samples, schedule)
        arrays = compare(reference, audio[angles], tokens, schedule, logits)
        told = {"where": where, "cache": cache, "angles": angles, "audio_s": len(samples) / SAMPLE_RATE}
        if error is None:
            told["largest_error"] = error = float(f"{arrays['error'].max():.4g}")
        return {**told, **summary(arrays, tokens, schedule, error), "compared_s": round(time.perf_counter() - since, 1)}

    done = []
    for cache in arguments.cache:
        run = asyncio.run(native(found, cache, samples))
        for angles in ("float64", "float32") if cache == "f32" else ("float64",):
            done.append(compared("native", cache, run["tokens"], run["logits"], angles) | run["about"])
            error = done[-1]["largest_error"]
    if arguments.browser:
        since = time.perf_counter()
        tokens, gpu = page_tokens(site, arguments.model.absolute(), wav)
        took = round(time.perf_counter() - since, 1)
        # The page's logits stay on the GPU, so the error of the native run with f16 caches stands for theirs.
        done.append(
            compared("Chromium", "f16", tokens, None, error=error)
            | {
                "gpu": gpu,
                "opened_and_transcribed_s": took,
                "tokens_different_from_native": sum(a != b for a, b in zip(tokens, run["tokens"], strict=True)),
            }
        )
    return done


if __name__ == "__main__":
    main()
