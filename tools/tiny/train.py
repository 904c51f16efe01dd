#!/usr/bin/env python3
"""Step 5: train on DATA/*.i16 (clips of synthesize.py and an4.py; files may still be growing).

The schedule is in minutes of training, kept in the state file, so that a run may be cut into
calls: CTC on the encoder alone first, then the whole model, at last with weights rounded to
Q4_0 in the forward pass (with --start-from: no CTC alone). Writes OUT-{0,1,2}.pt (parameters) and STATE (all that resuming needs)."""
import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from evaluate import read_clips, score, transcribe, word_error_rate
from model import SAMPLES, Config, Mel, Model, load, save
from streams import LEFT, Pool, disturb, mix, plan, spec_augment
from vocabulary import Vocabulary

WARM_UP = 0.08                                          # share of the schedule for CTC alone, in a new model


def learning_rate(progress, peak):
    if progress < 0.03:
        return peak * progress / 0.03
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1, (progress - 0.03) / 0.97))))


class Losses(nn.Module):
    """the model with a head for the characters, which only training has"""

    def __init__(self, config):
        super().__init__()
        self.model = Model(config)
        self.characters = nn.Linear(config.encoder_width, 29)

    def forward(self, mel, inputs, targets, with_decoder):
        states = self.model.encode(mel)
        spelled = self.characters(states).float().log_softmax(-1).transpose(0, 1)
        if not with_decoder:
            return spelled, spelled.new_zeros(())
        logits = self.model(self.model.adapt(states), inputs)
        first = LEFT + self.model.config.delay_tokens               # the position that predicts the first token
        return spelled, F.cross_entropy(logits[:, first:].float().flatten(0, 1), targets[:, first:].flatten())


@torch.compiler.set_stance("force_eager")
def check(model, vocabulary, prefixes):
    model.eval()
    for prefix in prefixes:
        clips = read_clips(prefix)
        groups, ends = score(clips, transcribe(model, vocabulary, [s for s, _ in clips], batch=256))
        print("  ", Path(prefix).name, *[f"{g} {word_error_rate(counts):.1f}" for g, counts in groups.items()],
              f"| ends within 160 ms {100 * (np.abs(ends) <= 0.1601).mean():.0f} %" if len(ends) else "", flush=True)
    model.train()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("data")
    a.add_argument("vocabulary")
    a.add_argument("out")
    a.add_argument("--state", default="state.pt")
    a.add_argument("--valid", nargs="*", default=[], help="prefixes of clips to score now and then")
    a.add_argument("--minutes", type=float, default=20, help="the whole schedule")
    a.add_argument("--stop-after", type=float, default=1e9, help="minutes this call may train")
    a.add_argument("--check-every", type=float, default=3, help="minutes")
    a.add_argument("--batch", type=int, default=128)
    a.add_argument("--peak", type=float, default=1.5e-3, help="learning rate")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--start-from", help="prefix of parameters to go on from, with a new schedule")
    a.add_argument("--quantise-from", type=float, default=0.8, help="share of the schedule after which weights are rounded")
    a.add_argument("--compile", action="store_true")
    a.add_argument("--device", default="cuda")
    a = a.parse_args()
    torch.manual_seed(a.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    vocabulary = Vocabulary(a.vocabulary)
    config = Config(vocabulary=vocabulary.size)
    losses = Losses(config).to(a.device)
    if a.start_from:
        losses.model.load_state_dict(load(a.start_from)[0].state_dict())
    warm_up = 0 if a.start_from else WARM_UP
    model, mel = losses.model, Mel().to(a.device)
    plain = [p for p in losses.parameters() if p.ndim < 2]
    matrices = [p for p in losses.parameters() if p.ndim >= 2]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0}],
                                  lr=a.peak, betas=(0.9, 0.98), fused=a.device == "cuda")
    step, spent = 0, 0.0
    if Path(a.state).exists():
        state = torch.load(a.state, map_location=a.device, weights_only=True)
        losses.load_state_dict(state["losses"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    r = np.random.default_rng([a.seed, step])
    pool = Pool(a.data, vocabulary, a.device, hours=40 if a.device == "cuda" else 5)
    print(sum(p.numel() for p in model.parameters()), "parameters; from step", step, "; hours", pool.hours(), flush=True)
    if a.compile:
        for layer in (*model.encoder, *model.decoder):
            layer.compile()
    losses.train()
    begun = last_time = last_check = time.time()
    before, sums = spent, torch.zeros(2, device=a.device)
    while True:
        spent = before + (time.time() - begun) / 60
        progress = spent / a.minutes
        if progress >= 1 or spent - before > a.stop_after:
            break
        model.quantise(progress >= a.quantise_from)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(progress, a.peak)
        schedule, tokens, characters, sizes = plan(pool, a.batch, config.delay_tokens, r)
        with torch.no_grad():
            length = tokens.shape[1] - 1
            samples = mix(pool, schedule)
            frames = mel(F.pad(samples, (LEFT * SAMPLES, (config.delay_tokens + 11) * SAMPLES)))
            frames = spec_augment(frames)
        send = lambda x: torch.from_numpy(x).to(a.device, non_blocking=True)
        inputs, targets = send(disturb(tokens, LEFT + config.delay_tokens + 1, r)[:, :length]), send(tokens[:, 1:])
        with torch.autocast(a.device, torch.bfloat16):
            spelled, written = losses(frames, inputs, targets, progress >= warm_up)
        lengths = torch.full((a.batch,), spelled.shape[0])            # on the CPU, or each step would wait for the GPU
        ctc = F.ctc_loss(spelled, send(characters), lengths, torch.from_numpy(sizes), zero_infinity=True)
        loss = written + (0.3 if progress >= warm_up else 1.0) * ctc
        loss.backward()
        nn.utils.clip_grad_norm_(losses.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        sums += torch.stack([written.detach(), ctc.detach()])
        step += 1
        if step % 100 == 0:
            written, ctc = (sums / 100).tolist()
            sums.zero_()
            print(f"step {step} minute {spent:.2f} tokens {written:.4f} ctc {ctc:.4f} at {100 / (time.time() - last_time):.1f} steps/s", flush=True)
            last_time = time.time()
            pool.refresh()
        if time.time() - last_check > a.check_every * 60 and progress >= warm_up:
            check(model, vocabulary, a.valid)
            print("  ", pool.hours(), flush=True)
            last_check = last_time = time.time()
    torch.save({"losses": losses.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "spent": spent}, a.state)
    save(model, a.out, step)
    print(f"stopped at step {step}, minute {spent:.2f} of {a.minutes}; hours {pool.hours()}")
    check(model, vocabulary, a.valid)


if __name__ == "__main__":
    main()
