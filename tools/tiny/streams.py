"""Training streams made new at every step: clips laid on a time line of 16 s, augmented on the GPU,
with the token that the model should write at each position."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from english import normalised
from model import SAMPLES, mel_filters
from vocabulary import BOS, FIRST, PAD, WORD

LEFT, LIVE, AFTER = 32, 200, 8  # silent tokens in front, tokens of audio, silent tokens behind
LONGEST = int(LIVE * SAMPLES * 0.98)  # samples of a clip that is heard whole
SPAN = 1 << 18  # samples generated, a little more than LIVE tokens
TINY_SHARES = {"an4": 0.22, "kokoro": 0.36, "hibari": 0.14, "flite": 0.14, "pico": 0.14}
ENGLISH_SHARES = {  # of the clips, not of the time: people's are mostly parts, a third as long
    "kokoro": 0.42,
    "flite": 0.05,
    "pico": 0.03,
    "an4": 0.03,
    "vctk": 0.03,
    "librispeech": 0.16,
    "speechocean": 0.28,
}
REAL = ("an4", "vctk", "librispeech", "speechocean")
PARTS = {True: 0.85, False: 0.25}  # share of people's clips, and of others', of which a stream has only some words
FEW = 5  # words of a person in a row: after a hundred times a model knows the sentence and need not listen
SURE = -4.5  # real clips whose text Whisper finds less likely are left out, unless sound_labels.py fitted it
CHARACTERS = {c: i + 1 for i, c in enumerate("abcdefghijklmnopqrstuvwxyz' ")}  # 0 is CTC's blank
MOST_CLIPS = 24
LABEL = 160  # samples that share a label of synthesize.py's labels
UNLABELLED, SILENCE = 0, 1
LABELS = 179  # Kokoro's vocabulary and the two before it


class Pool:
    """All clips of DIR/*.i16 in one GPU tensor, and their labels (DIR/*.u8, where there are such) in another.

    `refresh` takes in what was written since and says what, for `read_index`; a clip begins where a label does."""

    def __init__(self, folder, kinds, device, hours=40):
        self.folder, self.kinds = Path(folder), kinds
        length = int(hours * 3600 * 16000)
        self.samples = torch.zeros(length, dtype=torch.int16, device=device)
        self.labels = torch.zeros(length // LABEL, dtype=torch.uint8, device=device)
        self.filled, self.read, self.hours = LABEL, {}, dict.fromkeys(kinds, 0.0)

    def refresh(self):
        """[(kind, index, first byte, end, what to add to its sample numbers)] of new clips"""
        news = []
        for index in sorted(self.folder.glob("*.jsonl")):
            kind = index.stem.split("-")[0]
            bytes_read, samples_read = self.read.get(index, (0, 0))
            with open(index, "rb") as f:
                f.seek(bytes_read)
                lines = f.read()
            lines = lines[: lines.rfind(b"\n") + 1]
            if kind not in self.kinds or not lines:
                continue
            last = json.loads(lines[lines.rfind(b"\n", 0, -1) + 1 :])
            end = last["start"] + last["n"]
            count = end - samples_read
            if self.filled + count + LABEL > len(self.samples) or index.with_suffix(".i16").stat().st_size < 2 * end:
                continue
            new = np.fromfile(index.with_suffix(".i16"), "<i2", count, offset=2 * samples_read)
            self.samples[self.filled : self.filled + count] = torch.from_numpy(new).to(self.samples.device)
            if index.with_suffix(".u8").exists():
                new = np.fromfile(index.with_suffix(".u8"), np.uint8, count // LABEL, offset=samples_read // LABEL)
                first = self.filled // LABEL
                self.labels[first : first + len(new)] = torch.from_numpy(new).to(self.labels.device)
            news.append((kind, index, bytes_read, bytes_read + len(lines), self.filled - samples_read))
            self.read[index] = (bytes_read + len(lines), samples_read + count)
            self.hours[kind] += count / 3600 / 16000
            self.filled += -(-count // LABEL) * LABEL + LABEL
        return news


def exact(clip):
    """whether its word ends are so near that it can be taken apart"""
    return "aligned" in clip or clip["voice"].startswith("kokoro/")


def read_index(index, first, end, shift, vocabulary):
    """[(start in the pool, samples, seconds to the first word, [(end, ids, characters) of each word],
    whether the word ends are exact)]"""
    with open(index, "rb") as f:
        f.seek(first)
        clips = map(json.loads, f.read(end - first).splitlines())
        return [
            (
                c["start"] + shift,
                c["n"],
                c.get("first", 0.02),
                [(e, vocabulary.encode(w), " ".join(normalised(w))) for w, e in c["words"]],
                exact(c),
            )
            for c in clips
            if exact(c) or (c.get("sure", 0) >= SURE and c["n"] <= LONGEST)
        ]


def part_of(clip, r, most=1000):
    """two to `most` words of a clip whose word ends are exact, so that no sentence is learned by heart; often its
    first ones, as speech begins in another way than it goes on"""
    start, n, first, words, exact = clip
    i = 0 if r.random() < 0.2 else int(r.integers(0, len(words) - 1))
    j = int(r.integers(i + 1, min(len(words), i + most)))
    begin = words[i - 1][0] if i else 0.0
    samples = int(begin * 16000)
    return (
        start + samples,
        min(n, int((words[j][0] + 0.04) * 16000)) - samples,
        0.02 if i else first,
        [(e - begin, ids, w) for e, ids, w in words[i : j + 1]],
        exact,
    )


def write_tokens(words, length, delay_tokens, left=LEFT):
    """tokens of positions 0..length: pads, and for each (end in seconds, ids) a word mark and the ids at
    the first 80 ms frame at or after its end plus the delay, or right after the word before"""
    first = left + delay_tokens + 1
    tokens = np.full(length + 1, PAD)
    tokens[0] = BOS
    free = first
    for end, ids in words:
        due = first + math.ceil(end * 12.5)
        if free <= due:
            ids, free = [WORD] + ids, due
        if free + len(ids) > length + 1:
            break
        tokens[free : free + len(ids)] = ids
        free += len(ids)
    return tokens


def pause(short, r):
    """seconds before a clip; short: the share of short pauses"""
    u = r.random()
    return r.uniform(0.05, 0.4) if u < short else r.uniform(0.3, 1.5) if u < 0.92 else r.uniform(1.5, 6)


def plan(clips, shares, batch, delays, r):
    """who speaks when in each stream: NumPy arrays for `mix`; tokens, delays and characters for the losses.
    clips: {kind: what `read_index` gives}; a delay that stands twice in `delays` is chosen twice as often"""
    kinds = [k for k in shares if clips[k]]
    odds = np.array([shares[k] for k in kinds])
    odds /= odds.sum()
    length = LEFT + LIVE + AFTER
    begin, source = np.full((batch, MOST_CLIPS), SPAN, np.int32), np.zeros((batch, MOST_CLIPS), np.int64)
    count = np.zeros((batch, MOST_CLIPS), np.int32)
    rate, gain = np.ones((batch, MOST_CLIPS), np.float32), np.ones((batch, MOST_CLIPS), np.float32)
    live = np.full(batch, LIVE * SAMPLES)
    turn = r.uniform(0.5, 1.6, batch) * (2 * math.pi / 16000)  # the tempo swells by `sway` so often a second
    sway = r.uniform(0, 0.12, batch) * (r.random(batch) < 0.6)
    chosen = r.choice(delays, batch)
    tokens, characters = [], []
    for b in range(batch):
        if r.random() < 0.2:
            live[b] = r.integers(1 * 16000, LIVE * SAMPLES)
        words, at = [], 0
        for k in range(0 if r.random() < 0.08 else MOST_CLIPS):
            kind = kinds[r.choice(len(kinds), p=odds)]
            clip = clips[kind][r.integers(len(clips[kind]))]
            real = kind in REAL
            part = clip[4] and len(clip[3]) > 3 and r.random() < (1 if clip[1] > LONGEST else PARTS[real])
            if part:
                clip = part_of(clip, r, FEW) if real else part_of(clip, r)
            start, n, first, spoken, _ = clip
            speed = r.uniform(0.82, 1.22) if real else r.uniform(0.8, 1.25)
            where = at
            if k == 0 and r.random() < 0.3:  # speech from the very first sample
                skip = int(first * 16000)
                start, n, spoken = start + skip, n - skip, [(e - first, i, w) for e, i, w in spoken]
            else:
                where += int(16000 * pause(0.75 if part else 0.35, r))
            duration = int(n / speed) - 1
            if where + duration > live[b]:
                if k and r.random() < 0.4:
                    break
                continue  # a shorter one may fit
            begin[b, k], source[b, k], count[b, k], rate[b, k] = where, start, duration, speed
            gain[b, k] = 10 ** (r.uniform(-8, 0) / 20)
            words += [(where / 16000 + e / speed, ids, w) for e, ids, w in spoken]
            at = where + duration
        order = np.argsort(begin[b], kind="stable")
        for x in (begin, source, count, rate, gain):
            x[b] = x[b][order]
        tokens.append(write_tokens([(e, ids) for e, ids, _ in words], length, chosen[b]))
        characters.append([CHARACTERS[c] for c in " ".join(w for *_, w in words)])
    sizes = np.array([len(c) for c in characters])
    padded = np.zeros((batch, max(1, sizes.max())), np.int64)
    for b, c in enumerate(characters):
        padded[b, : len(c)] = c
    return (
        {"begin": begin, "source": source, "count": count, "rate": rate, "gain": gain, "live": live}
        | {"turn": turn.astype(np.float32), "sway": sway.astype(np.float32)},
        np.stack(tokens),
        chosen,
        padded,
        sizes,
    )


def uniform(shape, low, high, device):
    return low + (high - low) * torch.rand(shape, device=device)


def scaled(spectrum, gain):
    """complex times real; PyTorch would make the real ones complex first"""
    return torch.view_as_complex(torch.view_as_real(spectrum) * gain[..., None])


def mix(pool, plan):
    """-> [batch, tokens * 1280] samples as a microphone has them, the clips as they were, and the label of each state
    of the encoder, in the middle of its 20 ms; plan: that of `plan`, as tensors beside the pool's"""
    device = pool.samples.device
    p, batch = plan, len(plan["begin"])

    def chance(share):
        return (torch.rand(batch, 1, device=device) < share).float()

    # the clips, each at its own rate, which swells a little: pitch, formants and tempo move together
    t = torch.arange(SPAN, device=device, dtype=torch.int32).expand(batch, SPAN)
    k = (torch.searchsorted(p["begin"], t.contiguous(), right=True) - 1).clamp(min=0)
    local = t - p["begin"].gather(1, k)
    inside = (local >= 0) & (local < p["count"].gather(1, k))
    rate = p["rate"].gather(1, k)
    local = local + p["sway"][:, None] / p["turn"][:, None] * torch.sin(p["turn"][:, None] * local)
    local = torch.minimum(local.clamp(min=0), p["count"].gather(1, k) - 1) * rate
    whole = local.floor()
    f = local - whole
    index = torch.where(inside, p["source"].gather(1, k) + whole.long(), 1)
    a, b, c, d = (pool.samples[index + i].float() / 32768 for i in (-1, 0, 1, 2))
    x = b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))
    x = x * p["gain"].gather(1, k) * inside
    clean = x[:, : LIVE * SAMPLES]
    states = slice(LABEL, LIVE * SAMPLES, 2 * LABEL)
    labels = torch.where(inside[:, states], pool.labels[index[:, states] // LABEL].long(), SILENCE)
    power = (x**2).sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp(min=1)
    speech = torch.where(power > 1e-7, power, 0.01).sqrt()
    # some streams have nothing at all between clips, no noise either: each clip then begins as that of a file does
    on = inside | (torch.rand(batch, 1, device=device) < 0.75)
    del t, k, local, rate, whole, f, index, a, b, c, d, inside

    # a room, then a microphone: both multiply the spectrum
    spectrum = torch.fft.rfft(x)
    n = 8192
    decay = uniform((batch, 1), 0.08, 0.7, device)
    tail = torch.randn(batch, n, device=device) * torch.exp(-6.9 * torch.arange(n, device=device) / 16000 / decay)
    tail[:, :32] = 0
    tail = tail / tail.norm(dim=1, keepdim=True) * 10 ** (-uniform((batch, 1), 2, 20, device) / 20) * chance(0.55)
    tail[:, 0] = 1
    spectrum = spectrum * torch.fft.rfft(tail, SPAN)
    frequency = torch.fft.rfftfreq(SPAN, 1 / 16000, device=device)
    place = (torch.log2(frequency.clamp(min=50) / 50) / math.log2(160) * 9).clamp(max=8.999)
    between = (1 - (place - torch.arange(11, device=device)[:, None]).abs()).clamp(min=0)

    def curve(deviation):
        """random gain over frequency: ten knots over 50 Hz to 8 kHz, in dB"""
        return 10 ** (torch.randn(batch, 11, device=device) * (deviation / 20) @ between)

    low, high = uniform((batch, 1), 40, 350, device), uniform((batch, 1), 3000, 8000, device)
    low, high = low * chance(0.3), torch.where(chance(0.3) > 0, high, 9000.0)
    microphone = curve(4) / (1 + (low / frequency.clamp(min=1)) ** 4) / (1 + (frequency / high) ** 12)
    # noise: coloured, with slow swells; other people far away; tones
    colour = curve(8) * frequency.clamp(min=50) ** -uniform((batch, 1), 0, 1.2, device)
    noise = torch.fft.irfft(scaled(torch.randn(*colour.shape, dtype=torch.complex64, device=device), colour))
    swell = torch.nn.functional.interpolate(
        torch.randn(batch, 1, 40, device=device) * uniform((batch, 1, 1), 0, 0.6, device), SPAN, mode="linear"
    )[:, 0]
    noise = noise * swell.exp()
    noise = (
        noise
        / noise.norm(dim=1, keepdim=True)
        * SPAN**0.5
        * 10 ** (-uniform((batch, 1), 2, 40, device) / 20)
        * chance(0.85)
    )

    def some(share):
        """rows of that share of the streams, at random"""
        return torch.randperm(batch, device=device)[: math.ceil(batch * share)]

    rows = some(0.12)
    others = x[rows - 1].roll(SPAN // 3, 1)
    noise.index_add_(0, rows, others / 0.1 * 10 ** (-uniform((len(rows), 1), 12, 30, device) / 20))
    t = torch.arange(SPAN, device=device) / 16000
    for _ in range(2):
        rows = some(0.1)
        high, phase, often, when, level, share = (
            uniform((len(rows), 1), *range_, device)
            for range_ in ((0, 1), (0, 6), (0.02, 1.5), (0, 6), (5, 35), (-1.5, 0.8))
        )
        tone = torch.sin(2 * math.pi * high**3 * 4000 * t + phase)
        noise.index_add_(0, rows, tone * (torch.sin(2 * math.pi * often * t + when) > share) * 10 ** (-level / 20))
    x = torch.fft.irfft(scaled(spectrum + torch.fft.rfft(noise * speech), microphone))

    # level, clipping, and digital silence where the audio is over
    level = x.norm(dim=1, keepdim=True) / SPAN**0.5
    x = x / level.clamp(min=1e-4) * 10 ** (uniform((batch, 1), -46, -14, device) / 20)
    x = (x.clamp(-1, 1) * on)[:, : LIVE * SAMPLES]
    x = x * (torch.arange(LIVE * SAMPLES, device=device) < p["live"][:, None])
    return x, clean, labels


class Throats:
    """Mel filters of longer and shorter vocal tracts: the frequency axis stretched by up to 20 %, less above 4.8 kHz"""

    def __init__(self, device, count=17):
        f, top = torch.arange(201) * 40.0, 8000
        self.filters = torch.stack(
            [
                mel_filters(torch.where(f < 4800, a * f, 4800 * a + (f - 4800) * (top - 4800 * a) / (top - 4800)))
                for a in torch.linspace(-1, 1, count).mul(math.log(1.2)).exp()
            ]
        ).to(device)

    def of(self, batch):
        """[batch, 201, 128], half of them near the plain ones"""
        count = len(self.filters)
        chosen = torch.randn(batch, device=self.filters.device) * count / 5 + count // 2
        return self.filters[chosen.round().long().clamp(0, count - 1)]


def spec_augment(mel):
    """masks on nine streams of ten: of up to 0.3 s each, on a fourteenth of the time, and of frequencies, others every
    4 s"""
    batch, frames, bins = mel.shape
    device = mel.device
    on = torch.rand(batch, 1, 1, device=device) < 0.9
    count = frames // 70
    start = torch.rand(batch, count, device=device) * frames
    width = torch.rand(batch, count, device=device) ** 1.5 * 30 * torch.rand(batch, 1, device=device).sqrt()
    edges = torch.zeros(batch, frames + 1, device=device)
    one = torch.ones(batch, count, device=device)
    edges.scatter_add_(1, start.long(), one)
    edges.scatter_add_(1, (start + width).long().clamp(max=frames), -one)
    mel = mel.masked_fill((edges.cumsum(1)[:, :-1, None] > 0.5) & on, -0.3)
    parts = -(-frames // 400)
    f = torch.arange(bins, device=device)
    for _ in range(2):
        start, width = uniform((batch, parts, 1), 0, bins, device), uniform((batch, parts, 1), 0, 26, device)
        masked = ((f >= start - width / 2) & (f < start + width / 2)).repeat_interleave(400, 1)[:, :frames]
        mel = mel.masked_fill(masked & on, -0.3)
    return mel


def disturb(tokens, begins, r):
    """input tokens: now and then another text token, as after a mistake of the model's own, but only as the last of a
    word, or a model learns to go on with a word that it has not begun ("houseouse"). begins: for each token whether
    it may follow a whole word"""
    noisy = tokens.copy()
    text = (tokens >= FIRST) & (r.random(tokens.shape) < 0.2)
    text[:, :-1] &= begins[tokens[:, 1:]]
    pool = tokens[tokens >= FIRST]
    if text.any():
        noisy[text] = r.choice(pool, text.sum())
    return noisy
