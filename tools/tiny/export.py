#!/usr/bin/env python3
"""Step 6: the checkpoint as a GGUF with the published file's names and dtypes: every 2-D tensor Q4_0
(or f32 with --f32), the rest f32, rows of q and k in interleaved order, plus the metadata that
shapes cannot tell."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from model import load

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "app"))

from voxtab.config import ModelConfig, Stack
from voxtab.native.making import gguf_header, values
from voxtab.weights import checkpoint

ROOT = "mm_streams_embeddings.embedding_module."


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


def config_of(model, left_silence_tokens):
    """the numbers of a model as voxtab has them"""
    c = model.config
    same = {"head_dim": c.head_dim, "epsilon": 1e-5, "rope_base": 1e6}
    return ModelConfig(
        encoder=Stack(
            layers=c.encoder_layers,
            width=c.encoder_width,
            hidden=c.encoder_hidden,
            heads=c.encoder_heads,
            kv_heads=c.encoder_heads,
            window=c.encoder_window,
            **same,
        ),
        decoder=Stack(
            layers=c.decoder_layers,
            width=c.decoder_width,
            hidden=c.decoder_hidden,
            heads=c.decoder_heads,
            kv_heads=c.decoder_kv_heads,
            window=c.decoder_window,
            **same,
        ),
        vocabulary=c.vocabulary,
        half_rope=False,
        delay_ms=80 * c.delay_tokens,
        left_silence_tokens=left_silence_tokens,
    )


def write_gguf(path, named, kind, metadata):
    """named {name: f32 array}: 2-D arrays in the type `kind`, the rest F32"""
    layout = gguf_header.layout({n: (kind if w.ndim == 2 else "F32", w.shape) for n, w in named.items()}, metadata)
    with open(path, "wb") as file:
        file.write(layout.header)
        for tensor in layout.tensors:
            file.seek(tensor.offset)
            file.write(values.encode(named[tensor.name], tensor.type))
        file.truncate(layout.size)


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
        named[name] = np.ascontiguousarray(w)
    path = Path(a.out) / f"{a.name}-{'f32' if a.f32 else 'q4'}.gguf"
    config = config_of(model, a.left_silence_tokens)
    write_gguf(path, named, "F32" if a.f32 else "Q4_0", {"general.name": a.title} | checkpoint.metadata(config))
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
