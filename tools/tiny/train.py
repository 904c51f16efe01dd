#!/usr/bin/env python3
"""Step 5: train on DATA/*.i16 (clips of synthesize.py, kokoro_torch.py, an4.py and real.py; they may still grow).

The schedule is in minutes of training, kept in the state file, so that a run may be cut into calls: the encoder alone
first, then the whole model, at last with weights rounded to Q4_0 in the forward and backward pass. What the encoder
learns beside the words: the sound that is spoken (where clips have labels), at its end and half-way up; the characters,
by CTC; and the teacher's states, if there is one. With --twice every stream is heard in two rooms, by two throats and
behind two sets of masks; what is heard has to agree (Yao et al. 2024, CR-CTC), and what is written, which dropout makes
differ too (Liang et al. 2021, R-Drop). Several processes with torchrun's
variables (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) share the work, one GPU each. Writes OUT-0.pt, OUT-1.pt, ...
(parameters) and STATE (all that resuming needs)."""

import argparse
import math
import os
import queue
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
import whisper_encoder
from english import normalised
from evaluate import edits, pad, read_clips, score, transcribe, word_error_rate
from model import (
    SAMPLES,
    Config,
    Mel,
    Model,
    RMSNorm,
    config_of_shape,
    read_parameters,
    restore_weights,
    round_weights,
    save,
)
from muon import Muon
from streams import (
    AFTER,
    CHARACTERS,
    ENGLISH_SHARES,
    LABELS,
    LEFT,
    LIVE,
    SILENCE,
    TINY_SHARES,
    UNLABELLED,
    Pool,
    Throats,
    disturb,
    mix,
    plan,
    read_index,
    spec_augment,
)
from torch import nn
from vocabulary import Vocabulary

LOOK_AHEAD = 10  # states by which the student may be later than its teacher, or name a sound later than it is spoken
IGNORED = -100
WEIGHT_DECAY = 0.1
TAUGHT_LAYERS = 4  # of Whisper's six: by then a sound is easiest to tell from the states of people not heard before
TAUGHT = 0.5  # weight of the teacher's states
WRITTEN_APART = 1.5  # weight of two views that write otherwise, beside that of what is heard
RANK, RANKS = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))


def learning_rate(progress, peak):
    if progress < 0.03:
        return peak * progress / 0.03
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1, (progress - 0.03) / 0.97))))


def disagreement(logs):
    """how far two views of each stream are apart, in nats a state; log-probabilities [2 streams, states, kinds]"""
    a, b = logs.chunk(2)
    return (
        sum(F.kl_div(x, y.detach(), reduction="none", log_target=True).sum(-1).mean() for x, y in ((a, b), (b, a))) / 2
    )


def average_gradients(parameters):
    """over all processes"""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    parts = (flat / RANKS).split([g.numel() for g in gradients])
    torch._foreach_copy_(gradients, [x.view_as(g) for x, g in zip(parts, gradients)])


class Losses(nn.Module):
    """the model with the heads that only training has: characters, sounds, and the teacher's states"""

    def __init__(self, config):
        super().__init__()
        width = config.encoder_width
        self.model = Model(config)
        self.characters = nn.Linear(2 * width, 29)
        self.sounds, self.early_sounds = (nn.Sequential(RMSNorm(width), nn.Linear(width, LABELS)) for _ in range(2))
        self.teacher = nn.Linear(width, whisper_encoder.WIDTH)

    def spell(self, states):
        """log-probabilities of characters, one for two states: [batch, states / 2, 29]"""
        return self.characters(states.unflatten(1, (-1, 2)).flatten(2)).float().log_softmax(-1)

    def forward(self, mel, inputs, targets, labels, delays, with_decoder, twice=False):
        """-> characters for CTC, states for the teacher, the losses of sounds, of tokens and of two views that do not
        agree"""
        states, half_way = self.model.encode(mel, middle=self.model.config.encoder_layers // 2)
        late = slice(4 * LEFT + LOOK_AHEAD, 4 * (LEFT + LIVE))
        labels = labels[:, : 4 * LIVE - LOOK_AHEAD].flatten()
        heads = ((self.sounds, states), (self.early_sounds, half_way))
        heard = [head(x[:, late]).float().log_softmax(-1) for head, x in heads]
        sounds = sum(F.nll_loss(x.flatten(0, 1), labels, ignore_index=UNLABELLED) for x in heard)
        spelled = self.spell(states)
        apart = 0.45 * disagreement(spelled) + 0.15 * sum(map(disagreement, heard)) if twice else states.new_zeros(())
        tokens = states.new_zeros(())
        if with_decoder:
            logits = self.model(self.model.adapt(states), inputs, delays)[:, LEFT:]
            written = logits.float().log_softmax(-1)
            tokens = F.nll_loss(written.flatten(0, 1), targets[:, LEFT:].flatten(), ignore_index=IGNORED)
            apart = apart + WRITTEN_APART * disagreement(written) if twice else apart
        return spelled.transpose(0, 1), self.teacher(states[:, late]), sounds, tokens, apart


def save_losses(losses, prefix, step, kind):
    """the model's files, and PREFIX-heads.pt"""
    save(losses.model, prefix, step, kind)
    heads = {k: v.to("cpu", kind) for k, v in losses.state_dict().items() if not k.startswith("model.")}
    torch.save(heads, f"{prefix}-heads.pt")


def read_heads(losses, prefix):
    """what `save_losses` wrote beside the model, as far as it fits"""
    path = Path(f"{prefix}-heads.pt")
    if path.exists():
        own = losses.state_dict()
        heads = torch.load(path, map_location="cpu", weights_only=True)
        losses.load_state_dict(own | {k: v for k, v in heads.items() if own[k].shape == v.shape})


def read_losses(prefix, device):
    """a model with its heads, not for training"""
    config, _, state = read_parameters(prefix)
    losses = Losses(config)
    losses.model.load_state_dict(state)
    read_heads(losses, prefix)
    return losses.eval().to(device)


class Teacher:
    """Whisper's states of the clean clips where somebody speaks, each channel with zero mean and unit variance over the
    last hundred steps: in silence they say little but where in the 30 s they stand"""

    def __init__(self, path, device):
        self.encoder, self.mean = whisper_encoder.load(path, device), None
        self.encoder.layers = self.encoder.layers[:TAUGHT_LAYERS]

    @torch.no_grad()
    def states(self, clean):
        with torch.autocast(clean.device.type, torch.bfloat16):
            return self.encoder(clean)[:, : 4 * LIVE - LOOK_AHEAD].float()

    def distance(self, taught, clean, labels, views):
        """mean squared error a channel of the student's states; the views of a stream have one `clean`, so the teacher
        hears that once"""
        x = self.states(clean[: len(clean) // views]).repeat(views, 1, 1)
        speaks = labels[:, : x.shape[1]] != SILENCE
        count = speaks.sum().clamp(min=1)
        mean = (x * speaks[..., None]).sum((0, 1)) / count
        variance = ((x - mean).square() * speaks[..., None]).sum((0, 1)) / count
        if self.mean is None:
            self.mean, self.deviation = mean, variance.sqrt()
        self.mean, self.deviation = self.mean.lerp(mean, 0.01), self.deviation.lerp(variance.sqrt(), 0.01)
        error = (taught.float() - (x - self.mean) / self.deviation.clamp(min=1e-3)).square().mean(-1)
        return (error * speaks).sum() / count


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
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0},
    ]
    made = [torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98), fused=device == "cuda")]
    if muon:
        made.append(Muon(stacks, lr=peak, weight_decay=WEIGHT_DECAY))
    return made


def planner(plans, news, vocabulary, shares, batch, delays, seed, views):
    """a process of its own: plans for the next steps, over the clips that `news` has told of"""
    torch.set_num_threads(1)
    r, clips, begins = np.random.default_rng(seed), {kind: [] for kind in shares}, vocabulary.begins()
    while True:
        while not news.empty() or not any(clips.values()):
            kind, *where = news.get()
            clips[kind] += read_index(*where, vocabulary)
        schedule, tokens, chosen, characters, sizes = plan(clips, shares, batch, delays, r)
        inputs, targets = disturb(tokens, begins, r)[:, :-1].copy(), tokens[:, 1:].copy()
        targets[np.arange(targets.shape[1]) < LEFT + chosen[:, None]] = IGNORED  # the prompt
        made = schedule | {"inputs": inputs, "targets": targets, "delays": chosen}
        made |= {"characters": characters, "sizes": sizes}
        plans.put({k: np.concatenate([v] * views) for k, v in made.items()})


class Planners:
    """several planners, and a thread that keeps some of their plans where the GPU can fetch them without waiting"""

    def __init__(self, count, vocabulary, shares, batch, delays, seed, views, device):
        context = get_context("fork")
        plans, self.news = context.Queue(2 * count), [context.Queue() for _ in range(count)]
        self.jobs = [
            context.Process(
                target=planner, args=(plans, news, vocabulary, shares, batch, delays, [seed, i], views), daemon=True
            )
            for i, news in enumerate(self.news)
        ]
        for job in self.jobs:
            job.start()
        self.ready, self.device = queue.Queue(4), device
        threading.Thread(target=self.fetch, args=(plans,), daemon=True).start()

    def fetch(self, plans):
        while True:
            tensors = {k: torch.from_numpy(v) for k, v in plans.get().items()}
            self.ready.put({k: v.pin_memory() for k, v in tensors.items()} if self.device == "cuda" else tensors)

    def tell(self, news):
        for each in self.news:
            for item in news:
                each.put(item)

    def next(self):
        """a plan on the device, `sizes` on the CPU: F.ctc_loss wants them there"""
        return {k: v if k == "sizes" else v.to(self.device, non_blocking=True) for k, v in self.ready.get().items()}

    def stop(self):
        for job in self.jobs:
            job.kill()


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
        best = losses.spell(losses.model.encode(mel(audio))).argmax(-1).cpu().numpy()
        for row, (_, clip) in zip(best, some):
            text = "".join(letters[i] for i, before in zip(row, np.append(0, row[:-1])) if i and i != before)
            said = normalised(" ".join(w for w, _ in clip["words"]))
            counts.append((edits(said, text.split())[0], len(said)))
    return word_error_rate(counts)


@torch.compiler.set_stance("force_eager")
def check(losses, vocabulary, prefixes, most, with_decoder, rounded):
    """prints the errors on at most so many clips of each of the prefixes"""
    losses.eval()
    model = losses.model
    whole = round_weights(model) if rounded else None
    for prefix in prefixes:
        clips = read_clips(prefix)[:most]
        line = f"   {prefix} spelled {spelling_errors(losses, clips):.1f}"
        if with_decoder:
            groups, ends = score(
                clips, transcribe(model, vocabulary, [s for s, _ in clips], model.config.delay_tokens, batch=256)
            )
            line += " written " + ", ".join(f"{g} {word_error_rate(counts):.1f}" for g, counts in groups.items())
            line += f" | ends within 160 ms {100 * (np.abs(ends) <= 0.1601).mean():.0f} %" if len(ends) else ""
        print(line, flush=True)
    if whole:
        restore_weights(model, whole)
    losses.train()


def hours(pool):
    return {kind: round(h, 2) for kind, h in pool.hours.items()}


def profile(begins, profiler):
    """starts a profiler, or stops the one that runs and prints what took most of the GPU's time"""
    torch.cuda.synchronize()
    if begins:
        profiler = torch.profiler.profile()
        profiler.start()
        return profiler
    profiler.stop()
    print(profiler.key_averages().table(sort_by="cuda_time_total", row_limit=45, max_name_column_width=60), flush=True)
    return None


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
    a.add_argument(
        "--delays",
        type=int,
        nargs="+",
        default=[6],
        help="in tokens; each stream has one of them, oftener what is named twice",
    )
    a.add_argument("--teacher", help="whisper_encoder.py's file: the encoder also learns its states")
    a.add_argument("--teacher-until", type=float, default=0.7, help="share of the schedule")
    a.add_argument(
        "--twice", action="store_true", help="two views of each of half as many streams, which have to agree"
    )
    a.add_argument("--dropout", type=float, default=0.05)
    a.add_argument("--encoder-only", action="store_true", help="no decoder: to compare ways of training the encoder")
    a.add_argument("--muon", action="store_true", help="Muon for the matrices of the stacks")
    a.add_argument("--planners", type=int, default=4, help="processes that plan streams")
    a.add_argument(
        "--warm-up",
        type=float,
        default=0.08,
        help="share of the schedule for the encoder alone; 0 where it is trained already",
    )
    a.add_argument(
        "--start-from",
        help="prefix of parameters to go on from, with a new schedule; those of another shape stay as new",
    )
    a.add_argument(
        "--quantise-from", type=float, default=0.8, help="share of the schedule after which weights are rounded"
    )
    a.add_argument("--f16", action="store_true", help="parameters in f16: half as large to carry")
    a.add_argument("--save-every", type=float, default=1e9, help="minutes after which OUT is written meanwhile")
    a.add_argument("--profile", action="store_true", help="print where the time of steps 60 to 69 goes")
    a.add_argument("--compile", action="store_true")
    a.add_argument("--device", default="cuda")
    a = a.parse_args()
    torch.manual_seed(a.seed)
    if RANKS > 1:
        dist.init_process_group("cpu:gloo,cuda:nccl" if a.device == "cuda" else "gloo")
        if a.device == "cuda":
            torch.cuda.set_device(RANK)
    torch.backends.cuda.matmul.allow_tf32 = True
    vocabulary = Vocabulary(a.vocabulary)
    losses = Losses(
        config_of_shape(a.shape, vocabulary=vocabulary.size, dropout=a.dropout)
        if a.shape
        else Config(vocabulary=vocabulary.size, dropout=a.dropout)
    ).to(a.device)
    if a.start_from:
        own = losses.model.state_dict()
        found = read_parameters(a.start_from)[2]
        found = {k: v for k, v in found.items() if k in own and own[k].shape == v.shape}
        losses.model.load_state_dict(own | found)
        read_heads(losses, a.start_from)
        print(len(found), "of", len(own), "parameters from", a.start_from)
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
    shares = ENGLISH_SHARES if a.english else TINY_SHARES
    torch.manual_seed(a.seed + step + 1000 * RANK)
    views = 2 if a.twice else 1
    seed = a.seed + step + 1000 * RANK
    planners = Planners(a.planners, vocabulary, shares, a.batch // views, a.delays, seed, views, a.device)
    pool = Pool(a.data, shares, a.device, (160 if a.english else 40) if a.device == "cuda" else 5)
    while not (news := pool.refresh()):
        time.sleep(1)
    planners.tell(news)
    throats = Throats(a.device)
    print(sum(p.numel() for p in model.parameters()), "parameters; from step", step, "; hours", hours(pool), flush=True)
    if a.compile:
        for layer in (*model.encoder, *model.decoder, *(teacher.encoder.layers if teacher else ())):
            layer.compile()
    losses.train()
    begun = last_time = last_check = last_save = time.time()
    before, sums, profiler = spent, torch.zeros(5, device=a.device), None
    while True:
        spent = before + (time.time() - begun) / 60
        if RANKS > 1:  # the first one's clock
            clock = torch.tensor([spent], dtype=torch.float64)
            dist.broadcast(clock, 0)
            spent = clock.item()
        progress = spent / a.minutes
        if progress >= 1 or spent - before > a.stop_after:
            break
        with_decoder, taught_now = progress >= warm_up, teacher and progress < a.teacher_until
        for optimiser in made:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(progress, a.peak)
        if a.profile and step in (60, 70):
            profiler = profile(step == 60, profiler)
        p = planners.next()
        with torch.no_grad():
            samples, clean, labels = mix(pool, p)
            frames = mel(F.pad(samples, (LEFT * SAMPLES, AFTER * SAMPLES)), throats.of(a.batch))
            frames = spec_augment(frames)
        whole = round_weights(model) if progress >= a.quantise_from else None
        with torch.autocast(a.device, torch.bfloat16):
            spelled, taught, sounds, written, apart = losses(
                frames, p["inputs"], p["targets"], labels, p["delays"], with_decoder, a.twice
            )
        lengths = torch.full((a.batch,), spelled.shape[0])
        ctc = F.ctc_loss(spelled, p["characters"], lengths, p["sizes"], reduction="none", zero_infinity=True)
        ctc = ctc.sum() / int(p["sizes"].sum())
        distance = teacher.distance(taught, clean, labels, views) if taught_now else taught.sum() * 0
        loss = written + (0.3 if with_decoder else 1.0) * (ctc + sounds + apart) + TAUGHT * distance
        loss.backward()
        if whole:
            restore_weights(model, whole)
        if RANKS > 1:
            average_gradients(losses.parameters())
        nn.utils.clip_grad_norm_(losses.parameters(), 1.0)
        for optimiser in made:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        sums += torch.stack([x.detach() for x in (written, ctc, sounds, distance, apart)])
        step += 1
        if step % 25 == 0:
            planners.tell(pool.refresh())
        if step % 100 == 0:
            means = (sums / 100).tolist()
            sums.zero_()
            print(
                f"step {step} minute {spent:.2f} tokens {means[0]:.4f} ctc {means[1]:.4f} sounds {means[2]:.4f} "
                f"teacher {means[3]:.4f} apart {means[4]:.4f} at {100 / (time.time() - last_time):.1f} steps/s",
                flush=True,
            )
            last_time = time.time()
        if RANK == 0 and time.time() - last_save > a.save_every * 60:
            save_losses(losses, a.out, step, torch.float16 if a.f16 else torch.float32)
            last_save = time.time()
        if RANK == 0 and time.time() - last_check > a.check_every * 60:
            check(losses, vocabulary, a.valid, a.valid_clips, with_decoder, progress >= a.quantise_from)
            print("  ", hours(pool), flush=True)
            last_check = last_time = time.time()
    planners.stop()
    if RANKS > 1:
        dist.destroy_process_group()
    if RANK:
        return
    torch.save(
        {"losses": losses.state_dict(), "optimisers": [o.state_dict() for o in made], "step": step, "spent": spent},
        a.state,
    )
    save_losses(losses, a.out, step, torch.float16 if a.f16 else torch.float32)
    print(f"stopped at step {step}, minute {spent:.2f} of {a.minutes}; hours {hours(pool)}")
    check(losses, vocabulary, a.valid, a.valid_clips, not a.encoder_only, a.quantise_from < 1)


if __name__ == "__main__":
    main()
