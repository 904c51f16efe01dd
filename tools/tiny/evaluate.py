#!/usr/bin/env python3
"""Step 7: what the model writes, as the engine would: greedy, one token every 80 ms.

WER of normalised words (with the 95 % interval of a bootstrap over clips) and word-end errors of clips in the form
of synthesize.py and an4.py, f32 or rounded to Q4_0, with either left silence; how many words it writes in a minute
of silence, noise and tones; and the tokens themselves, for drafts.py."""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from english import normalised
from model import SAMPLES, Mel, load, round_weights
from vocabulary import FIRST, Vocabulary


def pad(samples, left, delay_tokens):
    return np.pad(samples, (left * SAMPLES, -len(samples) % SAMPLES + (delay_tokens + 11) * SAMPLES))


@torch.no_grad()
def write(model, clips, delay, left=32, batch=64):
    """clips: float32 arrays at 16 kHz, delay in tokens -> for each the tokens of the whole stream, silence included"""
    device = next(model.parameters()).device
    mel = Mel().to(device)
    order = sorted(range(len(clips)), key=lambda i: len(clips[i]))
    results = [None] * len(clips)
    for chosen in (order[i : i + batch] for i in range(0, len(order), batch)):
        streams = [pad(clips[i], left, delay) for i in chosen]
        lengths = [len(s) // SAMPLES for s in streams]
        audio = torch.from_numpy(
            np.stack([np.pad(s, (0, len(streams[-1]) - len(s))) for s in streams]).astype(np.float32)
        ).to(device)
        tokens = model.greedy(model.adapt(model.encode(mel(audio))), delay).cpu().numpy()
        for i, row, n in zip(chosen, tokens, lengths):
            results[i] = row[: n + 1].tolist()
    return results


def words_of(tokens, vocabulary, first):
    """[[word, end in seconds], ...] of a stream whose prompt is `first` tokens long"""
    words = []
    for p in range(first, len(tokens)):
        if tokens[p] < FIRST:
            continue
        piece = vocabulary.pieces[tokens[p] - FIRST]
        if piece.startswith(b" ") or not words:
            words.append([b"", round(0.08 * (p - first - 1), 2)])
        words[-1][0] += piece
    return [[w.decode("utf-8", "replace").strip(), t] for w, t in words]


def transcribe(model, vocabulary, clips, delay, left=32, batch=64):
    """clips: float32 arrays at 16 kHz, delay in tokens -> for each a list of [word, end in seconds]"""
    return [words_of(tokens, vocabulary, left + delay + 1) for tokens in write(model, clips, delay, left, batch)]


def edits(reference, hypothesis):
    """(substitutions + deletions + insertions, [(reference index, hypothesis index) of equal words])"""
    n, m = len(reference), len(hypothesis)
    d = np.zeros((n + 1, m + 1), int)
    d[:, 0], d[0] = np.arange(n + 1), np.arange(m + 1)
    for i in range(n):
        for j in range(m):
            d[i + 1, j + 1] = min(d[i, j] + (reference[i] != hypothesis[j]), d[i, j + 1] + 1, d[i + 1, j] + 1)
    i, j, equal = n, m, []
    while i and j:
        if d[i, j] == d[i - 1, j - 1] + (reference[i - 1] != hypothesis[j - 1]):
            i, j = i - 1, j - 1
            if reference[i] == hypothesis[j]:
                equal.append((i, j))
        elif d[i, j] == d[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return int(d[n, m]), equal


def read_clips(prefix):
    """(samples, clip) of every clip of PREFIX.i16 and PREFIX.jsonl"""
    samples = np.fromfile(f"{prefix}.i16", "<i2").astype(np.float32) / 32768
    return [
        (samples[c["start"] : c["start"] + c["n"]], c)
        for c in map(json.loads, open(f"{prefix}.jsonl", encoding="utf-8"))
    ]


def group_of(clip):
    """AN4 by what is spoken, the others by the group they were written for"""
    if clip["group"] != "an4":
        return clip["group"]
    letters = sum(len(w) == 1 for w, _ in clip["words"])
    return "an4 letters" if letters * 2 >= len(clip["words"]) else "an4 digits and words"


SPOKEN = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint"}  # how the written forms are said


def compared(words):
    """[word, end] as they are compared: without capitals and marks, a title as it is said"""
    return [(SPOKEN.get(n, n), end) for w, end in words for n in normalised(w)]


def score(clips, results):
    """{group: [(errors, words) of each clip]}, word-end errors in seconds"""
    groups, ends = defaultdict(list), []
    for (_, clip), result in zip(clips, results):
        said, written = compared(clip["words"]), compared(result)
        wrong, equal = edits([w for w, _ in said], [w for w, _ in written])
        for g in (group_of(clip), "all"):
            groups[g].append((wrong, len(said)))
        ends += [written[j][1] - said[i][1] for i, j in equal]
    return groups, np.array(ends)


def word_error_rate(counts):
    """percent, from (errors, words) of each clip"""
    errors, words = np.sum(counts, 0)
    return 100 * errors / words


def print_groups(name, groups):
    """of each group the words, the WER and where 95 % of 2000 draws of as many clips have it"""
    for g, counts in sorted(groups.items(), key=lambda x: (x[0] == "all", x[0])):
        counts = np.array(counts)
        drawn = counts[np.random.default_rng(0).integers(len(counts), size=(2000, len(counts)))].sum(1)
        low, high = np.percentile(100 * drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
        print(
            f"{name:34s} {g:22s} {counts[:, 1].sum():5d} words  "
            f"WER {word_error_rate(counts):5.1f} %  ({low:.1f} to {high:.1f})",
            flush=True,
        )


def report(name, clips, results):
    groups, ends = score(clips, results)
    print_groups(name, groups)
    if len(ends):
        print(
            f"{name:34s} word ends: within 160 ms {100 * (np.abs(ends) <= 0.1601).mean():.1f} %, "
            f"median {1000 * np.median(ends):+.0f} ms"
        )
    written, spoken = (
        max(longest_repetition([w for w, _ in words]) for words in side)
        for side in (results, [c["words"] for _, c in clips])
    )
    print(f"{name:34s} longest repetition: {written} words, in the references {spoken}")


def longest_repetition(words):
    """how many words in a row say the same one to five words again and again"""
    longest = 1
    for period in range(1, 6):
        same = 0
        for i in range(period, len(words)):
            same = same + 1 if words[i] == words[i - period] else 0
            if same >= period:
                longest = max(longest, same + period)
    return longest


def sounds(seconds=60):
    """a minute each of what is not speech"""
    r = np.random.default_rng(1)
    n = seconds * 16000
    t = np.arange(n) / 16000
    white = r.standard_normal(n)
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 60) ** 0.5)
    brown = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 60))

    def unit(x):
        return x / np.sqrt((x**2).mean())

    steps = np.repeat(r.uniform(150, 1500, seconds * 2), 8000)
    yield "silence", np.zeros(n)
    for db in (-60, -40, -25):
        yield f"white noise {db} dB", unit(white) * 10 ** (db / 20)
        yield f"room noise (brown) {db} dB", unit(brown) * 10 ** (db / 20)
    yield "pink noise -30 dB", unit(pink) * 10 ** (-30 / 20)
    yield "hum 50 Hz and harmonics", 0.02 * sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5))
    yield "tone 440 Hz", 0.1 * np.sin(2 * np.pi * 440 * t)
    yield "tones changing each half second", 0.1 * np.sin(2 * np.pi * np.cumsum(steps) / 16000)
    yield "clicks, two a second", np.where(np.arange(n) % 8000 < 40, 0.3, 0.0) + unit(brown) * 0.001


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("checkpoint", help="prefix of the .pt files of train.py")
    a.add_argument("vocabulary", help="tekken.json")
    a.add_argument("clips", nargs="*", help="prefixes of clip files")
    a.add_argument("--q4", action="store_true", help="round the matrices to Q4_0, as the shipped file has them")
    a.add_argument("--delay", type=int, metavar="MS", help="default: the model's own")
    a.add_argument("--left", type=int, default=32, help="silent tokens in front")
    a.add_argument("--from-first-word", action="store_true", help="cut the clips so that speech starts at sample 0")
    a.add_argument(
        "--silence-before",
        type=float,
        default=0,
        metavar="MS",
        help="digital silence in front of each clip: moves it on the 80 ms grid",
    )
    a.add_argument(
        "--tokens",
        metavar="JSON",
        help="write the tokens of every clip, as `voxtab transcribe --format json --tokens` does (with default --left)",
    )
    a.add_argument("--sounds", action="store_true", help="words a minute in silence, noise and tones")
    a.add_argument("--device", default="cpu")
    a.add_argument("--show", type=int, default=0, help="print that many transcripts of each file")
    a = a.parse_args()
    torch.backends.cudnn.allow_tf32 = False
    model, step = load(a.checkpoint, device=a.device)
    model.eval()
    if a.q4:
        round_weights(model)
    vocabulary = Vocabulary(a.vocabulary)
    delay, streams = a.delay // 80 if a.delay else model.config.delay_tokens, []
    print(f"step {step}, {'Q4_0' if a.q4 else 'f32'}, delay {80 * delay} ms, left silence {a.left}")
    for prefix in a.clips:
        clips = read_clips(prefix)
        if a.from_first_word:
            clips = [
                (
                    s[int(c.get("first", 0.02) * 16000) :],
                    {**c, "words": [[w, e - c.get("first", 0.02)] for w, e in c["words"]]},
                )
                for s, c in clips
            ]
        before = a.silence_before / 1000
        clips = [
            (np.pad(s, (round(before * 16000), 0)), {**c, "words": [[w, e + before] for w, e in c["words"]]})
            for s, c in clips
        ]
        written = write(model, [s for s, _ in clips], delay, a.left)
        streams += [{"tokens": tokens, "delay_ms": 80 * delay} for tokens in written]
        results = [words_of(tokens, vocabulary, a.left + delay + 1) for tokens in written]
        report(Path(prefix).name, clips, results)
        for (_, c), result in list(zip(clips, results))[:: max(1, len(clips) // a.show)][: a.show] if a.show else []:
            print("  said:", " ".join(w for w, _ in c["words"]), "\n  text:", " ".join(w for w, _ in result))
    if a.tokens:
        Path(a.tokens).write_text(json.dumps(streams), encoding="utf-8")
    if a.sounds:
        names, samples = zip(*sounds())
        for name, words in zip(names, transcribe(model, vocabulary, samples, delay, a.left)):
            print(f"{name:34s} {len(words):3d} words a minute", *[w for w, _ in words][:10])


if __name__ == "__main__":
    main()
