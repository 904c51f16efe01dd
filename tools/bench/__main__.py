#!/usr/bin/env python3
"""Measures how fast Voxtab is on this machine. Prints JSON: medians with their spread.

  full        a model in the built page in headless Chromium, and natively; `full --help` says more
  opening     seconds until a model is open natively, at a first start and at the next ones
  step        host time to replay the plan of a decoder step that has as many dispatches as the 4B model's, natively
  kernels     time of each kernel on the 4B model's shapes, with Q4_0 weights, natively; then how fast the decoder's
              products are with each type of weights
  laptops     what passes of several rows should take on common GPUs: a prediction from bytes and instructions
  tab-step    host time of a live step in headless Chromium, with as many layers as the 4B model
  tab-opening processor time that headless Chromium takes to open the embedded model
  tab-memory  memory that loading a 542 MB model takes in Chromium, beyond its GPU buffers
  tab-file    a model and an audio file in the page in Chromium: time, the page's long tasks, memory from begin to end,
              and the times between frames while the text is scrolled through
  prediction  the speed that the page predicts, and the one that then comes, in Chromium or natively

Other programs slow a machine down, so compare ratios within one run. tools/README.md explains the figures.
Run it with the project's environment: .venv/bin/python tools/bench full
"""

import argparse
import asyncio
import datetime
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import full
from bench.laptops import laptops
from bench.opening import opening
from bench.prediction import predictions
from bench.tab import tab_memory, tab_opening, tab_step
from bench.tab_file import tab_file
from bench.weight_types import rates_of_types
from synthetic import VOXTRAL_4B, Zeros, directory
from voxtab.bench import spread
from voxtab.errors import UserError
from voxtab.gpu.kernels import TYPE_CODES
from voxtab.model import Model
from voxtab.native.gpu.device import NativeDevice


async def model_of(config) -> Model:
    device, tensors = await NativeDevice.open(), directory(config)
    return await Model.load(device, tensors, config, Zeros(tensors), None, name="zeros")


def machine() -> dict:
    return {"date": datetime.date.today().isoformat(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}


def step() -> dict:
    return asyncio.run(_step())


async def _step() -> dict:
    """Replays a decoder step of a narrow model with all 26 layers. The host's work does not depend on the width."""
    narrow = replace(VOXTRAL_4B.decoder, width=64, heads=2, kv_heads=1, head_dim=32, hidden=64)
    model = await model_of(replace(VOXTRAL_4B, encoder=replace(narrow, layers=1), decoder=narrow, vocabulary=2048))
    launches = len(model.decoder.record(model.kernels, model.adapter.audio, 1, True))
    queue = model.device._queue

    def timed(function, times: list[float]):  # in the thread that records and submits
        def call(*arguments):
            since = time.perf_counter()
            result = function(*arguments)
            times.append(1000 * (time.perf_counter() - since))
            return result

        return call

    submitting: list[float] = []
    recording: list[float] = []
    queue._run, queue._record_ahead = timed(queue._run, submitting), timed(queue._record_ahead, recording)
    for position in range(300):
        await model.predict(position, position, 0)  # a software GPU uses the processor too
    return {
        "gpu": model.device.adapter.name,
        "launches": launches,
        "host_ms": spread(submitting[50:]),
        "ahead_ms": spread(recording[50:]),
    }


def kernels(types: list[str]) -> dict:
    async def both() -> dict:
        return await _kernels() | await rates_of_types(types)

    return asyncio.run(both())


async def _kernels() -> dict:
    """Times each dispatch of a live step, with one layer of each stack at full width.

    A plan repeats the dispatch; the time of an empty plan is subtracted.
    """
    config = replace(
        VOXTRAL_4B, encoder=replace(VOXTRAL_4B.encoder, layers=1), decoder=replace(VOXTRAL_4B.decoder, layers=1)
    )
    model = await model_of(config)
    device, context = model.device, 1000
    model.encoder.write_step(4 * context, 4 * context)
    model.decoder.write_step(context, context, 0)

    async def timed(plan) -> float:
        since = time.perf_counter()
        await device.run(plan, (model.decoder.tokens, 0, 4))
        return time.perf_counter() - since

    empty = device.plan([])
    idle = statistics.median([await timed(empty) for _ in range(20)])
    rows, seen = [], set()
    for part, dispatches in (
        ("encoder", model.encoder.record(model.kernels, 1)),
        ("adapter", model.adapter.record(model.kernels, model.encoder.step, model.encoder.states, 1)),
        ("decoder", model.decoder.record(model.kernels, model.adapter.audio, 1, True)),
    ):
        for dispatch in dispatches:
            what = (dispatch.kernel, dispatch.constants, dispatch.params)
            if what in seen:
                continue
            seen.add(what)
            once = await timed(await model.kernels.plan([dispatch]))
            repeats = max(1, min(100, int(0.2 / max(once - idle, 1e-5))))
            plan = await model.kernels.plan([dispatch] * repeats)
            times = [(await timed(plan) - idle) / repeats for _ in range(7)]
            rows.append(
                {
                    "part": part,
                    "kernel": dispatch.kernel,
                    "params": dispatch.params,
                    "grid": dispatch.grid,
                    "us": spread([1e6 * time for time in times]),
                }
            )
    found = {
        "gpu": device.adapter.name,
        "context": context,
        "variants": vars(model.kernels.variants),
        "kernels": rows,
    }
    model.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benches = parser.add_subparsers(required=True, metavar="bench")
    table = benches.add_parser("full", description=full.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    table.set_defaults(bench=full.full)
    table.add_argument(
        "--model",
        default="tiny",
        metavar="M",
        help="a .gguf file, a folder that holds one, or a folder with raw shards, manifest.json and tekken.json; "
        "default: tiny, the embedded model",
    )
    table.add_argument(
        "--site", type=Path, metavar="DIR", help="a site that tools/build_site wrote; default: build one"
    )
    table.add_argument(
        "--long", action="store_true", help="also fill the decoder's window, for gpu_full_gb and drift_x"
    )
    table.add_argument(
        "--weaker", action="store_true", help="also measure with each of the next two options, for weaker_x"
    )
    table.add_argument("--default-limits", action="store_true", help="use no more than WebGPU's default limits")
    table.add_argument("--no-subgroups", action="store_true", help="in the browser, use no optional feature of the GPU")
    table.add_argument("--quick", action="store_true", help="fewer repetitions, for machines without a GPU")
    table.add_argument(
        "--variants",
        metavar="PINS",
        help="kernel variants to use instead of those that opening a model chooses, such as drafts=3,linear=plain",
    )
    start = benches.add_parser("opening")
    start.add_argument("--model", metavar="M", help="as --model of voxtab transcribe; default: the embedded model")
    start.set_defaults(bench=lambda arguments: opening(arguments.model))
    of_types = benches.add_parser("kernels")
    of_types.add_argument(
        "--types",
        nargs="+",
        choices=TYPE_CODES,
        default=[*TYPE_CODES],
        metavar="T",
        help="Q4_0 and these; default: all",
    )
    of_types.set_defaults(bench=lambda arguments: kernels(arguments.types))
    of_file = benches.add_parser("tab-file")
    of_file.add_argument("--model", required=True, metavar="M", help="as --model of tools/bench full")
    of_file.add_argument("--audio", required=True, metavar="FILE")
    of_file.set_defaults(bench=lambda arguments: tab_file(arguments.model, arguments.audio))
    foretold = benches.add_parser("prediction")
    foretold.add_argument("--model", required=True, metavar="M", help="as --model of tools/bench full")
    foretold.add_argument("--audio", required=True, metavar="FILE")
    foretold.add_argument("--native", action="store_true", help="natively instead of in Chromium")
    foretold.add_argument("--site", type=Path, metavar="DIR", help="as of tools/bench full")
    foretold.set_defaults(
        bench=lambda arguments: predictions(arguments.model, arguments.audio, arguments.native, arguments.site)
    )
    plain = {
        "step": step,
        "laptops": laptops,
        "tab-step": tab_step,
        "tab-opening": tab_opening,
        "tab-memory": tab_memory,
    }
    for name, bench in plain.items():
        benches.add_parser(name).set_defaults(bench=lambda arguments, bench=bench: bench())
    arguments = parser.parse_args()
    try:
        print(json.dumps(machine() | arguments.bench(arguments), indent=1))
    except UserError as error:
        sys.exit(f"tools/bench: {error}")


if __name__ == "__main__":
    main()
