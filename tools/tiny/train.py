#!/usr/bin/env python3
"""Step 5: train on DATA/*.i16 (clips of synthesize.py, kokoro_torch.py, an4.py and real.py; they may still grow).

The schedule is in minutes of training, kept in the state file, so that a run may be cut into
calls: CTC (and the teacher) on the encoder alone first, then the whole model, at last with weights rounded to
Q4_0 in the forward pass. Writes OUT-{0,1,2}.pt (parameters) and STATE (all that resuming needs)."""

import argparse
import math
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import whisper_encoder
from english import normalised
from evaluate import edits, pad, read_clips, score, transcribe, word_error_rate
from model import SAMPLES, Config, Mel, Model, config_of_shape, load, save
from muon import Muon
from streams import CHARACTERS, ENGLISH_SHARES, LEFT, LIVE, TINY_SHARES, Pool, disturb, mix, plan, spec_augment
from torch import nn
from vocabulary import Vocabulary

LOOK_AHEAD = 10  # states by which the student may be later than its teacher
IGNORED = -100


def learning_rate(progress, peak):
    if progress < 0.03:
        return peak * progress / 0.03
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1, (progress - 0.03) / 0.97))))


class Losses(nn.Module):
    """the model with two heads that only training has: characters, and the teacher's states"""

    def __init__(self, config):
        super().__init__()
        self.model = Model(config)
        self.characters = nn.Linear(config.encoder_width, 29)
        self.teacher = nn.Linear(config.encoder_width, whisper_encoder.WIDTH)

    def forward(self, mel, inputs, targets, delays, with_decoder):
        states = self.model.encode(mel)
        spelled = self.characters(states).float().log_softmax(-1).transpose(0, 1)
        taught = self.teacher(states[:, 4 * LEFT + LOOK_AHEAD : 4 * (LEFT + LIVE)])
        if not with_decoder:
            return spelled, taught, spelled.new_zeros(())
        logits = self.model(self.model.adapt(states), inputs, delays)[:, LEFT:]
        return (
            spelled,
            taught,
            F.cross_entropy(logits.float().flatten(0, 1), targets[:, LEFT:].flatten(), ignore_index=IGNORED),
        )


class Teacher:
    """Whisper's states of the clean clips, each channel with zero mean and unit variance over the first batch"""

    def __init__(self, path, device):
        self.encoder, self.mean = whisper_encoder.load(path, device), None

    @torch.no_grad()
    def states(self, clean):
        with torch.autocast(clean.device.type, torch.bfloat16):
            x = self.encoder(clean)[:, : 4 * LIVE - LOOK_AHEAD].float()
        if self.mean is None:
            self.mean, self.deviation = x.mean((0, 1)), x.std((0, 1))
        return (x - self.mean) / self.deviation


def optimisers(losses, peak, muon, device):
    """AdamW for all, or Muon for the matrices inside the two stacks"""
    stacks = (
        [p for part in (losses.model.encoder, losses.model.decoder) for p in part.parameters() if p.ndim == 2]
        if muon
        else []
    )
    inside = {id(p) for p in stacks}
    others = [p for p in losses.parameters() if id(p) not in inside]
    groups = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": 0.05},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0},
    ]
    made = [torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98), fused=device == "cuda")]
    if muon:
        made.append(Muon(stacks, lr=peak, weight_decay=0.05))
    return made


def planner(queue, clips, shares, batch, delays, seed):
    """a process of its own: plans for the next steps"""
    torch.set_num_threads(1)
    r = np.random.default_rng(seed)
    while True:
        schedule, tokens, chosen, characters, sizes = plan(clips, shares, batch, delays, r)
        inputs, targets = disturb(tokens, r)[:, :-1], tokens[:, 1:].copy()
        targets[np.arange(targets.shape[1]) < LEFT + chosen[:, None]] = IGNORED  # the prompt
        queue.put((schedule, inputs, targets, chosen, characters, sizes))


class Planners:
    """several planners over the clips that the pool has now"""

    def __init__(self, pool, count, batch, delays, seed):
        context = get_context("fork")
        self.queue = context.Queue(2 * count)
        self.jobs = [
            context.Process(
                target=planner, args=(self.queue, pool.clips, pool.shares, batch, delays, [seed, i]), daemon=True
            )
            for i in range(count)
        ]
        for job in self.jobs:
            job.start()

    def stop(self):
        for job in self.jobs:
            job.kill()
        for job in self.jobs:
            job.join()


@torch.no_grad()
def spelling_errors(losses, clips, batch=64):
    """percent of words wrong by the character head's best path"""
    device, letters = next(losses.parameters()).device, {i: c for c, i in CHARACTERS.items()}
    mel, counts = Mel().to(device), []
    for some in (clips[i : i + batch] for i in range(0, len(clips), batch)):
        streams = [pad(s, LEFT, 6) for s, _ in some]
        longest = max(map(len, streams))
        audio = torch.from_numpy(np.stack([np.pad(s, (0, longest - len(s))) for s in streams]).astype(np.float32)).to(
            device
        )
        best = losses.characters(losses.model.encode(mel(audio))).argmax(-1).cpu().numpy()
        for row, (_, clip) in zip(best, some):
            text = "".join(letters[i] for i, before in zip(row, np.append(0, row[:-1])) if i and i != before)
            said = normalised(" ".join(w for w, _ in clip["words"]))
            counts.append((edits(said, text.split())[0], len(said)))
    return word_error_rate(counts)


@torch.compiler.set_stance("force_eager")
def check(losses, vocabulary, valid, with_decoder):
    losses.eval()
    model = losses.model
    for name, clips in valid.items():
        line = f"   {name} spelled {spelling_errors(losses, clips):.1f}"
        if with_decoder:
            groups, ends = score(
                clips, transcribe(model, vocabulary, [s for s, _ in clips], model.config.delay_tokens, batch=256)
            )
            line += " written " + ", ".join(f"{g} {word_error_rate(counts):.1f}" for g, counts in groups.items())
            line += f" | ends within 160 ms {100 * (np.abs(ends) <= 0.1601).mean():.0f} %" if len(ends) else ""
        print(line, flush=True)
    losses.train()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("data")
    a.add_argument("vocabulary")
    a.add_argument("out")
    a.add_argument("--state", default="state.pt")
    a.add_argument("--valid", nargs="*", default=[], help="prefixes of clips to score now and then")
    a.add_argument("--valid-clips", type=int, default=10**9, help="so many of each at most")
    a.add_argument("--minutes", type=float, default=20, help="the whole schedule")
    a.add_argument("--stop-after", type=float, default=1e9, help="minutes this call may train")
    a.add_argument("--check-every", type=float, default=3, help="minutes")
    a.add_argument("--batch", type=int, default=128)
    a.add_argument("--peak", type=float, default=1.5e-3, help="learning rate")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument(
        "--shape", help="ENCODERxLAYERS,DECODERxLAYERS of a new model, as in time_shapes.py; default: the tiny model's"
    )
    a.add_argument(
        "--english", action="store_true", help="streams in the shares for plain English, and a pool for 160 hours"
    )
    a.add_argument("--delays", type=int, nargs="+", default=[6], help="in tokens; each stream has one of them")
    a.add_argument("--teacher", help="whisper_encoder.py's file: the encoder also learns its states")
    a.add_argument("--teacher-until", type=float, default=0.7, help="share of the schedule")
    a.add_argument("--encoder-only", action="store_true", help="no decoder: to compare ways of training the encoder")
    a.add_argument("--muon", action="store_true", help="Muon for the matrices of the stacks")
    a.add_argument("--planners", type=int, default=4, help="processes that plan streams")
    a.add_argument(
        "--warm-up",
        type=float,
        default=0.08,
        help="share of the schedule for the encoder alone; 0 where it is trained already",
    )
    a.add_argument("--start-from", help="prefix of parameters to go on from, with a new schedule")
    a.add_argument(
        "--quantise-from", type=float, default=0.8, help="share of the schedule after which weights are rounded"
    )
    a.add_argument("--f16", action="store_true", help="parameters in f16: half as large to carry")
    a.add_argument("--compile", action="store_true")
    a.add_argument("--device", default="cuda")
    a = a.parse_args()
    torch.manual_seed(a.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    vocabulary = Vocabulary(a.vocabulary)
    valid = {Path(prefix).name: read_clips(prefix)[: a.valid_clips] for prefix in a.valid}
    losses = Losses(
        config_of_shape(a.shape, vocabulary=vocabulary.size) if a.shape else Config(vocabulary=vocabulary.size)
    ).to(a.device)
    if a.start_from:
        losses.model.load_state_dict(load(a.start_from)[0].state_dict())
    warm_up = 2 if a.encoder_only else a.warm_up
    model, mel = losses.model, Mel().to(a.device)
    teacher = Teacher(a.teacher, a.device) if a.teacher else None
    made = optimisers(losses, a.peak, a.muon, a.device)
    step, spent = 0, 0.0
    if Path(a.state).exists():
        state = torch.load(a.state, map_location=a.device, weights_only=True)
        losses.load_state_dict(state["losses"])
        for optimiser, kept in zip(made, state["optimisers"]):
            optimiser.load_state_dict(kept)
        step, spent = state["step"], state["spent"]
    pool = Pool(
        a.data,
        vocabulary,
        a.device,
        ENGLISH_SHARES if a.english else TINY_SHARES,
        (160 if a.english else 40) if a.device == "cuda" else 5,
    )
    planners = Planners(pool, a.planners, a.batch, a.delays, a.seed + step)
    print(
        sum(p.numel() for p in model.parameters()), "parameters; from step", step, "; hours", pool.hours(), flush=True
    )
    if a.compile:
        for layer in (*model.encoder, *model.decoder, *(teacher.encoder.layers if teacher else ())):
            layer.compile()
    losses.train()
    begun = last_time = last_check = time.time()
    before, sums = spent, torch.zeros(3, device=a.device)
    while True:
        spent = before + (time.time() - begun) / 60
        progress = spent / a.minutes
        if progress >= 1 or spent - before > a.stop_after:
            break
        with_decoder, taught_now = progress >= warm_up, teacher and progress < a.teacher_until
        model.quantise(progress >= a.quantise_from)
        for optimiser in made:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(progress, a.peak)
        schedule, inputs, targets, delays, characters, sizes = planners.queue.get()

        def send(x):
            return torch.from_numpy(x).to(a.device, non_blocking=True)

        with torch.no_grad():
            samples, clean = mix(pool, schedule)
            frames = mel(F.pad(samples, (LEFT * SAMPLES, (inputs.shape[1] - LEFT - LIVE) * SAMPLES)))
            frames = spec_augment(frames)
        with torch.autocast(a.device, torch.bfloat16):
            spelled, taught, written = losses(frames, send(inputs), send(targets), send(delays), with_decoder)
        lengths = torch.full((a.batch,), spelled.shape[0])  # on the CPU, or each step would wait for the GPU
        ctc = F.ctc_loss(spelled, send(characters), lengths, torch.from_numpy(sizes), zero_infinity=True)
        distance = F.mse_loss(taught.float(), teacher.states(clean)) if taught_now else taught.sum() * 0
        loss = written + (0.3 if with_decoder else 1.0) * ctc + distance
        loss.backward()
        nn.utils.clip_grad_norm_(losses.parameters(), 1.0)
        for optimiser in made:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        sums += torch.stack([written.detach(), ctc.detach(), distance.detach()])
        step += 1
        if step % 100 == 0:
            means = (sums / 100).tolist()
            sums.zero_()
            print(
                f"step {step} minute {spent:.2f} tokens {means[0]:.4f} ctc {means[1]:.4f} teacher {means[2]:.4f} "
                f"at {100 / (time.time() - last_time):.1f} steps/s",
                flush=True,
            )
            last_time = time.time()
            known = pool.filled
            pool.refresh()
            if pool.filled > known:
                planners.stop()
                planners = Planners(pool, a.planners, a.batch, a.delays, a.seed + step)
        if time.time() - last_check > a.check_every * 60:
            check(losses, vocabulary, valid, with_decoder)
            print("  ", pool.hours(), flush=True)
            last_check = last_time = time.time()
    planners.stop()
    torch.save(
        {"losses": losses.state_dict(), "optimisers": [o.state_dict() for o in made], "step": step, "spent": spent},
        a.state,
    )
    save(model, a.out, step, torch.float16 if a.f16 else torch.float32)
    print(f"stopped at step {step}, minute {spent:.2f} of {a.minutes}; hours {pool.hours()}")
    check(losses, vocabulary, valid, not a.encoder_only)


if __name__ == "__main__":
    main()
