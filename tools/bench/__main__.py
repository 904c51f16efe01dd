#!/usr/bin/env python3
"""Measure, and print JSON: medians with their spread, never from memory.

  tools/bench full        how fast a model runs in Chromium and natively, with the built page: --help says more
  tools/bench step        host time to replay a decoder step's plan of the 4B model's length, natively
  tools/bench kernels     each kernel's time on the 4B model's shapes, Q4_0
  tools/bench tab-step    host time of one live step in a headless Chromium's Worker, with the 4B model's layer counts
  tools/bench tab-memory  what loading a model of 542 MB costs Chromium beyond the GPU buffers, and Pyodide's heap

Machines are shared and noisy: compare ratios of one run. Run it with the project's environment (.venv/bin/python).
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
from bench.tab import tab_memory, tab_step
from synthetic import VOXTRAL_4B, Zeros, directory
from voxtab.bench import spread
from voxtab.errors import UserError
from voxtab.model import Model
from voxtab.native.gpu import NativeDevice


async def model_of(config) -> Model:
    device, tensors = await NativeDevice.open(), directory(config)
    return await Model.load(device, tensors, config, Zeros(tensors), None, name="zeros")


def machine() -> dict:
    return {"date": datetime.date.today().isoformat(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}


def adapter(device) -> str:
    return device.info["description"] or device.info["device"]


def step() -> dict:
    return asyncio.run(_step())


async def _step() -> dict:
    """The plan of one decoder step with all 26 layers, of a narrow model: the host does the same work as for the wide one."""
    narrow = replace(VOXTRAL_4B.decoder, width=64, heads=2, kv_heads=1, head_dim=32, hidden=64)
    model = await model_of(replace(VOXTRAL_4B, encoder=replace(narrow, layers=1), decoder=narrow, vocabulary=2048))
    launches = len(model.decoder.record(model.adapter.audio, 1, True))
    nothing = model.device.plan([])
    times = []
    for position in range(300):
        since = time.perf_counter()
        model.decode(position, position, 0, head=True)
        times.append(time.perf_counter() - since)
        await model.device.run(nothing, (model.decoder.tokens, 0, 4))  # here the GPU is the same processor: let it end
    return {
        "adapter": adapter(model.device),
        "launches": launches,
        "host_ms": spread([1000 * time for time in times[50:]]),
    }


def kernels() -> dict:
    return asyncio.run(_kernels())


async def _kernels() -> dict:
    """One layer of each stack at full width; each dispatch of a live step, many times in a plan, less an empty plan's time."""
    config = replace(
        VOXTRAL_4B, encoder=replace(VOXTRAL_4B.encoder, layers=1), decoder=replace(VOXTRAL_4B.decoder, layers=1)
    )
    model = await model_of(config)
    device, context = model.device, 1000
    model._write_step(model.encoder, 4 * context, 4 * context, 0)
    model._write_step(model.decoder, context, context, 0)

    async def timed(plan) -> float:
        since = time.perf_counter()
        await device.run(plan, (model.decoder.tokens, 0, 4))
        return time.perf_counter() - since

    empty = device.plan([])
    idle = statistics.median([await timed(empty) for _ in range(20)])
    rows, seen = [], set()
    for part, dispatches in (
        ("encoder", model.encoder.record(1)),
        ("adapter", model.adapter.record(model.encoder.step, model.encoder.states, 1)),
        ("decoder", model.decoder.record(model.adapter.audio, 1, True)),
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
    return {"adapter": adapter(device), "context": context, "variants": vars(model.kernels.variants), "kernels": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benches = parser.add_subparsers(required=True, metavar="bench")
    table = benches.add_parser("full", description=full.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    table.set_defaults(bench=full.full)
    table.add_argument(
        "--model",
        default="tiny",
        metavar="M",
        help="a folder with raw shards, manifest.json and tekken.json, or with a "
        ".gguf file, or such a file; default: tiny, the embedded model",
    )
    table.add_argument(
        "--site", type=Path, metavar="DIR", help="a site that tools/build_site wrote; default: one is built"
    )
    table.add_argument("--long", action="store_true", help="fill the decoder's window too: gpu_full_gb and drift_x")
    table.add_argument("--quick", action="store_true", help="few repetitions, for machines without a GPU")
    table.add_argument("--default-limits", action="store_true", help="no more than WebGPU's guaranteed limits")
    table.add_argument("--no-subgroups", action="store_true", help="in the browser, no optional feature of the adapter")
    table.add_argument(
        "--variants",
        metavar="PINS",
        help="of the kernels, instead of those that opening a model chooses: drafts=3,row=packed",
    )
    for name, bench in {"step": step, "kernels": kernels, "tab-step": tab_step, "tab-memory": tab_memory}.items():
        benches.add_parser(name).set_defaults(bench=lambda arguments, bench=bench: bench())
    arguments = parser.parse_args()
    try:
        print(json.dumps(machine() | arguments.bench(arguments), indent=1))
    except UserError as error:
        sys.exit(f"tools/bench: {error}")


if __name__ == "__main__":
    main()
