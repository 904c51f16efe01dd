"""The Voxtral Realtime architecture in PyTorch, small. Names and shapes follow the checkpoint;
q and k rows are half-split here and re-ordered by export.py."""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn
from vocabulary import BOS, PAD

SAMPLES = 1280  # in one token of 80 ms


@dataclass
class Config:
    encoder_width: int = 256
    encoder_layers: int = 5
    encoder_heads: int = 4
    encoder_hidden: int = 768
    encoder_window: int = 128  # states of 20 ms
    decoder_width: int = 256
    decoder_layers: int = 4
    decoder_heads: int = 4
    decoder_kv_heads: int = 2
    decoder_hidden: int = 768
    decoder_window: int = 128  # tokens of 80 ms
    head_dim: int = 64
    vocabulary: int = 2048
    delay_tokens: int = 6  # the default; with --delays in training others are understood too
    dropout: float = 0.05


def config_of_shape(shape, **others):
    """ENCODERxLAYERS,DECODERxLAYERS in widths, as in time_shapes.py: heads of 64, feed-forward three times as wide"""
    (width, layers), (decoder_width, decoder_layers) = (map(int, part.split("x")) for part in shape.split(","))
    return Config(
        encoder_width=width,
        encoder_layers=layers,
        encoder_heads=width // 64,
        encoder_hidden=3 * width,
        decoder_width=decoder_width,
        decoder_layers=decoder_layers,
        decoder_heads=decoder_width // 64,
        decoder_kv_heads=max(1, decoder_width // 128),
        decoder_hidden=3 * decoder_width,
        **others,
    )


def q4_0(w):
    """`w` after a round trip through Q4_0 by ggml's rule: blocks of 32 along a row"""
    b = w.reshape(-1, 32)
    d = b.gather(1, b.abs().argmax(1, keepdim=True)) / -8
    inverse = torch.where(d == 0, 0, 1 / torch.where(d == 0, 1, d))
    q = torch.clamp(torch.floor(b * inverse + 8.5), 0, 15) - 8
    return (q * d.half().float()).reshape(w.shape)


class Matrix(nn.Module):
    """[rows, columns], 2-D and so stored as Q4_0"""

    def __init__(self, columns, rows, bias=False, std=None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, columns) * (std or columns**-0.5))
        self.bias = nn.Parameter(torch.zeros(rows)) if bias else None

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


@torch.no_grad()
def round_weights(model):
    """every matrix becomes what Q4_0 keeps of it; -> the weights as they were, for `restore_weights`"""
    weights = [m.weight for m in model.modules() if isinstance(m, Matrix)]
    kept = [w.detach().clone() for w in weights]
    rounded = q4_0(torch.cat([w.flatten() for w in kept])).split([w.numel() for w in kept])
    torch._foreach_copy_(weights, [r.view_as(w) for r, w in zip(rounded, kept)])
    return kept


@torch.no_grad()
def restore_weights(model, kept):
    torch._foreach_copy_([m.weight for m in model.modules() if isinstance(m, Matrix)], kept)


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * self.weight


def rope_tables(length, head_dim, device):
    inverse = 1e6 ** (-torch.arange(0, head_dim, 2, device=device).float() / head_dim)
    angles = torch.arange(length, device=device).float()[:, None] * inverse
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


def band(queries, keys, window, device):
    """True where query i (counted so that the last query is the last key) sees key j"""
    distance = torch.arange(queries, device=device)[:, None] + (keys - queries) - torch.arange(keys, device=device)
    return (distance >= 0) & (distance < window)


def flash(q, k, v, window):
    """FlashAttention where each query sees `window` keys, itself the last: q, k, v [batch, heads, length, head_dim] in
    half precision on a GPU. PyTorch's own scaled_dot_product_attention offers no window, the kernel below it does."""
    length = q.shape[2]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return torch.ops.aten._flash_attention_forward(
        q, k, v, None, None, length, length, 0.0, True, False, window_size_left=window - 1, window_size_right=0
    )[0].transpose(1, 2)


class Layer(nn.Module):
    def __init__(self, width, heads, kv_heads, head_dim, hidden, window, bias, dropout, depth, ada=False):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim, self.window = heads, kv_heads, head_dim, window
        out = (2 * depth) ** -0.5
        self.attention_norm, self.ffn_norm = RMSNorm(width), RMSNorm(width)
        self.wq = Matrix(width, heads * head_dim, bias)
        self.wk = Matrix(width, kv_heads * head_dim)
        self.wv = Matrix(width, kv_heads * head_dim, bias)
        self.wo = Matrix(heads * head_dim, width, bias, std=out * (heads * head_dim) ** -0.5)
        self.w1, self.w3 = Matrix(width, hidden), Matrix(width, hidden)
        self.w2 = Matrix(hidden, width, bias, std=out * hidden**-0.5)
        self.ada0 = Matrix(width, 32) if ada else None
        self.ada2 = Matrix(32, width, std=0.02) if ada else None
        self.dropout = nn.Dropout(dropout)

    def qkv(self, x, cos, sin):
        n = self.attention_norm(x)

        def split(y, heads):
            return y.view(*y.shape[:2], heads, self.head_dim).transpose(1, 2)

        q, k, v = split(self.wq(n), self.heads), split(self.wk(n), self.kv_heads), split(self.wv(n), self.kv_heads)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def attend(self, q, k, v, mask):
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        return F.scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype), attn_mask=mask)

    def rest(self, x, attended, time):
        x = x + self.dropout(self.wo(attended.transpose(1, 2).flatten(2)))
        n = self.ffn_norm(x)
        if self.ada0 is not None:
            n = n * (1 + self.ada2(F.gelu(self.ada0(time))))
        return x + self.dropout(self.w2(F.silu(self.w1(n)) * self.w3(n)))

    def forward(self, x, cos, sin, time=None):
        """whole sequences"""
        q, k, v = self.qkv(x, cos, sin)
        attend = flash if q.is_cuda and q.dtype == torch.bfloat16 else self.attend_in_blocks
        return self.rest(x, attend(q, k, v, self.window), time)

    def attend_in_blocks(self, q, k, v, w):
        """the banded attention in blocks of one window and the one before"""
        batch, length = len(q), q.shape[2]
        blocks = -(-length // w)

        def fill(y):
            return F.pad(y, (0, 0, 0, blocks * w - length)).unflatten(2, (blocks, w))

        q, k, v = fill(q), fill(k), fill(v)

        def before(y):
            return torch.cat([F.pad(y, (0, 0, 0, 0, 1, 0))[:, :, :-1], y], 3)

        k, v = before(k), before(v)
        mask = band(w, 2 * w, w, q.device).repeat(blocks, 1, 1)
        mask[0, :, :w] = False

        def merge(y):
            return y.transpose(1, 2).flatten(0, 1)

        batch_mask = mask[None, :, None].expand(batch, -1, 1, -1, -1).flatten(0, 1)
        y = self.attend(merge(q), merge(k), merge(v), batch_mask)
        return y.unflatten(0, (batch, blocks)).transpose(1, 2).flatten(2, 3)[:, :, :length]

    def step(self, x, cos, sin, time, cache, position):
        """one token a sequence; `cache` holds keys and values of all positions so far"""
        q, k, v = self.qkv(x, cos, sin)
        cache[0][:, :, position], cache[1][:, :, position] = k[:, :, 0], v[:, :, 0]
        seen = slice(max(0, position + 1 - self.window), position + 1)
        return self.rest(x, self.attend(q, cache[0][:, :, seen], cache[1][:, :, seen], None), time)


def mel_filters(f):
    """[..., 128]: triangles on Slaney's mel scale up to 8 kHz, at frequencies f [...] in Hz"""
    step = math.log(6.4) / 27
    mel = torch.linspace(0, 15 + math.log(8) / step, 130, dtype=torch.float64)
    edge = torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp(step * (mel - 15)))
    f = f[..., None].double()
    up, down = (f - edge[:-2]) / (edge[1:-1] - edge[:-2]), (edge[2:] - f) / (edge[2:] - edge[1:-1])
    return (torch.minimum(up, down).clamp(min=0) * 2 / (edge[2:] - edge[:-2])).float()


class Mel(nn.Module):
    """[batch, samples] -> [batch, samples / 160, 128]"""

    def __init__(self):
        super().__init__()
        self.register_buffer("filters", mel_filters(torch.arange(201) * 40.0), persistent=False)
        self.register_buffer("window", torch.hann_window(400), persistent=False)

    def forward(self, samples, filters=None):
        """filters: others than its own, [201, 128] or one such a stream"""
        spectrum = torch.stft(
            samples, 400, 160, window=self.window, center=True, pad_mode="constant", return_complex=True
        )
        power = (spectrum.real**2 + spectrum.imag**2)[..., :-1].transpose(1, 2)
        power = power @ (self.filters if filters is None else filters)
        return (power.clamp(min=1e-10).log10().clamp(min=-6.5) + 4) / 4


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        c = self.config = config
        self.conv0 = nn.Conv1d(128, c.encoder_width, 3)
        self.conv1 = nn.Conv1d(c.encoder_width, c.encoder_width, 3, stride=2)
        self.encoder = nn.ModuleList(
            Layer(
                c.encoder_width,
                c.encoder_heads,
                c.encoder_heads,
                c.head_dim,
                c.encoder_hidden,
                c.encoder_window,
                True,
                c.dropout,
                c.encoder_layers,
            )
            for _ in range(c.encoder_layers)
        )
        self.encoder_norm = RMSNorm(c.encoder_width)
        self.projection0 = Matrix(4 * c.encoder_width, c.decoder_width)
        self.projection2 = Matrix(c.decoder_width, c.decoder_width)
        self.tok_embeddings = Matrix(c.decoder_width, c.vocabulary, std=0.05)
        self.decoder = nn.ModuleList(
            Layer(
                c.decoder_width,
                c.decoder_heads,
                c.decoder_kv_heads,
                c.head_dim,
                c.decoder_hidden,
                c.decoder_window,
                False,
                c.dropout,
                c.decoder_layers,
                ada=True,
            )
            for _ in range(c.decoder_layers)
        )
        self.norm = RMSNorm(c.decoder_width)

    def time(self, delays):
        """the conditioning [batch or 1, 1, width] for delays [batch or 1] in tokens"""
        half = self.config.decoder_width // 2
        f = 10000 ** (-torch.arange(half, device=delays.device).float() / half) * delays[:, None, None]
        return torch.cat([f.cos(), f.sin()], -1)

    def encode(self, mel, middle=None):
        """[batch, frames, 128] -> states [batch, frames / 2, width] after the last norm;
        with `middle`, the states after so many layers too"""
        x = F.gelu(self.conv0(F.pad(mel.transpose(1, 2), (2, 0))))
        x = F.gelu(self.conv1(F.pad(x, (1, 0)))).transpose(1, 2).float()
        cos, sin = rope_tables(x.shape[1], self.config.head_dim, x.device)
        for i, layer in enumerate(self.encoder):
            if i == middle:
                half_way = x
            x = layer(x, cos, sin)
        return self.encoder_norm(x) if middle is None else (self.encoder_norm(x), half_way)

    def adapt(self, states):
        """four states -> one audio embedding a token"""
        x = states.reshape(states.shape[0], states.shape[1] // 4, -1)
        return self.projection2(F.gelu(self.projection0(x)))

    def forward(self, audio, tokens, delays):
        """audio embeddings and input tokens of all positions, delays [batch] -> logits of the next tokens"""
        embeddings = self.tok_embeddings.weight
        x = audio + F.embedding(tokens, embeddings)
        cos, sin = rope_tables(x.shape[1], self.config.head_dim, x.device)
        time = self.time(delays)
        for layer in self.decoder:
            x = layer(x, cos, sin, time)
        return F.linear(self.norm(x), embeddings)

    @torch.no_grad()
    def greedy(self, audio, delay):
        """audio embeddings [batch, N, width], delay in tokens -> tokens [batch, N + 1] as the engine makes them"""
        c, (batch, length) = self.config, audio.shape[:2]
        prompt = 33 + delay
        tokens = torch.full((batch, length + 1), PAD, device=audio.device)
        tokens[:, 0] = BOS
        embeddings, time = self.tok_embeddings.weight, self.time(torch.tensor([delay], device=audio.device))
        cos, sin = rope_tables(length, c.head_dim, audio.device)
        cache = [audio.new_zeros(2, batch, c.decoder_kv_heads, length, c.head_dim) for _ in self.decoder]
        for p in range(length):
            x = audio[:, p : p + 1] + embeddings[tokens[:, p : p + 1]]
            for layer, kept in zip(self.decoder, cache):
                x = layer.step(x, cos[p : p + 1], sin[p : p + 1], time, kept, p)
            if p + 1 >= prompt:
                tokens[:, p + 1] = F.linear(self.norm(x), embeddings)[:, 0].argmax(-1)
        return tokens


def to_int8(w):
    """a matrix as int8 rows and their scales: half the size for carrying"""
    scale = w.abs().flatten(1).amax(1).float() / 127
    return (w / scale.reshape(-1, *[1] * (w.ndim - 1))).round().to(torch.int8), scale


def from_int8(w):
    """what `to_int8` kept; others as they are"""
    return w[0].float() * w[1].reshape(-1, *[1] * (w[0].ndim - 1)) if isinstance(w, tuple) else w


def save(model, prefix, step, kind=torch.float32):
    """Parameters in files PREFIX-0.pt, PREFIX-1.pt, ... of at most 16 MB each."""
    groups, room = [], 0
    for name, w in model.state_dict().items():
        w = w.detach().to("cpu", kind, copy=True)
        if w.nbytes > room:
            groups.append({})
            room = 15_900_000
        groups[-1][name] = w
        room -= w.nbytes
    for i, g in enumerate(groups):
        torch.save({"config": asdict(model.config), "step": step, "state": g, "files": len(groups)}, f"{prefix}-{i}.pt")


def read_parameters(prefix, device="cpu"):
    """(configuration, step, {name: parameter}) of what `save` wrote"""
    first = torch.load(f"{prefix}-0.pt", map_location=device, weights_only=True)
    others = [
        torch.load(f"{prefix}-{i}.pt", map_location=device, weights_only=True) for i in range(1, first.get("files", 3))
    ]
    state = {k: from_int8(w) for f in (first, *others) for k, w in f["state"].items()}
    return Config(**first["config"]), first["step"], state


def load(prefix, device="cpu"):
    """(model, step)"""
    config, step, state = read_parameters(prefix, device)
    model = Model(config).to(device)
    model.load_state_dict(state)
    return model, step
