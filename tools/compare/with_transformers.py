#!/usr/bin/env python3
"""Measures transformers' VoxtralRealtimeForConditionalGeneration at full size on whole clips. Prints JSON.

Two ways to run it, each in bfloat16 and float32:

  eager               model.generate(), as transformers' documentation shows it
  static_cuda_graph   its encoder over the whole clip, then its decoder with a StaticCache: one step with head and
                      argmax is recorded as a CUDA graph and replayed. Its fastest way without compiling the model.

Needs torch and transformers. The graph needs CUDA. Weights and clip are noise: the time does not depend on them, and no
token ends a clip early.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    import torch
    import transformers
except ModuleNotFoundError as missing:
    sys.exit(f"The Python package {missing.name} is missing: pip install -r tools/compare/requirements.txt.")
from transformers import StaticCache, StoppingCriteria, StoppingCriteriaList
from transformers.models.voxtral_realtime import (
    VoxtralRealtimeFeatureExtractor,
    VoxtralRealtimeForConditionalGeneration,
)

from prove.reference import transformers_config
from synthetic import TINY, VOXTRAL_4B
from voxtab.config import SAMPLE_RATE, SAMPLES_PER_TOKEN, ModelConfig

BEGAN = time.perf_counter()
SETTLED = 10  # first tokens of a run, which do not count


def random_model(config: ModelConfig, dtype: torch.dtype, device: str) -> VoxtralRealtimeForConditionalGeneration:
    """Makes the model on its device and in its type: at full size a copy or conversion would not fit."""
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = VoxtralRealtimeForConditionalGeneration(transformers_config(config)).eval()
    torch.set_default_dtype(torch.float32)
    for weight in model.parameters():  # large enough that tokens vary, so that two runs can be compared
        if weight.ndim > 1:
            weight.normal_(std=1.5 * weight[0].numel() ** -0.5)
    model.generation_config.eos_token_id = None
    return model


def clip(config: ModelConfig, seconds: float) -> torch.Tensor:
    """[samples] f32: noise between the model's left and right silence."""
    schedule = config.schedule()
    samples = int(seconds * SAMPLE_RATE)
    left, right = schedule.left_silence_tokens, schedule.right_silence_tokens
    noise = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.pad(
        noise, (left * SAMPLES_PER_TOKEN, -samples % SAMPLES_PER_TOKEN + right * SAMPLES_PER_TOKEN)
    )


def features(model, samples: torch.Tensor) -> torch.Tensor:
    """[1, 128, frames]"""
    mel = VoxtralRealtimeFeatureExtractor()(samples.numpy(), sampling_rate=SAMPLE_RATE, return_tensors="pt")
    return mel["input_features"].to(model.device, model.dtype)


def prompt(config: ModelConfig, model) -> torch.Tensor:
    """[1, prompt] token ids"""
    return torch.tensor([config.schedule().prompt], device=model.device)


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class Pace(StoppingCriteria):
    """Notes the time of each token, and ends a run that reaches the deadline."""

    def __init__(self, deadline: float):
        self.deadline, self.times = deadline, []

    def __call__(self, input_ids, scores, **others):
        self.times.append(time.perf_counter())  # generate() reads every token, so the GPU has finished it
        return torch.full((len(input_ids),), self.times[-1] > self.deadline, device=input_ids.device)


def summary(seconds: float, total: float | None, ms: list[float]) -> dict:
    """`ms`: milliseconds of each token. `total`: seconds for the whole clip, or None if it was not finished."""
    ms = sorted(ms[SETTLED:])
    return (
        {
            "total_s": total and round(total, 4),
            "rtf": total and round(total / seconds, 5),
            "ms_per_token": {
                "median": round(statistics.median(ms), 4),
                "p10": round(ms[len(ms) // 10], 4),
                "p90": round(ms[len(ms) * 9 // 10], 4),
            },
        }
        if ms
        else {"total_s": None, "why": "no time was left"}
    )


def eager(config: ModelConfig, model, seconds: float, deadline: float) -> tuple[dict, torch.Tensor]:
    """The figures, and the tokens."""
    samples, ids, pace = clip(config, seconds), prompt(config, model), Pace(deadline)
    since = now(model.device)
    mel = features(model, samples)
    tokens = model.generate(
        input_ids=ids,
        input_features=mel,
        num_delay_tokens=config.schedule().delay_tokens,
        do_sample=False,
        stopping_criteria=StoppingCriteriaList([pace]),
    )
    total = now(model.device) - since
    wanted = len(samples) // SAMPLES_PER_TOKEN
    figures = summary(
        seconds,
        total if tokens.shape[1] == wanted else None,
        [1000 * (after - before) for before, after in zip(pace.times, pace.times[1:])],
    )
    if tokens.shape[1] < wanted:
        figures["why"] = f"stopped by --seconds after {tokens.shape[1]} of {wanted} tokens"
    return figures, tokens.cpu()


class StaticDecoder:
    """The decoder with a static cache for clips of `tokens` tokens. With CUDA, one step is recorded as a graph."""

    def __init__(self, config: ModelConfig, model, tokens: int):
        self.model, self.language_model, self.ids = model, model.model.language_model, prompt(config, model)
        device, slots = model.device, -(-tokens // 64) * 64  # attention kernels are faster with round lengths
        self.cache = StaticCache(config=model.config.text_config, max_cache_len=slots)
        self.slots = torch.arange(slots, device=device)
        self.position = torch.zeros(1, dtype=torch.long, device=device)
        self.tokens = torch.zeros(1, tokens, dtype=torch.long, device=device)
        self.audio = torch.zeros(1, tokens, model.config.text_config.hidden_size, dtype=model.dtype, device=device)
        delay = torch.full((1,), float(config.schedule().delay_tokens), device=device, dtype=model.dtype)
        self.t_cond = model.model.time_embedding(delay)[None]
        self.replay = self.step
        if device.type == "cuda":
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):  # the first calls allocate and choose kernels, which must not be recorded
                self.start()
                for _ in range(3):
                    self.step()
            torch.cuda.current_stream(device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.step()
            self.replay = graph.replay

    def start(self):
        """Run the prompt's positions and write the token after them."""
        self.cache.reset()
        prompt = self.ids.shape[1]
        self.tokens[:, :prompt] = self.ids
        x = self.language_model.embed_tokens(self.ids) + self.audio[:, :prompt]
        outputs = self.language_model(inputs_embeds=x, past_key_values=self.cache, use_cache=True, t_cond=self.t_cond)
        self.position.fill_(prompt)
        self._keep_token(outputs.last_hidden_state[:, -1:])

    def step(self):
        """Run one position. The position and its token stay on the GPU."""
        token = self.tokens.index_select(1, self.position)
        x = self.language_model.embed_tokens(token) + self.audio.index_select(1, self.position)
        seen = (self.slots <= self.position)[None, None, None]
        outputs = self.language_model(
            inputs_embeds=x,
            attention_mask=seen,
            position_ids=self.position[None],
            past_key_values=self.cache,
            use_cache=True,
            t_cond=self.t_cond,
        )
        self.position.add_(1)
        self._keep_token(outputs.last_hidden_state)

    def _keep_token(self, hidden: torch.Tensor):
        self.tokens.index_copy_(1, self.position, self.model.lm_head(hidden).argmax(-1))


def static_cuda_graph(config: ModelConfig, model, seconds: float) -> tuple[dict, torch.Tensor]:
    """The figures and the tokens. The time to record the graph is not counted, as loading a model would include it."""
    samples = clip(config, seconds)
    count = len(samples) // SAMPLES_PER_TOKEN
    decoder = StaticDecoder(config, model, count)
    cuda = model.device.type == "cuda"
    marks = []

    def mark():
        if cuda:
            marks.append(torch.cuda.Event(enable_timing=True))
            marks[-1].record()
        else:
            marks.append(time.perf_counter())

    for steps in (1, count - 1 - decoder.ids.shape[1]):  # the first round only allocates and chooses kernels
        marks.clear()
        since = now(model.device)
        encoded = model.get_audio_features(input_features=features(model, samples), return_dict=True).pooler_output
        decoder.audio.copy_(encoded)
        decoder.start()
        mark()
        for _ in range(steps):
            decoder.replay()
            mark()
        tokens = decoder.tokens.cpu()
        total = now(model.device) - since
    ms = [before.elapsed_time(after) if cuda else 1000 * (after - before) for before, after in zip(marks, marks[1:])]
    return summary(seconds, total, ms) | {"graph": cuda}, tokens


@torch.inference_mode()
def compare(config: ModelConfig, clips: list[float], deadline: float, device: str) -> dict:
    models = {
        str(dtype).removeprefix("torch."): random_model(config, dtype, device)
        for dtype in (torch.bfloat16, torch.float32)
    }
    results = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "parameters": models["float32"].num_parameters(),
    }
    static = {}
    for name, model in models.items():
        for seconds in clips:
            try:
                results[f"{name}_static_cuda_graph_{seconds:g}s"], static[name, seconds] = static_cuda_graph(
                    config, model, seconds
                )
            except Exception as error:  # recording may fail; measure the rest anyway
                results[f"{name}_static_cuda_graph_{seconds:g}s"] = {
                    "total_s": None,
                    "why": f"{type(error).__name__}: {error}",
                }
    for name, model in models.items():
        eager(config, model, 1, deadline)  # allocates and chooses kernels
        for seconds in sorted(clips, reverse=True):
            figures, tokens = eager(config, model, seconds, deadline)
            if (name, seconds) in static:  # equal until rounding differs; in float32 to the end
                same = (tokens == static[name, seconds][:, : tokens.shape[1]])[0].tolist()
                figures["tokens_as_static"] = f"{(same + [False]).index(False)} of {len(same)}"
            results[f"{name}_eager_{seconds:g}s"] = figures
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="only two narrow layers of each stack, to see that it runs")
    parser.add_argument(
        "--clips", type=float, nargs="+", default=[30, 60], metavar="SECONDS", help="lengths of audio (default: 30 60)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=85,
        help="time limit after the imports; eager runs stop there with the tokens they have (default: 85)",
    )
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    transformers.logging.set_verbosity_error()
    print(
        json.dumps(
            compare(TINY if options.tiny else VOXTRAL_4B, options.clips, BEGAN + options.seconds, device), indent=1
        )
    )


if __name__ == "__main__":
    main()
