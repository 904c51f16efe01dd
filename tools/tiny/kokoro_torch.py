#!/usr/bin/env python3
"""Kokoro-82M in PyTorch, many texts at once: step 2 for plain English, on a GPU.

The network is StyleTTS 2's acoustic part with an iSTFT decoder; weights are those of kokoro_graph.py, found by their
names in the ONNX graph. No masks are needed: the first half takes texts of equal length, the second half speech of
nearly equal length, whose closing silence is stretched to the longest.

Reads TEXTS (lines of phonemise.py) and writes OUT.i16 and OUT.jsonl as synthesize.py does, and OUT.u8 with the sound
that is spoken in each 10 ms. Every clip has its own
voice: one to three of Kokoro's styles mixed, or gone a little beyond, timbre and prosody apart or together; a speed,
and a pitch. Kokoro reads as nobody speaks, so the sounds themselves are varied too (pronunciation.py), their lengths,
how far the pitch moves, and how sharply one sound is set apart from the next."""

import argparse
import json
import math
import re
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pronunciation import pronounced
from streams import LABEL, SILENCE
from synthesize import HELD_OUT, LEAD, PHONEME_PUNCTUATION, TAIL

MOST_PHONEMES = 300
MANDARIN = 3  # times as often as others a voice whose language is Mandarin: that of the learners in validation
RATE, FRAME = 24000, 600  # samples a second, and in one frame of the durations
LSTMS = [
    "predictor.text_encoder.lstms.0",
    "predictor.text_encoder.lstms.2",
    "predictor.text_encoder.lstms.4",
    "predictor.lstm",
    "text_encoder.lstm",
    "predictor.shared",
]  # in order of their numbers in the graph


def read_weights(path):
    """{name of the parameter in the published model: tensor} from the f32 graph"""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    maker, users = {o: n for n in graph.node for o in n.output}, {}
    for n in graph.node:
        for i in n.input:
            users.setdefault(i, []).append(n)

    def plain(name):
        return re.sub(r"^(encoder|decoder)\.", "", name).replace("_quantized", "").replace("_f32", "")

    def bias_of(node):
        return next((i for i in node.input if i in values and i.endswith(".bias")), None)

    found, lstms = {}, []
    for name, value in values.items():
        if re.search(r"\.(bias|gamma|beta|alpha\d\.\d)$|LayerNorm\.weight$|layer_norm\.weight$", name):
            found[plain(name)] = value
    for n in graph.node:
        if n.op_type == "DequantizeLinear":
            table = maker[n.input[0]].input[0]  # quantised rows are looked up first
            q, scale, zero = (values[i].astype(np.float32) for i in (table, *n.input[1:]))
            found[plain(table)] = (q - zero) * scale
        elif n.op_type == "LSTM":
            lstms.append((int(re.search(r"LSTM_(\d+)", n.input[1])[1]), [values[i] for i in n.input[1:4]]))
        elif (
            n.op_type in ("Conv", "ConvTranspose", "MatMul")
            and len(n.input) > 1
            and n.input[1] in values
            and "inverse_basis" not in n.input[1]
        ):
            weight, bias = n.input[1], bias_of(n)
            if n.op_type == "MatMul":
                bias = bias_of(users[n.output[0]][0])
            if re.search(r"weight(_quantized)?(_f32)?$", weight):
                name = plain(weight)
            elif bias:
                name = plain(bias)[:-4] + "weight"
            else:  # the shortcut of a residual block is the only one without both
                block = re.match(r"/(encoder|decoder/decoder)/([\w.]+)/", weight)
                name = ("predictor." if block[1] == "encoder" else "decoder.") + block[2] + ".conv1x1.weight"
            found[name] = values[weight].T if n.op_type == "MatMul" else values[weight]
    for name, (_, (w, r, b)) in zip(LSTMS, sorted(lstms, key=lambda x: x[0])):

        def order(x):
            return np.concatenate([np.split(x, 4)[k] for k in (0, 2, 3, 1)])  # i o f c -> i f c o

        for d, suffix in enumerate(("", "_reverse")):
            found |= {
                f"{name}.weight_ih_l0{suffix}": order(w[d]),
                f"{name}.weight_hh_l0{suffix}": order(r[d]),
                f"{name}.bias_ih_l0{suffix}": order(b[d, : len(b[d]) // 2]),
                f"{name}.bias_hh_l0{suffix}": order(b[d, len(b[d]) // 2 :]),
            }
    return {k: torch.tensor(v.astype(np.float32)) for k, v in found.items()}


def adain(x, gamma, beta):
    """each channel of each clip with zero mean and unit variance over time, then the style's gain and offset, in f32"""
    x = x.float()
    mean = x.mean(-1, keepdim=True)
    variance = (x - mean).square().mean(-1, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + 1e-5) * (1 + gamma) + beta


def adain_snake(x, gamma, beta, alpha):
    y = adain(x, gamma, beta)
    return (y + torch.sin(alpha * y).square() / alpha).to(x.dtype)


def adain_leaky(x, gamma, beta):
    return F.leaky_relu(adain(x, gamma, beta), 0.2).to(x.dtype)


class Kokoro:
    def __init__(self, weights, device, half=None, compiled=False):
        """half: the type of the decoder's convolutions, None for f32"""
        self.w = {k: v.to(device) for k, v in weights.items()}
        self.device, self.half = device, half
        self.lstms = {}
        for name in LSTMS:
            w = {k[len(name) + 1 :]: v for k, v in self.w.items() if k.startswith(name + ".")}
            self.lstms[name] = torch.nn.LSTM(w["weight_ih_l0"].shape[1], 256, batch_first=True, bidirectional=True).to(
                device
            )
            self.lstms[name].load_state_dict(w)
        self.snake, self.leaky = (torch.compile(f, dynamic=True) if compiled else f for f in (adain_snake, adain_leaky))

    def linear(self, x, name):
        return F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def conv(self, x, name, function=F.conv1d, **options):
        kind = self.half if self.half and name.startswith("decoder.") else torch.float32
        bias = self.w.get(name + ".bias")
        return function(
            x.to(kind), self.w[name + ".weight"].to(kind), None if bias is None else bias.to(kind), **options
        )

    def style(self, s, name):
        return self.linear(s, name + ".fc")[:, :, None].chunk(2, 1)

    def lstm(self, x, name):
        """[batch, channels, time] -> the same"""
        return self.lstms[name](x.transpose(1, 2).float())[0].transpose(1, 2)

    def bert(self, tokens):
        w, name = self.w, "bert.encoder.albert_layer_groups.0.albert_layers.0."

        def norm(x, n):
            return F.layer_norm(x, x.shape[-1:], w[n + ".weight"], w[n + ".bias"], 1e-12)

        x = (
            w["bert.embeddings.word_embeddings.weight"][tokens]
            + w["bert.embeddings.position_embeddings.weight"][: tokens.shape[1]]
        )
        x = norm(x + w["bert.embeddings.token_type_embeddings.weight"][0], "bert.embeddings.LayerNorm")
        x = self.linear(x, "bert.encoder.embedding_hidden_mapping_in")
        for _ in range(12):
            q, k, v = (
                self.linear(x, f"{name}attention.{part}").unflatten(-1, (12, 64)).transpose(1, 2)
                for part in ("query", "key", "value")
            )
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = norm(x + self.linear(y, name + "attention.dense"), name + "attention.LayerNorm")
            y = self.linear(F.gelu(self.linear(x, name + "ffn"), approximate="tanh"), name + "ffn_output")
            x = norm(x + y, name + "full_layer_layer_norm")
        return x

    def residual(self, x, s, name, upsample=False):
        y = self.leaky(x, *self.style(s, name + ".norm1"))
        if upsample:
            y = self.conv(
                y, name + ".pool", F.conv_transpose1d, stride=2, padding=1, output_padding=1, groups=y.shape[1]
            )
            x = x.repeat_interleave(2, -1)
        y = self.conv(y, name + ".conv1", padding=1)
        y = self.conv(self.leaky(y, *self.style(s, name + ".norm2")), name + ".conv2", padding=1)
        if name + ".conv1x1.weight" in self.w:
            x = self.conv(x, name + ".conv1x1")
        return (x + y) * 0.5**0.5

    def snakes(self, x, s, name, kernel):
        for i, dilation in enumerate((1, 3, 5)):
            y = self.snake(x, *self.style(s, f"{name}.adain1.{i}"), self.w[f"{name}.alpha1.{i}"])
            y = self.conv(y, f"{name}.convs1.{i}", dilation=dilation, padding=dilation * (kernel - 1) // 2)
            y = self.snake(y, *self.style(s, f"{name}.adain2.{i}"), self.w[f"{name}.alpha2.{i}"])
            x = x + self.conv(y, f"{name}.convs2.{i}", padding=(kernel - 1) // 2)
        return x

    @torch.no_grad()
    def first_half(self, tokens, style, speed):
        """tokens [batch, n], style [batch, 256], speed [batch] -> durations in frames, and [batch, c, n] features."""
        s = style[:, 128:]
        spread = s[:, :, None].expand(-1, -1, tokens.shape[1])
        x = self.linear(self.bert(tokens), "bert_encoder").transpose(1, 2)
        x = torch.cat([x, spread], 1)
        for i in (0, 2, 4):
            x = self.lstm(x, f"predictor.text_encoder.lstms.{i}")
            gamma, beta = self.style(s, f"predictor.text_encoder.lstms.{i + 1}")
            x = (1 + gamma) * F.layer_norm(x.transpose(1, 2), (512,)).transpose(1, 2) + beta
            x = torch.cat([x, spread], 1)
        steps = (
            self.linear(self.lstm(x, "predictor.lstm").transpose(1, 2), "predictor.duration_proj.linear_layer")
            .sigmoid()
            .sum(-1)
        )
        durations = (steps / speed[:, None]).round().clamp(min=1).long()
        t = self.w["text_encoder.embedding.weight"][tokens].transpose(1, 2)
        for i in range(3):
            t = F.conv1d(t, self.w[f"text_encoder.cnn.{i}.0.weight"], self.w[f"text_encoder.cnn.{i}.0.bias"], padding=2)
            t = F.layer_norm(
                t.transpose(1, 2),
                (512,),
                self.w[f"text_encoder.cnn.{i}.1.gamma"],
                self.w[f"text_encoder.cnn.{i}.1.beta"],
            ).transpose(1, 2)
            t = F.leaky_relu(t, 0.2)
        return durations, x, self.lstm(t, "text_encoder.lstm")

    def source(self, pitch):
        """[batch, 2 frames] Hz -> the excitation [batch, samples]: nine harmonics where voiced, noise elsewhere"""
        hop = FRAME // 2
        voiced = (pitch > 10).float().repeat_interleave(hop, 1)[:, None]
        harmonics = torch.arange(1, 10, device=pitch.device)[:, None]
        turns = (pitch[:, None] * harmonics / RATE) % 1
        turns[:, 1:, 0] += torch.rand(len(pitch), 8, device=pitch.device) / hop
        phase = F.interpolate(turns.double().cumsum(-1) * hop, scale_factor=hop, mode="linear")
        wave = torch.sin(2 * math.pi * (phase % 1).float()) * 0.1
        noise = (voiced * 0.003 + (1 - voiced) * 0.1 / 3) * torch.randn_like(wave)
        return self.linear((wave * voiced + noise).transpose(1, 2), "decoder.generator.m_source.l_linear")[
            ..., 0
        ].tanh()

    @torch.no_grad()
    def second_half(self, x, t, style, pitch_factor, pitch_range, slur):
        """features [batch, c, frames] -> samples [batch, 600 frames]; pitch_range: the power that the pitch's distance
        from its mean is raised to; slur: the share of each frame that both its neighbours have"""
        s = style[:, 128:]
        x = self.lstm(x, "predictor.shared")
        curves = []
        for name in ("F0", "N"):
            y = x
            for i in range(3):
                y = self.residual(y, s, f"predictor.{name}.{i}", upsample=i == 1)
            curves.append(self.conv(y, f"predictor.{name}_proj").float())
        pitch, energy = curves
        voiced = (pitch > 10).float()
        logs = pitch.clamp(min=10).log() * voiced
        middle = logs.sum(-1, keepdim=True) / voiced.sum(-1, keepdim=True).clamp(min=1)
        moved = ((pitch_range[:, None, None] - 1) * (logs - middle)).clamp(-0.5, 0.5).exp()
        pitch = pitch * torch.where(voiced > 0, moved, 1.0) * pitch_factor[:, None, None]
        slur = slur[:, None, None].to(t.dtype)
        t = (1 - 2 * slur) * t + slur * (F.pad(t[..., :-1], (1, 0)) + F.pad(t[..., 1:], (0, 1)))
        s = style[:, :128]
        down = [self.conv(y, f"decoder.{name}_conv", stride=2, padding=1) for name, y in (("F0", pitch), ("N", energy))]
        x = self.residual(torch.cat([t.to(down[0].dtype), *down], 1), s, "decoder.encode")
        shortcut = self.conv(t, "decoder.asr_res.0")
        for i in range(4):
            x = self.residual(torch.cat([x, shortcut, *down], 1), s, f"decoder.decode.{i}", upsample=i == 3)
        window = torch.hann_window(20, device=x.device)
        spectrum = torch.stft(self.source(pitch[:, 0]), 20, 5, window=window, return_complex=True)
        source = torch.cat([spectrum.abs(), spectrum.angle()], 1)
        for i, (rate, kernel, stride) in enumerate(((10, 20, 6), (6, 12, 1))):
            y = self.conv(
                source,
                f"decoder.generator.noise_convs.{i}",
                stride=stride,
                padding=(stride + 1) // 2 if stride > 1 else 0,
            )
            y = self.snakes(y, s, f"decoder.generator.noise_res.{i}", (7, 11)[i])
            x = self.conv(
                F.leaky_relu(x, 0.1),
                f"decoder.generator.ups.{i}",
                F.conv_transpose1d,
                stride=rate,
                padding=(kernel - rate) // 2,
            )
            x = (F.pad(x, (1, 0), mode="reflect") if i else x) + y
            x = sum(self.snakes(x, s, f"decoder.generator.resblocks.{3 * i + j}", (3, 7, 11)[j]) for j in range(3)) / 3
        x = self.conv(F.leaky_relu(x), "decoder.generator.conv_post", padding=3).float()
        return torch.istft(torch.polar(x[:, :11].exp(), torch.sin(x[:, 11:])), 20, 5, window=window)


def to_16k(samples):
    """[batch, n] at 24 kHz, n a multiple of 3 -> [batch, 2 n / 3]"""
    n = samples.shape[1]
    return torch.fft.irfft(torch.fft.rfft(samples)[:, : n // 3 + 1], 2 * n // 3) * 2 / 3


def word_marks(phonemes):
    """place of the first sound, and of the last sound of each word"""
    words = [m for m in re.finditer(r"[^ ]+", phonemes) if set(m[0]) - PHONEME_PUNCTUATION]
    sounds = [[i for i in range(m.start(), m.end()) if phonemes[i] not in PHONEME_PUNCTUATION] for m in words]
    return sounds[0][0], [s[-1] for s in sounds]


def sounds_of(phonemes, vocab):
    """Label of each token, pads included: silence for pads and marks; stress belongs to the sound after it, length to
    the one before; others and the space between words have their number in Kokoro's vocabulary, and one more."""
    labels = [SILENCE, *(SILENCE if c in PHONEME_PUNCTUATION - {" "} else vocab[c] + 1 for c in phonemes), SILENCE]
    for i in reversed(range(len(phonemes))):
        if phonemes[i] in "ˈˌ":
            labels[i + 1] = labels[i + 2]
    for i, c in enumerate(phonemes):
        if c == "ː":
            labels[i + 1] = labels[i]
    return np.array(labels, np.uint8)


def mixed_style(table, odds, r):
    """a voice that is nobody's: table [voices, 256], odds of each voice to be part of it"""

    def mix():
        k = r.choice([1, 2, 3], p=[0.3, 0.4, 0.3])
        shares = r.dirichlet(np.ones(k)) if k > 1 else np.ones(1)
        if k > 1 and r.random() < 0.4:  # beyond the first, away from the others
            shares = shares * -0.35
            shares[0] += 1 - shares.sum()
        own = shares @ table[r.choice(len(table), k, replace=False, p=odds)]
        if r.random() < 0.5:  # and a little in any direction in which voices differ
            own = own + r.uniform(0, 0.5) * r.standard_normal(len(table)) / len(table) ** 0.5 @ (table - table.mean(0))
        return own

    timbre = mix()
    return np.concatenate([timbre[:128], (timbre if r.random() < 0.6 else mix())[128:]])


def read_styles(folder):
    """{voice: [phonemes in the text, 256]}, from voices/*.bin or from what pack_styles wrote"""
    if (folder / "styles.npz").exists():
        return {name: table.astype(np.float32) for name, table in np.load(folder / "styles.npz").items()}
    return {p.stem: np.fromfile(p, np.float32).reshape(-1, 256) for p in sorted((folder / "voices").glob("*.bin"))}


def pack_styles(folder, out):
    """a third of their size: f16, for texts of up to MOST_PHONEMES"""
    np.savez_compressed(
        out, **{name: table[: MOST_PHONEMES + 1].astype(np.float16) for name, table in read_styles(folder).items()}
    )


class Speaker:
    """texts in, clips out"""

    def __init__(self, folder, model, held_out, seed):
        self.model, self.held_out, self.r = model, held_out, np.random.default_rng(seed)
        self.vocab = json.loads((folder / "vocab.json").read_text())["vocab"]
        styles = {
            name: table for name, table in read_styles(folder).items() if (name in HELD_OUT["kokoro"]) == held_out
        }
        self.names, self.styles = list(styles), np.stack(list(styles.values()), 1)  # [length, voice, 256]
        odds = np.array([MANDARIN if name[0] == "z" else 1.0 for name in self.names])
        self.odds = odds / odds.sum()

    def voice(self, length):
        if self.held_out:  # validation: the voices as they are
            k = self.r.integers(len(self.names))
            return self.names[k], self.styles[length, k], self.r.uniform(0.85, 1.15), 1.0
        pitch = 2 ** self.r.uniform(-0.35, 0.35) if self.r.random() < 0.5 else 1.0
        return "mixed", mixed_style(self.styles[length], self.odds, self.r), self.r.uniform(0.65, 1.35), pitch

    def manner(self, count):
        """[count, 3]: pitch range, slur, and by how much (the logarithm of) each sound's length varies"""
        if self.held_out:
            return np.tile([1.0, 0.0, 0.0], (count, 1))
        r = self.r
        ranges = np.where(r.random(count) < 0.5, r.uniform(0.3, 1.5, count), 1.0)
        slurs = np.where(r.random(count) < 0.5, r.uniform(0, 0.28, count), 0.0)
        return np.stack([ranges, slurs, r.uniform(0, 0.35, count)], 1)

    def features(self, texts, batch=256):
        """(text, durations, place of its features, style, pitch, name, manner) of each text, and all features
        [c, places]"""
        made, prosody, content, places = [], [], [], 0
        by_length = {}
        for text in texts:
            by_length.setdefault(len(text["phonemes"]), []).append(text)
        for length, group in by_length.items():
            for some in (group[i : i + batch] for i in range(0, len(group), batch)):
                tokens = torch.tensor(
                    [[0] + [self.vocab[c] for c in t["phonemes"]] + [0] for t in some], device=self.model.device
                )
                names, styles, speeds, pitches = zip(*(self.voice(length) for _ in some))
                style = torch.tensor(np.stack(styles), dtype=torch.float32, device=self.model.device)
                durations, x, t = self.model.first_half(
                    tokens, style, torch.tensor(speeds, dtype=torch.float32, device=self.model.device)
                )
                manners = self.manner(len(some))
                jitter = torch.randn(durations.shape, device=self.model.device)
                jitter = jitter * torch.tensor(manners[:, 2:], dtype=torch.float32, device=self.model.device)
                durations = (durations * jitter.clamp(-0.7, 0.7).exp()).round().clamp(min=1).long()
                prosody.append(x.transpose(0, 1).flatten(1))
                content.append(t.transpose(0, 1).flatten(1))
                starts = range(places, places + tokens.numel(), tokens.shape[1])
                made += zip(some, durations.cpu().numpy(), starts, style, pitches, names, manners)
                places += tokens.numel()
        return made, torch.cat(prosody, 1), torch.cat(content, 1)

    def speak(self, texts, frames_at_once=12000):
        """yields (samples as int16, labels, ends, text, voice); a label stands for LABEL samples, all of them"""
        made, prosody, content = self.features(texts)
        made.sort(key=lambda m: m[1].sum())
        while made:
            longest = int(made[-1][1].sum())
            longest += -longest % 16  # few different shapes
            some = made[-max(1, frames_at_once // longest) :]
            del made[-len(some) :]
            counts = [np.append(m[1][:-1], longest - m[1][:-1].sum()) for m in some]
            index = torch.tensor(
                np.stack([m[2] + np.repeat(np.arange(len(c)), c) for m, c in zip(some, counts)]),
                device=self.model.device,
            )

            def spread(features, index=index):
                return features[:, index].transpose(0, 1)

            numbers = torch.tensor(
                [[m[4], *m[6][:2]] for m in some], dtype=torch.float32, device=self.model.device
            )  # pitch, its range, slur
            samples = to_16k(
                self.model.second_half(
                    spread(prosody), spread(content), torch.stack([m[3] for m in some]), *numbers.unbind(1)
                )
            )
            peaks = samples.abs().amax(1, keepdim=True)
            samples = (samples * (0.5 * 32767) / peaks.clamp(min=1e-6)).round().short().cpu().numpy()
            for (text, durations, _, _, _, name, _), clip, peak in zip(some, samples, peaks[:, 0].tolist()):
                edges = np.cumsum(durations) * FRAME / RATE
                start, lasts = word_marks(text["phonemes"])
                begin = max(0.0, float(edges[start]) - LEAD)
                ends = edges[np.array(lasts) + 1] - begin
                if 0.01 < peak < 10:
                    clip = clip[int(begin * 16000) : int((begin + ends[-1] + TAIL) * 16000)]
                    clip = clip[: len(clip) // LABEL * LABEL]
                    middles = begin + (np.arange(len(clip) // LABEL) + 0.5) * LABEL / 16000
                    token = np.searchsorted(edges, middles, "right").clip(max=len(durations) - 1)
                    yield clip, sounds_of(text["phonemes"], self.vocab)[token], ends, text, name


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", help="kokoro.pt (or kokoro.onnx), vocab.json, voices/*.bin (or styles.npz)")
    a.add_argument("texts", help="the .jsonl of phonemise.py")
    a.add_argument("out", help="prefix of the two files to write")
    a.add_argument("--hours", type=float, default=1.0, help="stop after so much audio")
    a.add_argument("--minutes", type=float, default=1e9, help="or after so many minutes of work")
    a.add_argument("--part", default="0/1", help="I/N: of N texts in a row the one after the first I")
    a.add_argument("--at-once", type=int, default=4096, help="texts whose features are kept at a time")
    a.add_argument("--half", action="store_true", help="convolutions of the second half in f16")
    a.add_argument("--compile", action="store_true")
    a.add_argument("--held-out", action="store_true", help="the voices kept for validation, as they are")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--device", default="cuda")
    a = a.parse_args()
    torch.manual_seed(a.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    folder = Path(a.folder)
    weights = (
        torch.load(folder / "kokoro.pt", weights_only=True)
        if (folder / "kokoro.pt").exists()
        else read_weights(folder / "kokoro.onnx")
    )
    speaker = Speaker(
        folder, Kokoro(weights, a.device, torch.float16 if a.half else None, a.compile), a.held_out, a.seed
    )
    first, of = map(int, a.part.split("/"))
    with open(a.texts, encoding="utf-8") as f:
        texts = [json.loads(line) for line in f][first::of]
    begun, done, clips = time.time(), 0, 0
    with (
        open(a.out + ".i16", "wb") as audio,
        open(a.out + ".u8", "wb") as sounds,
        open(a.out + ".jsonl", "w", encoding="utf-8") as index,
    ):
        for i in range(0, len(texts), a.at_once):
            if done > a.hours * 3600 * 16000 or time.time() - begun > a.minutes * 60:
                break
            lines = []
            some = texts[i : i + a.at_once]
            if not a.held_out:
                said = [pronounced(t["phonemes"], speaker.r) for t in some]
                some = [{**t, "phonemes": s} if len(s) <= MOST_PHONEMES else t for t, s in zip(some, said)]
            for samples, labels, ends, text, name in speaker.speak(some):
                audio.write(samples.tobytes())
                sounds.write(labels.tobytes())
                words = [[w, round(float(e), 3)] for w, e in zip(text["text"].split(), ends)]
                lines.append(
                    json.dumps(
                        {
                            "start": done,
                            "n": len(samples),
                            "voice": f"kokoro/{name}",
                            "group": text["group"],
                            "words": words,
                        }
                    )
                    + "\n"
                )
                done += len(samples)
            clips += len(lines)
            audio.flush()
            sounds.flush()
            index.write("".join(lines))
            index.flush()
            print(
                f"{clips} clips, {done / 16000 / 3600:.2f} h at {done / 16000 / (time.time() - begun):.0f} x real time",
                flush=True,
            )


if __name__ == "__main__":
    main()
