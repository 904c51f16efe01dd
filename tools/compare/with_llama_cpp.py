#!/usr/bin/env python3
"""Measures llama.cpp on the shapes of the 4B model's decoder, and Voxtab's decoder natively. Prints JSON.

  step_ms    a pass of one token at context 1000
  pass_ms    passes of 1, 2, 4 and 8 tokens there, of which each gives its logits
  prompt     tokens per second of passes of 512 tokens (llama.cpp alone)

PyPI has no wheel of llama-cpp-python; cyllama's have the same library, for processors, CUDA (cyllama-cuda12) and
Vulkan (cyllama-vulkan). None of them knows Voxtral Realtime, so llama.cpp gets the same layers, widths and vocabulary
as a Llama model in Q4_0: without encoder, audio and the delay's conditioning. It copies the logits to the processor's
memory; Voxtab chooses the token on the GPU.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    import cyllama
    from cyllama.llama import llama_cpp
except ModuleNotFoundError as missing:
    sys.exit(f"The Python package {missing.name} is missing: pip install cyllama-cuda12, cyllama-vulkan or cyllama.")

from bench.engine import CONTEXT, decoder_steps, passes
from compare.layouts import write_llama_cpp
from synthetic import TINY, VOXTRAL_4B, Zeros, directory
from voxtab.bench import significant, spread
from voxtab.config import ModelConfig
from voxtab.model import Model
from voxtab.native.gpu.device import NativeDevice

ROWS = 1, 2, 4, 8
PROMPT = 512  # tokens
STEPS = 64  # in a run


class Llama:
    """llama.cpp's decoder, as thinly wrapped as can be."""

    def __init__(self, path: Path):
        llama_cpp.disable_logging()
        params = llama_cpp.LlamaModelParams()
        params.n_gpu_layers = 999
        self.model = llama_cpp.LlamaModel(path_model=str(path), params=params)
        params = llama_cpp.LlamaContextParams()
        params.n_ctx, params.n_batch, params.n_ubatch = 2048, PROMPT, PROMPT
        self.context = llama_cpp.LlamaContext(model=self.model, params=params)
        self.batch = llama_cpp.LlamaBatch(n_tokens=PROMPT, embd=0, n_seq_max=1)
        self.position = 0

    def decode(self, tokens: int, *, all_logits: bool) -> None:
        """A pass of so many tokens, and the wait for its logits: of all, or of the last token."""
        self.batch.clear()
        for i in range(tokens):
            position = self.position + i
            self.batch.add(1000 + 7 * position % 1000, position, [0], all_logits or i == tokens - 1)
        self.context.decode(self.batch)
        self.context.synchronize()
        self.position += tokens

    def go_back(self, position: int) -> None:
        self.context.memory_seq_rm(0, position, -1)
        self.position = position


def theirs(path: Path, runs: int) -> dict:
    llama = Llama(path)
    prompts = []
    for _ in range(1 + runs):  # the first one does not count
        llama.go_back(0)
        since = time.perf_counter()
        llama.decode(PROMPT, all_logits=False)
        prompts.append(time.perf_counter() - since)
    llama.decode(CONTEXT - PROMPT, all_logits=False)
    times: dict[int, list[float]] = {}
    for rows in ROWS:
        times[rows] = []
        for _ in range(1 + runs):
            llama.go_back(CONTEXT)
            since = time.perf_counter()
            for _ in range(STEPS):
                llama.decode(rows, all_logits=True)
            times[rows].append(1000 * (time.perf_counter() - since) / STEPS)
    return {
        "cyllama": cyllama.__version__,
        "devices": [device["description"] for device in llama_cpp.ggml_backend_dev_info()],
        "step_ms": spread(times[1][1:]),
        "pass_ms": {str(rows): spread(each[1:]) for rows, each in times.items()},
        "prompt_tokens_per_s": significant(PROMPT / statistics.median(prompts[1:])),
    }


async def ours(config: ModelConfig, runs: int) -> dict:
    config = replace(config, encoder=replace(config.encoder, layers=1))  # which is not measured
    device, tensors = await NativeDevice.open(), directory(config)
    model = await Model.load(device, tensors, config, Zeros(tensors), None, name="zeros")
    times = await passes(model, runs)
    found = {
        "gpu": device.adapter.name,
        "step_ms": spread([1000 * step for step in await decoder_steps(model, runs, STEPS)]),
        "pass_ms": {str(rows): spread([1000 * each for each in times[str(rows)]]) for rows in ROWS},
    }
    model.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="two narrow layers, to see that it runs")
    parser.add_argument("--runs", type=int, default=5, help="of 64 steps each (default: 5)")
    options = parser.parse_args()
    config = TINY if options.tiny else VOXTRAL_4B
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "decoder.gguf")
        write_llama_cpp(path, config)
        print(
            json.dumps(
                {"llama.cpp": theirs(path, options.runs), "voxtab": asyncio.run(ours(config, options.runs))}, indent=1
            )
        )


if __name__ == "__main__":
    main()
