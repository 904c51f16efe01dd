#!/usr/bin/env python3
"""Real speech labelled by a half-trained model: which sound is spoken when (PREFIX.u8), and word ends from that.

The text of a clip as phonemes (phonemise.py) is laid along the probabilities of train.py's head for sounds, each sound
at least one state of 20 ms long, with silence between words where there is any. A word's last consonant may be left
out, and a sound be another one (the rules of pronunciation.py), where the model hears that clearly. So people's speech
teaches the encoder as densely as Kokoro's does, and their word ends are exact enough to take clips apart. A clip that
fits badly keeps what it has."""

import argparse
import json
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from evaluate import pad, read_clips
from model import Mel
from pronunciation import MARKS, VOWELS, alternatives
from streams import LABEL, LEFT, SILENCE, UNLABELLED
from synthesize import PHONEME_PUNCTUATION
from train import LOOK_AHEAD, read_losses

WORST = -2.5  # mean log-probability of a clip's sounds below which it is not labelled
STATE = 2 * LABEL  # samples
LEFT_OUT, OTHER = 4.0, 3.0  # nats that it takes to leave out a sound, and to make it another one


def nodes_of(phonemes, vocab):
    """(label of each node, what it costs to leave it out, its word or -1); nodes are the sounds, and silence around
    words"""
    labels, costs, words, word = [SILENCE], [0.0], [-1], ""
    count = 0
    for c in phonemes + " ":
        if c == " ":
            if len(word) > 1 and word[-1] not in VOWELS:
                costs[-1] = LEFT_OUT
            count += bool(word)
            word = ""
            labels.append(SILENCE), costs.append(0.0), words.append(-1)
        elif c not in PHONEME_PUNCTUATION and c not in MARKS:
            word += c
            labels.append(vocab[c] + 1), costs.append(np.inf), words.append(count)
    return np.array(labels), np.array(costs), np.array(words)


def lay(scores, costs):
    """scores [states, nodes], costs of leaving a node out -> (the node of each state on the best path, its mean
    score)"""
    states, count = scores.shape
    best, back = np.full(count, -np.inf), np.zeros((states, count), np.int8)
    best[0] = scores[0, 0]
    best[1] = scores[0, 1] - costs[0]
    over = np.append([np.inf, np.inf], costs[1:-1])  # of the node before
    for t in range(1, states):
        came = np.stack([best, np.append(-np.inf, best[:-1]), np.append([-np.inf, -np.inf], best[:-2]) - over])
        back[t] = came.argmax(0)
        best = came.max(0) + scores[t]
    node = count - 1 if best[-1] >= best[-2] - costs[-1] else count - 2
    total, path = best[node], np.zeros(states, int)
    for t in range(states - 1, -1, -1):
        path[t] = node
        node -= int(back[t, node])
    return path, total / states


def as_said(labels, path, logs, others):
    """labels, with another one at each node whose states are clearly that; others: {label: those it may have become}"""
    labels = labels.copy()
    edges = np.flatnonzero(np.diff(path, prepend=-1, append=-1))
    for first, end in zip(edges[:-1], edges[1:]):
        node = path[first]
        heard = logs[first:end].sum(0)
        for other in others.get(labels[node], ()):
            if heard[other] > heard[labels[node]] + OTHER:
                labels[node] = other
    return labels


def labelled(job):
    """(labels of LABEL samples each, the clip with its new word ends) or None"""
    clip, logs, vocab = job
    rules = alternatives(clip["group"] == "speechocean-train")
    others = {vocab[a] + 1: [vocab[b] + 1 for b in sorted(may) if b in vocab] for a, may in rules.items() if a in vocab}
    labels, costs, words = nodes_of(clip["phonemes"], vocab)
    scores = np.stack([logs[:, [label, *others.get(label, ())]].max(1) for label in labels], 1)
    scores[:, labels == SILENCE] = np.logaddexp(logs[:, SILENCE], logs[:, vocab[" "] + 1])[:, None]
    if len(logs) < len(labels):
        return None
    path, mean = lay(scores, costs)
    if not mean > WORST:
        return None
    last = {words[node]: state for state, node in enumerate(path) if words[node] >= 0}
    ends = [round((last[word] + 1) * STATE / 16000, 2) for word in range(len(clip["words"]))]
    clip = {**clip, "aligned": round(float(mean), 2), "words": [[w, e] for (w, _), e in zip(clip["words"], ends)]}
    labels = as_said(labels, path, logs, others)
    return np.repeat(labels[path], STATE // LABEL).astype(np.uint8), clip


@torch.no_grad()
def encoded(losses, clips, device, batch=32):
    """[states, width] of each clip: the encoder's states, late enough to know what is spoken"""
    mel, found = Mel().to(device), [None] * len(clips)
    order = sorted(range(len(clips)), key=lambda i: len(clips[i]))
    for some in (order[i : i + batch] for i in range(0, len(order), batch)):
        streams = [pad(clips[i], LEFT, 0) for i in some]
        longest = len(streams[-1])
        audio = torch.from_numpy(np.stack([np.pad(s, (0, longest - len(s))) for s in streams]).astype(np.float32))
        states = losses.model.encode(mel(audio.to(device))).float()[:, 4 * LEFT + LOOK_AHEAD :].cpu().numpy()
        for i, row in zip(some, states):
            found[i] = row[: -(-len(clips[i]) // STATE)]
    return found


@torch.no_grad()
def probabilities(losses, clips, device):
    """[states, labels] log-probabilities of the sound spoken in each state of each clip"""
    return [
        losses.sounds(torch.from_numpy(x).to(device)).float().log_softmax(-1).cpu().numpy()
        for x in encoded(losses, clips, device)
    ]


def fit(losses, prefixes, device, steps=400):
    """trains the head for sounds, and nothing else, on clips that are labelled: for a checkpoint without heads"""
    states, labels = [], []
    for prefix in prefixes:
        sounds, clips = np.fromfile(prefix + ".u8", np.uint8), read_clips(prefix)
        for found, (samples, c) in zip(encoded(losses, [s for s, _ in clips], device), clips):
            first = round(c["start"] / LABEL)
            here = sounds[first : first + len(samples) // LABEL][1::2]
            states.append(found[: len(here)])
            labels.append(here[: len(found)])
    x, y = (
        torch.from_numpy(np.concatenate(states)).to(device),
        torch.from_numpy(np.concatenate(labels)).long().to(device),
    )
    optimiser = torch.optim.AdamW(losses.sounds.parameters(), lr=1e-2, weight_decay=0.01)
    for step in range(steps):
        some = torch.randint(len(x), (min(len(x), 8192),), device=device)
        loss = F.cross_entropy(losses.sounds(x[some]), y[some], ignore_index=UNLABELLED, label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 99:
            print(f"step {step + 1}: {loss.item():.3f} over {len(x)} states", flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("checkpoint", help="prefix of train.py's files, with its heads")
    a.add_argument("vocab", help="Kokoro's vocab.json")
    a.add_argument("clips", nargs="*", help="prefixes of clips with phonemes in their lists, which are written anew")
    a.add_argument("--fit", nargs="+", help="prefixes of labelled clips: first train the head for sounds on them")
    a.add_argument("--workers", type=int, default=8)
    a.add_argument("--device", default="cuda")
    a = a.parse_args()
    losses = read_losses(a.checkpoint, a.device)
    if a.fit:
        fit(losses, a.fit, a.device)
        heads = {k: v for k, v in losses.state_dict().items() if k.startswith("sounds.")}
        torch.save(heads, f"{a.checkpoint}-heads.pt")
    vocab = json.loads(Path(a.vocab).read_text())["vocab"]
    for prefix in a.clips:
        clips = read_clips(prefix)
        logs = probabilities(losses, [s for s, _ in clips], a.device)
        jobs = [(c, x, vocab) for (_, c), x in zip(clips, logs) if "phonemes" in c]
        with Pool(a.workers) as pool:
            found = {c["start"]: (x, c) for x, c in filter(None, pool.map(labelled, jobs, 16))}
        sounds = np.zeros(clips[-1][1]["start"] // LABEL + -(-clips[-1][1]["n"] // LABEL), np.uint8)
        moved = []
        for _, c in clips:
            if c["start"] in found:
                x, new = found[c["start"]]
                first = round(c["start"] / LABEL)
                sounds[first : first + len(x)] = x[: len(sounds) - first]
                moved += [abs(e - f) for (_, e), (_, f) in zip(c["words"], new["words"])]
        Path(prefix + ".u8").write_bytes(sounds.tobytes())
        Path(prefix + ".jsonl").write_text(
            "".join(json.dumps(found.get(c["start"], (0, c))[1]) + "\n" for _, c in clips), encoding="utf-8"
        )
        middle = np.median(moved or [0])
        print(f"{prefix}: {len(found)} of {len(clips)} clips labelled; word ends moved {middle:.2f} s (median)")


if __name__ == "__main__":
    main()
