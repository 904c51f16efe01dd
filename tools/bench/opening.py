"""Seconds until a model is open natively, each time in a process of its own.

`first`: with an empty cache folder, so that the driver compiles every kernel and all variants are tried. `again`: with
what that left there. The seconds are those since the process began:

  python   the interpreter runs
  read     the model's directory and tokenizer are read and checked
  loaded   the weights are on the GPU, the kernels compiled and the plans recorded
  silence  the silence before the audio is decoded: a stream can begin
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

_CODE = """
import json, sys, time
since = float(sys.argv[1])
at = {"python": time.time() - since}
import asyncio
from voxtab.native import models

async def go():
    found = models.read_model(sys.argv[2] if sys.argv[2:] else None)
    at["read"] = time.time() - since
    model = await models.load_model(found)
    at["loaded"] = time.time() - since
    await model.device.done()
    at["silence"] = time.time() - since
    print(json.dumps({"gpu": model.device.adapter.name, "at": at}))
    model.close()

asyncio.run(go())
"""
AGAIN = 5


def opening(model: str | None) -> dict:
    with tempfile.TemporaryDirectory() as caches:
        # Where drivers and Voxtab keep what they compiled and found out.
        environment = os.environ | {"XDG_CACHE_HOME": caches, "HOME": caches, "MESA_SHADER_CACHE_DIR": caches}
        first, *again = [_open(model, environment) for _ in range(1 + AGAIN)]
    return {
        "gpu": first["gpu"],
        "first": _rounded(first["at"]),
        "again": _rounded({name: statistics.median(run["at"][name] for run in again) for name in first["at"]}),
        "again_s": [round(run["at"]["silence"], 3) for run in again],
    }


def _open(model: str | None, environment: dict) -> dict:
    command = [sys.executable, "-c", _CODE, str(time.time()), *([model] if model else [])]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in seconds.items()}
