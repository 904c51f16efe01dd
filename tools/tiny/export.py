#!/usr/bin/env python3
"""Step 6: the checkpoint as a GGUF with the published file's names and dtypes: every 2-D tensor Q4_0
(or f32 with --f32), the rest f32, rows of q and k in interleaved order, plus the metadata that
shapes cannot tell."""

import argparse
import json
import struct
from pathlib import Path

import numpy as np
from model import load

ROOT = "mm_streams_embeddings.embedding_module."
Q4_0, F32 = 2, 0


def interleaved(rows, heads):
    """per head: [first halves | second halves] -> pairs (2j, 2j + 1)"""
    head_dim = len(rows) // heads
    return rows.reshape(heads, 2, head_dim // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def halves(rows, heads):
    """the inverse of `interleaved`"""
    head_dim = len(rows) // heads
    return rows.reshape(heads, head_dim // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def layer_tensors(layer, name):
    rotated = {"wq": layer.heads, "wk": layer.kv_heads}
    for part in ("attention_norm", "ffn_norm"):
        yield f"{name}{part}.weight", getattr(layer, part).weight, 0
    for group, parts in (("attention", ("wq", "wk", "wv", "wo")), ("feed_forward", ("w1", "w2", "w3"))):
        for part in parts:
            matrix = getattr(layer, part)
            yield f"{name}{group}.{part}.weight", matrix.weight, rotated.get(part, 0)
            if matrix.bias is not None:
                yield f"{name}{group}.{part}.bias", matrix.bias, rotated.get(part, 0)
    if layer.ada0 is not None:
        yield f"{name}ada_rms_norm_t_cond.0.weight", layer.ada0.weight, 0
        yield f"{name}ada_rms_norm_t_cond.2.weight", layer.ada2.weight, 0


def tensors(model):
    """(name in the file, parameter, heads whose rows the file interleaves or 0) of every tensor"""
    encoder = ROOT + "whisper_encoder."
    for i, conv in enumerate((model.conv0, model.conv1)):
        yield f"{encoder}conv_layers.{i}.conv.weight", conv.weight, 0
        yield f"{encoder}conv_layers.{i}.conv.bias", conv.bias, 0
    for i, layer in enumerate(model.encoder):
        yield from layer_tensors(layer, f"{encoder}transformer.layers.{i}.")
    yield encoder + "transformer.norm.weight", model.encoder_norm.weight, 0
    yield ROOT + "audio_language_projection.0.weight", model.projection0.weight, 0
    yield ROOT + "audio_language_projection.2.weight", model.projection2.weight, 0
    yield ROOT + "tok_embeddings.weight", model.tok_embeddings.weight, 0
    yield "norm.weight", model.norm.weight, 0
    for i, layer in enumerate(model.decoder):
        yield from layer_tensors(layer, f"layers.{i}.")


def metadata(config, title, left_silence_tokens):
    kv = {
        "general.architecture": "voxtral_realtime",
        "general.name": title,
        "voxtral_realtime.default_delay_ms": 80 * config.delay_tokens,
        "voxtral_realtime.left_silence_tokens": left_silence_tokens,
    }
    for part, heads, kv_heads, window in (
        ("encoder", config.encoder_heads, config.encoder_heads, config.encoder_window),
        ("decoder", config.decoder_heads, config.decoder_kv_heads, config.decoder_window),
    ):
        p = f"voxtral_realtime.{part}."
        kv |= {
            p + "attention.head_count": heads,
            p + "attention.head_count_kv": kv_heads,
            p + "attention.key_length": config.head_dim,
            p + "attention.sliding_window": window,
            p + "attention.layer_norm_rms_epsilon": 1e-5,
            p + "rope.freq_base": 1e6,
        }
    return kv


def q4_0(w):
    """ggml's rule: the value of largest magnitude becomes code 0; low nibbles are values 0..15 of 32"""
    b = np.ascontiguousarray(w, np.float32).reshape(-1, 32)
    d = b[np.arange(len(b)), np.abs(b).argmax(1)] / -8
    inverse = np.where(d == 0, 0, 1 / np.where(d == 0, 1, d))
    q = np.clip(np.trunc(b * inverse[:, None] + 8.5), 0, 15).astype(np.uint8)
    return np.concatenate([d.astype("<f2").view(np.uint8).reshape(-1, 2), q[:, :16] | (q[:, 16:] << 4)], 1)


def write_gguf(path, named, kv):
    def text(s):
        return struct.pack("<Q", len(s.encode())) + s.encode()

    def value(v):
        if isinstance(v, str):
            return struct.pack("<I", 8) + text(v)
        return struct.pack("<II", 4, v) if isinstance(v, int) else struct.pack("<If", 6, v)

    head = struct.pack("<IIQQ", 0x46554747, 3, len(named), len(kv)) + b"".join(
        text(k) + value(v) for k, v in kv.items()
    )
    body, offset = [], 0
    for name, (kind, shape, raw) in named.items():
        head += (
            text(name)
            + struct.pack("<I", len(shape))
            + struct.pack(f"<{len(shape)}Q", *reversed(shape))
            + struct.pack("<IQ", kind, offset)
        )
        body.append(raw + b"\0" * (-len(raw) % 32))
        offset += len(body[-1])
    Path(path).write_bytes(head + b"\0" * (-len(head) % 32) + b"".join(body))


def multiply_adds(model):
    """a second of audio, attention's own products left out"""

    def size(*modules):
        return sum(p.numel() for m in modules for p in m.parameters() if p.ndim > 1)

    once = [layer.ada0 for layer in model.decoder] + [layer.ada2 for layer in model.decoder]
    decoder = size(model.projection0, model.projection2, *model.decoder, model.tok_embeddings) - size(*once)
    return 100 * size(model.conv0) + 50 * size(model.conv1, *model.encoder) + 12.5 * decoder


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("checkpoint", help="prefix of the .pt files of train.py")
    a.add_argument("out", help="folder with tekken.json; gets NAME-q4.gguf (or NAME-f32.gguf)")
    a.add_argument("--name", default="voxtab-tiny")
    a.add_argument(
        "--title", default="Voxtab tiny (self-test: letters, digits, dates, commands)", help="general.name in the file"
    )
    a.add_argument("--left-silence-tokens", type=int, default=32)
    a.add_argument("--f32", action="store_true")
    a = a.parse_args()
    model, step = load(a.checkpoint)
    named = {}
    for name, parameter, heads in sorted(tensors(model), key=lambda t: t[0]):
        w = parameter.detach().numpy()
        w = interleaved(w, heads) if heads else w
        quantise = w.ndim == 2 and not a.f32
        named[name] = (Q4_0 if quantise else F32, w.shape, (q4_0(w) if quantise else w.astype("<f4")).tobytes())
    path = Path(a.out) / f"{a.name}-{'f32' if a.f32 else 'q4'}.gguf"
    write_gguf(path, named, metadata(model.config, a.title, a.left_silence_tokens))
    tekken = Path(a.out) / "tekken.json"
    t = json.loads(tekken.read_text(encoding="utf-8"))
    t["audio"] |= {
        "transcription_delay_ms": 80 * model.config.delay_tokens,
        "streaming_n_left_pad_tokens": a.left_silence_tokens,
    }
    tekken.write_text(json.dumps(t, ensure_ascii=False) + "\n", encoding="utf-8")
    print(
        f"{path}: {len(named)} tensors, {path.stat().st_size} bytes, step {step}; "
        f"with tekken.json {path.stat().st_size + tekken.stat().st_size}"
    )
    print(
        f"{sum(p.numel() for p in model.parameters())} parameters, "
        f"{multiply_adds(model) / 1e9:.3f} G multiply-adds a second of audio"
    )


if __name__ == "__main__":
    main()
