#!/usr/bin/env python3
"""The GGUF of export.py as a checkpoint again, for evaluate.py, clips.py and train.py --start-from.
Of a Q4_0 file come the rounded weights: rounding them once more changes nothing, so f32 and --q4 are one."""

import argparse

import gguf
import torch
from export import ROOT, halves, tensors
from model import Config, Model, save


def config_of(shapes, metadata):
    """the architecture: widths and depths from shapes {name: shape}, the rest from metadata {key: value}"""
    c = {}
    for part, layer, norm in (
        ("encoder", ROOT + "whisper_encoder.transformer.layers.", ROOT + "whisper_encoder.transformer.norm.weight"),
        ("decoder", "layers.", "norm.weight"),
    ):
        c |= {
            f"{part}_width": shapes[norm][0],
            f"{part}_layers": sum(n.startswith(layer) and n.endswith(".wq.weight") for n in shapes),
            f"{part}_hidden": shapes[f"{layer}0.feed_forward.w1.weight"][0],
        }
        p = f"voxtral_realtime.{part}.attention."
        c |= {f"{part}_heads": metadata[p + "head_count"], f"{part}_window": metadata[p + "sliding_window"]}
    return Config(
        **c,
        decoder_kv_heads=metadata["voxtral_realtime.decoder.attention.head_count_kv"],
        head_dim=metadata["voxtral_realtime.decoder.attention.key_length"],
        vocabulary=shapes[ROOT + "tok_embeddings.weight"][0],
        delay_tokens=metadata["voxtral_realtime.default_delay_ms"] // 80,
    )


@torch.no_grad()
def read(path):
    """the model of a GGUF file"""
    reader = gguf.GGUFReader(path)
    stored = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    model = Model(config_of({name: w.shape for name, w in stored.items()}, metadata))
    for name, parameter, heads in tensors(model):
        w = stored[name].reshape(parameter.shape)
        parameter.copy_(torch.tensor(halves(w, heads) if heads else w))
    return model


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("gguf", help="file of export.py")
    a.add_argument("out", help="prefix of the .pt files to write")
    a = a.parse_args()
    model = read(a.gguf)
    save(model, a.out, 0)
    print(f"{sum(p.numel() for p in model.parameters())} parameters; {model.config}")


if __name__ == "__main__":
    main()
